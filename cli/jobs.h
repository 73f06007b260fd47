/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_JOBS_H
#define PUBSUB_CLI_JOBS_H

/* Several commands at a time, one for each message: `--workers`. Each runs in a thread of its own that waits
 * for it; what it writes is kept until it has ended. Everything here is for one thread, the one that takes
 * messages and settles them. */

#include "base/buf.h"

#include <pubsub/message.h>

#include <pthread.h>

typedef struct cli_jobs cli_jobs;

typedef struct cli_job {
    struct cli_job *next;
    cli_jobs *jobs;
    pthread_t thread;
    pubsub_message *message; /* a reference, its taker's when it has ended */
    uint64_t n;
    pubsub__buf out; /* what it wrote to stdout */
    int result;      /* as of cli_exec */
    int error;       /* errno when that is negative */
} cli_job;

/* At most so many at a time; out_max bytes are kept of each. NULL with errno. */
cli_jobs *cli_jobs_new(size_t most, const char *command, const char *broker, size_t out_max);
/* All must have been taken. NULL is fine. */
void cli_jobs_free(cli_jobs *jobs);

/* Readable while one has ended that was not taken. */
int cli_jobs_fd(const cli_jobs *jobs);
/* How many were begun and not taken; 0 for NULL. */
size_t cli_jobs_open(const cli_jobs *jobs);
bool cli_jobs_full(const cli_jobs *jobs);
/* Begin one; takes over the reference, unless it fails: false with errno. */
bool cli_jobs_begin(cli_jobs *jobs, pubsub_message *message, uint64_t n);
/* One that has ended, NULL = none has. To be freed with its message unreferenced. */
cli_job *cli_jobs_take(cli_jobs *jobs);
/* The same, waiting for it; NULL = none is open. */
cli_job *cli_jobs_await(cli_jobs *jobs);
void cli_job_free(cli_job *job);

#endif
