/* SPDX-License-Identifier: MIT */
#include "mask.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

static void test_mask_hides_what_is_secret(void **state)
{
    static const char *const cases[][2] = {
        {"mqtt://u:pass@host/t", "mqtt://u:****@host/t"},
        {"-bmqtt://u:pass@host", "-bmqtt://u:****@host"},
        {"redis://:pass@host", "redis://:****@host"},
        {"mqtt://u:p@ss@host", "mqtt://u:****@host"},
        {"mqtt://u:pa/s@host", "mqtt://u:****@host"},
        {"u:pass@host", "u:****@host"},
        {"mqtt://h?password=pass&a=b", "mqtt://h?password=****&a=b"},
        {"password=pa=s", "password=****"},
        {"-XPassword=pass", "-XPassword=****"},
        {"kafka.ssl.key.password=pass", "kafka.ssl.key.password=****"},
        {"--password=pass", "--password=****"},
        {"--password=", "--password="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char program[] = "pubsub";
        char word[100];
        char *argv[] = {program, word, NULL};

        (void)snprintf(word, sizeof(word), "%s", cases[i][0]);
        cli_mask_words(2, argv);
        assert_string_equal(word, cases[i][1]);
    }
}

static void test_mask_leaves_the_rest(void **state)
{
    static const char *const cases[] = {
        "mqtt://host:1883/t",
        "mqtt://user@host",
        "local:/a/b",
        "a/b@c",
        "--password-file=x",
        "x=y",
        "{\"a\":\"b@c\"}",
        "",
        "://",
        "=",
        "prefetch=5",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char program[] = "pubsub";
        char word[100];
        char *argv[] = {program, word, NULL};

        (void)snprintf(word, sizeof(word), "%s", cases[i]);
        cli_mask_words(2, argv);
        assert_string_equal(word, cases[i]);
    }
}

static void test_mask_hides_the_value_in_the_next_word(void **state)
{
    char words[][20] = {"pubsub", "--password", "pass", "pass"};
    char *argv[] = {words[0], words[1], words[2], words[3], NULL};

    (void)state;
    cli_mask_words(4, argv);
    assert_string_equal(words[2], "****");
    assert_string_equal(words[3], "pass");
}

static void test_mask_text_stops_at_the_end_of_the_url(void **state)
{
    char text[] = "mqtt://u:pass@h: see me@home, and 'amqp://a:b@c' or http://x:1 y@z";

    (void)state;
    cli_mask_text(text);
    assert_string_equal(text, "mqtt://u:****@h: see me@home, and 'amqp://a:*@c' or http://x:1 y@z");
}

static void test_mask_copies_outlive_the_masking(void **state)
{
    char program[] = "pubsub";
    char url[] = "mqtt://u:pass@host";
    char *argv[] = {program, url, NULL};
    char **words = cli_words_copy(2, argv);

    (void)state;
    cli_mask_words(2, argv);
    assert_string_equal(words[1], "mqtt://u:pass@host");
    assert_null(words[2]);
    cli_words_free(words);
    cli_words_free(NULL);
}

static void test_mask_knows_secret_names(void **state)
{
    (void)state;
    assert_true(cli_name_is_secret("kafka.sasl.Password"));
    assert_true(cli_name_is_secret("token"));
    assert_false(cli_name_is_secret("prefetch"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask_hides_what_is_secret),
        cmocka_unit_test(test_mask_leaves_the_rest),
        cmocka_unit_test(test_mask_hides_the_value_in_the_next_word),
        cmocka_unit_test(test_mask_text_stops_at_the_end_of_the_url),
        cmocka_unit_test(test_mask_copies_outlive_the_masking),
        cmocka_unit_test(test_mask_knows_secret_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
