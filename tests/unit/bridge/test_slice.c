/* SPDX-License-Identifier: MIT */
#include "json/slice.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static pubsub_bytes bytes_of(const char *text)
{
    return (pubsub_bytes){text, strlen(text)};
}

static void assert_bytes(pubsub_bytes got, const char *expected)
{
    if (expected == NULL) {
        assert_null(got.data);
        assert_int_equal(got.len, 0);
        return;
    }
    if (got.data == NULL || got.len != strlen(expected) ||
        memcmp(got.data, expected, got.len) != 0) {
        fail_msg("'%.*s', expected '%s'", (int)got.len,
                 got.data != NULL ? (const char *)got.data : "", expected);
    }
}

static void test_slice_check_accepts(void **state)
{
    (void)state;
    static const char *const valid[] = {
        "{}",
        "[]",
        " [ ] ",
        "\t\r\n{ }\n",
        "0",
        "-0",
        "1.5e+10",
        "1E-2",
        "-12.75",
        "true",
        "false",
        "null",
        "\"\"",
        "\"a\\u00e9\\n\\/\"",
        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "{\"a\":[1,2,{\"b\":null}],\"c\":\"d\"}",
        "[[],{},[[]]]",
        "{\"\":0}",
        "{\"a\":1,\"a\":2}",
        "\"\\ud800\"",
        "\"\x7F\"",
        "[1 , 2\n,3]",
        "{\"a\" : 1 , \"b\" : 2}",
        "\"a long string, more than eight bytes, with a \\\"quote\\\" in it\"",
    };
    for (size_t i = 0; i < COUNT(valid); i++) {
        const char *error = bridge_json_check(bytes_of(valid[i]), NULL);
        if (error != NULL) {
            fail_msg("%s: %s", valid[i], error);
        }
    }
}

static void test_slice_check_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        size_t offset;
    } wrong[] = {
        {"", 0},
        {"  ", 2},
        {"{", 1},
        {"[1", 2},
        {"[1,", 3},
        {"[1,]", 3},
        {"{\"a\"}", 4},
        {"{\"a\":}", 5},
        {"{\"a\":1,}", 7},
        {"{a:1}", 1},
        {"[1}", 2},
        {"{\"a\":1]", 6},
        {"1 2", 2},
        {"01", 1},
        {"-", 0},
        {"1.", 2},
        {".5", 0},
        {"1e", 2},
        {"+1", 0},
        {"truth", 0},
        {"nul", 0},
        {"'a'", 0},
        {"\"abc", 0},
        {"\"a\\q\"", 2},
        {"\"a\\u12x4\"", 2},
        {"\"a\nb\"", 2},
        {"\"a\xFF\"", 2},
        {"\"\xC0\x80\"", 1},
        {"\"\xED\xA0\x80\"", 1},
        {"\"\xF0\x9F\x98", 1},
        {"]", 0},
        {"NaN", 0},
        {"\xEF\xBB\xBF{}", 0},
        {"[1 2]", 3},
        {"{\"a\" 1}", 5},
        {"\"\\", 1},
        {"// x\n1", 0},
    };
    for (size_t i = 0; i < COUNT(wrong); i++) {
        size_t offset = 999;
        const char *error = bridge_json_check(bytes_of(wrong[i].json), &offset);
        if (error == NULL || offset != wrong[i].offset) {
            fail_msg("%s: '%s' at %zu", wrong[i].json, error != NULL ? error : "valid", offset);
        }
    }
    assert_non_null(bridge_json_check((pubsub_bytes){NULL, 0}, NULL));
    assert_non_null(bridge_json_check((pubsub_bytes){"1\0", 2}, NULL));
    assert_non_null(bridge_json_check((pubsub_bytes){"\"\0\"", 3}, NULL));
}

static void test_slice_check_bounds_depth(void **state)
{
    (void)state;
    char json[2 * BRIDGE_JSON_DEPTH_MAX + 2];
    memset(json, '[', BRIDGE_JSON_DEPTH_MAX);
    memset(json + BRIDGE_JSON_DEPTH_MAX, ']', BRIDGE_JSON_DEPTH_MAX);
    assert_null(bridge_json_check((pubsub_bytes){json, 2 * BRIDGE_JSON_DEPTH_MAX}, NULL));
    memset(json, '[', BRIDGE_JSON_DEPTH_MAX + 1);
    memset(json + BRIDGE_JSON_DEPTH_MAX + 1, ']', BRIDGE_JSON_DEPTH_MAX + 1);
    size_t offset = 0;
    assert_non_null(bridge_json_check((pubsub_bytes){json, sizeof(json)}, &offset));
    assert_int_equal(offset, BRIDGE_JSON_DEPTH_MAX);
    pubsub_bytes value = bridge_json_pointer((pubsub_bytes){json, sizeof(json)}, "/0");
    assert_int_equal(value.len, 2 * BRIDGE_JSON_DEPTH_MAX); /* one less to go through */
}

