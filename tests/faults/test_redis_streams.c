/* SPDX-License-Identifier: MIT */
#include "redis_server.h"

#include "support/broker.h"
#include "support/clients.h"

#include <stdio.h>

/* What others do to our streams: trim them, delete them, fill the server. Nothing of it passes unseen. */

static void store(kit_peer *peer, const char *topic, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "m%zu", i);
        kit_publish(peer, topic, text);
    }
    kit_flush(peer);
}

/* Everything is deleted while readers wait: they are told, and go on with what comes then. */
static void test_redis_streams_flushall(void **state)
{
    (void)state;
    static const char *const options[] = {"", "durable=d", "group=g", "group=k durable=k"};
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    kit_sub *subs[4];
    for (size_t i = 0; i < 4; i++) {
        subs[i] = kit_subscribe(
            kit_peer_new(&kit_clients, url, "reconnect_min=10ms redis.lease=1s"), "t", options[i]);
    }
    store(publisher, "t", 10);
    for (size_t i = 0; i < 4; i++) {
        KIT_AWAIT(&kit_clients, kit_count(subs[i]) == 10);
    }
    redis_say(broker, "FLUSHALL");
    for (size_t i = 0; i < 4; i++) {
        KIT_AWAIT(&kit_clients, kit_events_of(subs[i]->peer, PUBSUB_EVENT_GAP) >= 1);
        KIT_SAYS(kit_event_find(subs[i]->peer, PUBSUB_EVENT_GAP, 0)->gap_reason, "deleted");
    }
    kit_publish(publisher, "t", "after");
    for (size_t i = 0; i < 4; i++) {
        KIT_AWAIT(&kit_clients, kit_find(subs[i], "after") != NULL);
        assert_int_equal(kit_count(subs[i]), 11);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* What is trimmed while a durable name is away is told when it comes back, once. */
static void test_redis_streams_trimmed_while_away(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    kit_sub *sub = kit_subscribe(kit_peer_new(&kit_clients, url, NULL), "t", "durable=d");
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    store(publisher, "t", 100);
    redis_say(broker, "XTRIM t MAXLEN 10");
    sub = kit_subscribe(kit_peer_new(&kit_clients, url, NULL), "t", "durable=d");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 10);
    KIT_AWAIT(&kit_clients, kit_events_of(sub->peer, PUBSUB_EVENT_GAP) == 1);
    KIT_SAYS(kit_event_find(sub->peer, PUBSUB_EVENT_GAP, 0)->gap_reason, "trimmed");
    assert_int_equal(kit_event_find(sub->peer, PUBSUB_EVENT_GAP, 0)->missed, 90);
    kit_flush(sub->peer);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    sub = kit_subscribe(kit_peer_new(&kit_clients, url, NULL), "t", "durable=d");
    kit_publish(publisher, "t", "more");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    assert_int_equal(kit_events_of(sub->peer, PUBSUB_EVENT_GAP), 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* A reader that is held up by its handlers is overtaken. */
static void test_redis_streams_trimmed_ahead_of_a_slow_reader(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    kit_peer *peer = kit_peer_new(&kit_clients, url, "redis.lease=600ms");
    kit_sub *sub = kit_subscribe_later(peer, "t", "prefetch=5 ack=manual", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    store(publisher, "t", 100);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 5);
    redis_say(broker, "XTRIM t MAXLEN 10");
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_GAP) >= 1);
    assert_int_equal(kit_event_find(peer, PUBSUB_EVENT_GAP, 0)->missed, 85);
    for (size_t i = 0; i < 15; i++) {
        KIT_AWAIT(&kit_clients, kit_count(sub) > i);
        KIT_OK(pubsub_message_ack(kit_at(sub, i)->ref), NULL);
    }
    assert_int_equal(kit_count(sub), 15);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static int never(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)copy;
    (void)message;
    return 0;
}

/* One that is slow keeps what it has for longer than the lease; nothing of it goes to the others. */
static void test_redis_streams_slow_member_keeps_its_messages(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    kit_sub *slow = kit_subscribe_with(kit_peer_new(&kit_clients, url, "redis.lease=600ms"), "t",
                                       "group=g ack=manual prefetch=5", never, NULL);
    slow->keep = true;
    store(publisher, "t", 20);
    KIT_AWAIT(&kit_clients, kit_count(slow) == 5);
    kit_sub *other =
        kit_subscribe(kit_peer_new(&kit_clients, url, "redis.lease=600ms"), "t", "group=g");
    KIT_AWAIT(&kit_clients, kit_count(other) == 15);
    uint64_t until = kit_now() + UINT64_C(2500000000);
    KIT_AWAIT(&kit_clients, kit_now() > until);
    assert_int_equal(kit_count(other), 15);
    assert_int_equal(kit_count(slow), 5);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* A full server takes nothing and loses nothing: the publishes wait until there is room. */
static void test_redis_streams_out_of_memory(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    store(publisher, "t", 1);
    KIT_AWAIT(&kit_clients, kit_list_count(&publisher->reports) == 1);
    redis_say(broker, "CONFIG SET maxmemory 1mb");
    redis_say(broker, "CONFIG SET maxmemory 1");
    kit_publish(publisher, "t", "waits");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(publisher->client, kit_ms(700), &error));
    redis_say(broker, "CONFIG SET maxmemory 0");
    kit_flush(publisher);
    KIT_AWAIT(&kit_clients, kit_list_count(&publisher->reports) == 2);
    const kit_report *report = kit_list_at(&publisher->reports, 1);
    assert_int_equal(report->report.outcome, PUBSUB_ACCEPTED);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* A key of another type is an error of this publish only. */
static void test_redis_streams_key_of_another_type(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *broker = kit_broker_start("redis", NULL);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), NULL);
    pubsub_publication publication = kit_publication("taken", "x");
    redis_say(broker, "SET taken 1");
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_publish_wait(peer->client, &publication,
                                                      kit_ms(KIT_PATIENCE), NULL, &error));
    KIT_SAYS(error.text, "stream");
    KIT_ERR(PUBSUB_ETOPIC, kit_try_subscribe(peer, "taken", NULL, NULL, &error));
    kit_sub *sub = kit_subscribe(peer, "free", NULL);
    kit_publish(peer, "free", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_redis_streams_readonly_replica(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *master = kit_broker_start("redis", NULL);
    kit_broker *replica = kit_broker_start("redis", NULL);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_need(replica, "url_streams"), NULL);
    pubsub_publication publication = kit_publication("t", "x");
    redis_replica_of(replica, master);
    KIT_ERR(PUBSUB_EREJECTED, pubsub_client_publish_wait(peer->client, &publication,
                                                         kit_ms(KIT_PATIENCE), NULL, &error));
    KIT_SAYS(error.text, "replica");
    kit_net_fini(&kit_clients);
    kit_broker_stop(replica);
    kit_broker_stop(master);
}

