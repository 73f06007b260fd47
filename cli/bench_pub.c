/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif
#include "bench.h"

#include "bench_frame.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <poll.h>
#include <string.h>
#include <time.h>

#define MS UINT64_C(1000000)
/* Spinning begins this long before the time that is waited for. */
#define SPIN_NS UINT64_C(150000)
/* A backlog that has not moved for so long is taken for lost, so that a lossy broker does not stop
 * the benchmark. */
#define STALL_NS (500 * MS)

typedef struct publisher {
    const bench_config *config;
    bench_shared *shared;
    bench_publisher *out;
    uint32_t index;
    uint32_t subscribers;
    bool open;
    pubsub_client *client;
    int fd; /* readable when poll has something to do; negative: no such descriptor */
    pubsub_publication *batch;
    uint8_t *payloads;
    size_t batch_max, batch_at, batch_len; /* batch[at..len) is filled and not yet queued */
    uint64_t next;                         /* sequence number */
    uint64_t outstanding;                  /* queued without outcome */
    uint64_t measured_from;                /* UINT64_MAX during the warm-up */
    bool confirmed_now;
    uint64_t *due;    /* open loop, by sequence number & (BENCH_OPEN_MAX - 1) */
    uint64_t *called; /* likewise */
    uint64_t written_off, stalled_at, stalled_ns;
} publisher;

/* ---- outcomes ------------------------------------------------------------------------------ */

static void note_failure(publisher *self, uint64_t sequence, const pubsub_report *report)
{
    bench_publisher *out = self->out;
    if (out->failed_count < BENCH_FAILED_MAX) {
        out->failed[out->failed_count] = sequence;
    }
    out->failed_count++;
    if (report->error != NULL) {
        out->last_failure = *report->error;
    }
}

static void note_confirmed(publisher *self, uint64_t sequence)
{
    if (sequence < self->measured_from) {
        return;
    }
    self->out->measured_confirmed++;
    self->confirmed_now = true;
    if (self->open) {
        uint64_t now = pubsub__clock_mono_ns();
        size_t slot = (size_t)(sequence & (BENCH_OPEN_MAX - 1));
        pubsub__hist_record(&self->out->confirm_due, now - self->due[slot]);
        pubsub__hist_record(&self->out->confirm_sent, now - self->called[slot]);
        self->out->last_confirmed_ns = now;
    }
}

static void on_delivery(void *ctx, const pubsub_report *report)
{
    publisher *self = ctx;
    if (report->token == NULL) {
        return;
    }
    uint64_t sequence = (uint64_t)(uintptr_t)report->token - 1;
    self->outstanding--;
    self->out->outcomes[report->outcome]++;
    if (report->outcome != PUBSUB_ACCEPTED) {
        note_failure(self, sequence, report);
        return;
    }
    self->out->qos = report->qos;
    self->out->confirm = report->confirm;
    note_confirmed(self, sequence);
}

static void on_event(void *ctx, const pubsub_event *event)
{
    publisher *self = ctx;
    if (event->error != NULL) {
        self->out->last_failure = *event->error;
    }
}

/* Run the handlers of what is ready. False when the client is of no more use. */
static bool dispatch(publisher *self, pubsub_duration_ms timeout)
{
    int called = pubsub_client_poll(self->client, timeout, &self->out->error);
    if (self->confirmed_now) {
        self->confirmed_now = false;
        if (!self->open) {
            self->out->last_confirmed_ns = pubsub__clock_mono_ns();
        }
    }
    atomic_store_explicit(&self->out->progress, self->out->outcomes[PUBSUB_ACCEPTED],
                          memory_order_relaxed);
    if (called >= 0) {
        return true;
    }
    if (self->out->last_failure.code != PUBSUB_OK) {
        self->out->error = self->out->last_failure;
    }
    return false;
}

/* ---- batches ------------------------------------------------------------------------------- */

