/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <stdio.h>

/* Two hosts in one URL: the first is dead from the beginning, or is lost later. */

#define SOON "reconnect_min=10ms reconnect_max=50ms "

static uint16_t broker_port(void)
{
    return kit_url_port(kit_broker_shared("rabbitmq"));
}

/* "amqp://127.0.0.1:a,127.0.0.1:b" */
static kit_peer *with_two(uint16_t a, uint16_t b, const char *options)
{
    char url[100];
    (void)snprintf(url, sizeof(url), "amqp://127.0.0.1:%u,127.0.0.1:%u", (unsigned)a, (unsigned)b);
    return kit_peer_new(&kit_clients, url, options);
}

static void test_amqp_hosts_first_is_dead(void **state)
{
    (void)state;
    static const kit_door doors[] = {KIT_DOOR_CLOSED, KIT_DOOR_MUTE};
    for (size_t i = 0; i < 2; i++) {
        kit_proxy *proxy = kit_proxy_start(broker_port());
        kit_proxy_door(proxy, doors[i]);
        kit_peer *peer = with_two(kit_proxy_port(proxy), broker_port(), "connect_timeout=4s");
        kit_sub *sub = kit_subscribe(peer, "hosts/dead", NULL);
        (void)kit_store_text(peer, "hosts/dead", "x");
        KIT_AWAIT(&kit_clients, kit_count_of(sub, "x") == 1);
        kit_net_fini(&kit_clients);
        kit_proxy_stop(proxy);
    }
}

/* Both connections go over to the second, also while the first is a black hole; what was confirmed to a
 * durable subscription comes. */
static void test_amqp_hosts_first_is_lost(void **state)
{
    (void)state;
    static const kit_door doors[] = {KIT_DOOR_CLOSED, KIT_DOOR_MUTE};
    for (size_t i = 0; i < 2; i++) {
        kit_proxy *proxy = kit_proxy_start(broker_port());
        kit_peer *peer = with_two(kit_proxy_port(proxy), broker_port(), SOON "connect_timeout=2s");
        kit_sub *sub = kit_subscribe(peer, "hosts/lost", "durable=hosts-lost");
        (void)kit_store_text(peer, "hosts/lost", "before");
        assert_int_equal(kit_proxy_open(proxy), 2);
        kit_proxy_door(proxy, doors[i]);
        kit_proxy_cut(proxy);
        KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
        (void)kit_store_text(peer, "hosts/lost", "after");
        KIT_AWAIT(&kit_clients,
                  kit_count_of(sub, "before") >= 1 && kit_count_of(sub, "after") == 1);
        assert_int_equal(kit_proxy_open(proxy), 0);
        KIT_OK(pubsub_subscription_unsubscribe(sub->handle, PUBSUB_UNSUBSCRIBE_FORGET, NULL), NULL);
        kit_net_fini(&kit_clients);
        kit_proxy_stop(proxy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_amqp_hosts_first_is_dead),
        KIT_CLIENTS_CASE(test_amqp_hosts_first_is_lost),
    };
    return cmocka_run_group_tests_name("amqp_hosts", tests, NULL, NULL);
}
