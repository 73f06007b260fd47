/* SPDX-License-Identifier: MIT */
/* Any bytes as JSON: the checker and the walk never leave the bytes, and where the checker says that all
 * is well the walk, the pointer and the strings agree with it. The first line is a pointer. */
#include "fuzz/fuzz.h"

#include "json/slice.h"

#include <string.h>

static void look_at_string(pubsub_bytes value)
{
    pubsub__buf meaning;
    pubsub__buf quoted;
    pubsub__buf again;
    pubsub__buf_init(&meaning, SIZE_MAX / 4);
    pubsub__buf_init(&quoted, SIZE_MAX / 4);
    pubsub__buf_init(&again, SIZE_MAX / 4);
    FUZZ_CHECK(bridge_json_unescape(value, &meaning));
    FUZZ_CHECK(bridge_json_quote((pubsub_bytes){meaning.data, meaning.len}, &quoted) == 0);
    FUZZ_CHECK(bridge_json_check((pubsub_bytes){quoted.data, quoted.len}, NULL) == NULL);
    FUZZ_CHECK(bridge_json_unescape((pubsub_bytes){quoted.data, quoted.len}, &again));
    FUZZ_CHECK(again.len == meaning.len);
    FUZZ_CHECK(again.len == 0 || memcmp(again.data, meaning.data, again.len) == 0);
    pubsub__buf_fini(&meaning);
    pubsub__buf_fini(&quoted);
    pubsub__buf_fini(&again);
}

/* What the walk gives of a valid value is valid. Only the first level: the rest follows from it, and
 * going down would cost the square of the depth. */
static void look_at(pubsub_bytes value, bool valid)
{
    bridge_json_type type = bridge_json_type_of(value);
    bridge_json_walk walk = {0};
    if (valid && type == BRIDGE_JSON_STRING) {
        look_at_string(value);
    }
    while (bridge_json_next(&walk, value)) {
        const char *begin = value.data;
        const char *at = walk.value.data;
        FUZZ_CHECK(walk.value.len > 0 && at >= begin && at + walk.value.len <= begin + value.len);
        FUZZ_CHECK(!valid || bridge_json_check(walk.value, NULL) == NULL);
    }
    FUZZ_CHECK(!valid || !walk.broken || (type != BRIDGE_JSON_OBJECT && type != BRIDGE_JSON_ARRAY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    size_t head = line != NULL ? (size_t)(line - data) : 0;
    char pointer[64] = "";
    if (head < sizeof(pointer) && head > 0) {
        memcpy(pointer, data, head);
        data += head;
        size -= head;
    }
    /* A copy of exactly this size, so that one byte too far is seen. */
    uint8_t *copy = malloc(size > 0 ? size : 1);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    pubsub_bytes json = {copy, size};
    size_t offset = 0;
    const char *error = bridge_json_check(json, &offset);
    FUZZ_CHECK(offset <= size);
    look_at(json, error == NULL);
    pubsub_bytes found = bridge_json_pointer(json, pointer);
    FUZZ_CHECK(found.data == NULL || error != NULL || bridge_json_check(found, NULL) == NULL);
    (void)bridge_json_member(json, pointer);
    pubsub__buf out;
    uint64_t number = 0;
    pubsub__buf_init(&out, 1024);
    (void)bridge_json_unescape(json, &out);
    (void)bridge_json_quote(json, &out);
    (void)bridge_json_u64(json, &number);
    pubsub__buf_fini(&out);
    free(copy);
    return 0;
}
