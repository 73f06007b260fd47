/* SPDX-License-Identifier: MIT */
#include "engine/route.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "connectors/table.h"
#include "engine/hash.h"
#include "engine/state_dir.h"
#include "engine/topic.h"

#include <pubsub/log.h>

#include <stdio.h>
#include <string.h>

#define READER_NAME_MAX 100

const char *bridge_route_state_name(bridge_route_state state)
{
    static const char *const names[] = {"starting", "active", "waiting", "stalled",
                                        "stopped",  "ended",  "draining"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

/* ---- making ---- */

/* Durable names, client ids and groups are made of it, so it has only characters that are welcome
 * everywhere; a route's name that has others gets a hash. */
static char *make_reader(const char *name)
{
    char text[32 + READER_NAME_MAX + BRIDGE_HASH_TEXT];
    char hash[BRIDGE_HASH_TEXT];
    bridge_hash whole;
    bool plain = true;
    size_t used = (size_t)snprintf(text, sizeof text, "pubsub-bridge-");
    size_t len = strlen(name);
    for (size_t i = 0; i < len && i < READER_NAME_MAX; i++) {
        char c = name[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_';
        plain = plain && fine;
        text[used++] = fine ? c : '-';
    }
    text[used] = '\0';
    if (!plain || len > READER_NAME_MAX) {
        bridge_hash_init(&whole);
        bridge_hash_add(&whole, pubsub_bytes_of(name));
        bridge_hash_text(&whole, hash);
        hash[12] = '\0';
        (void)snprintf(text + used, sizeof text - used, "-%s", hash);
    }
    return pubsub__strdup(text);
}

/* What the source has told by the time the spool was looked into was in it then, give or take what came in
 * that very moment; which is made good once the first event of this run comes out of it. */
static void note_spool(bridge_running *route)
{
    if (route->intake != NULL && route->pipe->knows_waiting && !route->spool_seen) {
        route->spool_seen = true;
        route->seen_with = route->intake->counts.published;
    }
}

static void on_pipe_changed(void *ctx)
{
    bridge_running *route = ctx;
    note_spool(route);
    if (route->shared->over != NULL && bridge_running_is_over(route)) {
        route->shared->over(route->shared->over_ctx);
    }
}

static const bridge_route *config_of(const bridge_running *route)
{
    return &route->config->routes[route->index];
}

static bridge_pipe_init common_init(bridge_running *route)
{
    const bridge_source *source = &route->config->sources[config_of(route)->source];
    return (bridge_pipe_init){
        .host = route->shared->host,
        .committer = route->shared->committer,
        .directory = route->shared->positions,
        .name = route->name,
        .source = source->name,
        .reader = route->reader,
        .connector = source->connector,
        .settings = source->settings,
        .setting_count = source->setting_count,
        .route = config_of(route),
        .target = route->target,
        .note = route->shared->note,
        .note_ctx = route->shared->note_ctx,
        .notes = ~0u,
        .changed = on_pipe_changed,
        .changed_ctx = route,
    };
}

static pubsub_err make_spooled(bridge_running *route, pubsub_error *err)
{
    const bridge_source *source = &route->config->sources[config_of(route)->source];
    pubsub_err rc = bridge_spool_init(&route->spool, route->shared->state, config_of(route),
                                      source->spool_size, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    route->has_spool = true;
    rc = bridge_state_dir_make(route->spool.dir, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    /* Each spool is a broker of its own, whatever its name. */
    pubsub__free(route->spool.broker.name);
    route->spool.broker.name = pubsub__strdup(route->spool.dir);
    if (route->spool.broker.name == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a spool");
    }
    route->spool_target = bridge_targets_take(route->shared->targets, &route->spool.broker, err);
    if (route->spool_target == NULL) {
        return PUBSUB_EIO;
    }
    bridge_pipe_init in = common_init(route);
    in.route = &route->spool.in;
    in.target = route->spool_target;
    in.to_spool = true;
    in.notes &= ~(1u << BRIDGE_NOTE_EVENT); /* told when they go to the broker */
    bridge_pipe_init out = common_init(route);
    out.route = &route->spool.out;
    out.connector = &bridge_connector_broker;
    out.settings = route->spool.settings;
    out.setting_count = route->spool.setting_count;
    out.from_spool = true;
    out.notes &= ~(1u << BRIDGE_NOTE_STATE);
    route->pipe = bridge_pipe_new(&out);
    route->intake = route->pipe != NULL ? bridge_pipe_new(&in) : NULL;
    if (route->intake == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a route");
    }
    route->pipe->writer = route->intake->instance;
    return PUBSUB_OK;
}

static pubsub_err make_pipes(bridge_running *route, pubsub_error *err)
{
    const bridge_route *config = config_of(route);
    const bridge_source *source = &route->config->sources[config->source];
    pubsub_err rc = bridge_topic_check(config->topic, err);
    if (rc == PUBSUB_OK && config->dead_letter != NULL) {
        rc = bridge_topic_check(config->dead_letter, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    route->target =
        bridge_targets_take(route->shared->targets, &route->config->brokers[config->broker], err);
    if (route->target == NULL) {
        return PUBSUB_EIO;
    }
    if (bridge_spool_needed(source)) {
        return make_spooled(route, err);
    }
    bridge_pipe_init init = common_init(route);
    route->pipe = bridge_pipe_new(&init);
    return route->pipe != NULL ? PUBSUB_OK
                               : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a route");
}

bridge_running *bridge_running_new(bridge_shared *shared, const bridge_config *config, size_t index)
{
    bridge_running *route = pubsub__calloc(1, sizeof *route);
    if (route == NULL) {
        return NULL;
    }
    route->shared = shared;
    route->config = config;
    route->index = index;
    route->name = pubsub__strdup(config->routes[index].name);
    route->reader = make_reader(config->routes[index].name);
    if (route->name == NULL || route->reader == NULL) {
        bridge_running_free(route, 0);
        return NULL;
    }
    return route;
}

void bridge_running_start(bridge_running *route)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (make_pipes(route, &err) != PUBSUB_OK) {
        char line[640];
        bridge_pipe_free(route->pipe);
        bridge_pipe_free(route->intake);
        route->pipe = NULL;
        route->intake = NULL;
        route->error = err;
        (void)snprintf(line, sizeof line, "route %s: stopped: %s", route->name,
                       pubsub_error_text(&err));
        route->shared->host->log(route->shared->host, PUBSUB_LOG_ERROR, line);
        if (route->shared->note != NULL) {
            route->shared->note(route->shared->note_ctx, BRIDGE_NOTE_ERROR, route->name,
                                (pubsub_bytes){NULL, 0}, pubsub_bytes_of(pubsub_error_text(&err)));
        }
        return;
    }
    bridge_pipe_start(route->pipe);
    if (route->intake != NULL) {
        bridge_pipe_start(route->intake);
    }
}

/* ---- stopping ---- */

static void on_pipe_stopped(void *ctx, bool clean)
{
    bridge_running *route = ctx;
    route->clean = route->clean && clean;
    if (--route->stopping == 0) {
        route->gone = true;
        route->stopped(route->stopped_ctx, route);
    }
}

void bridge_running_stop(bridge_running *route, pubsub_duration_ms drain,
                         void (*stopped)(void *ctx, bridge_running *route), void *ctx)
{
    bridge_pipe *pipe = route->pipe;
    bridge_pipe *intake = route->intake;
    route->stopped = stopped;
    route->stopped_ctx = ctx;
    route->clean = true;
    route->stopping = 1 + (pipe != NULL) + (intake != NULL);
    if (intake != NULL) {
        bridge_pipe_stop(intake, drain, on_pipe_stopped, route);
    }
    if (pipe != NULL) {
        bridge_pipe_stop(pipe, drain, on_pipe_stopped, route);
    }
    on_pipe_stopped(route, true);
}

void bridge_running_free(bridge_running *route, pubsub_duration_ms timeout)
{
    bridge_pipe_free(route->pipe);
    bridge_pipe_free(route->intake);
    if (route->target != NULL) {
        bridge_targets_give(route->shared->targets, route->target, timeout);
    }
    if (route->spool_target != NULL) {
        bridge_targets_give(route->shared->targets, route->spool_target, timeout);
    }
    if (route->has_spool) {
        bridge_spool_fini(&route->spool);
    }
    pubsub__free(route->name);
    pubsub__free(route->reader);
    pubsub__free(route);
}

void bridge_running_rebind(bridge_running *route, const bridge_config *config, size_t index)
{
    const bridge_route *now = &config->routes[index];
    const char *source = config->sources[now->source].name;
    route->config = config;
    route->index = index;
    if (route->has_spool) {
        bridge_spool_rebind(&route->spool, now);
    }
    if (route->intake != NULL) {
        bridge_pipe_rebind(route->intake, &route->spool.in, source);
    }
    if (route->pipe != NULL) {
        bridge_pipe_rebind(route->pipe, route->has_spool ? &route->spool.out : now, source);
    }
}

/* ---- looking ---- */

bridge_route_state bridge_running_state(const bridge_running *route)
{
    /* With two pipes, the one that is worse off speaks for the route. */
    static const unsigned char rank[] = {
        [BRIDGE_ROUTE_ENDED] = 0,   [BRIDGE_ROUTE_ACTIVE] = 1,  [BRIDGE_ROUTE_STARTING] = 2,
        [BRIDGE_ROUTE_STALLED] = 3, [BRIDGE_ROUTE_WAITING] = 4, [BRIDGE_ROUTE_DRAINING] = 5,
        [BRIDGE_ROUTE_STOPPED] = 6};
    if (route->pipe == NULL) {
        return route->error.code != PUBSUB_OK ? BRIDGE_ROUTE_STOPPED : BRIDGE_ROUTE_STARTING;
    }
    bridge_route_state out = bridge_pipe_state(route->pipe);
    if (route->intake == NULL) {
        return out;
    }
    bridge_route_state in = bridge_pipe_state(route->intake);
    return rank[in] > rank[out] ? in : out;
}

/* Events that have left the spool for good. */
static uint64_t through_of(const bridge_running *route)
{
    const pipe_counts *end = &route->pipe->counts;
    return end->published + end->dead_lettered + end->skipped + end->filtered;
}

/* Events in the spool. */
static uint64_t left_of(const bridge_running *route)
{
    const bridge_pipe *pipe = route->pipe;
    int64_t before =
        pipe->met_writer ? (int64_t)pipe->older : pipe->waiting - (int64_t)route->seen_with;
    uint64_t in = route->intake->counts.published + (before > 0 ? (uint64_t)before : 0);
    uint64_t through = through_of(route);
    return in > through ? in - through : 0;
}

bool bridge_running_is_over(const bridge_running *route)
{
    if (route->pipe == NULL) {
        return route->error.code != PUBSUB_OK;
    }
    if (route->intake == NULL || bridge_pipe_is_over(route->pipe)) {
        return bridge_pipe_is_over(route->intake != NULL ? route->intake : route->pipe);
    }
    /* The spool itself never ends: what the source told has to be through. */
    return bridge_pipe_is_over(route->intake) && route->pipe->flights == 0 && left_of(route) == 0;
}

static int64_t ago_ms(uint64_t now, uint64_t then)
{
    return then == 0 ? -1 : (int64_t)((now - then) / 1000000u);
}

static void view_error(const bridge_running *route, bridge_route_view *out, uint64_t now)
{
    const bridge_pipe *pipe = route->pipe;
    if (route->intake != NULL && route->intake->error_ns > pipe->error_ns) {
        pipe = route->intake;
    }
    if (pipe->error_ns != 0) {
        out->error = pubsub_error_text(&pipe->error);
        out->error_age_ms = ago_ms(now, pipe->error_ns);
    }
}

static void view_counts(const bridge_running *route, bridge_route_view *out)
{
    const pipe_counts *end = &route->pipe->counts;
    const bridge_pipe *first = route->intake != NULL ? route->intake : route->pipe;
    out->received = first->counts.received;
    out->errors = first->counts.errors;
    out->filtered = end->filtered;
    out->published = end->published;
    out->bytes = end->bytes;
    out->rejected = end->rejected;
    out->dead_lettered = end->dead_lettered;
    out->skipped = end->skipped;
    out->retried = end->retried;
    out->in_flight = route->pipe->flights;
    out->in_flight_bytes = route->pipe->flight_bytes;
    if (route->intake != NULL) {
        out->errors += end->errors;
        out->spooled = left_of(route);
        out->in_flight += route->intake->flights;
        out->in_flight_bytes += route->intake->flight_bytes;
    }
}

void bridge_running_view(const bridge_running *route, bridge_route_view *out)
{
    const bridge_route *config = config_of(route);
    *out = (bridge_route_view){
        .name = route->name,
        .source = route->config->sources[config->source].name,
        .broker = route->config->brokers[config->broker].name,
        .state = bridge_running_state(route),
        .error = route->error.code != PUBSUB_OK ? pubsub_error_text(&route->error) : "",
        .error_age_ms = route->error.code != PUBSUB_OK ? 0 : -1,
        .last_event_ms = -1,
        .last_commit_ms = -1,
        .lag_s = -1,
    };
    if (route->pipe == NULL) {
        return;
    }
    const bridge_pipe *first = route->intake != NULL ? route->intake : route->pipe;
    uint64_t now = bridge_pipe_now(route->pipe);
    view_error(route, out, now);
    view_counts(route, out);
    out->last_event_ms = ago_ms(now, first->last_event_ns);
    out->last_commit_ms = ago_ms(now, route->pipe->last_commit_ns);
    if (route->pipe->last_timestamp_ns != 0) {
        double wall = (double)pubsub__clock_wall_ns();
        double lag = (wall - (double)route->pipe->last_timestamp_ns) / 1e9;
        out->lag_s = lag > 0 ? lag : 0;
    }
}
