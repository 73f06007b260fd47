/* SPDX-License-Identifier: MIT */
/* The raw baseline of `kafka://`: the work of `pubsub bench` done straight on librdkafka, by one publisher and one
 * subscriber process. Same payloads, same checks per message, same topic length, same number of partitions, same
 * settings of librdkafka, same backlog, same schedule; what differs is the library between.
 *
 * It uses librdkafka as its examples do: a topic handle that is kept, rd_kafka_produce with a copy for each message,
 * delivery reports in a callback; the subscriber assigns itself all partitions and polls message by message. As
 * without a key at `kafka://`, all messages go to one partition.
 *
 * Prints one line of JSON per figure, each from processes of its own.
 *
 *   kafka_raw pub|latency|e2e|e2e-latency|all HOST:PORT
 *             [linger_ms duration_ms warmup_ms size rate backlog window batch]
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

#include <librdkafka/rdkafka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS RAW_MS
#define DRAIN_NS (5000 * MS)

enum { PARTITIONS = 12, PARTITION = 0, PATIENCE_MS = 10000, TEXT_SIZE = 512 };

typedef struct settings {
    const char *server;
    uint64_t linger_ms, duration_ns, warmup_ns, size, rate, backlog, window, batch;
} settings;

static void die(const char *what, const char *why)
{
    fprintf(stderr, "kafka_raw: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

/* ---- clients --------------------------------------------------------------------------------- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[TEXT_SIZE];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        die(name, text);
    }
}

static rd_kafka_conf_t *settings_of_all(const settings *with)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", with->server);
    set(conf, "socket.nagle.disable", "true");
    set(conf, "socket.keepalive.enable", "true");
    set(conf, "log.connection.close", "false");
    return conf;
}

static rd_kafka_t *client(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[TEXT_SIZE];
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));
    if (rk == NULL) {
        die("client", text);
    }
    return rk;
}

/* A topic has no '/'. */
static void name_of(const raw_shared *mem, char *name)
{
    size_t i = 0;
    for (; mem->topic[i] != '\0'; i++) {
        name[i] = (char)(mem->topic[i] == '/' ? '.' : mem->topic[i]);
    }
    name[i] = '\0';
}

static void make_topic(rd_kafka_t *rk, const char *name)
{
    char text[TEXT_SIZE];
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, PARTITIONS, -1, text, sizeof(text));
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, PATIENCE_MS);
    if (event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die("topic", event == NULL ? "no answer" : rd_kafka_event_error_string(event));
    }
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    rd_kafka_resp_err_t code = rd_kafka_topic_result_error(results[0]);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        die("topic", rd_kafka_err2str(code));
    }
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
}

/* Until each partition has a leader. */
static void await_topic(rd_kafka_t *rk, rd_kafka_topic_t *topic)
{
    uint64_t end = pubsub__clock_mono_ns() + PATIENCE_MS * MS;
    for (int leaders = 0; leaders < PARTITIONS;) {
        const struct rd_kafka_metadata *metadata = NULL;
        leaders = 0;
        if (rd_kafka_metadata(rk, 0, topic, &metadata, PATIENCE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
                leaders += metadata->topics[0].partitions[i].leader >= 0 ? 1 : 0;
            }
            rd_kafka_metadata_destroy(metadata);
        }
        if (pubsub__clock_mono_ns() > end) {
            die("topic", "has no leaders");
        }
    }
}

/* ---- subscriber ------------------------------------------------------------------------------ */

static rd_kafka_t *consume(const settings *with, const raw_shared *mem)
{
    char name[sizeof(mem->topic)];
    rd_kafka_conf_t *conf = settings_of_all(with);
    set(conf, "group.id", "kafka_raw"); /* is never joined */
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "auto.offset.reset", "error"); /* nothing is passed over */
    set(conf, "fetch.wait.max.ms", "100");
    rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, conf);
    name_of(mem, name);
    make_topic(rk, name);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    await_topic(rk, topic);
    rd_kafka_topic_destroy(topic);
    (void)rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++) {
        rd_kafka_topic_partition_list_add(all, name, i)->offset = 0;
    }
    rd_kafka_resp_err_t code = rd_kafka_assign(rk, all);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die("assign", rd_kafka_err2str(code));
    }
    rd_kafka_topic_partition_list_destroy(all);
    return rk;
}

static void subscribe(const void *settings_of, raw_shared *mem, bool open)
{
    const settings *with = settings_of;
    bench_track track;
    bench_track_init(&track);
    rd_kafka_t *rk = consume(with, mem);
    uint64_t began = raw_cpu_ns();
    atomic_store(&mem->ready, 1);
    uint64_t since = pubsub__clock_mono_ns();
    for (;;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 20);
        if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            raw_arrived(mem, &track, message->payload, message->len, open);
            since = 0;
        } else {
            uint64_t now = pubsub__clock_mono_ns();
            if (message != NULL) {
                fprintf(stderr, "kafka_raw: %s\n", rd_kafka_message_errstr(message));
            }
            since = since == 0 ? now : since;
            if (atomic_load(&mem->over) != 0 && now - since > DRAIN_NS) {
                break;
            }
        }
        if (message != NULL) {
            rd_kafka_message_destroy(message);
        }
        if (atomic_load(&mem->over) != 0 && track.unique >= atomic_load(&mem->sent)) {
            break;
        }
    }
    mem->sub_cpu_ns = raw_cpu_ns() - began;
    mem->missing = bench_track_missing(&track, atomic_load(&mem->sent));
    bench_track_fini(&track);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

