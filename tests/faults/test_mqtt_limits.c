/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <stdio.h>
#include <unistd.h>

/* What brokers do not take, windows that are small, and handlers that are slow. */

#define SOON "reconnect_min=10ms reconnect_max=50ms "

#ifdef __SANITIZE_ADDRESS__
enum { FACTOR = 30 }; /* freed memory is kept, and every byte has a shadow */
#else
enum { FACTOR = 3 };
#endif

/* Version 5 tells its limit: nothing too big is sent. */
static void test_mqtt_limits_too_big_5(void **state)
{
    (void)state;
    static const char *const settings[] = {"max_packet_size 2000", NULL};
    kit_broker *broker = kit_broker_start_with("mosquitto", NULL, settings);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(broker), "mqtt.version=5");
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    kit_sub *sub = kit_subscribe(peer, "t", NULL);
    /* One that waits from before the limit is known, and one after. */
    KIT_ERR(PUBSUB_ETOOBIG, kit_publish_zeros(peer, "t", 3000, &receipt, &error));
    KIT_SAYS(error.text, "2000");
    KIT_OK(kit_publish_zeros(peer, "t", 1900, &receipt, &error), &error);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    kit_peer *early = kit_peer_new(&kit_clients, kit_broker_url(broker), "mqtt.version=5");
    KIT_ERR(PUBSUB_ETOOBIG, kit_publish_zeros(early, "t", 3000, &receipt, &error));
    assert_int_equal(receipt.outcome, PUBSUB_REJECTED);
    assert_int_equal(kit_stats(peer).disconnects + kit_stats(early).disconnects, 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* 3.1.1 tells nothing and closes the connection: the message is found out and given up, with its
 * neighbours nothing happens, and the next one gets through. */
static void test_mqtt_limits_too_big_silent(void **state)
{
    (void)state;
    static const char *const settings[] = {"max_packet_size 2000", NULL};
    kit_broker *broker = kit_broker_start_with("mosquitto", NULL, settings);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(broker),
                                  SOON "mqtt.version=3.1.1 client_id=poisoner");
    static char big[3000];
    pubsub_publication poison = PUBSUB_PUBLICATION_INIT;
    poison.topic = pubsub_bytes_of("t");
    poison.payload = (pubsub_bytes){big, sizeof(big)};
    for (int i = 0; i < 20; i++) {
        kit_publish(peer, "t", "before");
    }
    kit_send(peer, &poison);
    for (int i = 0; i < 20; i++) {
        kit_publish(peer, "t", "after");
    }
    KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == 41);
    size_t accepted = 0;
    for (size_t i = 0; i < 41; i++) {
        const kit_report *report = kit_list_at(&peer->reports, i);
        accepted += report->report.outcome == PUBSUB_ACCEPTED;
        if (report->report.outcome != PUBSUB_ACCEPTED) {
            assert_int_equal(report->report.outcome, PUBSUB_UNKNOWN);
            KIT_SAYS(report->error.text, "seems not to take it");
        }
    }
    assert_int_equal(accepted, 40);
    KIT_AWAIT(&kit_clients, pubsub_client_state(peer->client) == PUBSUB_STATE_CONNECTED);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* Windows of the broker, the stock one of 20 and the smallest: no stalls of the library, nothing lost. */
static void window(const char *line, size_t count, int qos, int64_t within)
{
    const char *const settings[] = {line, NULL};
    kit_broker *broker = kit_broker_start_with("mosquitto", NULL, settings);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(broker), "mqtt.version=5");
    kit_sub *sub = kit_subscribe(peer, "t", "qos=2");
    uint64_t start = kit_now();
    for (size_t i = 0; i < count; i++) {
        pubsub_publication publication = kit_publication("t", "x");
        publication.qos = (pubsub_qos)qos;
        kit_send(peer, &publication);
    }
    KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == count);
    KIT_AWAIT(&kit_clients, kit_count(sub) == count);
    int64_t ms = (int64_t)((kit_now() - start) / 1000000);
    print_message("%s, qos %d: %zu messages in %lld ms\n", line, qos, count, (long long)ms);
    assert_true(ms < kit_ms(within));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_mqtt_limits_window(void **state)
{
    (void)state;
    window("max_inflight_messages 20", 500, 1, 8000);
    window("max_inflight_messages 20", 100, 2, 8000);
    window("max_inflight_messages 1", 40, 1, 8000);
    window("max_inflight_messages 1", 20, 2, 8000);
}

/* ---- slow handlers ------------------------------------------------------------------------------- */

static size_t resident(void)
{
    unsigned long pages = 0, ignored = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &ignored, &pages), 2);
    (void)fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Within the backlog nothing is lost; beyond it memory stays bounded and one gap tells of each episode. */
