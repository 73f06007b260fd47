# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the scripts share. Sourced, never run.

# Debian packages: what the build needs, what the tests need beyond it, what only the full tier needs.
build_packages=(gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libjansson-dev libssl-dev
    libpaho-mqtt-dev librabbitmq-dev libhiredis-dev librdkafka-dev libcurl4-openssl-dev libwebsockets-dev
    libwebsockets-evlib-uv libyaml-dev)
# shellcheck disable=SC2034 # used by scripts/test
test_packages=("${build_packages[@]}" g++ clang clang-tidy clang-format shellcheck libcmocka-dev python3)
# shellcheck disable=SC2034
full_packages=("${test_packages[@]}" gcovr)

say() { printf '%s\n' "$*"; }
head_line() { printf '\n== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# need_packages "what for" package...: install the Debian packages that are missing, after saying which
# and how much that is. The installation is the only thing that runs as root; when there is nothing to
# install, nothing asks for a password. Services that come along are neither started nor enabled.
need_packages() {
    local purpose=$1 missing=() root=() apt
    shift
    if ! has_apt; then
        other_distribution "$purpose" "$@"
        return
    fi
    find_missing "$@"
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "these packages are missing and there is no sudo; as root: apt-get install ${missing[*]}"
        root=(sudo)
    fi
    apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -qq
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    "${apt[@]}" update </dev/null || say "apt-get update failed; trying with the lists there are"
    say "Installing packages for $purpose ($(download_size "${missing[@]}") to download): ${missing[*]}"
    (
        hold_services
        trap release_services EXIT
        "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
    ) || die "apt-get could not install: ${missing[*]}"
}

has_apt() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

# find_missing package...: put those that are not installed into the caller's array "missing".
find_missing() {
    local package
    missing=()
    for package in "$@"; do
        # shellcheck disable=SC2016 # the format belongs to dpkg-query
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing+=("$package") ;;
        esac
    done
}

# What apt-get would download for these packages and all they need.
download_size() {
    apt-get -qq --print-uris -y install --no-install-recommends "$@" 2>/dev/null |
        awk '{ bytes += $3 } END { printf "%.0f MB", bytes / 1e6 + 0.5 }'
}

# Debian starts a service as soon as its package is installed, and at every boot. While these two are in
# force nothing is started, and what was enabled meanwhile is disabled again; services that were there
# before stay as they are. They use the caller's array "root".
policy=/usr/sbin/policy-rc.d
hold_services() {
    policy_is_ours='' enabled_before=$(enabled_services)
    if [ ! -e $policy ] && [ -d /usr/sbin ]; then
        policy_is_ours=yes
        "${root[@]}" sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy"
    fi
}
release_services() {
    local link unit
    if [ -n "$policy_is_ours" ]; then
        "${root[@]}" rm -f $policy
    fi
    while IFS= read -r link; do
        unit=${link##*/}
        case $link in
        /etc/rc*) "${root[@]}" update-rc.d "${unit#S[0-9][0-9]}" disable ;;
        */systemd/*)
            if command -v systemctl >/dev/null; then
                "${root[@]}" systemctl --quiet disable "$unit"
            else
                "${root[@]}" rm -f "$link"
            fi
            ;;
        esac
    done < <(comm -13 <(printf '%s\n' "$enabled_before") <(enabled_services)) >/dev/null 2>&1
}
# Every link that starts something at boot, sorted.
enabled_services() {
    local link
    for link in /etc/systemd/system/*.wants/* /etc/systemd/system/*.requires/* /etc/rc[S2-5].d/S*; do
        [ ! -L "$link" ] || printf '%s\n' "$link"
    done | sort
}

# On other systems only the names of the tools can be said; go on when they are there.
other_distribution() {
    local purpose=$1 tool absent=()
    shift
    for tool in cmake ninja pkg-config cc; do
        command -v "$tool" >/dev/null || absent+=("$tool")
    done
    if command -v pkg-config >/dev/null; then
        for tool in libuv jansson openssl; do
            pkg-config --exists "$tool" || absent+=("$tool (with its headers)")
        done
    fi
    say "There is no apt-get here. Only Debian was tried; for $purpose you need what Debian calls:"
    say "    $*"
    if [ ${#absent[@]} -gt 0 ]; then
        die "not found: ${absent[*]}"
    fi
    say "The build tools and libraries were found, going on."
}
