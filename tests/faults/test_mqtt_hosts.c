/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"
#include "support/proxy.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Hosts that are dead, mute or talk nonsense; what a session keeps; processes that fork. */

#define SOON "reconnect_min=10ms reconnect_max=50ms "

static uint16_t broker_port(void)
{
    return kit_url_port(kit_broker_shared("mosquitto"));
}

/* "mqtt://127.0.0.1:a,127.0.0.1:b" */
static kit_peer *with_two(uint16_t a, uint16_t b, const char *options)
{
    char url[100];
    (void)snprintf(url, sizeof(url), "mqtt://127.0.0.1:%u,127.0.0.1:%u", (unsigned)a, (unsigned)b);
    return kit_peer_new(&kit_clients, url, options);
}

static pubsub_err connect_ms(kit_peer *peer, int64_t *ms, pubsub_error *error)
{
    uint64_t start = kit_now();
    pubsub_err rc = pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), error);
    *ms = (int64_t)((kit_now() - start) / 1000000);
    return rc;
}

static bool is_connected(kit_peer *peer)
{
    return pubsub_client_state(peer->client) == PUBSUB_STATE_CONNECTED;
}

static void test_mqtt_hosts_first_is_dead(void **state)
{
    (void)state;
    static const kit_door doors[] = {KIT_DOOR_CLOSED, KIT_DOOR_MUTE};
    for (size_t i = 0; i < 2; i++) {
        kit_proxy *proxy = kit_proxy_start(broker_port());
        kit_proxy_door(proxy, doors[i]);
        kit_peer *peer = with_two(kit_proxy_port(proxy), broker_port(), "connect_timeout=4s");
        pubsub_error error = PUBSUB_ERROR_INIT;
        int64_t ms = 0;
        KIT_OK(connect_ms(peer, &ms, &error), &error);
        (void)kit_store_text(peer, "hosts/t", "x");
        kit_net_fini(&kit_clients);
        kit_proxy_stop(proxy);
    }
}

/* The first is lost, the second takes over, also while the first then is a black hole. */
static void test_mqtt_hosts_first_is_lost(void **state)
{
    (void)state;
    static const kit_door doors[] = {KIT_DOOR_CLOSED, KIT_DOOR_MUTE};
    for (size_t i = 0; i < 2; i++) {
        kit_proxy *proxy = kit_proxy_start(broker_port());
        kit_peer *peer = with_two(kit_proxy_port(proxy), broker_port(), SOON "connect_timeout=2s");
        kit_sub *sub = kit_subscribe(peer, "hosts/lost", NULL);
        assert_int_equal(kit_proxy_open(proxy), 1);
        kit_proxy_door(proxy, doors[i]);
        kit_proxy_cut(proxy);
        KIT_AWAIT(&kit_clients, kit_stats(peer).connects == 2);
        (void)kit_store_text(peer, "hosts/lost", "x");
        KIT_AWAIT(&kit_clients, kit_count_of(sub, "x") >= 1);
        kit_net_fini(&kit_clients);
        kit_proxy_stop(proxy);
    }
}

static void test_mqtt_hosts_black_hole(void **state)
{
    (void)state;
    kit_proxy *proxy = kit_proxy_start(broker_port());
    kit_proxy_door(proxy, KIT_DOOR_MUTE);
    char url[100];
    kit_proxy_url(proxy, kit_broker_shared("mosquitto"), url, sizeof(url));
    kit_peer *peer = kit_peer_new(&kit_clients, url, "connect_timeout=600ms");
    pubsub_error error = PUBSUB_ERROR_INIT;
    int64_t ms = 0;
    KIT_ERR(PUBSUB_ECONNECT, connect_ms(peer, &ms, &error));
    assert_true(ms >= 500 && ms < kit_ms(2500));
    /* Found again when it answers. */
    kit_peer *stubborn =
        kit_peer_new(&kit_clients, url, SOON "connect_timeout=600ms connect_retry=yes");
    KIT_OK(pubsub_client_connect(stubborn->client, &error), &error);
    KIT_AWAIT(&kit_clients, kit_proxy_accepted(proxy) >= 3);
    kit_proxy_door(proxy, KIT_DOOR_OPEN);
    KIT_AWAIT(&kit_clients, is_connected(stubborn));
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
}

typedef struct nonsense {
    const char *bytes;
    size_t len;
} nonsense;

