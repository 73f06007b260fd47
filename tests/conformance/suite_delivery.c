/* SPDX-License-Identifier: MIT */
/* What is published arrives: all of it, once, unchanged, at everybody who asked for it. */
#include "conformance/suites.h"

#include <pthread.h>
#include <stdio.h>

static void publish_then_receive(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    kit_publish(peer, topic, "hello");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(kit_is(kit_at(sub, 0)->payload, "hello"));
    assert_true(kit_is(kit_at(sub, 0)->topic, topic));
    assert_false(kit_at(sub, 0)->retained);
    assert_false(kit_at(sub, 0)->redelivered);
}

static void hundred_in_one_call(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    conf_publish_many(peer, topic, "m", 100);
    conf_expect_exactly(t, sub, "m", 100);
    conf_fence(t, peer, topic, sub);
    assert_int_equal(kit_count(sub), 101);
}

static void a_batch_stops_at_the_first_bad_one(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    pubsub_publication batch[] = {kit_publication(topic, "m0"), kit_publication(topic, "m1"),
                                  kit_publication("a/#", "bad"), kit_publication(topic, "m3")};
    pubsub_error error = PUBSUB_ERROR_INIT;
    size_t queued = 99;
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_publish_batch(peer->client, batch, 4, 0, &queued, &error));
    assert_int_equal(queued, 2);
    conf_fence(t, peer, topic, sub);
    conf_expect_exactly(t, sub, "m", 2);
    KIT_AWAIT(t->net, kit_list_count(&peer->reports) == 2);
}

typedef struct looked {
    bool owner, found, absent;
} looked;

static int look_closely(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    looked *results = sub->ctx;
    (void)copy;
    results->owner = pubsub_message_subscription(message) == sub->handle;
    results->found = kit_is(pubsub_message_header_find(message, "b"), "2");
    results->absent = pubsub_message_header_find(message, "c").data == NULL &&
                      pubsub_message_header(message, 2).name.data == NULL;
    return 0;
}

static void a_message_knows_its_subscription_and_headers(conf *t)
{
    const pubsub_header headers[] = {{pubsub_bytes_of("a"), pubsub_bytes_of("1")},
                                     {pubsub_bytes_of("b"), pubsub_bytes_of("2")}};
    const char *topic = conf_topic(t, "a");
    looked results = {false, false, false};
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic, NULL, look_closely, &results);
    pubsub_publication pub = kit_publication(topic, "x");
    pub.headers = headers;
    pub.header_count = 2;
    kit_send(sub->peer, &pub);
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    assert_true(results.owner && results.found && results.absent);
}

static void publish_text_is_the_short_form(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    KIT_OK(pubsub_client_publish_text(peer->client, topic, "short", NULL), NULL);
    KIT_AWAIT(t->net, kit_count_of(sub, "short") == 1);
}

static void published_before_subscribing(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    conf_publish_many(peer, topic, "m", 100);
    kit_flush(peer);
    sub = kit_subscribe(conf_peer(t), topic, "from=earliest");
    conf_expect_exactly(t, sub, "m", 100);
}

static void new_means_from_now_on(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    conf_publish_many(peer, topic, "old", 10);
    kit_flush(peer);
    sub = kit_subscribe(conf_peer(t), topic, NULL);
    conf_publish_many(peer, topic, "m", 10);
    conf_expect_exactly(t, sub, "m", 10);
    assert_int_equal(kit_count(sub), 10);
}

static void twenty_topics_at_once(conf *t)
{
    enum { TOPICS = 20 };
    const char *topics[TOPICS];
    kit_sub *subs[TOPICS];
    kit_peer *publisher = conf_peer(t);
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < TOPICS; i++) {
        topics[i] = conf_topic(t, conf_text(t, "t%zu", i));
        subs[i] = kit_subscribe(peer, topics[i], NULL);
    }
    for (size_t i = 0; i < TOPICS; i++) {
        conf_publish_many(publisher, topics[i], conf_text(t, "t%zu-", i), 50);
    }
    for (size_t i = 0; i < TOPICS; i++) {
        conf_expect_exactly(t, subs[i], conf_text(t, "t%zu-", i), 50);
    }
    for (size_t i = 0; i < TOPICS; i++) {
        assert_int_equal(kit_count(subs[i]), 50);
    }
}

