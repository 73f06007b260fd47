/* SPDX-License-Identifier: MIT */
#include "redis_server.h"

#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Servers that refuse for a while, and what is asked of them meanwhile: nothing stays stuck afterwards,
 * nothing is skipped, nobody is told a wrong reason. */

#define SOON "reconnect_min=10ms reconnect_max=200ms "

static void pause_ms(unsigned ms)
{
    uint64_t until = kit_now() + ms * UINT64_C(1000000);
    KIT_AWAIT(&kit_clients, kit_now() > until);
}

/* ---- the connection for channels ------------------------------------------------------------------- */

/* Without a channel left the server leaves subscriber mode, and answers PING otherwise. */
static void test_redis_errors_hub_without_channels(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", NULL);
    kit_peer *peer =
        kit_peer_new(&kit_clients, kit_broker_url(broker), SOON "redis.keep_alive=200ms");
    kit_sub *sub = kit_subscribe(peer, "t", NULL);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    pause_ms(600);
    sub = kit_subscribe(peer, "u", NULL);
    (void)kit_store_text(peer, "u", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    assert_int_equal(kit_stats(peer).disconnects, 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* Who may not hear of new topics any more is told. */
static void test_redis_errors_announcements_are_forbidden(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", NULL);
    redis_say(broker, "ACL SETUSER u on >w ~* &* +@all");
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"),
                                  SOON "user=u password=w");
    kit_sub *sub = kit_subscribe(peer, "a/+", NULL);
    kit_publish(peer, "a/one", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    redis_say(broker, "ACL SETUSER u resetchannels &other"); /* closes the connection of the hub */
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_REFUSED) == 1);
    assert_int_equal(kit_event_find(peer, PUBSUB_EVENT_REFUSED, 0)->error.code, PUBSUB_EDENIED);
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(peer, "a/+", NULL, NULL, &error));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- the registry of topics -------------------------------------------------------------------------- */

/* The first message of a topic is refused at first: the topic is announced all the same. */
static void test_redis_errors_refused_topic_is_announced(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *peer = kit_peer_new(&kit_clients, url, NULL);
    kit_sub *sub = kit_subscribe(kit_peer_new(&kit_clients, url, NULL), "n/+", NULL);
    redis_say(broker, "CONFIG SET maxmemory 1");
    kit_publish(peer, "n/x", "waits");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(peer->client, kit_ms(300), &error));
    redis_say(broker, "CONFIG SET maxmemory 0");
    kit_flush(peer);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* A server that has forgotten everything is told of the topics again. */
static void test_redis_errors_empty_server_is_told_of_topics(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous,aof-off");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    (void)kit_store_text(peer, "n/x", "before");
    kit_broker_kill(broker);
    kit_broker_restart(broker);
    KIT_AWAIT(&kit_clients, kit_stats(peer).connects == 2);
    (void)kit_store_text(peer, "n/x", "after");
    kit_sub *sub = kit_subscribe(kit_peer_new(&kit_clients, url, NULL), "n/+", "from=earliest");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* The group of a topic that appears while the server is full is made later. */
static void test_redis_errors_late_topic_of_a_full_server(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    kit_peer *peer =
        kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), "redis.lease=600ms");
    kit_sub *sub = kit_subscribe(peer, "a/+", "group=g");
    redis_say(broker, "XADD a/x * payload first");
    redis_say(broker, "SADD pubsub.topics a/x");
    redis_say(broker, "CONFIG SET maxmemory 1");
    redis_say(broker, "PUBLISH pubsub.topics a/x");
    KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_ERROR) >= 1);
    redis_say(broker, "CONFIG SET maxmemory 0");
    KIT_AWAIT(&kit_clients, kit_find(sub, "first") != NULL);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- subscribing to a server that is full -------------------------------------------------------------- */

