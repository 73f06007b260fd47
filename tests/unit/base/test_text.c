/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/utf8.h"

#include "support/cmocka.h"

#include <stdint.h>

static void test_text_escape(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *shown;
    } cases[] = {
        {"plain", 5, "plain"},
        {"", 0, ""},
        {"a\nb\tc\rd", 7, "a\\nb\\tc\\rd"},
        {"back\\slash", 10, "back\\\\slash"},
        {"nul\0!", 5, "nul\\x00!"},
        {"\x1B[1m", 4, "\\x1B[1m"},
        {"\x7F", 1, "\\x7F"},
        {"\xC3\xA9", 2, "\xC3\xA9"},
        {"\xC3", 1, "\\xC3"},
        {"\xFF\xFE", 2, "\\xFF\\xFE"},
    };
    char out[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pubsub__text_escape(out, sizeof(out), cases[i].bytes, cases[i].len);
        assert_string_equal(out, cases[i].shown);
    }
}

static void test_text_escape_cuts_with_dots(void **state)
{
    (void)state;
    char out[9];
    assert_string_equal(pubsub__text_escape(out, 9, "12345678", 8), "12345678");
    assert_string_equal(pubsub__text_escape(out, 9, "123456789", 9), "12345...");
    assert_string_equal(pubsub__text_escape(out, 9, "1234\n6789", 9), "1234...");
    assert_string_equal(pubsub__text_escape(out, 9, "1234\xC3\xA9zzzzz", 11), "1234...");
    assert_string_equal(pubsub__text_escape(out, 3, "12345", 5), "..");
    assert_string_equal(pubsub__text_escape(out, 1, "12345", 5), "");
}

/* Whatever goes in, what comes out is valid, printable and within its size. */
static void test_text_escape_is_always_printable(void **state)
{
    (void)state;
    char in[40];
    char out[32];
    uint32_t seed = 1;
    for (int round = 0; round < 20000; round++) {
        size_t size = 1 + (size_t)round % sizeof(out);
        for (size_t i = 0; i < sizeof(in); i++) {
            seed = seed * 1664525u + 1013904223u;
            in[i] = (char)(seed >> 24);
        }
        pubsub__text_escape(out, size, in, (size_t)(seed >> 8) % sizeof(in));
        size_t len = strlen(out);
        assert_true(len < size);
        assert_true(pubsub__utf8_check(out, len));
        for (size_t i = 0; i < len; i++) {
            assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7F);
        }
    }
}

static void test_text_oneline(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"one line", "one line"},
        {"two\nlines\r\n", "two lines  "},
        {"bell\a", "bell "},
        {"caf\xC3\xA9", "caf\xC3\xA9"},
        {"cut\xE2\x82", "cut"},
        {"cut\xC3", "cut"},
        {"bad\xFF!", "bad?!"},
        {"bad\x80", "bad?"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[32];
        memcpy(text, cases[i][0], strlen(cases[i][0]) + 1);
        pubsub__text_oneline(text);
        assert_string_equal(text, cases[i][1]);
    }
}

static void test_text_wipe(void **state)
{
    (void)state;
    char secret[] = "secret";
    static const char zero[sizeof(secret)];
    pubsub__wipe(secret, sizeof(secret));
    assert_memory_equal(secret, zero, sizeof(secret));
}

static void test_text_starts_with(void **state)
{
    (void)state;
    assert_true(pubsub__text_starts_with("pubsub.x", "pubsub."));
    assert_true(pubsub__text_starts_with("abc", ""));
    assert_false(pubsub__text_starts_with("ab", "abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_escape),
        cmocka_unit_test(test_text_escape_cuts_with_dots),
        cmocka_unit_test(test_text_escape_is_always_printable),
        cmocka_unit_test(test_text_oneline),
        cmocka_unit_test(test_text_wipe),
        cmocka_unit_test(test_text_starts_with),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
