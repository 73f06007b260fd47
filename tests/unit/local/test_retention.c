/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include <stdio.h>

static void test_retention_by_size_drops_the_oldest(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_cursor *behind = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_position first = bus_put(b.store, "t", "first");
    bus_expect(behind, "first");                    /* maps the first segment */
    unsigned filled = bus_fill(b.store, 8000, 100); /* 6.4 MB into 4 MiB */
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_true(info.bytes <= info.max_bytes);
    assert_true(info.segments < 70);
    assert_true(info.first.offset > first.offset);
    /* A reader left behind reads on in what it has mapped, then is told what is gone. */
    size_t gaps;
    size_t read = bus_count(behind, &gaps);
    assert_int_equal(gaps, 1);
    assert_true(read < filled);
    pubsub__local_cursor_close(behind);
    local_cursor *at = bus_read_at(b.store, first);
    local_gap gap;
    bus_expect_gap(at, LOCAL_GAP_RETENTION, &gap);
    assert_int_equal(gap.to.offset, info.first.offset);
    assert_true(bus_count(at, &gaps) > 0);
    assert_int_equal(gaps, 0);
    pubsub__local_cursor_close(at);
    bus_free(&b);
}

/* The numbers of a gap add up to what was written. */
static void test_retention_gap_names_what_is_missing(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    (void)bus_put(b.store, "t", "first");
    local_cursor *behind = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(behind, "first");
    unsigned filled = bus_fill(b.store, 8000, 100);
    unsigned read = 0;
    uint64_t missed = 0;
    for (;;) {
        local_view view;
        local_gap gap;
        int rc = pubsub__local_cursor_next(behind, &view, &gap, &bus_error);
        if (rc == LOCAL_NEXT_EMPTY) {
            break;
        }
        if (rc == LOCAL_NEXT_GAP) {
            assert_int_equal(gap.reason, LOCAL_GAP_RETENTION);
            assert_int_equal(gap.from_seq, read + 2);
            missed += gap.to_seq - gap.from_seq + 1;
        } else {
            assert_int_equal(rc, LOCAL_NEXT_RECORD);
            read++;
            assert_int_equal(view.seq, 1 + missed + read);
        }
    }
    assert_int_equal(read + missed, filled);
    pubsub__local_cursor_close(behind);
    bus_free(&b);
}

static void test_retention_reject_is_back_pressure(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    b.options.full = LOCAL_FULL_REJECT;
    bus_open(&b);
    char payload[8000] = {0};
    local_record record = {.topic = bus_bytes("t"), .payload = {payload, sizeof(payload)}};
    pubsub_err rc = PUBSUB_OK;
    unsigned stored = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    while (rc == PUBSUB_OK && stored < 1000) {
        rc = pubsub__local_append(b.store, &record, 1, NULL, NULL, &err);
        stored += rc == PUBSUB_OK;
    }
    assert_int_equal(rc, PUBSUB_EFULL);
    assert_non_null(strstr(err.text, b.dir));
    assert_true(stored > 400);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    size_t gaps;
    assert_int_equal(bus_count(cursor, &gaps), stored);
    assert_int_equal(gaps, 0);
    pubsub__local_cursor_close(cursor);
    /* A durable name that has consumed it makes room. */
    local_group_options options = {.name = "spool",
                                   .flags = LOCAL_GROUP_DURABLE | LOCAL_GROUP_SINGLE,
                                   .from = {.kind = LOCAL_FROM_EARLIEST}};
    local_group *group;
    BUS_OK(pubsub__local_group_join(&group, b.store, &options, NULL, &bus_error));
    assert_int_equal(pubsub__local_append(b.store, &record, 1, NULL, NULL, &err), PUBSUB_EFULL);
    local_claim claims[64];
    local_claim_info info;
    unsigned consumed = 0;
    for (int n; (n = pubsub__local_group_claim(group, claims, 64, SIZE_MAX, &info, &err)) > 0;) {
        uint64_t leases[64];
        for (int i = 0; i < n; i++) {
            leases[i] = claims[i].lease;
        }
        BUS_OK(pubsub__local_group_ack(group, leases, (size_t)n, NULL, &bus_error));
        consumed += (unsigned)n;
    }
    assert_int_equal(consumed, stored);
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    pubsub__local_group_leave(group);
    bus_free(&b);
}

static void test_retention_by_age(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    b.options.max_age_s = 800;
    bus_open(&b);
    (void)bus_put(b.store, "t", "old");
    pubsub__local_hooks.wall_offset_ns = 200 * UINT64_C(1000000000);
    (void)bus_put(b.store, "t", "younger"); /* rolls: older than an eighth of the limit */
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_int_equal(info.segments, 2);
    pubsub__local_hooks.wall_offset_ns = 900 * UINT64_C(1000000000);
    BUS_OK(pubsub__local_gc(b.store, &bus_error));
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "old"); /* its segment got its last record at 200 s */
    pubsub__local_cursor_close(cursor);
    pubsub__local_hooks.wall_offset_ns = 1100 * UINT64_C(1000000000);
    BUS_OK(pubsub__local_gc(b.store, &bus_error));
    cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "younger"); /* never the active one */
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* Age does not take from a durable group what it has not consumed. */
static void test_retention_by_age_spares_durable_groups(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    b.options.max_age_s = 800;
    bus_open(&b);
    local_group_options options = {.name = "g", .flags = LOCAL_GROUP_DURABLE};
    local_group *group;
    BUS_OK(pubsub__local_group_join(&group, b.store, &options, NULL, &bus_error));
    (void)bus_put(b.store, "t", "kept");
    pubsub__local_hooks.wall_offset_ns = 200 * UINT64_C(1000000000);
    (void)bus_put(b.store, "t", "more");
    pubsub__local_hooks.wall_offset_ns = 5000 * UINT64_C(1000000000);
    BUS_OK(pubsub__local_gc(b.store, &bus_error));
    local_claim claims[8];
    local_claim_info info;
    assert_int_equal(pubsub__local_group_claim(group, claims, 1, SIZE_MAX, &info, &bus_error), 1);
    assert_true(bus_is(claims[0].view.payload, "kept"));
    BUS_OK(pubsub__local_group_ack(group, &claims[0].lease, 1, NULL, &bus_error));
    assert_int_equal(pubsub__local_group_claim(group, claims, 1, SIZE_MAX, &info, &bus_error), 1);
    BUS_OK(pubsub__local_gc(b.store, &bus_error));
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "more");
    pubsub__local_cursor_close(cursor);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retention_by_size_drops_the_oldest),
        cmocka_unit_test(test_retention_gap_names_what_is_missing),
        cmocka_unit_test(test_retention_reject_is_back_pressure),
        cmocka_unit_test(test_retention_by_age),
        cmocka_unit_test(test_retention_by_age_spares_durable_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
