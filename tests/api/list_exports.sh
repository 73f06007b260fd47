#!/bin/sh
# SPDX-License-Identifier: MIT
# list_exports.sh LIBRARY: the symbols a shared library defines for others, sorted.
set -eu
nm -D --defined-only "$1" | awk 'NF >= 3 { print $3 }' | LC_ALL=C sort -u
