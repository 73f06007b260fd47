/* SPDX-License-Identifier: MIT */
#include "engine/engine.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "engine/route.h"
#include "engine/state_dir.h"

#include <pubsub/log.h>

#include <string.h>
#include <unistd.h>

#define END_MS 2000 /* for a client that has nothing left to send */

/* Somebody who waits for routes to be gone. */
typedef struct waiter {
    struct waiter *next;
    void (*done)(void *ctx);
    void *ctx;
} waiter;

struct bridge_engine {
    bridge_shared shared;
    const bridge_config *config;
    bridge_running **routes; /* in the order of the configuration */
    size_t count;
    bridge_running **leaving; /* stopping, because the configuration has changed */
    size_t leaving_count;
    waiter *waiters;
    pubsub_host_timer *sweep;
    int lock;
    bool start_wanted; /* new routes start when the old ones are gone */
    bool stopping;
    bool clean;
    size_t stopping_count;
    void (*stopped)(void *ctx, bool clean);
    void *stopped_ctx;
};

/* ---- starting ---- */

static pubsub_err prepare(bridge_engine *engine, pubsub_host *host, const bridge_config *config,
                          pubsub_error *err)
{
    pubsub__buf path;
    pubsub__buf_init(&path, 4000);
    pubsub_err rc = bridge_state_dir_take(config->state, &engine->lock, err);
    if (rc == PUBSUB_OK && pubsub__buf_printf(&path, "%s/positions", config->state) != 0) {
        rc = pubsub_error_set(err, PUBSUB_EINVAL, "the name of the state directory is too long");
    }
    rc = rc == PUBSUB_OK ? bridge_state_dir_make(pubsub__buf_text(&path), err) : rc;
    engine->shared.positions = pubsub__buf_take(&path);
    engine->shared.state = pubsub__strdup(config->state);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    engine->shared.targets = bridge_targets_new(host);
    engine->shared.committer = bridge_committer_new(host);
    return engine->shared.targets != NULL && engine->shared.committer != NULL &&
                   engine->shared.state != NULL
               ? PUBSUB_OK
               : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the engine");
}

/* A list with the routes of a configuration; those of the present one that stay are taken over and
 * removed from the present list. */
static bridge_running **make_list(bridge_engine *engine, const bridge_config *config)
{
    bridge_running **list = pubsub__calloc(config->route_count + 1, sizeof(bridge_running *));
    for (size_t i = 0; list != NULL && i < config->route_count; i++) {
        for (size_t j = 0; j < engine->count && list[i] == NULL; j++) {
            bridge_running *old = engine->routes[j];
            if (old != NULL && old->config != NULL &&
                strcmp(old->name, config->routes[i].name) == 0 &&
                bridge_running_state(old) != BRIDGE_ROUTE_STOPPED &&
                bridge_config_same_route(old->config, old->index, config, i)) {
                list[i] = old;
                engine->routes[j] = NULL;
                bridge_running_rebind(old, config, i);
            }
        }
        if (list[i] == NULL) {
            list[i] = bridge_running_new(&engine->shared, config, i);
        }
    }
    return list;
}

static void start_new(bridge_engine *engine)
{
    engine->start_wanted = false;
    for (size_t i = 0; i < engine->count && !engine->stopping; i++) {
        bridge_running *route = engine->routes[i];
        if (route != NULL && route->pipe == NULL && route->error.code == PUBSUB_OK) {
            bridge_running_start(route);
        }
    }
}

static void sweep(void *ctx);
static void on_client_gone(void *ctx);

