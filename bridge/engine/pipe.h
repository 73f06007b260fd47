/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_PIPE_H
#define PUBSUB_BRIDGE_PIPE_H

/* A pipe runs one connector into one target, and keeps the rule: a position is stored only when
 * everything before it is done. A route is one pipe, or two with a spool between them.
 *
 *   emit.c    events come in: bounds, filter, format, topic
 *   finish.c  reports come back: done, tried again, dead-lettered, stopped; settling
 *   store.c   models, their windows and their positions
 *   pipe.c    life: start, state, drain, stop */

#include "config/config.h"
#include "engine/committer.h"
#include "engine/engine.h"
#include "engine/lanes.h"
#include "engine/target.h"
#include "engine/window.h"

#define PIPE_SETTLE_MAX 256
#define PIPE_MODELS_MAX 65536
/* Headers that carry what a message cannot hold otherwise through a spool. */
#define SPOOL_MODEL "pubsub-spool-model"
#define SPOOL_TOPIC "pubsub-spool-topic"
#define SPOOL_TIME "pubsub-spool-time"
#define SPOOL_RUN "pubsub-spool-run" /* which pipe wrote it: one of this run, or of one before */

typedef struct bridge_pipe bridge_pipe;

/* What a pipe is made from. All is borrowed and has to live as long as the pipe; `route` and `source` may
 * be replaced by bridge_pipe_rebind(). */
typedef struct bridge_pipe_init {
    pubsub_host *host;
    bridge_committer *committer;
    const char *directory; /* of the checkpoints */
    const char *name;      /* of the route */
    const char *source;    /* its name */
    const char *reader;
    const pubsub_connector *connector;
    const pubsub_setting_value *settings;
    size_t setting_count;
    const bridge_route *route; /* models, limits, format ... */
    bridge_target *target;     /* the owner keeps it until the pipe is freed */
    bool to_spool;             /* events are wrapped for a spool */
    bool from_spool;           /* and unwrapped */
    bridge_note_fn note;
    void *note_ctx;
    unsigned notes;             /* bit 1 << bridge_note_kind: which are told */
    void (*changed)(void *ctx); /* state or error */
    void *changed_ctx;
} bridge_pipe_init;

typedef struct bridge_model {
    struct bridge_model *next;       /* in its bucket */
    struct bridge_model *next_dirty; /* waits for its position to be written */
    bridge_pipe *pipe;
    bridge_window window;
    pubsub__buf stored; /* read from its file */
    bool stored_known;
    bool dirty;
    bool writing;
    uint64_t covered;  /* entries before this number are in the stored position */
    uint64_t covering; /* the same for the write under way */
    bridge_commit_job job;
    pubsub_source_state state;
    bool has_state;
    uint64_t alive_ns;
    size_t name_len;
    char name[];
} bridge_model;

typedef enum pipe_phase {
    PIPE_IDLE = 0,
    PIPE_RUNNING,
    PIPE_PAUSED,   /* its start failed; tried again */
    PIPE_DRAINING, /* takes nothing new */
    PIPE_CLOSING,  /* the connector is stopping */
    PIPE_STORING,  /* the last positions are being written */
    PIPE_STOPPED,
} pipe_phase;

typedef struct pipe_counts {
    uint64_t received, filtered, published, bytes, rejected, dead_lettered, skipped, retried,
        errors;
} pipe_counts;

struct bridge_pipe {
    pubsub_emitter emitter; /* first */
    bridge_target_user *user;
    bridge_pipe_init init;
    void *self; /* the connector's */
    pipe_phase phase;
    bool failed; /* stopped for good */
    bool fail_soon;
    bool self_running;
    bool closing_self;
    pubsub_error error;
    uint64_t error_ns;   /* 0 = none */
    uint64_t trouble_ns; /* when one was told */
    pubsub_err trouble;
    unsigned attempts;              /* failed starts */
    pubsub_host_timer *timer;       /* start again, drain deadline */
    pubsub_host_timer *later;       /* work that must not be done inside a call of the connector */
    pubsub_host_timer *store_timer; /* positions */
    pubsub_host_timer *stall_timer;
    bool stalled;
    bool replays;
    bridge_route_state told; /* the last state that was told */
    bool told_over;
    size_t states[5]; /* models by pubsub_source_state */