static void add_message(publisher *self, bench_phase phase, uint64_t due_ns)
{
    const bench_config *config = self->config;
    uint64_t sequence = self->next++;
    if (config->drop_every != 0 && sequence % config->drop_every == config->drop_every - 1) {
        self->out->outcomes[PUBSUB_ACCEPTED]++;
        self->out->measured_confirmed += phase == BENCH_MEASURED ? 1 : 0;
        return;
    }
    bench_frame frame = {.run = self->shared->run_id,
                         .producer = (uint16_t)self->index,
                         .phase = (uint8_t)phase,
                         .flags = config->verify == BENCH_VERIFY_FULL ? BENCH_FRAME_FULL : 0,
                         .sequence = sequence,
                         .due_ns = due_ns};
    bench_frame_write(&frame, config->verify != BENCH_VERIFY_NONE,
                      self->payloads + self->batch_len * config->size, config->size);
    if (self->open) {
        self->due[sequence & (BENCH_OPEN_MAX - 1)] = due_ns;
    }
    self->batch[self->batch_len].token = (void *)(uintptr_t)(sequence + 1); /* never NULL */
    self->batch_len++;
}

/* Queue what is in the batch, as far as there is room. */
static bool send_batch(publisher *self)
{
    size_t queued = 0;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_err code = PUBSUB_OK;
    if (self->open) {
        uint64_t now = pubsub__clock_mono_ns();
        for (size_t i = self->batch_at; i < self->batch_len; i++) {
            uint64_t sequence = (uint64_t)(uintptr_t)self->batch[i].token - 1;
            self->called[sequence & (BENCH_OPEN_MAX - 1)] = now;
        }
        self->out->last_sent_ns = now;
    }
    if (self->batch_at < self->batch_len) {
        code = pubsub_client_publish_batch(self->client, self->batch + self->batch_at,
                                           self->batch_len - self->batch_at, 0, &queued, &error);
    }
    self->batch_at += queued;
    self->outstanding += queued;
    if (self->batch_at == self->batch_len) {
        self->batch_at = self->batch_len = 0;
    }
    atomic_store_explicit(&self->out->sent, self->next, memory_order_relaxed);
    if (code == PUBSUB_EAGAIN || code == PUBSUB_ETIMEDOUT) {
        self->out->blocked++;
    } else if (code != PUBSUB_OK) {
        self->out->error = error;
        return false;
    }
    return true;
}

static bool stopping(const publisher *self)
{
    return atomic_load_explicit(&self->shared->stop, memory_order_relaxed) != 0;
}

/* ---- as fast as possible ------------------------------------------------------------------- */

