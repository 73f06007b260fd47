/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_schedule_known_answers(void **state)
{
    (void)state;
    assert_true(bench_due_ns(1000, 0, 5000) == 1000);
    assert_true(bench_due_ns(1000, 1, 5000) == 1000 + 200000);
    assert_true(bench_due_ns(0, 5000, 5000) == UINT64_C(1000000000));
    assert_true(bench_due_ns(0, 1, 3) == 333333333);
    assert_true(bench_due_ns(0, 3, 3) == 1000000000);
}

/* Rounding does not add up: after a day at an awkward rate it is still exact. */
static void test_schedule_does_not_drift(void **state)
{
    (void)state;
    uint64_t day = 86400;
    assert_true(bench_due_ns(0, day * 7919, 7919) == day * UINT64_C(1000000000));
    assert_true(bench_due_ns(0, day * 1000000000 + 1, 1000000000) ==
                day * UINT64_C(1000000000) + 1);
}

static void test_schedule_is_monotonic(void **state)
{
    (void)state;
    uint64_t last = 0;
    for (uint64_t slot = 1; slot < 20000; slot++) {
        uint64_t due = bench_due_ns(0, slot, 7001);
        assert_true(due > last);
        last = due;
    }
}

static void test_schedule_figures_keep_their_order(void **state)
{
    (void)state;
    assert_string_equal(bench_figure_name((bench_figure)0), "publish throughput");
    assert_string_equal(bench_figure_name((bench_figure)1), "publish latency");
    assert_string_equal(bench_figure_name((bench_figure)2), "end-to-end throughput");
    assert_string_equal(bench_figure_name((bench_figure)3), "end-to-end latency");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedule_known_answers),
        cmocka_unit_test(test_schedule_does_not_drift),
        cmocka_unit_test(test_schedule_is_monotonic),
        cmocka_unit_test(test_schedule_figures_keep_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
