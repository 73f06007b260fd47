/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_SCRIPTED_H
#define PUBSUB_TESTS_SCRIPTED_H

/* A connector that does what a test says: it tells the numbers first..last of each of its models, as
 * {"n":7} with position "7". And a bridge around it: one source, one route, one `local:` broker. */

#include "engine/engine.h"
#include "support/tempdir.h"

#include <pubsub/pubsub.h>

typedef struct scripted_source {
    uint64_t last;        /* numbers 1..last of each model */
    bool endless;         /* live at the end, instead of ended */
    bool silent;          /* no event at all */
    bool stay_starting;   /* says nothing of its state */
    unsigned fail_starts; /* so many starts fail with PUBSUB_ECONNECT */
    size_t pad;           /* bytes that are added to each document */
    uint64_t done_before; /* begin behind this one where no position is stored */
    uint64_t held_from;   /* numbers from here on wait for scripted_release(); 0 = none */

    /* what happened */
    uint64_t told;
    uint64_t again; /* PUBSUB_EAGAIN */
    uint64_t resumed;
    uint64_t settled_ok;
    uint64_t settled_bad;
    uint64_t begun_at; /* number the last start began with */
    unsigned starts;
    unsigned stops;
    void *self; /* the running instance */
} scripted_source;

/* The one that instances use; a test has one at a time. */
extern scripted_source scripted;
void scripted_reset(void);
void scripted_go_on(void); /* after `last` was raised */

extern const pubsub_connector scripted_replays; /* REPLAYS */
extern const pubsub_connector scripted_settles; /* SETTLES */
extern const pubsub_connector scripted_plain;   /* neither */

/* A configuration by hand, below a temporary directory. */
typedef struct scripted_bridge {
    char dir[KIT_PATH_MAX];
    char state[KIT_PATH_MAX + 16];
    char url[KIT_PATH_MAX + 64];
    char *models[4];
    bridge_route route[2];
    bridge_broker broker;
    bridge_source source;
    bridge_config config;
    pubsub_host *host;
    bridge_engine *engine;
    unsigned states; /* notes */
    unsigned errors;
    unsigned events;
    char last_error[256];
    char last_state[64]; /* "accounts: active" */
    bool done;
    bool clean;
} scripted_bridge;

/* One model "accounts", topic "t/{model}", format event, in_flight 50. */
void scripted_bridge_init(scripted_bridge *bridge, const pubsub_connector *connector);
/* The same in a directory that is there. */
void scripted_bridge_at(scripted_bridge *bridge, const char *dir,
                        const pubsub_connector *connector);
void scripted_bridge_fini(scripted_bridge *bridge);
void scripted_run(scripted_bridge *bridge);  /* make host and engine */
void scripted_stop(scripted_bridge *bridge); /* drain and free them */
/* Run the host until the condition holds; fails the test when it does not within KIT_PATIENCE. */
void scripted_until(scripted_bridge *bridge, bool (*holds)(scripted_bridge *bridge));
void scripted_for(scripted_bridge *bridge, int64_t ms);
bridge_route_view scripted_view(scripted_bridge *bridge);

/* Conditions. */
bool scripted_is_ended(scripted_bridge *bridge);
bool scripted_is_active(scripted_bridge *bridge);
bool scripted_is_stopped(scripted_bridge *bridge);
bool scripted_is_waiting(scripted_bridge *bridge);

/* Everything that is in the bus, oldest first. */
typedef struct scripted_bus {
    pubsub_client *client;
    pubsub_message *messages[60000];
    size_t count;
} scripted_bus;
void scripted_read(const char *url, scripted_bus *bus);
void scripted_forget(scripted_bus *bus);
/* The number in a message of the event format; 0 when there is none. */
uint64_t scripted_number(const pubsub_message *message);

#endif
