/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_EXEC_H
#define PUBSUB_CLI_EXEC_H

#include "view.h"

#include "base/buf.h"

/* Run a shell command with the body on its stdin and the message's properties in PUBSUB_TOPIC,
 * PUBSUB_KEY, PUBSUB_H_<NAME>, PUBSUB_N, PUBSUB_ATTEMPT, PUBSUB_POSITION, PUBSUB_CONTENT_TYPE,
 * PUBSUB_REPLY_TO and PUBSUB_CORRELATION; values that hold a NUL are left out. Waits for its end.
 * May be called by several threads at the same time. Returns its exit code, 128 + the signal that ended it, or -1 with errno when it cannot be run. */
int cli_exec(const char *command, const cli_view *view);

/* The same, with what it writes to stdout added to out; more than fits there leaves out empty, and the
 * result is that of SIGPIPE. out NULL = stdout is ours. */
int cli_exec_capture(const char *command, const cli_view *view, pubsub__buf *out);

#endif
