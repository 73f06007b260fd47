/* SPDX-License-Identifier: MIT */
#include <pubsub/topic.h>

#include "base/alloc.h"

#include "support/cmocka.h"
#include "support/topic_cases.h"

#include <stdio.h>

typedef struct check_case {
    const char *text;
    size_t len;
    pubsub_err topic;
    pubsub_err pattern;
    const char *says; /* part of the topic's error text */
} check_case;

#define CASE(literal, topic, pattern, says)                                                        \
    {                                                                                              \
        (literal), sizeof(literal) - 1, PUBSUB_##topic, PUBSUB_##pattern, (says)                   \
    }

static const check_case checks[] = {
    CASE("a", OK, OK, NULL),
    CASE("a/b/c", OK, OK, NULL),
    CASE("/", OK, OK, NULL),
    CASE("my test topic", OK, OK, NULL),
    CASE("/v1/subutest", OK, OK, NULL),
    CASE("\xC3\xA9", OK, OK, NULL),
    CASE("$sys/x", OK, OK, NULL),
    CASE("a+b", OK, OK, NULL),
    CASE("a#", OK, OK, NULL),
    CASE("*.log", OK, OK, NULL),
    CASE("", ETOPIC, EPATTERN, "empty"),
    CASE("+", ETOPIC, OK, "'+' at byte 0"),
    CASE("a/#", ETOPIC, OK, "'#' at byte 2"),
    CASE("a/*/c", ETOPIC, OK, "'*' at byte 2"),
    CASE("a/bb/+", ETOPIC, OK, "'+' at byte 5"),
    CASE("a\0b", ETOPIC, EPATTERN, "NUL at byte 1"),
    CASE("a/\xFF", EUTF8, EUTF8, "0xFF at byte 2"),
    CASE("\xC0\xAF", EUTF8, EUTF8, "0xC0 at byte 0"),
    CASE("\xED\xA0\x80", EUTF8, EUTF8, "0xED at byte 0"),
    CASE("x\xF4\x90\x80\x80", EUTF8, EUTF8, "0xF4 at byte 1"),
};

static void test_topic_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        const check_case *c = &checks[i];
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_err rc = pubsub_topic_check(c->text, c->len, &err);
        if (rc != c->topic || (c->says != NULL && strstr(err.text, c->says) == NULL)) {
            fail_msg("topic '%s': %s, %s", c->text, pubsub_err_name(rc), err.text);
        }
        rc = pubsub_pattern_check(c->text, c->len, NULL);
        if (rc != c->pattern) {
            fail_msg("pattern '%s': %s", c->text, pubsub_err_name(rc));
        }
    }
}

static void test_topic_check_limits_length(void **state)
{
    (void)state;
    char text[PUBSUB_TOPIC_MAX + 1];
    memset(text, 'a', sizeof(text));
    assert_int_equal(pubsub_topic_check(text, PUBSUB_TOPIC_MAX, NULL), PUBSUB_OK);
    assert_int_equal(pubsub_topic_check(text, PUBSUB_TOPIC_MAX + 1, NULL), PUBSUB_ETOPIC);
    assert_int_equal(pubsub_pattern_check(text, PUBSUB_TOPIC_MAX + 1, NULL), PUBSUB_EPATTERN);
    assert_int_equal(pubsub_topic_check(NULL, 0, NULL), PUBSUB_ETOPIC);
    assert_int_equal(pubsub_topic_check(NULL, 1, NULL), PUBSUB_EINVAL);
}

static void test_topic_pattern_is_literal(void **state)
{
    (void)state;
    static const char *const literal[] = {"a", "a/b", "/", "a+b/#c", "**", "+a", ""};
    static const char *const wild[] = {"+", "#", "*", "a/+", "+/a", "a/*/b", "/#", "a//+"};
    for (size_t i = 0; i < sizeof(literal) / sizeof(literal[0]); i++) {
        assert_true(pubsub_pattern_is_literal(literal[i], strlen(literal[i])));
    }
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
        assert_false(pubsub_pattern_is_literal(wild[i], strlen(wild[i])));
    }
}

