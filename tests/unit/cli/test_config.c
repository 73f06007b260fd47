/* SPDX-License-Identifier: MIT */
#include "config.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char good[] = "# comment\n"
                           "broker = mqtt://one\r\n"
                           "  prefetch=5\n"
                           "prefetch = 6\n"
                           "\n"
                           "[profile live]\n"
                           "broker = kafka://two?a=b\n"
                           "[profile empty]\n"
                           "; comment\n"
                           "[profile live]\n"
                           "user =";

static void test_config_reads_parts(void **state)
{
    cli_config config;
    char err[200];

    (void)state;
    assert_true(cli_config_parse(&config, good, "file", err, sizeof(err)));
    assert_string_equal(cli_config_get(&config, "", "broker"), "mqtt://one");
    assert_string_equal(cli_config_get(&config, "", "prefetch"), "6");
    assert_string_equal(cli_config_get(&config, "live", "broker"), "kafka://two?a=b");
    assert_string_equal(cli_config_get(&config, "live", "user"), "");
    assert_null(cli_config_get(&config, "live", "prefetch"));
    assert_null(cli_config_get(&config, "", "user"));
    assert_true(cli_config_has_profile(&config, "empty"));
    assert_false(cli_config_has_profile(&config, "other"));
    assert_false(cli_config_has_profile(&config, ""));
    cli_config_fini(&config);
}

static void test_config_errors_name_file_and_line(void **state)
{
    static const char *const cases[] = {
        "a=b\nno equals sign\n", "a=b\n= value\n",     "a=b\n[profile x\n",  "a=b\n[other x]\n",
        "a=b\n[profile]\n",      "a=b\n[profile  ]\n", "a=b\n[profile a:b]", "a=b\n\xff=1\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cli_config config;
        char err[200] = "";

        assert_false(cli_config_parse(&config, cases[i], "conf", err, sizeof(err)));
        if (strstr(err, "conf:2: ") == NULL) {
            fail_msg("'%s': %s", cases[i], err);
        }
        cli_config_fini(&config);
    }
}

static void test_config_default_path(void **state)
{
    char path[100];

    (void)state;
    (void)setenv("HOME", "/h", 1);
    (void)setenv("XDG_CONFIG_HOME", "/x", 1);
    assert_true(cli_config_default_path(path, sizeof(path)));
    assert_string_equal(path, "/x/pubsub/config");
    (void)setenv("XDG_CONFIG_HOME", "relative", 1);
    assert_true(cli_config_default_path(path, sizeof(path)));
    assert_string_equal(path, "/h/.config/pubsub/config");
    (void)unsetenv("HOME");
    assert_false(cli_config_default_path(path, sizeof(path)));
    (void)setenv("HOME", "/h", 1);
    assert_false(cli_config_default_path(path, 5));
}

static void test_config_missing_file_is_an_error(void **state)
{
    cli_config config;
    char err[200] = "";

    (void)state;
    assert_false(cli_config_read(&config, "/nonexistent/config", err, sizeof(err)));
    assert_non_null(strstr(err, "/nonexistent/config"));
    cli_config_fini(&config);
}

static void test_config_finds_lines_and_skips_a_byte_order_mark(void **state)
{
    cli_config config;
    char err[200];

    (void)state;
    assert_true(
        cli_config_parse(&config, "\xEF\xBB\xBFuser = a\n\nuser = b\n", "file", err, sizeof(err)));
    assert_int_equal(cli_config_find(&config, "", "user")->line, 3);
    assert_null(cli_config_find(&config, "p", "user"));
    cli_config_fini(&config);
}

static void test_config_places(void **state)
{
    cli_config_place places[CLI_CONFIG_PLACES_MAX];

    (void)state;
    (void)unsetenv("PUBSUB_CONFIG");
    (void)unsetenv("XDG_CONFIG_HOME");
    (void)setenv("HOME", "/dev/null", 1);
    assert_int_equal(cli_config_places(NULL, places), 2);
    assert_string_equal(places[0].path, "/dev/null/.config/pubsub/config");
    assert_string_equal(places[0].why, "HOME");
    assert_false(places[0].exists);
    assert_false(places[0].required);
    assert_string_equal(places[1].path, CLI_CONFIG_SYSTEM);
    (void)unsetenv("HOME");
    assert_int_equal(cli_config_places(NULL, places), 1);
    (void)setenv("PUBSUB_CONFIG", "/dev/null", 1);
    assert_int_equal(cli_config_places(NULL, places), 1);
    assert_true(places[0].required && places[0].exists);
    assert_int_equal(cli_config_places("/x", places), 1);
    assert_string_equal(places[0].path, "/x");
    assert_int_equal(cli_config_places("", places), 0);
    (void)unsetenv("PUBSUB_CONFIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_reads_parts),
        cmocka_unit_test(test_config_errors_name_file_and_line),
        cmocka_unit_test(test_config_default_path),
        cmocka_unit_test(test_config_missing_file_is_an_error),
        cmocka_unit_test(test_config_finds_lines_and_skips_a_byte_order_mark),
        cmocka_unit_test(test_config_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
