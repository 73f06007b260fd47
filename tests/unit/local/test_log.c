/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"

static void test_log_append_and_read(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_cursor *live = bus_read(b.store, LOCAL_FROM_NEW);
    bus_expect_none(live);
    (void)bus_put(b.store, "a/b", "one");
    (void)bus_put(b.store, "c", "");
    bus_expect(live, "one");
    local_view view;
    bus_next(live, &view);
    assert_int_equal(view.payload.len, 0);
    assert_true(bus_is(view.topic, "c"));
    assert_int_equal(view.seq, 2);
    assert_int_equal(view.qos, 1);
    assert_null(view.key.data);
    bus_expect_none(live);
    pubsub__local_cursor_close(live);
    bus_close(&b);
    bus_open(&b);
    local_cursor *all = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(all, "one");
    bus_expect(all, "");
    bus_expect_none(all);
    pubsub__local_cursor_close(all);
    bus_free(&b);
}

static void test_log_keeps_every_property(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    const local_prop props[] = {{LOCAL_PROP_CONTENT_TYPE, {NULL, 0}, bus_bytes("text/plain")},
                                {LOCAL_PROP_HEADER, bus_bytes("h"), {"\0\1", 2}},
                                {LOCAL_PROP_HEADER, bus_bytes("h"), bus_bytes("again")}};
    uint64_t now = pubsub__clock_wall_ns();
    local_record record = {.topic = bus_bytes("\xc3\xa9/my topic"),
                           .key = {"\0key", 4},
                           .payload = {"\0\xff\n", 3},
                           .props = props,
                           .prop_count = 3,
                           .expiry_ns = now + 60 * UINT64_C(1000000000),
                           .tombstone = true};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_view view;
    bus_next(cursor, &view);
    assert_true(bus_is(view.topic, "\xc3\xa9/my topic"));
    assert_int_equal(view.key.len, 4);
    assert_memory_equal(view.key.data, "\0key", 4);
    assert_int_equal(view.payload.len, 3);
    assert_memory_equal(view.payload.data, "\0\xff\n", 3);
    assert_int_equal(view.header_count, 2);
    assert_int_equal(view.flags, LOCAL_FLAG_TOMBSTONE);
    assert_int_equal(view.qos, 0);
    assert_true(view.ts_ns >= now);
    assert_int_equal(view.expiry_ns, record.expiry_ns);
    assert_int_equal(view.position.offset, record.offset);
    assert_int_equal(view.next.offset, record.end);
    local_prop prop;
    assert_int_equal(pubsub__local_props_next(&view.props, &prop), 1);
    assert_int_equal(prop.kind, LOCAL_PROP_CONTENT_TYPE);
    assert_int_equal(pubsub__local_props_next(&view.props, &prop), 1);
    assert_memory_equal(prop.value.data, "\0\1", 2);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* An encoded blob goes through unchanged; a key may be empty, which is not "no key". */
static void test_log_blob_and_empty_key(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    const local_prop prop = {LOCAL_PROP_HEADER, bus_bytes("n"), bus_bytes("v")};
    uint8_t blob[32];
    size_t len = pubsub__local_props_encode(&prop, 1, blob);
    local_record record = {.topic = bus_bytes("t"), .key = {"", 0}, .props_blob = {blob, len}};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_view view;
    bus_next(cursor, &view);
    assert_non_null(view.key.data);
    assert_int_equal(view.key.len, 0);
    assert_int_equal(view.header_count, 1);
    assert_int_equal(view.props.len, len);
    assert_memory_equal(view.props.data, blob, len);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_log_many_sizes(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    static const size_t sizes[] = {0,   1,   7,    8,    9,     15,    16,    255,
                                   256, 257, 4095, 4096, 10000, 40000, 60000, 64000};
    enum { COUNT = sizeof(sizes) / sizeof(sizes[0]) };
    uint8_t *payload = malloc(65536);
    assert_non_null(payload);
    for (size_t i = 0; i < COUNT; i++) {
        memset(payload, (int)(i + 1), sizes[i]);
        local_record record = {.topic = bus_bytes("s"), .payload = {payload, sizes[i]}};
        BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    }
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    for (size_t i = 0; i < COUNT; i++) {
        local_view view;
        bus_next(cursor, &view);
        assert_int_equal(view.payload.len, sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++) {
            assert_int_equal(((const uint8_t *)view.payload.data)[at], i + 1);
        }
    }
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    free(payload);
    bus_free(&b);
}

static void test_log_the_largest_and_one_more(void **state)
{
    (void)state;
    bus b;
    bus_new_big(&b);
    uint64_t max = pubsub__local_max_payload(b.store);
    assert_int_equal(max, LOCAL_MAX_PAYLOAD_DEFAULT);
    uint8_t *payload = calloc(1, max + 2048);
    assert_non_null(payload);
    payload[max - 1] = 9;
    char topic[LOCAL_TOPIC_MAX];
    memset(topic, 't', sizeof(topic));
    local_record records[2] = {{.topic = {topic, sizeof(topic)}, .payload = {payload, max}},
                               {.topic = bus_bytes("t"), .payload = {payload, max + 2048}}};
    size_t stored = 9;
    assert_int_equal(pubsub__local_append(b.store, records, 2, &stored, NULL, &bus_error),
                     PUBSUB_ETOOBIG);
    assert_int_equal(stored, 0);
    BUS_OK(pubsub__local_append(b.store, records, 1, &stored, NULL, &bus_error));
    assert_int_equal(stored, 1);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_view view;
    bus_next(cursor, &view);
    assert_int_equal(view.payload.len, max);
    assert_int_equal(((const uint8_t *)view.payload.data)[max - 1], 9);
    pubsub__local_cursor_close(cursor);
    free(payload);
    bus_free(&b);
}

static void test_log_refuses_bad_records(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char topic[LOCAL_TOPIC_MAX + 1];
    memset(topic, 't', sizeof(topic));
    const struct {
        local_record record;
        pubsub_err rc;
    } cases[] = {{{.topic = {"", 0}}, PUBSUB_ETOPIC},
                 {{.topic = {topic, sizeof(topic)}}, PUBSUB_ETOPIC},
                 {{.topic = bus_bytes("t"), .key = {"", LOCAL_KEY_MAX + 1}}, PUBSUB_ETOOBIG},
                 {{.topic = bus_bytes("t"), .payload = {"", SIZE_MAX}}, PUBSUB_ETOOBIG},
                 {{.topic = bus_bytes("t"), .props_blob = {"", SIZE_MAX}}, PUBSUB_ETOOBIG}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        local_record record = cases[i].record;
        assert_int_equal(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error),
                         cases[i].rc);
    }
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_log_batch_over_several_segments(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    enum { COUNT = 3000 };
    local_record *records = calloc(COUNT, sizeof(*records));
    char(*texts)[16] = calloc(COUNT, sizeof(*texts));
    assert_non_null(records);
    assert_non_null(texts);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "m%u", i);
        records[i].topic = bus_bytes("t");
        records[i].payload = bus_bytes(texts[i]);
    }
    size_t stored;
    local_position end;
    BUS_OK(pubsub__local_append(b.store, records, COUNT, &stored, &end, &bus_error));
    assert_int_equal(stored, COUNT);
    assert_int_equal(records[COUNT - 1].seq, COUNT);
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_true(info.segments >= 3);
    assert_int_equal(info.tail.offset, end.offset);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    for (unsigned i = 0; i < COUNT; i++) {
        bus_expect(cursor, texts[i]);
    }
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    /* Every position of a record starts there, every end behind it. */
    for (unsigned i = 0; i < COUNT; i += 97) {
        cursor = bus_read_at(b.store, (local_position){1, records[i].offset});
        bus_expect(cursor, texts[i]);
        pubsub__local_cursor_close(cursor);
        cursor = bus_read_at(b.store, (local_position){1, records[i].end});
        if (i + 1 < COUNT) {
            bus_expect(cursor, texts[i + 1]);
        }
        pubsub__local_cursor_close(cursor);
    }
    free(texts);
    free(records);
    bus_free(&b);
}

