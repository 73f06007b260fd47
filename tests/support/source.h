/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_SOURCE_H
#define PUBSUB_TESTS_SOURCE_H

/* A connector that runs with an emitter of the test's own: what it told, and what was stored. The
 * position of an event is stored as soon as it is taken. */

#include "http/client.h"
#include "support/cmocka.h"
#include "support/wait.h"

#include <pubsub/connector.h>

typedef struct kit_event_copy {
    char *model;
    char *id;
    char *key;
    char *document;
    pubsub_change change;
} kit_event_copy;

typedef struct kit_source {
    pubsub_emitter emitter; /* first */
    pubsub_host *host;
    const pubsub_connector *connector;
    void *instance; /* NULL = not running */
    kit_event_copy *events;
    size_t count;
    size_t room;      /* events taken before PUBSUB_EAGAIN; SIZE_MAX = any */
    size_t refused;   /* how often that was */
    size_t positions; /* told without an event */
    size_t alives;
    struct {
        char model[64];
        char *text;
        pubsub_source_state state;
    } models[16];
    pubsub_source_state seen[64]; /* all states of all models, in order */
    size_t seen_count;
    char errors[8192]; /* one a line */
    size_t error_count;
    pubsub_error last_error;
    bridge_http *http; /* for kit_source_ask */
    char answer[65536];
    size_t answer_len;
    int status;
    bool answered;
    bool stopped;
} kit_source;

void kit_source_init(kit_source *source, const char *connector);
void kit_source_fini(kit_source *source);
/* Start with settings "name=value" and models, both ended by NULL. */
void kit_source_start(kit_source *source, const char *const *settings, const char *const *models);
/* What initializing says; nothing is started. */
pubsub_err kit_source_try(kit_source *source, const char *const *settings, pubsub_error *err);
/* Stop it only. */
void kit_source_halt(kit_source *source);
/* Stop and release it; what was told and stored stays. */
void kit_source_stop(kit_source *source);
/* Run `check` and leave its findings, one a line, in errors. */
void kit_source_check(kit_source *source, const char *const *settings, const char *const *models);

/* Events of an id or a key; NULL = any. */
size_t kit_source_count(const kit_source *source, const char *id);
const kit_event_copy *kit_source_last(const kit_source *source, const char *key);
pubsub_source_state kit_source_state(const kit_source *source, const char *model);
const char *kit_source_stored(const kit_source *source, const char *model); /* NULL = none */
/* NULL takes it away. */
void kit_source_store(kit_source *source, const char *model, const char *position);
void kit_source_forget(kit_source *source); /* events, errors and states, not positions */

/* A request to a server of the test's, while the connector goes on; its status. The answer's body is in
 * source->answer. */
int kit_source_ask(kit_source *source, const char *method, const char *url, const char *body);

/* Wait until cond holds, or fail the test with the errors that were told. */
#define KIT_SOURCE_AWAIT(source, cond)                                                             \
    do {                                                                                           \
        kit_deadline until_ = kit_in(KIT_PATIENCE);                                                \
        while (!(cond)) {                                                                          \
            if (kit_over(until_)) {                                                                \
                fail_msg("waited in vain for: %s; %zu events, errors:\n%s", #cond,                 \
                         (source)->count, (source)->errors);                                       \
            }                                                                                      \
            (void)pubsub_host_run((source)->host, 2);                                              \
        }                                                                                          \
    } while (0)

#endif
