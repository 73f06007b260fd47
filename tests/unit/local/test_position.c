/* SPDX-License-Identifier: MIT */
#include "local/store.h"

#include "support/cmocka.h"

static void test_position_round_trip(void **state)
{
    (void)state;
    const local_position cases[] = {{1, 0}, {1, 64}, {4294967295u, 9223372036854775800u}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[LOCAL_POSITION_TEXT];
        local_position out = {0, 0};
        size_t len = pubsub__local_position_format(cases[i], text);
        assert_int_equal(len, strlen(text));
        assert_true(pubsub__local_position_parse(text, len, &out));
        assert_int_equal(out.epoch, cases[i].epoch);
        assert_int_equal(out.offset, cases[i].offset);
    }
    char text[LOCAL_POSITION_TEXT];
    pubsub__local_position_format((local_position){7, 4096}, text);
    assert_string_equal(text, "e7-4096");
}

static void test_position_refuses_anything_else(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "e",
                                        "e1",
                                        "e1-",
                                        "1-64",
                                        "e-64",
                                        "e0-64",
                                        "e01-64",
                                        "e1-064",
                                        "e1-6",
                                        "e1-64 ",
                                        " e1-64",
                                        "e1-64x",
                                        "e+1-64",
                                        "e1--64",
                                        "E1-64",
                                        "e1_64",
                                        "e1-1e3",
                                        "e1-64-8",
                                        "e1-0x40",
                                        "e4294967296-64",
                                        "e1-9223372036854775808",
                                        "e1-99999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        local_position out;
        assert_false(pubsub__local_position_parse(cases[i], strlen(cases[i]), &out));
    }
    local_position out;
    assert_false(pubsub__local_position_parse(NULL, 0, &out));
    assert_false(pubsub__local_position_parse("e1-64\0", 6, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_position_round_trip),
        cmocka_unit_test(test_position_refuses_anything_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
