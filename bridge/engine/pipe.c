/* SPDX-License-Identifier: MIT */
#include "engine/pipe.h"

#include "base/alloc.h"
#include "base/rand.h"
#include "engine/needs.h"

#include <pubsub/log.h>

#include <stdio.h>
#include <string.h>

#define START_MIN_MS 1000
#define START_MAX_MS 60000
#define STALL_LOOK_MS 1000
#define TROUBLE_NS UINT64_C(1000000000)

/* ---- telling ---- */

uint64_t bridge_pipe_now(const bridge_pipe *pipe)
{
    return pipe->init.host->now_ns(pipe->init.host);
}

static bool is_noted(const bridge_pipe *pipe, bridge_note_kind kind)
{
    return pipe->init.note != NULL && (pipe->init.notes >> kind & 1u) != 0;
}

void bridge_pipe_note(bridge_pipe *pipe, bridge_note_kind kind, pubsub_bytes model,
                      pubsub_bytes text)
{
    if (is_noted(pipe, kind)) {
        pipe->init.note(pipe->init.note_ctx, kind, pipe->init.name, model, text);
    }
}

static void log_line(bridge_pipe *pipe, int level, pubsub_bytes model, const char *text)
{
    char line[640];
    (void)snprintf(line, sizeof line, "route %s%s%.*s: %s", pipe->init.name,
                   model.len > 0 ? ", " : "", (int)model.len,
                   model.len > 0 ? (const char *)model.data : "", text);
    pipe->init.host->log(pipe->init.host, level, line);
}

void bridge_pipe_error(bridge_pipe *pipe, pubsub_bytes model, const pubsub_error *error)
{
    const char *text = pubsub_error_text(error);
    pipe->error = *error;
    pipe->error_ns = bridge_pipe_now(pipe);
    if (!is_noted(pipe, BRIDGE_NOTE_ERROR)) { /* once is enough */
        log_line(pipe, PUBSUB_LOG_WARN, model, text);
    }
    bridge_pipe_note(pipe, BRIDGE_NOTE_ERROR, model, pubsub_bytes_of(text));
}

void bridge_pipe_trouble(bridge_pipe *pipe, pubsub_bytes model, const pubsub_error *error)
{
    uint64_t now = bridge_pipe_now(pipe);
    if (pipe->trouble_ns != 0 && pipe->trouble == error->code &&
        now - pipe->trouble_ns < TROUBLE_NS) {
        pipe->error = *error;
        pipe->error_ns = now;
        return;
    }
    pipe->trouble = error->code;
    pipe->trouble_ns = now;
    bridge_pipe_error(pipe, model, error);
}

/* A change of the whole is told once, however it came about. */
static void announce(bridge_pipe *pipe)
{
    bridge_route_state state = bridge_pipe_state(pipe);
    if (state != pipe->told) {
        pipe->told = state;
        log_line(pipe, state == BRIDGE_ROUTE_STOPPED ? PUBSUB_LOG_ERROR : PUBSUB_LOG_DEBUG,
                 (pubsub_bytes){NULL, 0}, bridge_route_state_name(state));
        pipe->init.changed(pipe->init.changed_ctx);
    }
    bool over = bridge_pipe_is_over(pipe);
    /* A spool never ends by itself, so that each time it may be empty counts. */
    if ((over && !pipe->told_over) || (pipe->init.from_spool && pipe->flights == 0)) {
        pipe->init.changed(pipe->init.changed_ctx);
    }
    pipe->told_over = over;
}

static bool all_ended(const bridge_pipe *pipe)
{
    size_t known = 0;
    for (size_t i = 0; i < sizeof pipe->states / sizeof pipe->states[0]; i++) {
        known += pipe->states[i];
    }
    return known > 0 && pipe->states[PUBSUB_SOURCE_ENDED] == known;
}

static bool is_through(const bridge_pipe *pipe)
{
    return pipe->flights == 0 && pipe->dirty == NULL && pipe->writing == 0;
}