/* What each message came to, of all subscribers together: one of them. */
static void expect_shared(conf *t, kit_sub *const *subs, size_t count, size_t messages)
{
    size_t total = 0;
    KIT_SAYS(t->caps.features[PUBSUB_FEATURE_GROUP].note, "share");
    KIT_AWAIT(t->net, conf_union(subs, count, "m", messages, NULL) == messages);
    kit_turn(t->net);
    (void)conf_union(subs, count, "m", messages, &total);
    assert_int_equal(total, messages);
}

/* Or shares, where the topic is a queue. */
static void every_subscriber_gets_all(conf *t)
{
    enum { SUBSCRIBERS = 10 };
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    kit_sub *subs[SUBSCRIBERS];
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        subs[i] = kit_subscribe(i % 2 == 0 ? conf_peer(t) : subs[i - 1]->peer, topic, NULL);
    }
    conf_publish_many(publisher, topic, "m", 200);
    if (t->adapter->shared_topics) {
        expect_shared(t, subs, SUBSCRIBERS, 200);
        return;
    }
    for (size_t i = 0; i < SUBSCRIBERS; i++) {
        conf_expect_exactly(t, subs[i], "m", 200);
    }
}

static void overlapping_patterns_each_get_their_copy(conf *t)
{
    const char *topic = conf_topic(t, "a/b");
    kit_peer *peer = conf_peer(t);
    kit_sub *exact = kit_subscribe(peer, topic, NULL);
    kit_sub *wild = kit_subscribe(peer, conf_topic(t, "a/#"), NULL);
    kit_sub *one = kit_subscribe(peer, conf_topic(t, "+/b"), NULL);
    conf_publish_many(peer, topic, "m", 50);
    conf_expect_exactly(t, exact, "m", 50);
    conf_expect_exactly(t, wild, "m", 50);
    conf_expect_exactly(t, one, "m", 50);
}

/* ---- threads ------------------------------------------------------------------------------- */

typedef struct publisher {
    pthread_t thread;
    kit_peer *peer;
    const char *topic;
    char prefix[16];
    size_t count;
    pubsub_err result;
} publisher;

static void *publish_all(void *ctx)
{
    publisher *me = ctx;
    for (size_t i = 0; i < me->count && me->result == PUBSUB_OK; i++) {
        char payload[40];
        pubsub_publication pub;
        (void)snprintf(payload, sizeof(payload), "%s%zu", me->prefix, i);
        pub = kit_publication(me->topic, payload);
        me->result = pubsub_client_publish(me->peer->client, &pub, kit_ms(KIT_PATIENCE), NULL);
    }
    return NULL;
}

static void start_publisher(publisher *me, kit_peer *peer, const char *topic, size_t number,
                            size_t count)
{
    memset(me, 0, sizeof(*me));
    me->peer = peer;
    me->topic = topic;
    me->count = count;
    (void)snprintf(me->prefix, sizeof(me->prefix), "p%zu-", number);
    assert_int_equal(pthread_create(&me->thread, NULL, publish_all, me), 0);
}

static void concurrent_publishers(conf *t)
{
    enum { PUBLISHERS = 8, EACH = 250 };
    const char *topic = conf_topic(t, "a");
    publisher publishers[PUBLISHERS];
    kit_peer *shared = conf_peer(t);
    kit_sub *near = kit_subscribe(shared, topic, NULL);
    kit_sub *far = kit_subscribe(conf_peer(t), topic, NULL);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        start_publisher(&publishers[i], i % 2 == 0 ? shared : conf_peer(t), topic, i, EACH);
    }
    for (size_t i = 0; i < PUBLISHERS; i++) {
        (void)pthread_join(publishers[i].thread, NULL);
        KIT_ERR(PUBSUB_OK, publishers[i].result);
    }
    KIT_AWAIT(t->net, kit_count(near) >= (size_t)PUBLISHERS * EACH);
    KIT_AWAIT(t->net, kit_count(far) >= (size_t)PUBLISHERS * EACH);
    for (size_t i = 0; i < PUBLISHERS; i++) {
        conf_expect_exactly(t, near, publishers[i].prefix, EACH);
        conf_expect_exactly(t, far, publishers[i].prefix, EACH);
    }
}

typedef struct joiner {
    pthread_t thread;
    pubsub_client *client;
    const char *topic;
    pubsub_err result;
} joiner;

