/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include <stdio.h>

#include "base/clock.h"

static void put_retained(local_store *store, const char *topic, const char *text)
{
    local_record record = {
        .topic = bus_bytes(topic), .payload = bus_bytes(text), .qos = 1, .retain = true};
    BUS_OK(pubsub__local_append(store, &record, 1, NULL, NULL, &bus_error));
}

/* The next must be this stored value. */
static void expect_stored(local_cursor *cursor, const char *topic, const char *text)
{
    local_view view;
    bus_next(cursor, &view);
    assert_true(bus_is(view.topic, topic));
    assert_true(bus_is(view.payload, text));
    assert_true((view.flags & LOCAL_FLAG_STORED) != 0);
    assert_true((view.flags & LOCAL_FLAG_RETAIN) != 0);
}

static void test_retained_newest_of_each_topic(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    put_retained(b.store, "a", "a1");
    put_retained(b.store, "b", "b1");
    (void)bus_put(b.store, "a", "not retained");
    put_retained(b.store, "a", "a2");
    put_retained(b.store, "c", "c1");
    put_retained(b.store, "c", ""); /* clears it */
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
    (void)bus_put(b.store, "a", "live");
    expect_stored(cursor, "b", "b1");
    expect_stored(cursor, "a", "a2");
    local_view view;
    bus_next(cursor, &view);
    assert_true(bus_is(view.payload, "live"));
    assert_int_equal(view.flags, 0);
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_retained_live_readers_get_it_as_usual(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST); /* nothing stored yet */
    bus_expect_none(cursor);
    put_retained(b.store, "a", "v");
    put_retained(b.store, "a", "");
    local_view view;
    bus_next(cursor, &view);
    assert_int_equal(view.flags, LOCAL_FLAG_RETAIN);
    bus_next(cursor, &view);
    assert_int_equal(view.payload.len, 0);
    assert_int_equal(view.flags, LOCAL_FLAG_RETAIN);
    pubsub__local_cursor_close(cursor);
    cursor = bus_read(b.store, LOCAL_FROM_LAST);
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* The position of a stored value is that of the original: reading there gives it, and on. */
static void test_retained_positions_are_the_originals(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    (void)bus_put(b.store, "x", "before");
    const local_prop prop = {LOCAL_PROP_HEADER, bus_bytes("h"), bus_bytes("v")};
    local_record record = {.topic = bus_bytes("a"),
                           .payload = bus_bytes("value"),
                           .key = bus_bytes("k"),
                           .props = &prop,
                           .prop_count = 1,
                           .expiry_ns = pubsub__clock_wall_ns() + UINT64_C(60000000000),
                           .retain = true};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    (void)bus_put(b.store, "x", "after");
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
    local_view view;
    bus_next(cursor, &view);
    assert_int_equal(view.seq, record.seq);
    assert_int_equal(view.position.offset, record.offset);
    assert_int_equal(view.next.offset, record.end);
    assert_int_equal(view.header_count, 1);
    assert_true(bus_is(view.key, "k"));
    local_cursor *at = bus_read_at(b.store, view.position);
    bus_expect(at, "value");
    pubsub__local_cursor_close(at);
    at = bus_read_at(b.store, view.next);
    bus_expect(at, "after");
    pubsub__local_cursor_close(at);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static bool only_b(void *ctx, const char *topic, size_t len)
{
    (void)ctx;
    return len > 0 && topic[0] == 'b';
}

static void test_retained_filter(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char topic[16];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(topic, sizeof(topic), "%c%u", i % 2 == 0 ? 'a' : 'b', i % 20);
        put_retained(b.store, topic, "v");
    }
    static const local_from last = {.kind = LOCAL_FROM_LAST};
    static const local_filter filter = {false, 0, only_b, NULL};
    local_cursor *cursor;
    BUS_OK(pubsub__local_cursor_open(&cursor, b.store, &last, &filter, &bus_error));
    assert_int_equal(bus_count(cursor, NULL), 10);
    pubsub__local_cursor_close(cursor);
    local_filter exact = {true, pubsub__local_topic_hash("a4", 2), NULL, NULL};
    BUS_OK(pubsub__local_cursor_open(&cursor, b.store, &last, &exact, &bus_error));
    expect_stored(cursor, "a4", "v");
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_retained_expiry(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_record record = {.topic = bus_bytes("a"),
                           .payload = bus_bytes("v"),
                           .expiry_ns = pubsub__clock_wall_ns() + UINT64_C(60000000000),
                           .retain = true};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
    expect_stored(cursor, "a", "v");
    pubsub__local_cursor_close(cursor);
    pubsub__local_hooks.wall_offset_ns = UINT64_C(120000000000);
    cursor = bus_read(b.store, LOCAL_FROM_LAST);
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* Much more is written than the file holds; the newest of each topic survive, also a restart. */
static void test_retained_compaction(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    static char payload[30000];
    char topic[16];
    enum { TOPICS = 7, ROUNDS = 120 }; /* 25 MB into 8 MiB */
    for (unsigned i = 0; i < TOPICS * ROUNDS; i++) {
        (void)snprintf(topic, sizeof(topic), "t%u", i % TOPICS);
        payload[0] = (char)('A' + i % 26);
        local_record record = {
            .topic = bus_bytes(topic), .payload = {payload, sizeof(payload)}, .retain = true};
        BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    }
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_true(info.retained_bytes < 9u << 20);
    for (unsigned restart = 0; restart < 2; restart++) {
        local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
        for (unsigned i = TOPICS * (ROUNDS - 1); i < TOPICS * ROUNDS; i++) {
            local_view view;
            bus_next(cursor, &view);
            (void)snprintf(topic, sizeof(topic), "t%u", i % TOPICS);
            assert_true(bus_is(view.topic, topic));
            assert_int_equal(((const char *)view.payload.data)[0], 'A' + i % 26);
        }
        bus_expect_none(cursor);
        pubsub__local_cursor_close(cursor);
        bus_reboot(&b);
    }
    bus_free(&b);
}

static void test_retained_mixed_batch(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_record records[4] = {
        {.topic = bus_bytes("a"), .payload = bus_bytes("1"), .retain = true},
        {.topic = bus_bytes("b"), .payload = bus_bytes("2")},
        {.topic = bus_bytes("c"), .payload = bus_bytes("3"), .retain = true},
        {.topic = bus_bytes("a"), .payload = bus_bytes("4"), .retain = true}};
    BUS_OK(pubsub__local_append(b.store, records, 4, NULL, NULL, &bus_error));
    local_store *other = bus_again(&b);
    local_cursor *cursor = bus_read(other, LOCAL_FROM_LAST);
    expect_stored(cursor, "c", "3");
    expect_stored(cursor, "a", "4");
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    cursor = bus_read(other, LOCAL_FROM_EARLIEST);
    assert_int_equal(bus_count(cursor, NULL), 4);
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(other);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retained_newest_of_each_topic),
        cmocka_unit_test(test_retained_live_readers_get_it_as_usual),
        cmocka_unit_test(test_retained_positions_are_the_originals),
        cmocka_unit_test(test_retained_filter),
        cmocka_unit_test(test_retained_expiry),
        cmocka_unit_test(test_retained_compaction),
        cmocka_unit_test(test_retained_mixed_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
