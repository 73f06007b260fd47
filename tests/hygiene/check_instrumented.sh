#!/bin/sh
# SPDX-License-Identifier: MIT
# check_instrumented.sh LIBRARY SANITIZERS: the library itself calls into each sanitizer's runtime.
set -eu
symbols=$(nm -D --undefined-only "$1")
for sanitizer in $(echo "$2" | tr ',' ' '); do
    case $sanitizer in
    address) wanted=__asan_init ;;
    undefined) wanted=__ubsan_handle ;;
    thread) wanted=__tsan_init ;;
    *) continue ;;
    esac
    if ! echo "$symbols" | grep -q "$wanted"; then
        echo "$1 does not call $wanted: it was built without $sanitizer"
        exit 1
    fi
done
echo "$1 is built with $2"
