/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"
#include "support/tempdir.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* Servers that are killed, that throw somebody out, that are reached in other ways, and that close the
 * connection of one who sends what they do not take. */

#define SOON "reconnect_min=10ms reconnect_max=200ms "

/* ---- killed under load --------------------------------------------------------------------------- */

typedef struct tally {
    unsigned char *seen; /* how often each came */
    size_t total;
    atomic_size_t different, again, foreign;
} tally;

static int count_one(void *ctx, pubsub_message *message)
{
    tally *all = ctx;
    pubsub_bytes payload = pubsub_message_payload(message);
    char text[24] = "";
    memcpy(text, payload.data, payload.len < sizeof(text) ? payload.len : sizeof(text) - 1);
    char *end = NULL;
    unsigned long number = strtoul(text, &end, 10);
    if (end == text || number >= all->total) {
        atomic_fetch_add(&all->foreign, 1);
    } else if (all->seen[number] > 0) {
        atomic_fetch_add(&all->again, 1);
    } else {
        all->seen[number] = 1;
        atomic_fetch_add(&all->different, 1);
    }
    return 0;
}

static kit_sub *subscribe_counting(kit_peer *peer, const char *options, tally *all)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_options *set = kit_options(options);
    kit_sub *sub = kit_sub_new(peer, "killed/t");
    KIT_OK(pubsub_client_subscribe(peer->client, "killed/t", set, count_one, all, &sub->handle,
                                   &error),
           &error);
    pubsub_options_free(set);
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    return sub;
}

static void publish_all(kit_broker *broker, kit_peer *publisher, size_t total)
{
    enum { KILLS = 3 };
    size_t kills = 0;
    for (size_t i = 0; i < total; i++) {
        char text[24];
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)snprintf(text, sizeof(text), "%zu", i);
        pubsub_publication publication = kit_publication("killed/t", text);
        pubsub_err rc = pubsub_client_publish(publisher->client, &publication,
                                              kit_ms(6 * KIT_PATIENCE), &error);
        kit_deadline told = kit_in(500);
        while (rc != PUBSUB_OK && !kit_over(told)) {
            kit_turn(&kit_clients);
        }
        for (size_t n = 0; rc != PUBSUB_OK && n < kit_list_count(&publisher->events); n++) {
            const kit_event *event = kit_list_at(&publisher->events, n);
            print_message("             event %d: %s\n", (int)event->type, event->error.text);
        }
        KIT_OK(rc, &error);
        if (kills < KILLS && i >= (kills + 1) * total / (KILLS + 1) &&
            kit_stats(publisher).queued > 100) { /* at once: later they would be answered */
            kills++;
            assert_int_equal(kill(kit_broker_pid(broker), SIGKILL), 0);
            kit_broker_restart(broker);
        }
    }
    assert_int_equal(kills, KILLS);
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_client_flush(publisher->client, kit_ms(6 * KIT_PATIENCE), &error), &error);
}

/* With appendfsync always what was confirmed survives kill -9, and a durable subscription gets all of it. */
static void test_redis_kill_streams_lose_nothing(void **state)
{
    (void)state;
    tally all = {.total = getenv("PUBSUB_TEST_LONG") != NULL ? 200000 : 20000};
    kit_net_fini(&kit_clients);
    kit_net_init(&kit_clients, KIT_DISPATCH);
    kit_broker *broker = kit_broker_start("redis", "generous,aof-always");
    all.seen = calloc(all.total, 1);
    assert_non_null(all.seen);
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, SOON);
    kit_peer *peer = kit_peer_plain(&kit_clients, url, SOON);
    (void)subscribe_counting(peer, "durable=d", &all);
    /* The first connect is not tried again, so it has to be over before anybody is killed. */
    (void)kit_store_text(publisher, "killed/ready", "x");
    publish_all(broker, publisher, all.total);
    assert_int_equal(kit_stats(publisher).accepted, all.total + 1);
    assert_true(kit_stats(publisher).disconnects >= 1);
    kit_deadline until = kit_in(6 * KIT_PATIENCE);
    while (atomic_load(&all.different) < all.total && !kit_over(until)) {
        kit_turn(&kit_clients);
    }
    print_message("             %zu of %zu confirmed messages, %zu came again, %llu sent again\n",
                  atomic_load(&all.different), all.total, atomic_load(&all.again),
                  (unsigned long long)kit_stats(publisher).resent);
    assert_int_equal(atomic_load(&all.different), all.total);
    assert_int_equal(atomic_load(&all.foreign), 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
    free(all.seen);
}