static void test_log_position_that_never_was(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    (void)bus_put(b.store, "t", "one");
    local_position end = bus_put(b.store, "t", "two");
    const local_position cases[] = {
        {1, end.offset + 8}, {2, 64}, {1, 72}, {1, 64 + 8}, {0, 64}, {1, 65}, {1, 1u << 30}};
    static const local_filter all = {false, 0, NULL, NULL};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        local_from from = {.kind = LOCAL_FROM_POSITION, .position = cases[i]};
        local_cursor *cursor;
        assert_int_equal(pubsub__local_cursor_open(&cursor, b.store, &from, &all, &bus_error),
                         PUBSUB_EINVAL);
    }
    bus_free(&b);
}

static void test_log_from_time(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char text[16];
    for (unsigned i = 0; i < 3000; i++) { /* several segments, one message a second */
        pubsub__local_hooks.wall_offset_ns = i * UINT64_C(1000000000);
        (void)snprintf(text, sizeof(text), "m%u", i);
        (void)bus_put(b.store, "t", text);
    }
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    uint64_t *times = calloc(3000, sizeof(*times));
    assert_non_null(times);
    for (unsigned i = 0; i < 3000; i++) {
        local_view view;
        bus_next(cursor, &view);
        times[i] = view.ts_ns;
    }
    pubsub__local_cursor_close(cursor);
    static const local_filter all = {false, 0, NULL, NULL};
    for (unsigned i = 0; i < 3000; i += 271) {
        local_from from = {.kind = LOCAL_FROM_TIME, .time_ns = times[i]};
        BUS_OK(pubsub__local_cursor_open(&cursor, b.store, &from, &all, &bus_error));
        (void)snprintf(text, sizeof(text), "m%u", i);
        bus_expect(cursor, text);
        pubsub__local_cursor_close(cursor);
    }
    local_from late = {.kind = LOCAL_FROM_TIME, .time_ns = times[2999] + 1};
    BUS_OK(pubsub__local_cursor_open(&cursor, b.store, &late, &all, &bus_error));
    bus_expect_none(cursor);
    (void)bus_put(b.store, "t", "new");
    bus_expect(cursor, "new");
    pubsub__local_cursor_close(cursor);
    free(times);
    bus_free(&b);
}

