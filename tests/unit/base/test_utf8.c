/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include "support/cmocka.h"

#include <stdint.h>

typedef struct text_case {
    const char *text;
    size_t len;
    size_t valid; /* bytes that are fine */
} text_case;

#define CASE(literal, valid)                                                                       \
    {                                                                                              \
        (literal), sizeof(literal) - 1, (valid)                                                    \
    }

static const text_case cases[] = {
    CASE("", 0),
    CASE("hello, world, this is longer than a word", 40),
    CASE("nul\0inside", 10),
    CASE("\xC3\xA9", 2),
    CASE("\xE2\x82\xAC", 3),
    CASE("\xF0\x9F\x98\x80", 4),
    CASE("\xF4\x8F\xBF\xBF", 4), /* U+10FFFF, the last */
    CASE("\xED\x9F\xBF", 3),     /* U+D7FF, before the surrogates */
    CASE("\xEE\x80\x80", 3),     /* U+E000, behind them */
    CASE("abcdefgh\xC3\xA9ijklmnop", 18),
    CASE("abcdefgh\xC3ijklmnop", 8),
    CASE("\x80", 0),             /* continuation alone */
    CASE("a\xC0\xAF", 1),        /* overlong '/' */
    CASE("\xC1\xBF", 0),         /* overlong */
    CASE("\xE0\x9F\xBF", 0),     /* overlong */
    CASE("\xF0\x8F\xBF\xBF", 0), /* overlong */
    CASE("\xED\xA0\x80", 0),     /* surrogate */
    CASE("\xED\xBF\xBF", 0),     /* surrogate */
    CASE("\xF4\x90\x80\x80", 0), /* above U+10FFFF */
    CASE("\xF5\x80\x80\x80", 0),
    CASE("\xFF", 0),
    CASE("ok\xE2\x82", 2), /* cut */
    CASE("ok\xC3", 2),
    CASE("ok\xE2\x28\xA1", 2),     /* wrong second byte */
    CASE("ok\xE2\x82\x28", 2),     /* wrong third byte */
    CASE("ok\xF0\x9F\x98\x28", 2), /* wrong fourth byte */
};

static void test_utf8_valid_prefix(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pubsub__utf8_valid_prefix(cases[i].text, cases[i].len), cases[i].valid);
        assert_int_equal(pubsub__utf8_check(cases[i].text, cases[i].len),
                         cases[i].valid == cases[i].len);
    }
}

/* Every code point in its shortest form is valid except surrogates. */
static void test_utf8_every_code_point(void **state)
{
    (void)state;
    for (uint32_t cp = 0x80; cp <= 0x10FFFF; cp++) {
        char text[4];
        size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
        uint32_t rest = cp;
        for (size_t i = n - 1; i > 0; i--) {
            text[i] = (char)(0x80 | (rest & 0x3F));
            rest >>= 6;
        }
        text[0] = (char)((n == 2 ? 0xC0u : n == 3 ? 0xE0u : 0xF0u) | rest);
        bool surrogate = cp >= 0xD800 && cp <= 0xDFFF;
        if (pubsub__utf8_sequence(text, n) != (surrogate ? 0 : n)) {
            fail_msg("U+%04X", (unsigned)cp);
        }
    }
}

static void test_utf8_cut_keeps_sequences_whole(void **state)
{
    (void)state;
    const char *text = "a\xE2\x82\xACz";
    assert_int_equal(pubsub__utf8_cut(text, 0), 0);
    assert_int_equal(pubsub__utf8_cut(text, 1), 1);
    assert_int_equal(pubsub__utf8_cut(text, 2), 1);
    assert_int_equal(pubsub__utf8_cut(text, 3), 1);
    assert_int_equal(pubsub__utf8_cut(text, 4), 4);
    assert_int_equal(pubsub__utf8_cut(text, 5), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_valid_prefix),
        cmocka_unit_test(test_utf8_every_code_point),
        cmocka_unit_test(test_utf8_cut_keeps_sequences_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