/* ---- thrown out ----------------------------------------------------------------------------------- */

static size_t unheard(kit_peer *publisher)
{
    size_t count = 0;
    for (size_t i = 0; i < kit_list_count(&publisher->reports); i++) {
        const kit_report *report = kit_list_at(&publisher->reports, i);
        count += (report->report.flags & PUBSUB_REPORT_NO_SUBSCRIBER) != 0 ? 1 : 0;
    }
    return count;
}

/* The server drops who does not read; the subscription is told that there is a hole. */
static void test_redis_kill_slow_reader_is_thrown_out(void **state)
{
    (void)state;
    enum { SIZE = 64 * 1024, MOST = 2000 };
    static const char *const settings[] = {"client-output-buffer-limit pubsub 256kb 0 0", NULL};
    static char text[SIZE + 1];
    char url[100];
    kit_broker *broker = kit_broker_start_with("redis", "aof-off", settings);
    kit_proxy *proxy = kit_proxy_start(kit_url_port(kit_broker_url(broker)));
    kit_proxy_url(proxy, kit_broker_url(broker), url, sizeof(url));
    kit_peer *publisher = kit_peer_new(&kit_clients, kit_broker_url(broker), NULL);
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    kit_sub *sub = kit_subscribe(peer, "slow/t", NULL);
    memset(text, 'x', SIZE);
    kit_proxy_stall(proxy, KIT_TO_CLIENT, true);
    size_t sent = 0;
    while (unheard(publisher) == 0 && sent < MOST) {
        for (size_t i = 0; i < 16; i++, sent++) {
            kit_publish(publisher, "slow/t", text);
        }
        kit_flush(publisher);
        KIT_AWAIT(&kit_clients, kit_list_count(&publisher->reports) == sent);
    }
    assert_true(unheard(publisher) > 0);
    kit_proxy_stall(proxy, KIT_TO_CLIENT, false);
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_GAP) >= 1);
    KIT_SAYS(kit_event_find(peer, PUBSUB_EVENT_GAP, 0)->gap_reason, "reconnected");
    assert_true(kit_count(sub) < sent);
    kit_publish(publisher, "slow/t", "after");
    KIT_AWAIT(&kit_clients, kit_find(sub, "after") != NULL);
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
    kit_broker_stop(broker);
}

/* ---- ways to a server ------------------------------------------------------------------------------ */

