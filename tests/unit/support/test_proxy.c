/* SPDX-License-Identifier: MIT */
/* Every fault of the proxy, between this program and an echo server in it. */
#include "support/cmocka.h"
#include "support/proxy.h"
#include "support/wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS_MAX = 8 };

/* Sends back what it gets, a thread for each connection; knows how each ended. */
typedef struct echo {
    int listener;
    uint16_t port;
    pthread_t acceptor;
    pthread_t threads[CLIENTS_MAX];
    size_t count;
    atomic_size_t bytes; /* received */
    atomic_int ends;     /* connections whose client ended in order */
    atomic_int resets;   /* connections that broke */
} echo;

typedef struct echo_client {
    echo *server;
    int fd;
} echo_client;

static echo_client clients[CLIENTS_MAX];

static void *echo_serve(void *argument)
{
    echo_client *client = argument;
    char data[4096];
    for (;;) {
        ssize_t got = recv(client->fd, data, sizeof(data), 0);
        if (got <= 0) {
            (void)atomic_fetch_add(got == 0 ? &client->server->ends : &client->server->resets, 1);
            break;
        }
        (void)atomic_fetch_add(&client->server->bytes, (size_t)got);
        for (ssize_t at = 0; at < got;) {
            ssize_t sent = send(client->fd, data + at, (size_t)(got - at), MSG_NOSIGNAL);
            if (sent <= 0) {
                break;
            }
            at += sent;
        }
    }
    (void)close(client->fd);
    return NULL;
}

static void *echo_accept(void *argument)
{
    echo *server = argument;
    while (server->count < CLIENTS_MAX) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0) {
            break;
        }
        clients[server->count] = (echo_client){server, fd};
        if (pthread_create(&server->threads[server->count], NULL, echo_serve,
                           &clients[server->count]) != 0) {
            (void)close(fd);
            break;
        }
        server->count++;
    }
    return NULL;
}

