/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_ARGS_H
#define PUBSUB_BRIDGE_ARGS_H

/* The command line, from one table of options and one of commands; the help comes from the same. */

#include <stdbool.h>
#include <stddef.h>

typedef enum bridge_command {
    BRIDGE_RUN = 0,
    BRIDGE_CHECK,
    BRIDGE_STATUS,
    BRIDGE_SPOOL,
    BRIDGE_CONNECTORS,
    BRIDGE_VERSION,
    BRIDGE_HELP,
} bridge_command;

enum { BRIDGE_SETS_MAX = 256 };

typedef struct bridge_args {
    bridge_command command;
    const char *words[4]; /* behind the command */
    size_t word_count;
    const char *broker;
    const char *sets[BRIDGE_SETS_MAX];
    size_t set_count;
    int verbosity; /* -1 quiet, 0, 1 verbose, 2 debug */
    bool connect;
    bool json;
    bool manual;
} bridge_args;

typedef struct bridge_command_text {
    bridge_command command;
    const char *name;
    const char *words; /* what follows, for the help */
    const char *summary;
    const char *text; /* NULL = the summary says it all */
} bridge_command_text;

/* False when something is wrong; it has been said on stderr. */
bool bridge_args_parse(bridge_args *args, int argc, char **argv);

/* The help of the program, or of one command; false when there is no such command. */
bool bridge_help(const char *command);

/* Every command, and every option of one, for texts made of them. */
void bridge_args_commands(void (*each)(void *ctx, const bridge_command_text *command), void *ctx);
void bridge_args_options(bridge_command command,
                         void (*each)(void *ctx, char letter, const char *name, const char *arg,
                                      const char *help),
                         void *ctx);

/* manual.c: the manual page, on stdout. */
void bridge_manual(void);

#endif
