/* SPDX-License-Identifier: MIT */
/* The raw baseline of `amqp://`: the work of `pubsub bench` done straight on rabbitmq-c, by one publisher and
 * one subscriber process. Same payloads, same checks per message, same topic length, same backlog, same
 * schedule; what differs is the library between.
 *
 * It uses rabbitmq-c as its examples do: amqp_basic_publish for each message, persistent and mandatory with
 * confirms at qos 1, the confirms read when the window is full; the subscriber reads frames, acks a hundred
 * at a time or when nothing more has arrived, and releases the library's buffers.
 *
 * Prints one line of JSON per figure, each from processes of its own.
 *
 *   amqp_raw pub|latency|e2e|e2e-latency|all HOST:PORT
 *            [duration_ms warmup_ms size qos rate backlog window batch]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, getrusage */
#endif
#include "raw.h"

#include "bench_frame.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/hist.h"
#include "base/rand.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS RAW_MS
#define DRAIN_NS (5000 * MS)
#define CONFIRMED 1
#define ACK_EVERY 100u

typedef struct settings {
    const char *server;
    uint64_t duration_ns, warmup_ns, size, qos, rate, backlog, window, batch;
} settings;

static void die(const char *what, int code)
{
    fprintf(stderr, "amqp_raw: %s: %d\n", what, code);
    exit(EXIT_FAILURE);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void must(amqp_rpc_reply_t reply, const char *what)
{
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        die(what, reply.library_error);
    }
}