static void test_redis_streams_confirm_is_the_servers_setting(void **state)
{
    (void)state;
    static const struct {
        const char *variant;
        pubsub_confirm confirm;
    } rows[] = {{"aof-off", PUBSUB_CONFIRM_RECEIVED},
                {"aof-on", PUBSUB_CONFIRM_RECEIVED},
                {"aof-always", PUBSUB_CONFIRM_DURABLE}};
    for (size_t i = 0; i < 3; i++) {
        pubsub_caps caps;
        pubsub_receipt receipt;
        pubsub_error error = PUBSUB_ERROR_INIT;
        kit_broker *broker = kit_broker_start("redis", rows[i].variant);
        kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), NULL);
        pubsub_publication publication = kit_publication("t", "x");
        KIT_OK(pubsub_client_publish_wait(peer->client, &publication, kit_ms(KIT_PATIENCE),
                                          &receipt, &error),
               &error);
        KIT_OK(pubsub_client_caps(peer->client, &caps), NULL);
        assert_int_equal(receipt.confirm, rows[i].confirm);
        assert_int_equal(caps.confirm, rows[i].confirm);
        kit_net_fini(&kit_clients);
        kit_broker_stop(broker);
        kit_net_init(&kit_clients, KIT_THREAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_redis_streams_flushall),
        KIT_CLIENTS_CASE(test_redis_streams_trimmed_while_away),
        KIT_CLIENTS_CASE(test_redis_streams_trimmed_ahead_of_a_slow_reader),
        KIT_CLIENTS_CASE(test_redis_streams_slow_member_keeps_its_messages),
        KIT_CLIENTS_CASE(test_redis_streams_out_of_memory),
        KIT_CLIENTS_CASE(test_redis_streams_key_of_another_type),
        KIT_CLIENTS_CASE(test_redis_streams_readonly_replica),
        KIT_CLIENTS_CASE(test_redis_streams_confirm_is_the_servers_setting),
    };
    return cmocka_run_group_tests_name("redis_streams", tests, NULL, NULL);
}
