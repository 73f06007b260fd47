/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"

#include <stdio.h>

/* One name, two holders: one of them has it, the other is told and stays away. This broker does not say
 * who was taken over, so that it takes some rounds. */

static const char *const versions[] = {"mqtt.version=5", "mqtt.version=3.1.1"};

static kit_peer *named(const char *name, const char *options)
{
    char all[256];
    (void)snprintf(all, sizeof(all), "%s client_id=%s reconnect_min=10ms reconnect_max=50ms",
                   options, name);
    return kit_peer_new(&kit_clients, kit_broker_shared("mosquitto"), all);
}

static bool is_over(kit_peer *peer)
{
    return pubsub_client_state(peer->client) == PUBSUB_STATE_CLOSED;
}

/* The error it was closed with; OK when that is not known yet. */
static pubsub_err end_of(kit_peer *peer)
{
    for (size_t nth = 0;; nth++) {
        const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_STATE, nth);
        if (event == NULL) {
            return PUBSUB_OK;
        }
        if (event->state == PUBSUB_STATE_CLOSED) {
            return event->error.code;
        }
    }
}

/* Nothing changes hands any more. */
static void rest(kit_peer *winner)
{
    uint64_t connects = kit_stats(winner).connects;
    kit_deadline until = kit_in(300);
    while (!kit_over(until)) {
        kit_turn(&kit_clients);
    }
    assert_int_equal(kit_stats(winner).connects, connects);
    assert_int_equal(pubsub_client_state(winner->client), PUBSUB_STATE_CONNECTED);
}

static void test_mqtt_taken_client_id(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char name[40];
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)snprintf(name, sizeof(name), "taken-%zu", i);
        kit_peer *first = named(name, versions[i]);
        KIT_OK(pubsub_client_connect(first->client, &error), &error);
        KIT_OK(pubsub_client_ready(first->client, kit_ms(KIT_PATIENCE), &error), &error);
        kit_peer *second = named(name, versions[i]);
        KIT_OK(pubsub_client_connect(second->client, &error), &error);
        KIT_AWAIT(&kit_clients, is_over(first) || is_over(second));
        kit_peer *loser = is_over(first) ? first : second;
        kit_peer *winner = loser == first ? second : first;
        KIT_AWAIT(&kit_clients, end_of(loser) != PUBSUB_OK);
        assert_int_equal(end_of(loser), PUBSUB_ETAKEN);
        KIT_AWAIT(&kit_clients, pubsub_client_state(winner->client) == PUBSUB_STATE_CONNECTED);
        rest(winner);
        (void)kit_store_text(winner, "taken/t", "x");
    }
}

/* Publishes in flight at that moment get their outcomes, once. */
static void test_mqtt_taken_while_publishing(void **state)
{
    (void)state;
    kit_peer *first = named("taken-busy", versions[0]);
    for (int i = 0; i < 2000; i++) {
        kit_publish(first, "taken/busy", "x");
    }
    KIT_AWAIT(&kit_clients, kit_list_count(&first->reports) > 50);
    kit_peer *second = named("taken-busy", versions[0]);
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_client_connect(second->client, &error), &error);
    KIT_AWAIT(&kit_clients, is_over(first) || is_over(second));
    KIT_AWAIT(&kit_clients, kit_list_count(&first->reports) == 2000);
    kit_peer *winner = is_over(first) ? second : first;
    KIT_AWAIT(&kit_clients, pubsub_client_state(winner->client) == PUBSUB_STATE_CONNECTED);
    rest(winner);
    assert_int_equal(kit_list_count(&first->reports), 2000);
}

static void test_mqtt_taken_durable_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char options[64];
        char topic[40];
        char made[96];
        (void)snprintf(topic, sizeof(topic), "taken/durable/%zu", i);
        (void)snprintf(options, sizeof(options), "durable=taken-durable-%zu", i);
        (void)snprintf(made, sizeof(made), "%s reconnect_min=10ms reconnect_max=50ms", versions[i]);
        kit_peer *peers[2];
        kit_sub *subs[2];
        for (size_t k = 0; k < 2; k++) {
            peers[k] = kit_peer_new(&kit_clients, kit_broker_shared("mosquitto"), made);
            subs[k] = kit_subscribe(peers[k], topic, options);
        }
        KIT_AWAIT(&kit_clients, kit_events_of(peers[0], PUBSUB_EVENT_REFUSED) +
                                        kit_events_of(peers[1], PUBSUB_EVENT_REFUSED) ==
                                    1);
        size_t loser = kit_events_of(peers[0], PUBSUB_EVENT_REFUSED) == 1 ? 0 : 1;
        const kit_event *event = kit_event_find(peers[loser], PUBSUB_EVENT_REFUSED, 0);
        assert_non_null(event);
        assert_int_equal(event != NULL ? event->error.code : PUBSUB_OK, PUBSUB_ETAKEN);
        /* Only that subscription is gone, not its client; the other one has the messages. */
        (void)kit_store_text(peers[loser], topic, "x");
        KIT_AWAIT(&kit_clients, kit_count(subs[1 - loser]) == 1);
        assert_int_equal(kit_count(subs[loser]), 0);
        /* And it may be asked for again, which takes it back. */
        kit_sub *again = kit_subscribe(peers[loser], topic, options);
        (void)kit_store_text(peers[loser], topic, "y");
        KIT_AWAIT(&kit_clients, kit_count_of(again, "y") + kit_count_of(subs[1 - loser], "y") >= 1);
        kit_net_fini(&kit_clients);
    }
}

/* The same name twice in one client is refused before the broker could throw anybody out. */
static void test_mqtt_taken_by_oneself(void **state)
{
    (void)state;
    kit_peer *peer = named("taken-self", versions[0]);
    kit_sub *sub = kit_subscribe(peer, "taken/self", "durable=taken-name");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EBUSY,
            kit_try_subscribe(peer, "taken/other", "durable=taken-name", NULL, &error));
    KIT_ERR(PUBSUB_EBUSY,
            kit_try_subscribe(peer, "taken/other", "durable=taken-self", NULL, &error));
    (void)kit_store_text(peer, "taken/self", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_mqtt_taken_client_id),
        KIT_CLIENTS_CASE(test_mqtt_taken_while_publishing),
        KIT_CLIENTS_CASE(test_mqtt_taken_durable_name),
        KIT_CLIENTS_CASE(test_mqtt_taken_by_oneself),
    };
    return cmocka_run_group_tests_name("mqtt_taken", tests, NULL, NULL);
}