static bool ends_with_x(void *ctx, const char *topic, size_t len)
{
    ++*(unsigned *)ctx;
    return len > 0 && topic[len - 1] == 'x';
}

static void test_log_filters(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    unsigned calls = 0;
    static const local_from earliest = {.kind = LOCAL_FROM_EARLIEST};
    for (unsigned i = 0; i < 100; i++) {
        (void)bus_put(b.store, i % 2 == 0 ? "a/x" : "a/y", i % 2 == 0 ? "even" : "odd");
    }
    local_filter filter = {false, 0, ends_with_x, &calls};
    local_cursor *cursor;
    BUS_OK(pubsub__local_cursor_open(&cursor, b.store, &earliest, &filter, &bus_error));
    assert_int_equal(bus_count(cursor, NULL), 50);
    assert_int_equal(calls, 100);
    pubsub__local_cursor_close(cursor);
    calls = 0;
    filter.exact = true;
    filter.topic_hash = pubsub__local_topic_hash("a/x", 3);
    BUS_OK(pubsub__local_cursor_open(&cursor, b.store, &earliest, &filter, &bus_error));
    assert_int_equal(bus_count(cursor, NULL), 50);
    assert_int_equal(calls, 50);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_log_expiry(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    uint64_t now = pubsub__clock_wall_ns();
    local_record records[3] = {
        {.topic = bus_bytes("t"), .payload = bus_bytes("old"), .expiry_ns = now - 1},
        {.topic = bus_bytes("t"),
         .payload = bus_bytes("soon"),
         .expiry_ns = now + 3600 * UINT64_C(1000000000)},
        {.topic = bus_bytes("t"), .payload = bus_bytes("never")}};
    BUS_OK(pubsub__local_append(b.store, records, 3, NULL, NULL, &bus_error));
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "soon");
    bus_expect(cursor, "never");
    assert_int_equal(pubsub__local_cursor_expired(cursor), 1);
    pubsub__local_cursor_close(cursor);
    pubsub__local_hooks.wall_offset_ns = 7200 * UINT64_C(1000000000);
    cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "never");
    assert_int_equal(pubsub__local_cursor_expired(cursor), 2);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_log_two_handles_see_each_other(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_store *other = bus_again(&b);
    local_cursor *here = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_cursor *there = bus_read(other, LOCAL_FROM_EARLIEST);
    char text[16];
    for (unsigned i = 0; i < 4000; i++) { /* both roll segments under each other */
        (void)snprintf(text, sizeof(text), "m%u", i);
        (void)bus_put(i % 2 == 0 ? b.store : other, "t", text);
        bus_expect(here, text);
        bus_expect(there, text);
    }
    pubsub__local_cursor_close(here);
    pubsub__local_cursor_close(there);
    pubsub__local_close(other);
    bus_free(&b);
}

