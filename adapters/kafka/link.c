/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The connection to the cluster: first contact, lost and found again, events, the end. */

/* Messages are refused for so long before another producer asks for an id again. */
#define REFUSE_NS UINT64_C(1000000000)

/* So many events in one turn; the rest after the others of this client had theirs. */
enum {
    EVENTS_MAX = 64,
    PROBE_MS = 500,
    SIGN_MS = 3000,
    AGAIN_MS = 100,
    ASK_MS = 50,
    ASK_MAX_MS = 1000
};

/* ---- the first contact ---------------------------------------------------------------------------- */

typedef struct kaf_connect {
    kaf_job job;
    kaf_self *self;
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    int brokers;
    pubsub_error error;
    atomic_bool cancelled;
} kaf_connect;

/* What an error event says of a connection that is being made. Some broker of several that does not answer decides
 * nothing. */
static bool decides(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
           code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
           code == RD_KAFKA_RESP_ERR__FATAL;
}

static void note(pubsub_error *lost, const rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error((rd_kafka_event_t *)(uintptr_t)event);
    const char *text = rd_kafka_event_error_string((rd_kafka_event_t *)(uintptr_t)event);
    pubsub_err as = pubsub__kafka_code(code);
    as = as == PUBSUB_ELOST ? PUBSUB_ECONNECT : as;
    /* A refused certificate may show when it is read or written, as any other end of a connection. */
    if (as == PUBSUB_ECONNECT && strstr(text, "SSL") != NULL &&
        strstr(text, "certificate") != NULL) {
        as = PUBSUB_ETLS;
    }
    pubsub_error_set(lost, as, "%s", text);
    lost->native_code = code;
}

/* False: nothing will come of it. */
static bool look_at_errors(kaf_connect *me, rd_kafka_queue_t *queue)
{
    rd_kafka_event_t *event = NULL;
    bool hope = true;
    while (hope && (event = rd_kafka_queue_poll(queue, 0)) != NULL) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
            rd_kafka_resp_err_t code = rd_kafka_event_error(event);
            hope = !decides(code);
            /* "all brokers are down" says less than what came before it */
            if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || me->error.code == PUBSUB_OK) {
                note(&me->error, event);
            }
        }
        rd_kafka_event_destroy(event);
    }
    return hope;
}

static void connect_run(kaf_job *job)
{
    kaf_connect *me = (kaf_connect *)job;
    char text[200] = "";
    int patience = ASK_MS;
    me->rk = rd_kafka_new(RD_KAFKA_PRODUCER, me->conf, text, sizeof(text));
    if (me->rk == NULL) {
        bool tls = strstr(text, "ssl") != NULL || strstr(text, "SSL") != NULL;
        pubsub_error_set(&me->error, tls ? PUBSUB_ETLS : PUBSUB_EOPTION, "librdkafka: %s", text);
        return;
    }
    me->conf = NULL;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(me->rk);
    const struct rd_kafka_metadata *metadata = NULL;
    bool hope = true;
    while (hope && metadata == NULL && !atomic_load(&me->cancelled)) {
        if (rd_kafka_metadata(me->rk, 0, NULL, &metadata, patience) == RD_KAFKA_RESP_ERR_NO_ERROR) {
            me->brokers = metadata->broker_cnt;
        } else {
            hope = look_at_errors(me, queue);
            patience = patience * 2 < ASK_MAX_MS ? patience * 2 : ASK_MAX_MS;
        }
    }
    rd_kafka_queue_destroy(queue);
    if (metadata != NULL) {
        rd_kafka_metadata_destroy(metadata);
    } else {
        rd_kafka_destroy(me->rk);
        me->rk = NULL;
    }
}

/* ---- the end of a producer ------------------------------------------------------------------------ */

typedef struct retire_job {
    kaf_job job;
    kaf_self *self;
    rd_kafka_t *rk;
} retire_job;

static void retire_run(kaf_job *job)
{
    rd_kafka_destroy(((retire_job *)job)->rk);
}

