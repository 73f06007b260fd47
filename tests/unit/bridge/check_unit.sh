#!/bin/sh
# SPDX-License-Identifier: MIT
# check_unit.sh UNIT PUBSUB_BRIDGE: systemd takes every line of the unit, and finds little exposed.
set -eu
unit=$1 bridge=$2
command -v systemd-analyze >/dev/null || { echo "no systemd-analyze"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/pubsub-unit.XXXXXX")
trap 'rm -rf "$work"' EXIT
sed "s|^ExecStart=[^ ]*|ExecStart=$bridge|" "$unit" >"$work/pubsub-bridge.service"
systemd-analyze verify --man=no "$work/pubsub-bridge.service" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
if grep "pubsub-bridge.service" "$work/said"; then # a line it passes over is no failure to it
    exit 1
fi
# Older ones look only at units that are loaded.
if systemd-analyze --help | grep -q -- --offline; then
    systemd-analyze security --offline=yes --no-pager --threshold=20 "$work/pubsub-bridge.service" >"$work/said" 2>&1 ||
        { cat "$work/said"; exit 1; }
    tail -n 2 "$work/said"
fi
