# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Installing and starting private brokers, for scripts/test and scripts/brokers. Sourced after lib.sh.

broker_tool=(python3 -B tests/brokers/broker.py)
# shellcheck disable=SC2034 # used by those that source this
all_brokers=(mqtt redis amqp kafka)

# The name of a broker as tests/brokers knows it.
broker_kind() {
    case $1 in
    mqtt) echo mosquitto ;;
    redis) echo redis ;;
    amqp) echo rabbitmq ;;
    kafka) echo kafka ;;
    esac
}
# How the shared one is set up: with room for load, and so that what is confirmed is kept on disk.
broker_variants() {
    case $1 in
    mqtt) echo generous,persistence ;;
    redis) echo generous,aof-on ;;
    *) echo generous ;;
    esac
}
# broker_packages name [tools]: Debian's packages, with its own command-line tools when asked for.
broker_packages() {
    local tools=${2:+yes}
    case $1 in
    mqtt) echo "mosquitto openssl ${tools:+mosquitto-clients}" ;;
    redis) echo "redis-server openssl ${tools:+redis-tools}" ;;
    amqp)
        echo "rabbitmq-server openssl ${tools:+amqp-tools}"
        if [ -n "$tools" ]; then
            node_packages
        fi
        ;;
    kafka)
        echo "default-jdk-headless openssl ${tools:+kcat}"
        "${broker_tool[@]}" cached kafka >/dev/null 2>&1 || echo maven
        if [ -n "$tools" ] && ! "${broker_tool[@]}" cached kafka-python >/dev/null 2>&1; then
            python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
        fi
        ;;
    esac
}
# Node, and what downloads its amqplib. Others than Debian's do as well, and bring npm along.
node_packages() {
    command -v node >/dev/null || echo nodejs
    "${broker_tool[@]}" cached amqplib >/dev/null 2>&1 || command -v npm >/dev/null || echo npm
}

# need_brokers tools|'' name...: install what is missing. Says before what and how much. Fails when
# something could not be installed; the rest is there all the same.
need_brokers() {
    local tools=$1 name packages=() missing=() failed=0
    shift
    for name in "$@"; do
        # shellcheck disable=SC2207 # words
        packages+=($(broker_packages "$name" "$tools"))
    done
    if has_apt; then
        find_missing python3 "${packages[@]}"
        if [ ${#missing[@]} -gt 0 ]; then
            (need_packages "the brokers $*" python3 "${packages[@]}") || return 1
        fi
    else
        say "There is no apt-get here. For the brokers you need what Debian calls: ${packages[*]}"
    fi
    if [[ " $* " == *" kafka "* ]]; then
        "${broker_tool[@]}" fetch kafka || failed=1
        if [ -n "$tools" ]; then
            "${broker_tool[@]}" fetch kafka-python || failed=1
        fi
    fi
    if [ -n "$tools" ] && [[ " $* " == *" amqp "* ]]; then
        "${broker_tool[@]}" fetch amqplib || failed=1
    fi
    # A source of changes for the bridge's tests, where there is Node anyway.
    if [ -n "$tools" ] && command -v npm >/dev/null; then
        "${broker_tool[@]}" fetch pouchdb || failed=1
    fi
    return $failed
}

# start_brokers log_directory root name... -- option...: start them side by side, wait until all are
# ready. Sets started_brokers and, for each, a line in broker_urls[name].
declare -A broker_urls=()
started_brokers=() failed_brokers=()
start_brokers() {
    local logs=$1 root=$2 name names=() waits=()
    shift 2
    while [ "$1" != -- ]; do
        names+=("$1")
        shift
    done
    shift
    for name in "${names[@]}"; do
        "${broker_tool[@]}" start "$(broker_kind "$name")" --variant "$(broker_variants "$name")" \
            --dir "$root/$name" --format env "$@" >"$logs/broker-$name.env" 2>"$logs/broker-$name.log" &
        waits+=($!)
    done
    for name in "${names[@]}"; do
        if wait "${waits[0]}"; then
            # shellcheck disable=SC2034 # used by those that source this
            broker_urls[$name]=$(sed -n 's/^url=//p' "$logs/broker-$name.env")
            started_brokers+=("$name")
        else
            failed_brokers+=("$name")
            cat "$logs/broker-$name.log"
        fi
        waits=("${waits[@]:1}")
    done
}
