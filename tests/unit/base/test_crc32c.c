/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include "support/cmocka.h"

/* RFC 3720, B.4, and the usual check value. */
static void test_crc32c_known_values(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], up[32], down[32];
    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (unsigned char)i;
        down[i] = (unsigned char)(31 - i);
    }
    const struct {
        const void *data;
        size_t len;
        uint32_t crc;
    } cases[] = {{"123456789", 9, 0xe3069283u}, {zeros, 32, 0x8a9136aau}, {ones, 32, 0x62a8ab43u},
                 {up, 32, 0x46dd794eu},         {down, 32, 0x113fdb5cu},  {"", 0, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pubsub__crc32c(0, cases[i].data, cases[i].len), cases[i].crc);
        assert_int_equal(pubsub__crc32c_table(0, cases[i].data, cases[i].len), cases[i].crc);
    }
}

static void test_crc32c_agrees_with_the_table_at_any_length_and_offset(void **state)
{
    (void)state;
    unsigned char bytes[300];
    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (unsigned char)(i * 73 + (i >> 3));
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t len = 0; from + len <= sizeof(bytes); len++) {
            assert_int_equal(pubsub__crc32c(7, bytes + from, len),
                             pubsub__crc32c_table(7, bytes + from, len));
        }
    }
}

static void test_crc32c_continues(void **state)
{
    (void)state;
    const char *text = "the quick brown fox jumps over the lazy dog";
    size_t len = strlen(text);
    uint32_t whole = pubsub__crc32c(0, text, len);
    for (size_t cut = 0; cut <= len; cut++) {
        assert_int_equal(pubsub__crc32c(pubsub__crc32c(0, text, cut), text + cut, len - cut),
                         whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c_known_values),
        cmocka_unit_test(test_crc32c_agrees_with_the_table_at_any_length_and_offset),
        cmocka_unit_test(test_crc32c_continues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
