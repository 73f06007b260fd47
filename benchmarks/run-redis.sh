#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `redis://` and `redis+streams://` give through the public API, beside the same work straight on hiredis,
# alternating in one run on a private server. Then start-up and idle cost. About a minute.
#
#   benchmarks/run-redis.sh [--rounds N] [--variant generous,aof-off] [--brokers "pubsub streams"]
#                           [--json FILE] [--quick] [BUILD-DIR]
#
# Prints tables, writes JSON (default: BUILD-DIR/bench-redis.json). Needs bash, awk, coreutils, Python 3 and
# redis-server; without the latter the exit code is 77.
# shellcheck disable=SC2034,SC2154 # what one of the two files sets the other one reads
me=run-redis.sh kind=redis scheme=redis raw_name=hiredis brokers='pubsub streams'
options=--variant qos='0 (pubsub), 1 (streams)' rate=2000 variant=generous,aof-off peer=redis-cli
figures=(publish_throughput end_to_end_throughput)

# One server for both.
start_broker() {
    [ -f "$work/redis.env" ] || broker start redis --variant "$variant" --dir "$work/broker.redis" \
        --owner $$ --format env >"$work/redis.env"
    sed -n 's/^port=//p' "$work/redis.env"
}
title_of() { echo "redis, $1"; }
url_of() {
    local how=redis
    [ "$1" = pubsub ] || how=redis+streams
    echo "$how://127.0.0.1:$2"
}
qos_of() { [ "$1" = pubsub ] && echo 0 || echo 1; }
backlog_of() { echo 10000; }
raw_of() { "$bin/bench_redis_raw" all "$1" "$2" "$duration" "$warmup" 256 "$(backlog_of "$1")"; }
run_peer() { redis-cli -p "$2" PUBLISH t hello; }

# shellcheck source=benchmarks/compare.sh
. "$(dirname "${BASH_SOURCE[0]}")/compare.sh"
