#!/bin/sh
# SPDX-License-Identifier: MIT
# check_headers.sh c11|cxx17 COMPILER INCLUDE_DIRECTORY: each public header compiles alone, twice in
# one file, without a warning. In C++ it is also seen that C linkage is declared.
set -eu
language=$1 compiler=$2 include=$3
case $language in
c11) flags='-xc -std=c11' ;;
cxx17) flags='-xc++ -std=c++17' ;;
*) exit 2 ;;
esac
check() {
    # shellcheck disable=SC2086 # several flags in one word
    "$compiler" $flags -Wall -Wextra -pedantic -Werror -Wundef -fsyntax-only -I"$include" -
}
if [ "$language" = cxx17 ] && ! echo 'int main() { return 0; }' | check 2>/dev/null; then
    echo "$compiler cannot compile C++ here"
    exit 77
fi
count=0 failed=0
for path in "$include"/pubsub/*.h "$include"/pubsub/spi/*.h; do
    header=${path#"$include"/}
    count=$((count + 1))
    if ! printf '#include <%s>\n#include <%s>\nint unit(void);\n' "$header" "$header" | check; then
        echo "<$header> does not stand alone as $language"
        failed=1
    fi
    if ! grep -q 'extern "C"' "$path" && grep -q '^PUBSUB_API' "$path"; then
        echo "<$header> declares functions without extern \"C\""
        failed=1
    fi
done
[ "$count" -gt 5 ] || failed=1
echo "$count headers"
exit $failed
