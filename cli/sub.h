/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SUB_H
#define PUBSUB_CLI_SUB_H

/* The inside of `sub`: sub_plan.c turns flags into a plan, sub_message.c deals with one message,
 * sub_events.c hears what the client tells, cmd_sub.c subscribes, waits and ends. */

#include "client_setup.h"
#include "expect.h"
#include "jobs.h"
#include "output.h"
#include "printer.h"

#include <pubsub/client.h>

#define SUB_BATCH 256
/* What is kept of the output of one of several commands. */
#define SUB_OUTPUT_MAX ((size_t)64 * 1024 * 1024)
/* How long nothing must come for everything stored to have been read. */
#define SUB_END_MS 300

typedef enum sub_ack {
    SUB_ACK_AUTO = 0,
    SUB_ACK_EXEC = 1,
    SUB_ACK_NONE = 2,
} sub_ack;

typedef struct sub_topic {
    const char *pattern;
    pubsub_subscription *handle;
    bool subscribed;
    bool refused;
} sub_topic;

typedef struct sub_run {
    const cli_args *args;
    cli_setup setup;
    cli_events events;
    pubsub_client *client;
    pubsub_options *options; /* for each subscribe */
    sub_topic *topics;
    size_t topic_count;
    size_t subscribed; /* topics that were answered with yes */
    size_t refused;
    size_t turn; /* whose messages are taken next */

    cli_printer printer;
    cli_output out;
    cli_expect expect;
    const char *exec;
    size_t workers; /* commands at a time */
    cli_jobs *jobs; /* NULL = one at a time, here */
    const char *dump;
    sub_ack ack;
    unsigned needs;

    uint64_t limit;     /* messages; UINT64_MAX = no limit */
    uint64_t taken;     /* messages shown */
    uint64_t end_ns;    /* monotonic: --wait; UINT64_MAX = none */
    uint64_t within_ns; /* monotonic: --within, from the moment all is subscribed */
    int64_t idle_ms;    /* -1 = none */
    int64_t within_ms;
    uint64_t until_ns;   /* wall clock; 0 = none */
    uint64_t started_ns; /* wall clock */
    uint64_t active_ns;  /* monotonic: the last message, or all subscribed */
    double sample;       /* 0..1 */
    bool at_end;         /* --exit-at-end */
    bool only_retained;
    bool no_retained;

    /* Shown but not yet written out, so not yet acknowledged. */
    pubsub_message **pending;
    size_t pending_count;
    size_t pending_capacity;

    bool over; /* nothing more is taken */
    int code;  /* what is wrong, printed already */
} sub_run;

/* Returns an exit code; errors have been printed. */
int sub_plan(sub_run *run, bool *done);

/* The client's event handler; ctx is a sub_run. */
void sub_on_event(void *ctx, const pubsub_event *event);

/* Deal with one message, whose reference it takes over. */
void sub_message(sub_run *run, pubsub_message *message);

/* Deal with what commands have done; `all`: wait for every one that runs. */
void sub_jobs(sub_run *run, bool all);

/* Write out what was shown and acknowledge it. False when writing failed: run is over. */
bool sub_flush(sub_run *run);

#endif
