/* SPDX-License-Identifier: MIT */
#include "log/log.h"

#include "base/utf8.h"

#include "support/cmocka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct seen {
    int count;
    pubsub_log_level level;
    char component[32];
    char text[2048];
} seen;

static void remember(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    seen *to = ctx;
    to->count++;
    to->level = level;
    snprintf(to->component, sizeof(to->component), "%s", component);
    snprintf(to->text, sizeof(to->text), "%s", text);
}

static int back_to_start(void **state)
{
    (void)state;
    unsetenv("PUBSUB_LOG");
    pubsub_log_set(NULL, NULL);
    pubsub_log_set_level(PUBSUB_LOG_INFO);
    return pubsub_log_set_filter(NULL, NULL);
}

static void test_log_is_silent_without_a_function(void **state)
{
    (void)state;
    int evaluated = 0;
    pubsub__log(PUBSUB_LOG_ERROR, "test", "%d", ++evaluated);
    assert_int_equal(evaluated, 0);
    assert_false(pubsub__log_enabled(PUBSUB_LOG_ERROR, "test"));
}

static void test_log_delivers_a_line(void **state)
{
    (void)state;
    seen got = {0};
    pubsub_log_set(remember, &got);
    pubsub__log(PUBSUB_LOG_WARN, "client", "lost %d of\n%d", 1, 2);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.level, PUBSUB_LOG_WARN);
    assert_string_equal(got.component, "client");
    assert_string_equal(got.text, "lost 1 of 2");
}

static void test_log_level_is_tested_before_formatting(void **state)
{
    (void)state;
    seen got = {0};
    int evaluated = 0;
    pubsub_log_set(remember, &got);
    assert_int_equal(pubsub_log_get_level(), PUBSUB_LOG_INFO);
    pubsub__log(PUBSUB_LOG_DEBUG, "client", "%d", ++evaluated);
    assert_int_equal(evaluated, 0);
    pubsub_log_set_level(PUBSUB_LOG_DEBUG);
    pubsub__log(PUBSUB_LOG_DEBUG, "client", "%d", ++evaluated);
    assert_int_equal(evaluated, 1);
    assert_int_equal(got.count, 1);
    pubsub_log_set_level(PUBSUB_LOG_OFF);
    pubsub__log(PUBSUB_LOG_ERROR, "client", "x");
    assert_int_equal(got.count, 1);
    pubsub_log_set_level((pubsub_log_level)99);
    assert_int_equal(pubsub_log_get_level(), PUBSUB_LOG_TRACE);
}

static void test_log_filter_chooses_components(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        bool client;
        bool kafka;
    } cases[] = {
        {"all", true, true},
        {"all,-kafka", true, false},
        {"kafka", false, true},
        {"client,kafka", true, true},
        {"-kafka", false, false},
        {"all,-all,client", true, false},
        {" all , -kafka ", true, false},
        {"-kafka,all", true, true},
        {"", false, false},
        {"kafk", false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        seen got = {0};
        pubsub_log_set(remember, &got);
        assert_int_equal(pubsub_log_set_filter(cases[i].filter, NULL), PUBSUB_OK);
        pubsub__log(PUBSUB_LOG_ERROR, "client", "x");
        assert_int_equal(got.count, cases[i].client ? 1 : 0);
        got.count = 0;
        pubsub__log(PUBSUB_LOG_ERROR, "kafka", "x");
        assert_int_equal(got.count, cases[i].kafka ? 1 : 0);
        assert_int_equal(pubsub__log_enabled(PUBSUB_LOG_ERROR, "kafka"), cases[i].kafka);
    }
}

static void test_log_filter_refuses_nonsense(void **state)
{
    (void)state;
    char many[256] = "a";
    for (int i = 0; i < 40; i++) {
        memcpy(many + 1 + 2 * i, ",a", 3);
    }
    static const char *const bad[] = {",",     "a,,b", "-",
                                      "all,-", "a,  ", "a-component-with-a-name-that-is-too-long"};
    seen got = {0};
    pubsub_log_set(remember, &got);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(pubsub_log_set_filter(bad[i], &err), PUBSUB_EINVAL);
        assert_string_not_equal(err.text, "");
    }
    assert_int_equal(pubsub_log_set_filter(many, NULL), PUBSUB_EINVAL);
    pubsub__log(PUBSUB_LOG_ERROR, "any", "the filter from before still holds");
    assert_int_equal(got.count, 1);
}

