#!/bin/sh
# SPDX-License-Identifier: MIT
# check_docs.sh DOCGEN PAGE FILE: the committed page equals what the program writes now.
set -eu
if "$1" "$2" | diff -u "$3" -; then
    echo "$3 is current"
else
    echo "$3 is not what the library says: run scripts/update-docs"
    exit 1
fi
