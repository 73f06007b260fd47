/* SPDX-License-Identifier: MIT */
#include "topic/container.h"

#include "base/rand.h"

#include <pubsub/topic.h>

#include "support/cmocka.h"
#include "support/topic_cases.h"

#include <regex.h>
#include <stdio.h>

#define PLAIN PUBSUB__CONTAINER_PLAIN
#define AMQP PUBSUB__CONTAINER_AMQP
#define KAFKA PUBSUB__CONTAINER_KAFKA
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* topic -> container, and what the container decodes to when that is something else */
static const struct {
    pubsub__container_kind kind;
    const char *topic;
    const char *container;
    const char *decoded; /* NULL = the topic, without a header */
} names[] = {
    {PLAIN, "a/b", "a/b", NULL},
    {PLAIN, "my test topic", "my test topic", NULL},
    {AMQP, "a", "a", NULL},
    {AMQP, "a/b/c", "a.b.c", NULL},
    {AMQP, "/v1/subutest", ".v1.subutest", NULL},
    {AMQP, "a//b", "a..b", NULL},
    {AMQP, "/", ".", NULL},
    {AMQP, "my test topic", "my test topic", NULL},
    {AMQP, "\xC3\xA9", "\xC3\xA9", NULL},
    {AMQP, "a.b", "a%2Eb", NULL},
    {AMQP, "a.b/c", "a%2Eb.c", NULL},
    {AMQP, "100%", "100%25", NULL},
    {AMQP, "a%2Eb", "a%252Eb", NULL},
    {KAFKA, "a", "a", NULL},
    {KAFKA, "a/b/c", "a.b.c", NULL},
    {KAFKA, "/v1/subutest", ".v1.subutest", NULL},
    {KAFKA, "A-b_9", "A-b_9", NULL},
    {KAFKA, "a.b", "a.b", "a/b"},
    {KAFKA, "my test topic", "my-20test-20topic", "my-20test-20topic"},
    {KAFKA, "\xC3\xA9", "-C3-A9", "-C3-A9"},
    {KAFKA, "a/b.c", "a.b.c", "a/b/c"},
    {KAFKA, "a%b", "a-25b", "a-25b"},
    {KAFKA, "///", "...", NULL},
};

static void test_container_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char name[PUBSUB__CONTAINER_BUF];
        char back[PUBSUB__CONTAINER_BUF];
        size_t len = 0;
        const char *topic = names[i].topic;
        assert_int_equal(pubsub__container_encode(names[i].kind, topic, strlen(topic), name,
                                                  sizeof(name), &len, NULL),
                         PUBSUB_OK);
        assert_string_equal(name, names[i].container);
        assert_int_equal(len, strlen(name));
        assert_int_equal(
            pubsub__container_decode(names[i].kind, name, len, back, sizeof(back), &len),
            PUBSUB_OK);
        assert_string_equal(back, names[i].decoded == NULL ? topic : names[i].decoded);
        assert_int_equal(len, strlen(back));
        assert_int_equal(pubsub__container_needs_header(names[i].kind, topic, strlen(topic)),
                         names[i].decoded != NULL);
    }
}

