/* SPDX-License-Identifier: MIT */
#include "opt.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

static const cli_option own[] = {
    {.name = "count", .letter = 'c', .kind = CLI_INT, .arg = "N", .min = 1, .max = 1000},
    {.name = "retain", .letter = 'r'},
    {.name = "lines", .letter = 'l'},
    {.name = "header", .letter = 'H', .kind = CLI_LIST, .arg = "H"},
    {.name = "confirm", .flags = CLI_NEGATABLE, .def = "yes"},
    {.name = "qos", .letter = 'Q', .kind = CLI_CHOICE, .choices = "0|1|2", .arg = "Q"},
    {.name = "stamps", .kind = CLI_CHOICE, .flags = CLI_OPTIONAL, .choices = "rel|iso", .arg = "S"},
    {.name = "wait", .letter = 'W', .kind = CLI_DURATION, .arg = "D", .def = "5s"},
    {.name = "max", .kind = CLI_SIZE, .arg = "S", .def = "64k"},
    {.name = "verbose", .letter = 'v', .kind = CLI_TEXT, .arg = "T"},
    {.name = NULL},
};
static const cli_option shared[] = {
    {.name = "verbose", .letter = 'v'},
    {.name = "cacert", .alias = "cafile|ca", .kind = CLI_TEXT, .arg = "F"},
    {.name = "interval", .letter = 'c', .kind = CLI_TEXT, .arg = "D"},
    {.name = NULL},
};