static void test_redis_errors_group_of_a_full_server(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *broker = kit_broker_start("redis", "generous");
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), NULL);
    redis_say(broker, "CONFIG SET maxmemory 1");
    KIT_ERR(PUBSUB_EFULL, kit_try_subscribe(peer, "t", "group=g", NULL, &error));
    KIT_ERR(PUBSUB_EFULL, kit_try_subscribe(peer, "t", "durable=d", NULL, &error));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* One that was there before waits until there is room; it is not over. */
static void test_redis_errors_full_server_after_a_reconnect(void **state)
{
    (void)state;
    static const char *const options[] = {"durable=d", "group=g"};
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_sub *subs[2];
    for (size_t i = 0; i < 2; i++) {
        subs[i] = kit_subscribe(kit_peer_new(&kit_clients, url, SOON), "t", options[i]);
    }
    redis_say(broker, "CONFIG SET maxmemory 1");
    redis_say(broker, "CLIENT KILL TYPE normal");
    pause_ms(500);
    redis_say(broker, "CONFIG SET maxmemory 0");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    (void)kit_store_text(publisher, "t", "x");
    for (size_t i = 0; i < 2; i++) {
        KIT_AWAIT(&kit_clients, kit_count(subs[i]) == 1);
        assert_int_equal(kit_events_of(subs[i]->peer, PUBSUB_EVENT_REFUSED), 0);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- refused messages --------------------------------------------------------------------------------- */

static int nack_all(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)copy;
    (void)message;
    return -1;
}

static int once_nack(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)copy;
    (void)message;
    return kit_count(sub) <= 1 ? -1 : 0;
}

