/* SPDX-License-Identifier: MIT */
/* The raw baseline of `mqtt://`: the work of `pubsub bench` done straight on MQTTAsync of paho.mqtt.c, by
 * one publisher and one subscriber process. Same payloads, same checks per message, same topic length,
 * same backlog, same schedule; what differs is the library between.
 *
 * It uses Paho as one does who knows it: MQTT 5, one thread that sends, no more in flight than the
 * server's receive maximum less one and than Paho's own lists bear, accounting right in the callbacks, the
 * sender woken when there is room for a batch again. Paho's sending thread now and then sleeps a second
 * beside a full queue, and its receiving thread does not notice that a full socket has room again; so when
 * nothing is heard for 10 ms, a message of another client in the same process gets both going.
 *
 * Prints one line of JSON per figure. A figure runs in a process of its own: Paho does not survive a fork.
 *
 *   mqtt_raw pub|latency|e2e|e2e-latency|all HOST:PORT
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

#include <MQTTAsync.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS RAW_MS
#define NUDGE_NS (10 * MS)
#define DRAIN_NS (5000 * MS)
#define CONNECT_NS (10000 * MS)

typedef struct settings {
    const char *server;
    uint64_t duration_ns, warmup_ns, size, qos, rate, backlog, window, batch;
} settings;

static void die(const char *what, int code)
{
    fprintf(stderr, "mqtt_raw: %s: %d\n", what, code);
    exit(EXIT_FAILURE);
}

static char *writable(const void *text)
{
    union {
        const void *in;
        char *out;
    } both = {text};
    return both.out; /* Paho copies and does not write */
}

/* ---- connecting ------------------------------------------------------------------------------ */

static _Atomic int answered; /* 1 = yes, negative = refused */
static _Atomic uint32_t receive_maximum = 65535;

static void on_connected(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    int said = MQTTProperties_getNumericValue(&data->properties, MQTTPROPERTY_CODE_RECEIVE_MAXIMUM);
    if (said > 0) {
        atomic_store(&receive_maximum, (uint32_t)said);
    }
    atomic_store(&answered, 1);
}

static void on_subscribed(void *context, MQTTAsync_successData5 *data)
{
    (void)context;
    (void)data;
    atomic_store(&answered, 1);
}

static void on_refused(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    atomic_store(&answered, data->code < 0 ? data->code : -1000);
}

static void wait_answer(const char *what)
{
    uint64_t end = pubsub__clock_mono_ns() + CONNECT_NS;
    while (atomic_load(&answered) == 0 && pubsub__clock_mono_ns() < end) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + MS);
    }
    if (atomic_load(&answered) != 1) {
        die(what, atomic_load(&answered));
    }
    atomic_store(&answered, 0);
}

static MQTTAsync open_client(const settings *with, void *context, MQTTAsync_messageArrived *arrived)
{
    MQTTAsync handle = NULL;
    MQTTAsync_createOptions make = MQTTAsync_createOptions_initializer5;
    MQTTAsync_connectOptions how = MQTTAsync_connectOptions_initializer5;
    char uri[280];
    char id[32];

    snprintf(uri, sizeof(uri), "tcp://%s", with->server);
    snprintf(id, sizeof(id), "raw-%016" PRIx64, pubsub__rand_u64());
    make.maxBufferedMessages = 200000; /* never reached: beyond it Paho loses messages */
    int rc =
        MQTTAsync_createWithOptions(&handle, uri, id, MQTTCLIENT_PERSISTENCE_NONE, NULL, &make);
    if (rc == MQTTASYNC_SUCCESS) {
        rc = MQTTAsync_setCallbacks(handle, context, NULL, arrived, NULL);
    }
    if (rc != MQTTASYNC_SUCCESS) {
        die("create", rc);
    }
    how.cleanstart = 1;
    how.keepAliveInterval = 60;
    how.onSuccess5 = on_connected;
    how.onFailure5 = on_refused;
    rc = MQTTAsync_connect(handle, &how);
    if (rc != MQTTASYNC_SUCCESS) {
        die("connect", rc);
    }
    wait_answer("connect");
    return handle;
}

/* ---- subscriber ------------------------------------------------------------------------------ */

typedef struct subscriber {
    raw_shared *mem;
    bench_track track;
    bool open;
} subscriber;

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    subscriber *self = context;
    (void)topic_len;
    raw_arrived(self->mem, &self->track, message->payload, (size_t)message->payloadlen, self->open);
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    return 1;
}

