/* SPDX-License-Identifier: MIT */
#include "connectors/settings.h"

#include "base/alloc.h"
#include "support/cmocka.h"

#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const pubsub_setting rows[] = {
    {"url", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_REQUIRED, NULL, NULL, 0, 0, "where it is"},
    {"limit", PUBSUB_SETTING_INT, 0, "10", NULL, 1, 100, "how many"},
    {"wait", PUBSUB_SETTING_DURATION, 0, "5s", NULL, 0, 60000, "how long"},
    {"forever", PUBSUB_SETTING_DURATION, 0, NULL, NULL, -1, 0, "how long"},
    {"size", PUBSUB_SETTING_SIZE, 0, NULL, NULL, 1024, 0, "how big"},
    {"tls", PUBSUB_SETTING_BOOL, 0, "no", NULL, 0, 0, "whether"},
    {"feed", PUBSUB_SETTING_CHOICE, 0, "longpoll", "longpoll|continuous", 0, 0, "which"},
    {"selector", PUBSUB_SETTING_JSON, 0, NULL, NULL, 0, 0, "what"},
    {"password", PUBSUB_SETTING_CHOICE, PUBSUB_SETTING_SECRET, NULL, "hunter2", 0, 0, "word"},
    {"secret", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_LIST | PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0,
     "several"},
};
static const pubsub_connector connector = {.abi = PUBSUB_CONNECTOR_ABI,
                                           .size = sizeof(connector),
                                           .name = "test",
                                           .settings = rows,
                                           .setting_count = COUNT(rows)};

static void test_settings_values(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        int64_t number;
    } cases[] = {
        {"url", "x", 0},           {"limit", "1", 1},       {"limit", "100", 100},
        {"wait", "1.5s", 1500},    {"wait", "0", 0},        {"forever", "forever", -1},
        {"size", "64k", 65536},    {"tls", "TRUE", 1},      {"tls", "off", 0},
        {"feed", "continuous", 1}, {"feed", "longpoll", 0}, {"selector", "{\"a\":[1]}", 0},
        {"secret", "", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t number = 99;
        char why[200] = "";
        const pubsub_setting *row = bridge_setting_row(rows, COUNT(rows), cases[i].name, NULL);
        assert_non_null(row);
        if (!bridge_setting_check(row, cases[i].text, false, &number, why, sizeof(why)) ||
            number != cases[i].number) {
            fail_msg("%s: %s: %lld %s", cases[i].name, cases[i].text, (long long)number, why);
        }
    }
}

static void test_settings_complaints(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"url", "", "\"\" must not be empty"},
        {"url", "\xFF", "\"\\xFF\" is not UTF-8"},
        {"limit", "80x", "\"80x\" is no whole number"},
        {"limit", "101", "\"101\" is out of range: from 1 to 100"},
        {"limit", "99999999999999999999",
         "\"99999999999999999999\" is out of range: from 1 to 100"},
        {"wait", "5 s", "\"5 s\" is no duration: write 250ms, 5s, 2m, 1h or 1d"},
        {"wait", "forever", "\"forever\" is out of range: from 0 to 1m"},
        {"wait", "2m", "\"2m\" is out of range: from 0 to 1m"},
        {"size", "1", "\"1\" is too small: it is at least 1k"},
        {"size", "99999999999T", "\"99999999999T\" is too big"},
        {"size", "many", "\"many\" is no size: write 512, 64k, 8M or 1G"},
        {"tls", "maybe", "\"maybe\" is neither yes nor no"},
        {"feed", "long", "\"long\" is none of longpoll, continuous"},
        {"selector", "{\"a\":}", "\"{\"a\":}\" is no JSON: a value is expected here, at byte 5"},
        {"password", "hunter3", "this value (not shown) is none of hunter2"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int64_t number = 0;
        char why[200] = "";
        const pubsub_setting *row = bridge_setting_row(rows, COUNT(rows), cases[i][0], NULL);
        assert_false(bridge_setting_check(row, cases[i][1], false, &number, why, sizeof(why)));
        assert_string_equal(why, cases[i][2]);
    }
    char why[200] = "";
    int64_t number = 0;
    assert_false(bridge_setting_check(&rows[1], "geheim", true, &number, why, sizeof(why)));
    assert_string_equal(why, "this value (not shown) is no whole number");
}

static void test_settings_new_fills_in_defaults(void **state)
{
    (void)state;
    static const char *const names[] = {"secret", "url", "secret", "limit"};
    static const char *const texts[] = {"one", "http://x", "two", "7"};
    pubsub_setting_value *values = NULL;
    size_t count = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    int64_t live = pubsub__alloc_live();
    assert_int_equal(pubsub_settings_new(&connector, names, texts, 4, &values, &count, &err),
                     PUBSUB_OK);
    static const char *const expected[][2] = {
        {"url", "http://x"},  {"limit", "7"},    {"wait", "5s"},   {"tls", "no"},
        {"feed", "longpoll"}, {"secret", "one"}, {"secret", "two"}};
    assert_int_equal(count, COUNT(expected));
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(values[i].name, expected[i][0]);
        assert_string_equal(values[i].text, expected[i][1]);
    }
    assert_int_equal(pubsub_setting_find(values, count, "wait")->number, 5000);
    assert_string_equal(pubsub_setting_find(values, count, "secret")->text, "one");
    assert_null(pubsub_setting_find(values, count, "selector"));
    pubsub_settings_free(values, count);
    assert_int_equal(pubsub__alloc_live(), live);
    pubsub_settings_free(NULL, 0);
}

static void assert_refused(const char *name, const char *text, const char *expected)
{
    const char *names[] = {"url", name};
    const char *texts[] = {"x", text};
    pubsub_setting_value *values = NULL;
    size_t count = 1;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_settings_new(&connector, names, texts, 2, &values, &count, &err),
                     PUBSUB_EOPTION);
    assert_null(values);
    assert_int_equal(count, 0);
    assert_string_equal(err.text, expected);
}

static void test_settings_new_refuses(void **state)
{
    (void)state;
    assert_refused("limt", "1", "test has no setting 'limt', did you mean 'limit'?");
    assert_refused("completely-else", "1", "test has no setting 'completely-else'");
    assert_refused("limit", "x", "limit: \"x\" is no whole number");
    assert_refused("url", "y", "url may be given only once");
    pubsub_setting_value *values = NULL;
    size_t count = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_settings_new(&connector, NULL, NULL, 0, &values, &count, &err),
                     PUBSUB_EOPTION);
    assert_string_equal(err.text, "test needs the setting 'url': where it is");
    assert_int_equal(pubsub_settings_new(NULL, NULL, NULL, 0, &values, &count, &err),
                     PUBSUB_EINVAL);
}

static void test_settings_new_without_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"url"};
    static const char *const texts[] = {"x"};
    for (uint64_t nth = 1;; nth++) {
        pubsub_setting_value *values = NULL;
        size_t count = 0;
        int64_t live = pubsub__alloc_live();
        pubsub__alloc_fail_at(nth);
        pubsub_err rc = pubsub_settings_new(&connector, names, texts, 1, &values, &count, NULL);
        pubsub__alloc_fail_at(0);
        pubsub_settings_free(values, count);
        assert_int_equal(pubsub__alloc_live(), live);
        if (rc == PUBSUB_OK) {
            assert_true(nth > 4);
            return;
        }
        assert_int_equal(rc, PUBSUB_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_values),
        cmocka_unit_test(test_settings_complaints),
        cmocka_unit_test(test_settings_new_fills_in_defaults),
        cmocka_unit_test(test_settings_new_refuses),
        cmocka_unit_test(test_settings_new_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
