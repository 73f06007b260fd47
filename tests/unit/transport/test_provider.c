/* SPDX-License-Identifier: MIT */
/* Transports of the application: memory, a pair of sockets, a function that fails. */
#include "server.h"
#include "wire.h"

#include <pubsub/transport.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a pipe in memory: what is written comes back, through a small buffer ---- */

#define PIPE_SIZE 5000u

typedef struct memory {
    pthread_mutex_t lock;
    pubsub_transport_port *port;
    char ring[PIPE_SIZE];
    size_t used;
    bool held;      /* keep what was written until memory_release */
    bool slow_open; /* open only when memory_open is called */
    bool ended;     /* the peer has said its last byte */
    bool broken;
    bool nonsense; /* return what no function may return */
    pubsub_err refuse;
    unsigned opens, writes, closes;
    size_t most_slices;
    bool aborted;
    char host[64];
    uint16_t port_number;
    bool tls;
} memory;

static pubsub_err memory_open(void *ctx, const pubsub_transport_target *target,
                              pubsub_transport_port *port, pubsub_transport_stream *stream,
                              pubsub_error *err)
{
    memory *m = ctx;
    pthread_mutex_lock(&m->lock);
    m->opens++;
    m->port_number = target->port;
    m->tls = target->tls;
    (void)snprintf(m->host, sizeof(m->host), "%s", target->host);
    m->port = port;
    stream->data = m;
    pubsub_err rc = m->refuse != PUBSUB_OK ? m->refuse : m->slow_open ? PUBSUB_EAGAIN : PUBSUB_OK;
    pthread_mutex_unlock(&m->lock);
    return rc == m->refuse && rc != PUBSUB_OK ? pubsub_error_set(err, rc, "the tunnel is shut")
                                              : rc;
}

static ptrdiff_t memory_read(void *data, void *buffer, size_t size, pubsub_error *err)
{
    memory *m = data;
    pthread_mutex_lock(&m->lock);
    ptrdiff_t result = PUBSUB_TRANSPORT_AGAIN;
    if (m->nonsense) {
        result = 0;
    } else if (m->used > 0 && !m->held) {
        size_t n = m->used < size ? m->used : size;
        memcpy(buffer, m->ring, n);
        memmove(m->ring, m->ring + n, m->used - n);
        m->used -= n;
        result = (ptrdiff_t)n;
        pubsub_transport_ready(m->port, PUBSUB_TRANSPORT_WRITABLE);
    } else if (m->broken) {
        (void)pubsub_error_set(err, PUBSUB_ELOST, "the tunnel broke");
        result = PUBSUB_TRANSPORT_FAILED;
    } else if (m->ended) {
        result = PUBSUB_TRANSPORT_END;
    }
    pthread_mutex_unlock(&m->lock);
    return result;
}

static ptrdiff_t memory_write(void *data, const pubsub_bytes *slices, size_t count,
                              pubsub_error *err)
{
    memory *m = data;
    size_t done = 0;
    (void)err;
    pthread_mutex_lock(&m->lock);
    m->writes++;
    m->most_slices = count > m->most_slices ? count : m->most_slices;
    for (size_t i = 0; i < count && m->used < PIPE_SIZE; i++) {
        size_t room = PIPE_SIZE - m->used;
        size_t n = slices[i].len < room ? slices[i].len : room;
        memcpy(m->ring + m->used, slices[i].data, n);
        m->used += n;
        done += n;
    }
    if (done > 0) {
        pubsub_transport_ready(m->port, PUBSUB_TRANSPORT_READABLE);
    }
    pthread_mutex_unlock(&m->lock);
    return done > 0 ? (ptrdiff_t)done : PUBSUB_TRANSPORT_AGAIN;
}

static void memory_close(void *data, bool abort)
{
    memory *m = data;
    pthread_mutex_lock(&m->lock);
    m->closes++;
    m->aborted = abort;
    m->port = NULL;
    pthread_mutex_unlock(&m->lock);
}

static const pubsub_transport_provider g_memory = {.size = sizeof(pubsub_transport_provider),
                                                   .name = "memory",
                                                   .open = memory_open,
                                                   .read = memory_read,
                                                   .write = memory_write,
                                                   .close = memory_close};

static void memory_start(memory *m, wire *w, const char *url, const char *options)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pthread_mutex_init(&m->lock, NULL);
    wire_new(w, url, options);
    KIT_OK(pubsub_client_set_transport(w->client, &g_memory, m, &err), &err);
    wire_connect(w);
}

/* From the test's thread, as a thread of the application would. */
static void memory_tell(memory *m, uint32_t events)
{
    pthread_mutex_lock(&m->lock);
    pubsub_transport_ready(m->port, events);
    pthread_mutex_unlock(&m->lock);
}

