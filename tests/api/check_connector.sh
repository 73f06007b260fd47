#!/bin/sh
# SPDX-License-Identifier: MIT
# check_connector.sh BUILD SOURCE COMPILER [BRIDGE]: install into an empty directory, move it, then build
# a connector and a program that runs it against it: through the CMake package and through pkg-config.
# Objects that do not fit are refused with a text that says why.
set -eu
build=$1 source=$2 compiler=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/pubsub-connector.XXXXXX")
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >"$work/install.log" 2>&1 || {
    cat "$work/install.log"
    exit 1
}
mv "$work/first" "$work/prefix"
pc=$(find "$work/prefix" -name pubsub-connectors.pc)
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
LD_LIBRARY_PATH=$libdir
export PKG_CONFIG_PATH LD_LIBRARY_PATH
here=$source/tests/api/connector
expected="clock: active
clock: {\"tick\":41}
clock: {\"tick\":42}
clock: {\"tick\":43}
stopped"

same() {
    if [ "$2" != "$expected" ]; then
        echo "$1 printed:"
        echo "$2"
        exit 1
    fi
}

echo "CMake package"
if ! cmake -S "$here" -B "$work/cmake" -DCMAKE_C_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/cmake.log" 2>&1 ||
    ! cmake --build "$work/cmake" >>"$work/cmake.log" 2>&1; then
    cat "$work/cmake.log"
    exit 1
fi
same runner "$("$work/cmake/runner" "$work/cmake/libticker.so")"

echo "pkg-config"
# shellcheck disable=SC2046 # flags are several words
"$compiler" "$here/runner.c" -o "$work/runner" $(pkg-config --cflags --libs pubsub-connectors)
object() {
    # shellcheck disable=SC2046,SC2086
    "$compiler" -shared -fPIC "$here/ticker.c" -o "$work/$1.so" $(pkg-config --cflags --libs pubsub-connectors) $2
}
object good ""
same runner "$("$work/runner" "$work/good.so")"

echo "objects that do not fit"
refused() {
    if said=$("$work/runner" "$1"); then
        echo "taken: $1"
        exit 1
    fi
    case $said in
    *"$2"*) ;;
    *)
        echo "$1: $said"
        exit 1
        ;;
    esac
}
object abi -DTICKER_ABI=7u
object size -DTICKER_SIZE=16
object none -DTICKER_FINI=NULL
echo "int nothing;" >"$work/empty.c"
"$compiler" -shared -fPIC "$work/empty.c" -o "$work/empty.so"
echo "text" >"$work/text.so"
refused "$work/abi.so" "connector ABI 7"
refused "$work/size.so" "16 bytes"
refused "$work/none.so" "not complete"
refused "$work/empty.so" "exports no connector"
refused "$work/text.so" "cannot load"
refused "$work/missing.so" "No such file"
