#!/bin/sh
# SPDX-License-Identifier: MIT
# manuals.sh PUBSUB DIRECTORY: man/*.1 and completions/* of the command PUBSUB into DIRECTORY.
set -eu
pubsub=$1 out=$2
mkdir -p "$out/man" "$out/completions"
rm -f "$out"/man/*.1
for command in $("$pubsub" help --list); do
    "$pubsub" help --man "$command" >"$out/man/pubsub-$command.1"
done
for shell in bash zsh fish; do
    "$pubsub" completion "$shell" >"$out/completions/pubsub.$shell"
done
"$pubsub" help --man >"$out/man/pubsub.1.new"
mv "$out/man/pubsub.1.new" "$out/man/pubsub.1"