/* A message that was refused waits with its member for longer than the lease; nobody takes it away. */
static void test_redis_errors_refused_message_keeps_its_delay(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_sub *first = kit_subscribe_with(kit_peer_new(&kit_clients, url, "redis.lease=600ms"), "t",
                                        "group=g nack_delay=3s", once_nack, NULL);
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    (void)kit_store_text(publisher, "t", "x");
    KIT_AWAIT(&kit_clients, kit_count(first) == 1);
    kit_sub *other =
        kit_subscribe(kit_peer_new(&kit_clients, url, "redis.lease=600ms"), "t", "group=g");
    KIT_AWAIT(&kit_clients, kit_count(first) + kit_count(other) == 2);
    assert_int_equal(kit_count(other), 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* What is trimmed while it waits to come again is a gap. */
static void test_redis_errors_refused_message_is_trimmed(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_sub *sub = kit_subscribe_with(kit_peer_new(&kit_clients, url, NULL), "t",
                                      "group=g nack_delay=1s", once_nack, NULL);
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    (void)kit_store_text(publisher, "t", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    redis_say(broker, "XTRIM t MAXLEN 0");
    KIT_AWAIT(&kit_clients, kit_events_of(sub->peer, PUBSUB_EVENT_GAP) == 1);
    assert_int_equal(kit_event_find(sub->peer, PUBSUB_EVENT_GAP, 0)->missed, 1);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* So many come again at once that publishing has to wait for their answers; it goes on behind them. */
static void test_redis_errors_publish_behind_a_crowd(void **state)
{
    (void)state;
    enum { CROWD = 40000 };
    kit_broker *broker = kit_broker_start("redis", "generous");
    kit_proxy *proxy = kit_proxy_start(kit_url_port(kit_broker_url(broker)));
    char url[100];
    kit_proxy_url(proxy, kit_broker_need(broker, "url_streams"), url, sizeof(url));
    kit_peer *peer = kit_peer_new(&kit_clients, url, NULL);
    kit_sub *sub = kit_subscribe_with(
        peer, "t", "group=g nack_delay=4s prefetch=50000 prefetch_bytes=100M", nack_all, NULL);
    redis_say(broker, "EVAL \"for i=1,40000 do redis.call('XADD','t','*','payload',i) end\" 0");
    KIT_AWAIT(&kit_clients, kit_count(sub) >= CROWD);
    kit_proxy_stall(proxy, KIT_TO_CLIENT, true);
    uint64_t before = kit_proxy_bytes(proxy, KIT_TO_BROKER);
    KIT_AWAIT(&kit_clients, kit_proxy_bytes(proxy, KIT_TO_BROKER) > before + UINT64_C(50) * CROWD);
    pause_ms(2000); /* all of them */
    kit_publish(peer, "u", "x");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(peer->client, kit_ms(300), &error));
    kit_proxy_stall(proxy, KIT_TO_CLIENT, false);
    kit_flush(peer);
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
    kit_broker_stop(broker);
}

/* ---- trimming, over and over ----------------------------------------------------------------------------- */

/* A slow reader is overtaken again and again: the gaps add up to what was lost. */
static void test_redis_errors_gaps_add_up(void **state)
{
    (void)state;
    enum { ROUNDS = 12, EACH = 10 };
    kit_broker *broker = kit_broker_start("redis", "generous");
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    kit_peer *peer = kit_peer_new(&kit_clients, url, "redis.lease=300ms");
    kit_sub *sub = kit_subscribe_later(peer, "t", "prefetch=5 ack=manual", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    for (size_t i = 0; i < 5 + EACH; i++) {
        kit_publish(publisher, "t", "x");
    }
    kit_flush(publisher);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 5);
    uint64_t told = 0;
    for (size_t round = 0; round < ROUNDS; round++) {
        redis_say(broker, "XTRIM t MAXLEN 0");
        KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_GAP) > round);
        pause_ms(70);
        told = 0;
        for (size_t n = 0; n < kit_events_of(peer, PUBSUB_EVENT_GAP); n++) {
            const kit_event *gap = kit_event_find(peer, PUBSUB_EVENT_GAP, n);
            KIT_SAYS(gap->gap_reason, "trimmed");
            told += gap->missed;
        }
        assert_int_equal(told, (round + 1) * EACH);
        for (size_t i = 0; i < EACH; i++) {
            kit_publish(publisher, "t", "x");
        }
        kit_flush(publisher);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- a disk that is full --------------------------------------------------------------------------------- */

/* A snapshot cannot be put where a directory is, so the server refuses every change from then on. */
static void disk(kit_broker *broker, bool full)
{
    char path[512];
    char reply[4096];
    (void)snprintf(path, sizeof(path), "%s/data/no.rdb", kit_broker_need(broker, "dir"));
    assert_int_equal(full ? mkdir(path, 0700) : rmdir(path), 0);
    redis_say(broker, "BGSAVE");
    const char *wanted = full ? "rdb_last_bgsave_status:err" : "rdb_last_bgsave_status:ok";
    kit_deadline until = kit_in(KIT_PATIENCE);
    do {
        assert_false(kit_over(until));
        kit_turn(&kit_clients);
        redis_ask(broker, "INFO persistence", reply, sizeof(reply));
    } while (strstr(reply, "rdb_bgsave_in_progress:0") == NULL || strstr(reply, wanted) == NULL);
}

static kit_broker *with_snapshots(void)
{
    static const char *const settings[] = {"save 3600 1000000", "dbfilename no.rdb", NULL};
    return kit_broker_start_with("redis", "generous", settings);
}

static void test_redis_errors_disk_full(void **state)
{
    (void)state;
    kit_broker *broker = with_snapshots();
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    kit_sub *group = kit_subscribe(kit_peer_new(&kit_clients, url, SOON), "t", "group=g");
    kit_sub *plain = kit_subscribe(kit_peer_new(&kit_clients, url, SOON), "t", NULL);
    (void)kit_store_text(publisher, "t", "before");
    KIT_AWAIT(&kit_clients, kit_count(group) == 1 && kit_count(plain) == 1);
    disk(broker, true);
    kit_publish(publisher, "t", "waits");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(publisher->client, kit_ms(700), &error));
    /* As soon as the group's blocking read has ended, in five seconds at most. */
    KIT_AWAIT(&kit_clients, kit_events_of(group->peer, PUBSUB_EVENT_INTERRUPTED) == 1);
    disk(broker, false);
    kit_flush(publisher);
    KIT_AWAIT(&kit_clients, kit_count(group) == 2 && kit_count(plain) == 2);
    assert_int_equal(kit_events_of(group->peer, PUBSUB_EVENT_REFUSED), 0);
    assert_int_equal(kit_stats(publisher).rejected, 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* It cannot be claimed when its time comes, but later. */
static void test_redis_errors_disk_full_when_a_message_comes_again(void **state)
{
    (void)state;
    kit_broker *broker = with_snapshots();
    const char *url = kit_broker_need(broker, "url_streams");
    kit_sub *sub = kit_subscribe_with(kit_peer_new(&kit_clients, url, SOON), "t",
                                      "group=g nack_delay=1s", once_nack, NULL);
    kit_peer *publisher = kit_peer_new(&kit_clients, url, NULL);
    (void)kit_store_text(publisher, "t", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    disk(broker, true);
    pause_ms(1300);
    disk(broker, false);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 2);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- a server that reads its data --------------------------------------------------------------------------- */

static void note_loading(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    (void)level;
    (void)component;
    if (strstr(text, "LOADING") != NULL) {
        atomic_store((atomic_bool *)ctx, true);
    }
}

/* While it does it takes nobody; what is published meanwhile waits. */
static void test_redis_errors_loading(void **state)
{
    (void)state;
    static const char *const settings[] = {"save 3600 1000000", "key-load-delay 500",
                                           "loading-process-events-interval-bytes 1024", NULL};
    kit_net_fini(&kit_clients);
    kit_net_init(&kit_clients, KIT_DISPATCH);
    kit_broker *broker = kit_broker_start_with("redis", "generous", settings);
    const char *url = kit_broker_need(broker, "url_streams");
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    kit_sub *sub = kit_subscribe(peer, "t", "durable=d");
    redis_say(broker, "EVAL \"for i=1,4000 do redis.call('SET',i,i) end return 1\" 0");
    atomic_bool told = false;
    pubsub_log_set_level(PUBSUB_LOG_INFO);
    pubsub_log_set(note_loading, &told);
    kit_broker_restart(broker); /* until it serves: two seconds */
    (void)kit_store_text(peer, "t", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    pubsub_log_set(NULL, NULL);
    assert_true(atomic_load(&told));
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_REFUSED), 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_redis_errors_hub_without_channels),
        KIT_CLIENTS_CASE(test_redis_errors_announcements_are_forbidden),
        KIT_CLIENTS_CASE(test_redis_errors_refused_topic_is_announced),
        KIT_CLIENTS_CASE(test_redis_errors_empty_server_is_told_of_topics),
        KIT_CLIENTS_CASE(test_redis_errors_late_topic_of_a_full_server),
        KIT_CLIENTS_CASE(test_redis_errors_group_of_a_full_server),
        KIT_CLIENTS_CASE(test_redis_errors_full_server_after_a_reconnect),
        KIT_CLIENTS_CASE(test_redis_errors_refused_message_keeps_its_delay),
        KIT_CLIENTS_CASE(test_redis_errors_refused_message_is_trimmed),
        KIT_CLIENTS_CASE(test_redis_errors_publish_behind_a_crowd),
        KIT_CLIENTS_CASE(test_redis_errors_gaps_add_up),
        KIT_CLIENTS_CASE(test_redis_errors_disk_full),
        KIT_CLIENTS_CASE(test_redis_errors_disk_full_when_a_message_comes_again),
        KIT_CLIENTS_CASE(test_redis_errors_loading),
    };
    return cmocka_run_group_tests_name("redis_errors", tests, NULL, NULL);
}
