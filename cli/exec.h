/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_EXEC_H
#define PUBSUB_CLI_EXEC_H

#include "view.h"

/* Run a shell command with the body on its stdin and the message's properties in PUBSUB_TOPIC,
 * PUBSUB_KEY, PUBSUB_H_<NAME>, PUBSUB_N, PUBSUB_ATTEMPT, PUBSUB_POSITION, PUBSUB_CONTENT_TYPE,
 * PUBSUB_REPLY_TO and PUBSUB_CORRELATION; values that hold a NUL are left out. Waits for its end.
 * Returns its exit code, 128 + the signal that ended it, or -1 with errno when it cannot be run. */
int cli_exec(const char *command, const cli_view *view);

#endif
