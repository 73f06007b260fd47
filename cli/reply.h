/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_REPLY_H
#define PUBSUB_CLI_REPLY_H

/* The inside of `reply`: reply_answer.c answers one request, cmd_reply.c subscribes, waits and ends. */

#include "client_setup.h"
#include "jobs.h"
#include "message_flags.h"

#include <pubsub/client.h>

/* The longest answer of a command. */
#define REPLY_MAX ((size_t)64 * 1024 * 1024)

typedef struct reply_run {
    const cli_args *args;
    cli_setup setup;
    cli_events events;
    pubsub_client *client;
    pubsub_options *options;
    pubsub_subscription *handle;
    const char *pattern;
    const char *exec;
    size_t workers; /* commands at a time */
    cli_jobs *jobs; /* NULL = one at a time, here */
    bool echo;
    bool template_on;
    cli_body body;
    pubsub__buf text; /* the body of one answer */
    pubsub_publication base;
    pubsub_header headers[PUBSUB_HEADERS_MAX];

    uint64_t limit; /* requests; UINT64_MAX = no limit */
    uint64_t taken; /* requests that were taken to be answered */
    uint64_t open;  /* answers without an outcome */
    uint64_t end_ns;
    bool refused;
    bool over;
    int code; /* what is wrong, printed already */
} reply_run;

void reply_fail(reply_run *run, int code);

/* Answer a request; takes over the reference. */
void reply_serve(reply_run *run, pubsub_message *request);

/* Answer with what commands have written; `all`: wait for every one that runs. Returns whether there was any. */
bool reply_jobs(reply_run *run, bool all);

#endif
