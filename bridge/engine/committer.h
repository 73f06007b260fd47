/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_COMMITTER_H
#define PUBSUB_BRIDGE_COMMITTER_H

/* Writes checkpoints on a thread of its own, because that waits for the disk. */

#include "base/buf.h"

#include <pubsub/connector.h>

typedef struct bridge_committer bridge_committer;

/* One write. The owner keeps it until `done` was called, which happens exactly once, on the host's
 * thread. */
typedef struct bridge_commit_job {
    struct bridge_commit_job *next; /* the committer's */
    bridge_committer *committer;
    const char *directory;
    const char *route;
    pubsub_bytes model;
    pubsub__buf position;
    pubsub_err rc;
    pubsub_error error;
    void (*done)(struct bridge_commit_job *job);
    void *owner;
} bridge_commit_job;

/* NULL when memory is short or no thread can be had. */
bridge_committer *bridge_committer_new(pubsub_host *host);
/* After the last job is done. NULL is fine. */
void bridge_committer_free(bridge_committer *committer);
void bridge_committer_submit(bridge_committer *committer, bridge_commit_job *job);

#endif
