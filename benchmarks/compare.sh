# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# The body of run-mqtt.sh, run-amqp.sh, run-redis.sh and run-kafka.sh: what a broker gives through the public API, beside the same
# work straight on a client library, alternating in one run; then start-up and idle cost. They source it after
# they have set
#
#   me, kind          name of the script; short name for files and JSON ("mqtt")
#   scheme, raw_name  of the URL in the table; name of the raw library there
#   brokers           names of what is measured, one after the other: variants of the broker, or uses of one
#   figures           those that the raw program has
#   options           which of --qos, --rate, --variant it has besides --rounds, --brokers, --json and --quick
#   qos rate variant  their defaults
#   peer              another command line program for start-up, '' = none
#
# and the functions
#
#   start_broker NAME       start it, print its port; the exit code 77 = not installed
#   url_of NAME PORT        of `pubsub bench`
#   raw_of NAME PORT        run the raw program with all figures
#   qos_of, backlog_of, title_of NAME
#   run_peer URL PORT       publish one message with $peer
# shellcheck disable=SC2034,SC2154 # what one of the two files sets the other one reads
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=3 json='' build="$here/build" duration=1000 warmup=300 starts=31 idle=3
takes() { case " $options " in *" $1 "*) return 0 ;; esac; echo "$me: unknown option $1" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case $1 in
    --rounds) rounds=$2; shift ;;
    --brokers) brokers=$2; shift ;;
    --json) json=$2; shift ;;
    --quick) rounds=1 duration=200 warmup=50 starts=3 idle=1 rate=500 ;;
    --qos) takes "$1"; qos=$2; shift ;;
    --rate) takes "$1"; rate=$2; shift ;;
    --variant) takes "$1"; variant=$2; shift ;;
    -h | --help) sed -n '3,/^[^#]/{ /^#/s/^# \{0,1\}//p }' "$0"; exit 0 ;;
    -*) echo "$me: unknown option $1" >&2; exit 2 ;;
    *) build=$1 ;;
    esac
    shift
done
json=${json:-$build/bench-$kind.json}
bin=$build/bin
for program in pubsub "bench_${kind}_raw"; do
    [ -x "$bin/$program" ] || { echo "$me: no $bin/$program: build first" >&2; exit 2; }
done

. "$here/benchmarks/lib.sh"

# From either program's JSON: name, value, p99, and CPU in ns per message of publisher and subscriber.
read_report() {
    python3 - "$1" <<'END'
import json, sys
def cpu(roles, count):
    used = sum(role["usage"]["user_ns"] + role["usage"]["system_ns"] for role in roles)
    return used / max(1, sum(role[count] for role in roles))
text = open(sys.argv[1], encoding="utf-8").read()
if '"schema"' in text:
    for figure in json.loads(text)["figures"]:
        run = figure["runs"][0]
        if run["failed"]:
            continue
        p99 = run.get("latency_ns", {}).get("p99") or 0
        print(figure["name"], run["value"], p99, cpu(run["publishers"], "sent"),
              cpu(run["subscribers"], "received"))
else:
    for line in text.splitlines():
        row = json.loads(line)
        print(row["name"], row["value"], row["p99"], row["publisher_cpu_ns"],
              row["subscriber_cpu_ns"])
END
}

# ---- brokers -------------------------------------------------------------------------------------
declare -A port
for name in $brokers; do
    code=0
    port[$name]=$(start_broker "$name") || code=$?
    [ $code = 0 ] || exit $code
done

# ---- through the API beside the raw library -----------------------------------------------------
measure() { # broker side
    local code=0 figure value p99 publisher subscriber
    if [ "$2" = raw ]; then
        raw_of "$1" "${port[$1]}" >"$work/out" 2>"$work/err" || code=$?
    else
        "$bin/pubsub" bench -b "$(url_of "$1" "${port[$1]}")" -z ${duration}ms --warmup ${warmup}ms \
            -Q "$(qos_of "$1")" -r "$rate" --backlog "$(backlog_of "$1")" --report json \
            >"$work/out" 2>"$work/err" || code=$?
    fi
    if [ $code != 0 ]; then
        echo "$1, $2, round $round: exit code $code" >>"$work/notes"
        cat "$work/err" >>"$work/notes"
    fi
    read_report "$work/out" >"$work/rows"
    while read -r figure value p99 publisher subscriber; do
        echo "$value" >>"$work/$1.$2.$figure.value"
        echo "$p99" >>"$work/$1.$2.$figure.p99"
        echo "$publisher" >>"$work/$1.$2.$figure.publisher"
        echo "$subscriber" >>"$work/$1.$2.$figure.subscriber"
    done <"$work/rows"
}
touch "$work/notes"
for ((round = 1; round <= rounds; round++)); do
    for name in $brokers; do
        note "round $round of $rounds, $name"
        for side in raw api; do
            [ $((round % 2)) = 1 ] || side=$([ "$side" = raw ] && echo api || echo raw)
            measure "$name" "$side"
        done
    done
done
load=$(cut -d' ' -f1-3 /proc/loadavg)

# ---- start-up ------------------------------------------------------------------------------------
read -r first _ <<<"$brokers"
url=$(url_of "$first" "${port[$first]}")
note 'start-up'
startup_us=$(time_of "$bin/pubsub" pub -b "$url" t hello)
# Two peaks are likely here, so the range is told too.
read -r startup_low startup_high < <(range <"$work/times")
floor_us=$(time_of /bin/true)
peer_us=0
if [ -n "$peer" ] && command -v "$peer" >/dev/null; then
    peer_us=$(time_of run_peer "$url" "${port[$first]}")