static void retire_done(kaf_job *job, bool dropped)
{
    retire_job *me = (retire_job *)job;
    kaf_self *self = me->self;
    if (dropped) {
        rd_kafka_destroy(me->rk);
    }
    pubsub__free(me);
    if (!dropped && self->retiring) {
        self->retiring = false;
        pubsub__kafka_close_step(self);
    }
}

/* Its threads are waited for where that may take its time. */
static bool retire(kaf_self *self, rd_kafka_t *rk)
{
    retire_job *me = pubsub__calloc(1, sizeof(*me));
    if (me == NULL) {
        rd_kafka_destroy(rk);
        return false;
    }
    me->job.run = retire_run;
    me->job.done = retire_done;
    me->self = self;
    me->rk = rk;
    pubsub__kafka_worker_do(self->worker, &me->job);
    return true;
}

/* True: it is destroyed later. */
static bool drop_producer(kaf_self *self, const pubsub_error *err)
{
    rd_kafka_t *rk = self->producer;
    self->up = false;
    pubsub__kafka_publish_end(self, err);
    if (self->events != NULL) {
        rd_kafka_queue_io_event_enable(self->events, -1, NULL, 0);
        rd_kafka_queue_destroy(self->events);
        self->events = NULL;
    }
    self->producer = NULL;
    self->renew = (pubsub_error)PUBSUB_ERROR_INIT;
    self->denied = (pubsub_error)PUBSUB_ERROR_INIT;
    self->suspects = self->careful = 0;
    self->biggest = 0;
    return rk != NULL && retire(self, rk);
}

/* ---- up ------------------------------------------------------------------------------------------- */

static void tell_caps(kaf_self *self, int brokers)
{
    pubsub_caps caps;
    (void)pubsub__kafka_caps(self->config, &caps, NULL);
    if (brokers == 1) {
        caps.confirm = PUBSUB_CONFIRM_WRITTEN;
    }
    pubsub_sink_caps(self->sink, &caps);
}

static void go_up(kaf_self *self)
{
    self->up = true;
    self->silent = 0;
    self->lost = (pubsub_error)PUBSUB_ERROR_INIT;
    if (self->keep_alive > 0) {
        pubsub_timer_start(self->alive, self->keep_alive);
    }
    pubsub_sink_link_up(self->sink, 0);
}

static void connect_failed(kaf_self *self, const pubsub_error *why)
{
    pubsub_error error = *why;
    if (error.code == PUBSUB_OK) {
        pubsub_error_set(&error, PUBSUB_ECONNECT, "no answer from the cluster");
    }
    self->paused = false;
    pubsub_sink_link_down(self->sink, 0, &error);
}

static void connect_done(kaf_job *job, bool dropped)
{
    kaf_connect *me = (kaf_connect *)job;
    kaf_self *self = me->self;
    bool wanted = !dropped && self->connecting == me;
    if (wanted) {
        self->connecting = NULL;
    }
    if (me->conf != NULL) {
        rd_kafka_conf_destroy(me->conf);
    }
    if (!wanted && me->rk != NULL) {
        if (dropped) {
            rd_kafka_destroy(me->rk);
        } else {
            (void)retire(self, me->rk);
        }
    } else if (wanted && me->rk == NULL) {
        connect_failed(self, &me->error);
    } else if (wanted) {
        self->producer = me->rk;
        self->events = rd_kafka_queue_get_main(me->rk);
        pubsub__kafka_listen(self, self->events);
        self->paused = false;
        tell_caps(self, me->brokers);
        go_up(self);
    }
    pubsub__free(me);
}

static void serve(void *ctx);

static void on_fd(void *ctx, uint32_t events)
{
    (void)events;
    serve(ctx);
}

static void try_again(void *ctx);
static void ask_for_a_sign(void *ctx);

