#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `amqp://` gives through the public API, beside the same work straight on rabbitmq-c, alternating
# in one run on a private RabbitMQ. Then start-up and idle cost. About a minute.
#
#   benchmarks/run-amqp.sh [--rounds N] [--qos 0|1] [--rate N] [--brokers "generous stock"]
#                          [--json FILE] [--quick] [BUILD-DIR]
#
# Prints tables, writes JSON (default: BUILD-DIR/bench-amqp.json). Needs bash, awk, coreutils, Python 3
# and rabbitmq-server; without it the exit code is 77.
# shellcheck disable=SC2034,SC2154 # what one of the two files sets the other one reads
me=run-amqp.sh kind=amqp scheme=amqp raw_name=rabbitmq-c brokers=generous
options='--qos --rate' qos=1 rate=2000 peer=amqp-publish
figures=(publish_throughput publish_latency end_to_end_throughput end_to_end_latency)

start_broker() {
    local variant=()
    [ "$1" = stock ] || variant=(--variant "$1")
    broker start rabbitmq "${variant[@]}" --dir "$work/broker.$1" \
        --owner $$ --format env >"$work/$1.env"
    sed -n 's/^port=//p' "$work/$1.env"
}
title_of() { echo "$1 broker"; }
url_of() { echo "amqp://127.0.0.1:$2"; }
qos_of() { echo "$qos"; }
backlog_of() { echo 10000; }
raw_of() {
    "$bin/bench_amqp_raw" all "127.0.0.1:$2" "$duration" "$warmup" 256 "$qos" "$rate" "$(backlog_of "$1")"
}
run_peer() { amqp-publish -u "$1" -e amq.topic -r t -b hello; }

# shellcheck source=benchmarks/compare.sh
. "$(dirname "${BASH_SOURCE[0]}")/compare.sh"
