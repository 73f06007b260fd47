/* SPDX-License-Identifier: MIT */
/* A relay from one RabbitMQ queue to another as one writes it by hand on rabbitmq-c: one channel consumes,
 * another publishes with confirms, on one connection; what has been confirmed without a hole is acknowledged with
 * one frame as soon as nothing more is in the buffer, or a hundred have come together. Messages are persistent. With
 * `id` they are mandatory and get the two headers the bridge writes, so that none is lost without a word and a reader
 * knows one that came twice.
 *
 *   bench_amqp_relay fill PORT QUEUE COUNT [size]     make the queue, publish so many
 *   bench_amqp_relay relay PORT FROM TO COUNT [id]    make TO, relay so many, print JSON
 *   bench_amqp_relay make PORT QUEUE                  make the queue
 *   bench_amqp_relay count PORT QUEUE                 print how many messages are ready in it
 */
#include "base/alloc.h"
#include "base/clock.h"

#include <stdint.h> /* the headers of rabbitmq-c need it before them */

#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>

enum { PUBLISH = 1, CONSUME = 2, PREFETCH = 1000, WINDOW = 1000, ACK_EVERY = 100 };

typedef struct relay {
    amqp_connection_state_t conn;
    uint64_t published;
    uint64_t confirmed; /* all up to this one */
    uint64_t acked;
    bool id;
    uint8_t early[WINDOW * 4]; /* confirmed alone before an earlier one */
} relay;

static void die(const char *what, int code)
{
    (void)fprintf(stderr, "amqp_relay: %s: %d\n", what, code);
    exit(EXIT_FAILURE);
}

static void must(amqp_connection_state_t conn, const char *what)
{
    amqp_rpc_reply_t reply = amqp_get_rpc_reply(conn);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL) {
        die(what, reply.library_error);
    }
}

