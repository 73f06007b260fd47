#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `local:` gives through the public API, beside the same work straight on its store, alternating
# in one run; then what people feel: start-up, idle cost, lines per second. Under 90 seconds.
#
#   benchmarks/run-local.sh [--rounds N] [--json FILE] [--quick] [BUILD-DIR]
#
# Prints tables, writes JSON (default: BUILD-DIR/bench-local.json). Needs bash, awk and coreutils.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=3 json='' build="$here/build" duration=1000 warmup=200 starts=31 lines=1000000 idle=3
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift ;;
    --json) json=$2; shift ;;
    --quick) rounds=1 duration=200 warmup=50 starts=5 lines=20000 idle=1 ;;
    -h | --help) sed -n '3,9s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "run-local.sh: unknown option $1" >&2; exit 2 ;;
    *) build=$1 ;;
    esac
    shift
done
json=${json:-$build/bench-local.json}
bin=$build/bin
for program in pubsub bench_local_raw bench_micro; do
    [ -x "$bin/$program" ] || { echo "run-local.sh: no $bin/$program: build first" >&2; exit 2; }
done

. "$here/benchmarks/lib.sh"
mkdir -p "$work/state"

figures=(publish_throughput publish_latency end_to_end_throughput end_to_end_latency)

# ---- through the API beside the raw store ------------------------------------------------------
for ((round = 1; round <= rounds; round++)); do
    note "round $round of $rounds"
    for side in raw api; do
        [ $((round % 2)) = 1 ] || side=$([ "$side" = raw ] && echo api || echo raw)
        rm -rf "$work/bus"
        if [ "$side" = raw ]; then
            "$bin/bench_local_raw" all "$work/bus" $duration $warmup >"$work/out"
            sed -n 's/.*"name":"\([a-z_]*\)","value":\([0-9.]*\).*/\1 \2/p' "$work/out"
        else
            code=0
            "$bin/pubsub" bench -b "local:$work/bus" -z ${duration}ms --warmup ${warmup}ms \
                --report json >"$work/out" 2>"$work/err" || code=$?
            [ $code = 0 ] || { echo "pubsub bench: exit code $code" >>"$work/notes"; cat "$work/err" >>"$work/notes"; }
            grep -o '"name":"[a-z_]*","unit":"[^"]*","median":[0-9.]*' "$work/out" |
                sed 's/"name":"\([a-z_]*\)".*"median":\(.*\)/\1 \2/'
        fi | while read -r name value; do echo "$value" >>"$work/$side.$name"; done
    done
done
rm -rf "$work/bus"

# ---- start-up ------------------------------------------------------------------------------------
note 'start-up'
"$bin/pubsub" pub t hello
startup_us=$(time_of "$bin/pubsub" pub t hello)
floor_us=$(time_of /bin/true)

# ---- an idle subscriber --------------------------------------------------------------------------
note 'idle subscriber'
measure_idle -b local:

# ---- lines ---------------------------------------------------------------------------------------
note 'lines'
seq "$lines" >"$work/lines"
begin=$(now_us)
"$bin/pubsub" pub -l nums <"$work/lines"
end=$(now_us)
pub_lines=$((lines * 1000000 / (end - begin)))
begin=$(now_us)
"$bin/pubsub" sub --from earliest -c "$lines" nums >"$work/got"
end=$(now_us)
sub_lines=$((lines * 1000000 / (end - begin)))
same=true
cmp -s "$work/lines" "$work/got" || same=false
rm -rf "$work/state/pubsub"

# ---- micro ---------------------------------------------------------------------------------------
note 'micro'
BENCH_URL=local:$work/micro "$bin/bench_micro" --json >"$work/micro.json"
notes_end

# ---- tables --------------------------------------------------------------------------------------
print_machine "$(cut -d' ' -f1-3 /proc/loadavg)"
printf '256 B, one publisher, one subscriber process, medians of %d alternating rounds of %d ms\n\n' \
    "$rounds" "$duration"
printf '%-24s %16s %16s %8s\n' '' 'through the API' 'raw store' 'ratio'
rows=''
for name in "${figures[@]}"; do
    api=$(median <"$work/api.$name")
    raw=$(median <"$work/raw.$name")
    ratio=$(awk -v a="$api" -v r="$raw" 'BEGIN { printf "%.3f", (r > 0 ? a / r : 0) }')
    read -r low high < <(range <"$work/api.$name")
    unit=msg/s
    [ "${name%latency}" = "$name" ] || unit='us p50'
    shown_api=$api shown_raw=$raw
    if [ "$unit" = 'us p50' ]; then
        shown_api=$(awk -v v="$api" 'BEGIN { printf "%.1f", v / 1000 }')
        shown_raw=$(awk -v v="$raw" 'BEGIN { printf "%.1f", v / 1000 }')
    else
        shown_api=$(group "$api") shown_raw=$(group "$raw")
    fi
    printf '%-24s %9s %-6s %9s %-6s %8s\n' "${name//_/ }" "$shown_api" "$unit" "$shown_raw" \
        "$unit" "$ratio"
    rows="$rows${rows:+,}
  {\"name\":\"$name\",\"api\":$api,\"api_lowest\":$low,\"api_highest\":$high,\"raw\":$raw,\"ratio\":$ratio}"
done
printf '\n%-44s %s\n' 'pubsub pub t hello, start to exit, median' \
    "$(awk -v us="$startup_us" -v f="$floor_us" 'BEGIN { printf "%.1f ms (/bin/true: %.1f ms)", us / 1000, f / 1000 }')"
printf '%-44s %s\n' "idle subscriber over $idle s" \
    "$idle_ms ms of CPU ($idle_percent %), $idle_switches context switches"
printf '%-44s %s lines/s\n' "seq $lines | pubsub pub -l" "$(group $pub_lines)"
printf '%-44s %s lines/s, %s\n' "pubsub sub --from earliest -c $lines" "$(group $sub_lines)" \
    "$([ $same = true ] && echo 'same bytes' || echo 'BYTES DIFFER')"
printf '\n'
sed -n 's/.*"name":"\(.*\)","ns":\([0-9.-]*\)}.*/\1|\2/p' "$work/micro.json" |
    awk -F'|' '{ printf "%-44s %10.1f ns\n", $1, $2 }'
[ ! -s "$work/notes" ] || { printf '\nnotes\n'; cat "$work/notes"; }

cat >"$json" <<END
{"schema":"pubsub-bench-local/1","version":"$version","cpu":"$cpu","cores":$(nproc),
 "kernel":"$(uname -r)","load":"$(cut -d' ' -f1-3 /proc/loadavg)","rounds":$rounds,"duration_ms":$duration,
 "figures":[$rows],
 "startup_us":$startup_us,"startup_floor_us":$floor_us,
 "idle_seconds":$idle,"idle_cpu_ms":$idle_ms,"idle_context_switches":$idle_switches,
 "pub_lines_per_s":$pub_lines,"sub_lines_per_s":$sub_lines,"lines_same":$same,
 "micro":$(cat "$work/micro.json")}
END
printf '\nwritten to %s\n' "$json"
[ $same = true ]
