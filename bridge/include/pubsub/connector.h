/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CONNECTOR_H
#define PUBSUB_CONNECTOR_H

/** @file connector.h
 *  Connectors: where events come from. A connector follows one source (a database's change feed, a
 *  webhook, another broker) and tells an emitter what happened in which model. It knows nothing of
 *  brokers, topics or formats, and stores nothing: what was dealt with is decided by who emits.
 *
 *  Whoever runs a connector gives it two things: a host (timers, descriptors, a way in from other
 *  threads) and an emitter. pubsub-bridge is one such program; pubsub_host_new() makes any C program
 *  another.
 *
 *  Threads. Every member of a connector, every timer, watch and posted function is called on the host's
 *  one thread, and every function of the emitter and of the host must be called there, except `post`.
 *  Nothing may block it. A connector whose library blocks has a thread of its own and posts.
 *
 *  Versions. Tables begin with `abi` and `size`. A field that `size` does not reach does not exist. The
 *  number of the ABI changes only when something is taken away or means something else. */

#include <pubsub/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The ABI this header describes. */
#define PUBSUB_CONNECTOR_ABI 1u
/** Longest name of a model in bytes. */
#define PUBSUB_MODEL_MAX 255
/** Longest position in bytes. Positions of clustered databases are long. */
#define PUBSUB_POSITION_BYTES_MAX 65536

/* ---- events -------------------------------------------------------------------------------- */

/** What happened to the thing an event is about. */
typedef enum pubsub_change {
    PUBSUB_CHANGE_UNKNOWN = 0,
    PUBSUB_CHANGE_CREATE = 1,
    PUBSUB_CHANGE_UPDATE = 2,
    PUBSUB_CHANGE_DELETE = 3
} pubsub_change;

/** "create", "update", "delete", "unknown": the value of header `pubsub-event`.
 *  Returns:   a string constant, "unknown" for values that are no change.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_change_name(pubsub_change change);

/** One event of a source. Start from PUBSUB_SOURCE_EVENT_INIT. Everything is borrowed for the call. */
typedef struct pubsub_source_event {
    size_t size;           /**< sizeof(pubsub_source_event) */
    pubsub_bytes model;    /**< what it belongs to ("accounts"), UTF-8, 1..PUBSUB_MODEL_MAX bytes */
    pubsub_bytes document; /**< passed on byte for byte */
    pubsub_bytes content_type; /**< empty = application/json */
    pubsub_bytes id;  /**< the same whenever the same event comes again; UTF-8. Empty = made
                                    from source, model and position by who emits */
    pubsub_bytes key; /**< what changed (a document's id): events of one key keep their order */
    pubsub_bytes position; /**< the source can be read again from behind this event with it; empty
                                    where no position stands */
    pubsub_bytes topic;    /**< where it came from, for sources that have topics; or empty */
    pubsub_bytes reply_to; /**< topic an answer should go to, or empty */
    pubsub_bytes correlation; /**< bytes an answer repeats, or empty */
    const pubsub_header *headers;
    size_t header_count;
    pubsub_change change;
    uint64_t timestamp_ns; /**< when it happened, nanoseconds since 1970 UTC; 0 = not known */
    void *token;           /**< handed back by `settled`; NULL = nothing is waited for */
} pubsub_source_event;