bool bridge_pipe_is_over(const bridge_pipe *pipe)
{
    const size_t *states = pipe->states;
    size_t going = states[PUBSUB_SOURCE_STARTING] + states[PUBSUB_SOURCE_ACTIVE] +
                   states[PUBSUB_SOURCE_WAITING];
    size_t over = states[PUBSUB_SOURCE_ENDED] + states[PUBSUB_SOURCE_STOPPED];
    /* One that has said nothing yet is still to come. */
    return pipe->failed || pipe->fail_soon ||
           (going == 0 && over >= pipe->init.route->model_count && is_through(pipe)) ||
           (all_ended(pipe) && is_through(pipe));
}

bridge_route_state bridge_pipe_state(const bridge_pipe *pipe)
{
    pubsub_state target = bridge_target_state(pipe->init.target);
    if (pipe->failed || pipe->fail_soon) {
        return BRIDGE_ROUTE_STOPPED;
    }
    if (pipe->phase >= PIPE_DRAINING) {
        return BRIDGE_ROUTE_DRAINING;
    }
    if (pipe->states[PUBSUB_SOURCE_STOPPED] > 0) {
        return BRIDGE_ROUTE_STOPPED;
    }
    if (pipe->phase == PIPE_PAUSED || pipe->store_failing || pipe->disk_full ||
        target == PUBSUB_STATE_RECONNECTING ||
        (target == PUBSUB_STATE_CONNECTING && pipe->error_ns != 0) ||
        pipe->states[PUBSUB_SOURCE_WAITING] > 0) {
        return BRIDGE_ROUTE_WAITING;
    }
    if (all_ended(pipe) && is_through(pipe)) {
        return BRIDGE_ROUTE_ENDED;
    }
    if (pipe->stalled) {
        return BRIDGE_ROUTE_STALLED;
    }
    bool live = pipe->states[PUBSUB_SOURCE_ACTIVE] + pipe->states[PUBSUB_SOURCE_ENDED] > 0 &&
                pipe->states[PUBSUB_SOURCE_STARTING] == 0;
    return live && target == PUBSUB_STATE_CONNECTED ? BRIDGE_ROUTE_ACTIVE : BRIDGE_ROUTE_STARTING;
}

/* ---- what the connector says of itself ---- */

static void on_state(pubsub_emitter *emitter, pubsub_bytes name, pubsub_source_state state)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    bridge_model *model = bridge_pipe_model(pipe, name, true);
    if (model == NULL || (unsigned)state > PUBSUB_SOURCE_ENDED ||
        (model->has_state && model->state == state)) {
        return;
    }
    if (model->has_state) {
        pipe->states[model->state]--;
    }
    model->has_state = true;
    model->state = state;
    model->alive_ns = bridge_pipe_now(pipe);
    pipe->states[state]++;
    bridge_pipe_note(pipe, BRIDGE_NOTE_STATE, name,
                     pubsub_bytes_of(pubsub_source_state_name(state)));
    announce(pipe);
}

static void on_error(pubsub_emitter *emitter, pubsub_bytes name, const pubsub_error *error)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    pipe->counts.errors++;
    bridge_pipe_error(pipe, name, error);
}

static void on_alive(pubsub_emitter *emitter, pubsub_bytes name)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    bridge_model *model = bridge_pipe_model(pipe, name, false);
    pipe->alive_ns = bridge_pipe_now(pipe);
    if (model != NULL) {
        model->alive_ns = pipe->alive_ns;
    }
    bridge_pipe_heard(pipe);
}

static void on_waiting(pubsub_emitter *emitter, int64_t more)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    pipe->waiting += more;
    pipe->knows_waiting = true;
    pipe->init.changed(pipe->init.changed_ctx);
}

void bridge_pipe_heard(bridge_pipe *pipe)
{
    if (pipe->stalled) { /* look at once whether it still is */
        pipe->init.host->timer_start(pipe->stall_timer, 0);
    }
}

/* A model that is live and silent for too long. The time of events counts for all of the pipe where
 * models are not looked up with each event. */
static bool is_silent(const bridge_pipe *pipe, const bridge_model *model, uint64_t now)
{
    uint64_t heard = model->alive_ns;
    if (!pipe->replays && pipe->alive_ns > heard) {
        heard = pipe->alive_ns;
    }
    return model->has_state && model->state == PUBSUB_SOURCE_ACTIVE &&
           now - heard > (uint64_t)pipe->init.route->stall * 1000000u;
}