/* How far all publishers together are ahead of the slowest subscriber. */
static uint64_t backlog(const publisher *self)
{
    uint64_t sent = 0;
    uint64_t received = UINT64_MAX;
    for (uint32_t i = 0; i < self->config->publishers; i++) {
        sent += atomic_load_explicit(&self->shared->publishers[i].sent, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < self->subscribers; i++) {
        uint64_t progress =
            atomic_load_explicit(&self->shared->subscribers[i].progress, memory_order_relaxed);
        received = progress < received ? progress : received;
    }
    received = received > UINT64_MAX - self->written_off ? received : received + self->written_off;
    return sent > received ? sent - received : 0;
}

static uint64_t room_in_backlog(publisher *self, uint64_t now)
{
    if (self->subscribers == 0) {
        return UINT64_MAX;
    }
    uint64_t behind = backlog(self);
    if (behind < self->config->backlog) {
        self->stalled_ns = 0;
        return (self->config->backlog - behind + self->config->publishers - 1) /
               self->config->publishers;
    }
    if (self->stalled_ns == 0 || behind != self->stalled_at) {
        self->stalled_at = behind;
        self->stalled_ns = now;
    } else if (now - self->stalled_ns > STALL_NS) {
        self->written_off += behind;
    }
    return 0;
}

/* The next batch, or 0 when it is better to wait for confirmations first: small batches would only
 * measure the cost of calls. */
static uint64_t closed_room(publisher *self, uint64_t now)
{
    uint64_t in_backlog = room_in_backlog(self, now);
    uint64_t in_window = self->config->window - self->outstanding;
    uint64_t room = in_window < in_backlog ? in_window : in_backlog;
    uint64_t want = self->batch_max;
    if (self->config->count != 0 && self->measured_from != UINT64_MAX) {
        uint64_t share = self->config->count / self->config->publishers;
        uint64_t left = self->measured_from + share - self->next;
        want = left < want ? left : want;
    }
    return room >= want ? want : 0;
}

static bool closed_is_over(const publisher *self, uint64_t now, uint64_t end_ns)
{
    if (self->measured_from == UINT64_MAX) {
        return false;
    }
    if (self->config->count != 0) {
        return self->next - self->measured_from >= self->config->count / self->config->publishers;
    }
    return now >= end_ns;
}

static bool run_closed(publisher *self, uint64_t t0)
{
    uint64_t measure_ns = t0 + self->config->warmup_ns;
    uint64_t end_ns = measure_ns + self->config->duration_ns;
    while (!stopping(self)) {
        uint64_t now = pubsub__clock_mono_ns();
        if (self->measured_from == UINT64_MAX && now >= measure_ns && self->batch_len == 0) {
            self->measured_from = self->next;
            self->out->first_ns = now;
        }
        if (closed_is_over(self, now, end_ns)) {
            break;
        }
        uint64_t room = self->batch_len > 0 ? 0 : closed_room(self, now);
        for (uint64_t i = 0; i < room; i++) {
            bool measured = self->measured_from != UINT64_MAX;
            add_message(self, measured ? BENCH_MEASURED : BENCH_WARMUP, now);
        }
        if (room == 0 && !dispatch(self, self->outstanding > 0 ? 10 : 1)) {
            return false;
        }
        if ((room > 0 || self->batch_len > 0) && !send_batch(self)) {
            return false;
        }
    }
    return true;
}

/* ---- by schedule --------------------------------------------------------------------------- */

static bool spin_until(publisher *self, uint64_t due_ns)
{
    while (pubsub__clock_mono_ns() < due_ns) {
        if (self->outstanding > 0 && !dispatch(self, 0)) {
            return false;
        }
    }
    return true;
}

/* Wait until due_ns or until there is something to dispatch, and dispatch it. */
static bool wait_until(publisher *self, uint64_t now, uint64_t due_ns)
{
    uint64_t left = due_ns - now;
    if (self->fd < 0) {
        /* The client has no descriptor: its own waiting is in milliseconds, the rest is spun. */
        return left > 2 * MS ? dispatch(self, (pubsub_duration_ms)(left / MS) - 1)
                             : spin_until(self, due_ns);
    }
    if (self->config->spin) {
        if (left <= SPIN_NS) {
            return spin_until(self, due_ns);
        }
        left -= SPIN_NS;
    }
    struct pollfd ready = {.fd = self->fd, .events = POLLIN};
    struct timespec timeout = {(time_t)(left / (1000 * MS)), (long)(left % (1000 * MS))};
    if (ppoll(&ready, 1, &timeout, NULL) > 0) {
        return dispatch(self, 0);
    }
    return true;
}

typedef struct schedule {
    uint64_t t0, rate;
    uint64_t slot, warm, end; /* this publisher's slots: next, first measured, behind the last */
    uint32_t step, offset;    /* slot i is number i * step + offset of all publishers' */
} schedule;

static uint64_t slot_due(const schedule *plan, uint64_t slot)
{
    return bench_due_ns(plan->t0, slot * plan->step + plan->offset, plan->rate);
}

static schedule plan_make(const publisher *self, uint64_t t0)
{
    const bench_config *config = self->config;
    uint64_t warm = config->warmup_ns * config->rate / (1000 * MS) / config->publishers;
    uint64_t measured = config->count != 0
                            ? config->count / config->publishers
                            : config->duration_ns / 1000 * config->rate / MS / config->publishers;
    return (schedule){.t0 = t0,
                      .rate = config->rate,
                      .warm = warm,
                      .end = warm + measured,
                      .step = config->publishers,
                      .offset = self->index};
}

/* Fill the batch with all slots that are due. */
static void add_due(publisher *self, schedule *plan, uint64_t now)
{
    while (self->batch_len < self->batch_max && plan->slot < plan->end &&
           self->outstanding + self->batch_len < BENCH_OPEN_MAX) {
        uint64_t due = slot_due(plan, plan->slot);
        if (due > now) {
            break;
        }
        bool measured = plan->slot >= plan->warm;
        if (measured) {
            pubsub__hist_record(&self->out->send_delay, now - due);
        }
        add_message(self, measured ? BENCH_MEASURED : BENCH_WARMUP, due);
        plan->slot++;
    }
}

static bool run_open(publisher *self, uint64_t t0)
{
    schedule plan = plan_make(self, t0);
    uint64_t last_due = slot_due(&plan, plan.end);
    uint64_t give_up = last_due + (last_due - t0) / 50 + 20 * MS;
    self->measured_from = plan.warm;
    self->out->first_ns = slot_due(&plan, plan.warm);
    while ((plan.slot < plan.end || self->batch_len > 0) && !stopping(self)) {
        uint64_t now = pubsub__clock_mono_ns();
        if (now > give_up) {
            self->out->unsent = plan.end - plan.slot + (self->batch_len - self->batch_at);
            break;
        }
        if (self->batch_len == 0) {
            uint64_t due = slot_due(&plan, plan.slot);
            if (due > now) {
                if (!wait_until(self, now, due)) {
                    return false;
                }
                continue;
            }
            uint64_t before = self->next;
            add_due(self, &plan, now);
            self->out->blocked += self->next == before ? 1 : 0;
        }
        bool sent = send_batch(self);
        bool full = self->batch_len > 0 || self->outstanding >= BENCH_OPEN_MAX;
        if (!sent || (self->outstanding > 0 && !dispatch(self, full ? 1 : 0))) {
            return false;
        }
    }
    return true;
}

/* ---- the role ------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool prepare(publisher *self)
{
    const bench_config *config = self->config;
    uint64_t most = config->batch < config->window || self->open ? config->batch : config->window;
    uint64_t ahead = (config->backlog + config->publishers - 1) / config->publishers;
    if (!self->open && self->subscribers > 0 && ahead < most) {
        most = ahead; /* a batch waits until there is room for all of it */
    }
    self->batch_max = (size_t)most;
    self->batch = pubsub__calloc(self->batch_max, sizeof(self->batch[0]));
    self->payloads = pubsub__calloc(self->batch_max, (size_t)config->size);
    self->due = pubsub__calloc(self->open ? BENCH_OPEN_MAX : 1, sizeof(self->due[0]));
    self->called = pubsub__calloc(self->open ? BENCH_OPEN_MAX : 1, sizeof(self->called[0]));
    if (self->batch == NULL || self->payloads == NULL || self->due == NULL ||
        self->called == NULL) {
        pubsub_error_set(&self->out->error, PUBSUB_ENOMEM, "out of memory");
        return false;
    }
    uint64_t state = config->seed + self->index;
    for (size_t i = 0; i < self->batch_max * config->size; i++) {
        self->payloads[i] = (uint8_t)mix(&state);
    }
    for (size_t i = 0; i < self->batch_max; i++) {
        self->batch[i] = (pubsub_publication)PUBSUB_PUBLICATION_INIT;
        self->batch[i].topic = pubsub_bytes_of(self->shared->topic);
        self->batch[i].payload =
            (pubsub_bytes){self->payloads + i * config->size, (size_t)config->size};
        self->batch[i].qos = config->qos;
    }
    return true;
}

