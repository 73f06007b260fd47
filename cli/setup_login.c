/* SPDX-License-Identifier: MIT */
#include "setup_internal.h"

#include "exit.h"
#include "say.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* The user and password of the URL, as its user part or as parameters. */
static int read_url_login(setup_sources *from)
{
    const char *user = pubsub_url_user(from->parsed);
    const char *password = pubsub_url_password(from->parsed);
    cli_origin origin = cli_origin_make(CLI_ORIGIN_URL, "URL");
    int code = CLI_EXIT_OK;

    user = user != NULL ? user : pubsub_url_query(from->parsed, "user");
    password = password != NULL ? password : pubsub_url_query(from->parsed, "password");
    if (user != NULL && user[0] != '\0') {
        code = setup_put_user(from, user, &origin);
    }
    if (code == CLI_EXIT_OK && password != NULL) {
        code = setup_put_password(from, password, &origin);
    }
    return code;
}

/* What the file says of user and password is for the brokers of the file: a URL that was named
 * elsewhere gets them only when the profile was asked for beside it. */
static bool is_for_this_broker(const setup_sources *from, size_t kind)
{
    const cli_setup *setup = from->setup;
    bool in_file = kind == CLI_ORIGIN_FILE || kind == CLI_ORIGIN_PROFILE;

    return !in_file ||
           (setup->url_from.kind != CLI_ORIGIN_FLAG && setup->url_from.kind != CLI_ORIGIN_ENV) ||
           setup->profile_from.kind == CLI_ORIGIN_FLAG;
}

static const setup_login *choose_user(const setup_sources *from)
{
    for (size_t kind = CLI_ORIGIN_FLAG + 1; kind-- > 0;) {
        if (from->logins[kind].user != NULL && is_for_this_broker(from, kind)) {
            return &from->logins[kind];
        }
    }
    return NULL;
}

/* The broker that one place names. */
static const char *broker_beside(const setup_sources *from, size_t kind)
{
    const char *profile = from->setup->profile;

    switch (kind) {
    case CLI_ORIGIN_FILE:
        return cli_config_get(&from->config, "", "broker");
    case CLI_ORIGIN_PROFILE:
        return profile != NULL ? cli_config_get(&from->config, profile, "broker") : NULL;
    case CLI_ORIGIN_ENV:
        return setup_env("PUBSUB_BROKER");
    default:
        return NULL;
    }
}

/* Whether the password of a place is for this user: the place names nobody else, neither itself nor
 * in the URL that stands there, be it in use or not. */
static bool is_for_user(const setup_sources *from, size_t kind, const char *user)
{
    const char *beside = from->logins[kind].user;
    const char *broker = broker_beside(from, kind);
    pubsub_url *url = NULL;
    bool same;

    if (beside == NULL && broker != NULL && pubsub_url_parse(&url, broker, NULL) == PUBSUB_OK) {
        beside = pubsub_url_user(url);
        beside = beside != NULL ? beside : pubsub_url_query(url, "user");
    }
    same = beside == NULL || beside[0] == '\0' || (user != NULL && strcmp(beside, user) == 0);
    pubsub_url_free(url);
    return same;
}

/* The highest password, but never one that stands beside another user. */
static const setup_login *choose_password(const setup_sources *from, const char *user)
{
    for (size_t kind = CLI_ORIGIN_FLAG + 1; kind-- > 0;) {
        const setup_login *login = &from->logins[kind];
        bool here = is_for_this_broker(from, kind);

        if (login->password == NULL) {
            continue;
        }
        if (here && is_for_user(from, kind, user)) {
            return login;
        }
        cli_verbose("the password of %s is not used: it is for another %s",
                    login->password_from.detail, here ? "user" : "broker");
    }
    return NULL;
}

static int put_final(setup_sources *from, const char *name, const char *value,
                     const cli_origin *origin)
{
    int code = cli_setup_option(from->setup->client, name, value);

    if (code == CLI_EXIT_OK && !cli_origins_set(&from->setup->origins, name, origin)) {
        code = setup_out_of_memory();
    }
    return code;
}

