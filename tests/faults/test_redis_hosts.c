/* SPDX-License-Identifier: MIT */
#include "redis_server.h"

#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <stdio.h>
#include <stdlib.h>

/* Several hosts in one URL, one of them the master: whoever changes something finds it, also after it has
 * become another one. */

#define SOON "reconnect_min=10ms reconnect_max=200ms "

static uint16_t port(kit_broker *broker)
{
    return kit_url_port(kit_broker_url(broker));
}

/* "redis://127.0.0.1:a,127.0.0.1:b" */
static kit_peer *with_two(const char *scheme, kit_broker *a, kit_broker *b)
{
    char url[100];
    (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%u,127.0.0.1:%u", scheme, (unsigned)port(a),
                   (unsigned)port(b));
    return kit_peer_new(&kit_clients, url, SOON);
}

/* Until it has everything of its master. */
static void follow(kit_broker *replica, kit_broker *master)
{
    char reply[4096];
    redis_replica_of(replica, master);
    kit_deadline until = kit_in(KIT_PATIENCE);
    do {
        assert_false(kit_over(until));
        kit_turn(&kit_clients);
        redis_ask(replica, "INFO replication", reply, sizeof(reply));
    } while (strstr(reply, "master_link_status:up") == NULL);
}

static uint64_t offset_of(kit_broker *broker, const char *name)
{
    char reply[4096];
    redis_ask(broker, "INFO replication", reply, sizeof(reply));
    const char *at = strstr(reply, name);
    assert_non_null(at);
    return strtoull(at + strlen(name), NULL, 10);
}

/* Until the replica has what its master has confirmed so far. WAIT would not do: it asks only about what
 * its own connection has written. */
static void catch_up(kit_broker *replica, kit_broker *master)
{
    uint64_t confirmed = offset_of(master, "master_repl_offset:");
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (offset_of(replica, "slave_repl_offset:") < confirmed) {
        assert_false(kit_over(until));
        kit_turn(&kit_clients);
    }
}

static void change_places(kit_broker *master, kit_broker *replica)
{
    redis_replica_of(replica, NULL);
    follow(master, replica);
}

static void check_nothing_lost(kit_peer *peer)
{
    pubsub_stats stats = kit_stats(peer);
    assert_int_equal(stats.rejected, 0);
    assert_int_equal(stats.not_sent, 0);
    assert_int_equal(stats.unknown, 0);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_REFUSED), 0);
}

static kit_broker *quick_master(void)
{
    static const char *const settings[] = {"repl-diskless-sync-delay 0", NULL};
    return kit_broker_start_with("redis", "generous", settings);
}

static void test_redis_hosts_replica_comes_first(void **state)
{
    (void)state;
    static const char *const schemes[] = {"redis", "redis+streams"};
    kit_broker *master = quick_master();
    kit_broker *replica = quick_master();
    follow(replica, master);
    for (size_t i = 0; i < 2; i++) {
        kit_peer *peer = with_two(schemes[i], replica, master);
        pubsub_publication publication = kit_publication("first", "x");
        publication.flags = PUBSUB_PUBLISH_RETAIN;
        (void)kit_store(peer, &publication);
        check_nothing_lost(peer);
        assert_int_equal(kit_stats(peer).connects, 2);
    }
    /* A group has to change something, too. */
    kit_peer *peer = with_two("redis+streams", replica, master);
    kit_sub *sub = kit_subscribe(peer, "second", "group=g");
    (void)kit_store_text(peer, "second", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    check_nothing_lost(peer);
    kit_net_fini(&kit_clients);
    kit_broker_stop(replica);
    kit_broker_stop(master);
}

/* Who may not ask what a server is finds out by trying. */
static void test_redis_hosts_without_hello(void **state)
{
    (void)state;
    char url[120];
    kit_broker *master = quick_master();
    kit_broker *replica = quick_master();
    follow(replica, master);
    redis_say(master, "ACL SETUSER u on >w ~* &* +@all -hello");
    redis_say(replica, "ACL SETUSER u on >w ~* &* +@all -hello");
    (void)snprintf(url, sizeof(url), "redis+streams://u:w@127.0.0.1:%u,127.0.0.1:%u",
                   (unsigned)port(replica), (unsigned)port(master));
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    (void)kit_store_text(peer, "t", "x");
    check_nothing_lost(peer);
    kit_net_fini(&kit_clients);
    kit_broker_stop(replica);
    kit_broker_stop(master);
}

/* Messages go on while the two change places, twice; all of them come. */
static void test_redis_hosts_master_becomes_a_replica(void **state)
{
    (void)state;
    enum { EACH = 200 };
    kit_broker *a = quick_master();
    kit_broker *b = quick_master();
    follow(b, a);
    kit_peer *publisher = with_two("redis+streams", a, b);
    kit_sub *group = kit_subscribe(with_two("redis+streams", a, b), "t", "group=g");
    kit_sub *durable = kit_subscribe(with_two("redis+streams", a, b), "t", "durable=d");
    for (size_t i = 0; i < 3; i++) {
        for (size_t n = 0; n < EACH; n++) {
            char text[32];
            (void)snprintf(text, sizeof(text), "%zu.%zu", i, n);
            kit_publish(publisher, "t", text);
            if (n == EACH / 2) {
                kit_flush(publisher);
                KIT_AWAIT(&kit_clients,
                          kit_count(group) >= i * EACH + n && kit_count(durable) >= i * EACH);
            }
            if (n == EACH / 2 && i < 2) {
                /* What is confirmed by one is not on both. */
                catch_up(i == 0 ? b : a, i == 0 ? a : b);
                change_places(i == 0 ? a : b, i == 0 ? b : a);
            }
        }
    }
    kit_flush(publisher);
    for (size_t i = 0; i < 3 * EACH; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "%zu.%zu", i / EACH, i % EACH);
        KIT_AWAIT(&kit_clients, kit_find(group, text) != NULL && kit_find(durable, text) != NULL);
    }
    check_nothing_lost(publisher);
    check_nothing_lost(group->peer);
    check_nothing_lost(durable->peer);
    kit_net_fini(&kit_clients);
    kit_broker_stop(b);
    kit_broker_stop(a);
}