static void test_redis_kill_unix_socket(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char line[KIT_PATH_MAX + 32];
    char encoded[3 * KIT_PATH_MAX];
    char url[4 * KIT_PATH_MAX];
    size_t n = 0;
    kit_dir_new(dir);
    (void)snprintf(line, sizeof(line), "unixsocket %s/s", dir);
    const char *const settings[] = {line, NULL};
    kit_broker *broker = kit_broker_start_with("redis", "aof-off", settings);
    for (const char *at = line + strlen("unixsocket "); *at != '\0'; at++) {
        n += (size_t)snprintf(encoded + n, sizeof(encoded) - n, *at == '/' ? "%%2F" : "%c", *at);
    }
    static const char *const schemes[] = {"redis", "redis+streams"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(url, sizeof(url), "%s://%s/2", schemes[i], encoded);
        kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
        kit_sub *sub = kit_subscribe(peer, "unix/t", NULL);
        (void)kit_store_text(peer, "unix/t", "x");
        KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
        kit_broker_kill(broker);
        kit_broker_restart(broker);
        KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
        (void)kit_store_text(peer, "unix/t", "y");
        KIT_AWAIT(&kit_clients, kit_find(sub, "y") != NULL);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
    kit_dir_remove(dir);
}

/* Of two servers the first is killed: the second serves, publishes and subscriptions alike. */
static void test_redis_kill_first_of_two(void **state)
{
    (void)state;
    static const char *const schemes[] = {"redis", "redis+streams"};
    for (size_t i = 0; i < 2; i++) {
        char url[128];
        kit_broker *first = kit_broker_start("redis", "aof-off");
        kit_broker *second = kit_broker_start("redis", "aof-off");
        (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%u,127.0.0.1:%u", schemes[i],
                       (unsigned)kit_url_port(kit_broker_url(first)),
                       (unsigned)kit_url_port(kit_broker_url(second)));
        kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
        kit_peer *there = kit_peer_new(&kit_clients, kit_broker_url(second), NULL);
        kit_sub *sub = kit_subscribe(peer, "two/t", NULL);
        kit_broker_kill(first);
        KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
        (void)kit_store_text(peer, "two/t", "x");
        KIT_AWAIT(&kit_clients, kit_find(sub, "x") != NULL);
        assert_int_equal(kit_stats(there).disconnects, 0);
        kit_net_fini(&kit_clients);
        kit_net_init(&kit_clients, KIT_THREAD);
        kit_broker_stop(first);
        kit_broker_stop(second);
    }
}

/* ---- what a server does not take --------------------------------------------------------------------- */

static bool cut_at_poison(void *ctx, void *state, kit_out *out, const uint8_t *data, size_t len)
{
    static const char mark[] = "POISON";
    atomic_uint *times = ctx;
    (void)state;
    for (size_t i = 0; i + sizeof(mark) - 1 <= len; i++) {
        if (memcmp(data + i, mark, sizeof(mark) - 1) == 0) {
            atomic_fetch_add(times, 1);
            return false;
        }
    }
    kit_pass(out, data, len);
    return true;
}

static pubsub_err outcome_of(kit_peer *peer, size_t *accepted)
{
    pubsub_err code = PUBSUB_OK;
    *accepted = 0;
    for (size_t i = 0; i < kit_list_count(&peer->reports); i++) {
        const kit_report *one = kit_list_at(&peer->reports, i);
        *accepted += one->report.outcome == PUBSUB_ACCEPTED ? 1 : 0;
        code = one->report.outcome == PUBSUB_ACCEPTED ? code : one->error.code;
    }
    return code;
}

/* A message that costs the connection each time it is sent is given up; those around it are not. */
static void test_redis_kill_poison(void **state)
{
    (void)state;
    enum { AROUND = 20 };
    static const uint32_t flags[] = {0, PUBSUB_PUBLISH_RETAIN}; /* one command, and a MULTI */
    kit_broker *broker = kit_broker_start("redis", "aof-off");
    const char *url = kit_broker_need(broker, "url_streams");
    for (size_t i = 0; i < 2; i++) {
        atomic_uint times;
        atomic_init(&times, 0);
        size_t accepted = 0;
        char behind[100];
        kit_filter filter = {cut_at_poison, &times, 0};
        kit_proxy *proxy = kit_proxy_start(kit_url_port(url));
        kit_proxy_filter(proxy, KIT_TO_BROKER, &filter);
        kit_proxy_url(proxy, url, behind, sizeof(behind));
        kit_peer *peer = kit_peer_new(&kit_clients, behind, SOON);
        for (size_t n = 0; n < AROUND; n++) {
            pubsub_publication publication =
                kit_publication("poison/t", n == AROUND / 2 ? "POISON" : "harmless");
            publication.flags = flags[i];
            kit_send(peer, &publication);
        }
        KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == AROUND);
        assert_int_equal(outcome_of(peer, &accepted), PUBSUB_EREJECTED);
        assert_int_equal(accepted, AROUND - 1);
        assert_int_equal(atomic_load(&times), 8);
        kit_net_fini(&kit_clients);
        kit_net_init(&kit_clients, KIT_THREAD);
        kit_proxy_stop(proxy);
    }
    kit_broker_stop(broker);
}

