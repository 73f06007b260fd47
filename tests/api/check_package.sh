#!/bin/sh
# SPDX-License-Identifier: MIT
# check_package.sh BUILD SOURCE COMPILER: install into an empty directory, move it, then build and run
# a foreign project against it: through the CMake package and through pkg-config, shared and static.
set -eu
build=$1 source=$2 compiler=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/pubsub-package.XXXXXX")
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/first" >"$work/install.log" 2>&1 || {
    cat "$work/install.log"
    exit 1
}
mv "$work/first" "$work/prefix"
for file in include/pubsub/pubsub.h include/pubsub/spi/adapter.h; do
    [ -f "$work/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done

echo "CMake package"
if ! cmake -S "$source/tests/api/consume" -B "$work/cmake" -DCMAKE_C_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/cmake.log" 2>&1 ||
    ! cmake --build "$work/cmake" >>"$work/cmake.log" 2>&1; then
    cat "$work/cmake.log"
    exit 1
fi
"$work/cmake/with_shared"
"$work/cmake/with_static"
if ldd "$work/cmake/with_static" | grep -q libpubsub; then
    echo "with_static loads the shared library"
    exit 1
fi

echo "pkg-config"
pc=$(find "$work/prefix" -name pubsub.pc)
libdir=$(dirname "$(dirname "$pc")")
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
main=$source/tests/api/consume/main.c
# shellcheck disable=SC2046 # flags are several words
"$compiler" "$main" -o "$work/pc_shared" $(pkg-config --cflags --libs pubsub)
LD_LIBRARY_PATH=$libdir "$work/pc_shared"
# shellcheck disable=SC2046
"$compiler" "$main" -o "$work/pc_static" $(pkg-config --cflags pubsub) \
    "$libdir/libpubsub.a" $(pkg-config --static --libs-only-l pubsub | sed 's/-lpubsub//') -pthread
"$work/pc_static"

if [ -x "$work/prefix/bin/pubsub" ]; then
    echo "the installed command finds its library"
    "$work/prefix/bin/pubsub" version
fi
