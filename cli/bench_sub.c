/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "bench_frame.h"
#include "bench_track.h"

#include "base/clock.h"

#include <string.h>

#define MS UINT64_C(1000000)

typedef struct subscriber {
    const bench_config *config;
    bench_shared *shared;
    bench_subscriber *out;
    bool open;
    pubsub_client *client;
    pubsub_subscription *subscription;
    uint64_t received; /* without probes, duplicates and what is not ours */
    uint64_t per_publisher[BENCH_ROLES_MAX];
    bench_track tracks[BENCH_ROLES_MAX];
    bool nomem;
} subscriber;

static void take_measured(subscriber *self, const bench_frame *frame)
{
    bench_subscriber *out = self->out;
    if (out->measured++ == 0) {
        out->first_ns = pubsub__clock_mono_ns();
    }
    if (!self->open) {
        return;
    }
    uint64_t now = pubsub__clock_mono_ns();
    if (now < frame->due_ns) {
        out->negative++;
        return;
    }
    pubsub__hist_record(&out->latency, now - frame->due_ns);
}

static int on_message(void *ctx, pubsub_message *message)
{
    subscriber *self = ctx;
    bench_subscriber *out = self->out;
    bool check = self->config->verify != BENCH_VERIFY_NONE;
    pubsub_bytes payload = pubsub_message_payload(message);
    bench_frame frame;
    bench_frame_state state =
        bench_frame_read(payload.data, payload.len, self->shared->run_id, check, &frame);
    if (state == BENCH_FRAME_CORRUPT) {
        out->corrupt++;
        return 0;
    }
    if (state == BENCH_FRAME_FOREIGN || frame.producer >= self->config->publishers) {
        out->foreign++;
        return 0;
    }
    if (frame.phase == BENCH_PROBE) {
        atomic_fetch_or(&out->probed, UINT64_C(1) << frame.producer);
        return 0;
    }
    if (check) {
        bench_track_result result = bench_track_add(&self->tracks[frame.producer], frame.sequence);
        if (result != BENCH_TRACK_NEW) {
            self->nomem = self->nomem || result == BENCH_TRACK_NOMEM;
            return 0;
        }
    }
    self->per_publisher[frame.producer]++;
    if ((++self->received & 63) == 0) {
        atomic_store_explicit(&out->progress, self->received, memory_order_relaxed);
    }
    if (frame.phase == BENCH_MEASURED) {
        take_measured(self, &frame);
    }
    return 0;
}

static void on_event(void *ctx, const pubsub_event *event)
{
    subscriber *self = ctx;
    if (event->type == PUBSUB_EVENT_GAP) {
        self->out->gaps++;
        self->out->gap_missed += event->gap->missed;
    } else if (event->type == PUBSUB_EVENT_REFUSED && event->error != NULL) {
        self->out->error = *event->error;
    }
}

static bool publishers_are_over(const subscriber *self)
{
    for (uint32_t i = 0; i < self->config->publishers; i++) {
        uint32_t state = atomic_load(&self->shared->publishers[i].state);
        if (state != BENCH_DONE && state != BENCH_FAILED) {
            return false;
        }
    }
    return true;
}

/* What did not arrive of one publisher's messages: confirmed ones are lost, the others were never
 * promised. */
static void missing_of(const subscriber *self, uint32_t index, uint64_t *lost, uint64_t *failed)
{
    const bench_publisher *from = &self->shared->publishers[index];
    uint64_t sent = atomic_load(&from->sent);
    uint64_t missing = 0;
    uint64_t known = 0;
    if (self->config->verify == BENCH_VERIFY_NONE) {
        missing = sent > self->per_publisher[index] ? sent - self->per_publisher[index] : 0;
        known = from->failed_count < missing ? from->failed_count : missing;
    } else {
        missing = bench_track_missing(&self->tracks[index], sent);
        for (uint64_t i = 0; i < from->failed_count && i < BENCH_FAILED_MAX; i++) {
            known += bench_track_has(&self->tracks[index], from->failed[i]) ? 0 : 1;
        }
    }
    /* Failures beyond the remembered ones, and messages still without outcome, may be any. */
    uint64_t unknown = from->unconfirmed;
    if (from->failed_count > BENCH_FAILED_MAX) {
        unknown += from->failed_count - BENCH_FAILED_MAX;
    }
    *failed = known + unknown < missing ? known + unknown : missing;
    *lost = missing - *failed;
}

