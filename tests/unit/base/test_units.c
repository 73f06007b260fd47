/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include "support/cmocka.h"

typedef struct number_case {
    const char *text;
    int rc;
    int64_t value;
} number_case;

#define OK PUBSUB__UNITS_OK
#define SYNTAX PUBSUB__UNITS_SYNTAX
#define RANGE PUBSUB__UNITS_RANGE
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void run(int (*parse)(const char *, int64_t *), const number_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = 12345;
        int rc = parse(cases[i].text, &value);
        int64_t expected = cases[i].rc == OK ? cases[i].value : 12345;
        if (rc != cases[i].rc || value != expected) {
            fail_msg("'%s': rc %d, value %lld", cases[i].text, rc, (long long)value);
        }
    }
}

static void test_units_int(void **state)
{
    (void)state;
    static const number_case cases[] = {
        {"0", OK, 0},
        {"42", OK, 42},
        {"-7", OK, -7},
        {"007", OK, 7},
        {"9223372036854775807", OK, INT64_MAX},
        {"-9223372036854775808", OK, INT64_MIN},
        {"9223372036854775808", RANGE, 0},
        {"-9223372036854775809", RANGE, 0},
        {"99999999999999999999999", RANGE, 0},
        {"99999999999999999999999x", SYNTAX, 0},
        {"", SYNTAX, 0},
        {"-", SYNTAX, 0},
        {"+1", SYNTAX, 0},
        {" 1", SYNTAX, 0},
        {"1 ", SYNTAX, 0},
        {"1.0", SYNTAX, 0},
        {"0x10", SYNTAX, 0},
        {"1k", SYNTAX, 0},
    };
    run(pubsub__parse_int, cases, COUNT(cases));
}

static void test_units_duration(void **state)
{
    (void)state;
    static const number_case cases[] = {
        {"250ms", OK, 250},
        {"1500", OK, 1500},
        {"0", OK, 0},
        {"5s", OK, 5000},
        {"1.5s", OK, 1500},
        {"0.001s", OK, 1},
        {"0.0001s", OK, 1}, /* rounded up: not 0 */
        {"2m", OK, 120000},
        {"1h", OK, 3600000},
        {"1d", OK, 86400000},
        {"0.5d", OK, 43200000},
        {"-1", OK, -1},
        {"forever", OK, -1},
        {"Forever", OK, -1},
        {"-2", SYNTAX, 0},
        {"-5s", SYNTAX, 0},
        {"5 s", SYNTAX, 0},
        {"5S", SYNTAX, 0},
        {"5sec", SYNTAX, 0},
        {"1.s", SYNTAX, 0},
        {".5s", SYNTAX, 0},
        {"s", SYNTAX, 0},
        {"", SYNTAX, 0},
        {"1h30m", SYNTAX, 0},
        {"9223372036854775807", OK, INT64_MAX},
        {"9223372036854775807s", RANGE, 0},
        {"99999999999999999999d", RANGE, 0},
        {"9223372036854775807.5ms", RANGE, 0},
    };
    run(pubsub__parse_duration, cases, COUNT(cases));
}

static void test_units_size(void **state)
{
    (void)state;
    static const number_case cases[] = {
        {"512", OK, 512},
        {"512B", OK, 512},
        {"64k", OK, 65536},
        {"64K", OK, 65536},
        {"64kB", OK, 65536},
        {"64KiB", OK, 65536},
        {"8M", OK, 8388608},
        {"8m", OK, 8388608},
        {"1G", OK, 1073741824},
        {"1.5G", OK, 1610612736},
        {"2T", OK, INT64_C(2) << 40},
        {"1.5", SYNTAX, 0},
        {"-1", SYNTAX, 0},
        {"1X", SYNTAX, 0},
        {"1kk", SYNTAX, 0},
        {"k", SYNTAX, 0},
        {"", SYNTAX, 0},
        {"9223372036854775807", OK, INT64_MAX},
        {"9223372036854775807k", RANGE, 0},
        {"8388608T", RANGE, 0},
    };
    run(pubsub__parse_size, cases, COUNT(cases));
}

static void test_units_bool(void **state)
{
    (void)state;
    static const char *const yes[] = {"yes", "true", "on", "1", "YES", "On"};
    static const char *const no[] = {"no", "false", "off", "0", "No", "FALSE"};
    static const char *const neither[] = {"", "y", "2", "yes ", "nope"};
    bool value = false;
    for (size_t i = 0; i < COUNT(yes); i++) {
        value = false;
        assert_int_equal(pubsub__parse_bool(yes[i], &value), OK);
        assert_true(value);
    }
    for (size_t i = 0; i < COUNT(no); i++) {
        value = true;
        assert_int_equal(pubsub__parse_bool(no[i], &value), OK);
        assert_false(value);
    }
    for (size_t i = 0; i < COUNT(neither); i++) {
        assert_int_equal(pubsub__parse_bool(neither[i], &value), SYNTAX);
    }
}

static void test_units_format_reads_back(void **state)
{
    (void)state;
    static const int64_t values[] = {0,     1,     250,     1000,       1500,
                                     65536, 60000, 3600000, 86400000,   1610612736,
                                     -1,    1024,  1048576, 1073741824, INT64_MAX};
    char buf[32];
    for (size_t i = 0; i < COUNT(values); i++) {
        int64_t back = -2;
        pubsub__format_duration(values[i], buf, sizeof(buf));
        assert_int_equal(pubsub__parse_duration(buf, &back), OK);
        assert_int_equal(back, values[i]);
        if (values[i] >= 0) {
            pubsub__format_size(values[i], buf, sizeof(buf));
            assert_int_equal(pubsub__parse_size(buf, &back), OK);
            assert_int_equal(back, values[i]);
        }
    }
    assert_string_equal(pubsub__format_duration(5000, buf, sizeof(buf)), "5s");
    assert_string_equal(pubsub__format_duration(-1, buf, sizeof(buf)), "forever");
    assert_string_equal(pubsub__format_size(65536, buf, sizeof(buf)), "64k");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_units_int),
        cmocka_unit_test(test_units_duration),
        cmocka_unit_test(test_units_size),
        cmocka_unit_test(test_units_bool),
        cmocka_unit_test(test_units_format_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