/* What an instance needs while it is not closed. */
static pubsub_err open_parts(kaf_self *self, pubsub_error *err)
{
    if (self->wake_fd < 0) {
        self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (self->wake_fd < 0) {
            return pubsub_error_set(err, PUBSUB_ESYSTEM, "eventfd: %s", strerror(errno));
        }
    }
    if (self->watch == NULL) {
        self->watch = pubsub_watch_new(self->sink, self->wake_fd, on_fd, self);
    }
    if (self->rest == NULL) {
        self->rest = pubsub_timer_new(self->sink, serve, self);
    }
    if (self->alive == NULL) {
        self->alive = pubsub_timer_new(self->sink, ask_for_a_sign, self);
    }
    if (self->again == NULL) {
        self->again = pubsub_timer_new(self->sink, try_again, self);
    }
    if (self->worker == NULL) {
        self->worker = pubsub__kafka_worker_new(self->sink);
    }
    if (self->watch == NULL || self->rest == NULL || self->alive == NULL || self->again == NULL ||
        self->worker == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory, or no thread, for a connection");
    }
    pubsub_watch_set(self->watch, PUBSUB_WATCH_READ);
    return PUBSUB_OK;
}

static pubsub_err begin(kaf_self *self, pubsub_error *err)
{
    kaf_connect *me = pubsub__calloc(1, sizeof(*me));
    if (me == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
    }
    me->conf = pubsub__kafka_conf(self, self->config->options, RD_KAFKA_PRODUCER, err);
    if (me->conf == NULL) {
        pubsub__free(me);
        return PUBSUB_EOPTION;
    }
    rd_kafka_conf_set_events(me->conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    me->job.run = connect_run;
    me->job.done = connect_done;
    me->self = self;
    atomic_init(&me->cancelled, false);
    self->connecting = me;
    pubsub__kafka_worker_do(self->worker, &me->job);
    return PUBSUB_OK;
}

pubsub_err pubsub__kafka_connect(void *ctx, uint32_t link, pubsub_error *err)
{
    kaf_self *self = ctx;
    if (link != 0) {
        return pubsub_error_set(err, PUBSUB_EINTERNAL, "there is no link but the first");
    }
    self->closing = false;
    atomic_store(&self->stop, false);
    pubsub_err rc = open_parts(self, err);
    return rc == PUBSUB_OK ? begin(self, err) : rc;
}

static void cancel_connect(kaf_self *self)
{
    if (self->connecting != NULL) {
        atomic_store(&self->connecting->cancelled, true);
        self->connecting = NULL;
    }
}

void pubsub__kafka_disconnect(void *ctx, uint32_t link, bool final)
{
    kaf_self *self = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (link != 0) {
        return;
    }
    cancel_connect(self);
    atomic_store(&self->stop, final);
    if (final || self->producer != NULL) {
        pubsub_error_set(&error, PUBSUB_ELOST, "the connection was given up before the answer");
        (void)drop_producer(self, &error);
    }
    self->paused = false;
}

/* ---- lost and found again ------------------------------------------------------------------------- */

typedef struct probe_job {
    kaf_job job;
    kaf_self *self;
    rd_kafka_t *rk;
    int timeout_ms;
    bool found;
} probe_job;

/* A topic is named because the library, asked for no topic, asks for those it knows and lets the broker make
 * them. */
static void probe_run(kaf_job *job)
{
    probe_job *me = (probe_job *)job;
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(me->rk, KAF_CONTAINER_TOPICS, NULL);
    if (rkt != NULL) {
        me->found = rd_kafka_metadata(me->rk, 0, rkt, &metadata, me->timeout_ms) ==
                    RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_topic_destroy(rkt);
    }
    if (metadata != NULL) {
        rd_kafka_metadata_destroy(metadata);
    }
}

static void probe(kaf_self *self);

/* The library goes on by itself, unless the user wants none of that. */
static void cluster_lost(kaf_self *self)
{
    bool again = true;
    (void)pubsub_options_bool(self->config->options, "reconnect", &again);
    if (!self->up || self->closing) {
        return;
    }
    pubsub_error why = self->lost;
    why.code = PUBSUB_ELOST;
    self->up = false;
    if (again) {
        self->paused = true;
        pubsub_sink_link_paused(self->sink, 0, &why);
        probe(self);
    } else {
        (void)drop_producer(self, &why);
        pubsub_sink_link_down(self->sink, 0, &why);
    }
}

/* Nothing tells that a connection stands and carries nothing, but that an answer does not come. */
static void judge_silence(kaf_self *self, const probe_job *me)
{
    if (me->found) {
        self->silent = 0;
        pubsub_timer_start(self->alive, self->keep_alive);
        return;
    }
    self->silent += me->timeout_ms;
    if (self->silent < self->keep_alive) {
        probe(self);
        return;
    }
    pubsub_error_set(&self->lost, PUBSUB_ELOST, "no sign of life from the cluster for %lld ms",
                     (long long)self->silent);
    cluster_lost(self);
}

static void probe_done(kaf_job *job, bool dropped)
{
    probe_job *me = (probe_job *)job;
    kaf_self *self = me->self;
    self->probing = false;
    if (!dropped && self->up && self->producer == me->rk) {
        judge_silence(self, me);
    } else if (!dropped && self->paused && self->producer == me->rk) {
        if (me->found) {
            self->paused = false;
            go_up(self);
        } else {
            pubsub_timer_start(self->again, AGAIN_MS);
        }
    }
    pubsub__free(me);
}

static void probe(kaf_self *self)
{
    probe_job *me = self->probing ? NULL : pubsub__calloc(1, sizeof(*me));
    if (me == NULL) {
        return;
    }
    me->job.run = probe_run;
    me->job.done = probe_done;
    me->self = self;
    me->rk = self->producer;
    me->timeout_ms = PROBE_MS;
    if (self->up) {
        me->timeout_ms = self->keep_alive < SIGN_MS ? (int)self->keep_alive : SIGN_MS;
    }
    self->probing = true;
    pubsub__kafka_worker_do(self->worker, &me->job);
}

static void ask_for_a_sign(void *ctx)
{
    kaf_self *self = ctx;
    if (self->up && self->producer != NULL) {
        probe(self);
    }
}

static void try_again(void *ctx)
{
    kaf_self *self = ctx;
    if (self->paused && self->producer != NULL) {
        probe(self);
    }
    if (self->up && self->starved) {
        self->starved = false;
        pubsub_sink_writable(self->sink);
    }
}

/* Another producer takes over; what this one has in flight ends. */
static void renew(kaf_self *self)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error why = self->renew;
    bool told = self->paused;
    pubsub_sink_log(self->sink, PUBSUB_LOG_WARN, "%s", why.text);
    self->tried = self->denied.code != PUBSUB_OK;
    (void)drop_producer(self, &why);
    if (self->closing) {
        return;
    }
    self->paused = true;
    if (!told) {
        pubsub_sink_link_paused(self->sink, 0, &why);
    }
    if (begin(self, &error) != PUBSUB_OK) {
        connect_failed(self, &error);
    }
}

