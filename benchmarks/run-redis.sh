#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `redis://` and `redis+streams://` give through the public API, beside the same work straight on hiredis,
# alternating in one run on a private server. About a minute.
#
#   benchmarks/run-redis.sh [--rounds N] [--variant generous,aof-off] [--json FILE] [--quick] [BUILD-DIR]
#
# Prints a table, writes JSON (default: BUILD-DIR/bench-redis.json). Needs bash, Python 3 and redis-server; without
# the latter the exit code is 77.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=3 json='' build="$here/build" duration=1000 warmup=300 variant=generous,aof-off
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift ;;
    --variant) variant=$2; shift ;;
    --json) json=$2; shift ;;
    --quick) rounds=1 duration=200 warmup=50 ;;
    -h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "run-redis.sh: unknown option $1" >&2; exit 2 ;;
    *) build=$1 ;;
    esac
    shift
done
json=${json:-$build/bench-redis.json}
bin=$build/bin
for program in pubsub bench_redis_raw; do
    [ -x "$bin/$program" ] || { echo "run-redis.sh: no $bin/$program: build first" >&2; exit 2; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/pubsub-bench.XXXXXX")
broker() { python3 "$here/tests/brokers/broker.py" "$@"; }
cleanup() {
    [ ! -d "$work/broker" ] || broker stop "$work/broker" --now || true
    rm -rf "$work"
}
trap cleanup EXIT
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
unset PUBSUB_BUS PUBSUB_BROKER PUBSUB_PROFILE

code=0
broker start redis --variant "$variant" --dir "$work/broker" --owner $$ --format env >"$work/env" || code=$?
[ $code = 0 ] || exit $code
port=$(sed -n 's/^port=//p' "$work/env")

measure() { # kind side
    local out=$work/$1.$2.$round scheme=redis qos=0
    [ "$1" = pubsub ] || { scheme=redis+streams qos=1; }
    if [ "$2" = raw ]; then
        "$bin/bench_redis_raw" all "$1" "$port" $duration $warmup 256 10000 >"$out" 2>"$work/err"
    else
        "$bin/pubsub" bench -b "$scheme://127.0.0.1:$port" -z ${duration}ms --warmup ${warmup}ms -Q $qos \
            --backlog 10000 --report json >"$out" 2>"$work/err"
    fi || { echo "$1, $2, round $round: exit code $?" >&2; cat "$work/err" >&2; }
}
for ((round = 1; round <= rounds; round++)); do
    for kind in pubsub streams; do
        measure $kind api
        measure $kind raw
    done
done

python3 - "$work" "$rounds" "$json" <<'END'
import json, statistics, sys
work, rounds, out = sys.argv[1], int(sys.argv[2]), sys.argv[3]
figures = ("publish_throughput", "end_to_end_throughput")
def rows(path):
    text = open(path, encoding="utf-8").read()
    if '"schema"' in text:
        for figure in json.loads(text)["figures"]:
            if not figure["runs"][0]["failed"]:
                yield figure["name"], figure["runs"][0]["value"]
    else:
        for line in text.splitlines():
            row = json.loads(line)
            yield row["name"], row["value"]
result = []
print("%-9s %-24s %14s %14s %7s" % ("", "messages a second", "through API", "raw hiredis", "ratio"))
for kind in ("pubsub", "streams"):
    values = {side: {} for side in ("api", "raw")}
    for side in values:
        for round in range(1, rounds + 1):
            for name, value in rows("%s/%s.%s.%d" % (work, kind, side, round)):
                values[side].setdefault(name, []).append(value)
    for name in figures:
        if name not in values["api"] or name not in values["raw"]:
            print("%-9s %-24s %14s" % (kind, name, "no figure"))
            continue
        api, raw = (statistics.median(values[side][name]) for side in ("api", "raw"))
        print("%-9s %-24s %14s %14s %7.2f" % (kind, name, f"{api:,.0f}", f"{raw:,.0f}", api / raw))
        result.append({"kind": kind, "figure": name, "api": values["api"][name], "raw": values["raw"][name],
                       "ratio": api / raw})
json.dump(result, open(out, "w", encoding="utf-8"), indent=1)
END
