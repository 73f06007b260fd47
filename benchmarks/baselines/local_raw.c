/* SPDX-License-Identifier: MIT */
/* The raw baseline of `local:`: the work of `pubsub bench` done straight on the store under the
 * adapter, by one publisher and one subscriber process. Same payloads, same checks per message, same
 * batches, same backlog, same schedule; what differs is the library between. Prints one line of JSON
 * per figure.
 *
 *   local_raw pub|latency|e2e|e2e-latency|all DIR [duration_ms warmup_ms size batch rate backlog]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#endif
#include "raw.h"

#include "local/store.h"

#include "bench_frame.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS RAW_MS
#define TOPIC "pubsub/bench/raw"

typedef struct settings {
    const char *dir;
    uint64_t duration_ns, warmup_ns, size, batch, rate, backlog;
} settings;

static void die(const char *what, const pubsub_error *err)
{
    fprintf(stderr, "local_raw: %s: %s\n", what, pubsub_error_text(err));
    exit(EXIT_FAILURE);
}

static local_store *open_store(const settings *with)
{
    local_store *store = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    local_options options = {.dir = with->dir};
    if (pubsub__local_open(&store, &options, &err) != PUBSUB_OK) {
        die("open", &err);
    }
    return store;
}

/* ---- subscriber ---------------------------------------------------------------------------- */

static void take(raw_shared *with, bench_track *track, const local_view *view, bool open)
{
    bench_frame frame;
    bench_frame_state state =
        bench_frame_read(view->payload.data, view->payload.len, with->run, 1, &frame);
    if (state != BENCH_FRAME_OK || bench_track_add(track, frame.sequence) != BENCH_TRACK_NEW) {
        with->bad++;
        return;
    }
    if (frame.phase == BENCH_MEASURED) {
        with->measured++;
        if (open) {
            pubsub__hist_record(&with->latency, pubsub__clock_mono_ns() - frame.due_ns);
        }
    }
    if ((track->unique & 63) == 0) {
        atomic_store_explicit(&with->received, track->unique, memory_order_relaxed);
    }
}

static void subscribe(const void *settings_of, raw_shared *mem, bool open)
{
    const settings *with = settings_of;
    pubsub_error err = PUBSUB_ERROR_INIT;
    local_store *store = open_store(with);
    local_cursor *cursor = NULL;
    size_t len = strlen(TOPIC);
    local_filter filter = {.exact = true, .topic_hash = pubsub__local_topic_hash(TOPIC, len)};
    local_from from = {.kind = LOCAL_FROM_NEW};
    uint32_t bits = pubsub__local_topic_bits(TOPIC, len);
    bench_track track;
    bench_track_init(&track);
    if (pubsub__local_cursor_open(&cursor, store, &from, &filter, &err) != PUBSUB_OK) {
        die("cursor", &err);
    }
    uint64_t began = raw_cpu_ns();
    atomic_store(&mem->ready, 1);
    for (;;) {
        local_view view;
        local_gap gap;
        uint32_t generation = pubsub__local_generation(store);
        bool over = atomic_load(&mem->over) != 0;
        uint64_t before = track.unique;
        int got = LOCAL_NEXT_RECORD;
        while ((got = pubsub__local_cursor_next(cursor, &view, &gap, &err)) > LOCAL_NEXT_EMPTY) {
            if (got == LOCAL_NEXT_RECORD) {
                take(mem, &track, &view, open);
            }
        }
        if (got < 0) {
            die("next", &err);
        }
        if (track.unique != before) {
            mem->last_arrival_ns = pubsub__clock_mono_ns();
            atomic_store_explicit(&mem->received, track.unique, memory_order_relaxed);
        }
        if (over) {
            break;
        }
        pubsub__local_wait(store, generation, bits, 50);
    }
    mem->sub_cpu_ns = raw_cpu_ns() - began;
    mem->missing = bench_track_missing(&track, atomic_load(&mem->sent));
    bench_track_fini(&track);
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
}

/* ---- publisher ----------------------------------------------------------------------------- */

typedef struct publisher {
    local_store *store;
    local_record *records;
    uint8_t *payloads;
    uint64_t next;
} publisher;

static void prepare(publisher *self, const settings *with)
{
    self->store = open_store(with);
    self->records = pubsub__calloc(with->batch, sizeof(self->records[0]));
    self->payloads = pubsub__alloc(with->batch * with->size);
    if (self->records == NULL || self->payloads == NULL) {
        exit(EXIT_FAILURE);
    }
    for (uint64_t i = 0; i < with->batch * with->size; i++) {
        self->payloads[i] = (uint8_t)pubsub__rand_u64();
    }
    for (uint64_t i = 0; i < with->batch; i++) {
        self->records[i].topic = pubsub_bytes_of(TOPIC);
        self->records[i].payload =
            (pubsub_bytes){self->payloads + i * with->size, (size_t)with->size};
        self->records[i].qos = 1;
    }
}

