/* SPDX-License-Identifier: MIT */
#include "fuzz/fuzz.h"

#include "local/record.h"
#include "local/store.h"

#include <string.h>

/* The bytes of a log, of a property list and of a position, as recovery and readers take them. Whatever
 * they are, every slice lies inside and every loop ends. */

static void inside(const uint8_t *data, size_t size, pubsub_bytes bytes)
{
    const uint8_t *p = bytes.data;
    FUZZ_CHECK(bytes.len == 0 || (p >= data && bytes.len <= size - (size_t)(p - data)));
}

static void walk_props(pubsub_bytes blob)
{
    const uint8_t *data = blob.data;
    size_t size = blob.len, steps = 0;
    local_prop prop;
    while (pubsub__local_props_next(&blob, &prop) == 1) {
        inside(data, size, prop.name);
        inside(data, size, prop.value);
        FUZZ_CHECK(++steps <= size / 8);
    }
}

static void walk_records(const uint8_t *data, size_t size)
{
    local_expect expect = {0, 1, 1, UINT32_MAX};
    local_raw raw;
    size_t at = 0;
    while (at < size) {
        local_scan parsed = pubsub__local_record_parse(data + at, size - at, &raw);
        if (parsed == LOCAL_SCAN_RECORD) {
            FUZZ_CHECK(raw.size <= size - at && raw.size % REC_ALIGN == 0);
            inside(data + at, raw.size, raw.topic);
            inside(data + at, raw.size, raw.key);
            inside(data + at, raw.size, raw.props);
            inside(data + at, raw.size, raw.payload);
            FUZZ_CHECK(raw.topic.len > 0);
            walk_props(raw.props);
        }
        if (pubsub__local_record_scan(data + at, size - at, &expect, &raw) != LOCAL_SCAN_RECORD) {
            break;
        }
        expect.seq_min = raw.seq + 1;
        at += raw.size;
    }
    if (at < size) {
        size_t next = pubsub__local_record_resync(data, size, at & ~(size_t)7, &expect);
        FUZZ_CHECK(next <= size);
        FUZZ_CHECK(next == size || pubsub__local_record_scan(data + next, size - next, &expect,
                                                             &raw) == LOCAL_SCAN_RECORD);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t uuid[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    /* Exactly as long as the input, so that a sanitizer sees a read behind it; and aligned, as the
     * mapping of a file is. */
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        return 0;
    }
    if (size > 0) {
        memcpy(copy, data, size);
    }
    walk_records(copy, size);
    walk_props((pubsub_bytes){copy, size});
    if (size >= SEG_HEAD) {
        local_seg_head head;
        if (pubsub__local_seg_head_decode(copy, local_get64(copy + 16), uuid, &head)) {
            FUZZ_CHECK(head.size >= SEG_MIN_BYTES && head.size <= SEG_MAX_BYTES);
        }
    }
    local_position position;
    if (pubsub__local_position_parse((const char *)copy, size, &position)) {
        char text[LOCAL_POSITION_TEXT];
        FUZZ_CHECK(pubsub__local_position_format(position, text) == size);
        FUZZ_CHECK(memcmp(text, copy, size) == 0);
    }
    free(copy);
    return 0;
}