static void subscribe(const void *settings_of, raw_shared *mem, bool open)
{
    const settings *with = settings_of;
    subscriber self = {.mem = mem, .open = open};
    bench_track_init(&self.track);
    MQTTAsync handle = open_client(with, &self, on_message);
    MQTTAsync_responseOptions answer = MQTTAsync_responseOptions_initializer;
    answer.onSuccess5 = on_subscribed;
    answer.onFailure5 = on_refused;
    int rc = MQTTAsync_subscribe(handle, mem->topic, (int)with->qos, &answer);
    if (rc != MQTTASYNC_SUCCESS) {
        die("subscribe", rc);
    }
    wait_answer("subscribe");
    uint64_t began = raw_cpu_ns();
    atomic_store(&mem->ready, 1);
    uint64_t seen = 0, since = pubsub__clock_mono_ns();
    for (;;) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + 20 * MS);
        bool over = atomic_load(&mem->over) != 0;
        uint64_t received = atomic_load_explicit(&mem->received, memory_order_acquire);
        uint64_t now = pubsub__clock_mono_ns();
        since = received != seen || !over ? now : since;
        seen = received;
        if (over && (received >= atomic_load(&mem->sent) || now - since > DRAIN_NS)) {
            break;
        }
    }
    mem->sub_cpu_ns = raw_cpu_ns() - began;
    MQTTAsync_destroy(&handle); /* no callback after this */
    mem->missing = bench_track_missing(&self.track, atomic_load(&mem->sent));
    bench_track_fini(&self.track);
}

/* ---- publisher ------------------------------------------------------------------------------- */

typedef struct publisher {
    const settings *with;
    raw_shared *mem;
    MQTTAsync handle;
    MQTTAsync nudger;
    uint8_t *payload;
    uint64_t next;   /* sequence number */
    uint64_t window; /* in flight at most */
    uint64_t t0, warm;
    bool timed; /* publish latency: the time of confirmation counts */
    /* between the callbacks and the sender */
    _Atomic uint64_t done; /* confirmed and failed */
    _Atomic uint64_t wake_at;
    pthread_mutex_t lock;
    pthread_cond_t changed;
} publisher;

static uint64_t due_of(const publisher *self, uint64_t sequence)
{
    return self->t0 + sequence * 1000 * MS / self->with->rate;
}

/* @thread Paho's, one at a time, under its lock */
static void finished(publisher *self)
{
    uint64_t done = atomic_fetch_add(&self->done, 1) + 1;
    if (done == atomic_load(&self->wake_at)) {
        pthread_mutex_lock(&self->lock);
        pthread_cond_signal(&self->changed);
        pthread_mutex_unlock(&self->lock);
    }
}

/* The one publisher of this process: a publish carries its number only. */
static publisher *g_self;

static void on_published(void *context, MQTTAsync_successData5 *data)
{
    publisher *self = g_self;
    uint64_t sequence = (uint64_t)(uintptr_t)context;
    (void)data;
    if (self->timed && sequence >= self->warm) {
        pubsub__hist_record(&self->mem->latency, pubsub__clock_mono_ns() - due_of(self, sequence));
    }
    finished(self);
}

static void on_unpublished(void *context, MQTTAsync_failureData5 *data)
{
    (void)context;
    (void)data;
    g_self->mem->failed++;
    finished(g_self);
}

/* The message wakes the sending thread, its answer the receiving one. */
static void nudge(publisher *self)
{
    MQTTAsync_message empty = MQTTAsync_message_initializer;
    empty.payload = writable("");
    empty.qos = 1;
    MQTTAsync_sendMessage(self->nudger, "pubsub/bench/nudge", &empty, NULL);
    self->mem->nudges++;
}

/* Wait until so many are done. False when nothing comes any more. */
static bool wait_done(publisher *self, uint64_t wanted)
{
    uint64_t silent = 0, seen = atomic_load(&self->done);
    while (seen < wanted) {
        struct timespec until;
        pthread_mutex_lock(&self->lock);
        atomic_store(&self->wake_at, wanted);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)NUDGE_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int rc = 0;
        while (atomic_load(&self->done) < wanted && rc == 0) {
            rc = pthread_cond_timedwait(&self->changed, &self->lock, &until);
        }
        pthread_mutex_unlock(&self->lock);
        uint64_t done = atomic_load(&self->done);
        silent = done == seen ? silent + NUDGE_NS : 0;
        if (silent > DRAIN_NS) {
            return false;
        }
        if (silent > 0) {
            nudge(self);
        }
        seen = done;
    }
    return true;
}