/* Both go into the options, and setup_finish_url takes them out of the URL. */
int setup_finish_login(setup_sources *from)
{
    int code = read_url_login(from);
    const setup_login *user = choose_user(from);
    const setup_login *password = choose_password(from, user != NULL ? user->user : NULL);

    if (code == CLI_EXIT_OK && user != NULL) {
        code = put_final(from, "user", user->user, &user->user_from);
    }
    if (code == CLI_EXIT_OK && password != NULL) {
        code = put_final(from, "password", password->password, &password->password_from);
    }
    (void)setup_url_says(from, "user", true);
    (void)setup_url_says(from, "password", true);
    return code;
}

/* The URL's parameters that were not overridden. */
static bool put_query(const setup_sources *from, pubsub__buf *buf, const char *query)
{
    char mark = '?';
    bool ok = true;

    for (size_t i = 0; *query != '\0' && i < PUBSUB_URL_QUERY_MAX; i++) {
        size_t len = strcspn(query, "&");

        if (!from->url_drop[i]) {
            ok = pubsub__buf_add_byte(buf, mark) == PUBSUB__BUF_OK &&
                 pubsub__buf_add(buf, query, len) == PUBSUB__BUF_OK && ok;
            mark = '&';
        }
        query += len + (query[len] == '&');
    }
    return ok;
}

/* What the URL says of options is known as such. */
static int note_parameters(setup_sources *from)
{
    cli_origin origin = cli_origin_make(CLI_ORIGIN_URL, "URL");
    const char *key;
    char name[300];

    for (size_t i = 0; (key = pubsub_url_query_at(from->parsed, i, NULL)) != NULL; i++) {
        bool own = pubsub_option_find(key, NULL) == NULL && strchr(key, '.') == NULL &&
                   from->adapter != NULL;

        (void)snprintf(name, sizeof(name), "%s%s%s", own ? from->adapter : "", own ? "." : "", key);
        if (!from->url_drop[i] && !cli_origins_set(&from->setup->origins, name, &origin)) {
            return setup_out_of_memory();
        }
    }
    return CLI_EXIT_OK;
}

/* A URL that is shown with a user must not name one whom a flag replaced. */
static void show_without_user(const setup_sources *from)
{
    pubsub_url *url = NULL;

    if (cli_origins_get(&from->setup->origins, "user")->kind != CLI_ORIGIN_URL &&
        pubsub_url_user(from->parsed) != NULL && from->adapter != NULL &&
        pubsub_url_parse(&url, from->setup->url, NULL) == PUBSUB_OK) {
        (void)pubsub_url_redacted(url, from->setup->shown, sizeof(from->setup->shown));
    }
    pubsub_url_free(url);
}

int setup_finish_url(setup_sources *from)
{
    const char *rest = from->url;
    const char *authority = strstr(rest, "://");
    size_t len = strcspn(rest, "?");
    const char *at;
    pubsub__buf buf;
    bool ok;

    pubsub__buf_init(&buf, PUBSUB_URL_MAX + 1);
    ok = true;
    if (authority != NULL && (size_t)(authority - rest) == strlen(from->setup->scheme)) {
        authority += 3;
        at = memchr(authority, '@', strcspn(authority, "/?"));
        if (at != NULL) {
            ok = pubsub__buf_add(&buf, rest, (size_t)(authority - rest)) == PUBSUB__BUF_OK;
            len -= (size_t)(at + 1 - rest);
            rest = at + 1;
        }
    }
    ok = ok && pubsub__buf_add(&buf, rest, len) == PUBSUB__BUF_OK;
    if (ok && rest[len] == '?') {
        ok = put_query(from, &buf, rest + len + 1);
    }
    from->setup->url = ok ? pubsub__strdup(pubsub__buf_text(&buf)) : NULL;
    pubsub__buf_fini(&buf);
    if (from->setup->url == NULL) {
        return setup_out_of_memory();
    }
    show_without_user(from);
    return note_parameters(from);
}

static void wipe_text(char *text)
{
    if (text != NULL) {
        pubsub__wipe(text, strlen(text));
        pubsub__free(text);
    }
}

void setup_sources_fini(setup_sources *from)
{
    for (size_t kind = 0; kind <= CLI_ORIGIN_FLAG; kind++) {
        wipe_text(from->logins[kind].user);
        wipe_text(from->logins[kind].password);
    }
    pubsub_url_free(from->parsed);
    cli_config_fini(&from->config);
}
