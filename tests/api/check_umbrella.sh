#!/bin/sh
# SPDX-License-Identifier: MIT
# check_umbrella.sh INCLUDE_DIRECTORY: <pubsub/pubsub.h> includes every public header.
set -eu
failed=0
for path in "$1"/pubsub/*.h; do
    header=${path#"$1"/}
    if [ "$header" != pubsub/pubsub.h ] && ! grep -q "#include <$header>" "$1/pubsub/pubsub.h"; then
        echo "<pubsub/pubsub.h> does not include <$header>"
        failed=1
    fi
done
exit $failed