/* The real one: longer than the server takes, and nobody can ask what that is. */
static void test_redis_kill_longer_than_the_server_takes(void **state)
{
    (void)state;
    enum { SIZE = 2 * 1024 * 1024 };
    static const char *const settings[] = {"proto-max-bulk-len 1mb", "rename-command CONFIG \"\"",
                                           NULL};
    static char text[SIZE + 1];
    static const char *const urls[] = {"url", "url_streams"};
    size_t accepted = 0;
    memset(text, 'x', SIZE);
    kit_broker *broker = kit_broker_start_with("redis", "aof-off", settings);
    for (size_t i = 0; i < 2; i++) {
        kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_need(broker, urls[i]), SOON);
        pubsub_publication publication = kit_publication("long/t", text);
        publication.qos = i == 0 ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE;
        kit_send(peer, &publication);
        publication = kit_publication("long/t", "short");
        kit_send(peer, &publication);
        KIT_AWAIT(&kit_clients, kit_list_count(&peer->reports) == 2);
        assert_int_not_equal(outcome_of(peer, &accepted), PUBSUB_OK);
        assert_true(accepted <= 1 && (i == 0 || accepted == 1));
        assert_true(kit_stats(peer).disconnects <= 8);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* The network goes without a word: the server serves the read that nobody hears any more first. What it gave
 * there comes all the same. */
static void test_redis_kill_unheard_read(void **state)
{
    (void)state;
    static const char *const options[] = {"group=g", "durable=d"};
    for (size_t i = 0; i < 2; i++) {
        kit_broker *broker = kit_broker_start("redis", "generous");
        uint16_t port = kit_url_port(kit_broker_url(broker));
        kit_proxy *proxy = kit_proxy_start(port);
        char url[120];
        (void)snprintf(url, sizeof(url), "redis+streams://127.0.0.1:%u,127.0.0.1:%u",
                       (unsigned)kit_proxy_port(proxy), (unsigned)port);
        kit_peer *peer =
            kit_peer_new(&kit_clients, url, SOON "redis.keep_alive=300ms redis.lease=1s");
        kit_sub *sub = kit_subscribe(peer, "t", options[i]);
        kit_proxy_stall(proxy, KIT_TO_BROKER, true);
        kit_proxy_stall(proxy, KIT_TO_CLIENT, true);
        kit_proxy_door(proxy, KIT_DOOR_CLOSED);
        KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
        kit_peer *publisher =
            kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), NULL);
        (void)kit_store_text(publisher, "t", "x");
        (void)kit_store_text(publisher, "t", "y");
        KIT_AWAIT(&kit_clients, kit_find(sub, "x") != NULL && kit_find(sub, "y") != NULL);
        kit_net_fini(&kit_clients);
        kit_proxy_stop(proxy);
        kit_broker_stop(broker);
        kit_net_init(&kit_clients, KIT_THREAD);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_redis_kill_unheard_read),
        KIT_CLIENTS_CASE(test_redis_kill_streams_lose_nothing),
        KIT_CLIENTS_CASE(test_redis_kill_slow_reader_is_thrown_out),
        KIT_CLIENTS_CASE(test_redis_kill_unix_socket),
        KIT_CLIENTS_CASE(test_redis_kill_first_of_two),
        KIT_CLIENTS_CASE(test_redis_kill_poison),
        KIT_CLIENTS_CASE(test_redis_kill_longer_than_the_server_takes),
    };
    return cmocka_run_group_tests_name("redis_kill", tests, NULL, NULL);
}