/* ---- publisher ------------------------------------------------------------------------------- */

typedef struct publisher {
    const settings *with;
    raw_shared *mem;
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic;
    uint8_t *payload;
    uint64_t next; /* sequence number */
    uint64_t done; /* confirmed */
    uint64_t t0, warm;
    bool timed; /* publish latency: the time of confirmation counts */
} publisher;

static uint64_t due_of(const publisher *self, uint64_t sequence)
{
    return self->t0 + sequence * 1000 * MS / self->with->rate;
}

/* Inside rd_kafka_poll. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    publisher *self = opaque;
    uint64_t sequence = (uint64_t)(uintptr_t)message->_private;
    (void)rk;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        die("delivery", rd_kafka_err2str(message->err));
    }
    self->done++;
    if (self->timed && sequence >= self->warm) {
        pubsub__hist_record(&self->mem->latency, pubsub__clock_mono_ns() - due_of(self, sequence));
    }
}

/* Until so many are confirmed or the time has come, which is met to a millisecond. False: the latter. */
static bool wait_until(publisher *self, uint64_t wanted, uint64_t due_ns)
{
    (void)rd_kafka_poll(self->rk, 0);
    while (self->done < wanted) {
        uint64_t now = pubsub__clock_mono_ns();
        if (now >= due_ns) {
            return false;
        }
        (void)rd_kafka_poll(self->rk, (int)((due_ns - now + MS - 1) / MS));
    }
    return true;
}

static bool wait_done(publisher *self, uint64_t wanted)
{
    return wait_until(self, wanted, pubsub__clock_mono_ns() + DRAIN_NS);
}

static void publish(publisher *self, bench_phase phase, uint64_t due_ns)
{
    const settings *with = self->with;
    bench_frame frame = {
        .run = self->mem->run, .phase = (uint8_t)phase, .sequence = self->next, .due_ns = due_ns};
    bench_frame_write(&frame, 1, self->payload, (size_t)with->size);
    if (rd_kafka_produce(self->topic, PARTITION, RD_KAFKA_MSG_F_COPY, self->payload,
                         (size_t)with->size, NULL, 0, (void *)(uintptr_t)self->next) != 0) {
        die("produce", rd_kafka_err2str(rd_kafka_last_error()));
    }
    self->next++;
}

static void prepare(publisher *self, const settings *with, raw_shared *mem)
{
    char name[sizeof(mem->topic)];
    char linger[TEXT_SIZE];
    rd_kafka_conf_t *conf = settings_of_all(with);
    self->with = with;
    self->mem = mem;
    self->payload = pubsub__alloc((size_t)with->size);
    if (self->payload == NULL) {
        die("memory", "none");
    }
    for (uint64_t i = 0; i < with->size; i++) {
        self->payload[i] = (uint8_t)pubsub__rand_u64();
    }
    (void)snprintf(linger, sizeof(linger), "%" PRIu64, with->linger_ms);
    set(conf, "linger.ms", linger);
    set(conf, "acks", "all");
    set(conf, "enable.idempotence", "true");
    set(conf, "partitioner", "murmur2_random");
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, self);
    self->rk = client(RD_KAFKA_PRODUCER, conf);
    name_of(mem, name);
    make_topic(self->rk, name);
    self->topic = rd_kafka_topic_new(self->rk, name, NULL);
    await_topic(self->rk, self->topic);
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
            (void)rd_kafka_poll(self->rk, 0);
            pubsub__clock_sleep_until(now + MS / 10);
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
        (void)wait_until(self, self->timed ? self->next : 0, due);
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
        fprintf(stderr, "kafka_raw: %" PRIu64 " of %" PRIu64 " were never confirmed\n",
                self.next - self.done, self.next);
        mem->failed += self.next - self.done;
    }
    mem->last_ns = pubsub__clock_mono_ns();
    mem->pub_cpu_ns = raw_cpu_ns() - began;
    mem->measured_sent = self.next - mem->measured_from;
    atomic_store(&mem->over, 1);
    (void)rd_kafka_purge(self.rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    (void)rd_kafka_flush(self.rk, PATIENCE_MS);
    rd_kafka_topic_destroy(self.topic);
    rd_kafka_destroy(self.rk);
    pubsub__free(self.payload);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: kafka_raw pub|latency|e2e|e2e-latency|all HOST:PORT "
                        "[linger_ms duration_ms warmup_ms size rate backlog window batch]\n");
        return 2;
    }
    settings with = {.server = argv[2],
                     .linger_ms = raw_number(argc, argv, 3, 0),
                     .duration_ns = raw_number(argc, argv, 4, 2000) * MS,
                     .warmup_ns = raw_number(argc, argv, 5, 300) * MS,
                     .size = raw_number(argc, argv, 6, 256),
                     .rate = raw_number(argc, argv, 7, 2000),
                     .backlog = raw_number(argc, argv, 8, 10000),
                     .window = raw_number(argc, argv, 9, 1000),
                     .batch = raw_number(argc, argv, 10, 256)};
    if (with.size < BENCH_FRAME_SIZE || with.size > INT32_MAX || with.rate == 0 ||
        with.window == 0 || with.batch == 0 || with.backlog < with.batch) {
        fprintf(stderr, "kafka_raw: size below 32, a 0, or backlog below batch\n");
        return 2;
    }
    raw_program program = {
        .name = "kafka_raw", .with = &with, .publish = publish_all, .subscribe = subscribe};
    return raw_figures(&program, argv[1]);
}
