#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What `mqtt://` gives through the public API, beside the same work straight on paho.mqtt.c, alternating
# in one run on private brokers: one without limits, one with mosquitto's stock ones. Then start-up and
# idle cost. About two minutes.
#
#   benchmarks/run-mqtt.sh [--rounds N] [--qos 0|1] [--rate N] [--brokers "generous stock"]
#                          [--json FILE] [--quick] [BUILD-DIR]
#
# Prints tables, writes JSON (default: BUILD-DIR/bench-mqtt.json). Needs bash, awk, coreutils, Python 3
# and mosquitto; without mosquitto the exit code is 77.
# shellcheck disable=SC2034,SC2154 # what one of the two files sets the other one reads
me=run-mqtt.sh kind=mqtt scheme=mqtt raw_name=Paho brokers='generous stock'
options='--qos --rate' qos=1 rate=2000 peer=mosquitto_pub
figures=(publish_throughput publish_latency end_to_end_throughput end_to_end_latency)

# Both answer at once instead of waiting for Nagle.
start_broker() {
    local variant=()
    [ "$1" = stock ] || variant=(--variant "$1")
    broker start mosquitto "${variant[@]}" --set 'set_tcp_nodelay true' --dir "$work/broker.$1" \
        --owner $$ --format env >"$work/$1.env"
    sed -n 's/^port=//p' "$work/$1.env"
}
title_of() { echo "$1 broker"; }
url_of() { echo "mqtt://127.0.0.1:$2"; }
qos_of() { echo "$qos"; }
# A stock broker drops what exceeds 1,000 messages queued for a session.
backlog_of() { [ "$1" = stock ] && echo 900 || echo 10000; }
raw_of() {
    "$bin/bench_mqtt_raw" all "127.0.0.1:$2" "$duration" "$warmup" 256 "$qos" "$rate" "$(backlog_of "$1")"
}
run_peer() { mosquitto_pub -p "$2" -h 127.0.0.1 -q 1 -V mqttv5 -t t -m hello; }

# shellcheck source=benchmarks/compare.sh
. "$(dirname "${BASH_SOURCE[0]}")/compare.sh"