/* What others wrote: text that no encoding of ours gives stays as it is. */
static void test_container_decodes_foreign_names(void **state)
{
    (void)state;
    static const struct {
        pubsub__container_kind kind;
        const char *container;
        const char *topic;
    } cases[] = {
        {AMQP, "a%2eb", "a%2eb"},    {AMQP, "50%", "50%"},      {AMQP, "%2", "%2"},
        {AMQP, "a%41", "a%41"},      {AMQP, "a/b", "a/b"},      {AMQP, "", ""},
        {KAFKA, "orders", "orders"}, {KAFKA, "a-20b", "a-20b"}, {KAFKA, "x.y_z", "x/y_z"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char back[64];
        assert_int_equal(pubsub__container_decode(cases[i].kind, cases[i].container,
                                                  strlen(cases[i].container), back, sizeof(back),
                                                  NULL),
                         PUBSUB_OK);
        assert_string_equal(back, cases[i].topic);
    }
}

static void test_container_amqp_is_injective(void **state)
{
    (void)state;
    static const char letters[] = "ab./%2E5";
    for (int round = 0; round < 20000; round++) {
        char topic[12];
        char name[64];
        char back[64];
        size_t n = 1 + pubsub__rand_below(10);
        for (size_t i = 0; i < n; i++) {
            topic[i] = letters[pubsub__rand_below(sizeof(letters) - 1)];
        }
        size_t len = 0;
        assert_int_equal(pubsub__container_encode(AMQP, topic, n, name, sizeof(name), &len, NULL),
                         PUBSUB_OK);
        assert_int_equal(pubsub__container_decode(AMQP, name, len, back, sizeof(back), &len),
                         PUBSUB_OK);
        assert_int_equal(len, n);
        assert_memory_equal(back, topic, n);
    }
}

static void test_container_refuses_what_the_broker_cannot_have(void **state)
{
    (void)state;
    char topic[300];
    char name[PUBSUB__CONTAINER_BUF];
    pubsub_error err = PUBSUB_ERROR_INIT;
    memset(topic, 'a', sizeof(topic));
    assert_int_equal(pubsub__container_encode(AMQP, topic, 255, name, sizeof(name), NULL, &err),
                     PUBSUB_OK);
    assert_int_equal(pubsub__container_encode(AMQP, topic, 256, name, sizeof(name), NULL, &err),
                     PUBSUB_ETOPIC);
    assert_non_null(strstr(err.text, "at most 255"));
    assert_int_equal(pubsub__container_encode(KAFKA, topic, 249, name, sizeof(name), NULL, &err),
                     PUBSUB_OK);
    assert_int_equal(pubsub__container_encode(KAFKA, topic, 250, name, sizeof(name), NULL, &err),
                     PUBSUB_ETOPIC);
    assert_int_equal(pubsub__container_encode(KAFKA, "/", 1, name, sizeof(name), NULL, &err),
                     PUBSUB_ETOPIC);
    assert_int_equal(pubsub__container_encode(KAFKA, "..", 2, name, sizeof(name), NULL, &err),
                     PUBSUB_ETOPIC);
    memset(topic, ' ', sizeof(topic));
    assert_int_equal(pubsub__container_encode(KAFKA, topic, 84, name, sizeof(name), NULL, &err),
                     PUBSUB_ETOPIC);
}

static void test_container_never_writes_beyond_the_buffer(void **state)
{
    (void)state;
    for (size_t size = 0; size < 8; size++) {
        char out[9];
        memset(out, '~', sizeof(out));
        pubsub_err rc = pubsub__container_encode(AMQP, "a.b/c", 5, out, size, NULL, NULL);
        assert_int_equal(rc, PUBSUB_EINVAL); /* a%2Eb.c and its NUL take 8 */
        assert_int_equal(out[size], '~');
        rc = pubsub__container_decode(KAFKA, "abcdefg", 7, out, size, NULL);
        assert_int_equal(rc, PUBSUB_EINVAL);
        assert_int_equal(out[size], '~');
        rc = pubsub__container_pattern(KAFKA, "a/#/c", 5, out, size, NULL, NULL);
        assert_int_equal(rc, PUBSUB_EINVAL);
        assert_int_equal(out[size], '~');
    }
    char out[8];
    assert_int_equal(pubsub__container_encode(AMQP, "a.b/c", 5, out, 8, NULL, NULL), PUBSUB_OK);
    assert_string_equal(out, "a%2Eb.c");
}

static void test_container_topic_of_a_message_without_header(void **state)
{
    (void)state;
    static const struct {
        pubsub__container_kind kind;
        const char *container;
        const char *pattern;
        const char *topic;
    } cases[] = {
        {KAFKA, "a.b", "a.b", "a.b"}, /* the subscription's own */
        {KAFKA, "a.b", "a/b", "a/b"},
        {KAFKA, "my-20test-20topic", "my test topic", "my test topic"},
        {KAFKA, "a.b", "a/#", "a/b"}, /* not literal */
        {KAFKA, "a.b", "a/c", "a/b"}, /* another container */
        {KAFKA, "a.b", "a", "a/b"},
        {KAFKA, "a", "a.b", "a"},
        {KAFKA, "a.b", NULL, "a/b"},
        {AMQP, "a%2Eb", "x", "a.b"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char topic[64];
        size_t len = 0;
        const char *pattern = cases[i].pattern;
        assert_int_equal(pubsub__container_topic_of(
                             cases[i].kind, cases[i].container, strlen(cases[i].container), pattern,
                             pattern == NULL ? 0 : strlen(pattern), topic, sizeof(topic), &len),
                         PUBSUB_OK);
        assert_string_equal(topic, cases[i].topic);
    }
}

static void test_container_patterns(void **state)
{
    (void)state;
    static const struct {
        pubsub__container_kind kind;
        const char *pattern;
        const char *broker;
        bool exact;
    } cases[] = {
        {PLAIN, "a/+/#", "a/+/#", true},
        {PLAIN, "a/*", "a/#", true},
        {PLAIN, "a/#/c", "a/#", false},
        {PLAIN, "*/c", "#", false},
        {AMQP, "a/+/c", "a.*.c", true},
        {AMQP, "a/#", "a.#", true},
        {AMQP, "a/*/c", "a.#.c", true},
        {AMQP, "a.b/+", "a%2Eb.*", true},
        {AMQP, "a/b", "a.b", true},
        {AMQP, "#", "#", false}, /* the broker would also match `$...` */
        {AMQP, "/+", ".*", true},
        {KAFKA, "a/b", "a.b", false},
        {KAFKA, "a/+", "^a\\..*$", false},
        {KAFKA, "a/#", "^a(\\..*)?$", false},
        {KAFKA, "a/#/c", "^a(\\..*)?\\.c$", false},
        {KAFKA, "#/c", "^(.*\\.)?c$", false},
        {KAFKA, "#", "^.*$", false},
        {KAFKA, "+/b c", "^.*\\.b-20c$", false},
        {KAFKA, "a.b/+", "^a\\.b\\..*$", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[PUBSUB__CONTAINER_REGEX_BUF];
        bool exact = !cases[i].exact;
        assert_int_equal(pubsub__container_pattern(cases[i].kind, cases[i].pattern,
                                                   strlen(cases[i].pattern), out, sizeof(out),
                                                   &exact, NULL),
                         PUBSUB_OK);
        assert_string_equal(out, cases[i].broker);
        assert_int_equal(exact, cases[i].exact);
    }
}

static void test_container_pattern_too_long_for_the_broker(void **state)
{
    (void)state;
    char pattern[PUBSUB_TOPIC_MAX];
    char out[PUBSUB__CONTAINER_REGEX_BUF];
    memset(pattern, '.', sizeof(pattern));
    memcpy(pattern, "#/", 2);
    assert_int_equal(
        pubsub__container_pattern(KAFKA, pattern, sizeof(pattern), out, sizeof(out), NULL, NULL),
        PUBSUB_OK);
    assert_int_equal(
        pubsub__container_pattern(AMQP, pattern, sizeof(pattern), out, sizeof(out), NULL, NULL),
        PUBSUB_EPATTERN);
    assert_int_equal(pubsub__container_pattern(KAFKA, pattern + 2, sizeof(pattern) - 2, out,
                                               sizeof(out), NULL, NULL),
                     PUBSUB_ETOPIC);
    memset(pattern, ' ', sizeof(pattern));
    memcpy(pattern, "#/", 2);
    assert_int_equal(
        pubsub__container_pattern(KAFKA, pattern, sizeof(pattern), out, sizeof(out), NULL, NULL),
        PUBSUB_OK);
}

/* Every matching topic's container is found by the Kafka expression: a superset loses nothing. */
static void test_container_kafka_expression_is_a_superset(void **state)
{
    (void)state;
    for (size_t i = 0; i < TOPIC_CASES; i++) {
        const topic_case *c = &topic_cases[i];
        char expression[PUBSUB__CONTAINER_REGEX_BUF];
        char name[PUBSUB__CONTAINER_BUF];
        if (!c->matches || pubsub_pattern_is_literal(c->pattern, strlen(c->pattern)) ||
            pubsub__container_encode(KAFKA, c->topic, strlen(c->topic), name, sizeof(name), NULL,
                                     NULL) != PUBSUB_OK) {
            continue;
        }
        assert_int_equal(pubsub__container_pattern(KAFKA, c->pattern, strlen(c->pattern),
                                                   expression, sizeof(expression), NULL, NULL),
                         PUBSUB_OK);
        regex_t regex;
        assert_int_equal(regcomp(&regex, expression, REG_EXTENDED | REG_NOSUB), 0);
        if (regexec(&regex, name, 0, NULL, 0) != 0) {
            regfree(&regex);
            fail_msg("'%s' as %s does not find '%s' as %s", c->pattern, expression, c->topic, name);
        }
        regfree(&regex);
    }
}

static void test_container_internal_names(void **state)
{
    (void)state;
    assert_true(pubsub__container_is_internal("__consumer_offsets", 18));
    assert_true(pubsub__container_is_internal("pubsub.retained", 15));
    assert_false(pubsub__container_is_internal("pubsub", 6));
    assert_false(pubsub__container_is_internal("_x", 2));
    assert_false(pubsub__container_is_internal("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_container_names),
        cmocka_unit_test(test_container_decodes_foreign_names),
        cmocka_unit_test(test_container_amqp_is_injective),
        cmocka_unit_test(test_container_refuses_what_the_broker_cannot_have),
        cmocka_unit_test(test_container_never_writes_beyond_the_buffer),
        cmocka_unit_test(test_container_topic_of_a_message_without_header),
        cmocka_unit_test(test_container_patterns),
        cmocka_unit_test(test_container_pattern_too_long_for_the_broker),
        cmocka_unit_test(test_container_kafka_expression_is_a_superset),
        cmocka_unit_test(test_container_internal_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
