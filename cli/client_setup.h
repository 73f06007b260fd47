/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_CLIENT_SETUP_H
#define PUBSUB_CLI_CLIENT_SETUP_H

/* From flags, environment, profile and configuration file to a broker URL and options.
 * Precedence: flag > environment > profile > file > built-in. */

#include "config.h"
#include "opt.h"
#include "origin.h"

#include <pubsub/client.h>

typedef struct cli_setup {
    char *url;                 /* what to give to pubsub_client_new */
    char shown[512];           /* the URL for people: without secrets */
    char scheme[32];           /* "local" */
    pubsub_options *client;    /* for pubsub_client_new */
    pubsub_options *subscribe; /* what -X and the file say for subscriptions */
    pubsub_options *publish;   /* the same for publishes */
    int64_t timeout_ms;        /* --timeout; -1 = no limit */
    cli_origins origins;       /* where the options come from */
    cli_origin url_from;       /* where the URL comes from */
    char *profile;             /* the profile in use, NULL = none */
    cli_origin profile_from;   /* who named it */
    char *config_path;         /* the configuration file, NULL = none */
    bool broker_given;         /* somebody named a broker; otherwise url is the built-in local: */
} cli_setup;

/* Read everything; errors have been printed. Returns CLI_EXIT_OK or an exit code; cli_setup_fini is
 * fine in both cases. `-X list` and `-X dump` are answered on stdout: then *done is true and the
 * command is over. broker overrides -b; NULL = as the flags say. */
int cli_setup_init(cli_setup *setup, const cli_args *args, const char *broker, bool *done);
void cli_setup_fini(cli_setup *setup);

/* Only the configuration file: *path is NULL when there is none. cli_setup_config_fini is fine in
 * all cases. cli_setup_profile says which profile flags, environment and file choose, whether it
 * exists or not; NULL = none. */
int cli_setup_config(const cli_args *args, cli_config *config, char **path);
void cli_setup_config_fini(cli_config *config, char *path);
const char *cli_setup_profile(const cli_args *args, const cli_config *config);

/* Make a client. Errors have been printed; returns CLI_EXIT_OK or an exit code. */
int cli_setup_client(const cli_setup *setup, pubsub_client **out);

/* Set an option; errors have been printed. Returns CLI_EXIT_OK or CLI_EXIT_USAGE. */
int cli_setup_option(pubsub_options *options, const char *name, const char *value);

/* What happened to the connection, told in one line of stderr per loss, recovery, gap and error. To be
 * called from an event handler with all events. */
typedef struct cli_events {
    const cli_setup *setup;
    bool connected;    /* at least once */
    bool lost;         /* and not there again */
    bool closed;       /* for good: the first connect failed, or it was given up */
    pubsub_error last; /* the last failure, PUBSUB_OK = none */
} cli_events;
void cli_events_tell(cli_events *events, const pubsub_event *event);

/* Print "pubsub: what: text" for a failure and return its exit code. */
int cli_fail(const char *what, const pubsub_error *err);
/* The same for a client that never got connected: what has no exit code of its own is "cannot
 * connect". */
int cli_fail_connect(const cli_setup *setup, const pubsub_error *err);

#endif
