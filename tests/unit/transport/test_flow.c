/* SPDX-License-Identifier: MIT */
/* How bytes flow: bounds, back-pressure, and how many system calls they cost. */
#include "server.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static char g_url[256];

static void fill(char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)(i * 31u + i / 251u);
    }
}

static uint32_t sum_of(const char *bytes, size_t len)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += (unsigned char)bytes[i];
    }
    return sum;
}

static void start(server *s, wire *w, server_fn serve)
{
    server_start(s, AF_INET, 0, serve);
    wire_open(w, server_url(s, "", g_url, sizeof(g_url)), "");
    wire_ready(w);
}

static void end(server *s, wire *w)
{
    wire_free(w);
    server_stop(s);
}

/* Wait until the server has received so much. */
static void await_received(wire *w, server *s, size_t size)
{
    WIRE_AWAIT(w, atomic_load(&s->received) >= size);
    assert_int_equal(atomic_load(&s->received), size);
}

/* ---- system calls ---- */

#define SMALL 10u
#define MANY 1000u

static void io_many_small(wire *w, void *arg)
{
    pubsub_bytes slice = {"0123456789", SMALL};
    for (unsigned i = 0; i < MANY; i++) {
        (void)pubsub_transport_write(w->transport, &slice, 1);
    }
    if (arg != NULL) {
        pubsub_transport_flush(w->transport);
        *(unsigned *)arg = wire_sends();
    }
}

static void test_flow_many_small_writes_are_one_call(void **state)
{
    server s = {.go = true};
    wire w = {0};
    unsigned sends = 0;
    (void)state;
    start(&s, &w, serve_sink);
    wire_sends_reset();
    wire_do(&w, io_many_small, &sends);
    assert_int_equal(sends, 1); /* flush sends at once */
    await_received(&w, &s, (size_t)SMALL * MANY);
    assert_int_equal(wire_sends(), 1);
    end(&s, &w);
}

static void test_flow_without_flush_it_goes_at_the_end_of_the_turn(void **state)
{
    server s = {.go = true};
    wire w = {0};
    (void)state;
    start(&s, &w, serve_sink);
    wire_sends_reset();
    wire_do(&w, io_many_small, NULL);
    await_received(&w, &s, (size_t)SMALL * MANY);
    assert_int_equal(wire_sends(), 1);
    end(&s, &w);
}

static void flush_in_turn(wire *w, void *ctx)
{
    (void)ctx;
    pubsub_transport_flush(w->transport);
}

static void test_flow_flush_belongs_into_turn(void **state)
{
    server s = {.go = true};
    wire w = {.on_turn = flush_in_turn};
    (void)state;
    start(&s, &w, serve_sink);
    wire_sends_reset();
    for (int i = 0; i < 10; i++) {
        wire_do(&w, io_many_small, NULL);
    }
    await_received(&w, &s, (size_t)SMALL * MANY * 10);
    assert_in_range(wire_sends(), 1, 10);
    end(&s, &w);
}

static void io_gather(wire *w, void *arg)
{
    static char part[8192];
    pubsub_bytes slices[10];
    for (size_t i = 0; i < 10; i++) {
        slices[i].data = part;
        slices[i].len = sizeof(part);
    }
    (void)pubsub_transport_write(w->transport, slices, 1); /* waits, and goes first */
    *(size_t *)arg = pubsub_transport_write(w->transport, slices + 1, 9);
}

static void test_flow_large_slices_are_gathered_and_not_queued(void **state)
{
    server s = {.go = true};
    wire w = {0};
    size_t taken = 0;
    (void)state;
    start(&s, &w, serve_sink);
    wire_sends_reset();
    wire_do(&w, io_gather, &taken);
    assert_int_equal(taken, 9 * 8192);
    await_received(&w, &s, 10 * 8192);
    assert_in_range(wire_sends(), 1, 3); /* one, unless the socket's buffer was too small for it */
    end(&s, &w);
}

static void test_flow_reads_what_is_there_in_one_go(void **state)
{
    server s = {.size = 1u << 20};
    wire w = {.pause_first = true};
    (void)state;
    start(&s, &w, serve_source);
    WIRE_AWAIT(&w, atomic_load(&s.current) >= 0);
    wire_resume(&w);
    wire_await_closed(&w);
    assert_int_equal(w.received, 1u << 20);
    assert_in_range(w.most, 4096, 64 * 1024); /* never more than the buffer */
    end(&s, &w);
}

/* ---- bounds ---- */

static void test_flow_queue_has_a_hard_bound(void **state)
{
    server s = {0};
    wire w = {.request = {.write_max = 100000}};
    size_t size = 64u << 20;
    char *bytes = malloc(size);
    (void)state;
    assert_non_null(bytes);
    fill(bytes, size);
    start(&s, &w, serve_sink);
    size_t taken = wire_write(&w, bytes, size);
    assert_in_range(taken, 100000, size - 1);
    assert_in_range(wire_queued(&w), 0, 100000);
    (void)wire_write(&w, bytes + taken, 0);
    /* Fill until nothing more goes: the kernel's buffers have an end too. */
    size_t more = 0;
    size_t last = 1;
    while (last > 0) {
        last = wire_write(&w, bytes + taken + more, size - taken - more);
        more += last;
        assert_in_range(wire_queued(&w), 0, 100000);
        assert_true(taken + more < size);
    }
    assert_int_equal(wire_queued(&w), 100000);
    assert_int_equal(WIRE_GET(&w, writables), 0);
    atomic_store(&s.go, true); /* the reader wakes up */
    await_received(&w, &s, taken + more);
    assert_int_equal(atomic_load(&s.sum), sum_of(bytes, taken + more));
    WIRE_AWAIT(&w, w.writables > 0);
    end(&s, &w);
    free(bytes);
}