static pubsub_duration_ms stall_look(const bridge_pipe *pipe)
{
    int64_t half = pipe->init.route->stall / 2 + 1;
    return half < STALL_LOOK_MS ? half : STALL_LOOK_MS;
}

static void on_stall_timer(void *ctx)
{
    bridge_pipe *pipe = ctx;
    uint64_t now = bridge_pipe_now(pipe);
    const bridge_model *silent = NULL;
    for (bridge_model *m = NULL; silent == NULL && (m = bridge_pipe_model_next(pipe, m)) != NULL;) {
        silent = is_silent(pipe, m, now) ? m : NULL;
    }
    if (silent != NULL && !pipe->stalled && !pipe->wants_resume) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        (void)pubsub_error_set(&err, PUBSUB_ETIMEDOUT,
                               "nothing was heard of the source for %lld ms",
                               (long long)pipe->init.route->stall);
        bridge_pipe_error(pipe, (pubsub_bytes){silent->name, silent->name_len}, &err);
    }
    /* A source that has to wait for us is not to blame for its silence. */
    pipe->stalled = silent != NULL && !pipe->wants_resume;
    announce(pipe);
    pipe->init.host->timer_start(pipe->stall_timer, stall_look(pipe));
}

/* ---- stopping ---- */

static void finish_stop(bridge_pipe *pipe)
{
    pipe->phase = PIPE_STOPPED;
    pipe->init.host->timer_stop(pipe->timer);
    pipe->init.host->timer_stop(pipe->later);
    pipe->init.host->timer_stop(pipe->store_timer);
    pipe->init.host->timer_stop(pipe->stall_timer);
    void (*stopped)(void *, bool) = pipe->stopped;
    pipe->stopped = NULL;
    if (stopped != NULL) {
        stopped(pipe->stopped_ctx, pipe->clean && !pipe->store_failing);
    }
}

static void store_last(bridge_pipe *pipe)
{
    pipe->phase = PIPE_STORING;
    pipe->store_failing = false; /* one more try */
    bridge_pipe_store_now(pipe);
    if (bridge_pipe_stored_all(pipe)) {
        finish_stop(pipe);
    }
}

static void on_self_stopped(void *ctx)
{
    bridge_pipe *pipe = ctx;
    pipe->self_running = false;
    pipe->closing_self = false;
    if (pipe->phase == PIPE_CLOSING) {
        store_last(pipe);
    }
}

static void close_self(bridge_pipe *pipe)
{
    bridge_pipe_settle_flush(pipe);
    if (pipe->self_running && !pipe->closing_self) {
        pipe->closing_self = true;
        pipe->init.connector->stop(pipe->self, on_self_stopped, pipe);
    } else if (!pipe->self_running) {
        on_self_stopped(pipe);
    }
}

static void begin_close(bridge_pipe *pipe)
{
    pipe->init.host->timer_stop(pipe->timer);
    pipe->clean = pipe->flights == 0;
    pipe->phase = PIPE_CLOSING;
    close_self(pipe);
}

void bridge_pipe_stop(bridge_pipe *pipe, pubsub_duration_ms drain,
                      void (*done)(void *ctx, bool clean), void *ctx)
{
    pipe->stopped = done;
    pipe->stopped_ctx = ctx;
    if (pipe->phase == PIPE_IDLE || pipe->phase == PIPE_STOPPED) {
        pipe->clean = true;
        finish_stop(pipe);
        return;
    }
    pipe->phase = PIPE_DRAINING;
    announce(pipe);
    if (pipe->failed || pipe->fail_soon || drain <= 0) {
        begin_close(pipe);
        return;
    }
    pipe->init.host->timer_start(pipe->timer, drain);
    bridge_pipe_look(pipe);
}

void bridge_pipe_fail(bridge_pipe *pipe, const pubsub_error *error)
{
    if (pipe->failed || pipe->fail_soon) {
        return;
    }
    bridge_pipe_error(pipe, (pubsub_bytes){NULL, 0}, error);
    pipe->fail_soon = true; /* the connector may be calling just now */
    pipe->init.host->timer_start(pipe->later, 0);
}

