/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SENDER_H
#define PUBSUB_CLI_SENDER_H

/* Publishes batches and keeps the account: what was queued, confirmed, refused. One thread; all waiting
 * is one poll(2) on the client, the signals and whatever the caller waits for. */

#include "client_setup.h"

typedef struct cli_sender {
    const cli_setup *setup;
    pubsub_client *client;
    cli_events events;
    uint64_t queued;
    uint64_t reported;
    uint64_t failed; /* of those reported */
    uint64_t too_big;
    uint64_t progress_ns; /* when something was last queued or reported */
    pubsub_outcome first_outcome;
    pubsub_error first_error; /* of the first that failed */
    bool confirm;             /* count on a report for each message */
    int code;                 /* the exit code of what went wrong so far, printed already */
} cli_sender;

/* Make the client. Errors have been printed; returns an exit code. */
int cli_sender_init(cli_sender *sender, const cli_setup *setup, bool confirm);
void cli_sender_fini(cli_sender *sender);

/* Queue count publications, waiting for room. Returns false when it is over: a signal, or
 * sender->code. first is the number of the first one, for messages. */
bool cli_sender_send(cli_sender *sender, const pubsub_publication *publications, size_t count,
                     uint64_t first);

/* Wait until fd is readable, the time is over (-1 = no limit), or a signal came; reports are taken
 * meanwhile. fd -1 = none. Returns true when fd is readable. */
bool cli_sender_wait(cli_sender *sender, int fd, int64_t timeout_ms);

/* Wait for every confirmation, end the client, tell what failed. Returns the exit code. */
int cli_sender_finish(cli_sender *sender);

#endif