static amqp_connection_state_t open_connection(const settings *with)
{
    char host[256];
    const char *colon = strrchr(with->server, ':');
    amqp_connection_state_t conn = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(conn);
    if (colon == NULL || socket == NULL || (size_t)(colon - with->server) >= sizeof(host)) {
        die("HOST:PORT", 0);
    }
    memcpy(host, with->server, (size_t)(colon - with->server));
    host[colon - with->server] = '\0';
    int rc = amqp_socket_open(socket, host, (int)strtol(colon + 1, NULL, 10));
    if (rc != 0) {
        die("connect", rc);
    }
    must(amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"), "login");
    amqp_channel_open(conn, CONFIRMED);
    must(amqp_get_rpc_reply(conn), "channel");
    return conn;
}

static struct timeval until(uint64_t due_ns)
{
    uint64_t now = pubsub__clock_mono_ns();
    uint64_t left = due_ns > now ? due_ns - now : 0;
    struct timeval wait = {(time_t)(left / (1000 * MS)), (suseconds_t)(left / 1000 % 1000000)};
    return wait;
}

/* ---- subscriber ------------------------------------------------------------------------------ */

static amqp_connection_state_t consume(const settings *with, const raw_shared *mem)
{
    amqp_connection_state_t conn = open_connection(with);
    amqp_queue_declare_ok_t *made =
        amqp_queue_declare(conn, CONFIRMED, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
    must(amqp_get_rpc_reply(conn), "queue");
    amqp_bytes_t queue = amqp_bytes_malloc_dup(made->queue);
    amqp_queue_bind(conn, CONFIRMED, queue, amqp_cstring_bytes("amq.topic"),
                    amqp_cstring_bytes(mem->topic), amqp_empty_table);
    must(amqp_get_rpc_reply(conn), "bind");
    amqp_basic_qos(conn, CONFIRMED, 0, 1000, 0);
    must(amqp_get_rpc_reply(conn), "qos");
    amqp_basic_consume(conn, CONFIRMED, queue, amqp_empty_bytes, 0, with->qos == 0, 0,
                       amqp_empty_table);
    must(amqp_get_rpc_reply(conn), "consume");
    amqp_bytes_free(queue);
    return conn;
}

static void subscribe(const void *settings_of, raw_shared *mem, bool open)
{
    const settings *with = settings_of;
    bench_track track;
    uint8_t *body = pubsub__alloc((size_t)with->size);
    uint64_t tag = 0, acked = 0, size = 0, got = 0;
    bench_track_init(&track);
    amqp_connection_state_t conn = consume(with, mem);
    uint64_t began = raw_cpu_ns();
    atomic_store(&mem->ready, 1);
    uint64_t since = pubsub__clock_mono_ns();
    for (;;) {
        amqp_frame_t frame;
        amqp_maybe_release_buffers(conn);
        bool more = amqp_frames_enqueued(conn) || amqp_data_in_buffer(conn);
        if (with->qos > 0 && tag > acked && got == size && (!more || tag - acked >= ACK_EVERY)) {
            (void)amqp_basic_ack(conn, CONFIRMED, tag, 1);
            acked = tag;
        }
        struct timeval wait = until(pubsub__clock_mono_ns() + 20 * MS);
        int rc = amqp_simple_wait_frame_noblock(conn, &frame, &wait);
        uint64_t now = pubsub__clock_mono_ns();
        if (rc == AMQP_STATUS_TIMEOUT) {
            bool over = atomic_load(&mem->over) != 0;
            bool all = track.unique >= atomic_load(&mem->sent);
            if (over && (all || now - since > DRAIN_NS)) {
                break;
            }
            continue;
        }
        if (rc != AMQP_STATUS_OK) {
            die("read", rc);
        }
        since = now;
        if (frame.frame_type == AMQP_FRAME_METHOD &&
            frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
            const amqp_basic_deliver_t *deliver = frame.payload.method.decoded;
            tag = deliver->delivery_tag;
            size = got = 0;
        } else if (frame.frame_type == AMQP_FRAME_HEADER) {
            size = frame.payload.properties.body_size;
        } else if (frame.frame_type == AMQP_FRAME_BODY) {
            amqp_bytes_t part = frame.payload.body_fragment;
            if (part.len == size) {
                raw_arrived(mem, &track, part.bytes, part.len, open);
            } else if (got + part.len <= with->size) {
                memcpy(body + got, part.bytes, part.len);
                if (got + part.len == size) {
                    raw_arrived(mem, &track, body, (size_t)size, open);
                }
            }
            got += part.len;
        }
        if (atomic_load(&mem->over) != 0 && track.unique >= atomic_load(&mem->sent)) {
            break;
        }
    }
    mem->sub_cpu_ns = raw_cpu_ns() - began;
    mem->missing = bench_track_missing(&track, atomic_load(&mem->sent));
    bench_track_fini(&track);
    amqp_destroy_connection(conn);
    pubsub__free(body);
}

/* ---- publisher ------------------------------------------------------------------------------- */

typedef struct publisher {
    const settings *with;
    raw_shared *mem;
    amqp_connection_state_t conn;
    uint8_t *payload;
    uint64_t next;  /* sequence number; its delivery tag is one more */
    uint64_t done;  /* confirmed, from the first on */
    uint8_t *early; /* confirmed alone before an earlier one: a ring of `window` */
    uint64_t t0, warm;
    bool timed; /* publish latency: the time of confirmation counts */
} publisher;

static uint64_t due_of(const publisher *self, uint64_t sequence)
{
    return self->t0 + sequence * 1000 * MS / self->with->rate;
}

static void confirmed(publisher *self, uint64_t sequence, uint64_t now)
{
    if (self->timed && sequence >= self->warm) {
        pubsub__hist_record(&self->mem->latency, now - due_of(self, sequence));
    }
}

static void on_ack(publisher *self, const amqp_basic_ack_t *ack)
{
    uint64_t window = self->with->window; /* at least 1, see main */
    if (window == 0) {
        return;
    }
    uint64_t now = pubsub__clock_mono_ns();
    uint64_t sequence = ack->delivery_tag - 1;
    if (ack->multiple) {
        while (self->done <= sequence) {
            if (!self->early[self->done % window]) {
                confirmed(self, self->done, now);
            }
            self->early[self->done++ % window] = 0;
        }
    } else {
        confirmed(self, sequence, now);
        self->early[sequence % window] = 1;
    }
    while (self->done < self->next && self->early[self->done % window]) {
        self->early[self->done++ % window] = 0;
    }
}

/* Read answers until so many are done or the time has come. False when nothing comes any more. */
static bool read_until(publisher *self, uint64_t wanted, uint64_t due_ns)
{
    while (self->done < wanted) {
        amqp_frame_t frame;
        amqp_maybe_release_buffers(self->conn);
        struct timeval wait = until(due_ns);
        int rc = amqp_simple_wait_frame_noblock(self->conn, &frame, &wait);
        if (rc == AMQP_STATUS_TIMEOUT) {
            return false;
        }
        if (rc != AMQP_STATUS_OK) {
            die("read", rc);
        }
        if (frame.frame_type == AMQP_FRAME_METHOD &&
            frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
            on_ack(self, frame.payload.method.decoded);
        }
    }
    return true;
}

static bool wait_done(publisher *self, uint64_t wanted)
{
    if (self->with->qos == 0) {
        self->done = self->next;
        return true;
    }
    return read_until(self, wanted, pubsub__clock_mono_ns() + DRAIN_NS);
}

static void publish(publisher *self, bench_phase phase, uint64_t due_ns)
{
    const settings *with = self->with;
    bool sure = with->qos > 0;
    bench_frame frame = {
        .run = self->mem->run, .phase = (uint8_t)phase, .sequence = self->next, .due_ns = due_ns};
    bench_frame_write(&frame, 1, self->payload, (size_t)with->size);
    amqp_basic_properties_t props = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                     .delivery_mode = sure ? 2 : 1};
    amqp_bytes_t body = {(size_t)with->size, self->payload};
    self->next++;
    int rc = amqp_basic_publish(self->conn, CONFIRMED, amqp_cstring_bytes("amq.topic"),
                                amqp_cstring_bytes(self->mem->topic), sure, 0, &props, body);
    if (rc != AMQP_STATUS_OK) {
        die("publish", rc);
    }
    if (!sure) {
        confirmed(self, self->next - 1, pubsub__clock_mono_ns());
    }
}

static void prepare(publisher *self, const settings *with, raw_shared *mem)
{
    self->with = with;
    self->mem = mem;
    self->payload = pubsub__alloc((size_t)with->size);
    self->early = pubsub__calloc((size_t)with->window, 1);
    if (self->payload == NULL || self->early == NULL) {
        die("memory", 0);
    }
    for (uint64_t i = 0; i < with->size; i++) {
        self->payload[i] = (uint8_t)pubsub__rand_u64();
    }
    self->conn = open_connection(with);
    if (with->qos > 0) {
        amqp_confirm_select(self->conn, CONFIRMED);
        must(amqp_get_rpc_reply(self->conn), "confirms");
    }
}

static void publish_closed(publisher *self, bool alone)
{
    const settings *with = self->with;
    raw_shared *mem = self->mem;
    uint64_t step = with->window / 2 < with->batch ? with->window / 2 : with->batch;
    step = step > 0 ? step : 1;
    uint64_t measure_ns = pubsub__clock_mono_ns() + with->warmup_ns;
    uint64_t end_ns = measure_ns + with->duration_ns;
    for (uint64_t now = 0; now < end_ns;) {
        now = pubsub__clock_mono_ns();
        if (mem->first_ns == 0 && now >= measure_ns) {
            mem->first_ns = now;
            mem->measured_from = self->next;
        }
        uint64_t received = atomic_load_explicit(&mem->received, memory_order_relaxed);
        if (!alone && self->next - received + step > with->backlog) {
            if (with->qos == 0 || read_until(self, self->next, now + MS / 10)) {
                pubsub__clock_sleep_until(now + MS / 10);
            }
            continue;
        }
        if (self->next + step > with->window &&
            !wait_done(self, self->next + step - with->window)) {
            break;
        }
        for (uint64_t i = 0; i < step; i++) {
            publish(self, mem->first_ns != 0 ? BENCH_MEASURED : BENCH_WARMUP, now);
        }
        atomic_store_explicit(&mem->sent, self->next, memory_order_relaxed);
    }
}

static void publish_open(publisher *self)
{
    const settings *with = self->with;
    uint64_t end = self->warm + with->duration_ns / MS * with->rate / 1000;
    while (self->next < end) {
        uint64_t due = due_of(self, self->next);
        if (with->qos > 0) {
            (void)read_until(self, self->next, due);
        }
        pubsub__clock_sleep_until(due);
        uint64_t now = pubsub__clock_mono_ns();
        for (; self->next < end && due <= now; due = due_of(self, self->next)) {
            if (self->next >= with->window && !wait_done(self, self->next + 1 - with->window)) {
                return;
            }
            publish(self, self->next >= self->warm ? BENCH_MEASURED : BENCH_WARMUP, due);
        }
        atomic_store_explicit(&self->mem->sent, self->next, memory_order_relaxed);
    }
    self->mem->measured_from = self->warm;
}

static void publish_all(const void *settings_of, raw_shared *mem, bool open, bool alone)
{
    const settings *with = settings_of;
    publisher self = {.next = 0};
    prepare(&self, with, mem);
    uint64_t began = raw_cpu_ns();
    self.t0 = pubsub__clock_mono_ns();
    self.warm = open ? with->warmup_ns / MS * with->rate / 1000 : 0;
    self.timed = open && alone;
    if (open) {
        publish_open(&self);
    } else {
        publish_closed(&self, alone);
    }
    if (!wait_done(&self, self.next)) {
        fprintf(stderr, "amqp_raw: %" PRIu64 " of %" PRIu64 " were never confirmed\n",
                self.next - self.done, self.next);
        mem->failed += self.next - self.done;
    }
    mem->last_ns = pubsub__clock_mono_ns();
    mem->pub_cpu_ns = raw_cpu_ns() - began;
    mem->measured_sent = self.next - mem->measured_from;
    atomic_store(&mem->over, 1);
    amqp_destroy_connection(self.conn);
    pubsub__free(self.early);
    pubsub__free(self.payload);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: amqp_raw pub|latency|e2e|e2e-latency|all HOST:PORT "
                        "[duration_ms warmup_ms size qos rate backlog window batch]\n");
        return 2;
    }
    settings with = {.server = argv[2],
                     .duration_ns = raw_number(argc, argv, 3, 2000) * MS,
                     .warmup_ns = raw_number(argc, argv, 4, 300) * MS,
                     .size = raw_number(argc, argv, 5, 256),
                     .qos = raw_number(argc, argv, 6, 1),
                     .rate = raw_number(argc, argv, 7, 5000),
                     .backlog = raw_number(argc, argv, 8, 10000),
                     .window = raw_number(argc, argv, 9, 1000),
                     .batch = raw_number(argc, argv, 10, 200)};
    if (with.size < BENCH_FRAME_SIZE || with.size > INT32_MAX || with.qos > 1 || with.rate == 0 ||
        with.window == 0 || with.batch == 0 || with.backlog < with.batch) {
        fprintf(stderr, "amqp_raw: size below 32, qos above 1, a 0, or backlog below batch\n");
        return 2;
    }
    raw_program program = {
        .name = "amqp_raw", .with = &with, .publish = publish_all, .subscribe = subscribe};
    return raw_figures(&program, argv[1]);
}