/** An event with nothing set. */
#define PUBSUB_SOURCE_EVENT_INIT                                                                   \
    {                                                                                              \
        sizeof(pubsub_source_event), {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0},        \
            {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, NULL, 0, PUBSUB_CHANGE_UNKNOWN, 0, NULL    \
    }

/** Where a connector stands with a model. */
typedef enum pubsub_source_state {
    PUBSUB_SOURCE_STARTING = 0, /**< nothing was heard yet */
    PUBSUB_SOURCE_ACTIVE = 1,   /**< the feed is live: what happens from now on is told */
    PUBSUB_SOURCE_WAITING = 2,  /**< something failed; tried again by itself */
    PUBSUB_SOURCE_STOPPED = 3,  /**< something failed for good; a person has to look */
    PUBSUB_SOURCE_ENDED = 4     /**< the source has no more events, by its nature */
} pubsub_source_state;

/** "starting", "active", "waiting", "stopped", "ended".
 *  Returns:   a string constant, "?" for values that are no state.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_source_state_name(pubsub_source_state state);

/* ---- the emitter --------------------------------------------------------------------------- */

typedef struct pubsub_emitter pubsub_emitter;

/** Who listens to a connector. A program that runs a connector embeds this as the first member of its
 *  own struct and fills it in. */
struct pubsub_emitter {
    uint32_t abi; /**< PUBSUB_CONNECTOR_ABI */
    size_t size;  /**< sizeof(pubsub_emitter) */

    /** An event. Returns PUBSUB_OK: taken, copied where needed. PUBSUB_EAGAIN: not taken, there is no room;
     *  the connector keeps it, stops reading and goes on when `resume` is called. PUBSUB_ECLOSED: it is
     *  being stopped. Anything else: not taken, and the connector reports it by `error` and goes on
     *  behind it only if its source cannot be read again. */
    pubsub_err (*event)(pubsub_emitter *emitter, const pubsub_source_event *event);

    /** Everything up to here was looked at and led to no event, so that reading may start here again. */
    void (*position)(pubsub_emitter *emitter, pubsub_bytes model, pubsub_bytes position);

    /** The position to go on from, stored when everything before it had been dealt with. Empty = none:
     *  begin as the connector's settings say. Borrowed until the next call of the emitter. */
    pubsub_bytes (*stored)(pubsub_emitter *emitter, pubsub_bytes model);

    /** The connector's state with a model has changed. */
    void (*state)(pubsub_emitter *emitter, pubsub_bytes model, pubsub_source_state state);

    /** Something failed. The state says whether it is tried again. */
    void (*error)(pubsub_emitter *emitter, pubsub_bytes model, const pubsub_error *error);

    /** Something was heard of the source (a heartbeat, any byte). For the detection of stalls. */
    void (*alive)(pubsub_emitter *emitter, pubsub_bytes model);

    /** Every model that has a stored position, in no order; for connectors whose models are patterns. What
     *  `each` gets is borrowed for its call, in which the emitter must not be called. NULL, or not within
     *  `size`: not known. */
    void (*stored_all)(pubsub_emitter *emitter,
                       void (*each)(void *ctx, pubsub_bytes model, pubsub_bytes position),
                       void *ctx);

    /** So many events of before this start wait at the source, for people who want to know; negative when
     *  some that were told of turned out to be lost. NULL, or not within `size`: nobody does. */
    void (*waiting)(pubsub_emitter *emitter, int64_t more);
};

/* ---- the host ------------------------------------------------------------------------------ */

typedef struct pubsub_host pubsub_host;
typedef struct pubsub_host_timer pubsub_host_timer;
typedef struct pubsub_host_watch pubsub_host_watch;

#define PUBSUB_HOST_READ (1u << 0)
#define PUBSUB_HOST_WRITE (1u << 1)

/** What a connector may use of the program that runs it: one thread with an event loop. */
struct pubsub_host {
    uint32_t abi; /**< PUBSUB_CONNECTOR_ABI */
    size_t size;  /**< sizeof(pubsub_host) */

    /** Monotonic nanoseconds, read once per turn of the loop. */
    uint64_t (*now_ns)(pubsub_host *host);

    /** A stopped timer, NULL when memory is short. */
    pubsub_host_timer *(*timer_new)(pubsub_host *host, void (*fn)(void *ctx), void *ctx);
    /** Run it once after a delay; a running one is set anew. 0 = in the next turn. */
    void (*timer_start)(pubsub_host_timer *timer, pubsub_duration_ms delay);
    void (*timer_stop)(pubsub_host_timer *timer);
    /** NULL is fine. */
    void (*timer_free)(pubsub_host_timer *timer);

    /** Watch a descriptor, level-triggered, for nothing yet. fn gets PUBSUB_HOST_* bits; errors and
     *  hang-ups appear as readable. NULL when memory is short or the descriptor cannot be watched. */
    pubsub_host_watch *(*watch_new)(pubsub_host *host, int fd, void (*fn)(void *ctx, uint32_t bits),
                                    void *ctx);
    void (*watch_set)(pubsub_host_watch *watch, uint32_t bits);
    /** NULL is fine. Before the descriptor is closed. */
    void (*watch_free)(pubsub_host_watch *watch);

    /** Have fn called on the host's thread, in the order of the calls. Any thread. PUBSUB_ENOMEM, or
     *  PUBSUB_ECLOSED once the host has stopped. What was posted before that is called. */
    pubsub_err (*post)(pubsub_host *host, void (*fn)(void *ctx), void *ctx);

    /** A line for the program's log; level as in <pubsub/log.h>. Never a secret. */
    void (*log)(pubsub_host *host, int level, const char *text);
};

/* ---- settings ------------------------------------------------------------------------------ */

typedef enum pubsub_setting_type {
    PUBSUB_SETTING_TEXT = 0,
    PUBSUB_SETTING_INT = 1,
    PUBSUB_SETTING_DURATION = 2, /**< milliseconds; 250ms, 5s, 2m, 1h */
    PUBSUB_SETTING_SIZE = 3,     /**< bytes; 512, 64k, 8M */
    PUBSUB_SETTING_BOOL = 4,
    PUBSUB_SETTING_CHOICE = 5, /**< one of `choices`, "a|b|c" */
    PUBSUB_SETTING_JSON = 6    /**< any structure, handed over as JSON text */
} pubsub_setting_type;

#define PUBSUB_SETTING_REQUIRED (1u << 0)
#define PUBSUB_SETTING_SECRET (1u << 1) /**< never shown */
#define PUBSUB_SETTING_LIST (1u << 2)   /**< may be a list; one value for each entry, in order */

/** One row of a connector's table of settings. Rows are checked before the connector sees a value. */
typedef struct pubsub_setting {
    const char *name;
    pubsub_setting_type type;
    uint32_t flags;      /**< PUBSUB_SETTING_* */
    const char *def;     /**< default as a person would write it; NULL = none */
    const char *choices; /**< with PUBSUB_SETTING_CHOICE */
    int64_t min;         /**< numbers, durations, sizes */
    int64_t max;         /**< 0 = no upper bound */
    const char *help;    /**< one line without full stop; says the unit */
} pubsub_setting;

/** One value. Settings with a default are always there. */
typedef struct pubsub_setting_value {
    const char *name;
    const char *text; /**< as written, or JSON */
    int64_t number;   /**< numbers, milliseconds, bytes, 0 or 1, index of the choice */
} pubsub_setting_value;

/** The first value of a name; NULL when it was not given and has no default.
 *  Returns:   a value that lives as long as the array.
 *  Thread:    any.
 *  Ownership: borrowed.
 *  Since:     0.1    Source: - */
PUBSUB_API const pubsub_setting_value *pubsub_setting_find(const pubsub_setting_value *values,
                                                           size_t count, const char *name);

/* ---- the connector ------------------------------------------------------------------------- */

/** Its source can be read again from a position: events carry positions. */
#define PUBSUB_CONNECTOR_REPLAYS (1u << 0)
/** It waits for `settled` before it tells its source that an event is dealt with. */
#define PUBSUB_CONNECTOR_SETTLES (1u << 1)
/** Its source waits only a moment, so events should be written to a spool first. */
#define PUBSUB_CONNECTOR_HURRIES (1u << 2)

/** What became of an event that had a token. */
typedef struct pubsub_settled {
    void *token;
    pubsub_err result; /**< PUBSUB_OK = dealt with; PUBSUB_EINVAL, PUBSUB_ETOOBIG, PUBSUB_ETOPIC,
                            PUBSUB_EUTF8 = it can never be; otherwise the source should send it again */
} pubsub_settled;

/** What a connector is born with. Strings are borrowed until `initialize` returns, the host until
 *  `fini` has. */
typedef struct pubsub_connector_init {
    size_t size;
    pubsub_host *host;
    const char *name; /**< of the source in the configuration, for texts */
    const char
        *reader; /**< who reads: a name that stays the same over restarts, unique among all that
                             read this source. For durable names, client ids, and the like */
    const char *const
        *models; /**< names or patterns (* in them stands for any bytes); at least one */
    size_t model_count;
    const pubsub_setting_value *settings;
    size_t setting_count;
    uint32_t in_flight; /**< so many events are taken before PUBSUB_EAGAIN */
} pubsub_connector_init;

typedef struct pubsub_connector pubsub_connector;

/** One kind of connector. Static data; a shared object exports `const pubsub_connector
 *  pubsub_connector_v1`. */
struct pubsub_connector {
    uint32_t abi;        /**< PUBSUB_CONNECTOR_ABI */
    size_t size;         /**< sizeof(pubsub_connector) */
    const char *name;    /**< "couchdb" */
    const char *summary; /**< one line for lists */
    uint32_t flags;      /**< PUBSUB_CONNECTOR_* */
    const pubsub_setting *settings;
    size_t setting_count;

    /** Make an instance. Checks what the table of settings cannot; does no I/O. On failure there is no
     *  instance and *err says which setting and what to do. */
    pubsub_err (*initialize)(void **out, const pubsub_connector_init *init, pubsub_error *err);

    /** Begin to tell the emitter what happens, from inside later calls of the host. Called again after
     *  `stop` is complete. The emitter lives until then. Failing here means: for good. */
    pubsub_err (*start)(void *self, pubsub_emitter *emitter, pubsub_error *err);

    /** There is room again after PUBSUB_EAGAIN. May be called when there was none to wait for. */
    void (*resume)(void *self);

    /** Events are dealt with, in any order. NULL without PUBSUB_CONNECTOR_SETTLES. */
    void (*settled)(void *self, const pubsub_settled *settled, size_t count);

    /** Stop: the emitter is not called any more once this has begun; `done` is called once, inside or
     *  later, when everything is closed. `settled` may still be called until then. */
    void (*stop)(void *self, void (*done)(void *ctx), void *ctx);

    /** Release an instance that is not started, or stopped. */
    void (*fini)(void *self);

    /** Touch the source without starting: can it be reached, are the credentials good, is what the
     *  settings name there? Calls `say` for each finding (PUBSUB_OK: a remark, also what will be lost by
     *  the nature of the source) and `done` at the end. NULL = cannot be checked. */
    void (*check)(void *self, void (*say)(void *ctx, const pubsub_error *finding),
                  void (*done)(void *ctx), void *ctx);
};

/** A built-in connector by name.
 *  Returns:   static data; NULL when there is none of that name.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const pubsub_connector *pubsub_connector_find(const char *name);

/** The index-th built-in connector.
 *  Returns:   static data; NULL past the end.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const pubsub_connector *pubsub_connector_at(size_t index);

/** Load a connector from a shared object, which stays loaded until the process ends.
 *  @param path  file name; not NULL. Without a slash it is looked for as dlopen(3) does.
 *  Returns:   PUBSUB_OK, PUBSUB_ENOTFOUND (no such object, or it exports no connector), PUBSUB_EVERSION.
 *  Thread:    any.
 *  Ownership: *out is the object's.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_connector_load(const char *path, const pubsub_connector **out,
                                            pubsub_error *err);

/* ---- running connectors in a program of one's own -------------------------------------------- */

/** A host with an event loop.
 *  Returns:   PUBSUB_OK, PUBSUB_EINVAL, PUBSUB_ENOMEM, PUBSUB_ESYSTEM.
 *  Thread:    any.
 *  Ownership: the caller frees *out.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_host_new(pubsub_host **out, pubsub_error *err);

/** Run the loop on the calling thread.
 *  @param timeout  milliseconds; 0 = what is ready now; -1 = until pubsub_host_stop().
 *  Returns:   PUBSUB_OK when stopped; PUBSUB_ETIMEDOUT when the time is over; PUBSUB_EINVAL.
 *  Thread:    one at a time; it is the host's thread while this runs.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_host_run(pubsub_host *host, pubsub_duration_ms timeout);

/** Make pubsub_host_run() return soon. It can be run again.
 *  Returns:   nothing.
 *  Thread:    any; also from a signal handler.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_host_stop(pubsub_host *host);

/** Release a host made by pubsub_host_new(). Every connector is finished and every timer and watch is
 *  freed before. NULL is fine.
 *  Returns:   nothing.
 *  Thread:    the one that ran it last.
 *  Ownership: ends the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_host_free(pubsub_host *host);

/** Check settings given as text against a connector's table and turn them into values, defaults
 *  included; the way from a program's own configuration to `initialize`.
 *  @param names   count of them; a name may repeat where the table says LIST.
 *  @param texts   their values as a person would write them.
 *  @param out     values in the order of the table.
 *  Returns:   PUBSUB_OK; PUBSUB_EOPTION naming the setting and the nearest valid name; PUBSUB_ENOMEM.
 *  Thread:    any.
 *  Ownership: free *out with pubsub_settings_free().
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_settings_new(const pubsub_connector *connector,
                                          const char *const *names, const char *const *texts,
                                          size_t count, pubsub_setting_value **out,
                                          size_t *out_count, pubsub_error *err);

/** Release values, wiping secrets. NULL is fine.
 *  Returns:   nothing.
 *  Thread:    any.
 *  Ownership: ends the caller's.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_settings_free(pubsub_setting_value *values, size_t count);

#ifdef __cplusplus
}
#endif

#endif