/* What every test has: a server, a proxy before it, a client through it. */
typedef struct scene {
    echo server;
    kit_proxy *proxy;
    int fd;
} scene;

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* errno of connect, 0 = connected. */
static int try_connect(uint16_t port, int *fd)
{
    struct sockaddr_in address = loopback(port);
    *fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(*fd >= 0);
    return connect(*fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
}

static int connect_to(uint16_t port)
{
    int fd = -1;
    assert_int_equal(try_connect(port, &fd), 0);
    return fd;
}

static void send_all(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Bytes arrive within ms: how many were read, at most len. */
static size_t read_some(int fd, void *data, size_t len, int64_t ms)
{
    struct pollfd wait = {fd, POLLIN, 0};
    ssize_t got = 0;
    if (poll(&wait, 1, (int)kit_ms(ms)) <= 0) {
        return 0;
    }
    got = recv(fd, data, len, 0);
    return got > 0 ? (size_t)got : 0;
}

static void expect(int fd, const void *text, size_t len)
{
    char got[8192];
    size_t have = 0;
    assert_true(len <= sizeof(got));
    while (have < len) {
        size_t more = read_some(fd, got + have, len - have, KIT_PATIENCE);
        assert_true(more > 0);
        have += more;
    }
    assert_memory_equal(got, text, len);
}

/* How the connection ends: 0 = in order, else errno. */
static int ending(int fd)
{
    struct pollfd wait = {fd, POLLIN, 0};
    char byte = 0;
    assert_true(poll(&wait, 1, (int)kit_ms(KIT_PATIENCE)) > 0);
    ssize_t got = recv(fd, &byte, 1, 0);
    assert_true(got <= 0);
    return got == 0 ? 0 : errno;
}

static void scene_open_with(scene *s, const kit_filter *up, const kit_filter *down)
{
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof(address);
    memset(s, 0, sizeof(*s));
    s->server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(s->server.listener >= 0);
    assert_int_equal(bind(s->server.listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(s->server.listener, CLIENTS_MAX), 0);
    assert_int_equal(getsockname(s->server.listener, (struct sockaddr *)&address, &len), 0);
    s->server.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&s->server.acceptor, NULL, echo_accept, &s->server), 0);
    s->proxy = kit_proxy_start(s->server.port);
    kit_proxy_filter(s->proxy, KIT_TO_BROKER, up);
    kit_proxy_filter(s->proxy, KIT_TO_CLIENT, down);
    s->fd = connect_to(kit_proxy_port(s->proxy));
}

/* Connected all the way: a first byte went round. */
static void scene_open(scene *s)
{
    scene_open_with(s, NULL, NULL);
    send_all(s->fd, "!", 1);
    expect(s->fd, "!", 1);
}

static void scene_close(scene *s)
{
    (void)close(s->fd);
    kit_proxy_stop(s->proxy);
    (void)shutdown(s->server.listener, SHUT_RDWR);
    (void)pthread_join(s->server.acceptor, NULL);
    for (size_t i = 0; i < s->server.count; i++) {
        (void)pthread_join(s->server.threads[i], NULL);
    }
    (void)close(s->server.listener);
}

#define AWAIT(cond)                                                                                \
    do {                                                                                           \
        kit_deadline until_ = kit_in(KIT_PATIENCE);                                                \
        while (!(cond)) {                                                                          \
            if (kit_over(until_)) {                                                                \
                fail_msg("waited in vain for: %s", #cond);                                         \
            }                                                                                      \
            kit_breathe();                                                                         \
        }                                                                                          \
    } while (0)

static void test_proxy_forwards_and_counts(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    send_all(s.fd, "hello", 5);
    expect(s.fd, "hello", 5);
    assert_int_equal(kit_proxy_bytes(s.proxy, KIT_TO_BROKER), 6);
    assert_int_equal(kit_proxy_bytes(s.proxy, KIT_TO_CLIENT), 6);
    assert_int_equal(kit_proxy_open(s.proxy), 1);
    assert_int_equal(kit_proxy_accepted(s.proxy), 1);
    scene_close(&s);
}

static void test_proxy_forwards_much_in_order(void **unused)
{
    enum { TOTAL = 3 * 1024 * 1024 };
    scene s;
    uint8_t out[4096];
    uint8_t in[4096];
    size_t sent = 0;
    size_t received = 0;
    (void)unused;
    scene_open(&s);
    while (received < TOTAL) {
        struct pollfd wait = {s.fd, (short)(sent < TOTAL ? POLLIN | POLLOUT : POLLIN), 0};
        assert_true(poll(&wait, 1, (int)kit_ms(KIT_PATIENCE)) > 0);
        if ((wait.revents & POLLOUT) != 0) {
            for (size_t i = 0; i < sizeof(out); i++) {
                out[i] = (uint8_t)((sent + i) * 31u >> 3);
            }
            ssize_t put = send(s.fd, out, sizeof(out), MSG_NOSIGNAL | MSG_DONTWAIT);
            sent += put > 0 ? (size_t)put : 0;
        }
        if ((wait.revents & POLLIN) != 0) {
            ssize_t got = recv(s.fd, in, sizeof(in), 0);
            assert_true(got > 0);
            for (size_t i = 0; i < (size_t)got; i++) {
                assert_int_equal(in[i], (uint8_t)((received + i) * 31u >> 3));
            }
            received += (size_t)got;
        }
    }
    scene_close(&s);
}

static void test_proxy_passes_on_the_end(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    send_all(s.fd, "last", 4);
    assert_int_equal(shutdown(s.fd, SHUT_WR), 0);
    expect(s.fd, "last", 4);
    assert_int_equal(ending(s.fd), 0);
    AWAIT(atomic_load(&s.server.ends) == 1);
    AWAIT(kit_proxy_open(s.proxy) == 0);
    scene_close(&s);
}

static void test_proxy_delays_one_direction(void **unused)
{
    scene s;
    uint64_t begin = 0;
    (void)unused;
    scene_open(&s);
    kit_proxy_delay(s.proxy, KIT_TO_CLIENT, 150);
    begin = kit_now();
    send_all(s.fd, "slow", 4);
    AWAIT(atomic_load(&s.server.bytes) == 5);
    expect(s.fd, "slow", 4);
    assert_true(kit_now() - begin >= 149000000u);
    kit_proxy_delay(s.proxy, KIT_TO_CLIENT, 0);
    send_all(s.fd, "fast", 4);
    expect(s.fd, "fast", 4);
    scene_close(&s);
}

static void test_proxy_limits_bandwidth(void **unused)
{
    static char data[4000];
    scene s;
    uint64_t begin = 0;
    (void)unused;
    scene_open(&s);
    kit_proxy_bandwidth(s.proxy, KIT_TO_BROKER, 20000);
    begin = kit_now();
    send_all(s.fd, data, sizeof(data)); /* a fifth of a second at that rate */
    expect(s.fd, data, sizeof(data));
    assert_true(kit_now() - begin >= 150000000u);
    kit_proxy_bandwidth(s.proxy, KIT_TO_BROKER, 0);
    send_all(s.fd, "free", 4);
    expect(s.fd, "free", 4);
    scene_close(&s);
}

static void test_proxy_stalls_and_goes_on(void **unused)
{
    scene s;
    char byte = 0;
    (void)unused;
    scene_open(&s);
    kit_proxy_stall(s.proxy, KIT_TO_CLIENT, true);
    send_all(s.fd, "wait", 4);
    AWAIT(kit_proxy_bytes(s.proxy, KIT_TO_CLIENT) == 5);
    assert_int_equal(read_some(s.fd, &byte, 1, 50), 0);
    kit_proxy_stall(s.proxy, KIT_TO_CLIENT, false);
    expect(s.fd, "wait", 4);
    scene_close(&s);
}

static void test_proxy_stall_holds_the_sender_up(void **unused)
{
    static char data[65536];
    scene s;
    size_t sent = 0;
    (void)unused;
    scene_open(&s);
    kit_proxy_stall(s.proxy, KIT_TO_BROKER, true);
    for (;;) {
        struct pollfd wait = {s.fd, POLLOUT, 0};
        ssize_t put = 0;
        if (poll(&wait, 1, 200) == 0) {
            break; /* full: the sockets' buffers and the proxy's */
        }
        put = send(s.fd, data, sizeof(data), MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += put > 0 ? (size_t)put : 0;
        assert_true(sent < 64u * 1024 * 1024);
    }
    assert_int_equal(atomic_load(&s.server.bytes), 1);
    assert_true(kit_proxy_bytes(s.proxy, KIT_TO_BROKER) < 1024 * 1024);
    scene_close(&s);
}

static void test_proxy_cut_resets_both_ends(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    kit_proxy_cut(s.proxy);
    assert_int_equal(ending(s.fd), ECONNRESET);
    AWAIT(atomic_load(&s.server.resets) == 1);
    assert_int_equal(kit_proxy_open(s.proxy), 0);
    (void)close(s.fd);
    s.fd = connect_to(kit_proxy_port(s.proxy));
    send_all(s.fd, "again", 5);
    expect(s.fd, "again", 5);
    scene_close(&s);
}

static void test_proxy_half_close_leaves_the_other_direction(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    kit_proxy_half_close(s.proxy, KIT_TO_CLIENT);
    assert_int_equal(ending(s.fd), 0);
    send_all(s.fd, "heard", 5);
    AWAIT(atomic_load(&s.server.bytes) == 6);
    assert_int_equal(atomic_load(&s.server.ends), 0);
    scene_close(&s);
}

static void test_proxy_half_close_towards_the_broker(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    kit_proxy_half_close(s.proxy, KIT_TO_BROKER);
    AWAIT(atomic_load(&s.server.ends) == 1); /* and it closes, as servers do */
    assert_int_equal(ending(s.fd), 0);
    AWAIT(kit_proxy_open(s.proxy) == 0);
    scene_close(&s);
}

static void test_proxy_injects_garbage(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    kit_proxy_inject(s.proxy, KIT_TO_CLIENT, "\xff\0\xfe", 3);
    expect(s.fd, "\xff\0\xfe", 3);
    kit_proxy_inject(s.proxy, KIT_TO_BROKER, "ghost", 5);
    expect(s.fd, "ghost", 5);
    scene_close(&s);
}

static void test_proxy_door_closed_refuses_and_opens_again(void **unused)
{
    scene s;
    int fd = -1;
    (void)unused;
    scene_open(&s);
    kit_proxy_door(s.proxy, KIT_DOOR_CLOSED);
    assert_int_equal(try_connect(kit_proxy_port(s.proxy), &fd), ECONNREFUSED);
    (void)close(fd);
    send_all(s.fd, "stay", 4); /* those that were there go on */
    expect(s.fd, "stay", 4);
    kit_proxy_door(s.proxy, KIT_DOOR_OPEN);
    fd = connect_to(kit_proxy_port(s.proxy));
    send_all(fd, "back", 4);
    expect(fd, "back", 4);
    (void)close(fd);
    scene_close(&s);
}

static void test_proxy_door_mute_accepts_and_says_nothing(void **unused)
{
    scene s;
    char byte = 0;
    int fd = -1;
    (void)unused;
    scene_open(&s);
    kit_proxy_door(s.proxy, KIT_DOOR_MUTE);
    fd = connect_to(kit_proxy_port(s.proxy));
    send_all(fd, "hello?", 6);
    AWAIT(kit_proxy_bytes(s.proxy, KIT_TO_BROKER) == 7);
    assert_int_equal(read_some(fd, &byte, 1, 50), 0);
    assert_int_equal(atomic_load(&s.server.bytes), 1);
    (void)close(fd);
    AWAIT(kit_proxy_open(s.proxy) == 1);
    scene_close(&s);
}

static void test_proxy_without_broker_resets(void **unused)
{
    scene s;
    uint16_t nobody = 0;
    (void)unused;
    scene_open(&s);
    /* A port that is bound and does not listen refuses. */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    nobody = ntohs(address.sin_port);
    kit_proxy_target(s.proxy, nobody);
    (void)close(s.fd);
    s.fd = connect_to(kit_proxy_port(s.proxy));
    assert_int_equal(ending(s.fd), ECONNRESET);
    (void)close(fd);
    scene_close(&s);
}

static void test_proxy_closes_when_stopped(void **unused)
{
    scene s;
    (void)unused;
    scene_open(&s);
    kit_proxy_stop(s.proxy);
    s.proxy = NULL;
    assert_int_equal(ending(s.fd), ECONNRESET);
    scene_close(&s);
}

/* --- taps --- */

static const char connect_packet[] = "\x10\x03"
                                     "abc";
static const char publish_packet[] = "\x32\x05"
                                     "12345";
static const char ping_packet[] = "\xc0\x00";

static void test_proxy_mqtt_tap_swallows_one_type(void **unused)
{
    kit_mqtt_tap tap = {0};
    kit_filter filter = kit_mqtt_filter(&tap);
    scene s;
    (void)unused;
    scene_open_with(&s, &filter, NULL);
    atomic_store(&tap.swallow, 1u << 3);
    send_all(s.fd, connect_packet, 5);
    send_all(s.fd, publish_packet, 7);
    send_all(s.fd, ping_packet, 2);
    expect(s.fd,
           "\x10\x03"
           "abc\xc0\x00",
           7);
    assert_int_equal(atomic_load(&tap.seen[1]), 1);
    assert_int_equal(atomic_load(&tap.seen[3]), 1);
    atomic_store(&tap.swallow, 0);
    send_all(s.fd, publish_packet, 7);
    expect(s.fd, publish_packet, 7);
    scene_close(&s);
}

static void test_proxy_mqtt_tap_follows_split_and_long_packets(void **unused)
{
    kit_mqtt_tap tap = {0};
    kit_filter filter = kit_mqtt_filter(&tap);
    scene s;
    char packet[3 + 200] = "\x32\xc8\x01"; /* 200 bytes of body */
    (void)unused;
    memset(packet + 3, 0xc0, 200); /* looks like pings, must not be taken for them */
    scene_open_with(&s, &filter, NULL);
    for (size_t i = 0; i < 10; i++) { /* head and the first bytes one by one */
        send_all(s.fd, packet + i, 1);
        AWAIT(kit_proxy_bytes(s.proxy, KIT_TO_BROKER) == i + 1);
    }
    send_all(s.fd, packet + 10, sizeof(packet) - 10);
    expect(s.fd, packet, sizeof(packet));
    assert_int_equal(atomic_load(&tap.seen[3]), 1);
    assert_int_equal(atomic_load(&tap.seen[12]), 0);
    scene_close(&s);
}

static void test_proxy_mqtt_tap_cuts_at_the_nth(void **unused)
{
    kit_mqtt_tap tap = {0};
    kit_filter filter = kit_mqtt_filter(&tap);
    scene s;
    (void)unused;
    atomic_store(&tap.cut, 1u << 3);
    atomic_store(&tap.skip, 2);
    scene_open_with(&s, &filter, NULL);
    for (int i = 0; i < 2; i++) {
        send_all(s.fd, publish_packet, 7);
        expect(s.fd, publish_packet, 7);
    }
    send_all(s.fd, publish_packet, 7);
    assert_int_equal(ending(s.fd), ECONNRESET);
    assert_int_equal(atomic_load(&s.server.bytes), 14);
    scene_close(&s);
}

static const char amqp_start[] = "AMQP\0\0\x09\x01";
/* basic.publish on channel 1, its header, its body; basic.qos; a heart-beat. */
static const char amqp_publish[] = "\x01\0\x01\0\0\0\x05\0\x3c\0\x28x\xce"
                                   "\x02\0\x01\0\0\0\x02hh\xce"
                                   "\x03\0\x01\0\0\0\x03zzz\xce";
static const char amqp_qos[] = "\x01\0\x01\0\0\0\x04\0\x3c\0\x0a\xce";
static const char amqp_beat[] = "\x08\0\0\0\0\0\0\xce";

static void test_proxy_amqp_tap_swallows_a_method_with_its_content(void **unused)
{
    kit_amqp_tap tap = {0};
    kit_filter filter = kit_amqp_filter(&tap);
    scene s;
    (void)unused;
    scene_open_with(&s, &filter, NULL);
    send_all(s.fd, amqp_start, sizeof(amqp_start) - 1);
    send_all(s.fd, amqp_publish, sizeof(amqp_publish) - 1);
    expect(s.fd, amqp_start, sizeof(amqp_start) - 1);
    expect(s.fd, amqp_publish, sizeof(amqp_publish) - 1);
    atomic_store(&tap.watch, KIT_AMQP_METHOD(60, 10));
    atomic_store(&tap.swallow, KIT_AMQP_METHOD(60, 40));
    send_all(s.fd, amqp_publish, sizeof(amqp_publish) - 1);
    send_all(s.fd, amqp_qos, sizeof(amqp_qos) - 1);
    expect(s.fd, amqp_qos, sizeof(amqp_qos) - 1);
    assert_int_equal(atomic_load(&tap.seen), 1);
    scene_close(&s);
}

static void test_proxy_amqp_tap_heartbeats_and_cut(void **unused)
{
    kit_amqp_tap tap = {0};
    kit_filter filter = kit_amqp_filter(&tap);
    scene s;
    (void)unused;
    scene_open_with(&s, &filter, NULL);
    atomic_store(&tap.swallow, KIT_AMQP_HEARTBEAT);
    atomic_store(&tap.cut, KIT_AMQP_METHOD(60, 40));
    send_all(s.fd, amqp_beat, sizeof(amqp_beat) - 1);
    send_all(s.fd, amqp_qos, sizeof(amqp_qos) - 1);
    expect(s.fd, amqp_qos, sizeof(amqp_qos) - 1);
    send_all(s.fd, amqp_publish, sizeof(amqp_publish) - 1);
    assert_int_equal(ending(s.fd), ECONNRESET);
    assert_int_equal(atomic_load(&s.server.bytes), sizeof(amqp_qos) - 1);
    scene_close(&s);
}

static void test_proxy_url_takes_the_brokers_place(void **unused)
{
    static const struct {
        const char *url;
        const char *before; /* of the port */
        const char *after;
        uint16_t port;
    } cases[] = {
        {"mqtt://127.0.0.1:1883", "mqtt://127.0.0.1:", "", 1883},
        {"mqtts://localhost:8883/x?y=1", "mqtts://localhost:", "/x?y=1", 8883},
        {"amqp://a:b@127.0.0.1:5672/%2f", "amqp://a:b@127.0.0.1:", "/%2f", 5672},
        {"redis://127.0.0.1", "redis://127.0.0.1:", "", 0},
    };
    kit_proxy *proxy = kit_proxy_start(0);
    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char got[128];
        char want[128];
        kit_proxy_url(proxy, cases[i].url, got, sizeof(got));
        (void)snprintf(want, sizeof(want), "%s%u%s", cases[i].before,
                       (unsigned)kit_proxy_port(proxy), cases[i].after);
        assert_string_equal(got, want);
        assert_int_equal(kit_url_port(cases[i].url), cases[i].port);
    }
    kit_proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proxy_forwards_and_counts),
        cmocka_unit_test(test_proxy_forwards_much_in_order),
        cmocka_unit_test(test_proxy_passes_on_the_end),
        cmocka_unit_test(test_proxy_delays_one_direction),
        cmocka_unit_test(test_proxy_limits_bandwidth),
        cmocka_unit_test(test_proxy_stalls_and_goes_on),
        cmocka_unit_test(test_proxy_stall_holds_the_sender_up),
        cmocka_unit_test(test_proxy_cut_resets_both_ends),
        cmocka_unit_test(test_proxy_half_close_leaves_the_other_direction),
        cmocka_unit_test(test_proxy_half_close_towards_the_broker),
        cmocka_unit_test(test_proxy_injects_garbage),
        cmocka_unit_test(test_proxy_door_closed_refuses_and_opens_again),
        cmocka_unit_test(test_proxy_door_mute_accepts_and_says_nothing),
        cmocka_unit_test(test_proxy_without_broker_resets),
        cmocka_unit_test(test_proxy_closes_when_stopped),
        cmocka_unit_test(test_proxy_mqtt_tap_swallows_one_type),
        cmocka_unit_test(test_proxy_mqtt_tap_follows_split_and_long_packets),
        cmocka_unit_test(test_proxy_mqtt_tap_cuts_at_the_nth),
        cmocka_unit_test(test_proxy_amqp_tap_swallows_a_method_with_its_content),
        cmocka_unit_test(test_proxy_amqp_tap_heartbeats_and_cut),
        cmocka_unit_test(test_proxy_url_takes_the_brokers_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
