/* SPDX-License-Identifier: MIT */
#include <pubsub/error.h>

#include <pubsub/version.h>

#include "support/cmocka.h"

#include <errno.h>
#include <stdio.h>

static const struct {
    pubsub_err code;
    int value;
    const char *name;
} codes[] = {
#define PUBSUB_X(name, value, class_, text) {PUBSUB_##name, value, "PUBSUB_" #name},
    PUBSUB_ERROR_MAP(PUBSUB_X)
#undef PUBSUB_X
};

#define COUNT (sizeof(codes) / sizeof(codes[0]))

static void test_error_every_code_has_name_text_and_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(codes[i].code, codes[i].value);
        assert_string_equal(pubsub_err_name(codes[i].code), codes[i].name);
        assert_string_not_equal(pubsub_strerror(codes[i].code), "unknown error");
        assert_true(codes[i].value <= 0);
        assert_int_equal(pubsub_err_class_of(codes[i].code) == PUBSUB_CLASS_NONE,
                         codes[i].code == PUBSUB_OK);
        for (size_t k = 0; k < i; k++) {
            assert_int_not_equal(codes[i].value, codes[k].value);
        }
    }
}

static void test_error_values_that_are_no_code(void **state)
{
    (void)state;
    static const int values[] = {1, -19, -1000, 4711};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        pubsub_err code = (pubsub_err)values[i];
        assert_string_equal(pubsub_strerror(code), "unknown error");
        assert_string_equal(pubsub_err_name(code), "PUBSUB_?");
        assert_int_equal(pubsub_err_class_of(code), PUBSUB_CLASS_FATAL);
        assert_false(pubsub_err_is_retryable(code));
    }
}

static void test_error_classes(void **state)
{
    (void)state;
    assert_true(pubsub_err_is_retryable(PUBSUB_EAGAIN));
    assert_false(pubsub_err_is_retryable(PUBSUB_OK));
    assert_false(pubsub_err_is_retryable(PUBSUB_EURL));
    assert_int_equal(pubsub_err_class_of(PUBSUB_EAUTH), PUBSUB_CLASS_DENIED);
    assert_int_equal(pubsub_err_class_of(PUBSUB_EURL), PUBSUB_CLASS_USAGE);
}

static void test_error_set_fills_everything(void **state)
{
    (void)state;
    pubsub_error err;
    memset(&err, 'x', sizeof(err)); /* never initialised */
    assert_int_equal(pubsub_error_set(&err, PUBSUB_ETOPIC, "bad %s %d", "topic", 7), PUBSUB_ETOPIC);
    assert_int_equal(err.code, PUBSUB_ETOPIC);
    assert_int_equal(err.native_code, 0);
    assert_string_equal(err.adapter, "");
    assert_string_equal(err.text, "bad topic 7");
    assert_string_equal(pubsub_error_text(&err), "bad topic 7");
    assert_int_equal(pubsub_error_set(NULL, PUBSUB_EIO, "nobody looks"), PUBSUB_EIO);
}

static void test_error_set_keeps_one_line_of_utf8(void **state)
{
    (void)state;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_error_set(&err, PUBSUB_EIO, "%s", "two\nlines\tand \xFF");
    assert_string_equal(err.text, "two lines and ?");
    char text[600];
    for (size_t i = 0; i + 1 < sizeof(text); i += 2) {
        memcpy(text + i, "\xC3\xA9", 2);
    }
    text[sizeof(text) - 2] = '\0';
    pubsub_error_set(&err, PUBSUB_EIO, "x%s", text);
    assert_int_equal(strlen(err.text), 255);
    pubsub_error_set(&err, PUBSUB_EIO, "%s", text);
    assert_int_equal(strlen(err.text), 254); /* not half of the last character */
}

static void test_error_set_from_its_own_text(void **state)
{
    (void)state;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_error_set(&err, PUBSUB_EIO, "inner");
    pubsub_error_set(&err, PUBSUB_ELOST, "outer: %s", err.text);
    assert_string_equal(err.text, "outer: inner");
}

static void test_error_text_falls_back(void **state)
{
    (void)state;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_string_equal(pubsub_error_text(&err), "success");
    pubsub_error_set(&err, PUBSUB_EFULL, "%s", "");
    assert_string_equal(pubsub_error_text(&err), pubsub_strerror(PUBSUB_EFULL));
}

static void test_error_set_errno_adds_the_reason(void **state)
{
    (void)state;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub_error_set_errno(&err, PUBSUB_ENOSPC, ENOSPC, "write %s", "x.log"),
                     PUBSUB_ENOSPC);
    assert_int_equal(err.native_code, ENOSPC);
    assert_string_equal(err.text, "write x.log: No space left on device");
    char text[300];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    pubsub_error_set_errno(&err, PUBSUB_EIO, EIO, "%s", text);
    assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
    assert_int_equal(pubsub_error_set_errno(NULL, PUBSUB_EIO, EIO, "x"), PUBSUB_EIO);
}

static void test_error_bytes_of(void **state)
{
    (void)state;
    assert_int_equal(pubsub_bytes_of("abc").len, 3);
    assert_memory_equal(pubsub_bytes_of("abc").data, "abc", 3);
    assert_int_equal(pubsub_bytes_of(NULL).len, 0);
    assert_null(pubsub_bytes_of(NULL).data);
}

static void test_error_version_agrees_with_itself(void **state)
{
    (void)state;
    int major = -1;
    int minor = -1;
    int patch = -1;
    assert_int_equal(sscanf(pubsub_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    assert_int_equal(major * 10000 + minor * 100 + patch, PUBSUB_VERSION_NUMBER);
    assert_string_equal(pubsub_version(), PUBSUB_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_every_code_has_name_text_and_class),
        cmocka_unit_test(test_error_values_that_are_no_code),
        cmocka_unit_test(test_error_classes),
        cmocka_unit_test(test_error_set_fills_everything),
        cmocka_unit_test(test_error_set_keeps_one_line_of_utf8),
        cmocka_unit_test(test_error_set_from_its_own_text),
        cmocka_unit_test(test_error_text_falls_back),
        cmocka_unit_test(test_error_set_errno_adds_the_reason),
        cmocka_unit_test(test_error_bytes_of),
        cmocka_unit_test(test_error_version_agrees_with_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