static void publish(publisher *self, bench_phase phase, uint64_t due_ns)
{
    const settings *with = self->with;
    bench_frame frame = {
        .run = self->mem->run, .phase = (uint8_t)phase, .sequence = self->next, .due_ns = due_ns};
    bench_frame_write(&frame, 1, self->payload, (size_t)with->size);
    MQTTAsync_message message = MQTTAsync_message_initializer;
    MQTTAsync_responseOptions answer = MQTTAsync_responseOptions_initializer;
    message.payload = self->payload;
    message.payloadlen = (int)with->size;
    message.qos = (int)with->qos;
    answer.onSuccess5 = on_published;
    answer.onFailure5 = on_unpublished;
    answer.context = (void *)(uintptr_t)self->next++;
    int rc = MQTTAsync_sendMessage(self->handle, self->mem->topic, &message, &answer);
    if (rc != MQTTASYNC_SUCCESS) {
        die("send", rc);
    }
}

static void prepare(publisher *self, const settings *with, raw_shared *mem)
{
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, &clock);
    pthread_condattr_destroy(&clock);
    self->with = with;
    self->mem = mem;
    self->payload = pubsub__alloc((size_t)with->size);
    if (self->payload == NULL) {
        die("memory", 0);
    }
    for (uint64_t i = 0; i < with->size; i++) {
        self->payload[i] = (uint8_t)pubsub__rand_u64();
    }
    self->nudger = open_client(with, self, on_message);
    self->handle = open_client(with, self, on_message);
    uint64_t most = atomic_load(&receive_maximum);
    most = most > 1 ? most - 1 : 1;
    self->window = with->qos > 0 && most < with->window ? most : with->window;
}

static void publish_closed(publisher *self, bool alone)
{
    const settings *with = self->with;
    raw_shared *mem = self->mem;
    uint64_t step = self->window / 2 < with->batch ? self->window / 2 : with->batch;
    step = step > 0 ? step : 1;
    uint64_t measure_ns = pubsub__clock_mono_ns() + with->warmup_ns;
    uint64_t end_ns = measure_ns + with->duration_ns;
    uint64_t seen = 0, since = 0; /* the subscriber's progress */
    for (uint64_t now = 0; now < end_ns;) {
        now = pubsub__clock_mono_ns();
        if (mem->first_ns == 0 && now >= measure_ns) {
            mem->first_ns = now;
            mem->measured_from = self->next;
        }
        uint64_t received = atomic_load_explicit(&mem->received, memory_order_relaxed);
        if (!alone && self->next - received + step > with->backlog) {
            pubsub__clock_sleep_until(now + MS / 10);
            if (received != seen) {
                seen = received;
                since = now;
            } else if (now - since > NUDGE_NS) {
                nudge(self);
                since = now;
            }
            continue;
        }
        if (self->next + step > self->window &&
            !wait_done(self, self->next + step - self->window)) {
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
        pubsub__clock_sleep_until(due);
        uint64_t now = pubsub__clock_mono_ns();
        for (; self->next < end && due <= now; due = due_of(self, self->next)) {
            if (self->next >= self->window && !wait_done(self, self->next + 1 - self->window)) {
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
    g_self = &self;
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
        fprintf(stderr, "mqtt_raw: %" PRIu64 " of %" PRIu64 " were never confirmed\n",
                self.next - atomic_load(&self.done), self.next);
        mem->failed += self.next - atomic_load(&self.done);
    }
    mem->last_ns = pubsub__clock_mono_ns();
    mem->pub_cpu_ns = raw_cpu_ns() - began;
    mem->measured_sent = self.next - mem->measured_from;
    atomic_store(&mem->over, 1);
    MQTTAsync_destroy(&self.handle);
    MQTTAsync_destroy(&self.nudger);
    pthread_cond_destroy(&self.changed);
    pthread_mutex_destroy(&self.lock);
    pubsub__free(self.payload);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: mqtt_raw pub|latency|e2e|e2e-latency|all HOST:PORT "
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
                     .window = raw_number(argc, argv, 9, 400),
                     .batch = raw_number(argc, argv, 10, 200)};
    if (with.size < BENCH_FRAME_SIZE || with.size > INT32_MAX || with.qos > 2 || with.rate == 0 ||
        with.window == 0 || with.batch == 0 || with.backlog < with.batch) {
        fprintf(stderr, "mqtt_raw: size below 32, qos above 2, a 0, or backlog below batch\n");
        return 2;
    }
    raw_program program = {
        .name = "mqtt_raw", .with = &with, .publish = publish_all, .subscribe = subscribe};
    return raw_figures(&program, argv[1]);
}
