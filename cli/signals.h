/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SIGNALS_H
#define PUBSUB_CLI_SIGNALS_H

/* SIGINT and SIGTERM: the first asks for an orderly end, the second ends the process at once with
 * 128 + its number. SIGPIPE is ignored, so that a closed stdout is an error of write(). */

#include <stdbool.h>

/* False, with errno, when the pipe cannot be made. */
bool cli_signals_install(void);
/* The first signal that came, 0 = none so far. */
int cli_signals_got(void);
/* Readable once a signal has come: for poll(2). */
int cli_signals_fd(void);
/* 130 or 143 for the signal that came, `otherwise` when none did. */
int cli_signals_exit(int otherwise);

#endif