    /* bounds */
    uint32_t flights;
    uint64_t flight_bytes;
    uint64_t unstored; /* events that a crash now would bring again */
    bool wants_resume;
    bridge_lanes lanes;

    /* models */
    bridge_model **buckets;
    size_t bucket_count;
    size_t model_count;
    bridge_model *last_model;
    bridge_model *dirty;
    size_t writing;
    bool store_failing;
    bool disk_full; /* the broker's disk, or the spool's, is full */
    bool store_armed;

    pubsub_settled settled[PIPE_SETTLE_MAX];
    size_t settled_count;

    pipe_counts counts;
    int64_t waiting;    /* events that were at the source when it was started */
    bool knows_waiting; /* it was told */
    const char *writer; /* `instance` of the pipe that fills the spool now; NULL = none */
    bool met_writer;    /* an event of it has come: what is older than this run was all before it */
    uint64_t older;     /* so many */
    uint64_t alive_ns;
    uint64_t last_event_ns;
    uint64_t last_commit_ns;
    uint64_t last_timestamp_ns; /* of the last confirmed event */
    uint64_t serial;            /* for ids of events that have nothing to make one from */
    char instance[17];

    bool clean;
    void (*stopped)(void *ctx, bool clean);
    void *stopped_ctx;
};

/* pipe.c */
bridge_pipe *bridge_pipe_new(const bridge_pipe_init *init);
void bridge_pipe_free(bridge_pipe *pipe); /* idle or stopped */
void bridge_pipe_start(bridge_pipe *pipe);
void bridge_pipe_stop(bridge_pipe *pipe, pubsub_duration_ms drain,
                      void (*done)(void *ctx, bool clean), void *ctx);
/* The route stands elsewhere in memory now; it is otherwise the same. */
void bridge_pipe_rebind(bridge_pipe *pipe, const bridge_route *route, const char *source);
bridge_route_state bridge_pipe_state(const bridge_pipe *pipe);
/* Nothing comes any more: it has failed, or every model has ended or stopped and all is through. */
bool bridge_pipe_is_over(const bridge_pipe *pipe);
/* Stop for good, from anywhere. */
void bridge_pipe_fail(bridge_pipe *pipe, const pubsub_error *error);
void bridge_pipe_error(bridge_pipe *pipe, pubsub_bytes model, const pubsub_error *error);
/* The same for what can happen with every event: told once a second, as long as it is the same. */
void bridge_pipe_trouble(bridge_pipe *pipe, pubsub_bytes model, const pubsub_error *error);
void bridge_pipe_note(bridge_pipe *pipe, bridge_note_kind kind, pubsub_bytes model,
                      pubsub_bytes text);
void bridge_pipe_look(bridge_pipe *pipe);  /* drained? ended? room again? */
void bridge_pipe_heard(bridge_pipe *pipe); /* the source gave a sign of life */
uint64_t bridge_pipe_now(const bridge_pipe *pipe);

/* emit.c */
pubsub_err bridge_pipe_event(pubsub_emitter *emitter, const pubsub_source_event *event);
void bridge_pipe_passed(pubsub_emitter *emitter, pubsub_bytes name, pubsub_bytes position);
bool bridge_pipe_room(const bridge_pipe *pipe, size_t bytes);

/* finish.c */
void bridge_pipe_report(bridge_flight *flight, const pubsub_report *report);
void bridge_pipe_refuse(bridge_flight *flight, const pubsub_error *error);
void bridge_pipe_settle(bridge_pipe *pipe, void *token, pubsub_err result);
void bridge_pipe_settle_flush(bridge_pipe *pipe);

/* store.c */
bridge_model *bridge_pipe_model(bridge_pipe *pipe, pubsub_bytes name, bool make);
bridge_model *bridge_pipe_model_next(const bridge_pipe *pipe, const bridge_model *after);
pubsub_bytes bridge_pipe_stored(pubsub_emitter *emitter, pubsub_bytes name);
void bridge_pipe_stored_each(pubsub_emitter *emitter,
                             void (*each)(void *ctx, pubsub_bytes model, pubsub_bytes position),
                             void *ctx);
void bridge_pipe_dirty(bridge_pipe *pipe, bridge_model *model);
void bridge_pipe_store_now(bridge_pipe *pipe);
void bridge_pipe_models_free(bridge_pipe *pipe);
/* Nothing is left to be written, or it cannot be. */
bool bridge_pipe_stored_all(const bridge_pipe *pipe);

#endif
