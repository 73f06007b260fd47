/* SPDX-License-Identifier: MIT */
/* Bounded: a consumer that stands still stops its own messages and nothing else. */
#include "conformance/suites.h"

#include <stdio.h>
#include <stdlib.h>

static void at_most_prefetch_messages_are_out(conf *t)
{
    enum { PREFETCH = 10, COUNT = 100 };
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    kit_sub *other = kit_subscribe(conf_peer(t), topic, NULL);
    kit_sub *sub = kit_subscribe_later(conf_peer(t), topic, "ack=manual prefetch=10", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    conf_publish_many(publisher, topic, "m", COUNT);
    conf_expect_exactly(t, other, "m", COUNT);
    KIT_AWAIT(t->net, kit_count(sub) >= PREFETCH);
    for (size_t acked = 0; acked < COUNT; acked++) {
        assert_true(kit_count(sub) <= acked + PREFETCH);
        assert_true(kit_stats(sub->peer).unsettled <= PREFETCH);
        KIT_AWAIT(t->net, kit_count(sub) > acked);
        KIT_OK(pubsub_message_ack(kit_at(sub, acked)->ref), NULL);
    }
    conf_expect_exactly(t, sub, "m", COUNT);
}

static void at_most_prefetch_bytes_are_out(conf *t)
{
    enum { COUNT = 64, SIZE = 4096 };
    static char payload[SIZE];
    const char *topic = conf_topic(t, "a");
    pubsub_publication pub = kit_publication(topic, "");
    kit_peer *publisher = conf_peer(t);
    kit_sub *other = kit_subscribe(conf_peer(t), topic, NULL);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, "ack=manual prefetch_bytes=32k");
    pub.payload = (pubsub_bytes){payload, sizeof(payload)};
    for (size_t i = 0; i < COUNT; i++) {
        kit_send(publisher, &pub);
    }
    KIT_AWAIT(t->net, kit_count(other) == COUNT);
    KIT_AWAIT(t->net, kit_count(sub) >= 4);
    conf_fence(t, publisher, topic, other);
    for (int i = 0; i < 10; i++) {
        kit_turn(t->net);
    }
    /* One may go beyond. */
    assert_true(kit_count(sub) <= 32 * 1024 / SIZE + 1);
}

/* Anonymous memory of this process in bytes: what was allocated, not what is mapped from files. */
static uint64_t memory_now(void)
{
    FILE *status = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t kib = 0;
    assert_non_null(status);
    while (fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            kib = strtoull(line + 8, NULL, 10);
        }
    }
    (void)fclose(status);
    return kib * 1024;
}

static uint64_t reads_ahead(const conf *t)
{
    return t->adapter->network != NULL ? t->adapter->network->reads_ahead : 0;
}

/* Nobody polls the subscriber while many times its limit goes by, and twice what the adapter's library may have
 * read ahead. */
static void memory_is_bounded_while_nobody_polls(conf *t)
{
    enum { COUNT = 6000, SIZE = 4096, PREFETCH = 200 };
    static char payload[SIZE];
    const char *topic = conf_topic(t, "a");
    pubsub_publication pub = kit_publication(topic, "");
    uint64_t before = 0;
    kit_peer *publisher = kit_peer_plain(t->net, t->url, "queue_messages=500");
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, "prefetch=200");
    sub->peer->unpolled = true;
    size_t count = COUNT + (size_t)(2 * reads_ahead(t) / SIZE);
    uint64_t ahead = reads_ahead(t) + reads_ahead(t) / 4; /* and what it needs for each message */
    pub.payload = (pubsub_bytes){payload, sizeof(payload)};
    before = memory_now();
    for (size_t i = 0; i < count; i++) {
        kit_send(publisher, &pub);
        if (i % 500 == 0) {
            assert_true(kit_stats(sub->peer).ready <= PREFETCH);
        }
    }
    kit_flush(publisher);
    assert_true(kit_stats(sub->peer).ready <= PREFETCH);
    if (getenv("PUBSUB_TEST_SLOW") == NULL) { /* sanitizers keep freed memory */
        assert_true(memory_now() < before + (uint64_t)COUNT * SIZE / 2 + ahead);
    }
    sub->peer->unpolled = false;
    KIT_AWAIT(t->net, kit_count(sub) == count);
}

