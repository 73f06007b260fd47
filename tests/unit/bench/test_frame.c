/* SPDX-License-Identifier: MIT */
#include "bench_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const bench_frame sample = {.run = 0xdeadbeefu,
                                   .producer = 513,
                                   .phase = BENCH_MEASURED,
                                   .sequence = UINT64_C(0x0123456789abcdef),
                                   .due_ns = UINT64_C(0xfedcba9876543210)};

static void test_frame_reads_back_what_was_written(void **state)
{
    (void)state;
    uint8_t payload[100];
    bench_frame got;
    memset(payload, 7, sizeof(payload));
    bench_frame_write(&sample, 1, payload, sizeof(payload));
    assert_int_equal(bench_frame_read(payload, sizeof(payload), sample.run, 1, &got),
                     BENCH_FRAME_OK);
    assert_true(got.run == sample.run && got.producer == sample.producer);
    assert_int_equal(got.phase, BENCH_MEASURED);
    assert_true(got.sequence == sample.sequence && got.due_ns == sample.due_ns);
    assert_int_equal(payload[BENCH_FRAME_SIZE], 7);
}

static void test_frame_layout_is_little_endian(void **state)
{
    (void)state;
    static const uint8_t want[28] = {'P',  'B',  'N',  '1',  0xef, 0xbe, 0xad, 0xde, 0x01, 0x02,
                                     2,    0,    0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01,
                                     0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe};
    uint8_t payload[BENCH_FRAME_SIZE];
    bench_frame_write(&sample, 1, payload, sizeof(payload));
    assert_memory_equal(payload, want, sizeof(want));
}

/* Every single bit of the header that flips is found, and so is a payload that was cut. */
static void test_frame_finds_damage(void **state)
{
    (void)state;
    uint8_t payload[64] = {0};
    bench_frame got;
    bench_frame_write(&sample, 1, payload, sizeof(payload));
    for (size_t bit = 0; bit < BENCH_FRAME_SIZE * 8; bit++) {
        payload[bit / 8] = (uint8_t)(payload[bit / 8] ^ (1u << bit % 8));
        int state_now = bench_frame_read(payload, sizeof(payload), sample.run, 1, &got);
        /* A damaged magic cannot be told from a foreign message. */
        assert_int_equal(state_now, bit < 32 ? BENCH_FRAME_FOREIGN : BENCH_FRAME_CORRUPT);
        payload[bit / 8] = (uint8_t)(payload[bit / 8] ^ (1u << bit % 8));
    }
    assert_int_equal(bench_frame_read(payload, sizeof(payload) - 1, sample.run, 1, &got),
                     BENCH_FRAME_CORRUPT);
}

static void test_frame_full_covers_the_body(void **state)
{
    (void)state;
    uint8_t payload[64] = {0};
    bench_frame full = sample;
    bench_frame got;
    bench_frame_write(&full, 1, payload, sizeof(payload));
    payload[63] ^= 1;
    assert_int_equal(bench_frame_read(payload, sizeof(payload), full.run, 1, &got), BENCH_FRAME_OK);
    full.flags = BENCH_FRAME_FULL;
    bench_frame_write(&full, 1, payload, sizeof(payload));
    payload[63] ^= 1;
    assert_int_equal(bench_frame_read(payload, sizeof(payload), full.run, 1, &got),
                     BENCH_FRAME_CORRUPT);
}

static void test_frame_knows_foreign_messages(void **state)
{
    (void)state;
    uint8_t payload[BENCH_FRAME_SIZE];
    bench_frame got;
    bench_frame_write(&sample, 1, payload, sizeof(payload));
    assert_int_equal(bench_frame_read(payload, sizeof(payload), sample.run + 1, 1, &got),
                     BENCH_FRAME_FOREIGN);
    assert_int_equal(bench_frame_read(payload, BENCH_FRAME_SIZE - 1, sample.run, 1, &got),
                     BENCH_FRAME_FOREIGN);
    assert_int_equal(bench_frame_read("hello", 5, sample.run, 1, &got), BENCH_FRAME_FOREIGN);
    assert_int_equal(bench_frame_read(NULL, 0, sample.run, 1, &got), BENCH_FRAME_FOREIGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_reads_back_what_was_written),
        cmocka_unit_test(test_frame_layout_is_little_endian),
        cmocka_unit_test(test_frame_finds_damage),
        cmocka_unit_test(test_frame_full_covers_the_body),
        cmocka_unit_test(test_frame_knows_foreign_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