static void test_slice_type_of(void **state)
{
    (void)state;
    assert_int_equal(bridge_json_type_of(bytes_of(" {")), BRIDGE_JSON_OBJECT);
    assert_int_equal(bridge_json_type_of(bytes_of("[1]")), BRIDGE_JSON_ARRAY);
    assert_int_equal(bridge_json_type_of(bytes_of("\"x\"")), BRIDGE_JSON_STRING);
    assert_int_equal(bridge_json_type_of(bytes_of("-1")), BRIDGE_JSON_NUMBER);
    assert_int_equal(bridge_json_type_of(bytes_of("true")), BRIDGE_JSON_TRUE);
    assert_int_equal(bridge_json_type_of(bytes_of("false")), BRIDGE_JSON_FALSE);
    assert_int_equal(bridge_json_type_of(bytes_of("null")), BRIDGE_JSON_NULL);
    assert_int_equal(bridge_json_type_of(bytes_of("x")), BRIDGE_JSON_NONE);
    assert_int_equal(bridge_json_type_of(bytes_of(" ")), BRIDGE_JSON_NONE);
    assert_int_equal(bridge_json_type_of((pubsub_bytes){NULL, 0}), BRIDGE_JSON_NONE);
}

static void test_slice_walk_object(void **state)
{
    (void)state;
    pubsub_bytes json = bytes_of(" { \"a\" : 1 ,\"b\\\"\":[ 2,{\"x\":\"}\"} ] , \"c\":\"\" } ");
    bridge_json_walk walk = {0};
    assert_true(bridge_json_next(&walk, json));
    assert_bytes(walk.name, "a");
    assert_bytes(walk.value, "1");
    assert_true(bridge_json_next(&walk, json));
    assert_bytes(walk.name, "b\\\"");
    assert_bytes(walk.value, "[ 2,{\"x\":\"}\"} ]");
    assert_true(bridge_json_next(&walk, json));
    assert_bytes(walk.name, "c");
    assert_bytes(walk.value, "\"\"");
    for (int again = 0; again < 2; again++) {
        assert_false(bridge_json_next(&walk, json));
        assert_false(walk.broken);
    }
}

static void test_slice_walk_array(void **state)
{
    (void)state;
    pubsub_bytes json = bytes_of("[null,\"a,]\",[ ]]");
    static const char *const expected[] = {"null", "\"a,]\"", "[ ]"};
    bridge_json_walk walk = {0};
    for (size_t i = 0; i < COUNT(expected); i++) {
        assert_true(bridge_json_next(&walk, json));
        assert_int_equal(walk.name.len, 0);
        assert_bytes(walk.value, expected[i]);
    }
    assert_false(bridge_json_next(&walk, json));
    assert_false(walk.broken);
    bridge_json_walk empty = {0};
    assert_false(bridge_json_next(&empty, bytes_of("[ ]")));
    assert_false(empty.broken);
    assert_false(bridge_json_next(&empty, bytes_of("[ ]")));
    assert_false(empty.broken);
}

static void test_slice_walk_broken(void **state)
{
    (void)state;
    static const char *const jsons[] = {
        "",
        "1",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\":[1}}",
        "{\"a\":\"x}",
        "{1:2}",
        "[x]",
        "[1",
        "{\"a\":{\"b\":[]]}",
        "[\"\\",
    };
    for (size_t i = 0; i < COUNT(jsons); i++) {
        bridge_json_walk walk = {0};
        while (bridge_json_next(&walk, bytes_of(jsons[i]))) {
        }
        if (!walk.broken) {
            fail_msg("not broken: %s", jsons[i]);
        }
        assert_false(bridge_json_next(&walk, bytes_of("[1]")));
    }
}

static void test_slice_member(void **state)
{
    (void)state;
    pubsub_bytes json = bytes_of("{\"a\":1,\"\\u0062\\n\":2,\"a\":3,\"\\ud83d\\ude00\":4,\"\":5}");
    assert_bytes(bridge_json_member(json, "a"), "1");
    assert_bytes(bridge_json_member(json, "b\n"), "2");
    assert_bytes(bridge_json_member(json, "\xF0\x9F\x98\x80"), "4");
    assert_bytes(bridge_json_member(json, ""), "5");
    assert_bytes(bridge_json_member(json, "b"), NULL);
    assert_bytes(bridge_json_member(json, "b\nc"), NULL);
    assert_bytes(bridge_json_member(bytes_of("[1]"), ""), NULL);
    assert_bytes(bridge_json_member(bytes_of("{\"x\":1,\"a\" 2}"), "a"), NULL);
    assert_bytes(bridge_json_member(bytes_of("{\"a\\u0000b\":1}"), "a"), NULL);
}

