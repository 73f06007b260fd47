/* SPDX-License-Identifier: MIT */
#include "expect.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_option rows[] = {
    {.name = "expect", .kind = CLI_TEXT, .arg = "F"},
    {.name = "expect-count", .kind = CLI_INT, .arg = "N"},
    {.name = "any-order"},
    {.name = "null-delim", .letter = '0'},
    {.name = NULL},
};

/* Offer messages to the lines of a file; returns "ok" per message, up to the first that is wrong,
 * and "met" or "open". */
static void run(char *out, size_t size, const char *lines, const char *flag,
                const char *const *bodies)
{
    char path[] = "/tmp/pubsub-expect-XXXXXX";
    char file_flag[64];
    char flag_copy[32];
    char *argv[] = {file_flag, flag_copy, NULL};
    cli_usage_error err;
    cli_expect expect;
    cli_args args;
    int fd = mkstemp(path);
    size_t at = 0;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, lines, strlen(lines)), (ssize_t)strlen(lines));
    (void)close(fd);
    (void)snprintf(file_flag, sizeof(file_flag), "--expect=%s", path);
    (void)snprintf(flag_copy, sizeof(flag_copy), "%s", flag);
    assert_true(cli_args_parse(&args, rows, NULL, flag[0] != '\0' ? 2 : 1, argv, &err));
    assert_int_equal(cli_expect_init(&expect, &args), 0);
    for (; *bodies != NULL; bodies++) {
        bool ok = cli_expect_message(&expect, pubsub_bytes_of(*bodies));

        at += (size_t)snprintf(out + at, size - at, "%s ", ok ? "ok" : "wrong");
        if (!ok) {
            break;
        }
    }
    (void)snprintf(out + at, size - at, "%s", cli_expect_is_met(&expect) ? "met" : "open");
    cli_expect_fini(&expect);
    cli_args_fini(&args);
    (void)unlink(path);
}

static void test_expect_compares(void **state)
{
    static const struct {
        const char *lines;
        const char *flag;
        const char *bodies[5];
        const char *expected;
    } cases[] = {
        {"a\nb\n", "", {"a", "b", NULL}, "ok ok met"},
        {"a\nb", "", {"a", "b", NULL}, "ok ok met"},
        {"a\nb\n", "", {"a", NULL}, "ok open"},
        {"a\nb\n", "", {"b", NULL}, "wrong open"},
        {"a\n", "", {"a", "a", NULL}, "ok wrong open"},
        {"", "", {NULL}, "met"},
        {"", "", {"a", NULL}, "wrong open"},
        {"\n\n", "", {"", "", NULL}, "ok ok met"},
        {"b\na\nb\n", "--any-order", {"b", "b", "a", NULL}, "ok ok ok met"},
        {"b\na\nb\n", "--any-order", {"a", "a", NULL}, "ok wrong open"},
        {"b\na\n", "--any-order", {"c", NULL}, "wrong open"},
        {"b\na\n", "--any-order", {"", NULL}, "wrong open"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[100];

        run(out, sizeof(out), cases[i].lines, cases[i].flag, cases[i].bodies);
        assert_string_equal(out, cases[i].expected);
    }
}

static void test_expect_counts_without_a_file(void **state)
{
    char flag[] = "--expect-count=2";
    char *argv[] = {flag, NULL};
    cli_usage_error err;
    cli_expect expect;
    cli_args args;

    (void)state;
    assert_true(cli_args_parse(&args, rows, NULL, 1, argv, &err));
    assert_int_equal(cli_expect_init(&expect, &args), 0);
    assert_true(cli_expect_message(&expect, pubsub_bytes_of("x")));
    assert_false(cli_expect_is_met(&expect));
    assert_true(cli_expect_message(&expect, pubsub_bytes_of("y")));
    assert_true(cli_expect_is_met(&expect));
    assert_false(cli_expect_message(&expect, pubsub_bytes_of("z")));
    cli_expect_fini(&expect);
    cli_args_fini(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expect_compares),
        cmocka_unit_test(test_expect_counts_without_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