static bool open_client(publisher *self)
{
    pubsub_error *err = &self->out->error;
    if (pubsub_client_new(&self->client, self->config->url, self->config->options, err) !=
            PUBSUB_OK ||
        pubsub_client_on_delivery(self->client, on_delivery, self) != PUBSUB_OK ||
        pubsub_client_on_event(self->client, on_event, self) != PUBSUB_OK ||
        pubsub_client_ready(self->client, self->config->timeout_ms, err) != PUBSUB_OK) {
        return false;
    }
    self->fd = pubsub_client_fd(self->client);
    return true;
}

static bool all_probed(const publisher *self)
{
    uint64_t bit = UINT64_C(1) << self->index;
    for (uint32_t i = 0; i < self->subscribers; i++) {
        uint64_t probed = atomic_load(&self->shared->subscribers[i].probed);
        if ((probed & bit) == 0) {
            return false;
        }
    }
    return true;
}

/* Publish until every subscriber has got one of ours, so that nothing measured is a beginning. */
static bool probe(publisher *self)
{
    uint64_t now = pubsub__clock_mono_ns();
    uint64_t deadline = now + (uint64_t)self->config->timeout_ms * MS;
    bench_frame frame = {
        .run = self->shared->run_id, .producer = (uint16_t)self->index, .phase = BENCH_PROBE};
    do {
        bench_frame_write(&frame, 1, self->payloads, self->config->size);
        self->batch[0].token = NULL;
        if (pubsub_client_publish_wait(self->client, &self->batch[0], self->config->timeout_ms,
                                       NULL, &self->out->error) != PUBSUB_OK) {
            return false;
        }
        uint64_t again = pubsub__clock_mono_ns() + 50 * MS;
        while (!all_probed(self) && now < again && !stopping(self)) {
            pubsub__clock_sleep_until(now + MS);
            now = pubsub__clock_mono_ns();
        }
    } while (!all_probed(self) && now < deadline && !stopping(self));
    if (!all_probed(self)) {
        pubsub_error_set(&self->out->error, PUBSUB_ETIMEDOUT,
                         "no message reached every subscriber within %lld ms",
                         (long long)self->config->timeout_ms);
        return false;
    }
    return true;
}