static void *come_and_go(void *ctx)
{
    joiner *me = ctx;
    for (int i = 0; i < 20 && me->result == PUBSUB_OK; i++) {
        pubsub_subscription *sub = NULL;
        me->result = pubsub_client_subscribe(me->client, me->topic, NULL, NULL, NULL, &sub, NULL);
        if (me->result == PUBSUB_OK && i % 2 == 0) {
            me->result = pubsub_subscription_wait(sub, kit_ms(KIT_PATIENCE), NULL, NULL);
        }
        if (me->result == PUBSUB_OK) {
            me->result = pubsub_subscription_unsubscribe(sub, 0, NULL);
        }
        pubsub_subscription_free(sub);
    }
    return NULL;
}

static void subscribers_come_and_go_under_load(conf *t)
{
    enum { JOINERS = 6, COUNT = 1000 };
    const char *topic = conf_topic(t, "a");
    joiner joiners[JOINERS];
    publisher load;
    kit_peer *peer = conf_peer(t);
    kit_sub *steady = kit_subscribe(conf_peer(t), topic, NULL);
    for (size_t i = 0; i < JOINERS; i++) {
        joiners[i] = (joiner){.client = peer->client, .topic = topic, .result = PUBSUB_OK};
        assert_int_equal(pthread_create(&joiners[i].thread, NULL, come_and_go, &joiners[i]), 0);
    }
    start_publisher(&load, conf_peer(t), topic, 0, COUNT);
    for (size_t i = 0; i < JOINERS; i++) {
        (void)pthread_join(joiners[i].thread, NULL);
    }
    (void)pthread_join(load.thread, NULL);
    for (size_t i = 0; i < JOINERS; i++) {
        KIT_ERR(PUBSUB_OK, joiners[i].result);
    }
    conf_expect_exactly(t, steady, load.prefix, COUNT);
}

static void clients_come_and_go_under_load(conf *t)
{
    enum { ROUNDS = 10 };
    const char *topic = conf_topic(t, "a");
    publisher load;
    kit_sub *steady = kit_subscribe(conf_peer(t), topic, NULL);
    start_publisher(&load, conf_peer(t), topic, 0, 1000);
    for (int i = 0; i < ROUNDS; i++) {
        kit_peer *peer = conf_peer(t);
        kit_sub *sub = kit_subscribe(peer, topic, NULL);
        (void)pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL);
        kit_quiet(sub);
    }
    (void)pthread_join(load.thread, NULL);
    conf_expect_exactly(t, steady, load.prefix, 1000);
}

/* ---- handlers that publish ----------------------------------------------------------------- */

static int pass_on(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    pubsub_header headers[8];
    pubsub_publication pub;
    (void)copy;
    if (pubsub_message_to_publication(message, headers, 8, &pub) != PUBSUB_OK) {
        return 1;
    }
    pub.topic = pubsub_bytes_of(sub->ctx);
    return pubsub_client_publish(sub->peer->client, &pub, 0, NULL);
}

static void a_handler_passes_messages_on(conf *t)
{
    const char *from = conf_topic(t, "from");
    const char *to = conf_topic(t, "to");
    char target[512];
    kit_peer *source = conf_peer(t);
    kit_sub *result = kit_subscribe(conf_peer(t), to, NULL);
    (void)snprintf(target, sizeof(target), "%s", to);
    (void)kit_subscribe_with(conf_peer(t), from, NULL, pass_on, target);
    conf_publish_many(source, from, "m", 200);
    conf_expect_exactly(t, result, "m", 200);
}

/* ---- pulling ------------------------------------------------------------------------------- */

static void pull_one_by_one(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_pull(peer, topic, NULL);
    pubsub_message *message = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EAGAIN, pubsub_subscription_next(sub->handle, 0, &message, &error));
    assert_null(message);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_subscription_next(sub->handle, 30, &message, &error));
    conf_publish_many(peer, topic, "m", 20);
    for (size_t i = 0; i < 20; i++) {
        KIT_OK(pubsub_subscription_next(sub->handle, kit_ms(KIT_PATIENCE), &message, &error),
               &error);
        assert_true(kit_is(pubsub_message_payload(message), conf_text(t, "m%zu", i)));
        assert_true(kit_is(pubsub_message_topic(message), topic));
        (void)pubsub_message_ack(message);
        pubsub_message_unref(message);
    }
    KIT_ERR(PUBSUB_EAGAIN, pubsub_subscription_next(sub->handle, 0, &message, &error));
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, &error), &error);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_subscription_next(sub->handle, 1000, &message, &error));
}

