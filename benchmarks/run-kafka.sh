#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `kafka://` gives through the public API, beside the same work straight on librdkafka, alternating
# in one run on a private Kafka: with linger.ms 0, as `kafka://` has it, and with 5, as librdkafka has it. Then
# start-up and idle cost. About two minutes.
#
#   benchmarks/run-kafka.sh [--rounds N] [--rate N] [--brokers "linger-0 linger-5"]
#                           [--json FILE] [--quick] [BUILD-DIR]
#
# Prints tables, writes JSON (default: BUILD-DIR/bench-kafka.json). Needs bash, awk, coreutils, Python 3 and Kafka, see
# docs/brokers.md; without it the exit code is 77.
# shellcheck disable=SC2034,SC2154 # what one of the two files sets the other one reads
me=run-kafka.sh kind=kafka scheme=kafka raw_name=librdkafka brokers='linger-0 linger-5'
options='--rate' qos=1 rate=2000 peer=kcat
figures=(publish_throughput publish_latency end_to_end_throughput end_to_end_latency)

# One server for both.
start_broker() {
    [ -f "$work/kafka.env" ] ||
        broker start kafka --dir "$work/broker.kafka" --owner $$ --format env >"$work/kafka.env"
    sed -n 's/^port=//p' "$work/kafka.env"
}
title_of() { echo "kafka, $1 ms"; }
url_of() { echo "kafka://127.0.0.1:$2/?kafka.linger.ms=${1#linger-}"; }
qos_of() { echo "$qos"; }
backlog_of() { echo 10000; }
raw_of() {
    "$bin/bench_kafka_raw" all "127.0.0.1:$2" "${1#linger-}" "$duration" "$warmup" 256 "$rate" "$(backlog_of "$1")"
}
run_peer() { echo hello | kcat -P -b "127.0.0.1:$2" -t t; }

# shellcheck source=benchmarks/compare.sh
. "$(dirname "${BASH_SOURCE[0]}")/compare.sh"