static bool say_nonsense(void *ctx, void *state, kit_out *out, const uint8_t *data, size_t len)
{
    const nonsense *what = ctx;
    bool *said = state;
    (void)data;
    (void)len;
    if (!*said) {
        *said = true;
        kit_pass(out, what->bytes, what->len);
    }
    return true;
}

static void test_mqtt_hosts_nonsense(void **state)
{
    (void)state;
    static const nonsense cases[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {"\x20\x03\x00\x00", 4},                 /* CONNACK that ends too early */
        {"\x20\xff\xff\xff\xff\x7f", 6},         /* a length that is none */
        {"\x20\x06\x00\x00\x03\x22\x00\x0a", 8}, /* right */
        {"\x20\x06\x00\x00\x03\x99\x00\x0a", 8}, /* a property that does not exist */
        {"\x90\x04\x00\x01\x00\x01", 6},         /* SUBACK first */
        {"\0\0\0\0\0\0\0\0", 8},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit_proxy *proxy = kit_proxy_start(broker_port());
        nonsense one = cases[i];
        kit_filter filter = {say_nonsense, &one, sizeof(bool)};
        kit_proxy_filter(proxy, KIT_TO_CLIENT, &filter);
        char url[100];
        kit_proxy_url(proxy, kit_broker_shared("mosquitto"), url, sizeof(url));
        kit_peer *peer = kit_peer_new(&kit_clients, url, "connect_timeout=500ms mqtt.version=5");
        pubsub_error error = PUBSUB_ERROR_INIT;
        int64_t ms = 0;
        pubsub_err rc = connect_ms(peer, &ms, &error);
        assert_true(ms < kit_ms(4000));
        if (i == 3) {
            KIT_OK(rc, &error);
        } else {
            assert_int_not_equal(rc, PUBSUB_OK);
            assert_true(error.text[0] != '\0');
        }
        kit_net_fini(&kit_clients);
        kit_proxy_stop(proxy);
    }
}

/* ---- which version ------------------------------------------------------------------------------ */

static bool close_at_once(void *ctx, void *state, kit_out *out, const uint8_t *data, size_t len)
{
    atomic_int *times = ctx;
    bool *seen = state;
    if (!*seen && atomic_fetch_sub(times, 1) > 0) {
        return false;
    }
    *seen = true;
    kit_pass(out, data, len);
    return true;
}

/* A connection that is closed without an answer once is no reason to go down to 3.1.1 for good. */
static void test_mqtt_hosts_keeps_version(void **state)
{
    (void)state;
    atomic_int times;
    atomic_init(&times, 0);
    kit_filter filter = {close_at_once, &times, sizeof(bool)};
    kit_proxy *proxy = kit_proxy_start(broker_port());
    kit_proxy_filter(proxy, KIT_TO_BROKER, &filter);
    char url[100];
    kit_proxy_url(proxy, kit_broker_shared("mosquitto"), url, sizeof(url));
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    kit_sub *sub = kit_subscribe(peer, "hosts/version", "group=g");
    for (uint64_t i = 1; i <= 3; i++) {
        atomic_store(&times, 1);
        kit_proxy_cut(proxy);
        KIT_AWAIT(&kit_clients, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == i + 1);
    }
    pubsub_publication publication = kit_publication("hosts/version", "x");
    pubsub_header header = {pubsub_bytes_of("n"), pubsub_bytes_of("v")};
    publication.headers = &header;
    publication.header_count = 1;
    (void)kit_store(peer, &publication);
    KIT_AWAIT(&kit_clients, kit_count(sub) >= 1);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_REFUSED), 0);
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
}

/* ---- what the session keeps ---------------------------------------------------------------------- */

