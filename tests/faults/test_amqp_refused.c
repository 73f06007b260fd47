/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <stdio.h>
#include <stdlib.h>

/* RabbitMQ closes a channel because of one message, while others are on their way on it and beside it. */

static void send(kit_peer *peer, const char *topic, int qos, size_t size)
{
    char *payload = calloc(1, size);
    assert_non_null(payload);
    pubsub_publication publication = PUBSUB_PUBLICATION_INIT;
    publication.topic = pubsub_bytes_of(topic);
    publication.payload = (pubsub_bytes){payload, size};
    publication.qos = (pubsub_qos)qos;
    kit_send(peer, &publication);
    free(payload);
}

/* The body of a big message goes out in many pieces, and RabbitMQ takes nothing else on that channel before
 * the last one: not even the answer to its own close. Whichever channel is closed meanwhile, the connection
 * stays, what is refused is told, and the rest arrives. */
static void big_one(kit_broker *broker, int refused, int qos)
{
    enum { BIG = 8 * 1024 * 1024 };
    char url[256];
    char options[256];
    kit_proxy *proxy = kit_proxy_start(kit_url_port(kit_broker_url(broker)));
    kit_proxy_url(proxy, kit_broker_url(broker), url, sizeof(url));
    (void)snprintf(options, sizeof(options), "user=%s password=%s",
                   kit_broker_need(broker, "limited_user"), kit_broker_password(broker, true));
    kit_peer *peer = kit_peer_new(&kit_clients, url, options);
    kit_sub *sub = kit_subscribe(peer, "open/#", NULL);
    kit_proxy_bandwidth(proxy, KIT_TO_BROKER, (uint64_t)BIG);
    send(peer, "closed/a", refused, 10);
    send(peer, "closed/b", refused, 10);
    send(peer, "open/big", qos, BIG);
    send(peer, "open/last", 1, 10);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 2 && kit_stats(peer).queued == 0);
    assert_int_equal(kit_stats(peer).disconnects, 0);
    assert_int_equal(kit_stats(peer).rejected, refused == 1 ? 2 : 0);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_ERROR) > 0, refused == 0);
    kit_peer_close(peer);
    kit_proxy_stop(proxy);
}

static void test_amqp_refused_beside_a_big_one(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "auth");
    big_one(broker, 0, 0);
    big_one(broker, 0, 1);
    big_one(broker, 1, 0);
    big_one(broker, 1, 1);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_amqp_refused_beside_a_big_one),
    };
    return cmocka_run_group_tests_name("amqp_refused", tests, NULL, NULL);
}
