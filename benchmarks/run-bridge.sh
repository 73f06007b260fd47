#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What pubsub-bridge does in a second, and what it costs: a couchdb feed catching up into each broker, one broker relayed
# to itself beside a relay written by hand on the raw client library, webhooks through the durable spool; start-up, idle
# cost, memory under load, time to stop. Ours and theirs alternate in one run on private brokers. About three minutes.
#
#   benchmarks/run-bridge.sh [--rounds N] [--only couchdb,relay,webhook,idle] [--brokers "local redis amqp mqtt"]
#                            [--watermill PROGRAM] [--json FILE] [--quick] [BUILD-DIR]
#
# Prints tables, writes JSON (default: BUILD-DIR/bench-bridge.json). Needs bash and Python 3; brokers that are not
# installed are left out. With the program of benchmarks/bridge/watermill (`go build` there, from the Go module proxy)
# the same work is done by Watermill's router, too.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=5 json='' build="$here/build" quick='' only=couchdb,relay,webhook,idle brokers='local redis amqp mqtt' watermill=()
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift ;;
    --only) only=$2; shift ;;
    --brokers) brokers=$2; shift ;;
    --json) json=$2; shift ;;
    --watermill) watermill=(--watermill "$(realpath "$2")"); shift ;;
    --quick) rounds=1 quick=--quick ;;
    -h | --help) sed -n '3,/^[^#]/{ /^#/s/^# \{0,1\}//p }' "$0"; exit 0 ;;
    -*) echo "run-bridge.sh: unknown option $1" >&2; exit 2 ;;
    *) build=$1 ;;
    esac
    shift
done
for program in pubsub-bridge bench_feed_server bench_webhook_load; do
    [ -x "$build/bin/$program" ] || { echo "run-bridge.sh: no $build/bin/$program: build first" >&2; exit 2; }
done

bin=$build/bin
. "$here/benchmarks/lib.sh"

ports=''
for name in $brokers; do
    case $name in
    local) ports+=" local=0"; continue ;;
    redis) kind=redis ;;
    amqp) kind=rabbitmq ;;
    mqtt) kind=mosquitto ;;
    *) echo "run-bridge.sh: no broker $name" >&2; exit 2 ;;
    esac
    if broker start "$kind" --variant generous --dir "$work/broker.$name" --owner $$ --format env >"$work/env.$name"; then
        ports+=" $name=$(sed -n 's/^port=//p' "$work/env.$name")"
    else
        echo "run-bridge.sh: no $kind here, left out" >&2
    fi
done
# shellcheck disable=SC2086 # options and ports are words
python3 "$here/benchmarks/bridge/measure.py" --bin "$(realpath "$build/bin")" --work "$work" --rounds "$rounds" --only "$only" \
    --json "${json:-$build/bench-bridge.json}" "${watermill[@]}" $quick $ports
