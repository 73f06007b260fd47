/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

#include "base/alloc.h"
#include "base/rand.h"

#include "support/cmocka.h"

#include <stdlib.h>

#define HOUR_NS (UINT64_C(3600) * 1000000000u)

static void test_hist_size_is_as_documented(void **state)
{
    (void)state;
    pubsub__hist hist;
    assert_true(pubsub__hist_init(&hist, HOUR_NS));
    assert_int_equal(hist.ncells, 33421);
    pubsub__hist_fini(&hist);
    assert_true(pubsub__hist_init(&hist, UINT64_MAX));
    pubsub__hist_record(&hist, UINT64_MAX);
    assert_true(pubsub__hist_percentile(&hist, 0.5) == UINT64_MAX);
    pubsub__hist_fini(&hist);
}

/* Cells follow one another without hole or overlap, and each knows its own values. */
static void test_hist_cells_are_seamless(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (size_t cell = 0; cell < 33421; cell++) {
        uint64_t low = pubsub__hist_cell_low(cell);
        uint64_t high = pubsub__hist_cell_high(cell);
        assert_true(low == next);
        assert_true(high >= low);
        assert_true((double)(high - low) <= (double)low / 1024);
        assert_int_equal(pubsub__hist_cell_of(low), cell);
        assert_int_equal(pubsub__hist_cell_of(high), cell);
        next = high + 1;
    }
    assert_true(pubsub__hist_cell_high(pubsub__hist_cell_of(UINT64_MAX)) == UINT64_MAX);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Against the sorted values themselves: never below the truth, at most 0.098 % above. */
static void test_hist_percentiles_are_close(void **state)
{
    (void)state;
    enum { N = 50000 };
    static uint64_t values[N];
    static const double shares[] = {0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    pubsub__hist hist;
    assert_true(pubsub__hist_init(&hist, HOUR_NS));
    double sum = 0;
    for (size_t i = 0; i < N; i++) {
        values[i] = pubsub__rand_u64() >> (24 + pubsub__rand_below(40));
        pubsub__hist_record(&hist, values[i]);
        sum += (double)values[i];
    }
    qsort(values, N, sizeof(values[0]), compare);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        double exact_rank = shares[i] * N;
        size_t rank = (size_t)exact_rank + (exact_rank - (double)(size_t)exact_rank > 1e-6 ? 1 : 0);
        uint64_t truth = values[rank == 0 ? 0 : rank - 1];
        uint64_t got = pubsub__hist_percentile(&hist, shares[i]);
        assert_true(got >= truth);
        assert_true((double)(got - truth) <= (double)truth * 0.000977);
    }
    assert_true(pubsub__hist_min(&hist) == values[0]);
    assert_true(hist.max == values[N - 1]);
    assert_true(pubsub__hist_percentile(&hist, 1) == values[N - 1]);
    double mean = pubsub__hist_mean(&hist);
    assert_true(mean > sum / N * 0.999999 && mean < sum / N * 1.000001);
    pubsub__hist_fini(&hist);
}

static void test_hist_ranks_are_exact(void **state)
{
    (void)state;
    pubsub__hist hist;
    assert_true(pubsub__hist_init(&hist, 2000));
    for (uint64_t i = 1; i <= 1000; i++) {
        pubsub__hist_record(&hist, i);
    }
    assert_int_equal(pubsub__hist_percentile(&hist, 0.999), 999);
    assert_int_equal(pubsub__hist_percentile(&hist, 0.9991), 1000);
    assert_int_equal(pubsub__hist_percentile(&hist, 0.5), 500);
    assert_int_equal(pubsub__hist_percentile(&hist, 0.29), 290);
    assert_int_equal(pubsub__hist_percentile(&hist, 0), 1);
    assert_true(pubsub__hist_percentile_is_sound(&hist, 0.99));
    assert_false(pubsub__hist_percentile_is_sound(&hist, 0.991));
    pubsub__hist_fini(&hist);
}

static void test_hist_empty(void **state)
{
    (void)state;
    pubsub__hist hist;
    assert_true(pubsub__hist_init(&hist, 1000));
    assert_int_equal(pubsub__hist_percentile(&hist, 0.5), 0);
    assert_int_equal(pubsub__hist_min(&hist), 0);
    assert_true(pubsub__hist_mean(&hist) == 0);
    assert_true(pubsub__hist_stddev(&hist) == 0);
    assert_false(pubsub__hist_percentile_is_sound(&hist, 0));
    pubsub__hist_fini(&hist);
}

static void test_hist_merge_is_recording_both(void **state)
{
    (void)state;
    pubsub__hist one;
    pubsub__hist two;
    pubsub__hist both;
    assert_true(pubsub__hist_init(&one, HOUR_NS) && pubsub__hist_init(&two, HOUR_NS) &&
                pubsub__hist_init(&both, HOUR_NS));
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t value = i * i * 977;
        pubsub__hist_record(i % 3 == 0 ? &one : &two, value);
        pubsub__hist_record(&both, value);
    }
    assert_true(pubsub__hist_merge(&one, &two));
    assert_memory_equal(one.cells, both.cells, one.ncells * sizeof(one.cells[0]));
    assert_int_equal(one.count, both.count);
    assert_int_equal(one.min, both.min);
    assert_int_equal(one.max, both.max);
    assert_int_equal(one.sum_low, both.sum_low);
    pubsub__hist_fini(&two);
    assert_true(pubsub__hist_init(&two, 1000));
    assert_false(pubsub__hist_merge(&one, &two));
    pubsub__hist_fini(&one);
    pubsub__hist_fini(&two);
    pubsub__hist_fini(&both);
}

