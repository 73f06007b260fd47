# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts/setup and scripts/test share. Sourced, never run.

# Debian packages: what the build needs, what the tests need beyond it, what only the full tier needs.
build_packages=(gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libjansson-dev)
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

# need_packages "what for" package...: install the Debian packages that are missing. The installation
# is the only thing that runs as root; when there is nothing to install, nothing asks for a password.
need_packages() {
    local purpose=$1 package missing=()
    shift
    if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
        other_distribution "$purpose" "$@"
        return
    fi
    for package in "$@"; do
        # shellcheck disable=SC2016 # the format belongs to dpkg-query
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) missing+=("$package") ;;
        esac
    done
    if [ ${#missing[@]} -eq 0 ]; then
        return
    fi
    say "Installing packages for $purpose: ${missing[*]}"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            die "these packages are missing and there is no sudo; as root: apt-get install ${missing[*]}"
        root=(sudo)
    fi
    local apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3)
    "${apt[@]}" update </dev/null || say "apt-get update failed; trying with the lists there are"
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
        die "apt-get could not install: ${missing[*]}"
}

# On other systems only the names of the tools can be said; go on when they are there.
other_distribution() {
    local purpose=$1 tool absent=()
    shift
    for tool in cmake ninja pkg-config cc; do
        command -v "$tool" >/dev/null || absent+=("$tool")
    done
    if command -v pkg-config >/dev/null; then
        for tool in libuv jansson; do
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