/* With replicas only a message waits, and says why. */
static void test_redis_hosts_no_master(void **state)
{
    (void)state;
    kit_broker *master = quick_master();
    kit_broker *replicas[2] = {quick_master(), quick_master()};
    follow(replicas[0], master);
    follow(replicas[1], master);
    kit_peer *peer = with_two("redis+streams", replicas[0], replicas[1]);
    kit_publish(peer, "t", "x");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(peer->client, kit_ms(700), &error));
    KIT_AWAIT(&kit_clients, kit_went_through(peer, PUBSUB_STATE_RECONNECTING));
    bool told = false;
    for (size_t i = 0; i < kit_list_count(&peer->events); i++) {
        const kit_event *event = kit_list_at(&peer->events, i);
        told = told || strstr(event->error.text, "is a replica") != NULL;
    }
    assert_true(told);
    assert_int_equal(kit_list_count(&peer->reports), 0);
    redis_replica_of(replicas[1], NULL);
    kit_flush(peer);
    KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == 1);
    const kit_report *report = kit_list_at(&peer->reports, 0);
    assert_int_equal(report->report.outcome, PUBSUB_ACCEPTED);
    kit_net_fini(&kit_clients);
    kit_broker_stop(replicas[0]);
    kit_broker_stop(replicas[1]);
    kit_broker_stop(master);
}

/* Reading needs no master, and one host is no list. */
static void test_redis_hosts_what_a_replica_is_good_for(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *master = quick_master();
    kit_broker *replica = quick_master();
    follow(replica, master);
    kit_sub *live = kit_subscribe(with_two("redis", replica, master), "live", NULL);
    kit_sub *kept = kit_subscribe(with_two("redis+streams", replica, master), "kept", NULL);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(master), NULL);
    kit_publish(peer, "live", "x");
    KIT_AWAIT(&kit_clients, kit_count(live) == 1);
    (void)kit_store_text(kit_peer_new(&kit_clients, kit_broker_need(master, "url_streams"), NULL),
                         "kept", "x");
    KIT_AWAIT(&kit_clients, kit_count(kept) == 1);
    assert_int_equal(kit_stats(live->peer).disconnects + kit_stats(kept->peer).disconnects, 0);
    kit_peer *alone = kit_peer_new(&kit_clients, kit_broker_need(replica, "url_streams"), NULL);
    pubsub_publication publication = kit_publication("t", "x");
    KIT_ERR(PUBSUB_EREJECTED, pubsub_client_publish_wait(alone->client, &publication,
                                                         kit_ms(KIT_PATIENCE), NULL, &error));
    KIT_SAYS(error.text, "name its master");
    KIT_ERR(PUBSUB_EREJECTED, kit_try_subscribe(alone, "t", "group=g", NULL, &error));
    kit_net_fini(&kit_clients);
    kit_broker_stop(replica);
    kit_broker_stop(master);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_redis_hosts_replica_comes_first),
        KIT_CLIENTS_CASE(test_redis_hosts_without_hello),
        KIT_CLIENTS_CASE(test_redis_hosts_master_becomes_a_replica),
        KIT_CLIENTS_CASE(test_redis_hosts_no_master),
        KIT_CLIENTS_CASE(test_redis_hosts_what_a_replica_is_good_for),
    };
    return cmocka_run_group_tests_name("redis_hosts", tests, NULL, NULL);
}