static unsigned syncs;

static int count_sync(int fd)
{
    (void)fd;
    syncs++;
    return 0;
}

static void test_log_sync_is_shared(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    pubsub__local_hooks.fdatasync_fn = count_sync;
    local_store *other = bus_again(&b);
    local_position first = bus_put(b.store, "t", "one");
    local_position second = bus_put(other, "t", "two");
    syncs = 0;
    BUS_OK(pubsub__local_sync(b.store, first, &bus_error));
    assert_int_equal(syncs, 1);
    BUS_OK(pubsub__local_sync(other, second, &bus_error)); /* was flushed with the first */
    assert_int_equal(syncs, 1);
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_int_equal(info.synced.offset, second.offset);
    unsigned before = bus_fill(b.store, 1000, 2);
    assert_true(before > 0);
    syncs = 0;
    BUS_OK(pubsub__local_sync(b.store, bus_put(b.store, "t", "three"), &bus_error));
    assert_int_equal(syncs, 3); /* every segment since */
    pubsub__local_close(other);
    bus_free(&b);
}

static void test_log_info(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.bytes, 65536);
    assert_int_equal(info.first.offset, info.tail.offset);
    assert_int_equal(info.next_seq, 1);
    assert_int_equal(info.max_bytes, 4u << 20);
    assert_int_equal(info.max_record, 65536 - 1024);
    assert_int_equal(info.max_age_s, 7 * 24 * 3600);
    assert_int_equal(info.full, LOCAL_FULL_DROP);
    assert_false(info.failed);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_append_and_read),
        cmocka_unit_test(test_log_keeps_every_property),
        cmocka_unit_test(test_log_blob_and_empty_key),
        cmocka_unit_test(test_log_many_sizes),
        cmocka_unit_test(test_log_the_largest_and_one_more),
        cmocka_unit_test(test_log_refuses_bad_records),
        cmocka_unit_test(test_log_batch_over_several_segments),
        cmocka_unit_test(test_log_position_that_never_was),
        cmocka_unit_test(test_log_from_time),
        cmocka_unit_test(test_log_filters),
        cmocka_unit_test(test_log_expiry),
        cmocka_unit_test(test_log_two_handles_see_each_other),
        cmocka_unit_test(test_log_sync_is_shared),
        cmocka_unit_test(test_log_info),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
