/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_EXEC_FEED_H
#define PUBSUB_BRIDGE_EXEC_FEED_H

/* A program as a feed: its lines become events, its end a new start. */

#include "connectors/exec/child.h"
#include "connectors/exec/line.h"

typedef struct exec_feed {
    pubsub_host *host;
    char *name;
    char **models;
    size_t model_count;
    char **argv;
    char **env; /* of the settings */
    char *dir;
    int restart; /* 0 always, 1 on failure, 2 never */
    pubsub_duration_ms backoff;
    pubsub_duration_ms backoff_max;
    size_t max_line;
    bool skip_bad;
    pubsub_duration_ms patience;

    pubsub_emitter *emitter; /* while it runs */
    exec_child *child;
    pubsub_host_timer *again;
    pubsub_duration_ms delay; /* before the next start */
    exec_line line;
    uint64_t line_number;
    bool told_active;
    bool skipping; /* the rest of a line that is too long */
    bool given_up; /* stopped for good */
    void (*done)(void *ctx);
    void *done_ctx;
} exec_feed;

/* Start the program. */
pubsub_err exec_feed_launch(exec_feed *feed, pubsub_error *err);
/* The timer `again`. */
void exec_feed_again(void *ctx);

#endif
