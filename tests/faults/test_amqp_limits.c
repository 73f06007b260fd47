/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <stdio.h>

/* What RabbitMQ does not take, or not now: alarms, full queues, big messages, too many channels; and what
 * it ends by itself: queues, slow consumers. */

/* With an alarm nothing is read from publishers any more: it is told, heartbeats go on, and the client ends
 * in time and says that something was not sent. */
static void blocked(const char *variant, const char *const *settings, const char *says)
{
    kit_broker *broker = kit_broker_start_with("rabbitmq", variant, settings);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(broker), "amqp.heartbeat=1s");
    pubsub_publication publication = kit_publication("t", "x");
    kit_sub *sub = kit_subscribe(peer, "t", NULL);
    kit_send(peer, &publication);
    KIT_AWAIT(&kit_clients, kit_event_find(peer, PUBSUB_EVENT_ERROR, 0) != NULL);
    const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_ERROR, 0);
    assert_int_equal(event->error.code, PUBSUB_EFULL);
    KIT_SAYS(event->error.text, says);
    kit_send(peer, &publication);
    /* Four heartbeats long it stays as it is. */
    kit_deadline until = kit_in(4000);
    while (!kit_over(until)) {
        kit_turn(&kit_clients);
    }
    assert_int_equal(kit_stats(peer).disconnects, 0);
    assert_int_equal(kit_count(sub), 0);
    pubsub_error error = PUBSUB_ERROR_INIT;
    uint64_t start = kit_now();
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_end(peer->client, 1000, &error));
    assert_true((int64_t)((kit_now() - start) / 1000000) < kit_ms(5000));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_amqp_limits_memory_alarm(void **state)
{
    static const char *const settings[] = {"vm_memory_high_watermark.absolute = 1MB", NULL};
    (void)state;
    blocked(NULL, settings, "memory");
}

static void test_amqp_limits_disk_alarm(void **state)
{
    (void)state;
    blocked("blocked", NULL, "disk");
}

/* Queues of ten messages that refuse more, messages of 64 KiB, eight channels, five seconds to ack. */
static void test_amqp_limits_small(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "small");
    const char *url = kit_broker_url(broker);
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    kit_peer *peer = kit_peer_new(&kit_clients, url, "");

    /* Too big: found out, refused for good, its neighbours get through. */
    kit_sub *sub = kit_subscribe(peer, "big/#", NULL);
    KIT_ERR(PUBSUB_EREJECTED, kit_publish_zeros(peer, "big/t", 100000, &receipt, &error));
    assert_int_equal(receipt.outcome, PUBSUB_REJECTED);
    KIT_SAYS(error.text, "size");
    KIT_OK(kit_publish_zeros(peer, "big/t", 60000, &receipt, &error), &error);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    assert_int_equal(kit_stats(peer).disconnects, 0);

    /* Full: nothing is lost, the rest waits until there is room. */
    enum { COUNT = 40 };
    kit_sub *slow = kit_subscribe_later(kit_peer_new(&kit_clients, url, ""), "full/t",
                                        "ack=manual prefetch=5", NULL, NULL);
    slow->keep = true;
    KIT_OK(pubsub_subscription_wait(slow->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    for (size_t i = 0; i < COUNT; i++) {
        kit_publish(peer, "full/t", "x");
    }
    KIT_AWAIT(&kit_clients, kit_count(slow) == 5);
    for (size_t acked = 0; acked < COUNT; acked++) {
        KIT_AWAIT(&kit_clients, kit_count(slow) > acked);
        KIT_OK(pubsub_message_ack(kit_at(slow, acked)->ref), NULL);
    }
    KIT_AWAIT(&kit_clients, kit_count(slow) >= COUNT);

    /* One channel for each subscription: the ninth is refused and says why, the others go on. */
    kit_peer *many = kit_peer_new(&kit_clients, url, "");
    for (size_t i = 0; i < 8; i++) {
        (void)kit_subscribe(many, "many/t", NULL);
    }
    KIT_ERR(PUBSUB_EFULL, kit_try_subscribe(many, "many/t", NULL, NULL, &error));
    KIT_SAYS(error.text, "channels");
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* Somebody deletes the queue: told, made again, and a gap is raised. */
/* What is not confirmed in time is sent again on a new connection, and it is told why. */
static void test_amqp_limits_missing_confirm(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    char behind[256];
    pubsub_publication publication = kit_publication("confirm/t", "x");
    kit_proxy *proxy = kit_proxy_start(kit_url_port(url));
    kit_proxy_url(proxy, url, behind, sizeof(behind));
    kit_sub *sub = kit_subscribe(kit_peer_new(&kit_clients, url, ""), "confirm/#", NULL);
    kit_peer *peer =
        kit_peer_new(&kit_clients, behind, "amqp.heartbeat=0 amqp.confirm_timeout=500ms");
    kit_send(peer, &publication);
    KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == 1);
    /* A client that waits for nothing is left alone. */
    kit_deadline until = kit_in(1500);
    while (!kit_over(until)) {
        kit_turn(&kit_clients);
    }
    assert_int_equal(kit_stats(peer).disconnects, 0);
    kit_proxy_stall(proxy, KIT_TO_CLIENT, true);
    kit_send(peer, &publication);
    KIT_AWAIT(&kit_clients, kit_stats(peer).disconnects == 1);
    kit_proxy_stall(proxy, KIT_TO_CLIENT, false);
    KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == 2);
    const kit_report *report = kit_list_at(&peer->reports, 1);
    assert_int_equal(report->report.outcome, PUBSUB_ACCEPTED);
    const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_STATE, 2);
    assert_int_equal(event->state, PUBSUB_STATE_RECONNECTING);
    KIT_SAYS(event->error.text, "amqp.confirm_timeout");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 3); /* the second came twice */
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
}

