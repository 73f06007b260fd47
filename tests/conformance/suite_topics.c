/* SPDX-License-Identifier: MIT */
/* Topics and patterns: the table of matching cases that every broker has to keep. */
#include "conformance/suites.h"

#include <stdio.h>

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

typedef struct match_row {
    const char *pattern;
    const char *topic;
    bool matches;
} match_row;

/* What the words of the pattern language mean; the other pairs of the same patterns and topics are
 * compared with pubsub_topic_matches(). */
static const match_row rows[] = {{"a/b", "a/b", true},
                                 {"a/b", "a/B", false},
                                 {"a/b", "a/b/", false},
                                 {"a/b", "/a/b", false},
                                 {"+", "a", true},
                                 {"+", "a/b", false},
                                 {"+", "/a", false},
                                 {"+/+", "/a", true},
                                 {"+/+", "a/", true},
                                 {"+/+", "a/b", true},
                                 {"a/+", "a/", true},
                                 {"a/+", "a", false},
                                 {"a/+/c", "a//c", true},
                                 {"a/+/c", "a/b/c", true},
                                 {"a/+/c", "a/b/b/c", false},
                                 {"#", "a", true},
                                 {"#", "/", true},
                                 {"#", "$dollar/a", false},
                                 {"*", "a/b/c", true},
                                 {"*", "$dollar/a", false},
                                 {"+/a", "$dollar/a", false},
                                 {"$dollar/#", "$dollar/a", true},
                                 {"$dollar/+", "$dollar/a", true},
                                 {"a/#", "a", true},
                                 {"a/#", "a/", true},
                                 {"a/#", "a/b/c", true},
                                 {"a/#", "ab", false},
                                 {"a/*", "a/b/c", true},
                                 {"a/*", "a", true},
                                 {"a/b*", "a/b*", true},
                                 {"a/b*", "a/bc", false},
                                 {"/#", "/a", true},
                                 {"/#", "a", false},
                                 {"my test topic", "my test topic", true},
                                 {"/v1/subutest", "/v1/subutest", true},
                                 {"/v1/+", "/v1/subutest", true},
                                 {"\xc3\xa9", "\xc3\xa9", true},
                                 {"\xc3\xa9/#", "\xc3\xa9/\xe2\x98\xba", true},
                                 {"+/\xe2\x98\xba", "\xc3\xa9/\xe2\x98\xba", true},
                                 {"a.b/c-d_e", "a.b/c-d_e", true},
                                 {"a.b/c-d_e", "a/b/c-d_e", false}};

static const match_row inner_rows[] = {
    {"a/#/c", "a/c", true},       {"a/#/c", "a/b/c", true},    {"a/#/c", "a/b/b/c", true},
    {"a/#/c", "a//c", true},      {"a/#/c", "a/c/d", false},   {"a/#/c", "a/c/c", true},
    {"#/c", "a/c", true},         {"#/c", "c", true},          {"#/c", "$dollar/c", false},
    {"a/#/b/#/c", "a/b/c", true}, {"a/#/b/#/c", "a/c", false}, {"a/*/c", "a/b/b/c", true},
    {"#/+/c", "a/c", true},       {"#/+/c", "c", false}};

/* The different texts of one column. */
static size_t distinct(const match_row *table, size_t count, bool patterns, const char **out)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text = patterns ? table[i].pattern : table[i].topic;
        bool seen = false;
        for (size_t k = 0; k < n; k++) {
            seen = seen || strcmp(out[k], text) == 0;
        }
        if (!seen) {
            out[n++] = text;
        }
    }
    return n;
}

static bool matches(const char *pattern, const char *topic)
{
    return pubsub_topic_matches(pattern, strlen(pattern), topic, strlen(topic));
}

/* How many messages of this run a subscription has on a topic. */
static size_t count_topic(kit_sub *sub, const char *topic, const char *mark)
{
    size_t found = 0;
    size_t count = kit_count(sub);
    for (size_t i = 0; i < count; i++) {
        const kit_message *message = kit_at(sub, i);
        found += kit_is(message->topic, topic) && kit_is(message->payload, mark) ? 1 : 0;
    }
    return found;
}