bridge_engine *bridge_engine_new(pubsub_host *host, const bridge_config *config,
                                 bridge_note_fn note, void *note_ctx, pubsub_error *err)
{
    bridge_engine *engine = pubsub__calloc(1, sizeof *engine);
    if (engine == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the engine");
        return NULL;
    }
    engine->lock = -1;
    engine->clean = true;
    engine->shared.host = host;
    engine->shared.note = note;
    engine->shared.note_ctx = note_ctx;
    if (prepare(engine, host, config, err) != PUBSUB_OK) {
        bridge_engine_free(engine);
        return NULL;
    }
    bridge_targets_on_gone(engine->shared.targets, on_client_gone, engine);
    engine->sweep = host->timer_new(host, sweep, engine);
    engine->routes = make_list(engine, config);
    if (engine->routes == NULL || engine->sweep == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for the engine");
        bridge_engine_free(engine);
        return NULL;
    }
    engine->config = config;
    engine->count = config->route_count;
    start_new(engine);
    return engine;
}

void bridge_engine_free(bridge_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    bridge_committer_free(engine->shared.committer);
    bridge_targets_free(engine->shared.targets);
    if (engine->sweep != NULL) {
        engine->shared.host->timer_free(engine->sweep);
    }
    if (engine->lock >= 0) {
        (void)close(engine->lock); /* the lock goes with it; the file stays, so that nobody races */
    }
    pubsub__free(engine->shared.positions);
    pubsub__free(engine->shared.state);
    pubsub__free(engine->routes);
    pubsub__free(engine->leaving);
    pubsub__free(engine);
}

/* ---- stopping ---- */

static void on_client_gone(void *ctx)
{
    bridge_engine *engine = ctx;
    engine->shared.host->timer_start(engine->sweep, 0);
}

/* Free what has stopped. Not done in the callback of a route, which is still using itself. */
static void sweep_leaving(bridge_engine *engine)
{
    size_t kept = 0;
    for (size_t i = 0; i < engine->leaving_count; i++) {
        if (engine->leaving[i]->gone) {
            bridge_running_free(engine->leaving[i], END_MS);
        } else {
            engine->leaving[kept++] = engine->leaving[i];
        }
    }
    engine->leaving_count = kept;
    if (kept > 0) {
        return;
    }
    while (engine->waiters != NULL) {
        waiter *next = engine->waiters->next;
        void (*done)(void *) = engine->waiters->done;
        void *ctx = engine->waiters->ctx;
        pubsub__free(engine->waiters);
        engine->waiters = next;
        done(ctx);
    }
    if (engine->start_wanted) {
        start_new(engine);
    }
}

static void sweep_all(bridge_engine *engine)
{
    if (engine->stopping_count > 0 || engine->leaving_count > 0) {
        return;
    }
    for (size_t i = 0; i < engine->count; i++) {
        if (engine->routes[i] != NULL) {
            bridge_running_free(engine->routes[i], engine->clean ? END_MS : 0);
            engine->routes[i] = NULL;
        }
    }
    void (*stopped)(void *, bool) = engine->stopped;
    if (bridge_targets_ending(engine->shared.targets) == 0 && stopped != NULL) {
        engine->stopped = NULL;
        stopped(engine->stopped_ctx, engine->clean); /* it may free the engine */
    }
}

static void sweep(void *ctx)
{
    bridge_engine *engine = ctx;
    sweep_leaving(engine);
    if (engine->stopping) {
        sweep_all(engine);
    }
}

static void on_left(void *ctx, bridge_running *route)
{
    bridge_engine *engine = ctx;
    (void)route;
    engine->shared.host->timer_start(engine->sweep, 0);
}

static void on_route_stopped(void *ctx, bridge_running *route)
{
    bridge_engine *engine = ctx;
    engine->clean = engine->clean && route->clean;
    engine->stopping_count--;
    engine->shared.host->timer_start(engine->sweep, 0);
}

void bridge_engine_stop(bridge_engine *engine, int64_t drain, void (*done)(void *ctx, bool clean),
                        void *ctx)
{
    engine->stopped = done;
    engine->stopped_ctx = ctx;
    engine->start_wanted = false;
    if (!engine->stopping) {
        engine->stopping = true;
        engine->stopping_count = engine->count;
        for (size_t i = 0; i < engine->count; i++) {
            if (engine->routes[i] != NULL) {
                bridge_running_stop(engine->routes[i], drain, on_route_stopped, engine);
            } else {
                engine->stopping_count--;
            }
        }
    }
    engine->shared.host->timer_start(engine->sweep, 0);
}

