#!/bin/sh
# SPDX-License-Identifier: MIT
# check_exports.sh LIBRARY LIST: the library exports exactly the committed list, all of it pubsub_*.
set -eu
here=$(dirname "$0")
wrong=$(sh "$here/list_exports.sh" "$1" | grep -v '^pubsub_[a-z]' || true)
if [ -n "$wrong" ]; then
    echo "exported, but not part of the API:"
    echo "$wrong"
    exit 1
fi
if ! sh "$here/list_exports.sh" "$1" | diff -u "$2" -; then
    echo "the exports changed; when that is meant: scripts/update-exports"
    exit 1
fi
echo "$(wc -l <"$2") symbols"