static bool is_complete(const subscriber *self)
{
    for (uint32_t i = 0; i < self->config->publishers; i++) {
        const bench_publisher *from = &self->shared->publishers[i];
        uint64_t most = atomic_load(&from->sent);
        uint64_t failed = from->failed_count + from->unconfirmed;
        uint64_t lost = 0;
        if (self->per_publisher[i] + failed < most) {
            return false;
        }
        missing_of(self, i, &lost, &failed);
        if (lost > 0) {
            return false;
        }
    }
    return true;
}

static bool receive(subscriber *self)
{
    bench_subscriber *out = self->out;
    uint64_t idle_since = 0;
    for (;;) {
        uint64_t before = self->received;
        if (pubsub_client_poll(self->client, 50, &out->error) < 0) {
            return false;
        }
        if (self->nomem) {
            pubsub_error_set(&out->error, PUBSUB_ENOMEM, "out of memory");
            return false;
        }
        uint64_t now = pubsub__clock_mono_ns();
        if (self->received != before) {
            atomic_store_explicit(&out->progress, self->received, memory_order_relaxed);
            out->last_ns = now;
            idle_since = now;
        }
        if (!publishers_are_over(self)) {
            idle_since = now;
            continue;
        }
        bool hurry = atomic_load(&self->shared->stop) != 0;
        uint64_t patience = hurry ? 300 * MS : (uint64_t)self->config->drain_ms * MS;
        if (is_complete(self) || now - idle_since > patience) {
            return true;
        }
    }
}

static bool open_subscription(subscriber *self)
{
    const bench_config *config = self->config;
    pubsub_error *err = &self->out->error;
    pubsub_grant grant = {.qos = PUBSUB_QOS_UNSET};
    if (pubsub_client_new(&self->client, config->url, config->options, err) != PUBSUB_OK ||
        pubsub_client_on_event(self->client, on_event, self) != PUBSUB_OK ||
        pubsub_client_subscribe(self->client, self->shared->topic, config->subscribe, on_message,
                                self, &self->subscription, err) != PUBSUB_OK ||
        pubsub_subscription_wait(self->subscription, config->timeout_ms, &grant, err) !=
            PUBSUB_OK) {
        return false;
    }
    self->out->qos = grant.qos;
    return true;
}

static void account(subscriber *self)
{
    bench_subscriber *out = self->out;
    for (uint32_t i = 0; i < self->config->publishers; i++) {
        uint64_t lost = 0;
        uint64_t failed = 0;
        missing_of(self, i, &lost, &failed);
        out->lost += lost;
        out->missing_failed += failed;
        out->duplicates += self->tracks[i].duplicates;
        out->reordered += self->tracks[i].reordered;
        if (self->tracks[i].max_displaced > out->max_displaced) {
            out->max_displaced = self->tracks[i].max_displaced;
        }
    }
    out->unique = self->received;
}

void bench_subscriber_run(const bench_config *config, bench_figure figure, bench_shared *shared,
                          uint32_t index)
{
    subscriber self = {.config = config,
                       .shared = shared,
                       .out = &shared->subscribers[index],
                       .open = bench_figure_is_open(figure)};
    for (uint32_t i = 0; i < BENCH_ROLES_MAX; i++) {
        bench_track_init(&self.tracks[i]);
    }
    bool fine = open_subscription(&self);
    if (fine) {
        atomic_store(&self.out->state, BENCH_READY);
        bench_usage_begin(&self.out->usage);
        fine = receive(&self);
        bench_usage_end(&self.out->usage);
        account(&self);
    }
    if (self.client != NULL) {
        pubsub_error ignored;
        pubsub_client_end(self.client, fine ? 1000 : 0, &ignored);
    }
    pubsub_subscription_free(self.subscription);
    pubsub_client_free(self.client);
    for (uint32_t i = 0; i < BENCH_ROLES_MAX; i++) {
        bench_track_fini(&self.tracks[i]);
    }
    atomic_store(&self.out->state, fine ? BENCH_DONE : BENCH_FAILED);
}
