/* SPDX-License-Identifier: MIT */
/* Messages keep their order: per publisher, over patterns, per key. */
#include "conformance/suites.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Where messages have no keys this is all that order=key can mean. */
static const char *order_without_keys(conf *t)
{
    if (conf_offers(t, F(KEY)) || !conf_offers(t, F(ORDER_KEY))) {
        return NULL;
    }
    conf_proves(t, F(ORDER_KEY));
    return "order=key";
}

static void one_publisher_keeps_its_order(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, order_without_keys(t));
    conf_publish_many(peer, topic, "m", 5000);
    conf_expect_exactly(t, sub, "m", 5000);
}

typedef struct source {
    pthread_t thread;
    kit_peer *peer;
    const char *topic;
    char prefix[8];
    pubsub_err result;
} source;

static void *publish_numbers(void *ctx)
{
    source *me = ctx;
    for (size_t i = 0; i < 1000 && me->result == PUBSUB_OK; i++) {
        char payload[32];
        pubsub_publication pub;
        (void)snprintf(payload, sizeof(payload), "%s%zu", me->prefix, i);
        pub = kit_publication(me->topic, payload);
        me->result = pubsub_client_publish(me->peer->client, &pub, kit_ms(KIT_PATIENCE), NULL);
    }
    return NULL;
}

static void each_of_several_publishers_keeps_its_order(conf *t)
{
    enum { SOURCES = 4 };
    const char *topic = conf_topic(t, "a");
    source sources[SOURCES];
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
    for (size_t i = 0; i < SOURCES; i++) {
        sources[i] = (source){.peer = conf_peer(t), .topic = topic, .result = PUBSUB_OK};
        (void)snprintf(sources[i].prefix, sizeof(sources[i].prefix), "s%zu-", i);
        assert_int_equal(pthread_create(&sources[i].thread, NULL, publish_numbers, &sources[i]), 0);
    }
    for (size_t i = 0; i < SOURCES; i++) {
        (void)pthread_join(sources[i].thread, NULL);
        KIT_ERR(PUBSUB_OK, sources[i].result);
    }
    KIT_AWAIT(t->net, kit_count(sub) >= SOURCES * 1000);
    for (size_t i = 0; i < SOURCES; i++) {
        conf_expect_exactly(t, sub, sources[i].prefix, 1000);
    }
}

static void every_topic_under_a_pattern_keeps_its_order(conf *t)
{
    enum { TOPICS = 16, EACH = 100 };
    size_t next[TOPICS] = {0};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), conf_topic(t, "#"), NULL);
    for (size_t i = 0; i < TOPICS * EACH; i++) {
        kit_publish(peer, conf_topic(t, conf_text(t, "%zu", i % TOPICS)),
                    conf_text(t, "m%zu", i / TOPICS));
    }
    KIT_AWAIT(t->net, kit_count(sub) >= TOPICS * EACH);
    for (size_t i = 0; i < TOPICS * EACH; i++) {
        const kit_message *message = kit_at(sub, i);
        const char *topic = message->topic.data;
        size_t which = strtoul(strrchr(topic, '/') + 1, NULL, 10);
        assert_true(which < TOPICS);
        assert_int_equal(conf_number(message, "m"), next[which]);
        next[which]++;
    }
}

static void send_keyed(kit_peer *peer, const char *topic, const char *key, const char *payload)
{
    pubsub_publication pub = kit_publication(topic, payload);
    pub.key = pubsub_bytes_of(key);
    kit_send(peer, &pub);
}

