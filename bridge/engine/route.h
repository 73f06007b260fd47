/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_ROUTE_H
#define PUBSUB_BRIDGE_ROUTE_H

/* A route that runs: one pipe, or two with a spool between them. */

#include "engine/committer.h"
#include "engine/engine.h"
#include "engine/pipe.h"
#include "engine/spool.h"
#include "engine/targets.h"

/* What all routes of an engine share. */
typedef struct bridge_shared {
    pubsub_host *host;
    bridge_targets *targets;
    bridge_committer *committer;
    char *state;     /* directory; the one that is locked, whatever a later configuration says */
    char *positions; /* directory in it */
    bridge_note_fn note;
    void *note_ctx;
    void (*over)(void *ctx); /* a route may have nothing left to do; NULL = nobody asks */
    void *over_ctx;
} bridge_shared;

typedef struct bridge_running bridge_running;
struct bridge_running {
    bridge_shared *shared;
    const bridge_config *config;
    size_t index;
    char *name; /* own copies, because a configuration may be replaced */
    char *reader;
    bridge_pipe *pipe;   /* the one that ends at the broker; NULL = could not be made */
    bridge_pipe *intake; /* the one that fills the spool; NULL = no spool */
    bridge_target *target;
    bridge_target *spool_target;
    bridge_spool spool;
    bool has_spool;
    bool spool_seen;    /* what was in it is known */
    uint64_t seen_with; /* events of the intake that were counted then */
    pubsub_error error; /* why it could not be made */
    unsigned stopping;  /* pipes */
    bool clean;
    bool gone; /* stopped, and to be freed */
    void (*stopped)(void *ctx, bridge_running *route);
    void *stopped_ctx;
};

/* A route that cannot be made is there all the same, and says why. NULL when memory is short. */
bridge_running *bridge_running_new(bridge_shared *shared, const bridge_config *config,
                                   size_t index);
void bridge_running_start(bridge_running *route);
/* `stopped` may be called inside. */
void bridge_running_stop(bridge_running *route, pubsub_duration_ms drain,
                         void (*stopped)(void *ctx, bridge_running *route), void *ctx);
/* Stopped or never started. Its targets are ended within that time where nobody else uses them. */
void bridge_running_free(bridge_running *route, pubsub_duration_ms timeout);
void bridge_running_rebind(bridge_running *route, const bridge_config *config, size_t index);
bridge_route_state bridge_running_state(const bridge_running *route);
bool bridge_running_is_over(const bridge_running *route);
void bridge_running_view(const bridge_running *route, bridge_route_view *out);

#endif