/* False: the adapter refuses it, which is allowed for nothing but separators: Kafka has no topic `.`. */
static bool store_unless_refused(kit_peer *peer, const char *topic, const char *mark)
{
    if (strspn(topic, "/") == strlen(topic)) {
        pubsub_publication pub = kit_publication(topic, mark);
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_err result =
            pubsub_client_publish_wait(peer->client, &pub, kit_ms(KIT_PATIENCE), NULL, &error);
        if (result == PUBSUB_ETOPIC) {
            return false;
        }
        KIT_OK(result, &error);
        return true;
    }
    (void)kit_store_text(peer, topic, mark);
    return true;
}

static void check_table(conf *t, const match_row *table, size_t count)
{
    const char *patterns[64];
    const char *topics[64];
    bool refused[64];
    kit_sub *subs[64];
    size_t pattern_count = distinct(table, count, true, patterns);
    size_t topic_count = distinct(table, count, false, topics);
    kit_peer *publisher = conf_peer(t);
    kit_peer *peer = conf_peer(t);
    const char *mark = t->unique;
    for (size_t i = 0; i < count; i++) {
        if (matches(table[i].pattern, table[i].topic) != table[i].matches) {
            fail_msg("'%s' and '%s'", table[i].pattern, table[i].topic);
        }
    }
    for (size_t i = 0; i < pattern_count; i++) {
        subs[i] = kit_subscribe(peer, patterns[i], NULL);
    }
    /* Two rounds: what a superset brings too much in the first has come when the second is there. */
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < topic_count; i++) {
            refused[i] = !store_unless_refused(publisher, topics[i], mark);
        }
        for (size_t p = 0; p < pattern_count; p++) {
            for (size_t i = 0; i < topic_count; i++) {
                size_t want = matches(patterns[p], topics[i]) && !refused[i] ? round + 1 : 0;
                KIT_AWAIT(t->net, count_topic(subs[p], topics[i], mark) >= want);
                bool meets = t->adapter->topics_meet && strcmp(patterns[p], topics[i]) == 0;
                if (count_topic(subs[p], topics[i], mark) != want && !meets) {
                    fail_msg("'%s' got '%s' %zu times instead of %zu", patterns[p], topics[i],
                             count_topic(subs[p], topics[i], mark), want);
                }
            }
        }
    }
}

static void patterns_match_as_the_table_says(conf *t)
{
    check_table(t, rows, LEN(rows));
}

static void inner_multi_matches_as_the_table_says(conf *t)
{
    check_table(t, inner_rows, LEN(inner_rows));
}

/* A wildcard sign inside a level and control characters are all that a broker may refuse, and then the
 * call itself does. */
static bool topic_is_refused(kit_peer *peer, const char *topic)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication(topic, "probe");
    pubsub_err result =
        pubsub_client_publish_wait(peer->client, &pub, kit_ms(KIT_PATIENCE), NULL, &error);
    if (result != PUBSUB_OK && strpbrk(topic, "+#\t") != NULL) {
        KIT_ERR(PUBSUB_ETOPIC, result);
        assert_true(error.text[0] != '\0');
        return true;
    }
    KIT_OK(result, &error);
    return false;
}

static void literal_topics_of_all_kinds(conf *t)
{
    static const char *const topics[] = {"my test topic",
                                         "/v1/subutest",
                                         "\xc3\xa9",
                                         "a//b",
                                         "a/",
                                         "/",
                                         "//",
                                         "a.b",
                                         "a.b.c/d.e",
                                         "a-b_c",
                                         "A",
                                         "a",
                                         "%2E",
                                         "a%b",
                                         "a:b",
                                         "a b/ c ",
                                         "\xe2\x98\xba",
                                         "\xf0\x9f\x98\x80",
                                         "a\tb",
                                         "a=b&c?d#e",
                                         "a+b",
                                         "*.log",
                                         "100%",
                                         "a\\b",
                                         "{a}[b]<c>|d",
                                         "'\"`",
                                         "a,b;c!d@e$f^g",
                                         ".",
                                         "..",
                                         "../a"};
    kit_peer *peer = conf_peer(t);
    kit_sub *subs[LEN(topics)];
    for (size_t i = 0; i < LEN(topics); i++) {
        const char *topic = conf_topic(t, topics[i]);
        subs[i] = topic_is_refused(peer, topic) ? NULL : kit_subscribe(peer, topic, NULL);
    }
    for (size_t i = 0; i < LEN(topics); i++) {
        if (subs[i] != NULL) {
            (void)kit_store_text(peer, conf_topic(t, topics[i]), topics[i]);
        }
    }
    for (size_t i = 0; i < LEN(topics); i++) {
        if (subs[i] == NULL) {
            continue;
        }
        conf_fence(t, peer, conf_topic(t, topics[i]), subs[i]);
        assert_int_equal(count_topic(subs[i], conf_topic(t, topics[i]), topics[i]), 1);
        assert_true(kit_count(subs[i]) == 2 || t->adapter->topics_meet);
    }
}

