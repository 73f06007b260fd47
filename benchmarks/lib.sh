# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the benchmark scripts share: a place to work in, private brokers, time and statistics, start-up and
# idle cost. They source it once they know $here, $bin (with `pubsub`), $starts and $idle.
# shellcheck disable=SC2034,SC2154 # what one file sets another one reads

work=$(mktemp -d "${TMPDIR:-/tmp}/pubsub-bench.XXXXXX")
background=''
broker() { python3 "$here/tests/brokers/broker.py" "$@"; }
cleanup() {
    [ -z "$background" ] || kill "$background" 2>/dev/null || true
    for dir in "$work"/broker.*; do
        [ ! -d "$dir" ] || broker stop "$dir" --now || true
    done
    rm -rf "$work"
}
trap cleanup EXIT
export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config
unset PUBSUB_BUS PUBSUB_BROKER PUBSUB_PROFILE

now_us() { local t=$EPOCHREALTIME; echo "${t/./}"; }
# The middle of the numbers on stdin; of two, the lower.
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)]; else print 0 }'; }
range() { sort -g | awk 'NR == 1 { low = $1 } { high = $1 } END { print low + 0, high + 0 }'; }
group() { printf '%.0f' "$1" | sed -e :a -e 's/\B[0-9]\{3\}\>/,&/;ta'; }
us() { awk -v ns="$1" 'BEGIN { printf "%.1f", ns / 1000 }'; }
note() { [ ! -t 2 ] || printf '\r%-60s' "$1" >&2; }
notes_end() {
    note ''
    [ ! -t 2 ] || printf '\r' >&2
}

# time_of COMMAND...: median of $starts runs in us; every one is in $work/times.
time_of() {
    local begin end
    for ((i = 0; i < starts; i++)); do
        begin=$(now_us)
        "$@" >/dev/null
        end=$(now_us)
        echo $((end - begin))
    done >"$work/times"
    median <"$work/times"
}

# measure_idle -b URL: what a subscriber costs in $idle seconds in which nothing comes. Sets idle_ms (of
# CPU), idle_percent, idle_switches and idle_rss (KiB).
ticks_of() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }
switches_of() { cat /proc/"$1"/task/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
measure_idle() {
    local ticks
    "$bin/pubsub" sub "$@" idle/topic >"$work/idle.out" &
    background=$!
    # It is subscribed once a message arrives.
    for ((i = 0; i < 100; i++)); do
        "$bin/pubsub" pub "$@" idle/topic ready
        [ ! -s "$work/idle.out" ] || break
        sleep 0.05
    done
    sleep 0.5
    ticks=$(ticks_of $background)
    idle_switches=$(switches_of $background)
    sleep "$idle"
    ticks=$(($(ticks_of $background) - ticks))
    idle_switches=$(($(switches_of $background) - idle_switches))
    idle_rss=$(awk '/^VmRSS/ { print $2 }' /proc/$background/status)
    kill $background
    wait $background || true
    background=''
    idle_ms=$((ticks * 1000 / $(getconf CLK_TCK)))
    idle_percent=$(awk -v ms="$idle_ms" -v s="$idle" 'BEGIN { printf "%.2f", ms / s / 10 }')
}

# print_machine LOAD: the line above the tables; sets cpu and version.
print_machine() {
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    version=$("$bin/pubsub" version | head -n 1)
    printf '%s, %s, %s cores, Linux %s, load %s\n' "$version" "$cpu" "$(nproc)" "$(uname -r)" "$1"
}
