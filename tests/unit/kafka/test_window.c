/* SPDX-License-Identifier: MIT */
/* What of a partition may be committed: never an offset above one that is open, whatever the holes and the
 * order in which messages are settled. */
#include "kafka/window.h"

#include "base/alloc.h"

#include "support/cmocka.h"

#include <string.h>

static kaf_window begun(int64_t start)
{
    kaf_window window;
    memset(&window, 0, sizeof(window));
    pubsub__kafka_window_begin(&window, start);
    return window;
}

static void test_window_is_at_its_start(void **state)
{
    kaf_window window = begun(42);
    (void)state;
    assert_int_equal(pubsub__kafka_window_position(&window), 42);
    assert_false(pubsub__kafka_window_is_full(&window));
    assert_false(pubsub__kafka_window_settle(&window, 42));
    pubsub__kafka_window_free(&window);
}

static void test_window_moves_over_what_is_settled_in_order(void **state)
{
    kaf_window window = begun(0);
    (void)state;
    for (int64_t i = 0; i < 1000; i++) {
        assert_int_equal(pubsub__kafka_window_add(&window, i), KAF_SEEN_NEW);
        assert_int_equal(pubsub__kafka_window_position(&window), i);
        assert_true(pubsub__kafka_window_settle(&window, i));
        assert_int_equal(pubsub__kafka_window_position(&window), i + 1);
    }
    pubsub__kafka_window_free(&window);
}

static void test_window_waits_for_the_oldest(void **state)
{
    kaf_window window = begun(7);
    (void)state;
    for (int64_t i = 7; i < 1007; i++) {
        assert_int_equal(pubsub__kafka_window_add(&window, i), KAF_SEEN_NEW);
    }
    for (int64_t i = 1006; i > 7; i--) {
        assert_true(pubsub__kafka_window_settle(&window, i));
        assert_int_equal(pubsub__kafka_window_position(&window), 7);
    }
    assert_true(pubsub__kafka_window_settle(&window, 7));
    assert_int_equal(pubsub__kafka_window_position(&window), 1007);
    pubsub__kafka_window_free(&window);
}

static void test_window_knows_holes(void **state)
{
    static const int64_t offsets[] = {3, 4, 9, 10, 500, 501, 502, 10000};
    kaf_window window = begun(0);
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pubsub__kafka_window_add(&window, offsets[i]), KAF_SEEN_NEW);
    }
    assert_int_equal(pubsub__kafka_window_position(&window), 3);
    assert_false(pubsub__kafka_window_settle(&window, 5));
    assert_false(pubsub__kafka_window_settle(&window, 0));
    assert_false(pubsub__kafka_window_settle(&window, 10001));
    assert_true(pubsub__kafka_window_settle(&window, 500));
    assert_true(pubsub__kafka_window_settle(&window, 9));
    assert_true(pubsub__kafka_window_settle(&window, 3));
    assert_int_equal(pubsub__kafka_window_position(&window), 4);
    assert_true(pubsub__kafka_window_settle(&window, 4));
    assert_int_equal(pubsub__kafka_window_position(&window), 10);
    assert_true(pubsub__kafka_window_settle(&window, 10));
    assert_int_equal(pubsub__kafka_window_position(&window), 501);
    assert_true(pubsub__kafka_window_settle(&window, 10000));
    assert_true(pubsub__kafka_window_settle(&window, 502));
    assert_true(pubsub__kafka_window_settle(&window, 501));
    assert_int_equal(pubsub__kafka_window_position(&window), 10001);
    pubsub__kafka_window_free(&window);
}

static void test_window_settles_once(void **state)
{
    kaf_window window = begun(0);
    (void)state;
    (void)pubsub__kafka_window_add(&window, 0);
    (void)pubsub__kafka_window_add(&window, 1);
    assert_true(pubsub__kafka_window_settle(&window, 1));
    assert_false(pubsub__kafka_window_settle(&window, 1));
    assert_true(pubsub__kafka_window_settle(&window, 0));
    assert_false(pubsub__kafka_window_settle(&window, 0));
    pubsub__kafka_window_free(&window);
}