static void memory_end(memory *m, wire *w)
{
    wire_free(w);
    pthread_mutex_destroy(&m->lock);
}

static void test_provider_in_memory_carries_bytes(void **state)
{
    memory m = {0};
    wire w = {0};
    (void)state;
    memory_start(&m, &w, "wire://far.example:77", "");
    wire_ready(&w);
    assert_string_equal(m.host, "far.example"); /* not looked up */
    assert_int_equal(m.port_number, 77);
    assert_false(m.tls);
    assert_int_equal(wire_write(&w, "round and back", 14), 14);
    WIRE_AWAIT(&w, w.received == 14);
    assert_string_equal(w.head, "round and back");
    memory_end(&m, &w);
    assert_int_equal(m.opens, 1);
    assert_int_equal(m.closes, 1);
}

static void big_exchange(const char *options)
{
    memory m = {0};
    wire w = {0};
    static char bytes[300000];
    memset(bytes, 'y', sizeof(bytes));
    memory_start(&m, &w, "wire://far.example", options);
    wire_ready(&w);
    assert_int_equal(wire_write(&w, bytes, sizeof(bytes)), sizeof(bytes));
    WIRE_AWAIT(&w, w.received == sizeof(bytes));
    assert_int_equal(w.sum, sizeof(bytes) * 'y');
    memory_end(&m, &w);
}

static void test_provider_in_memory_with_a_small_buffer(void **state)
{
    (void)state;
    big_exchange("");
}

static void test_provider_in_memory_inline(void **state)
{
    (void)state;
    big_exchange("io=inline");
}

static void test_provider_wakes_from_another_thread(void **state)
{
    memory m = {.held = true};
    wire w = {0};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_ready(&w);
    assert_int_equal(wire_write(&w, "later", 5), 5);
    wire_flush(&w);
    assert_int_equal(WIRE_GET(&w, received), 0);
    pthread_mutex_lock(&m.lock);
    m.held = false;
    pthread_mutex_unlock(&m.lock);
    memory_tell(&m, PUBSUB_TRANSPORT_READABLE);
    WIRE_AWAIT(&w, w.received == 5);
    memory_end(&m, &w);
}

static void test_provider_pause_and_resume(void **state)
{
    memory m = {0};
    wire w = {.pause_first = true};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_ready(&w);
    assert_int_equal(wire_write(&w, "patience", 8), 8);
    wire_flush(&w);
    (void)wire_queued(&w);
    assert_int_equal(WIRE_GET(&w, received), 0);
    wire_resume(&w);
    WIRE_AWAIT(&w, w.received == 8);
    memory_end(&m, &w);
}

static void test_provider_gets_slices_together(void **state)
{
    memory m = {0};
    wire w = {0};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_ready(&w);
    for (int i = 0; i < 200; i++) {
        (void)wire_write(&w, "0123456789", 10);
    }
    WIRE_AWAIT(&w, w.received == 2000);
    pthread_mutex_lock(&m.lock);
    assert_in_range(m.writes, 1, 200);
    pthread_mutex_unlock(&m.lock);
    memory_end(&m, &w);
}

static void test_provider_may_take_its_time_to_open(void **state)
{
    memory m = {.slow_open = true};
    wire w = {0};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_begun(&w);
    WIRE_AWAIT(&w, m.opens == 1);
    assert_int_equal(WIRE_GET(&w, opens), 0);
    pthread_mutex_lock(&m.lock);
    pubsub_transport_opened(m.port, NULL);
    pthread_mutex_unlock(&m.lock);
    wire_ready(&w);
    assert_int_equal(wire_write(&w, "now", 3), 3);
    WIRE_AWAIT(&w, w.received == 3);
    memory_end(&m, &w);
}

static void test_provider_may_fail_late(void **state)
{
    memory m = {.slow_open = true};
    wire w = {0};
    pubsub_error why = PUBSUB_ERROR_INIT;
    (void)state;
    (void)pubsub_error_set(&why, PUBSUB_EAUTH, "the tunnel wants a key");
    memory_start(&m, &w, "wire://far.example:9", "");
    wire_begun(&w);
    pthread_mutex_lock(&m.lock);
    bool there = m.port != NULL;
    pthread_mutex_unlock(&m.lock);
    while (!there) {
        kit_breathe();
        pthread_mutex_lock(&m.lock);
        there = m.port != NULL;
        pthread_mutex_unlock(&m.lock);
    }
    pthread_mutex_lock(&m.lock);
    pubsub_transport_opened(m.port, &why);
    pthread_mutex_unlock(&m.lock);
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_EAUTH);
    KIT_SAYS(w.error.text, "the tunnel wants a key");
    KIT_SAYS(w.error.text, "far.example:9");
    memory_end(&m, &w);
    assert_int_equal(m.closes, 1);
}