static void test_topic_matches_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOPIC_CASES; i++) {
        const topic_case *c = &topic_cases[i];
        if (pubsub_topic_matches(c->pattern, strlen(c->pattern), c->topic, strlen(c->topic)) !=
            c->matches) {
            fail_msg("'%s' and '%s'", c->pattern, c->topic);
        }
    }
    assert_false(pubsub_topic_matches("", 0, "a", 1));
    assert_false(pubsub_topic_matches("#", 1, "", 0));
}

/* The rule written down directly, without care for cost. */
static bool plainly(const char *pattern, const char *topic)
{
    size_t pn = strcspn(pattern, "/");
    bool hash = pn == 1 && (pattern[0] == '#' || pattern[0] == '*');
    const char *pattern_rest = pattern[pn] == '/' ? pattern + pn + 1 : NULL;
    if (topic == NULL) {
        return hash && (pattern_rest == NULL || plainly(pattern_rest, NULL));
    }
    size_t tn = strcspn(topic, "/");
    const char *topic_rest = topic[tn] == '/' ? topic + tn + 1 : NULL;
    if (hash) {
        return pattern_rest == NULL || plainly(pattern_rest, topic) ||
               (topic_rest == NULL ? plainly(pattern_rest, NULL) : plainly(pattern, topic_rest));
    }
    if (!(pn == 1 && pattern[0] == '+') && (pn != tn || memcmp(pattern, topic, pn) != 0)) {
        return false;
    }
    if (pattern_rest == NULL) {
        return topic_rest == NULL;
    }
    return plainly(pattern_rest, topic_rest);
}

/* The number written with these digits, each one a character: every short text there is. */
static void spell(char *out, unsigned number, const char *digits)
{
    size_t base = strlen(digits);
    size_t len = 0;
    for (; number > 0; number /= (unsigned)base + 1) {
        unsigned digit = number % ((unsigned)base + 1);
        if (digit == 0) {
            break;
        }
        out[len++] = digits[digit - 1];
    }
    out[len] = '\0';
}

static void test_topic_matches_as_the_rule_says(void **state)
{
    (void)state;
    char pattern[16];
    char topic[16];
    size_t matches = 0;
    for (unsigned p = 1; p < 5 * 5 * 5 * 5 * 5 * 5; p++) {
        spell(pattern, p, "a/+#");
        for (unsigned t = 1; t < 3 * 3 * 3 * 3 * 3; t++) {
            spell(topic, t, "a/");
            if (pattern[0] == '\0' || topic[0] == '\0') {
                continue;
            }
            bool expected = plainly(pattern, topic);
            matches += expected ? 1 : 0;
            if (pubsub_topic_matches(pattern, strlen(pattern), topic, strlen(topic)) != expected) {
                fail_msg("'%s' and '%s'", pattern, topic);
            }
        }
    }
    assert_true(matches > 1000);
}

/* With backtracking at each `#` these would take longer than the world has been around. */
static void test_topic_matches_hostile_patterns_at_once(void **state)
{
    (void)state;
    char pattern[PUBSUB_TOPIC_MAX];
    char topic[PUBSUB_TOPIC_MAX];
    size_t plen = 0;
    size_t tlen = 0;
    while (plen + 4 < sizeof(pattern)) {
        memcpy(pattern + plen, "#/a/", 4);
        plen += 4;
    }
    pattern[plen++] = 'b';
    while (tlen + 2 < sizeof(topic)) {
        memcpy(topic + tlen, "a/", 2);
        tlen += 2;
    }
    tlen--;
    int64_t before = (int64_t)pubsub__alloc_count();
    for (int i = 0; i < 10; i++) {
        assert_false(pubsub_topic_matches(pattern, plen, topic, tlen));
        assert_true(pubsub_topic_matches(pattern, plen - 2, topic, tlen));
    }
    assert_int_equal((int64_t)pubsub__alloc_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_topic_check),
        cmocka_unit_test(test_topic_check_limits_length),
        cmocka_unit_test(test_topic_pattern_is_literal),
        cmocka_unit_test(test_topic_matches_the_table),
        cmocka_unit_test(test_topic_matches_as_the_rule_says),
        cmocka_unit_test(test_topic_matches_hostile_patterns_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