/* The partition was taken away and came back: reading begins again at what was committed. */
static void test_window_tells_what_comes_again(void **state)
{
    kaf_window window = begun(10);
    (void)state;
    for (int64_t i = 10; i < 20; i += 2) {
        (void)pubsub__kafka_window_add(&window, i);
    }
    assert_true(pubsub__kafka_window_settle(&window, 14));
    assert_true(pubsub__kafka_window_settle(&window, 10));
    assert_int_equal(pubsub__kafka_window_position(&window), 12);
    assert_int_equal(pubsub__kafka_window_add(&window, 10), KAF_SEEN_SETTLED);
    assert_int_equal(pubsub__kafka_window_add(&window, 12), KAF_SEEN_OPEN);
    assert_int_equal(pubsub__kafka_window_add(&window, 14), KAF_SEEN_SETTLED);
    assert_int_equal(pubsub__kafka_window_add(&window, 16), KAF_SEEN_OPEN);
    assert_int_equal(pubsub__kafka_window_add(&window, 18), KAF_SEEN_OPEN);
    assert_int_equal(pubsub__kafka_window_add(&window, 20), KAF_SEEN_NEW);
    assert_int_equal(pubsub__kafka_window_position(&window), 12);
    pubsub__kafka_window_free(&window);
}

static void test_window_is_bounded(void **state)
{
    kaf_window window = begun(0);
    int64_t count = (int64_t)KAF_WINDOW_MAX;
    (void)state;
    for (int64_t i = 0; i < count; i++) {
        assert_false(pubsub__kafka_window_is_full(&window));
        assert_int_equal(pubsub__kafka_window_add(&window, 3 * i), KAF_SEEN_NEW);
    }
    assert_true(pubsub__kafka_window_is_full(&window));
    assert_int_equal(pubsub__kafka_window_add(&window, 3 * count), KAF_SEEN_FULL);
    assert_true(pubsub__kafka_window_settle(&window, 3));
    assert_true(pubsub__kafka_window_is_full(&window));
    assert_true(pubsub__kafka_window_settle(&window, 0));
    assert_false(pubsub__kafka_window_is_full(&window));
    assert_int_equal(pubsub__kafka_window_position(&window), 6);
    assert_int_equal(pubsub__kafka_window_add(&window, 3 * count), KAF_SEEN_NEW);
    pubsub__kafka_window_free(&window);
}

static void test_window_without_memory(void **state)
{
    kaf_window window = begun(0);
    (void)state;
    pubsub__alloc_fail_at(1);
    assert_int_equal(pubsub__kafka_window_add(&window, 0), KAF_SEEN_FULL);
    assert_int_equal(pubsub__kafka_window_position(&window), 0);
    assert_int_equal(pubsub__kafka_window_add(&window, 0), KAF_SEEN_NEW);
    pubsub__kafka_window_free(&window);
}

static int64_t chance(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int64_t)(*seed >> 33);
}

/* Beside a list that is as plain as can be. */
static void test_window_agrees_with_a_plain_list(void **state)
{
    enum { COUNT = 3000 };
    static int64_t offsets[COUNT];
    static bool settled[COUNT];
    (void)state;
    uint64_t seed = 7;
    for (int round = 0; round < 20; round++) {
        kaf_window window = begun(5);
        size_t added = 0;
        int64_t offset = 5;
        memset(settled, 0, sizeof(settled));
        for (int step = 0; step < 2 * COUNT; step++) {
            if (added < COUNT && (added == 0 || chance(&seed) % 2 == 0)) {
                offset += chance(&seed) % 10 < 8 ? 0 : chance(&seed) % 50;
                assert_int_equal(pubsub__kafka_window_add(&window, offset), KAF_SEEN_NEW);
                offsets[added++] = offset++;
            } else {
                size_t which = added - 1 - (size_t)chance(&seed) % (added < 40 ? added : 40);
                assert_int_equal(pubsub__kafka_window_settle(&window, offsets[which]),
                                 !settled[which]);
                settled[which] = true;
            }
            size_t first = 0;
            while (first < added && settled[first]) {
                first++;
            }
            assert_int_equal(pubsub__kafka_window_position(&window), first < added ? offsets[first]
                                                                     : added > 0   ? offset
                                                                                   : 5);
        }
        pubsub__kafka_window_free(&window);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_is_at_its_start),
        cmocka_unit_test(test_window_moves_over_what_is_settled_in_order),
        cmocka_unit_test(test_window_waits_for_the_oldest),
        cmocka_unit_test(test_window_knows_holes),
        cmocka_unit_test(test_window_settles_once),
        cmocka_unit_test(test_window_tells_what_comes_again),
        cmocka_unit_test(test_window_is_bounded),
        cmocka_unit_test(test_window_without_memory),
        cmocka_unit_test(test_window_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
