/* SPDX-License-Identifier: MIT */
#include "bench_track.h"

#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void add_range(bench_track *track, uint64_t from, uint64_t end)
{
    for (uint64_t at = from; at < end; at++) {
        assert_int_equal(bench_track_add(track, at), BENCH_TRACK_NEW);
    }
}

static void test_track_in_order_nothing_is_missing(void **state)
{
    (void)state;
    bench_track track;
    bench_track_init(&track);
    add_range(&track, 0, 200000);
    assert_true(track.unique == 200000);
    assert_true(track.duplicates == 0 && track.reordered == 0 && track.max_displaced == 0);
    assert_true(bench_track_missing(&track, 200000) == 0);
    assert_true(bench_track_missing(&track, 200005) == 5);
    bench_track_fini(&track);
}

static void test_track_counts_losses_exactly(void **state)
{
    (void)state;
    bench_track track;
    bench_track_init(&track);
    for (uint64_t at = 0; at < 300000; at++) {
        if (at % 1000 != 999) {
            assert_int_equal(bench_track_add(&track, at), BENCH_TRACK_NEW);
        }
    }
    assert_true(bench_track_missing(&track, 300000) == 300);
    assert_true(bench_track_missing(&track, 1000) == 1);
    assert_true(bench_track_missing(&track, 999) == 0);
    assert_false(bench_track_has(&track, 999));
    assert_true(bench_track_has(&track, 998));
    assert_true(track.reordered == 0);
    bench_track_fini(&track);
}

static void test_track_counts_duplicates_also_of_full_blocks(void **state)
{
    (void)state;
    bench_track track;
    bench_track_init(&track);
    add_range(&track, 0, 70000);
    assert_int_equal(bench_track_add(&track, 5), BENCH_TRACK_DUPLICATE);
    assert_int_equal(bench_track_add(&track, 65535), BENCH_TRACK_DUPLICATE);
    assert_int_equal(bench_track_add(&track, 69999), BENCH_TRACK_DUPLICATE);
    assert_true(track.duplicates == 3 && track.unique == 70000);
    assert_true(track.reordered == 0);
    bench_track_fini(&track);
}

/* 0 1 2 | 7 | 3 4 5 6 | 8: four came after a higher one, the first of them 4 behind. */
static void test_track_counts_reordering(void **state)
{
    (void)state;
    bench_track track;
    bench_track_init(&track);
    add_range(&track, 0, 3);
    add_range(&track, 7, 8);
    add_range(&track, 3, 7);
    add_range(&track, 8, 9);
    assert_true(track.reordered == 4);
    assert_true(track.max_displaced == 4);
    assert_true(bench_track_missing(&track, 9) == 0);
    bench_track_fini(&track);
}

static void test_track_gives_full_blocks_back(void **state)
{
    (void)state;
    bench_track track;
    int64_t before = pubsub__alloc_live();
    bench_track_init(&track);
    add_range(&track, 0, UINT64_C(20) * 65536);
    /* The table of blocks and one spare. */
    assert_true(pubsub__alloc_live() - before <= 2);
    bench_track_fini(&track);
    assert_true(pubsub__alloc_live() == before);
}

static void test_track_bounds_numbers_and_survives_short_memory(void **state)
{
    (void)state;
    bench_track track;
    bench_track_init(&track);
    assert_int_equal(bench_track_add(&track, BENCH_TRACK_LIMIT), BENCH_TRACK_BAD);
    assert_int_equal(bench_track_add(&track, UINT64_MAX), BENCH_TRACK_BAD);
    pubsub__alloc_fail_at(1);
    assert_int_equal(bench_track_add(&track, 0), BENCH_TRACK_NOMEM);
    pubsub__alloc_fail_at(2);
    assert_int_equal(bench_track_add(&track, 0), BENCH_TRACK_NOMEM);
    pubsub__alloc_fail_at(0);
    assert_int_equal(bench_track_add(&track, 0), BENCH_TRACK_NEW);
    assert_true(track.unique == 1);
    bench_track_fini(&track);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_track_in_order_nothing_is_missing),
        cmocka_unit_test(test_track_counts_losses_exactly),
        cmocka_unit_test(test_track_counts_duplicates_also_of_full_blocks),
        cmocka_unit_test(test_track_counts_reordering),
        cmocka_unit_test(test_track_gives_full_blocks_back),
        cmocka_unit_test(test_track_bounds_numbers_and_survives_short_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