/* Who may write nowhere gets no producer id. That is nothing to somebody who only reads, so another producer asks for
 * one when there is something to send; when that gets none either, messages are refused for a while. */
static void no_id(kaf_self *self, rd_kafka_resp_err_t code, const char *text)
{
    if (self->denied.code != PUBSUB_OK) {
        return; /* told twice */
    }
    pubsub_error_set(&self->denied, PUBSUB_EDENIED, "this user may write to no topic: %s (%s)",
                     text, rd_kafka_err2name(code));
    self->denied.native_code = code;
    self->refuse_until_ns = self->tried ? pubsub__clock_mono_ns() + REFUSE_NS : 0;
    self->tried = false;
}

/* The idempotent producer cannot go on, and another one begins. */
static void fatal(kaf_self *self)
{
    char text[160] = "";
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(self->producer, text, sizeof(text));
    if (pubsub__kafka_code(code) == PUBSUB_EDENIED) {
        no_id(self, code, text);
        return;
    }
    pubsub_error_set(&self->renew, PUBSUB_ELOST, "librdkafka's producer cannot go on: %s (%s)",
                     text, rd_kafka_err2name(code));
}

void pubsub__kafka_producer_dead(kaf_self *self)
{
    fatal(self); /* if its event is still to come */
    if (self->denied.code != PUBSUB_OK) {
        self->renew = self->denied;
        self->renew.code = PUBSUB_ELOST;
    }
    pubsub_timer_start(self->rest, 0);
}