fi

# ---- an idle subscriber --------------------------------------------------------------------------
note 'idle subscriber'
measure_idle -b "$url"
notes_end

# ---- tables --------------------------------------------------------------------------------------
print_machine "$load"
at=''
case " ${figures[*]} " in *latency*) at=", latency at $rate/s" ;; esac
printf '256 B, qos %s, one publisher, one subscriber process%s; medians of %d ' "$qos" "$at" "$rounds"
printf 'alternating rounds of %d ms, in brackets the range\n' "$duration"
all=''
shown() { # name, number
    if [ "${1%latency}" = "$1" ]; then group "$2"; else us "$2"; fi
}
row() { # broker, figure
    local api raw ratio low high rlow rhigh unit=msg/s
    touch "$work/$1".{api,raw}."$2".{value,p99,publisher,subscriber}
    api=$(median <"$work/$1.api.$2.value") raw=$(median <"$work/$1.raw.$2.value")
    read -r low high < <(range <"$work/$1.api.$2.value")
    read -r rlow rhigh < <(range <"$work/$1.raw.$2.value")
    # Round by round, so that what the machine did meanwhile is in both.
    paste "$work/$1.api.$2.value" "$work/$1.raw.$2.value" |
        awk 'NF == 2 && $2 > 0 { print $1 / $2 }' >"$work/ratios"
    ratio=$(median <"$work/ratios")
    read -r least most < <(range <"$work/ratios")
    [ "${2%latency}" = "$2" ] || unit='us p50'
    printf '%-22s %-6s %8s (%s–%s) %8s (%s–%s) %6.2f (%.2f–%.2f)\n' "${2//_/ }" "$unit" \
        "$(shown "$2" "$api")" "$(shown "$2" "$low")" "$(shown "$2" "$high")" \
        "$(shown "$2" "$raw")" "$(shown "$2" "$rlow")" "$(shown "$2" "$rhigh")" \
        "$ratio" "$least" "$most"
    local parts=''
    for side in api raw; do
        for part in p99 publisher subscriber; do
            parts="$parts,\"${side}_$part\":$(median <"$work/$1.$side.$2.$part")"
        done
    done
    rows="$rows${rows:+,}
  {\"name\":\"$2\",\"api\":$api,\"api_lowest\":$low,\"api_highest\":$high,\"raw\":$raw,
   \"raw_lowest\":$rlow,\"raw_highest\":$rhigh,\"ratio\":$ratio,\"ratio_lowest\":$least,\"ratio_highest\":$most$parts}"
}
cpu_row() { # broker, figure
    local line=''
    for part in publisher subscriber; do
        for side in api raw; do
            line="$line $(us "$(median <"$work/$1.$side.$2.$part")")"
        done
    done
    read -r a b c d <<<"$line"
    printf '%-22s %9s %9s %12s %9s\n' "${2//_/ }" "$a" "$b" "$c" "$d"
}
for name in $brokers; do
    rows=''
    printf '\n%s%25s %19s %22s\n' "$(title_of "$name")" 'through the API' "raw $raw_name" 'ratio'
    for figure in "${figures[@]}"; do
        row "$name" "$figure"
    done
    printf '%-22s %19s %22s\n' 'CPU us per message' 'publisher API/raw' 'subscriber API/raw'
    for figure in "${figures[@]}"; do
        cpu_row "$name" "$figure"
    done
    all="$all${all:+,}
 \"$name\":[$rows]"
done
printf '\n%-44s %s ms, %s to %s (/bin/true: %s ms' \
    "pubsub pub -b $scheme://... t hello, start to exit" "$(us "$startup_us")" "$(us "$startup_low")" \
    "$(us "$startup_high")" "$(us "$floor_us")"
[ "$peer_us" = 0 ] || printf ', %s: %s ms' "$peer" "$(us "$peer_us")"
printf ')\n%-44s %s\n' "idle subscriber over $idle s" \
    "$idle_ms ms of CPU ($idle_percent %), $idle_switches context switches, $idle_rss KiB"
[ ! -s "$work/notes" ] || { printf '\nnotes\n'; cat "$work/notes"; }

cat >"$json" <<END
{"schema":"pubsub-bench-$kind/1","version":"$version","cpu":"$cpu","cores":$(nproc),
 "kernel":"$(uname -r)","load":"$load","rounds":$rounds,"duration_ms":$duration,"qos":"$qos","rate":$rate,
 "brokers":{$all},
 "startup_us":$startup_us,"startup_lowest_us":$startup_low,"startup_highest_us":$startup_high,
 "startup_floor_us":$floor_us,"startup_${peer//-/_}_us":$peer_us,
 "idle_seconds":$idle,"idle_cpu_ms":$idle_ms,"idle_context_switches":$idle_switches,"idle_rss_kib":$idle_rss}
END
printf '\nwritten to %s\n' "$json"
# A figure that did not come to a value fails the run.
for name in $brokers; do
    for side in api raw; do
        for figure in "${figures[@]}"; do
            [ -s "$work/$name.$side.$figure.value" ] || { echo "no $figure, $name, $side" >&2; exit 1; }
        done
    done
done
