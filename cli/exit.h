/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_EXIT_H
#define PUBSUB_CLI_EXIT_H

#include <pubsub/error.h>

/* Exit codes. Scripts branch on them: values never change. */
enum cli_exit {
    CLI_EXIT_OK = 0,
    CLI_EXIT_FAILED = 1,      /* other run-time error */
    CLI_EXIT_USAGE = 2,       /* wrong usage or configuration */
    CLI_EXIT_CONNECT = 3,     /* cannot connect, or lost and gave up */
    CLI_EXIT_DENIED = 4,      /* authentication, authorisation or TLS refused */
    CLI_EXIT_UNCONFIRMED = 5, /* a message was not confirmed, unroutable or rejected */
    CLI_EXIT_TIMEOUT = 6,     /* time is over, or fewer messages than asked for */
    CLI_EXIT_UNSUPPORTED = 7, /* this broker cannot do what was asked */
    CLI_EXIT_VERIFY = 8,      /* a check failed: loss, duplicate, order, content */
    CLI_EXIT_INVALID = 9,     /* objective missed, or the measurement is not valid */
    CLI_EXIT_SIGINT = 130,
    CLI_EXIT_SIGTERM = 143,
};

typedef struct cli_exit_row {
    int code;
    const char *meaning;
} cli_exit_row;

/* For the manual; ended by a row without meaning. */
extern const cli_exit_row cli_exit_rows[];

/* The exit code of an error of the library; 0 for PUBSUB_OK. */
int cli_exit_of(pubsub_err code);

#endif
