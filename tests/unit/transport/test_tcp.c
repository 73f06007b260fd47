/* SPDX-License-Identifier: MIT */
/* TCP: connecting and failing to, fail-over, losing, closing. How bytes flow is in test_flow.c. */
#include "server.h"
#include "wire.h"

#include "transport/dial.h"
#include "transport/lookup.h"
#include "transport/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static char g_url[512];

static bool has_ipv6(void)
{
    struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool works = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return works;
}

static void exchange(wire *w)
{
    wire_ready(w);
    assert_int_equal(wire_write(w, "hello", 5), 5);
    WIRE_AWAIT(w, w->received == 5);
    assert_string_equal(w->head, "hello");
}

static void test_tcp_carries_bytes_both_ways(void **state)
{
    server s = {0};
    wire w = {0};
    char peer[32];
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    exchange(&w);
    (void)snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)s.port);
    assert_string_equal(w.peer, peer);
    wire_free(&w);
    server_stop(&s);
    assert_true(atomic_load(&s.ended));
}

static void test_tcp_works_inline(void **state)
{
    server s = {0};
    wire w = {0};
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "io=inline");
    exchange(&w);
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_takes_the_protocols_port(void **state)
{
    server s = {0};
    wire w = {0};
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    w.request.port = s.port;
    wire_open(&w, "wire://127.0.0.1", "");
    exchange(&w);
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_looks_up_names(void **state)
{
    server s = {0};
    wire w = {0};
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    w.request.port = s.port;
    wire_open(&w, "wire:", ""); /* without a host: localhost, which may be ::1 first */
    exchange(&w);
    KIT_SAYS(w.peer, "localhost:");
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_over_ipv6(void **state)
{
    server s = {0};
    wire w = {0};
    char peer[32];
    (void)state;
    if (!has_ipv6()) {
        skip();
    }
    server_start(&s, AF_INET6, 0, serve_echo);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    exchange(&w);
    (void)snprintf(peer, sizeof(peer), "[::1]:%u", (unsigned)s.port);
    assert_string_equal(w.peer, peer);
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_sockets_are_tuned(void **state)
{
    server s = {0};
    pubsub__addresses to;
    bool done = false;
    int value = 0;
    socklen_t len = sizeof(value);
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    assert_true(pubsub__lookup_literal("127.0.0.1", s.port, &to));
    int fd = pubsub__socket_connect((struct sockaddr *)&to.items[0].at, to.items[0].len, &done);
    assert_true(fd >= 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &len), 0);
    assert_in_range(value, 1, 120);
    (void)close(fd);
    server_stop(&s);
}

/* ---- not connecting ---- */

static void test_tcp_refused_says_where_and_what_to_do(void **state)
{
    wire w = {0};
    char where[64];
    uint16_t port = server_dead_port();
    (void)state;
    (void)snprintf(g_url, sizeof(g_url), "wire://127.0.0.1:%u", (unsigned)port);
    (void)snprintf(where, sizeof(where), "127.0.0.1:%u", (unsigned)port);
    wire_open(&w, g_url, "");
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    assert_int_equal(w.error.native_code, ECONNREFUSED);
    KIT_SAYS(w.error.text, where);
    KIT_SAYS(w.error.text, "is the broker running");
    assert_int_equal(w.opens, 0);
    wire_free(&w);
}

static void test_tcp_silence_ends_at_the_deadline(void **state)
{
    blackhole hole;
    wire w = {.request = {.timeout = 300}};
    (void)state;
    blackhole_open(&hole);
    (void)snprintf(g_url, sizeof(g_url), "wire://127.0.0.1:%u", (unsigned)hole.port);
    uint64_t begin = kit_now();
    wire_open(&w, g_url, "");
    wire_await_closed(&w);
    uint64_t took_ms = (kit_now() - begin) / 1000000u;
    assert_in_range(took_ms, 200, (uintmax_t)kit_ms(3000));
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    assert_int_equal(w.error.native_code, ETIMEDOUT);
    KIT_SAYS(w.error.text, "ms: no answer");
    wire_free(&w);
    blackhole_close(&hole);
}

static void test_tcp_unknown_name_says_so(void **state)
{
    wire w = {.request = {.timeout = 2000}};
    (void)state;
    wire_open(&w, "wire://no-such-host.invalid:1", "");
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    KIT_SAYS(w.error.text, "no-such-host.invalid");
    KIT_SAYS(w.error.text, "look");
    wire_free(&w);
}

static void test_tcp_free_does_not_wait_for_a_lookup(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) { /* more than there are threads */
        wire w = {0};
        uint64_t begin = kit_now();
        wire_open(&w, "wire://no-such-host-either.invalid:1", "");
        WIRE_AWAIT(&w, true);
        wire_free(&w);
        assert_in_range((kit_now() - begin) / 1000000u, 0, (uintmax_t)kit_ms(2000));
    }
}

/* ---- several addresses ---- */

typedef struct dialled {
    pubsub__addresses to;
    pubsub__dial *dial;
    wire *w;
    int fd;
    int error;
    bool done;
} dialled;

static void on_dialled(void *ctx, int fd, int error)
{
    dialled *d = ctx;
    pthread_mutex_lock(&d->w->lock);
    d->fd = fd;
    d->error = error;
    d->done = true;
    pthread_mutex_unlock(&d->w->lock);
}

static void io_dial(wire *w, void *arg)
{
    dialled *d = arg;
    (void)pubsub__dial_start(&d->dial, w->sink, &d->to, on_dialled, d);
}

static void io_undial(wire *w, void *arg)
{
    (void)w;
    pubsub__dial_free(((dialled *)arg)->dial);
}

static void add(pubsub__addresses *to, const char *host, uint16_t port)
{
    pubsub__addresses one;
    assert_true(pubsub__lookup_literal(host, port, &one));
    to->items[to->count++] = one.items[0];
}

static void dial_all(dialled *d, wire *w)
{
    d->w = w;
    wire_do(w, io_dial, d);
    WIRE_AWAIT(w, d->done);
    wire_do(w, io_undial, d);
}

static void test_tcp_a_silent_address_holds_up_only_a_moment(void **state)
{
    server s = {0};
    blackhole hole;
    wire w = {0};
    dialled d = {.fd = -1};
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    blackhole_open(&hole);
    add(&d.to, "127.0.0.1", hole.port);
    add(&d.to, "127.0.0.1", server_dead_port());
    add(&d.to, "127.0.0.1", s.port);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    wire_ready(&w);
    wire_drop(&w);
    uint64_t begin = kit_now();
    dial_all(&d, &w);
    assert_true(d.fd >= 0);
    assert_in_range((kit_now() - begin) / 1000000u, 200, (uintmax_t)kit_ms(2000));
    (void)close(d.fd);
    wire_free(&w);
    blackhole_close(&hole);
    server_stop(&s);
}

static void test_tcp_all_addresses_refused(void **state)
{
    server s = {0};
    wire w = {0};
    dialled d = {.fd = -1};
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    add(&d.to, "127.0.0.1", server_dead_port());
    add(&d.to, "127.0.0.1", server_dead_port());
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    wire_ready(&w);
    dial_all(&d, &w);
    assert_int_equal(d.fd, -1);
    assert_int_equal(d.error, ECONNREFUSED);
    wire_free(&w);
    server_stop(&s);
}

/* ---- several hosts ---- */

static void two_hosts(uint16_t a, uint16_t b, const char *rest)
{
    (void)snprintf(g_url, sizeof(g_url), "wire://127.0.0.1:%u,127.0.0.1:%u%s", (unsigned)a,
                   (unsigned)b, rest);
}

static void test_tcp_next_host_when_the_first_is_dead(void **state)
{
    server s = {0};
    wire w = {0};
    char peer[32];
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    two_hosts(server_dead_port(), s.port, "");
    wire_open(&w, g_url, "");
    exchange(&w);
    (void)snprintf(peer, sizeof(peer), "127.0.0.1:%u", (unsigned)s.port);
    assert_string_equal(w.peer, peer);
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_next_host_when_the_first_is_silent(void **state)
{
    server s = {0};
    wire w = {0};
    blackhole hole;
    (void)state;
    blackhole_open(&hole);
    server_start(&s, AF_INET, 0, serve_echo);
    two_hosts(hole.port, s.port, "?connect_timeout=1s");
    wire_open(&w, g_url, "");
    exchange(&w);
    wire_free(&w);
    blackhole_close(&hole);
    server_stop(&s);
}

static void test_tcp_all_hosts_dead(void **state)
{
    wire w = {0};
    (void)state;
    two_hosts(server_dead_port(), server_dead_port(), "");
    wire_open(&w, g_url, "");
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    KIT_SAYS(w.error.text, "none of 2 hosts");
    wire_free(&w);
}

static void test_tcp_comes_back_to_the_last_good_host(void **state)
{
    server a = {0};
    server b = {0};
    wire w = {.trust = true};
    (void)state;
    uint16_t first = server_dead_port();
    b.size = 1;
    server_start(&b, AF_INET, 0, serve_reset);
    two_hosts(first, b.port, "");
    wire_open(&w, g_url, "reconnect=yes reconnect_min=1ms reconnect_max=5ms");
    wire_ready(&w);
    server_start(&a, AF_INET, first, serve_echo); /* the first is back, but was not the good one */
    (void)wire_write(&w, "x", 1);
    WIRE_AWAIT(&w, w.opens == 2);
    assert_int_equal(atomic_load(&a.accepted), 0);
    WIRE_AWAIT(&w, atomic_load(&b.accepted) == 2);
    wire_free(&w);
    server_stop(&a);
    server_stop(&b);
}

static void test_tcp_a_host_that_never_serves_is_left(void **state)
{
    server a = {0};
    server b = {0};
    wire w = {0}; /* never says "good" */
    (void)state;
    server_start(&a, AF_INET, 0, serve_nothing);
    server_start(&b, AF_INET, 0, serve_echo);
    two_hosts(a.port, b.port, "");
    wire_open(&w, g_url, "reconnect=yes connect_retry=yes reconnect_min=1ms reconnect_max=5ms");
    WIRE_AWAIT(&w, atomic_load(&b.accepted) == 1);
    assert_int_equal(atomic_load(&a.accepted), 1);
    wire_free(&w);
    server_stop(&a);
    server_stop(&b);
}

static void test_tcp_random_order_begins_anywhere(void **state)
{
    server a = {0};
    server b = {0};
    (void)state;
    server_start(&a, AF_INET, 0, serve_echo);
    server_start(&b, AF_INET, 0, serve_echo);
    two_hosts(a.port, b.port, "?host_order=random");
    for (int i = 0; i < 64 && (atomic_load(&a.accepted) == 0 || atomic_load(&b.accepted) == 0);
         i++) {
        wire w = {0};
        wire_open(&w, g_url, "");
        exchange(&w);
        wire_free(&w);
    }
    assert_int_not_equal(atomic_load(&a.accepted), 0);
    assert_int_not_equal(atomic_load(&b.accepted), 0);
    server_stop(&a);
    server_stop(&b);
}

/* ---- losing and closing ---- */

static void test_tcp_half_closed_peer_is_read_to_its_end(void **state)
{
    server s = {.size = 300000};
    wire w = {0};
    (void)state;
    server_start(&s, AF_INET, 0, serve_source);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    wire_await_closed(&w);
    assert_int_equal(w.received, 300000);
    assert_int_equal(w.error.code, PUBSUB_ELOST);
    KIT_SAYS(w.error.text, "closed the connection");
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_reset_while_writing_is_a_loss_and_no_signal(void **state)
{
    server s = {.size = 1};
    wire w = {0};
    char *bytes = test_calloc(1, 100000);
    (void)state;
    wire_sends_reset();
    server_start(&s, AF_INET, 0, serve_reset);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    wire_ready(&w);
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (WIRE_GET(&w, closes) == 0 && !kit_over(until)) {
        (void)wire_write(&w, bytes, 100000);
        wire_flush(&w);
    }
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ELOST);
    KIT_SAYS(w.error.text, "lost the connection to 127.0.0.1");
    assert_int_equal(wire_loud_sends(), 0);
    wire_free(&w);
    server_stop(&s);
    test_free(bytes);
}

static void test_tcp_close_delivers_first(void **state)
{
    server s = {0};
    wire w = {.request = {.write_max = 4u << 20}};
    size_t size = 3u << 20;
    char *bytes = test_calloc(1, size);
    (void)state;
    server_start(&s, AF_INET, 0, serve_sink);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    wire_ready(&w);
    assert_int_equal(wire_write(&w, bytes, size), size);
    wire_close(&w, 10000);
    atomic_store(&s.go, true);
    wire_await_closed(&w);
    assert_true(w.orderly);
    WIRE_AWAIT(&w, atomic_load(&s.ended));
    assert_int_equal(atomic_load(&s.received), size);
    wire_free(&w);
    server_stop(&s);
    test_free(bytes);
}

static void test_tcp_close_waits_no_longer_than_asked(void **state)
{
    server s = {0};
    wire w = {.request = {.write_max = 32u << 20}};
    size_t size = 32u << 20;
    char *bytes = test_calloc(1, size);
    (void)state;
    server_start(&s, AF_INET, 0, serve_mute);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    wire_ready(&w);
    (void)wire_write(&w, bytes, size);
    wire_close(&w, 100);
    wire_await_closed(&w);
    assert_false(w.orderly);
    assert_int_equal(w.error.code, PUBSUB_ETIMEDOUT);
    wire_free(&w);
    server_stop(&s);
    test_free(bytes);
}

static void test_tcp_close_while_connecting(void **state)
{
    blackhole hole;
    wire w = {0};
    (void)state;
    blackhole_open(&hole);
    (void)snprintf(g_url, sizeof(g_url), "wire://127.0.0.1:%u", (unsigned)hole.port);
    wire_open(&w, g_url, "");
    wire_begun(&w);
    wire_close(&w, 1000);
    wire_await_closed(&w);
    assert_true(w.orderly);
    wire_free(&w);
    blackhole_close(&hole);
}

static void test_tcp_may_be_freed_in_a_handler(void **state)
{
    server s = {.size = 1000000};
    wire w = {.free_on_data = true};
    (void)state;
    server_start(&s, AF_INET, 0, serve_source);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    WIRE_AWAIT(&w, w.data_calls == 1);
    assert_int_equal(wire_queued(&w), 0);
    assert_int_equal(WIRE_GET(&w, data_calls), 1);
    assert_int_equal(w.closes, 0);
    wire_free(&w);
    server_stop(&s);
}

static void test_tcp_child_of_fork_disturbs_nothing(void **state)
{
    server s = {0};
    wire w = {0};
    int status = -1;
    (void)state;
    server_start(&s, AF_INET, 0, serve_echo);
    wire_open(&w, server_url(&s, "", g_url, sizeof(g_url)), "");
    exchange(&w);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        pubsub_client_free(w.client);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(wire_write(&w, "again", 5), 5);
    WIRE_AWAIT(&w, w.received == 10 || w.closes > 0);
    assert_int_equal(w.closes, 0);
    wire_free(&w);
    server_stop(&s);
}

/* ---- Unix sockets ---- */

static void echo_over_path(const char *url, const char *options, server *s)
{
    wire w = {0};
    server_start(s, AF_UNIX, 0, serve_echo);
    wire_open(&w, url, options);
    exchange(&w);
    assert_string_equal(w.peer, s->path);
    wire_free(&w);
    server_stop(s);
}

static void test_tcp_or_a_unix_socket_as_the_host(void **state)
{
    server s = {0};
    (void)state;
    (void)snprintf(s.path, sizeof(s.path), "/tmp/pubsub-wire-%ld.sock", (long)getpid());
    (void)snprintf(g_url, sizeof(g_url), "wire://%%2Ftmp%%2Fpubsub-wire-%ld.sock", (long)getpid());
    echo_over_path(g_url, "", &s);
}

static void test_tcp_or_a_unix_socket_as_an_option(void **state)
{
    server s = {0};
    (void)state;
    (void)snprintf(s.path, sizeof(s.path), "/tmp/pubsub-wire-%ld.sock", (long)getpid());
    (void)snprintf(g_url, sizeof(g_url), "wire://broker.example/x?socket=%s", s.path);
    echo_over_path(g_url, "", &s);
}

static void test_tcp_or_a_unix_socket_that_is_not_there(void **state)
{
    wire w = {0};
    (void)state;
    wire_open(&w, "wire:?socket=/tmp/pubsub-no-such.sock", "");
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    KIT_SAYS(w.error.text, "/tmp/pubsub-no-such.sock");
    KIT_SAYS(w.error.text, "no such socket");
    wire_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_carries_bytes_both_ways),
        cmocka_unit_test(test_tcp_works_inline),
        cmocka_unit_test(test_tcp_takes_the_protocols_port),
        cmocka_unit_test(test_tcp_looks_up_names),
        cmocka_unit_test(test_tcp_over_ipv6),
        cmocka_unit_test(test_tcp_sockets_are_tuned),
        cmocka_unit_test(test_tcp_refused_says_where_and_what_to_do),
        cmocka_unit_test(test_tcp_silence_ends_at_the_deadline),
        cmocka_unit_test(test_tcp_unknown_name_says_so),
        cmocka_unit_test(test_tcp_free_does_not_wait_for_a_lookup),
        cmocka_unit_test(test_tcp_a_silent_address_holds_up_only_a_moment),
        cmocka_unit_test(test_tcp_all_addresses_refused),
        cmocka_unit_test(test_tcp_next_host_when_the_first_is_dead),
        cmocka_unit_test(test_tcp_next_host_when_the_first_is_silent),
        cmocka_unit_test(test_tcp_all_hosts_dead),
        cmocka_unit_test(test_tcp_comes_back_to_the_last_good_host),
        cmocka_unit_test(test_tcp_a_host_that_never_serves_is_left),
        cmocka_unit_test(test_tcp_random_order_begins_anywhere),
        cmocka_unit_test(test_tcp_half_closed_peer_is_read_to_its_end),
        cmocka_unit_test(test_tcp_reset_while_writing_is_a_loss_and_no_signal),
        cmocka_unit_test(test_tcp_close_delivers_first),
        cmocka_unit_test(test_tcp_close_waits_no_longer_than_asked),
        cmocka_unit_test(test_tcp_close_while_connecting),
        cmocka_unit_test(test_tcp_may_be_freed_in_a_handler),
        cmocka_unit_test(test_tcp_child_of_fork_disturbs_nothing),
        cmocka_unit_test(test_tcp_or_a_unix_socket_as_the_host),
        cmocka_unit_test(test_tcp_or_a_unix_socket_as_an_option),
        cmocka_unit_test(test_tcp_or_a_unix_socket_that_is_not_there),
    };
    kit_watchdog("test_tcp", 110000);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