/* ---- events --------------------------------------------------------------------------------------- */

void pubsub__kafka_listen(kaf_self *self, rd_kafka_queue_t *queue)
{
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(queue, self->wake_fd, &one, sizeof(one));
    pubsub_timer_start(self->rest, 0); /* what came before */
}

static void on_error(kaf_self *self, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    if (rd_kafka_event_error_is_fatal(event) != 0) { /* the code is the cause, and not _FATAL */
        fatal(self);
    } else if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        if (self->lost.code == PUBSUB_OK) {
            note(&self->lost, event);
        }
        cluster_lost(self);
    } else {
        note(&self->lost, event);
        pubsub_sink_log(self->sink, PUBSUB_LOG_INFO, "%s", self->lost.text);
    }
}

/* Returns how many events there were. */
static size_t serve_producer(kaf_self *self)
{
    size_t count = 0;
    rd_kafka_event_t *event = NULL;
    while (count < EVENTS_MAX && self->events != NULL &&
           (event = rd_kafka_queue_poll(self->events, 0)) != NULL) {
        count++;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
            pubsub__kafka_delivered(self, event);
        } else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
            on_error(self, event);
        }
        rd_kafka_event_destroy(event);
        if (self->renew.code != PUBSUB_OK) {
            renew(self);
        }
    }
    if (self->renew.code != PUBSUB_OK && self->producer != NULL) {
        renew(self);
    }
    return count;
}

static void serve(void *ctx)
{
    kaf_self *self = ctx;
    uint64_t ignored = 0;
    (void)!read(self->wake_fd, &ignored, sizeof(ignored));
    size_t count = serve_producer(self);
    if (count > 0 && self->starved && self->up) {
        self->starved = false;
        pubsub_sink_writable(self->sink);
    }
    if (count ==
        EVENTS_MAX) { /* the descriptor is only written to when a queue stops being empty */
        pubsub_timer_start(self->rest, 0);
    }
    pubsub__kafka_consumers_serve(self);
    if (self->closing) {
        pubsub__kafka_close_step(self);
    }
}

void pubsub__kafka_wake(void *ctx)
{
    kaf_self *self = ctx;
    if (self->worker != NULL) {
        pubsub__kafka_worker_serve(self->worker);
    }
    if (self->closing) {
        pubsub__kafka_close_step(self);
    }
}

/* ---- closing -------------------------------------------------------------------------------------- */

static void close_parts(kaf_self *self)
{
    pubsub_watch_free(self->watch);
    pubsub_timer_free(self->rest);
    pubsub_timer_free(self->alive);
    pubsub_timer_free(self->again);
    self->watch = NULL;
    self->rest = NULL;
    self->alive = NULL;
    self->again = NULL;
}

void pubsub__kafka_close_step(kaf_self *self)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (!self->closing || self->retiring) {
        return;
    }
    bool consumers = pubsub__kafka_consumers_close(self);
    /* What the library still has without an answer being waited for: qos 0, announcements. */
    bool empty = self->producer == NULL || rd_kafka_outq_len(self->producer) == 0;
    if (!consumers || !empty || self->parked > 0) {
        return;
    }
    if (self->producer != NULL && drop_producer(self, &error)) {
        self->retiring = true;
        return;
    }
    self->closing = false;
    close_parts(self);
    pubsub_sink_closed(self->sink);
}

void pubsub__kafka_close(void *ctx, pubsub_duration_ms left)
{
    kaf_self *self = ctx;
    (void)left; /* the core drops the link when the time is over */
    self->closing = true;
    cancel_connect(self);
    pubsub__kafka_close_step(self);
}