/* ---- another configuration ---- */

static bool leave(bridge_engine *engine, size_t more)
{
    size_t size = (engine->leaving_count + more + 1) * sizeof(bridge_running *);
    bridge_running **leaving = pubsub__realloc(engine->leaving, size);
    if (leaving != NULL) {
        engine->leaving = leaving;
    }
    return leaving != NULL;
}

static bool wait_for(bridge_engine *engine, void (*done)(void *ctx), void *ctx)
{
    waiter *w = pubsub__calloc(1, sizeof *w);
    if (w != NULL) {
        *w = (waiter){engine->waiters, done, ctx};
        engine->waiters = w;
    }
    return w != NULL;
}

void bridge_engine_apply(bridge_engine *engine, const bridge_config *config,
                         void (*done)(void *ctx), void *ctx)
{
    int64_t drain = engine->config->drain;
    if (engine->stopping || !leave(engine, engine->count) || !wait_for(engine, done, ctx)) {
        /* Then the old configuration stays in use, so `done` must not be called. */
        engine->shared.host->log(engine->shared.host, PUBSUB_LOG_ERROR,
                                 engine->stopping ? "stopping; another configuration is too late"
                                                  : "no memory to change the configuration");
        return;
    }
    bridge_running **list = make_list(engine, config);
    size_t old_count = engine->count;
    bridge_running **old = engine->routes;
    engine->routes = list;
    engine->count = list != NULL ? config->route_count : 0;
    engine->config = config;
    engine->start_wanted = true;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i] != NULL) {
            engine->leaving[engine->leaving_count++] = old[i];
        }
    }
    pubsub__free(old);
    for (size_t i = 0; i < engine->leaving_count; i++) {
        if (engine->leaving[i]->stopped == NULL) {
            bridge_running_stop(engine->leaving[i], drain, on_left, engine);
        }
    }
    engine->shared.host->timer_start(engine->sweep, 0);
}

/* ---- looking ---- */

size_t bridge_engine_route_count(const bridge_engine *engine)
{
    return engine->count;
}

void bridge_engine_view(const bridge_engine *engine, size_t index, bridge_route_view *out)
{
    if (index < engine->count && engine->routes[index] != NULL) {
        bridge_running_view(engine->routes[index], out);
        return;
    }
    *out = (bridge_route_view){.name = "",
                               .source = "",
                               .broker = "",
                               .error = "",
                               .state = BRIDGE_ROUTE_STOPPED,
                               .error_age_ms = -1,
                               .last_event_ms = -1,
                               .last_commit_ms = -1,
                               .lag_s = -1};
}

bool bridge_engine_ready(const bridge_engine *engine)
{
    for (size_t i = 0; i < engine->count; i++) {
        bridge_route_state state = engine->routes[i] != NULL
                                       ? bridge_running_state(engine->routes[i])
                                       : BRIDGE_ROUTE_STOPPED;
        if (state != BRIDGE_ROUTE_ACTIVE && state != BRIDGE_ROUTE_ENDED) {
            return false;
        }
    }
    return true;
}

bool bridge_engine_is_over(const bridge_engine *engine)
{
    bool over = !engine->start_wanted;
    for (size_t i = 0; i < engine->count && over; i++) {
        over = engine->routes[i] == NULL || bridge_running_is_over(engine->routes[i]);
    }
    return over;
}

void bridge_engine_on_over(bridge_engine *engine, void (*fn)(void *ctx), void *ctx)
{
    engine->shared.over = fn;
    engine->shared.over_ctx = ctx;
}

size_t bridge_engine_stopped_count(const bridge_engine *engine)
{
    size_t stopped = 0;
    for (size_t i = 0; i < engine->count; i++) {
        stopped += engine->routes[i] == NULL ||
                   bridge_running_state(engine->routes[i]) == BRIDGE_ROUTE_STOPPED;
    }
    return stopped;
}