/* A handle for several patterns at once; waits until it is subscribed. */
static kit_sub *subscribe_set(conf *t, const char *const *patterns, size_t count,
                              const char *options)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_options *set = kit_options(options);
    kit_sub *sub = kit_sub_new(conf_peer(t), "(several)");
    pubsub_err result = pubsub_client_subscribe_set(sub->peer->client, patterns, count, set,
                                                    kit_collect, sub, &sub->handle, &error);
    pubsub_options_free(set);
    KIT_OK(result, &error);
    return kit_subscribed(sub);
}

static void several_patterns_in_one_subscription(conf *t)
{
    const char *patterns[] = {conf_topic(t, "a"), conf_topic(t, "b/+"), conf_topic(t, "+/x")};
    const char *topics[] = {conf_topic(t, "a"), conf_topic(t, "b/1"), conf_topic(t, "c"),
                            conf_topic(t, "b/x"), conf_topic(t, "b/1/2")};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = subscribe_set(t, patterns, LEN(patterns), NULL);
    for (size_t i = 0; i < 100; i++) {
        kit_publish(peer, topics[i % LEN(topics)], conf_text(t, "m%zu", i));
    }
    KIT_AWAIT(t->net, !t->adapter->topics_apart || kit_count(sub) >= 60);
    conf_fence(t, peer, topics[0], sub);
    /* Once each, also what two of the patterns match, and in order over all of them. */
    assert_int_equal(kit_count(sub), 61);
    for (size_t i = 0; i < 60 && !t->adapter->topics_apart; i++) {
        static const size_t wanted[] = {0, 1, 3};
        assert_int_equal(conf_number(kit_at(sub, i), "m"), i / 3 * 5 + wanted[i % 3]);
    }
    KIT_ERR(PUBSUB_EINVAL,
            pubsub_client_subscribe_set(peer->client, patterns, 0, NULL, NULL, NULL, NULL, NULL));
    KIT_ERR(PUBSUB_OK, pubsub_subscription_unsubscribe(sub->handle, 0, NULL));
}

static void several_patterns_in_a_group(conf *t)
{
    const char *patterns[] = {conf_topic(t, "a"), conf_topic(t, "b/#")};
    const char *reversed[] = {patterns[1], patterns[0]};
    const char *options = conf_text(t, "group=%s", conf_name(t, "g"));
    kit_peer *peer = conf_peer(t);
    kit_sub *members[2];
    size_t total = 0;
    members[0] = subscribe_set(t, patterns, 2, options);
    members[1] = subscribe_set(t, reversed, 2, options);
    conf_publish_many(peer, patterns[0], "m", 50);
    for (size_t i = 50; i < 100; i++) {
        kit_publish(peer, conf_topic(t, "b/c"), conf_text(t, "m%zu", i));
    }
    KIT_AWAIT(t->net, conf_union(members, 2, "m", 100, &total) == 100);
    assert_int_equal(total, 100);
}

static void topics_do_not_leak(conf *t)
{
    const char *one = conf_topic(t, "one");
    const char *two = conf_topic(t, "two");
    kit_peer *peer = conf_peer(t);
    kit_sub *first = kit_subscribe(peer, one, NULL);
    kit_sub *second = kit_subscribe(peer, two, NULL);
    kit_publish(peer, one, "1");
    kit_publish(peer, two, "2");
    conf_fence(t, peer, one, first);
    conf_fence(t, peer, two, second);
    assert_int_equal(kit_count(first), 2);
    assert_int_equal(kit_count(second), 2);
    assert_int_equal(kit_count_of(first, "2") + kit_count_of(second, "1"), 0);
}

