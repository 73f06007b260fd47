/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SETUP_INTERNAL_H
#define PUBSUB_CLI_SETUP_INTERNAL_H

/* The steps of cli_setup_init. Each prints its errors and returns CLI_EXIT_OK or an exit code. */

#include "client_setup.h"
#include "config.h"
#include "origin.h"

#include <pubsub/url.h>

/* Who one place says we are. A password belongs to the user that stands beside it. */
typedef struct setup_login {
    char *user;     /* NULL = does not say */
    char *password; /* NULL = does not say */
    cli_origin user_from;
    cli_origin password_from;
} setup_login;

typedef struct setup_sources {
    cli_setup *setup;
    const cli_args *args;
    cli_config config;
    const char *url; /* the text of the broker URL */
    pubsub_url *parsed;
    const char *adapter;                     /* of its scheme; NULL = unknown */
    bool url_drop[PUBSUB_URL_QUERY_MAX];     /* query parameters that a flag overrides */
    setup_login logins[CLI_ORIGIN_FLAG + 1]; /* by kind of origin */
} setup_sources;

/* setup_options.c: one value from one place */
int setup_out_of_memory(void);
/* Set an option and note its origin. */
int setup_put(setup_sources *from, const char *name, const char *value, const cli_origin *origin);
int setup_put_user(setup_sources *from, const char *user, const cli_origin *origin);
int setup_put_password(setup_sources *from, const char *password, const cli_origin *origin);
/* From a file, which holds it in its first line. */
int setup_put_password_file(setup_sources *from, const char *path, const cli_origin *origin);
/* Whether the URL itself says it; if so and override, the URL's word is dropped where it can be. */
bool setup_url_says(setup_sources *from, const char *name, bool override);

/* setup_broker.c: which profile, which URL */
int setup_choose_profile(setup_sources *from, const char *broker);
int setup_choose_url(setup_sources *from, const char *broker);

/* setup_file.c: configuration file and environment */
int setup_read_config(setup_sources *from);
int setup_apply_file(setup_sources *from);
int setup_apply_env(setup_sources *from);
const char *setup_env(const char *name); /* NULL when unset or empty */

/* setup_flags.c: the command line */
int setup_apply_flags(setup_sources *from);
/* Flags that ask for what this broker has nothing to do with. */
int setup_check_flags(const setup_sources *from);

/* setup_login.c: which user and password hold, and the URL that is left */
int setup_finish_login(setup_sources *from);
int setup_finish_url(setup_sources *from);

void setup_sources_fini(setup_sources *from);

#endif