static void every_key_keeps_its_order(conf *t)
{
    enum { KEYS = 16, EACH = 100 };
    const char *topic = conf_topic(t, "a");
    size_t next[KEYS] = {0};
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, "order=key");
    for (size_t i = 0; i < KEYS * EACH; i++) {
        send_keyed(peer, topic, conf_text(t, "k%zu", i % KEYS), conf_text(t, "m%zu", i / KEYS));
    }
    KIT_AWAIT(t->net, kit_count(sub) >= KEYS * EACH);
    for (size_t i = 0; i < KEYS * EACH; i++) {
        const kit_message *message = kit_at(sub, i);
        const char *key = message->key.data;
        size_t which = strtoul(key + 1, NULL, 10);
        assert_true(message->has_key && which < KEYS);
        assert_int_equal(conf_number(message, "m"), next[which]);
        next[which]++;
    }
}

enum { GROUP_KEYS = 8, GROUP_EACH = 25, GROUP_MEMBERS = 4 };

static bool is_refused(const kit_message *copy)
{
    return copy->attempt == 1 && conf_number(copy, "m") % 7 == 3;
}

static int fail_some(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    return is_refused(copy) ? 1 : 0;
}

/* When each message of each key was handled well; returns how many were. */
static size_t handled_at(kit_sub *const *members, uint64_t at[GROUP_KEYS][GROUP_EACH])
{
    size_t handled = 0;
    memset(at, 0, sizeof(uint64_t) * GROUP_KEYS * GROUP_EACH);
    for (size_t m = 0; m < GROUP_MEMBERS; m++) {
        for (size_t i = 0; i < kit_count(members[m]); i++) {
            const kit_message *message = kit_at(members[m], i);
            const char *key = message->key.data;
            size_t which = strtoul(key + 1, NULL, 10);
            size_t number = conf_number(message, "m");
            if (!is_refused(message) && which < GROUP_KEYS && number < GROUP_EACH) {
                handled++;
                at[which][number] = message->at_ns;
            }
        }
    }
    return handled;
}

/* Members of a group, some messages refused: what is handled of one key is handled in order. */
static void every_key_keeps_its_order_in_a_group(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options =
        conf_text(t, "group=%s order=key nack_delay=20ms prefetch=16", conf_name(t, "g"));
    uint64_t at[GROUP_KEYS][GROUP_EACH];
    kit_peer *peer = conf_peer(t);
    kit_sub *members[GROUP_MEMBERS];
    for (size_t i = 0; i < GROUP_MEMBERS; i++) {
        members[i] = kit_subscribe_with(conf_peer(t), topic, options, fail_some, NULL);
    }
    for (size_t i = 0; i < GROUP_KEYS * GROUP_EACH; i++) {
        send_keyed(peer, topic, conf_text(t, "k%zu", i % GROUP_KEYS),
                   conf_text(t, "m%zu", i / GROUP_KEYS));
    }
    KIT_AWAIT(t->net, handled_at(members, at) >= (size_t)GROUP_KEYS * GROUP_EACH);
    assert_int_equal(handled_at(members, at), GROUP_KEYS * GROUP_EACH);
    for (size_t k = 0; k < GROUP_KEYS; k++) {
        for (size_t n = 0; n < GROUP_EACH; n++) {
            assert_true(at[k][n] != 0);
            assert_true(n == 0 || at[k][n] >= at[k][n - 1]);
        }
    }
}

const conf_case conf_order[] = {
    CONF_CASE(one_publisher_keeps_its_order, CONF_ALL | CONF_LOAD, 0, 0),
    CONF_CASE(each_of_several_publishers_keeps_its_order, CONF_THREADS | CONF_LOAD, 0, 0),
    CONF_CASE(every_topic_under_a_pattern_keeps_its_order, CONF_ALL | CONF_LOAD, F(PATTERNS), 0),
    CONF_CASE(every_key_keeps_its_order, CONF_ALL | CONF_LOAD, F(KEY) | F(ORDER_KEY),
              F(KEY) | F(ORDER_KEY)),
    CONF_CASE(every_key_keeps_its_order_in_a_group, CONF_ALL,
              F(GROUP) | F(KEY) | F(ORDER_KEY_GROUP) | F(ATTEMPTS), F(ORDER_KEY_GROUP)),
    CONF_END};