/* A reader of a stream that has had nothing yet does not know where it stood: it is told. */
static void test_amqp_limits_stream_read_anew(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    char name[64];
    char at[300];
    char behind[300];
    (void)snprintf(name, sizeof(name), "anew-%llx", (unsigned long long)kit_wall());
    (void)snprintf(at, sizeof(at), "%s/?exchange=e-%s&stream=s-%s", url, name, name);
    kit_proxy *proxy = kit_proxy_start(kit_url_port(url));
    kit_proxy_url(proxy, at, behind, sizeof(behind));
    kit_peer *publisher = kit_peer_new(&kit_clients, at, "");
    kit_peer *peer = kit_peer_new(&kit_clients, behind, "reconnect_min=10ms reconnect_max=200ms");
    kit_sub *sub = kit_subscribe(peer, "t", NULL);
    kit_proxy_door(proxy, KIT_DOOR_CLOSED);
    kit_proxy_cut(proxy);
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED) == 1);
    kit_publish(publisher, "t", "missed");
    kit_flush(publisher);
    kit_proxy_door(proxy, KIT_DOOR_OPEN);
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_GAP) == 1);
    kit_publish(publisher, "t", "seen");
    KIT_AWAIT(&kit_clients, kit_count_of(sub, "seen") == 1);
    /* From now on it goes on behind that. */
    kit_proxy_cut(proxy);
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED) == 2);
    kit_publish(publisher, "t", "kept");
    KIT_AWAIT(&kit_clients, kit_count_of(sub, "kept") == 1);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_GAP), 1);
    assert_int_equal(kit_count_of(sub, "seen"), 1);
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
}

static void test_amqp_limits_deleted_queue(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    kit_peer *peer = kit_peer_new(&kit_clients, url, "reconnect_min=10ms reconnect_max=50ms");
    kit_peer *other = kit_peer_new(&kit_clients, url, "");
    kit_sub *sub = kit_subscribe(peer, "deleted/t", "group=deleted durable=deleted");
    kit_sub *same =
        kit_subscribe_later(other, "deleted/t", "group=deleted durable=deleted", NULL, NULL);
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_subscription_wait(same->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    KIT_OK(pubsub_subscription_unsubscribe(same->handle, PUBSUB_UNSUBSCRIBE_FORGET, NULL), NULL);
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED) == 1);
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_GAP) == 1);
    kit_publish(peer, "deleted/t", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    assert_int_equal(kit_stats(peer).disconnects, 0);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, PUBSUB_UNSUBSCRIBE_FORGET, NULL), NULL);
    kit_net_fini(&kit_clients);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_amqp_limits_memory_alarm),
        KIT_CLIENTS_CASE(test_amqp_limits_disk_alarm),
        KIT_CLIENTS_CASE(test_amqp_limits_small),
        KIT_CLIENTS_CASE(test_amqp_limits_missing_confirm),
        KIT_CLIENTS_CASE(test_amqp_limits_stream_read_anew),
        KIT_CLIENTS_CASE(test_amqp_limits_deleted_queue),
    };
    return cmocka_run_group_tests_name("amqp_limits", tests, NULL, NULL);
}