static void pull_in_batches(conf *t)
{
    enum { COUNT = 300, ROOM = 64 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_pull(peer, topic, NULL);
    pubsub_message *batch[ROOM];
    size_t seen = 0;
    conf_publish_many(peer, topic, "m", COUNT);
    while (seen < COUNT) {
        size_t count = 0;
        pubsub_error error = PUBSUB_ERROR_INIT;
        KIT_OK(pubsub_subscription_next_batch(sub->handle, kit_ms(KIT_PATIENCE), batch, ROOM,
                                              &count, &error),
               &error);
        assert_true(count > 0 && count <= ROOM);
        for (size_t i = 0; i < count; i++) {
            assert_true(kit_is(pubsub_message_payload(batch[i]), conf_text(t, "m%zu", seen + i)));
        }
        (void)pubsub_message_ack_batch(batch, count);
        for (size_t i = 0; i < count; i++) {
            pubsub_message_unref(batch[i]);
        }
        seen += count;
    }
    assert_int_equal(seen, COUNT);
}

static void pulling_is_refused_where_a_handler_serves(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, conf_topic(t, "a"), NULL);
    pubsub_message *message = NULL;
    KIT_ERR(PUBSUB_ESTATE, pubsub_subscription_next(sub->handle, 0, &message, NULL));
}

/* ---- other processes ----------------------------------------------------------------------- */

static void between_processes(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *const consume[] = {t->url, topic, "", "1000", NULL};
    const char *const produce[] = {t->url, topic, "m", "1000", NULL};
    kit_child *consumer = conf_child(t, 0, "consume", consume);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
    assert_true(kit_child_expect(consumer, "ready", KIT_PATIENCE));
    assert_int_equal(kit_child_wait(conf_child(t, 1, "produce", produce), KIT_PATIENCE), 0);
    conf_expect_exactly(t, sub, "m", 1000);
    for (size_t i = 0; i < 1000; i++) {
        assert_true(kit_child_expect(consumer, conf_text(t, "got m%zu 1", i), KIT_PATIENCE));
    }
    assert_int_equal(kit_child_wait(consumer, KIT_PATIENCE), 0);
}

const conf_case conf_delivery[] = {
    CONF_CASE(publish_then_receive, CONF_ALL, 0, 0),
    CONF_CASE(hundred_in_one_call, CONF_ALL, 0, 0),
    CONF_CASE(a_batch_stops_at_the_first_bad_one, CONF_ALL, 0, 0),
    CONF_CASE(a_message_knows_its_subscription_and_headers, CONF_ALL, F(HEADERS), 0),
    CONF_CASE(publish_text_is_the_short_form, CONF_ALL, 0, 0),
    CONF_CASE(published_before_subscribing, CONF_ALL, F(FROM_EARLIEST), F(FROM_EARLIEST)),
    CONF_CASE(new_means_from_now_on, CONF_ALL, 0, 0),
    CONF_CASE(twenty_topics_at_once, CONF_ALL, 0, 0),
    CONF_CASE(every_subscriber_gets_all, CONF_ALL, 0, 0),
    CONF_CASE(overlapping_patterns_each_get_their_copy, CONF_ALL, F(PATTERNS), F(PATTERNS)),
    CONF_CASE(concurrent_publishers, CONF_THREADS | CONF_LOAD | CONF_FANOUT, 0, 0),
    CONF_CASE(subscribers_come_and_go_under_load, CONF_THREADS | CONF_LOAD | CONF_FANOUT, 0, 0),
    CONF_CASE(clients_come_and_go_under_load, CONF_THREADS | CONF_LOAD | CONF_FANOUT, 0, 0),
    CONF_CASE(a_handler_passes_messages_on, CONF_ALL, 0, 0),
    CONF_CASE(pull_one_by_one, CONF_ALL, 0, 0),
    CONF_CASE(pull_in_batches, CONF_ALL, 0, 0),
    CONF_CASE(pulling_is_refused_where_a_handler_serves, CONF_ALL, 0, 0),
    CONF_CASE(between_processes, CONF_POLLED | CONF_LOAD | CONF_FANOUT | CONF_OUTSIDE, 0, 0),
    CONF_END};