static void a_stalled_subscription_does_not_stop_another(conf *t)
{
    enum { COUNT = 2000 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *stalled = kit_subscribe(peer, topic, "ack=manual prefetch=5");
    kit_sub *other = kit_subscribe(peer, topic, "prefetch=50");
    conf_publish_many(peer, topic, "m", COUNT);
    conf_expect_exactly(t, other, "m", COUNT);
    kit_flush(peer);
    KIT_AWAIT(t->net, kit_count(stalled) >= 5); /* it may be read by another way than the other */
    assert_int_equal(kit_count(stalled), 5);
}

static void a_stalled_client_does_not_stop_another(conf *t)
{
    enum { COUNT = 2000 };
    const char *topic = conf_topic(t, "a");
    kit_sub *stalled = kit_subscribe(conf_peer(t), topic, "prefetch=5");
    kit_sub *other = kit_subscribe(conf_peer(t), topic, NULL);
    stalled->peer->unpolled = true;
    conf_publish_many(other->peer, topic, "m", COUNT);
    conf_expect_exactly(t, other, "m", COUNT);
    stalled->peer->unpolled = false;
    conf_expect_exactly(t, stalled, "m", COUNT);
}

static int count_running(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    int *most = sub->ctx;
    int running = atomic_load(&sub->running);
    (void)copy;
    (void)message;
    *most = running > *most ? running : *most;
    return 0;
}

static void handlers_of_a_subscription_are_serial(conf *t)
{
    const char *topic = conf_topic(t, "a");
    int most = 0;
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic, NULL, count_running, &most);
    conf_publish_many(sub->peer, topic, "m", 1000);
    conf_expect_exactly(t, sub, "m", 1000);
    assert_int_equal(most, 1);
}

/* Nothing drives the connection, so the queue fills up. */
static void a_full_queue_is_told(conf *t)
{
    const char *topic = conf_topic(t, "a");
    pubsub_publication pub = kit_publication(topic, "x");
    pubsub_publication batch[20];
    pubsub_error error = PUBSUB_ERROR_INIT;
    size_t queued = 0;
    kit_peer *peer = kit_peer_plain(t->net, t->url, "queue_messages=10");
    peer->unpolled = true;
    for (size_t i = 0; i < 20; i++) {
        batch[i] = pub;
    }
    KIT_ERR(PUBSUB_EAGAIN,
            pubsub_client_publish_batch(peer->client, batch, 20, 0, &queued, &error));
    assert_int_equal(queued, 10);
    assert_true(error.text[0] != '\0');
    KIT_ERR(PUBSUB_EAGAIN, pubsub_client_publish(peer->client, &pub, 0, &error));
    assert_int_equal(kit_stats(peer).published, 10);
    assert_int_equal(kit_stats(peer).queued, 10);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 10);
    /* Waiting for space drives it. */
    KIT_OK(pubsub_client_publish(peer->client, &pub, kit_ms(KIT_PATIENCE), &error), &error);
    kit_flush(peer);
    assert_int_equal(kit_stats(peer).queued, 0);
}

static void a_full_queue_in_bytes_is_told(conf *t)
{
    static char payload[1000];
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "");
    pubsub_err result = PUBSUB_OK;
    size_t taken = 0;
    kit_peer *peer = kit_peer_plain(t->net, t->url, "queue_bytes=16k");
    peer->unpolled = true;
    pub.payload = (pubsub_bytes){payload, sizeof(payload)};
    while (taken < 17 && result == PUBSUB_OK) {
        result = pubsub_client_publish(peer->client, &pub, 0, NULL);
        taken += result == PUBSUB_OK ? 1 : 0;
    }
    KIT_ERR(PUBSUB_EAGAIN, result);
    assert_true(taken >= 8);
    assert_true(kit_stats(peer).queued_bytes <= 16384);
    kit_flush(peer);
    assert_int_equal(kit_stats(peer).queued_bytes, 0);
}

const conf_case conf_limits[] = {
    CONF_CASE(at_most_prefetch_messages_are_out, CONF_ALL | CONF_FANOUT, F(ACK), F(ACK)),
    CONF_CASE(at_most_prefetch_bytes_are_out, CONF_ALL | CONF_FANOUT, F(ACK), 0),
    CONF_CASE(memory_is_bounded_while_nobody_polls, CONF_THREAD | CONF_LOAD | CONF_OUTSIDE, F(ACK),
              0),
    CONF_CASE(a_stalled_subscription_does_not_stop_another, CONF_ALL | CONF_LOAD | CONF_FANOUT,
              F(ACK), 0),
    CONF_CASE(a_stalled_client_does_not_stop_another, CONF_POLLED | CONF_LOAD | CONF_FANOUT, F(ACK),
              0),
    CONF_CASE(handlers_of_a_subscription_are_serial, CONF_ALL | CONF_LOAD, 0, 0),
    CONF_CASE(a_full_queue_is_told, CONF_INLINE, 0, 0),
    CONF_CASE(a_full_queue_in_bytes_is_told, CONF_INLINE, 0, 0),
    CONF_END};