/* A subscription that ended while the connection was lost does not go on at the broker. */
static void test_mqtt_hosts_forgets_filters(void **state)
{
    (void)state;
    kit_mqtt_tap tap;
    memset(&tap, 0, sizeof(tap));
    kit_filter filter = kit_mqtt_filter(&tap);
    kit_proxy *proxy = kit_proxy_start(broker_port());
    kit_proxy_filter(proxy, KIT_TO_CLIENT, &filter);
    char url[100];
    kit_proxy_url(proxy, kit_broker_shared("mosquitto"), url, sizeof(url));
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    kit_peer *sender = kit_peer_new(&kit_clients, kit_broker_shared("mosquitto"), "");
    kit_sub *kept = kit_subscribe(peer, "hosts/kept", NULL);
    kit_sub *gone = kit_subscribe(peer, "hosts/gone", NULL);
    kit_proxy_door(proxy, KIT_DOOR_CLOSED);
    kit_proxy_cut(proxy);
    KIT_AWAIT(&kit_clients, !is_connected(peer));
    KIT_OK(pubsub_subscription_unsubscribe(gone->handle, 0, NULL), NULL);
    (void)kit_store_text(sender, "hosts/kept", "held");
    kit_proxy_door(proxy, KIT_DOOR_OPEN);
    KIT_AWAIT(&kit_clients, kit_count_of(kept, "held") == 1); /* the session came back */
    KIT_AWAIT(&kit_clients, atomic_load(&tap.seen[11]) == 1); /* UNSUBACK */
    unsigned seen = atomic_load(&tap.seen[3]);
    (void)kit_store_text(sender, "hosts/gone", "x");
    (void)kit_store_text(sender, "hosts/kept", "fence");
    KIT_AWAIT(&kit_clients, kit_count_of(kept, "fence") == 1);
    assert_int_equal(atomic_load(&tap.seen[3]), seen + 1);
    kit_net_fini(&kit_clients);
    kit_proxy_stop(proxy);
}

/* ---- processes ----------------------------------------------------------------------------------- */

static void test_mqtt_hosts_fork(void **state)
{
    (void)state;
    kit_peer *peer =
        kit_peer_new(&kit_clients, kit_broker_shared("mosquitto"), "mqtt.keep_alive=1s");
    kit_sub *sub = kit_subscribe(peer, "hosts/fork", NULL);
    (void)kit_store_text(peer, "hosts/fork", "before");
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pubsub_publication publication = kit_publication("hosts/fork", "child");
            bool refused =
                pubsub_client_publish(peer->client, &publication, 0, NULL) == PUBSUB_ESTATE;
            pubsub_subscription_free(sub->handle);
            pubsub_client_free(peer->client);
            _exit(refused ? 0 : 1);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    (void)kit_store_text(peer, "hosts/fork", "after");
    KIT_AWAIT(&kit_clients, kit_count_of(sub, "after") == 1);
    assert_int_equal(kit_count_of(sub, "child"), 0);
    assert_int_equal(kit_stats(peer).disconnects, 0);
}

static volatile sig_atomic_t pipes;

static void on_pipe(int number)
{
    (void)number;
    pipes++;
}

/* The program's own way with SIGPIPE stays, and it gets none from us. */
static void test_mqtt_hosts_sigpipe(void **state)
{
    (void)state;
    struct sigaction mine, now, old;
    memset(&mine, 0, sizeof(mine));
    mine.sa_handler = on_pipe;
    assert_int_equal(sigaction(SIGPIPE, &mine, &old), 0);
    kit_proxy *proxy = kit_proxy_start(broker_port());
    char url[100];
    kit_proxy_url(proxy, kit_broker_shared("mosquitto"), url, sizeof(url));
    kit_peer *peer = kit_peer_new(&kit_clients, url, SOON);
    (void)kit_store_text(peer, "hosts/pipe", "x");
    for (int round = 0; round < 5; round++) {
        kit_proxy_cut(proxy);
        for (int i = 0; i < 200; i++) {
            kit_publish(peer, "hosts/pipe", "x");
        }
        kit_flush(peer);
    }
    kit_net_fini(&kit_clients);
    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_true(now.sa_handler == on_pipe);
    assert_int_equal(pipes, 0);
    assert_int_equal(sigaction(SIGPIPE, &old, NULL), 0);
    kit_proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_mqtt_hosts_first_is_dead),
        KIT_CLIENTS_CASE(test_mqtt_hosts_first_is_lost),
        KIT_CLIENTS_CASE(test_mqtt_hosts_black_hole),
        KIT_CLIENTS_CASE(test_mqtt_hosts_nonsense),
        KIT_CLIENTS_CASE(test_mqtt_hosts_keeps_version),
        KIT_CLIENTS_CASE(test_mqtt_hosts_forgets_filters),
        KIT_CLIENTS_CASE(test_mqtt_hosts_fork),
        KIT_CLIENTS_CASE(test_mqtt_hosts_sigpipe),
    };
    return cmocka_run_group_tests_name("mqtt_hosts", tests, NULL, NULL);
}
