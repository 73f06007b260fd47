/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include "base/alloc.h"

/* Each allocation fails once: the call says so, nothing leaks, and the bus still works. */

static pubsub_err use_everything(const bus *b)
{
    local_store *store = NULL;
    local_cursor *cursor = NULL;
    local_group *group = NULL;
    local_options options = {.dir = b->dir};
    pubsub_err rc = pubsub__local_open(&store, &options, &bus_error);
    if (rc == PUBSUB_OK) {
        const local_prop prop = {LOCAL_PROP_HEADER, bus_bytes("h"), bus_bytes("v")};
        local_record record = {.topic = bus_bytes("t"),
                               .payload = bus_bytes("x"),
                               .props = &prop,
                               .prop_count = 1,
                               .retain = true};
        rc = pubsub__local_append(store, &record, 1, NULL, NULL, &bus_error);
    }
    if (rc == PUBSUB_OK) {
        static const local_from from = {.kind = LOCAL_FROM_LAST};
        static const local_filter all = {false, 0, NULL, NULL};
        rc = pubsub__local_cursor_open(&cursor, store, &from, &all, &bus_error);
    }
    if (rc == PUBSUB_OK) {
        local_view view;
        local_gap gap;
        int next = pubsub__local_cursor_next(cursor, &view, &gap, &bus_error);
        rc = next < 0 ? (pubsub_err)next : PUBSUB_OK;
    }
    if (rc == PUBSUB_OK) {
        local_group_options join = {
            .name = "g", .flags = LOCAL_GROUP_KEYED, .from = {.kind = LOCAL_FROM_EARLIEST}};
        rc = pubsub__local_group_join(&group, store, &join, NULL, &bus_error);
    }
    if (rc == PUBSUB_OK) {
        local_claim got[4];
        local_claim_info info;
        int n = pubsub__local_group_claim(group, got, 4, SIZE_MAX, &info, &bus_error);
        rc = n < 0 ? (pubsub_err)n : PUBSUB_OK;
    }
    pubsub__local_group_leave(group);
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
    return rc;
}

static void test_alloc_every_failure_is_clean(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    (void)bus_fill(b.store, 1000, 3);
    bus_close(&b);
    bool passed = false;
    unsigned failures = 0;
    for (uint64_t nth = 1; nth < 200 && !passed; nth++) {
        int64_t alive = pubsub__alloc_live();
        uint64_t before = pubsub__alloc_count();
        pubsub__alloc_fail_at(nth);
        pubsub_err rc = use_everything(&b);
        uint64_t made = pubsub__alloc_count() - before;
        pubsub__alloc_fail_at(0);
        assert_int_equal(pubsub__alloc_live(), alive);
        passed = made < nth;
        if (passed) {
            assert_int_equal(rc, PUBSUB_OK);
        } else {
            failures += rc != PUBSUB_OK;
            assert_true(rc == PUBSUB_OK || rc == PUBSUB_ENOMEM);
        }
    }
    assert_true(passed);
    assert_true(failures > 5);
    bus_open(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    size_t gaps;
    assert_true(bus_count(cursor, &gaps) > 0);
    assert_int_equal(gaps, 0);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* A bus that opens, appends and reads in the steady state allocates nothing. */
static void test_alloc_none_in_the_steady_state(void **state)
{
    (void)state;
    bus b;
    bus_new_big(&b);
    bus_put_many(b.store, "t", "m", 0, 64);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_view view;
    bus_next(cursor, &view);
    uint64_t before = pubsub__alloc_count();
    bus_put_many(b.store, "t", "m", 64, 6400);
    assert_int_equal(bus_count(cursor, NULL), 64 + 6400 - 1);
    assert_int_equal(pubsub__alloc_count(), before);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc_every_failure_is_clean),
        cmocka_unit_test(test_alloc_none_in_the_steady_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
