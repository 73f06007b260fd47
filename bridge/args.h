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
} bridge_args;

/* False when something is wrong; it has been said on stderr. */
bool bridge_args_parse(bridge_args *args, int argc, char **argv);

/* The help of the program, or of one command; false when there is no such command. */
bool bridge_help(const char *command);

#endif