static void fill(publisher *self, const settings *with, const raw_shared *mem, size_t at,
                 bench_phase phase, uint64_t due_ns)
{
    bench_frame frame = {
        .run = mem->run, .phase = (uint8_t)phase, .sequence = self->next++, .due_ns = due_ns};
    bench_frame_write(&frame, 1, self->payloads + at * with->size, (size_t)with->size);
}

static void append(publisher *self, raw_shared *mem, size_t count)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    size_t stored = 0;
    if (pubsub__local_append(self->store, self->records, count, &stored, NULL, &err) != PUBSUB_OK) {
        die("append", &err);
    }
    atomic_store_explicit(&mem->sent, self->next, memory_order_relaxed);
}

static void publish_closed(publisher *self, const settings *with, raw_shared *mem, bool alone)
{
    uint64_t measure_ns = pubsub__clock_mono_ns() + with->warmup_ns;
    uint64_t end_ns = measure_ns + with->duration_ns;
    for (uint64_t now = 0; now < end_ns;) {
        now = pubsub__clock_mono_ns();
        if (mem->first_ns == 0 && now >= measure_ns) {
            mem->first_ns = now;
            mem->measured_from = self->next;
        }
        uint64_t received = atomic_load_explicit(&mem->received, memory_order_relaxed);
        if (!alone && self->next - received + with->batch > with->backlog) {
            pubsub__clock_sleep_until(now + MS);
            continue;
        }
        for (size_t i = 0; i < with->batch; i++) {
            fill(self, with, mem, i, mem->first_ns != 0 ? BENCH_MEASURED : BENCH_WARMUP, now);
        }
        append(self, mem, (size_t)with->batch);
    }
    mem->last_ns = pubsub__clock_mono_ns();
    mem->measured_sent = self->next - mem->measured_from;
}

static void publish_open(publisher *self, const settings *with, raw_shared *mem, bool alone)
{
    uint64_t t0 = pubsub__clock_mono_ns();
    uint64_t warm = with->warmup_ns / MS * with->rate / 1000;
    uint64_t end = warm + with->duration_ns / MS * with->rate / 1000;
    while (self->next < end) {
        uint64_t due = t0 + self->next * 1000 * MS / with->rate;
        pubsub__clock_sleep_until(due);
        uint64_t now = pubsub__clock_mono_ns();
        uint64_t first = self->next;
        size_t count = 0;
        while (count < with->batch && self->next < end && due <= now) {
            fill(self, with, mem, count++, self->next >= warm ? BENCH_MEASURED : BENCH_WARMUP, due);
            due = t0 + self->next * 1000 * MS / with->rate;
        }
        append(self, mem, count);
        uint64_t stored = pubsub__clock_mono_ns();
        for (uint64_t i = first; alone && i < self->next; i++) {
            if (i >= warm) {
                pubsub__hist_record(&mem->latency, stored - (t0 + i * 1000 * MS / with->rate));
            }
        }
    }
    mem->measured_sent = end - warm;
}

static void publish_all(const void *settings_of, raw_shared *mem, bool open, bool alone)
{
    const settings *with = settings_of;
    publisher self = {.next = 0};
    prepare(&self, with);
    uint64_t began = raw_cpu_ns();
    if (open) {
        publish_open(&self, with, mem, alone);
    } else {
        publish_closed(&self, with, mem, alone);
    }
    mem->pub_cpu_ns = raw_cpu_ns() - began;
    pubsub__local_close(self.store);
    pubsub__free(self.records);
    pubsub__free(self.payloads);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: local_raw pub|latency|e2e|e2e-latency|all DIR "
                        "[duration_ms warmup_ms size batch rate backlog]\n");
        return 2;
    }
    settings with = {.dir = argv[2],
                     .duration_ns = raw_number(argc, argv, 3, 2000) * MS,
                     .warmup_ns = raw_number(argc, argv, 4, 300) * MS,
                     .size = raw_number(argc, argv, 5, 256),
                     .batch = raw_number(argc, argv, 6, 256),
                     .rate = raw_number(argc, argv, 7, 5000),
                     .backlog = raw_number(argc, argv, 8, 10000)};
    if (with.size < BENCH_FRAME_SIZE || with.batch == 0 || with.rate == 0 ||
        with.backlog < with.batch) {
        fprintf(stderr, "local_raw: size below 32, batch or rate 0, or backlog below batch\n");
        return 2;
    }
    raw_program program = {
        .name = "local_raw", .with = &with, .publish = publish_all, .subscribe = subscribe};
    return raw_figures(&program, argv[1]);
}