static double cpu_us(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static amqp_connection_state_t open_connection(int port)
{
    amqp_connection_state_t conn = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(conn);
    if (socket == NULL || amqp_socket_open(socket, "127.0.0.1", port) != 0) {
        die("cannot connect", port);
    }
    (void)amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    amqp_channel_open(conn, PUBLISH);
    must(conn, "channel");
    amqp_confirm_select(conn, PUBLISH);
    must(conn, "confirms");
    return conn;
}

static uint32_t make_queue(amqp_connection_state_t conn, const char *name)
{
    const amqp_queue_declare_ok_t *made =
        amqp_queue_declare(conn, PUBLISH, amqp_cstring_bytes(name), 0, 1, 0, 0, amqp_empty_table);
    must(conn, "queue");
    return made->message_count;
}

static void on_confirm(relay *self, const amqp_basic_ack_t *ack)
{
    uint64_t tag = ack->delivery_tag;
    if (ack->multiple) {
        while (self->confirmed < tag) {
            self->early[++self->confirmed % sizeof self->early] = 0;
        }
    } else {
        self->early[tag % sizeof self->early] = 1;
    }
    while (self->early[(self->confirmed + 1) % sizeof self->early]) {
        self->early[++self->confirmed % sizeof self->early] = 0;
    }
}

static void publish(relay *self, const char *to, amqp_bytes_t body,
                    const amqp_basic_properties_t *has)
{
    amqp_basic_properties_t props = has != NULL ? *has : (amqp_basic_properties_t){0};
    props._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
    props.delivery_mode = 2;
    char id[32];
    amqp_table_entry_t headers[2] = {
        {amqp_cstring_bytes("pubsub-id"), {.kind = AMQP_FIELD_KIND_UTF8}},
        {amqp_cstring_bytes("pubsub-event"), {.kind = AMQP_FIELD_KIND_UTF8}}};
    if (self->id) {
        (void)snprintf(id, sizeof id, "relay-%" PRIu64, self->published);
        headers[0].value.value.bytes = amqp_cstring_bytes(id);
        headers[1].value.value.bytes = amqp_cstring_bytes("unknown");
        props._flags |= AMQP_BASIC_HEADERS_FLAG;
        props.headers = (amqp_table_t){2, headers};
    }
    int rc = amqp_basic_publish(self->conn, PUBLISH, amqp_empty_bytes, amqp_cstring_bytes(to),
                                self->id, 0, &props, body);
    if (rc != AMQP_STATUS_OK) {
        die("publish", rc);
    }
    self->published++;
}

/* One frame; confirms are dealt with here. False when nothing came. */
static bool next_frame(relay *self, amqp_frame_t *frame, bool wait)
{
    struct timeval patience = {wait ? 10 : 0, 0};
    int rc = amqp_simple_wait_frame_noblock(self->conn, frame, &patience);
    if (rc == AMQP_STATUS_TIMEOUT) {
        if (wait) {
            die("nothing comes any more", rc);
        }
        return false;
    }
    if (rc != AMQP_STATUS_OK) {
        die("read", rc);
    }
    if (frame->frame_type == AMQP_FRAME_METHOD &&
        frame->payload.method.id == AMQP_BASIC_ACK_METHOD) {
        on_confirm(self, frame->payload.method.decoded);
    }
    return true;
}

static void fill(relay *self, const char *queue, uint64_t count, size_t size)
{
    char *payload = pubsub__calloc(1, size);
    amqp_frame_t frame;
    if (payload == NULL) {
        die("out of memory", 0);
    }
    memset(payload, 'x', size);
    payload[0] = payload[size - 1] = '"';
    while (self->confirmed < count) {
        amqp_maybe_release_buffers(self->conn);
        if (self->published < count && self->published - self->confirmed < WINDOW) {
            publish(self, queue, (amqp_bytes_t){size, payload}, NULL);
        } else {
            (void)next_frame(self, &frame, true);
        }
    }
    pubsub__free(payload);
}

static void acknowledge(relay *self, bool more)
{
    if (self->confirmed > self->acked && (!more || self->confirmed - self->acked >= ACK_EVERY)) {
        /* Messages are published in the order of their delivery: their numbers are the same. */
        (void)amqp_basic_ack(self->conn, CONSUME, self->confirmed, 1);
        self->acked = self->confirmed;
    }
}

static void consume(relay *self, const char *from)
{
    amqp_channel_open(self->conn, CONSUME);
    must(self->conn, "channel");
    amqp_basic_qos(self->conn, CONSUME, 0, PREFETCH, 0);
    must(self->conn, "qos");
    amqp_basic_consume(self->conn, CONSUME, amqp_cstring_bytes(from), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    must(self->conn, "consume");
}

static void run(relay *self, const char *from, const char *to, uint64_t count)
{
    static char body[1 << 20];
    amqp_basic_properties_t props = {0};
    size_t size = 0;
    size_t got = 0;
    double cpu = cpu_us();
    uint64_t begin = pubsub__clock_mono_ns();
    consume(self, from);
    while (self->acked < count) {
        amqp_frame_t frame;
        acknowledge(self, amqp_frames_enqueued(self->conn) || amqp_data_in_buffer(self->conn));
        if (self->acked >= count) {
            break;
        }
        if (got == size) { /* not between the frames of a message: its properties lie there */
            amqp_maybe_release_buffers(self->conn);
        }
        (void)next_frame(self, &frame, true);
        if (frame.frame_type == AMQP_FRAME_HEADER) {
            props = *(amqp_basic_properties_t *)frame.payload.properties.decoded;
            size = (size_t)frame.payload.properties.body_size;
            got = 0;
        } else if (frame.frame_type == AMQP_FRAME_BODY) {
            amqp_bytes_t part = frame.payload.body_fragment;
            if (part.len == size) { /* in one frame: without a copy */
                publish(self, to, part, &props);
                got = size;
            } else if (got + part.len <= sizeof body) {
                memcpy(body + got, part.bytes, part.len);
                got += part.len;
                if (got == size) {
                    publish(self, to, (amqp_bytes_t){size, body}, &props);
                }
            } else {
                die("too big a message", (int)size);
            }
        }
    }
    double seconds = (double)(pubsub__clock_mono_ns() - begin) / 1e9;
    (void)printf("{\"messages\": %" PRIu64
                 ", \"seconds\": %.4f, \"rate\": %.0f, \"cpu_us\": %.3f}\n",
                 count, seconds, (double)count / seconds, (cpu_us() - cpu) / (double)count);
}

int main(int argc, char **argv)
{
    static relay self;
    const char *how = argc > 3 ? argv[1] : "";
    if (argc < 4) {
        die("usage: fill PORT QUEUE COUNT [size] | relay PORT FROM TO COUNT | make|count PORT "
            "QUEUE",
            argc);
    }
    self.conn = open_connection((int)strtol(argv[2], NULL, 10));
    uint32_t ready = make_queue(self.conn, argv[3]);
    if (strcmp(how, "fill") == 0 && argc > 4) {
        size_t size = argc > 5 ? strtoull(argv[5], NULL, 10) : 256;
        fill(&self, argv[3], strtoull(argv[4], NULL, 10), size < 2 ? 2 : size);
    } else if (strcmp(how, "relay") == 0 && argc > 5) {
        (void)make_queue(self.conn, argv[4]);
        self.id = argc > 6;
        run(&self, argv[3], argv[4], strtoull(argv[5], NULL, 10));
    } else if (strcmp(how, "count") == 0) {
        (void)printf("%" PRIu32 "\n", ready);
    }
    (void)amqp_connection_close(self.conn, AMQP_REPLY_SUCCESS);
    (void)amqp_destroy_connection(self.conn);
    return 0;
}
