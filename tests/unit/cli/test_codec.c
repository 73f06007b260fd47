/* SPDX-License-Identifier: MIT */
#include "codec.h"

#include "base/rand.h"
#include "support/cmocka.h"

#include <string.h>

static void test_codec_base64_known_values(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xff\xfe", "//4="},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        pubsub__buf out;
        size_t at;

        pubsub__buf_init(&out, 1000);
        assert_true(cli_base64_add(&out, pubsub_bytes_of(pairs[i][0])));
        assert_string_equal(pubsub__buf_text(&out), pairs[i][1]);
        pubsub__buf_reset(&out);
        assert_true(cli_base64_decode(&out, pubsub_bytes_of(pairs[i][1]), &at));
        assert_string_equal(pubsub__buf_text(&out), pairs[i][0]);
        pubsub__buf_fini(&out);
    }
}

static void test_codec_round_trips_random_bytes(void **state)
{
    (void)state;
    for (size_t len = 0; len < 300; len++) {
        unsigned char data[300];
        pubsub__buf text, back;
        size_t at;

        for (size_t i = 0; i < len; i++) {
            data[i] = (unsigned char)pubsub__rand_below(256);
        }
        pubsub__buf_init(&text, 1000);
        pubsub__buf_init(&back, 1000);
        assert_true(cli_base64_add(&text, (pubsub_bytes){data, len}));
        assert_true(cli_base64_decode(&back, (pubsub_bytes){text.data, text.len}, &at));
        assert_int_equal(back.len, len);
        assert_true(len == 0 || memcmp(back.data, data, len) == 0);
        pubsub__buf_reset(&text);
        pubsub__buf_reset(&back);
        assert_true(cli_hex_add(&text, (pubsub_bytes){data, len}));
        assert_true(cli_hex_decode(&back, (pubsub_bytes){text.data, text.len}, &at));
        assert_int_equal(back.len, len);
        assert_true(len == 0 || memcmp(back.data, data, len) == 0);
        pubsub__buf_fini(&text);
        pubsub__buf_fini(&back);
    }
}

static void test_codec_decoders_refuse_what_is_wrong(void **state)
{
    static const char *const bad64[] = {
        "Z", "Zg=", "Zg===", "=", "Z===", "Zm9v=", "Zg==Zg==", "Z%==", "Zm9vY"};
    static const char *const badhex[] = {"0", "0g", "abc", "a b", "0x12"};
    pubsub__buf out;
    size_t at;

    (void)state;
    pubsub__buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof(bad64) / sizeof(bad64[0]); i++) {
        if (cli_base64_decode(&out, pubsub_bytes_of(bad64[i]), &at)) {
            fail_msg("'%s' was taken for base64", bad64[i]);
        }
    }
    for (size_t i = 0; i < sizeof(badhex) / sizeof(badhex[0]); i++) {
        if (cli_hex_decode(&out, pubsub_bytes_of(badhex[i]), &at)) {
            fail_msg("'%s' was taken for hexadecimal", badhex[i]);
        }
    }
    pubsub__buf_fini(&out);
}

static void test_codec_decoders_pass_over_white_space(void **state)
{
    pubsub__buf out;
    size_t at;

    (void)state;
    pubsub__buf_init(&out, 1000);
    assert_true(cli_hex_decode(&out, pubsub_bytes_of("61 62\n63\n"), &at));
    assert_true(cli_base64_decode(&out, pubsub_bytes_of("Zm9v\nZg==\n"), &at));
    assert_string_equal(pubsub__buf_text(&out), "abcfoof");
    pubsub__buf_fini(&out);
}

static void test_codec_json_strings(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } cases[] = {
        {"", 0, "\"\""},
        {"a\"b\\c", 5, "\"a\\\"b\\\\c\""},
        {"\n\t\r\b\f", 5, "\"\\n\\t\\r\\b\\f\""},
        {"\0\x01\x1f\v", 4, "\"\\u0000\\u0001\\u001f\\u000b\""},
        {"\x7f", 1, "\"\\u007f\""},
        {"\xc3\xa9", 2, "\"\xc3\xa9\""},
        {"a\xff"
         "b",
         3,
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xc3", 1, "\"\xef\xbf\xbd\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pubsub__buf out;

        pubsub__buf_init(&out, 1000);
        assert_true(cli_json_add(&out, (pubsub_bytes){cases[i].bytes, cases[i].len}));
        assert_string_equal(pubsub__buf_text(&out), cases[i].json);
        pubsub__buf_fini(&out);
    }
}

static void test_codec_unescape(void **state)
{
    pubsub__buf out;
    size_t at;

    (void)state;
    pubsub__buf_init(&out, 1000);
    assert_true(cli_unescape(&out, "a\\n\\t\\0\\x41\\xA\\\\\\e", &at));
    assert_int_equal(out.len, 8);
    assert_memory_equal(out.data, "a\n\t\0A\n\\\033", 8);
    assert_false(cli_unescape(&out, "ab\\q", &at));
    assert_int_equal(at, 2);
    assert_false(cli_unescape(&out, "\\", &at));
    assert_false(cli_unescape(&out, "\\xg", &at));
    pubsub__buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codec_base64_known_values),
        cmocka_unit_test(test_codec_round_trips_random_bytes),
        cmocka_unit_test(test_codec_decoders_refuse_what_is_wrong),
        cmocka_unit_test(test_codec_decoders_pass_over_white_space),
        cmocka_unit_test(test_codec_json_strings),
        cmocka_unit_test(test_codec_unescape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