static void test_mqtt_limits_slow_subscriber(void **state)
{
    (void)state;
    enum { COUNT = 4000, SIZE = 4096 };
    static char payload[SIZE];
    kit_peer *slow = kit_peer_new(&kit_clients, kit_broker_shared("mosquitto"), "");
    kit_peer *sender = kit_peer_new(&kit_clients, kit_broker_shared("mosquitto"), "");
    kit_sub *patient =
        kit_subscribe(slow, "limits/slow", "prefetch=10 prefetch_bytes=64k mqtt.backlog=64M");
    kit_sub *poor =
        kit_subscribe(slow, "limits/slow", "prefetch=10 prefetch_bytes=64k mqtt.backlog=1M");
    slow->unpolled = true;
    size_t before = resident();
    for (int i = 0; i < COUNT; i++) {
        pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
        publication.topic = pubsub_bytes_of("limits/slow");
        publication.payload = (pubsub_bytes){payload, SIZE};
        kit_send(sender, &publication);
    }
    KIT_AWAIT(&kit_clients, kit_list_count(&sender->reports) == COUNT);
    KIT_AWAIT(&kit_clients, kit_stats(slow).gaps == 1);
    assert_true(resident() - before < (size_t)FACTOR * COUNT * SIZE + ((size_t)32 << 20));
    slow->unpolled = false;
    KIT_AWAIT(&kit_clients, kit_count(patient) == COUNT);
    KIT_AWAIT(&kit_clients, kit_count(poor) > 200);
    assert_true(kit_count(poor) < COUNT / 2);
    assert_int_equal(kit_stats(slow).gaps, 1);
    /* The episode is over: what comes now arrives, and a second one is told again. */
    size_t had = kit_count(poor);
    (void)kit_store_text(sender, "limits/slow", "fine");
    KIT_AWAIT(&kit_clients, kit_count_of(poor, "fine") == 1);
    assert_int_equal(kit_count(poor), had + 1);
    slow->unpolled = true;
    for (int i = 0; i < COUNT / 2; i++) {
        pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
        publication.topic = pubsub_bytes_of("limits/slow");
        publication.payload = (pubsub_bytes){payload, SIZE};
        kit_send(sender, &publication);
    }
    KIT_AWAIT(&kit_clients, kit_stats(slow).gaps == 2);
    slow->unpolled = false;
    KIT_AWAIT(&kit_clients, kit_count(patient) == COUNT + 1 + COUNT / 2);
}

static int block(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)copy;
    (void)message;
    kit_deadline until = kit_in(2000);
    while (!kit_over(until) && !atomic_load((atomic_bool *)sub->ctx)) {
        kit_breathe();
    }
    return 0;
}

/* The library has one lock and two threads for all clients: a handler must not hold either. */
static void test_mqtt_limits_one_blocks(void **state)
{
    (void)state;
    enum { CLIENTS = 20 };
    kit_net others;
    atomic_bool enough;
    atomic_init(&enough, false);
    kit_net_fini(&kit_clients);
    kit_net_init(&kit_clients, KIT_DISPATCH);
    kit_net_init(&others, KIT_THREAD);
    const char *url = kit_broker_shared("mosquitto");
    kit_peer *blocked = kit_peer_new(&kit_clients, url, "mqtt.keep_alive=1s");
    kit_sub *stuck = kit_subscribe_with(blocked, "limits/block", NULL, block, &enough);
    kit_peer *peers[CLIENTS];
    kit_sub *subs[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        peers[i] = kit_peer_new(&others, url, "");
        subs[i] = kit_subscribe(peers[i], "limits/many", NULL);
    }
    (void)kit_store_text(peers[0], "limits/block", "x");
    KIT_AWAIT(&others, atomic_load(&stuck->running) == 1);
    uint64_t start = kit_now();
    for (size_t i = 0; i < CLIENTS; i++) {
        (void)kit_store_text(peers[i], "limits/many", "x");
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        KIT_AWAIT(&others, kit_count(subs[i]) == CLIENTS);
    }
    print_message("20 clients, 400 messages: %lld ms while one handler blocks\n",
                  (long long)((kit_now() - start) / 1000000));
    assert_int_equal(atomic_load(&stuck->running), 1);
    KIT_AWAIT(&kit_clients, kit_count(stuck) == 1); /* two seconds are longer than its keep-alive */
    assert_int_equal(kit_stats(blocked).disconnects, 0);
    kit_net_fini(&others);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_mqtt_limits_too_big_5),
        KIT_CLIENTS_CASE(test_mqtt_limits_too_big_silent),
        KIT_CLIENTS_CASE(test_mqtt_limits_window),
        KIT_CLIENTS_CASE(test_mqtt_limits_slow_subscriber),
        KIT_CLIENTS_CASE(test_mqtt_limits_one_blocks),
    };
    return cmocka_run_group_tests_name("mqtt_limits", tests, NULL, NULL);
}