/* Up to 7 words, ended by NULL. */
static bool parse(cli_args *args, cli_usage_error *err, const char *const *words)
{
    static char copies[8][64];
    static char *argv[9];
    int argc = 0;

    for (; words[argc] != NULL; argc++) {
        (void)snprintf(copies[argc], sizeof(copies[argc]), "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    return cli_args_parse(args, own, shared, argc, argv, err);
}

static void test_opt_reads_every_way_of_writing(void **state)
{
    static const char *const lines[][8] = {
        {"-c", "3", NULL},        {"-c3", NULL},
        {"-c=3", NULL},           {"--count", "3", NULL},
        {"--count=3", NULL},      {"-rlc3", NULL},
        {"-rl", "-c", "3", NULL}, {"-c", "1", "-c", "3", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cli_usage_error err;
        cli_args args;

        assert_true(parse(&args, &err, lines[i]));
        assert_int_equal(cli_int(&args, "count", -1), 3);
        cli_args_fini(&args);
    }
}

static void test_opt_bundles_flags(void **state)
{
    static const char *const words[] = {"-rl", "topic", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_true(cli_flag(&args, "retain") && cli_flag(&args, "lines"));
    assert_int_equal(args.word_count, 1);
    cli_args_fini(&args);
}

static void test_opt_defaults_hold_when_nothing_is_given(void **state)
{
    static const char *const words[] = {NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_int_equal(cli_int(&args, "wait", -1), 5000);
    assert_int_equal(cli_int(&args, "max", -1), 65536);
    assert_int_equal(cli_int(&args, "count", -7), -7);
    assert_true(cli_flag(&args, "confirm"));
    assert_false(cli_flag(&args, "retain"));
    assert_false(cli_given_any(&args, "wait"));
    assert_null(cli_text(&args, "cacert"));
    cli_args_fini(&args);
}

static void test_opt_negates_only_what_may_be_negated(void **state)
{
    static const char *const good[] = {"--no-confirm", NULL};
    static const char *const back[] = {"--no-confirm", "--confirm", NULL};
    static const char *const bad[] = {"--no-retain", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, good));
    assert_false(cli_flag(&args, "confirm"));
    cli_args_fini(&args);
    assert_true(parse(&args, &err, back));
    assert_true(cli_flag(&args, "confirm"));
    cli_args_fini(&args);
    assert_false(parse(&args, &err, bad));
    cli_args_fini(&args);
}

static void test_opt_keeps_repeated_values_in_order(void **state)
{
    static const char *const words[] = {"-H", "a: 1", "x", "-Hb=2", "--header=", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_int_equal(cli_count(&args, "header"), 3);
    assert_string_equal(cli_at(&args, "header", 0), "a: 1");
    assert_string_equal(cli_at(&args, "header", 1), "b=2");
    assert_string_equal(cli_at(&args, "header", 2), "");
    assert_null(cli_at(&args, "header", 3));
    cli_args_fini(&args);
}

static void test_opt_words_after_two_dashes_are_words(void **state)
{
    static const char *const words[] = {"-r", "--", "-c", "--help", "-", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_false(args.help);
    assert_int_equal(args.word_count, 3);
    assert_string_equal(args.words[0], "-c");
    assert_string_equal(args.words[2], "-");
    cli_args_fini(&args);
}

static void test_opt_optional_value_never_takes_the_next_word(void **state)
{
    static const char *const words[] = {"--stamps", "rel", "--stamps=iso", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_int_equal(args.word_count, 1);
    assert_int_equal(cli_int(&args, "stamps", -1), 1);
    assert_string_equal(cli_text(&args, "stamps"), "iso");
    cli_args_fini(&args);
}

static void test_opt_value_may_begin_with_a_dash(void **state)
{
    static const char *const words[] = {"-H", "-5m", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_string_equal(cli_text(&args, "header"), "-5m");
    cli_args_fini(&args);
}

static void test_opt_own_rows_win_over_shared_ones(void **state)
{
    static const char *const words[] = {"-v", "text", "-c", "9", "--ca", "f", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_string_equal(cli_text(&args, "verbose"), "text");
    assert_int_equal(cli_int(&args, "count", -1), 9);
    assert_string_equal(cli_text(&args, "cacert"), "f");
    cli_args_fini(&args);
}

static void test_opt_says_what_is_wrong(void **state)
{
    static const struct {
        const char *words[4];
        const char *part; /* of the message */
    } cases[] = {
        {{"--cuont", NULL}, "did you mean --count"},
        {{"--cuont=3", NULL}, "did you mean --count"},
        {{"--zzzzzzzz", NULL}, "see --help"},
        {{"-z", NULL}, "unknown option -z"},
        {{"-rz", NULL}, "unknown option -z"},
        {{"-5", NULL}, "put -- before"},
        {{"-c", NULL}, "-c needs a value"},
        {{"--count", NULL}, "--count needs a value"},
        {{"-c", "x", NULL}, "a whole number"},
        {{"-c", "", NULL}, "a whole number"},
        {{"-c", "0", NULL}, "out of range"},
        {{"-c", "1001", NULL}, "out of range"},
        {{"-c", "99999999999999999999", NULL}, "a whole number"},
        {{"-Q", "3", NULL}, "one of 0|1|2"},
        {{"-Q", "", NULL}, "one of 0|1|2"},
        {{"-Q", "0|1", NULL}, "one of 0|1|2"},
        {{"-W", "5x", NULL}, "a duration"},
        {{"--max", "5q", NULL}, "a size"},
        {{"--retain=yes", NULL}, "takes no value"},
        {{"-h", "localhost", NULL}, "-b"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cli_usage_error err;
        cli_args args;

        assert_false(parse(&args, &err, cases[i].words));
        if (strstr(err.text, cases[i].part) == NULL) {
            fail_msg("%s: '%s' lacks '%s'", cases[i].words[0], err.text, cases[i].part);
        }
        cli_args_fini(&args);
    }
}

static void test_opt_help_is_found_before_anything_else_is_checked(void **state)
{
    static const char *const words[] = {"x", "--help", "--wrong", NULL};
    static const char *const last[] = {"-r", "-h", NULL};
    cli_usage_error err;
    cli_args args;

    (void)state;
    assert_true(parse(&args, &err, words));
    assert_true(args.help);
    cli_args_fini(&args);
    assert_true(parse(&args, &err, last));
    assert_true(args.help);
    cli_args_fini(&args);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opt_reads_every_way_of_writing),
        cmocka_unit_test(test_opt_bundles_flags),
        cmocka_unit_test(test_opt_defaults_hold_when_nothing_is_given),
        cmocka_unit_test(test_opt_negates_only_what_may_be_negated),
        cmocka_unit_test(test_opt_keeps_repeated_values_in_order),
        cmocka_unit_test(test_opt_words_after_two_dashes_are_words),
        cmocka_unit_test(test_opt_optional_value_never_takes_the_next_word),
        cmocka_unit_test(test_opt_value_may_begin_with_a_dash),
        cmocka_unit_test(test_opt_own_rows_win_over_shared_ones),
        cmocka_unit_test(test_opt_says_what_is_wrong),
        cmocka_unit_test(test_opt_help_is_found_before_anything_else_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