/* The table of RFC 6901, section 5, and what leads nowhere. */
static void test_slice_pointer(void **state)
{
    (void)state;
    pubsub_bytes json =
        bytes_of(" {\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,"
                 "\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8,\"~1\":9} ");
    static const char *const cases[][2] = {
        {"/foo", "[\"bar\",\"baz\"]"},
        {"/foo/0", "\"bar\""},
        {"/", "0"},
        {"/a~1b", "1"},
        {"/c%d", "2"},
        {"/e^f", "3"},
        {"/g|h", "4"},
        {"/i\\j", "5"},
        {"/k\"l", "6"},
        {"/ ", "7"},
        {"/m~0n", "8"},
        {"/~01", "9"},
        {"/foo/2", NULL},
        {"/foo/-", NULL},
        {"/foo/01", NULL},
        {"/foo/ 1", NULL},
        {"/foo/", NULL},
        {"foo", NULL},
        {"/foo/0/x", NULL},
        {"/m~n", NULL},
        {"/m~2n", NULL},
        {"/foo/99999999999999999999", NULL},
        {"//", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_bytes(bridge_json_pointer(json, cases[i][0]), cases[i][1]);
    }
    assert_bytes(bridge_json_pointer(bytes_of(" [1] "), ""), "[1]");
}

static void assert_unescaped(const char *json, const char *expected, size_t len)
{
    pubsub__buf out;
    pubsub__buf_init(&out, 64);
    assert_int_equal(pubsub__buf_add_text(&out, "x"), PUBSUB__BUF_OK);
    bool ok = bridge_json_unescape(bytes_of(json), &out);
    if (ok != (expected != NULL)) {
        fail_msg("%s", json);
    }
    assert_int_equal(out.len, 1 + len);
    assert_memory_equal(out.data + 1, expected != NULL ? expected : "", len + 1);
    pubsub__buf_fini(&out);
}

static void test_slice_unescape(void **state)
{
    (void)state;
    assert_unescaped("\"\"", "", 0);
    assert_unescaped(" \"plain text that is long\" ", "plain text that is long", 23);
    assert_unescaped("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    assert_unescaped("\"\\u0041\\u00E9\\u20ac\\uD83D\\uDE00\"",
                     "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 10);
    assert_unescaped("\"a\\u0000b\"", "a\0b", 3);
    assert_unescaped("\"\\ud83dx\\ude00\"", "\xEF\xBF\xBDx\xEF\xBF\xBD", 7);
    assert_unescaped("\"\\ud83d\\u0041\"",
                     "\xEF\xBF\xBD"
                     "A",
                     4);
    assert_unescaped("\"\\x\"", NULL, 0);
    assert_unescaped("\"\\u12\"", NULL, 0);
    assert_unescaped("\"a\"b\"", NULL, 0);
    assert_unescaped("\"a\\\"", NULL, 0);
    assert_unescaped("\"\xC3\"", NULL, 0);
    assert_unescaped("\"a\n\"", NULL, 0);
    assert_unescaped("\"", NULL, 0);
    assert_unescaped("a", NULL, 0);
    assert_unescaped("\"0123456789012345678901234567890123456789012345678901234567890123\"", NULL,
                     0);
}

static void test_slice_quote(void **state)
{
    (void)state;
    pubsub__buf out;
    pubsub__buf_init(&out, 64);
    assert_int_equal(bridge_json_quote((pubsub_bytes){"a\"\\\n\0\x1F\x7F\xC3\xA9\xFF!", 11}, &out),
                     0);
    assert_string_equal(pubsub__buf_text(&out),
                        "\"a\\\"\\\\\\n\\u0000\\u001f\x7F\xC3\xA9\xEF\xBF\xBD!\"");
    size_t before = out.len;
    char many[64];
    memset(many, 1, sizeof(many));
    assert_int_equal(bridge_json_quote((pubsub_bytes){many, sizeof(many)}, &out), PUBSUB__BUF_FULL);
    assert_int_equal(out.len, before);
    assert_int_equal(strlen(out.data), before);
    pubsub__buf_fini(&out);
}

static void test_slice_u64(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_true(bridge_json_u64(bytes_of(" 0 "), &value) && value == 0);
    assert_true(bridge_json_u64(bytes_of("18446744073709551615"), &value) && value == UINT64_MAX);
    static const char *const wrong[] = {
        "",   "-1", "1.0", "1e3", "01", "18446744073709551616", "\"1\"", "99999999999999999999999",
        "1 1"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_false(bridge_json_u64(bytes_of(wrong[i]), &value));
    }
    assert_true(value == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_check_accepts),
        cmocka_unit_test(test_slice_check_refuses),
        cmocka_unit_test(test_slice_check_bounds_depth),
        cmocka_unit_test(test_slice_type_of),
        cmocka_unit_test(test_slice_walk_object),
        cmocka_unit_test(test_slice_walk_array),
        cmocka_unit_test(test_slice_walk_broken),
        cmocka_unit_test(test_slice_member),
        cmocka_unit_test(test_slice_pointer),
        cmocka_unit_test(test_slice_unescape),
        cmocka_unit_test(test_slice_quote),
        cmocka_unit_test(test_slice_u64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
