/* SPDX-License-Identifier: MIT */
#include "base/nearest.h"

#include "support/cmocka.h"

#include <stdint.h>

static void test_nearest_distances(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        size_t distance;
    } cases[] = {
        {"", "", 0},      {"", "abc", 3},      {"abc", "abc", 0},          {"abc", "abd", 1},
        {"abc", "ab", 1}, {"abc", "acb", 1},   {"prefech", "prefetch", 1}, {"kitten", "sitting", 3},
        {"ca", "ac", 1},  {"qos", "group", 4}, {"aaaa", "bbbb", 4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pubsub__edit_distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(pubsub__edit_distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static const char *nearest_of(const char *word)
{
    static const char *const candidates[] = {"prefetch", "group", "qos", "durable", "from"};
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, word);
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        pubsub__nearest_offer(&nearest, candidates[i]);
    }
    return pubsub__nearest_result(&nearest);
}

static void test_nearest_finds_what_was_meant(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("prefech"), "prefetch");
    assert_string_equal(nearest_of("grop"), "group");
    assert_string_equal(nearest_of("qso"), "qos");
    assert_string_equal(nearest_of("form"), "from");
    assert_null(nearest_of("zzzzzzzzzz"));
    assert_null(nearest_of(""));
}

static void test_nearest_gives_up_on_long_words(void **state)
{
    (void)state;
    char word[5000];
    memset(word, 'a', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_int_equal(pubsub__edit_distance(word, "a"), sizeof(word) - 1);
    assert_null(nearest_of(word));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest_distances),
        cmocka_unit_test(test_nearest_finds_what_was_meant),
        cmocka_unit_test(test_nearest_gives_up_on_long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