static void longest_topic(conf *t)
{
    char topic[PUBSUB_TOPIC_MAX + 1];
    size_t max = t->caps.max_topic;
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    assert_true(max > 64 && max <= PUBSUB_TOPIC_MAX);
    memset(topic, 'x', sizeof(topic));
    (void)snprintf(topic, sizeof(topic), "%s/", conf_topic(t, "long"));
    topic[strlen(topic)] = 'x';
    topic[max] = '\0';
    sub = kit_subscribe(peer, topic, NULL);
    (void)kit_store_text(peer, topic, "x");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_int_equal(kit_at(sub, 0)->topic.len, max);
    assert_true(kit_is(kit_at(sub, 0)->topic, topic));
}

static void bad_topics_are_refused_at_once(conf *t)
{
    static const struct {
        pubsub_bytes topic;
        pubsub_err code;
    } bad[] = {{{"", 0}, PUBSUB_ETOPIC},           {{"a/#", 3}, PUBSUB_ETOPIC},
               {{"#", 1}, PUBSUB_ETOPIC},          {{"+", 1}, PUBSUB_ETOPIC},
               {{"a/+/b", 5}, PUBSUB_ETOPIC},      {{"*", 1}, PUBSUB_ETOPIC},
               {{"a/*/b", 5}, PUBSUB_ETOPIC},      {{"a\0b", 3}, PUBSUB_ETOPIC},
               {{"a\xff", 2}, PUBSUB_EUTF8},       {{"\xc0\xaf", 2}, PUBSUB_EUTF8},
               {{"\xed\xa0\x80", 3}, PUBSUB_EUTF8}};
    char longest[PUBSUB_TOPIC_MAX + 1];
    kit_peer *peer = conf_peer(t);
    pubsub_publication pub = kit_publication("", "x");
    for (size_t i = 0; i < LEN(bad); i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pub.topic = bad[i].topic;
        KIT_ERR(bad[i].code, pubsub_client_publish(peer->client, &pub, 0, &error));
        assert_true(error.text[0] != '\0');
    }
    memset(longest, 'x', sizeof(longest));
    pub.topic = (pubsub_bytes){longest, sizeof(longest)};
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_publish(peer->client, &pub, 0, NULL));
    assert_int_equal(kit_stats(peer).published, 0);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
}

static void bad_patterns_are_refused_at_once(conf *t)
{
    char longest[PUBSUB_TOPIC_MAX + 2];
    kit_peer *peer = conf_peer(t);
    memset(longest, 'x', sizeof(longest));
    longest[PUBSUB_TOPIC_MAX + 1] = '\0';
    KIT_ERR(PUBSUB_EPATTERN, kit_try_subscribe(peer, "", NULL, NULL, NULL));
    KIT_ERR(PUBSUB_EPATTERN, kit_try_subscribe(peer, longest, NULL, NULL, NULL));
    KIT_ERR(PUBSUB_EUTF8, kit_try_subscribe(peer, "a\xff", NULL, NULL, NULL));
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
}

const conf_case conf_topics[] = {
    CONF_CASE(patterns_match_as_the_table_says, CONF_ALL, F(PATTERNS), F(PATTERNS)),
    CONF_CASE(inner_multi_matches_as_the_table_says, CONF_ALL, F(PATTERNS) | F(INNER_MULTI),
              F(INNER_MULTI)),
    CONF_CASE(literal_topics_of_all_kinds, CONF_ALL, 0, 0),
    CONF_CASE(several_patterns_in_one_subscription, CONF_ALL, F(PATTERNS), F(PATTERNS)),
    CONF_CASE(several_patterns_in_a_group, CONF_ALL, F(PATTERNS) | F(GROUP), F(GROUP)),
    CONF_CASE(topics_do_not_leak, CONF_ALL, 0, 0),
    CONF_CASE(longest_topic, CONF_ALL, 0, 0),
    CONF_CASE(bad_topics_are_refused_at_once, CONF_THREAD, 0, 0),
    CONF_CASE(bad_patterns_are_refused_at_once, CONF_THREAD, 0, 0),
    CONF_END};
