/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_SCRIPTED_INTERNAL_H
#define PUBSUB_TESTS_SCRIPTED_INTERNAL_H

/* Shared by the three files of the scripted broker: scripted_adapter.c is what the core calls,
 * scripted_actions.c what a test makes happen, scripted_plan.c what it sets and reads. */

#include "support/scripted_adapter.h"

#include <pubsub/spi/sink.h>

enum { PLAN_MAX = 64, SUBS_MAX = 64, LINKS_MAX = 64 };

typedef struct scripted_client instance;

typedef struct planned {
    pubsub_err code;
    int64_t delay_ms;
} planned;

typedef struct scripted_action {
    void (*run)(instance *self, struct scripted_action *action);
    const char *pattern;
    const scripted_message *messages;
    const char *reason;
    const char *correlation;
    size_t count;
    size_t left;
    uint64_t from, to;
    uint64_t missed;
    uint32_t link;
    pubsub_outcome outcome;
    pubsub_err code;
    bool done;
} scripted_action;

struct scripted {
    pthread_mutex_t lock; /* guards everything below but net, name and url */
    kit_net *net;
    char name[16];
    char url[32];
    pubsub_caps caps;
    pubsub_caps server_caps;
    bool has_server_caps;
    planned plan[PLAN_MAX];
    size_t planned, used;
    pubsub_err always;
    size_t take;
    bool hold, hold_subscribes, resumes, own_links, respect_credit;
    bool native_nack, redelivers, gaps, lingers, echoes, keys;
    int64_t close_delay_ms;
    char refused[64];
    pubsub_err refusal;
    scripted_note *notes;
    size_t note_count, note_capacity;
    size_t in_flight;
    scripted_action *action;
    instance *live; /* the client there is */
};

typedef struct delayed {
    instance *self;
    pubsub_timer *timer;
    uint32_t link;
    pubsub_err code;
} delayed;

typedef struct served {
    pubsub_spi_subscription *subscription;
    scripted_message *waiting; /* beyond the credit */
    size_t waiting_count;
} served;

struct scripted_client {
    scripted *broker;
    pubsub_sink *sink;
    delayed links[LINKS_MAX];
    delayed closing;
    served subs[SUBS_MAX];
    size_t sub_count;
    pubsub_spi_publish **flight;
    size_t flight_count, flight_capacity;
};

/* scripted_plan.c */
void scripted__lock(scripted *broker);
void scripted__unlock(scripted *broker);
scripted *scripted__find(const pubsub_url *url);
/* @locks the broker's is held */
scripted_note *scripted__note(scripted *broker, scripted_kind kind, const char *text,
                              uint64_t number);
void scripted__jot(scripted *broker, scripted_kind kind, const char *text, uint64_t number);
pubsub_error scripted__error(pubsub_err code);

/* scripted_adapter.c */
extern const pubsub_adapter scripted__table;
/* The oldest publish in flight, no longer in flight. */
pubsub_spi_publish *scripted__land(instance *self);
void scripted__finish(instance *self, pubsub_spi_publish *publish, pubsub_outcome outcome,
                      pubsub_err code);
/* The same, accepted and received by nobody. */
void scripted__finish_nobody(instance *self, pubsub_spi_publish *publish);
/* End all that is in flight: so many as unknown, the rest as not sent. */
void scripted__fly_home(instance *self, size_t unknown, pubsub_err code);
served *scripted__served(instance *self, const char *pattern);
void scripted__answer_subscribe(instance *self, pubsub_spi_subscription *subscription);
void scripted__give(instance *self, pubsub_spi_subscription *subscription,
                    const scripted_message *messages, size_t count);
/* An answer to the subscription with that pattern; false when there is none. */
bool scripted__reply(instance *self, pubsub_bytes inbox, pubsub_bytes correlation,
                     pubsub_bytes payload);
/* Give as much of what waits as credit allows. */
void scripted__give_waiting(instance *self, served *mine);

/* scripted_actions.c: run what a test asked for, on the I/O thread. */
void scripted__act(instance *self);

#endif
