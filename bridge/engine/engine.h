/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_ENGINE_H
#define PUBSUB_BRIDGE_ENGINE_H

/* The engine runs the routes of a configuration on one host. The rule of the house is here and nowhere
 * else: an event is done when the broker has confirmed it, or its dead letter, or when it was passed over
 * on purpose. Only then is it settled; and a position is stored only when everything before it is done.
 *
 * What a crash brings again is bounded: events that are not done and those whose position is not stored
 * yet are together never more than the route's in_flight. So a source that is read faster than positions
 * can be stored waits for the disk, and one whose positions cannot be stored stands still, WAITING. */

#include "config/config.h"

#include <pubsub/connector.h>

typedef struct bridge_engine bridge_engine;

/* Where a route stands. */
typedef enum bridge_route_state {
    BRIDGE_ROUTE_STARTING = 0,
    BRIDGE_ROUTE_ACTIVE = 1,  /* source live and broker connected */
    BRIDGE_ROUTE_WAITING = 2, /* source or broker away; tried again */
    BRIDGE_ROUTE_STALLED = 3, /* the source has been silent for too long */
    BRIDGE_ROUTE_STOPPED = 4, /* for good; `error` says why */
    BRIDGE_ROUTE_ENDED = 5,   /* the source has ended and everything is through */
    BRIDGE_ROUTE_DRAINING = 6,
} bridge_route_state;
const char *bridge_route_state_name(bridge_route_state state);

/* A look at one route. Strings live until the next call of the engine. */
typedef struct bridge_route_view {
    const char *name;
    const char *source;
    const char *broker;
    bridge_route_state state;
    const char *error;    /* the last one, "" when none */
    int64_t error_age_ms; /* -1 = none */
    uint64_t received;    /* events from the source */
    uint64_t filtered;
    uint64_t published; /* confirmed */
    uint64_t bytes;     /* of confirmed payloads */
    uint64_t rejected;
    uint64_t dead_lettered;
    uint64_t skipped;
    uint64_t retried;
    uint64_t errors; /* of the connector */
    uint64_t in_flight;
    uint64_t in_flight_bytes;
    uint64_t spooled;       /* waiting in the spool; 0 without one */
    int64_t last_event_ms;  /* ago; -1 = none yet */
    int64_t last_commit_ms; /* ago; -1 = none yet */
    double lag_s;           /* now minus the timestamp of the last confirmed event, -1 = unknown */
} bridge_route_view;

/* One line for `run -v`: what is told, and about which model. */
typedef enum bridge_note_kind {
    BRIDGE_NOTE_STATE, /* "accounts: active" */
    BRIDGE_NOTE_EVENT, /* each event as published */
    BRIDGE_NOTE_ERROR,
} bridge_note_kind;
typedef void (*bridge_note_fn)(void *ctx, bridge_note_kind kind, const char *route,
                               pubsub_bytes model, pubsub_bytes text);

/* Start every route. The configuration is borrowed until the engine is freed or another one is applied.
 * A route that cannot start is stopped with its reason; the others run. NULL when memory is short. */
bridge_engine *bridge_engine_new(pubsub_host *host, const bridge_config *config,
                                 bridge_note_fn note, void *note_ctx, pubsub_error *err);

/* Restart what differs, and what has stopped; leave the rest untouched. `done` is called once what is gone
 * has stopped; the old configuration may be freed then. It is not called when nothing could be changed
 * (no memory, or the engine is stopping): then the old one stays in use. */
void bridge_engine_apply(bridge_engine *engine, const bridge_config *config,
                         void (*done)(void *ctx), void *ctx);

/* Stop the sources, wait for what is in flight (up to `drain` ms), store the positions; then done. */
void bridge_engine_stop(bridge_engine *engine, int64_t drain, void (*done)(void *ctx, bool clean),
                        void *ctx);
void bridge_engine_free(bridge_engine *engine); /* after stop is done */

size_t bridge_engine_route_count(const bridge_engine *engine);
void bridge_engine_view(const bridge_engine *engine, size_t index, bridge_route_view *out);
/* Every route active (or ended). */
bool bridge_engine_ready(const bridge_engine *engine);
/* Nothing is left to do: every route has ended, or has stopped with all that it follows. */
bool bridge_engine_is_over(const bridge_engine *engine);
/* `fn` is called when that may have come about; NULL = nobody. Not to be stopped inside. */
void bridge_engine_on_over(bridge_engine *engine, void (*fn)(void *ctx), void *ctx);
/* Routes that are stopped for good. */
size_t bridge_engine_stopped_count(const bridge_engine *engine);

#endif