static void test_hist_counts_what_is_too_large(void **state)
{
    (void)state;
    pubsub__hist hist;
    assert_true(pubsub__hist_init(&hist, 1000));
    pubsub__hist_record(&hist, 10);
    pubsub__hist_record(&hist, 123456789);
    assert_int_equal(hist.count, 2);
    assert_int_equal(hist.max, 123456789);
    assert_int_equal(pubsub__hist_percentile(&hist, 0.5), 10);
    assert_int_equal(pubsub__hist_percentile(&hist, 1), 123456789);
    pubsub__hist_fini(&hist);
}

static void test_hist_sum_is_128_bits(void **state)
{
    (void)state;
    pubsub__hist hist;
    pubsub__hist again;
    assert_true(pubsub__hist_init(&hist, UINT64_MAX) && pubsub__hist_init(&again, UINT64_MAX));
    uint64_t value = UINT64_C(0xFEDCBA9876543210);
    pubsub__hist_record_n(&hist, value, 1000);
    pubsub__hist_record_n(&hist, value, 0);
    for (int i = 0; i < 1000; i++) {
        pubsub__hist_record(&again, value);
    }
    assert_true(hist.sum_low == again.sum_low && hist.sum_high == again.sum_high);
    assert_true(hist.sum_high > 0);
    assert_int_equal(hist.count, 1000);
    pubsub__hist_reset(&hist);
    assert_int_equal(hist.count, 0);
    assert_int_equal(pubsub__hist_percentile(&hist, 1), 0);
    pubsub__hist_fini(&hist);
    pubsub__hist_fini(&again);
}

static void test_hist_stddev(void **state)
{
    (void)state;
    pubsub__hist hist;
    assert_true(pubsub__hist_init(&hist, 1000));
    pubsub__hist_record_n(&hist, 2, 1);
    pubsub__hist_record_n(&hist, 4, 3);
    pubsub__hist_record_n(&hist, 5, 2);
    pubsub__hist_record_n(&hist, 7, 1);
    pubsub__hist_record_n(&hist, 9, 1);
    double deviation = pubsub__hist_stddev(&hist);
    assert_true(deviation > 1.999999 && deviation < 2.000001);
    pubsub__hist_fini(&hist);
}

static void test_hist_init_without_memory(void **state)
{
    (void)state;
    pubsub__hist hist;
    pubsub__alloc_fail_at(1);
    assert_false(pubsub__hist_init(&hist, 1000));
    pubsub__alloc_fail_at(0);
    pubsub__hist_fini(&hist);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hist_size_is_as_documented),
        cmocka_unit_test(test_hist_cells_are_seamless),
        cmocka_unit_test(test_hist_percentiles_are_close),
        cmocka_unit_test(test_hist_ranks_are_exact),
        cmocka_unit_test(test_hist_empty),
        cmocka_unit_test(test_hist_merge_is_recording_both),
        cmocka_unit_test(test_hist_counts_what_is_too_large),
        cmocka_unit_test(test_hist_sum_is_128_bits),
        cmocka_unit_test(test_hist_stddev),
        cmocka_unit_test(test_hist_init_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
