/* SPDX-License-Identifier: MIT */
#include "setup_internal.h"

#include "exit.h"
#include "say.h"
#include "secret.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

int setup_out_of_memory(void)
{
    cli_error("out of memory");
    return CLI_EXIT_FAILED;
}

/* The keys of the file that are no options, for those who mistype them. */
static int fail_option(const char *name, const cli_origin *origin, const pubsub_error *err)
{
    static const char *const keys[] = {"broker", "profile", "password_file"};
    bool in_file = origin->kind == CLI_ORIGIN_FILE || origin->kind == CLI_ORIGIN_PROFILE;
    pubsub__nearest nearest;
    const char *best = NULL;

    if (in_file && pubsub_option_find(name, NULL) == NULL) {
        pubsub__nearest_init(&nearest, name);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            pubsub__nearest_offer(&nearest, keys[i]);
        }
        for (size_t i = 0; pubsub_option_at(i) != NULL; i++) {
            pubsub__nearest_offer(&nearest, pubsub_option_at(i)->name);
        }
        best = pubsub__nearest_result(&nearest);
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]) && best != NULL; i++) {
            if (best == keys[i]) {
                return cli_usage("%s: unknown option '%.64s', did you mean '%s'?", origin->detail,
                                 name, best);
            }
        }
    }
    return cli_usage("%s: %s", origin->detail, pubsub_error_text(err));
}

static int set_in(pubsub_options *options, const char *name, const char *value,
                  const cli_origin *origin)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    return pubsub_options_set(options, name, value, &err) == PUBSUB_OK
               ? CLI_EXIT_OK
               : fail_option(name, origin, &err);
}

/* Put an option where it belongs by its scopes. Without a row the adapter is not built: the
 * client's set takes the name or says why not. */
static int set_scoped(cli_setup *setup, const char *name, const char *value,
                      const cli_origin *origin)
{
    const pubsub_option_row *row = pubsub_option_find(name, NULL);
    uint32_t scopes = row != NULL ? row->scopes : PUBSUB_SCOPE_CLIENT;
    int code = CLI_EXIT_OK;

    if ((scopes & PUBSUB_SCOPE_CLIENT) != 0) {
        return set_in(setup->client, name, value, origin);
    }
    if ((scopes & PUBSUB_SCOPE_SUBSCRIBE) != 0) {
        code = set_in(setup->subscribe, name, value, origin);
    }
    if ((scopes & PUBSUB_SCOPE_PUBLISH) != 0 && code == CLI_EXIT_OK) {
        code = set_in(setup->publish, name, value, origin);
    }
    return code;
}

/* Keep a text of a login; the checks of the option are those of the table. */
static int keep(cli_setup *setup, char **where, cli_origin *from, const char *name,
                const char *value, const cli_origin *origin)
{
    int code = set_in(setup->client, name, value, origin);

    (void)pubsub_options_unset(setup->client, name);
    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (*where != NULL) {
        pubsub__wipe(*where, strlen(*where));
        pubsub__free(*where);
    }
    *where = pubsub__strdup(value);
    *from = *origin;
    return *where != NULL ? CLI_EXIT_OK : setup_out_of_memory();
}

int setup_put_user(setup_sources *from, const char *user, const cli_origin *origin)
{
    setup_login *login = &from->logins[origin->kind];

    return keep(from->setup, &login->user, &login->user_from, "user", user, origin);
}

int setup_put_password(setup_sources *from, const char *password, const cli_origin *origin)
{
    setup_login *login = &from->logins[origin->kind];

    return keep(from->setup, &login->password, &login->password_from, "password", password, origin);
}

int setup_put_password_file(setup_sources *from, const char *path, const cli_origin *origin)
{
    char secret[CLI_SECRET_MAX];
    int code = cli_secret_file(path, origin->detail, secret, sizeof(secret));

    if (code == CLI_EXIT_OK) {
        code = setup_put_password(from, secret, origin);
    }
    pubsub__wipe(secret, sizeof(secret));
    return code;
}

/* A query key is an option's name, or that of the adapter's own option without its prefix. */
static bool key_means(const setup_sources *from, const char *key, const char *name)
{
    size_t len = from->adapter != NULL ? strlen(from->adapter) : 0;

    return strcmp(key, name) == 0 || (len > 0 && strncmp(name, from->adapter, len) == 0 &&
                                      name[len] == '.' && strcmp(name + len + 1, key) == 0);
}

bool setup_url_says(setup_sources *from, const char *name, bool override)
{
    uint16_t port = 0;
    const char *host = pubsub_url_host(from->parsed, 0, &port);
    const char *key;
    bool said = (strcmp(name, "host") == 0 && host != NULL && host[0] != '\0') ||
                (strcmp(name, "port") == 0 && port != 0);

    for (size_t i = 0; (key = pubsub_url_query_at(from->parsed, i, NULL)) != NULL; i++) {
        if (key_means(from, key, name)) {
            said = true;
            from->url_drop[i] = from->url_drop[i] || override;
        }
    }
    return said;
}

int setup_put(setup_sources *from, const char *name, const char *value, const cli_origin *origin)
{
    bool by_flag = origin->kind == CLI_ORIGIN_FLAG;
    int code;

    if (strcmp(name, "user") == 0) {
        return setup_put_user(from, value, origin);
    }
    if (strcmp(name, "password") == 0) {
        return setup_put_password(from, value, origin);
    }
    code = set_scoped(from->setup, name, value, origin);
    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (setup_url_says(from, name, by_flag) && !by_flag) {
        (void)pubsub_options_unset(from->setup->client, name); /* checked, but the URL counts */
        return CLI_EXIT_OK;
    }
    return cli_origins_set(&from->setup->origins, name, origin) ? CLI_EXIT_OK
                                                                : setup_out_of_memory();
}