static void test_log_filter_comes_from_the_environment(void **state)
{
    (void)state;
    seen got = {0};
    setenv("PUBSUB_LOG", "all,-kafka", 1);
    pubsub_log_set_filter(NULL, NULL);
    pubsub_log_set(remember, &got);
    pubsub__log(PUBSUB_LOG_ERROR, "kafka", "x");
    assert_int_equal(got.count, 0);
    pubsub__log(PUBSUB_LOG_ERROR, "mqtt", "x");
    assert_int_equal(got.count, 1);
    setenv("PUBSUB_LOG", "not,,valid", 1);
    pubsub_log_set_filter(NULL, NULL);
    pubsub__log(PUBSUB_LOG_ERROR, "kafka", "x");
    assert_int_equal(got.count, 2);
}

static void test_log_cuts_long_lines_between_characters(void **state)
{
    (void)state;
    seen got = {0};
    char text[3000];
    for (size_t i = 0; i + 3 < sizeof(text); i += 3) {
        memcpy(text + i, "\xE2\x82\xAC", 4);
    }
    pubsub_log_set(remember, &got);
    pubsub__log(PUBSUB_LOG_ERROR, "client", "%s", text);
    size_t len = strlen(got.text);
    assert_true(len > 1000 && len < 1024);
    assert_true(pubsub__utf8_check(got.text, len));
}

static void log_again(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    (void)text;
    int *count = ctx;
    (*count)++;
    pubsub__log(level, component, "from inside");
    (void)pubsub__log_enabled(level, component);
}

static void test_log_function_may_call_code_that_logs(void **state)
{
    (void)state;
    int count = 0;
    pubsub_log_set(log_again, &count);
    pubsub__log(PUBSUB_LOG_ERROR, "client", "x");
    pubsub__log(PUBSUB_LOG_ERROR, "client", "x");
    assert_int_equal(count, 2);
}

static void count_atomic(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    (void)level;
    (void)component;
    (void)text;
    atomic_fetch_add((atomic_int *)ctx, 1);
}

static void *log_much(void *arg)
{
    (void)arg;
    for (int i = 0; i < 2000; i++) {
        pubsub__log(PUBSUB_LOG_ERROR, "client", "line %d", i);
    }
    return NULL;
}

/* After pubsub_log_set returns, the old function runs no more: its context can be reused at once. */
static void test_log_set_while_others_log(void **state)
{
    (void)state;
    pthread_t threads[3];
    atomic_int total;
    atomic_init(&total, 0);
    pubsub_log_set(count_atomic, &total);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_much, NULL), 0);
    }
    for (int i = 0; i < 200; i++) {
        atomic_int *own = malloc(sizeof(*own));
        assert_non_null(own);
        atomic_init(own, 0);
        pubsub_log_set(count_atomic, own);
        pubsub_log_set_level(i % 2 == 0 ? PUBSUB_LOG_TRACE : PUBSUB_LOG_ERROR);
        pubsub_log_set(NULL, NULL);
        free(own);
        pubsub_log_set(count_atomic, &total);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    pubsub_log_set(NULL, NULL);
    assert_true(atomic_load(&total) <= 6000);
}

static void test_log_level_names(void **state)
{
    (void)state;
    assert_string_equal(pubsub_log_level_name(PUBSUB_LOG_OFF), "off");
    assert_string_equal(pubsub_log_level_name(PUBSUB_LOG_WARN), "warn");
    assert_string_equal(pubsub_log_level_name(PUBSUB_LOG_TRACE), "trace");
    assert_string_equal(pubsub_log_level_name((pubsub_log_level)6), "?");
    assert_string_equal(pubsub_log_level_name((pubsub_log_level)-1), "?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_log_is_silent_without_a_function, back_to_start),
        cmocka_unit_test_setup(test_log_delivers_a_line, back_to_start),
        cmocka_unit_test_setup(test_log_level_is_tested_before_formatting, back_to_start),
        cmocka_unit_test_setup(test_log_filter_chooses_components, back_to_start),
        cmocka_unit_test_setup(test_log_filter_refuses_nonsense, back_to_start),
        cmocka_unit_test_setup(test_log_filter_comes_from_the_environment, back_to_start),
        cmocka_unit_test_setup(test_log_cuts_long_lines_between_characters, back_to_start),
        cmocka_unit_test_setup(test_log_function_may_call_code_that_logs, back_to_start),
        cmocka_unit_test_setup(test_log_set_while_others_log, back_to_start),
        cmocka_unit_test_setup(test_log_level_names, back_to_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