static void on_later(void *ctx)
{
    bridge_pipe *pipe = ctx;
    bridge_pipe_settle_flush(pipe);
    if (pipe->fail_soon) {
        pipe->fail_soon = false;
        pipe->failed = true;
        announce(pipe);
        if (pipe->phase <= PIPE_PAUSED) {
            pipe->init.host->timer_stop(pipe->timer);
        }
        close_self(pipe);
    }
    bridge_pipe_look(pipe);
}

/* ---- running ---- */

static void resume(bridge_pipe *pipe)
{
    const bridge_route *route = pipe->init.route;
    if (pipe->wants_resume && pipe->self_running && !pipe->closing_self && !pipe->fail_soon &&
        pipe->flights <= route->in_flight / 2 && pipe->flight_bytes <= route->in_flight_bytes / 2 &&
        bridge_pipe_room(pipe, 0)) {
        pipe->wants_resume = false;
        pipe->init.connector->resume(pipe->self);
    }
}

void bridge_pipe_look(bridge_pipe *pipe)
{
    switch (pipe->phase) {
    case PIPE_RUNNING:
        if (!pipe->failed) {
            resume(pipe);
        }
        announce(pipe);
        break;
    case PIPE_DRAINING:
        if (pipe->flights == 0 || pipe->failed) {
            begin_close(pipe);
        }
        break;
    case PIPE_STORING:
        if (bridge_pipe_stored_all(pipe)) {
            finish_stop(pipe);
        }
        break;
    default:
        break;
    }
}

static void on_round(void *ctx)
{
    bridge_pipe *pipe = ctx;
    bridge_pipe_settle_flush(pipe);
    bridge_pipe_look(pipe);
}

static void on_target_changed(void *ctx)
{
    bridge_pipe *pipe = ctx;
    const pubsub_error *error = bridge_target_error(pipe->init.target);
    pubsub_state state = bridge_target_state(pipe->init.target);
    char missing[200];
    if (bridge_target_failed(pipe->init.target)) {
        bridge_pipe_fail(pipe, error);
    } else if (state == PUBSUB_STATE_CONNECTED &&
               !bridge_needs_met(pipe->init.route, bridge_target_name(pipe->init.target),
                                 bridge_target_caps(pipe->init.target), missing, sizeof missing)) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        (void)pubsub_error_set(&err, PUBSUB_ENOTSUP, "%s", missing);
        bridge_pipe_fail(pipe, &err);
    } else if (error->code != PUBSUB_OK &&
               (state == PUBSUB_STATE_RECONNECTING || state == PUBSUB_STATE_CONNECTING)) {
        bridge_pipe_error(pipe, (pubsub_bytes){NULL, 0}, error);
    }
    announce(pipe);
}

static void try_start(bridge_pipe *pipe)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pipe->phase = PIPE_RUNNING;
    pubsub_err rc = pipe->init.connector->start(pipe->self, &pipe->emitter, &err);
    pipe->self_running = rc == PUBSUB_OK;
    if (rc == PUBSUB_OK) {
        pipe->attempts = 0;
        announce(pipe);
        return;
    }
    if (err.code == PUBSUB_OK) {
        (void)pubsub_error_set(&err, rc, "the connector could not start");
    }
    if (!pubsub_err_is_retryable(rc)) {
        bridge_pipe_fail(pipe, &err);
        return;
    }
    unsigned shift = pipe->attempts < 6 ? pipe->attempts : 6;
    int64_t wait = (int64_t)START_MIN_MS << shift;
    bridge_pipe_error(pipe, (pubsub_bytes){NULL, 0}, &err);
    pipe->attempts++;
    pipe->phase = PIPE_PAUSED;
    announce(pipe);
    pipe->init.host->timer_start(pipe->timer, wait < START_MAX_MS ? wait : START_MAX_MS);
}

static void on_timer(void *ctx)
{
    bridge_pipe *pipe = ctx;
    if (pipe->phase == PIPE_PAUSED) {
        try_start(pipe);
    } else if (pipe->phase == PIPE_DRAINING) {
        begin_close(pipe);
    }
}