static void test_provider_that_refuses(void **state)
{
    memory m = {.refuse = PUBSUB_ECONNECT};
    wire w = {0};
    (void)state;
    memory_start(&m, &w, "wire://one.example,two.example", "");
    wire_await_closed(&w);
    assert_int_equal(m.opens, 2); /* the second host too */
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    KIT_SAYS(w.error.text, "the tunnel is shut");
    memory_end(&m, &w);
    assert_int_equal(m.closes, 0);
}

static void test_provider_that_never_opens(void **state)
{
    memory m = {.slow_open = true};
    wire w = {.request = {.timeout = 100}};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ECONNECT);
    KIT_SAYS(w.error.text, "no answer");
    memory_end(&m, &w);
    assert_int_equal(m.closes, 1);
    assert_true(m.aborted);
}

static void end_of(bool broken, const char *text)
{
    memory m = {0};
    wire w = {0};
    memory_start(&m, &w, "wire://far.example", "");
    wire_ready(&w);
    pthread_mutex_lock(&m.lock);
    m.broken = broken;
    m.ended = !broken;
    pthread_mutex_unlock(&m.lock);
    memory_tell(&m, PUBSUB_TRANSPORT_READABLE);
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_ELOST);
    KIT_SAYS(w.error.text, text);
    memory_end(&m, &w);
}

static void test_provider_whose_stream_ends_or_breaks(void **state)
{
    (void)state;
    end_of(false, "closed the connection");
    end_of(true, "the tunnel broke");
}

static void test_provider_that_talks_nonsense_is_told_so(void **state)
{
    memory m = {.nonsense = true};
    wire w = {0};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_await_closed(&w);
    assert_int_equal(w.error.code, PUBSUB_EINTERNAL);
    KIT_SAYS(w.error.text, "read function");
    memory_end(&m, &w);
}

static void test_provider_close_is_orderly_or_not(void **state)
{
    memory m = {.held = true};
    memory n = {0};
    wire w = {0};
    wire v = {0};
    (void)state;
    memory_start(&m, &w, "wire://far.example", "");
    wire_ready(&w);
    assert_int_equal(wire_write(&w, "last words", 10), 10);
    wire_close(&w, 5000);
    wire_await_closed(&w);
    assert_true(w.orderly);
    assert_false(m.aborted);
    assert_int_equal(m.used, 10);
    memory_end(&m, &w);
    memory_start(&n, &v, "wire://far.example", "");
    wire_ready(&v);
    wire_drop(&v);
    memory_end(&n, &v);
    assert_true(n.aborted);
}

/* ---- a pair of sockets ---- */

typedef struct pair {
    int ours, theirs;
    unsigned closes;
    bool own_functions;
} pair;

static pubsub_err pair_open(void *ctx, const pubsub_transport_target *target,
                            pubsub_transport_port *port, pubsub_transport_stream *stream,
                            pubsub_error *err)
{
    pair *p = ctx;
    int fds[2];
    (void)target;
    (void)port;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        return pubsub_error_set(err, PUBSUB_ESYSTEM, "no pair");
    }
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    p->ours = fds[0];
    p->theirs = fds[1];
    stream->data = p;
    stream->fd = fds[0];
    return PUBSUB_OK;
}

static ptrdiff_t pair_read(void *data, void *buffer, size_t size, pubsub_error *err)
{
    ssize_t n = read(((pair *)data)->ours, buffer, size);
    if (n > 0) {
        return n;
    }
    if (n == 0) {
        return PUBSUB_TRANSPORT_END;
    }
    if (errno == EAGAIN) {
        return PUBSUB_TRANSPORT_AGAIN;
    }
    (void)pubsub_error_set_errno(err, PUBSUB_ELOST, errno, "cannot read");
    return PUBSUB_TRANSPORT_FAILED;
}

static ptrdiff_t pair_write(void *data, const pubsub_bytes *slices, size_t count, pubsub_error *err)
{
    (void)count;
    ssize_t n = send(((pair *)data)->ours, slices[0].data, slices[0].len, MSG_NOSIGNAL);
    if (n >= 0) {
        return n;
    }
    if (errno == EAGAIN) {
        return PUBSUB_TRANSPORT_AGAIN;
    }
    (void)pubsub_error_set_errno(err, PUBSUB_ELOST, errno, "cannot write");
    return PUBSUB_TRANSPORT_FAILED;
}

