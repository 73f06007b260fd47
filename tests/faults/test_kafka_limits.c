/* SPDX-License-Identifier: MIT */
#include "kafka/map.h"

#include "support/broker.h"
#include "support/net.h"

#include <stdio.h>
#include <stdlib.h>

/* What Kafka does not take, or not now: records that are too large for this side or for the broker, more than the
 * queue holds; and a topic that is gone. */

static kit_net net;

static int set_up(void **state)
{
    (void)state;
    kit_net_init(&net, KIT_THREAD);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_net_fini(&net);
    return 0;
}

static pubsub_err publish(kit_peer *peer, const char *topic, size_t size, pubsub_receipt *receipt,
                          pubsub_error *error)
{
    char *payload = calloc(1, size);
    assert_non_null(payload);
    pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
    publication.topic = pubsub_bytes_of(topic);
    publication.payload = (pubsub_bytes){payload, size};
    pubsub_err rc =
        pubsub_client_publish_wait(peer->client, &publication, kit_ms(30000), receipt, error);
    free(payload);
    return rc;
}

/* ---- size ----------------------------------------------------------------------------------------- */

/* Larger than this side sends: the call says so, and nothing goes out. */
static void check_own_limit(const char *url)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    kit_peer *peer = kit_peer_new(&net, url, "kafka.message.max.bytes=20000");
    KIT_ERR(PUBSUB_ETOOBIG, publish(peer, "own/t", 20001, &receipt, &error));
    KIT_SAYS(error.text, "20001 bytes");
    KIT_OK(publish(peer, "own/t", 15000, &receipt, &error), &error);
    kit_peer_close(peer);
}

/* Larger than the broker takes, among many that are not: it alone is refused, and named. */
static void test_kafka_limits_size(void **state)
{
    (void)state;
    enum { COUNT = 200, BIG = 100, TOO_MUCH = 100000, ENOUGH = 60000 };
    kit_broker *broker = kit_broker_start("kafka", "small");
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    char text[16];
    check_own_limit(kit_broker_url(broker));
    kit_peer *peer = kit_peer_new(&net, kit_broker_url(broker), "");
    kit_sub *sub = kit_subscribe(peer, "big/t", NULL);
    KIT_ERR(PUBSUB_ETOOBIG, publish(peer, "big/t", TOO_MUCH, &receipt, &error));
    assert_int_equal(receipt.outcome, PUBSUB_REJECTED);
    KIT_SAYS(error.text, "100000");
    KIT_OK(publish(peer, "big/t", ENOUGH, &receipt, &error), &error);
    KIT_AWAIT(&net, kit_count(sub) == 1);
    char *big = calloc(1, TOO_MUCH);
    assert_non_null(big);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "n%zu", i);
        pubsub_publication publication = kit_publication("big/t", text);
        if (i == BIG) {
            publication.payload = (pubsub_bytes){big, TOO_MUCH};
        }
        kit_send(peer, &publication);
    }
    KIT_AWAIT(&net, kit_count(sub) == COUNT && kit_stats(peer).queued == 0);
    for (size_t i = 1; i < COUNT; i++) { /* in order; the first one is from before */
        (void)snprintf(text, sizeof(text), "n%zu", i <= BIG ? i - 1 : i);
        assert_int_equal(kit_count_of(sub, text), 1);
        assert_ptr_equal(kit_find(sub, text), kit_at(sub, i));
    }
    assert_int_equal(kit_stats(peer).rejected, 2);
    assert_int_equal(kit_stats(peer).disconnects, 0);
    free(big);
    kit_net_fini(&net);
    kit_broker_stop(broker);
}

/* ---- a full queue --------------------------------------------------------------------------------- */

/* The broker stands still and the library's queue is full: the rest waits in order, and none is lost. */
static void test_kafka_limits_queue(void **state)
{
    (void)state;
    enum { COUNT = 3000, ROOM = 50 };
    char text[16];
    kit_broker *broker = kit_broker_start("kafka", NULL);
    kit_peer *peer = kit_peer_new(&net, kit_broker_url(broker),
                                  "kafka.queue.buffering.max.messages=50 publish_timeout=5m");
    kit_sub *sub = kit_subscribe(peer, "full/t", NULL);
    (void)kit_store_text(peer, "full/t", "first");
    kit_broker_pause(broker);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "n%zu", i);
        kit_publish(peer, "full/t", text);
    }
    kit_deadline until = kit_in(1000);
    while (!kit_over(until)) {
        kit_turn(&net);
    }
    assert_int_equal(kit_stats(peer).queued, COUNT);
    kit_broker_resume(broker);
    KIT_AWAIT(&net, kit_count(sub) == COUNT + 1 && kit_stats(peer).queued == 0);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "n%zu", i);
        assert_int_equal(kit_count_of(sub, text), 1);
        assert_ptr_equal(kit_find(sub, text), kit_at(sub, i + 1));
    }
    assert_int_equal(kit_stats(peer).rejected, 0);
    kit_net_fini(&net);
    kit_broker_stop(broker);
}

/* ---- a topic that is gone ------------------------------------------------------------------------- */

static void remove_topic(kit_broker *broker, const char *name)
{
    char text[256];
    const char *hosts = strstr(kit_broker_url(broker), "://");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_non_null(hosts);
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", hosts + 3, text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(rk);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(name);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)kit_ms(KIT_PATIENCE));
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_destroy(rk);
}

/* Who publishes has it made again, or is told; who subscribes gets what is published to the new one. */
static void test_kafka_limits_deleted(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("kafka", NULL);
    const char *url = kit_broker_url(broker);
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    kit_peer *peer = kit_peer_new(&net, url, "");
    kit_peer *careful = kit_peer_new(&net, url, "kafka.create=no");
    kit_sub *all = kit_subscribe(peer, "gone/t", NULL);
    kit_sub *member = kit_subscribe(peer, "gone/t", "group=gone");
    (void)kit_store_text(peer, "gone/t", "before");
    (void)kit_store_text(careful, "gone/t", "before, too");
    KIT_AWAIT(&net, kit_count(all) == 2 && kit_count(member) == 2);
    remove_topic(broker, "gone.t");
    KIT_ERR(PUBSUB_ENOTFOUND, publish(careful, "gone/t", 1, &receipt, &error));
    assert_int_equal(receipt.outcome, PUBSUB_REJECTED);
    KIT_SAYS(error.text, "gone.t");
    (void)kit_store_text(peer, "gone/t", "after");
    KIT_AWAIT(&net, kit_count_of(all, "after") == 1 && kit_count_of(member, "after") == 1);
    (void)kit_store_text(careful, "gone/t", "again");
    KIT_AWAIT(&net, kit_count_of(all, "again") == 1 && kit_count_of(member, "again") == 1);
    kit_net_fini(&net);
    kit_broker_stop(broker);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_kafka_limits_size),
        CASE(test_kafka_limits_queue),
        CASE(test_kafka_limits_deleted),
    };
    return cmocka_run_group_tests_name("kafka_limits", tests, NULL, NULL);
}