typedef struct stream_out {
    const char *bytes;
    size_t size, at;
} stream_out;

static void write_more(wire *w, void *ctx)
{
    stream_out *out = ctx;
    while (out->at < out->size) {
        pubsub_bytes slice = {out->bytes + out->at, out->size - out->at};
        size_t n = pubsub_transport_write(w->transport, &slice, 1);
        out->at += n;
        if (n == 0) {
            break;
        }
    }
}

static void big_write(size_t write_max)
{
    server s = {.go = true};
    stream_out out = {.size = 24u << 20};
    wire w = {.request = {.write_max = write_max},
              .on_open = write_more,
              .on_writable = write_more,
              .ctx = &out};
    char *bytes = malloc(out.size);
    assert_non_null(bytes);
    fill(bytes, out.size);
    out.bytes = bytes;
    start(&s, &w, serve_sink);
    await_received(&w, &s, out.size);
    assert_int_equal(atomic_load(&s.sum), sum_of(bytes, out.size));
    assert_int_equal(wire_loud_sends(), 0);
    end(&s, &w);
    free(bytes);
}

static void test_flow_big_writes_go_piece_by_piece(void **state)
{
    (void)state;
    big_write(0);
}

static void test_flow_big_writes_through_a_small_queue(void **state)
{
    (void)state;
    big_write(5000);
}

/* ---- reading with back-pressure ---- */

static void test_flow_pause_stops_reading_and_resume_goes_on(void **state)
{
    server s = {.size = 8u << 20};
    wire w = {.pause_first = true};
    (void)state;
    start(&s, &w, serve_source);
    for (int i = 0; i < 50; i++) {
        (void)wire_queued(&w); /* turns of the loop */
    }
    assert_int_equal(WIRE_GET(&w, received), 0);
    wire_resume(&w);
    WIRE_AWAIT(&w, w.received > 0);
    wire_pause(&w);
    size_t before = WIRE_GET(&w, received);
    for (int i = 0; i < 50; i++) {
        (void)wire_queued(&w);
    }
    assert_int_equal(WIRE_GET(&w, received), before);
    wire_resume(&w);
    wire_await_closed(&w);
    assert_int_equal(w.received, s.size);
    assert_int_equal(w.sum, (uint32_t)(s.size * 'x'));
    end(&s, &w);
}

static void test_flow_writing_goes_on_while_reading_is_paused(void **state)
{
    server s = {0};
    wire w = {.pause_first = true};
    (void)state;
    start(&s, &w, serve_echo);
    assert_int_equal(wire_write(&w, "ping", 4), 4);
    await_received(&w, &s, 4);
    assert_int_equal(WIRE_GET(&w, received), 0);
    wire_resume(&w);
    WIRE_AWAIT(&w, w.received == 4);
    end(&s, &w);
}

static void test_flow_reads_into_the_adapters_buffer(void **state)
{
    server s = {.size = 100000};
    wire w = {.own_buffer = true};
    (void)state;
    start(&s, &w, serve_source);
    wire_await_closed(&w);
    assert_int_equal(w.received, 100000);
    assert_int_equal(w.sum, (uint32_t)(100000 * 'x'));
    assert_in_range(w.most, 1, 8192);
    assert_true(w.buffers >= w.data_calls);
    end(&s, &w);
}

static void test_flow_both_directions_at_once(void **state)
{
    server s = {0};
    stream_out out = {.size = 6u << 20};
    wire w = {.on_open = write_more, .on_writable = write_more, .ctx = &out};
    char *bytes = malloc(out.size);
    (void)state;
    assert_non_null(bytes);
    fill(bytes, out.size);
    out.bytes = bytes;
    start(&s, &w, serve_echo);
    WIRE_AWAIT(&w, w.received == out.size);
    assert_int_equal(w.sum, sum_of(bytes, out.size));
    end(&s, &w);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flow_many_small_writes_are_one_call),
        cmocka_unit_test(test_flow_without_flush_it_goes_at_the_end_of_the_turn),
        cmocka_unit_test(test_flow_flush_belongs_into_turn),
        cmocka_unit_test(test_flow_large_slices_are_gathered_and_not_queued),
        cmocka_unit_test(test_flow_reads_what_is_there_in_one_go),
        cmocka_unit_test(test_flow_queue_has_a_hard_bound),
        cmocka_unit_test(test_flow_big_writes_go_piece_by_piece),
        cmocka_unit_test(test_flow_big_writes_through_a_small_queue),
        cmocka_unit_test(test_flow_pause_stops_reading_and_resume_goes_on),
        cmocka_unit_test(test_flow_writing_goes_on_while_reading_is_paused),
        cmocka_unit_test(test_flow_reads_into_the_adapters_buffer),
        cmocka_unit_test(test_flow_both_directions_at_once),
    };
    kit_watchdog("test_flow", 110000);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