static void pair_close(void *data, bool abort)
{
    pair *p = data;
    (void)abort;
    p->closes++;
    if (p->own_functions) {
        (void)close(p->ours);
    }
}

static const pubsub_transport_provider g_pair = {.size = sizeof(pubsub_transport_provider),
                                                 .name = "pair",
                                                 .open = pair_open,
                                                 .read = pair_read,
                                                 .write = pair_write,
                                                 .close = pair_close};
static const pubsub_transport_provider g_bare_pair = {.size = sizeof(pubsub_transport_provider),
                                                      .name = "bare pair",
                                                      .open = pair_open,
                                                      .close = pair_close};

/* The other end: read so much, answer the same. */
static void pair_echo(int fd, size_t size)
{
    char bytes[4096];
    while (size > 0) {
        ssize_t n = read(fd, bytes, size < sizeof(bytes) ? size : sizeof(bytes));
        assert_true(n > 0);
        assert_true(server_send(fd, bytes, (size_t)n));
        size -= (size_t)n;
    }
}

static void pair_exchange(const pubsub_transport_provider *provider, bool own_functions)
{
    pair p = {.ours = -1, .theirs = -1, .own_functions = own_functions};
    wire w = {0};
    pubsub_error err = PUBSUB_ERROR_INIT;
    static char bytes[1000000];
    char end = 0;
    wire_new(&w, "wire://far.example", "");
    KIT_OK(pubsub_client_set_transport(w.client, provider, &p, &err), &err);
    wire_connect(&w);
    wire_ready(&w);
    assert_int_equal(wire_write(&w, bytes, sizeof(bytes)), sizeof(bytes));
    pair_echo(p.theirs, sizeof(bytes));
    WIRE_AWAIT(&w, w.received == sizeof(bytes));
    wire_close(&w, 5000);
    assert_int_equal(read(p.theirs, &end, 1), 0); /* the end is seen */
    (void)close(p.theirs);
    wire_await_closed(&w);
    assert_true(w.orderly);
    wire_free(&w);
    assert_int_equal(p.closes, 1);
}

static void test_provider_with_a_descriptor(void **state)
{
    (void)state;
    pair_exchange(&g_pair, true);
}

static void test_provider_that_only_brings_a_socket(void **state)
{
    (void)state;
    pair_exchange(&g_bare_pair, false);
}

/* ---- setting it ---- */

static void test_provider_is_refused_where_it_cannot_work(void **state)
{
    memory m = {0};
    wire w = {0};
    pubsub_client *local = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_transport_provider half = g_memory;
    (void)state;
    pthread_mutex_init(&m.lock, NULL);
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_set_transport(NULL, &g_memory, &m, &err));
    wire_new(&w, "wire://far.example", "");
    half.write = NULL;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_set_transport(w.client, &half, &m, &err));
    half = g_memory;
    half.size = 8;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_set_transport(w.client, &half, &m, &err));
    KIT_OK(pubsub_client_set_transport(w.client, &g_memory, &m, &err), &err);
    wire_connect(&w);
    wire_ready(&w);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_set_transport(w.client, NULL, NULL, &err));
    memory_end(&m, &w);
    if (pubsub_client_new(&local, "local:transport-refused", NULL, &err) == PUBSUB_OK) {
        KIT_ERR(PUBSUB_ENOTSUP, pubsub_client_set_transport(local, &g_memory, &m, &err));
        KIT_SAYS(err.text, "local");
        pubsub_client_free(local);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provider_in_memory_carries_bytes),
        cmocka_unit_test(test_provider_in_memory_with_a_small_buffer),
        cmocka_unit_test(test_provider_in_memory_inline),
        cmocka_unit_test(test_provider_wakes_from_another_thread),
        cmocka_unit_test(test_provider_pause_and_resume),
        cmocka_unit_test(test_provider_gets_slices_together),
        cmocka_unit_test(test_provider_may_take_its_time_to_open),
        cmocka_unit_test(test_provider_may_fail_late),
        cmocka_unit_test(test_provider_that_refuses),
        cmocka_unit_test(test_provider_that_never_opens),
        cmocka_unit_test(test_provider_whose_stream_ends_or_breaks),
        cmocka_unit_test(test_provider_that_talks_nonsense_is_told_so),
        cmocka_unit_test(test_provider_close_is_orderly_or_not),
        cmocka_unit_test(test_provider_with_a_descriptor),
        cmocka_unit_test(test_provider_that_only_brings_a_socket),
        cmocka_unit_test(test_provider_is_refused_where_it_cannot_work),
    };
    kit_watchdog("test_provider", 110000);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
