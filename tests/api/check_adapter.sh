#!/bin/sh
# SPDX-License-Identifier: MIT
# check_adapter.sh BUILD SOURCE COMPILER: install into an empty directory, move it, build the example adapter
# against it, through the CMake package and through pkg-config, and run the installed suite on it. The suite
# has to notice when the adapter loses messages. Then the library's own modules: found in the moved tree, not
# loaded before they are used, and when one cannot be opened a text that says why.
set -eu
build=$1 source=$2 compiler=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/pubsub-adapter.XXXXXX")
trap 'rm -rf "$work"' EXIT
unset PUBSUB_ADAPTER_PATH

fail() {
    echo "$*"
    exit 1
}
# has TEXT PATTERN: the text contains it
has() {
    case $1 in
    *"$2"*) ;;
    *) fail "expected: $2
found: $1" ;;
    esac
}

cmake --install "$build" --prefix "$work/first" >"$work/install.log" 2>&1 || {
    cat "$work/install.log"
    exit 1
}
mv "$work/first" "$work/prefix"
bin=$work/prefix/bin
pc=$(find "$work/prefix" -name pubsub.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
export PKG_CONFIG_PATH
example=$source/examples/adapter-memory

echo "pkg-config"
mkdir "$work/by-hand"
# shellcheck disable=SC2046 # flags are several words
"$compiler" -shared -fPIC -fvisibility=hidden "$example/memory.c" "$example/bus.c" -o "$work/by-hand/memory.so" \
    $(pkg-config --cflags --libs pubsub) -pthread
has "$(PUBSUB_ADAPTER_PATH=$work/by-hand "$bin/pubsub" caps --offline memory:)" "in the memory of this process"
has "$("$bin/pubsub" caps --offline memory: 2>&1 || true)" "unknown scheme 'memory:'"

echo "CMake package"
if ! cmake -S "$example" -B "$work/cmake" -DCMAKE_C_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/cmake.log" 2>&1 ||
    ! cmake --build "$work/cmake" >>"$work/cmake.log" 2>&1 ||
    ! cmake --install "$work/cmake" >>"$work/cmake.log" 2>&1; then
    cat "$work/cmake.log"
    exit 1
fi
adapters=$(pkg-config --variable=adapterdir pubsub)
[ -f "$adapters/memory.so" ] || fail "the example was not installed into $adapters"
has "$("$bin/pubsub" caps --offline memory:)" "in the memory of this process"

echo "the suite"
suite() {
    "$bin/pubsub-conformance" --quirk inside "$@"
}
suite --json 'memory:{unique}' >"$work/good.json" 2>"$work/good.log" || {
    tail -40 "$work/good.log"
    fail "the example does not pass"
}
tail -1 "$work/good.json" | grep -q '"type":"end","failed":0' || fail "no end in the report"
if grep '"type":"feature"' "$work/good.json" | grep -v '"proof":"\(proven\|proven refused\|cannot be asked for yet\)"'; then
    fail "a feature was not proven"
fi
passed=$(grep -c '"result":"pass"' "$work/good.json")
[ "$passed" -gt 300 ] || fail "only $passed cases passed"
grep -q '"type":"left-out","suite":"faults"' "$work/good.json" || fail "what is left out is not said"
echo "$passed cases passed"

case='delivery.hundred_in_one_call*inline*'
suite --module "$work/by-hand/memory.so" --only "$case" 'memory:{unique}' >"$work/case.log" 2>&1 ||
    fail "$(cat "$work/case.log")"
grep -q 'OK.*hundred_in_one_call' "$work/case.log" || fail "the case did not run"
code=0
suite --only "$case" 'memory:{unique}?lose=50' >"$work/lost.log" 2>&1 || code=$?
[ "$code" -eq 1 ] || fail "two lost messages of a hundred: exit status $code, expected 1"
grep -q 'FAILED.*hundred_in_one_call' "$work/lost.log" || fail "$(cat "$work/lost.log")"
suite --list >"$work/list"
grep -q '^delivery.hundred_in_one_call$' "$work/list" || fail "--list does not name the case"
code=0
suite --only 'no_such_case*' 'memory:{unique}' >"$work/usage.log" 2>&1 || code=$?
[ "$code" -eq 2 ] || fail "a pattern that matches nothing: exit status $code, expected 2"
code=0
suite nosuchscheme: >"$work/usage.log" 2>&1 || code=$?
[ "$code" -eq 2 ] || fail "an unknown scheme: exit status $code, expected 2"

echo "the library's modules"
module=$adapters/mqtt.so
[ -f "$module" ] || { echo "mqtt is no module here"; exit 0; }
loads() {
    LD_DEBUG=files "$@" 2>&1 >"$work/said" | grep -c 'paho\|mqtt\.so' || true
}
[ "$(loads "$bin/pubsub" caps --offline mqtt://x)" -gt 0 ] || fail "the module is not seen when it is loaded"
for words in "--help" "version" "caps" "caps --offline local:x" "help --man pub"; do
    # shellcheck disable=SC2086 # several words
    [ "$(loads "$bin/pubsub" $words)" -eq 0 ] || fail "pubsub $words loads the mqtt module"
done
has "$("$bin/pubsub" caps)" "module, not loaded"
has "$("$bin/pubsub" version)" "mqtt (module, not loaded)"
refused() {
    has "$("$bin/pubsub" caps --offline mqtt://x 2>&1 || true)" "$1"
}
mv "$module" "$work/mqtt.so"
has "$("$bin/pubsub" caps)" "module, not found"
refused "needs the module mqtt.so, which is not installed"
has "$(PUBSUB_ADAPTER_PATH=$work "$bin/pubsub" caps --offline mqtt://x)" "qos2"
echo "text" >"$module"
refused "cannot load"
: >"$module"
refused "cannot load"
echo "int nothing(void); int nothing(void) { return 0; }" >"$work/nothing.c"
"$compiler" -shared -fPIC "$work/nothing.c" -o "$work/libpubsub-test-nothing.so"
"$compiler" -shared -fPIC "$work/nothing.c" -o "$module"
refused "exports no adapter"
"$compiler" -shared -fPIC -Wl,--no-as-needed "$work/nothing.c" "-L$work" -lpubsub-test-nothing -o "$module"
refused "libpaho-mqtt1.3"
cp "$work/by-hand/memory.so" "$module"
refused "it is the adapter 'memory', not 'mqtt'"
cp "$work/mqtt.so" "$module"
has "$("$bin/pubsub" caps --offline mqtt://x)" "qos2"
echo "refused with a reason, and found again"
