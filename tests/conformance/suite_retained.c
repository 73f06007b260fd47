/* SPDX-License-Identifier: MIT */
/* The last value of a topic, kept for those who come later. */
#include "conformance/suites.h"

#include <stdio.h>

static void retain(kit_peer *peer, const char *topic, const char *payload)
{
    pubsub_publication pub = kit_publication(topic, payload);
    pub.flags = PUBSUB_PUBLISH_RETAIN;
    (void)kit_store(peer, &pub);
}

static void the_last_value_comes_first(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    retain(peer, topic, "old");
    retain(peer, topic, "value");
    (void)kit_store_text(peer, topic, "not retained");
    sub = kit_subscribe(conf_peer(t), topic, "from=last");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(kit_is(kit_at(sub, 0)->payload, "value"));
    assert_true(kit_is(kit_at(sub, 0)->topic, topic));
    assert_true(kit_at(sub, 0)->retained);
    (void)kit_store_text(peer, topic, "new");
    KIT_AWAIT(t->net, kit_count(sub) == 2);
    assert_true(kit_is(kit_at(sub, 1)->payload, "new"));
    assert_false(kit_at(sub, 1)->retained);
}

static void a_live_subscriber_gets_it_as_a_message(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    retain(peer, topic, "value");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_false(kit_at(sub, 0)->retained);
    conf_fence(t, peer, topic, sub);
    assert_int_equal(kit_count(sub), 2);
}

static void new_does_not_bring_the_last_value(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    retain(peer, topic, "value");
    sub = kit_subscribe(conf_peer(t), topic, "from=new");
    conf_fence(t, peer, topic, sub);
    assert_int_equal(kit_count(sub), 1);
}

static void an_empty_payload_clears(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    retain(peer, topic, "value");
    retain(peer, topic, "");
    sub = kit_subscribe(conf_peer(t), topic, "from=last");
    conf_fence(t, peer, topic, sub);
    assert_int_equal(kit_count(sub), 1);
    retain(peer, topic, "again");
    sub = kit_subscribe(conf_peer(t), topic, "from=last");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(kit_is(kit_at(sub, 0)->payload, "again"));
}

static void one_value_for_each_topic_of_a_pattern(conf *t)
{
    enum { TOPICS = 25 };
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    retain(peer, conf_topic(t, "other/1"), "other");
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < TOPICS; i++) {
            retain(peer, conf_topic(t, conf_text(t, "a/%zu", i)),
                   conf_text(t, "m%zu", i + round * TOPICS));
        }
    }
    sub = kit_subscribe(conf_peer(t), conf_topic(t, "a/+"), "from=last");
    conf_fence(t, peer, conf_topic(t, "a/fence"), sub);
    assert_int_equal(kit_count(sub), TOPICS + 1);
    for (size_t i = 0; i < TOPICS; i++) {
        const kit_message *message = kit_find(sub, conf_text(t, "m%zu", i + 2 * TOPICS));
        assert_non_null(message);
        assert_true(message->retained);
        assert_true(kit_is(message->topic, conf_topic(t, conf_text(t, "a/%zu", i))));
    }
}

static void properties_are_kept_too(conf *t)
{
    const pubsub_header header = {pubsub_bytes_of("h"), pubsub_bytes_of("v")};
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    pubsub_publication pub = kit_publication(topic, "value");
    pub.flags = PUBSUB_PUBLISH_RETAIN;
    pub.headers = &header;
    pub.header_count = 1;
    pub.content_type = pubsub_bytes_of("text/plain");
    (void)kit_store(peer, &pub);
    sub = kit_subscribe(conf_peer(t), topic, "from=last");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(kit_is(kit_header(kit_at(sub, 0), "h"), "v"));
    assert_true(kit_is(kit_at(sub, 0)->content_type, "text/plain"));
}

static void the_value_outlives_its_publisher(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    retain(peer, topic, "value");
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    kit_peer_close(peer);
    for (int i = 0; i < 2; i++) {
        sub = kit_subscribe(conf_peer(t), topic, "from=last");
        KIT_AWAIT(t->net, kit_count(sub) == 1);
        assert_true(kit_is(kit_at(sub, 0)->payload, "value"));
    }
}

static int note_loss(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    size_t *newest = sub->ctx;
    size_t number = conf_number(copy, "m");
    (void)message;
    *newest = number != SIZE_MAX && number > *newest ? number : *newest;
    return 0;
}

/* Whoever begins while values keep changing gets one value and then every later one. */
static void nothing_is_lost_between_value_and_stream(conf *t)
{
    enum { COUNT = 60, SUBSCRIBERS = 6 };
    const char *topic = conf_topic(t, "a");
    size_t newest[SUBSCRIBERS] = {0};
    kit_sub *subs[SUBSCRIBERS];
    kit_peer *peer = conf_peer(t);
    retain(peer, topic, "m0");
    for (size_t i = 1; i < COUNT; i++) {
        if (i % 10 == 5) {
            subs[i / 10] =
                kit_subscribe_later(conf_peer(t), topic, "from=last", note_loss, &newest[i / 10]);
        }
        retain(peer, topic, conf_text(t, "m%zu", i));
    }
    for (size_t s = 0; s < SUBSCRIBERS; s++) {
        size_t next = SIZE_MAX;
        KIT_AWAIT(t->net, kit_find(subs[s], conf_text(t, "m%d", COUNT - 1)) != NULL);
        for (size_t i = 0; i < kit_count(subs[s]); i++) {
            size_t number = conf_number(kit_at(subs[s], i), "m");
            /* The first live one may be the value once more. */
            assert_true(next == SIZE_MAX || number == next || number + 1 == next);
            next = number + 1;
        }
        assert_int_equal(next, COUNT);
    }
}

const conf_case conf_retained[] = {
    CONF_CASE(the_last_value_comes_first, CONF_ALL, F(RETAIN), F(RETAIN)),
    CONF_CASE(a_live_subscriber_gets_it_as_a_message, CONF_ALL, F(RETAIN), F(RETAIN)),
    CONF_CASE(new_does_not_bring_the_last_value, CONF_ALL, F(RETAIN), F(RETAIN)),
    CONF_CASE(an_empty_payload_clears, CONF_ALL, F(RETAIN), F(RETAIN)),
    CONF_CASE(one_value_for_each_topic_of_a_pattern, CONF_ALL, F(RETAIN) | F(PATTERNS), F(RETAIN)),
    CONF_CASE(properties_are_kept_too, CONF_ALL, F(RETAIN) | F(HEADERS) | F(CONTENT_TYPE),
              F(RETAIN)),
    CONF_CASE(the_value_outlives_its_publisher, CONF_ALL, F(RETAIN), F(RETAIN)),
    CONF_CASE(nothing_is_lost_between_value_and_stream, CONF_ALL, F(RETAIN), F(RETAIN)),
    CONF_END};
