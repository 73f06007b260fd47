/* SPDX-License-Identifier: MIT */
#include "base/when.h"

#include "support/cmocka.h"

#define S UINT64_C(1000000000)
#define NOW (UINT64_C(1771056000) * S)

static void test_when_reads_times(void **state)
{
    static const struct {
        const char *text;
        uint64_t ns;
    } cases[] = {
        {"1970-01-01", 0},
        {"1970-01-01T00:00:01Z", S},
        {"2026-02-14T08:00:00Z", UINT64_C(1771056000) * S},
        {"2026-02-14 08:00:00z", UINT64_C(1771056000) * S},
        {"2026-02-14T09:30:00+01:30", UINT64_C(1771056000) * S},
        {"2026-02-14T06:30:00.25-01:30", UINT64_C(1771056000) * S + S / 4},
        {"2026-02-14T08:00:00.1234567891Z", UINT64_C(1771056000) * S + 123456789},
        {"2024-02-29", UINT64_C(1709164800) * S},
        {"2000-02-29", UINT64_C(951782400) * S},
        {"@0", 0},
        {"@1771056000", UINT64_C(1771056000) * S},
        {"@1771056000.5", UINT64_C(1771056000) * S + S / 2},
        {"-5m", NOW - 300 * S},
        {"+1h", NOW + 3600 * S},
        {"-36500d", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ns = 1;

        if (!pubsub__when_parse(cases[i].text, NOW, &ns) || ns != cases[i].ns) {
            fail_msg("'%s' gives %llu", cases[i].text, (unsigned long long)ns);
        }
    }
}

static void test_when_refuses_what_is_no_time(void **state)
{
    static const char *const cases[] = {
        "",
        "x",
        "new",
        "2026",
        "2026-02",
        "2026-02-30",
        "2025-02-29",
        "1900-02-29",
        "2026-13-01",
        "2026-00-01",
        "2026-02-14T",
        "2026-02-14T08:00",
        "2026-02-14T08:00:00",
        "2026-02-14T24:00:00Z",
        "2026-02-14T08:60:00Z",
        "2026-02-14T08:00:00.Z",
        "2026-02-14T08:00:00+1:00",
        "2026-02-14T08:00:00Zx",
        "1969-12-31",
        "9999-01-01",
        "@",
        "@x",
        "@1.",
        "@1x",
        "@99999999999999",
        "-",
        "-x",
        "+-5m",
        "-forever",
        "--5m",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t ns;

        if (pubsub__when_parse(cases[i], NOW, &ns)) {
            fail_msg("'%s' was taken for a time", cases[i]);
        }
    }
}

static void test_when_iso_reads_back(void **state)
{
    char text[64];
    uint64_t ns;

    (void)state;
    assert_string_equal(pubsub__when_iso(NOW + 123456789, text, sizeof(text)),
                        "2026-02-14T08:00:00.123456Z");
    assert_true(pubsub__when_parse(text, 0, &ns));
    assert_int_equal(ns, NOW + 123456000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when_reads_times),
        cmocka_unit_test(test_when_refuses_what_is_no_time),
        cmocka_unit_test(test_when_iso_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