static void on_store_timer(void *ctx)
{
    bridge_pipe *pipe = ctx;
    pipe->store_armed = false;
    bridge_pipe_store_now(pipe);
}

static pubsub_err init_self(bridge_pipe *pipe, pubsub_error *err)
{
    const bridge_route *route = pipe->init.route;
    const pubsub_connector_init init = {
        .size = sizeof init,
        .host = pipe->init.host,
        .name = pipe->init.source,
        .reader = pipe->init.reader,
        .models = (const char *const *)route->models,
        .model_count = route->model_count,
        .settings = pipe->init.settings,
        .setting_count = pipe->init.setting_count,
        .in_flight = route->in_flight,
    };
    pubsub_err rc = pipe->init.connector->initialize(&pipe->self, &init, err);
    if (rc != PUBSUB_OK) {
        pipe->self = NULL;
    }
    return rc;
}

void bridge_pipe_start(bridge_pipe *pipe)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    char missing[200];
    pipe->phase = PIPE_RUNNING;
    if (!bridge_needs_met(pipe->init.route, bridge_target_name(pipe->init.target),
                          bridge_target_caps(pipe->init.target), missing, sizeof missing)) {
        (void)pubsub_error_set(&err, PUBSUB_ENOTSUP, "%s", missing);
        bridge_pipe_fail(pipe, &err);
        return;
    }
    if (init_self(pipe, &err) != PUBSUB_OK) {
        bridge_pipe_fail(pipe, &err);
        return;
    }
    bridge_target_connect(pipe->init.target);
    if (pipe->init.route->stall > 0) {
        pipe->init.host->timer_start(pipe->stall_timer, stall_look(pipe));
    }
    try_start(pipe);
}

void bridge_pipe_rebind(bridge_pipe *pipe, const bridge_route *route, const char *source)
{
    /* The name stays where it is: a position that is being written now points to it. */
    pipe->init.route = route;
    pipe->init.source = source;
}

bridge_pipe *bridge_pipe_new(const bridge_pipe_init *init)
{
    pubsub_host *host = init->host;
    bridge_pipe *pipe = pubsub__calloc(1, sizeof *pipe);
    if (pipe == NULL) {
        return NULL;
    }
    pipe->init = *init;
    pipe->emitter = (pubsub_emitter){PUBSUB_CONNECTOR_ABI,
                                     sizeof pipe->emitter,
                                     bridge_pipe_event,
                                     bridge_pipe_passed,
                                     bridge_pipe_stored,
                                     on_state,
                                     on_error,
                                     on_alive,
                                     bridge_pipe_stored_each,
                                     on_waiting};
    pipe->replays = (init->connector->flags & PUBSUB_CONNECTOR_REPLAYS) != 0;
    pubsub__rand_name(pipe->instance, sizeof pipe->instance - 1);
    pipe->timer = host->timer_new(host, on_timer, pipe);
    pipe->later = host->timer_new(host, on_later, pipe);
    pipe->store_timer = host->timer_new(host, on_store_timer, pipe);
    pipe->stall_timer = host->timer_new(host, on_stall_timer, pipe);
    pipe->user = bridge_target_join(init->target, pipe);
    if (pipe->timer == NULL || pipe->later == NULL || pipe->store_timer == NULL ||
        pipe->stall_timer == NULL || pipe->user == NULL) {
        bridge_pipe_free(pipe);
        return NULL;
    }
    pipe->user->changed = on_target_changed;
    pipe->user->report = bridge_pipe_report;
    pipe->user->settled = on_round;
    return pipe;
}

void bridge_pipe_free(bridge_pipe *pipe)
{
    if (pipe == NULL) {
        return;
    }
    pubsub_host *host = pipe->init.host;
    bridge_lanes_fini(&pipe->lanes);
    if (pipe->user != NULL) {
        bridge_target_leave(pipe->user);
    }
    if (pipe->self != NULL) {
        pipe->init.connector->fini(pipe->self);
    }
    host->timer_free(pipe->timer);
    host->timer_free(pipe->later);
    host->timer_free(pipe->store_timer);
    host->timer_free(pipe->stall_timer);
    bridge_pipe_models_free(pipe);
    pubsub__free(pipe);
}
