/* SPDX-License-Identifier: MIT */
#include "format.h"

#include "support/cmocka.h"

#include <string.h>

static const pubsub_header headers[] = {
    {{"trace", 5}, {"1f", 2}},
    {{"x", 1}, {"\x00\xff", 2}},
    {{"trace", 5}, {"second", 6}},
};

static cli_view sample(void)
{
    cli_view view = {
        .n = 7,
        .recv_ns = UINT64_C(1771056001) * 1000000000,
        .ts_ns = UINT64_C(1771056000) * 1000000000,
        .topic = {"a/b", 3},
        .payload = {"p\"\xff", 3},
        .key = {"key", 3},
        .has_key = true,
        .content_type = {"text/plain", 10},
        .reply_to = {"re", 2},
        .correlation = {"co", 2},
        .headers = headers,
        .header_count = 3,
        .position = "e1-176",
        .qos = 1,
        .attempt = 2,
        .retained = true,
    };
    return view;
}

static void check(const char *format, const char *expected, size_t expected_len)
{
    char err[256] = "";
    cli_view view = sample();
    cli_format *compiled = cli_format_compile(format, err, sizeof(err));
    pubsub__buf out;

    if (compiled == NULL) {
        fail_msg("'%s': %s", format, err);
    }
    pubsub__buf_init(&out, 10000);
    assert_true(cli_format_run(compiled, &out, &view));
    if (out.len != expected_len || (out.len > 0 && memcmp(out.data, expected, out.len) != 0)) {
        fail_msg("'%s' gives '%s', not '%s'", format, pubsub__buf_text(&out), expected);
    }
    pubsub__buf_fini(&out);
    cli_format_free(compiled);
}

static void test_format_prints_every_field(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"%t", "a/b"},
        {"%k", "key"},
        {"%s|%v", "p\"\xff|p\"\xff"},
        {"%n", "7"},
        {"%o", "e1-176"},
        {"%p", ""},
        {"%q %r %a", "1 1 2"},
        {"%R %c %C", "re text/plain co"},
        {"%d", "1771056000000000000"},
        {"%D", "1771056001000000000"},
        {"%T %K %V %H", "3 3 3 3"},
        {"%%t", "%t"},
        {"\\x41\\t\\e\\\\", "A\t\033\\"},
        {"%t{", NULL},
        {"%v{hex}", "7022ff"},
        {"%k{base64}", "a2V5"},
        {"%v{json}", "\"p\\\"\xef\xbf\xbd\""},
        {"%d{strftime[%F %T]}Z", "2026-02-14 08:00:00Z"},
        {"%h{trace}", "1f"},
        {"%h{none}", ""},
        {"%h{x}{hex}", "00ff"},
        {"%h{%k=%v{hex};}", "trace=3166;x=00ff;trace=7365636f6e64;"},
        {"%h{\\{%k\\}}", "{trace}{x}{trace}"},
        {"[%t]\\n", "[a/b]\n"},
        {"{json}", "{json}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i][1] != NULL) {
            check(pairs[i][0], pairs[i][1], strlen(pairs[i][1]));
        }
    }
    check("%t\\0%k", "a/b\0key", 7);
    check("%h", "trace=1f,x=\0\xff,trace=second,", 27);
}

static void test_format_errors_name_the_position(void **state)
{
    static const struct {
        const char *format;
        const char *part;
    } cases[] = {
        {"%", "position 1"},       {"ab%", "position 3"},
        {"ab%z", "position 3"},    {"a\\q", "position 2"},
        {"\\", "position 1"},      {"%v{hexx}", "position 4"},
        {"%v{}", "position 4"},    {"%n{hex}", "numbers"},
        {"%d{hex}", "numbers"},    {"%v{strftime[%F]}", "times"},
        {"%d{strftime[%F}", "]}"}, {"%d{strftime[]}", "]}"},
        {"%h{", "no }"},           {"%h{}", "names no header"},
        {"%h{%t}", "inside"},      {"%h{%k", "no }"},
        {"%h{%k=%v", "no }"},      {"%h{%h{a}}", "inside"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char err[256] = "";
        cli_format *compiled = cli_format_compile(cases[i].format, err, sizeof(err));

        if (compiled != NULL || strstr(err, cases[i].part) == NULL ||
            strstr(err, "position") == NULL) {
            fail_msg("'%s': '%s' lacks '%s'", cases[i].format, err, cases[i].part);
        }
    }
}

static void test_format_knows_what_it_needs(void **state)
{
    char err[256];
    cli_format *plain = cli_format_compile("%t %v %n", err, sizeof(err));
    cli_format *rich = cli_format_compile("%k %h{a} %o", err, sizeof(err));

    (void)state;
    assert_int_equal(cli_format_needs(plain), 0);
    assert_int_equal(cli_format_needs(rich),
                     CLI_NEEDS_KEY | CLI_NEEDS_HEADERS | CLI_NEEDS_POSITION);
    cli_format_free(plain);
    cli_format_free(rich);
}

static void test_format_csv_quotes(void **state)
{
    cli_view view = {
        .n = 1, .ts_ns = 2, .topic = {"a,b", 3}, .key = {"", 0}, .payload = {"x\"y\n", 4}};
    pubsub__buf out;

    (void)state;
    pubsub__buf_init(&out, 1000);
    assert_true(cli_csv_add(&out, &view));
    assert_string_equal(pubsub__buf_text(&out), "1,2,\"a,b\",,\"x\"\"y\n\"\n");
    pubsub__buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_prints_every_field),
        cmocka_unit_test(test_format_errors_name_the_position),
        cmocka_unit_test(test_format_knows_what_it_needs),
        cmocka_unit_test(test_format_csv_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