/* Wait for the last outcomes. */
static void drain(publisher *self)
{
    uint64_t deadline = pubsub__clock_mono_ns() + (uint64_t)self->config->drain_ms * MS;
    while (self->outstanding > 0 && pubsub__clock_mono_ns() < deadline) {
        if (!dispatch(self, 50)) {
            break;
        }
    }
}

static bool measure(publisher *self)
{
    atomic_store(&self->out->state, BENCH_READY);
    while (atomic_load(&self->shared->go) == 0) {
        if (stopping(self)) {
            return true;
        }
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + MS / 4);
    }
    uint64_t t0 = atomic_load(&self->shared->t0_ns);
    bench_usage_begin(&self->out->usage);
    pubsub__clock_sleep_until(t0);
    bool fine = self->open ? run_open(self, t0) : run_closed(self, t0);
    /* What was put together and never queued does not count as sent. */
    self->next -= self->batch_len - self->batch_at;
    atomic_store(&self->out->sent, self->next);
    if (fine) {
        drain(self);
    }
    bench_usage_end(&self->out->usage);
    return fine;
}

void bench_publisher_run(const bench_config *config, bench_figure figure, bench_shared *shared,
                         uint32_t index, uint32_t subscribers)
{
    publisher self = {.config = config,
                      .shared = shared,
                      .out = &shared->publishers[index],
                      .index = index,
                      .subscribers = subscribers,
                      .open = bench_figure_is_open(figure),
                      .fd = -1,
                      .measured_from = UINT64_MAX};
    bool fine = prepare(&self) && open_client(&self) && probe(&self) && measure(&self);
    if (self.client != NULL) {
        pubsub_error ignored;
        pubsub_client_end(self.client, fine ? 1000 : 0, &ignored);
        pubsub_client_free(self.client);
    }
    bench_publisher *out = self.out;
    out->measured_from = self.measured_from;
    out->measured_sent = self.next > self.measured_from ? self.next - self.measured_from : 0;
    out->unconfirmed = self.outstanding;
    pubsub__free(self.batch);
    pubsub__free(self.payloads);
    pubsub__free(self.due);
    pubsub__free(self.called);
    atomic_store(&out->state, fine ? BENCH_DONE : BENCH_FAILED);
}
