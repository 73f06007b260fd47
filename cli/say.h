/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SAY_H
#define PUBSUB_CLI_SAY_H

/* What people are told: always on stderr, always whole lines that begin with "pubsub: ". */

#include <pubsub/types.h>

typedef enum cli_color {
    CLI_COLOR_AUTO = 0,
    CLI_COLOR_ALWAYS = 1,
    CLI_COLOR_NEVER = 2,
} cli_color;

/* verbosity: -1 quiet (errors only), 0 normal, 1 verbose, 2 debug. */
void cli_say_setup(int verbosity, cli_color color);
int cli_say_verbosity(void);

void cli_error(const char *format, ...) PUBSUB_PRINTF(1, 2);   /* always */
void cli_warn(const char *format, ...) PUBSUB_PRINTF(1, 2);    /* unless quiet */
void cli_verbose(const char *format, ...) PUBSUB_PRINTF(1, 2); /* with -v */

/* "pubsub: what: hint" and the exit code for wrong usage. */
int cli_usage(const char *format, ...) PUBSUB_PRINTF(1, 2);

#endif
