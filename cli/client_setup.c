/* SPDX-License-Identifier: MIT */
#include "client_setup.h"

#include "config.h"
#include "exit.h"
#include "options_list.h"
#include "say.h"
#include "secret.h"

#include "base/alloc.h"
#include "base/text.h"

#include <pubsub/log.h>
#include <pubsub/url.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct setup_sources {
    cli_setup *setup;
    const cli_args *args;
    cli_config config;
    const char *profile; /* NULL = none */
    const char *url;
    bool url_has_user;
} setup_sources;

/* A flag that is an option of the client under another name. */
typedef struct setup_flag {
    const char *flag;
    const char *option;
} setup_flag;

static const setup_flag text_flags[] = {
    {"user", "user"},         {"client-id", "client_id"}, {"tls-ca", "tls_ca"},
    {"tls-cert", "tls_cert"}, {"tls-key", "tls_key"},     {"tls-sni", "tls_server_name"},
};

int cli_fail(const char *what, const pubsub_error *err)
{
    cli_error("%s: %s", what, pubsub_error_text(err));
    return cli_exit_of(err->code);
}

int cli_fail_connect(const cli_setup *setup, const pubsub_error *err)
{
    int code = cli_fail(setup->shown, err);

    return code == CLI_EXIT_FAILED || code == CLI_EXIT_TIMEOUT ? CLI_EXIT_CONNECT : code;
}

int cli_setup_option(pubsub_options *options, const char *name, const char *value)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    if (pubsub_options_set(options, name, value, &err) != PUBSUB_OK) {
        return cli_fail("wrong option", &err);
    }
    return CLI_EXIT_OK;
}

/* Put an option where it belongs by its scopes. */
static int set_scoped(cli_setup *setup, const char *name, const char *value)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const pubsub_option_row *row = pubsub_option_find(name, &err);
    uint32_t scopes = row != NULL ? row->scopes : PUBSUB_SCOPE_CLIENT;
    int code = CLI_EXIT_OK;

    /* Without a row the adapter is not built: the client's set takes the name or says why not. */
    if ((scopes & PUBSUB_SCOPE_CLIENT) != 0) {
        return cli_setup_option(setup->client, name, value);
    }
    if ((scopes & PUBSUB_SCOPE_SUBSCRIBE) != 0) {
        code = cli_setup_option(setup->subscribe, name, value);
    }
    if ((scopes & PUBSUB_SCOPE_PUBLISH) != 0 && code == CLI_EXIT_OK) {
        code = cli_setup_option(setup->publish, name, value);
    }
    return code;
}

/* ---- configuration file -------------------------------------------------------------------- */

static int read_config(setup_sources *from)
{
    const char *path = cli_text(from->args, "config");
    char standard[PATH_MAX];
    char err[512];

    if (path == NULL) {
        if (!cli_config_default_path(standard, sizeof(standard)) ||
            (access(standard, F_OK) != 0 && errno == ENOENT)) {
            return CLI_EXIT_OK;
        }
        path = standard;
    }
    return cli_config_read(&from->config, path, err, sizeof(err)) ? CLI_EXIT_OK
                                                                  : cli_usage("%s", err);
}

static bool is_url(const char *text)
{
    return strchr(text, ':') != NULL;
}

/* A broker text that is no URL is the name of a profile. */
static const char *as_profile(const char *broker)
{
    return broker != NULL && broker[0] != '\0' && !is_url(broker) ? broker : NULL;
}

static const char *env(const char *name)
{
    const char *text = getenv(name);

    return text != NULL && text[0] != '\0' ? text : NULL;
}

static int choose_profile(setup_sources *from, const char *broker)
{
    const char *flag = cli_text(from->args, "profile");
    /* A URL by flag leaves the profiles named elsewhere their say in the other options. */
    const char *names[] = {flag, as_profile(broker),
                           broker == NULL ? as_profile(env("PUBSUB_BROKER")) : NULL,
                           env("PUBSUB_PROFILE"), cli_config_get(&from->config, "", "profile")};

    if (flag != NULL && as_profile(broker) != NULL && strcmp(flag, broker) != 0) {
        return cli_usage("-b %s and --profile %s name two profiles: give one", broker, flag);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && from->profile == NULL; i++) {
        from->profile = names[i];
    }
    if (from->profile == NULL && cli_config_has_profile(&from->config, "default")) {
        from->profile = "default";
    }
    if (from->profile != NULL && !cli_config_has_profile(&from->config, from->profile)) {
        return cli_usage("no profile %s: give a broker URL such as mqtt://localhost, or write "
                         "[profile %s] into the configuration file",
                         from->profile, from->profile);
    }
    return CLI_EXIT_OK;
}

/* Flag > environment > profile > file > built-in; a profile named by a flag counts as a flag. */
static void choose_url(setup_sources *from, const char *broker)
{
    const char *in_profile =
        from->profile != NULL ? cli_config_get(&from->config, from->profile, "broker") : NULL;
    const char *in_env = env("PUBSUB_BROKER");
    bool by_flag = cli_given_any(from->args, "profile") || as_profile(broker) != NULL;
    const char *order[] = {broker != NULL && is_url(broker) ? broker : NULL,
                           by_flag ? in_profile : NULL,
                           in_env != NULL && is_url(in_env) ? in_env : NULL, in_profile,
                           cli_config_get(&from->config, "", "broker")};

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && from->url == NULL; i++) {
        from->url = order[i];
    }
    from->setup->broker_given = from->url != NULL;
    if (from->url == NULL) {
        from->url = "local:";
    }
}

static int parse_url(setup_sources *from)
{
    cli_setup *setup = from->setup;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_url *url = NULL;

    if (pubsub_url_parse(&url, from->url, &err) != PUBSUB_OK) {
        return cli_fail("wrong broker URL", &err);
    }
    from->url_has_user = pubsub_url_user(url) != NULL;
    (void)pubsub_url_redacted(url, setup->shown, sizeof(setup->shown));
    (void)snprintf(setup->scheme, sizeof(setup->scheme), "%s", pubsub_url_scheme(url));
    pubsub_url_free(url);
    setup->url = pubsub__strdup(from->url);
    return setup->url != NULL ? CLI_EXIT_OK : CLI_EXIT_FAILED;
}

static int set_password_file(cli_setup *setup, const char *path)
{
    char secret[CLI_SECRET_MAX];
    int code = cli_secret_file(path, secret, sizeof(secret));

    if (code == CLI_EXIT_OK) {
        code = cli_setup_option(setup->client, "password", secret);
    }
    pubsub__wipe(secret, sizeof(secret));
    return code;
}

/* The options of one part of the file, "" being what holds for all. */
static int apply_part(setup_sources *from, const char *part)
{
    for (size_t i = 0; i < from->config.count; i++) {
        const cli_config_entry *entry = &from->config.entries[i];
        int code = CLI_EXIT_OK;

        if (strcmp(entry->profile, part) != 0 || entry->key[0] == '\0' ||
            strcmp(entry->key, "broker") == 0 || strcmp(entry->key, "profile") == 0) {
            continue;
        }
        if (from->url_has_user &&
            (strcmp(entry->key, "user") == 0 || strncmp(entry->key, "password", 8) == 0)) {
            continue; /* the URL says it */
        }
        code = strcmp(entry->key, "password_file") == 0
                   ? set_password_file(from->setup, entry->value)
                   : set_scoped(from->setup, entry->key, entry->value);
        if (code != CLI_EXIT_OK) {
            cli_error("line %zu of the configuration file says so", entry->line);
            return code;
        }
    }
    return CLI_EXIT_OK;
}

static int apply_env(setup_sources *from)
{
    const char *user = env("PUBSUB_USER");
    const char *password = env("PUBSUB_PASSWORD");
    int code = CLI_EXIT_OK;

    if (from->url_has_user) {
        return code;
    }
    if (user != NULL) {
        code = cli_setup_option(from->setup->client, "user", user);
    }
    if (password != NULL && code == CLI_EXIT_OK) {
        code = cli_setup_option(from->setup->client, "password", password);
    }
    return code;
}

/* ---- flags --------------------------------------------------------------------------------- */

static int apply_x(cli_setup *setup, const char *text)
{
    const char *equals = strchr(text, '=');
    char name[256];
    size_t len = equals != NULL ? (size_t)(equals - text) : 0;

    if (strcmp(text, "list") == 0 || strcmp(text, "dump") == 0) {
        return CLI_EXIT_OK;
    }
    if (equals == NULL || len == 0 || len >= sizeof(name)) {
        return cli_usage("-X %s: write NAME=VALUE, -X list or -X dump", text);
    }
    memcpy(name, text, len);
    name[len] = '\0';
    return set_scoped(setup, name, equals + 1);
}

static int apply_secret(setup_sources *from)
{
    char secret[CLI_SECRET_MAX];
    int code = cli_secret_read(from->args, secret, sizeof(secret));

    if (code == CLI_EXIT_OK && secret[0] != '\0') {
        code = cli_setup_option(from->setup->client, "password", secret);
    }
    pubsub__wipe(secret, sizeof(secret));
    return code;
}

/* MIN..MAX */
static int apply_reconnect_wait(cli_setup *setup, const char *text)
{
    const char *dots = strstr(text, "..");
    char min[64];
    int code;

    if (dots == NULL || dots == text || (size_t)(dots - text) >= sizeof(min)) {
        return cli_usage("--reconnect-wait %s: write MIN..MAX, for example 100ms..5s", text);
    }
    memcpy(min, text, (size_t)(dots - text));
    min[dots - text] = '\0';
    code = cli_setup_option(setup->client, "reconnect_min", min);
    return code == CLI_EXIT_OK ? cli_setup_option(setup->client, "reconnect_max", dots + 2) : code;
}

static int apply_connection(setup_sources *from)
{
    const cli_args *args = from->args;
    cli_setup *setup = from->setup;
    int code = CLI_EXIT_OK;

    if (cli_given_any(args, "tls")) {
        code = cli_setup_option(setup->client, "tls", cli_flag(args, "tls") ? "yes" : "no");
    }
    if (code == CLI_EXIT_OK && cli_flag(args, "tls-insecure")) {
        cli_warn("--tls-insecure: the server's certificate is not checked");
        code = cli_setup_option(setup->client, "tls_verify", "no");
    }
    if (code == CLI_EXIT_OK && cli_given_any(args, "reconnect")) {
        code = cli_setup_option(setup->client, "reconnect",
                                cli_int(args, "reconnect", 0) == 0 ? "yes" : "no");
    }
    if (code == CLI_EXIT_OK && cli_given_any(args, "reconnect-wait")) {
        code = apply_reconnect_wait(setup, cli_text(args, "reconnect-wait"));
    }
    if (code == CLI_EXIT_OK && cli_given_any(args, "timeout") && setup->timeout_ms > 0) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRId64, setup->timeout_ms);
        code = cli_setup_option(setup->client, "connect_timeout", text);
    }
    return code;
}

static int apply_flags(setup_sources *from)
{
    const char *text;
    int code = CLI_EXIT_OK;

    for (size_t i = 0; i < sizeof(text_flags) / sizeof(text_flags[0]) && code == CLI_EXIT_OK; i++) {
        text = cli_text(from->args, text_flags[i].flag);
        if (text != NULL) {
            code = cli_setup_option(from->setup->client, text_flags[i].option, text);
        }
    }
    if (code == CLI_EXIT_OK) {
        code = apply_secret(from);
    }
    if (code == CLI_EXIT_OK) {
        code = apply_connection(from);
    }
    for (size_t i = 0; (text = cli_at(from->args, "option", i)) != NULL && code == CLI_EXIT_OK;
         i++) {
        code = apply_x(from->setup, text);
    }
    return code;
}

/* ---- log ----------------------------------------------------------------------------------- */

static void on_log(void *ctx, pubsub_log_level level, const char *component, const char *text)
{
    (void)ctx;
    if (level <= PUBSUB_LOG_WARN) {
        cli_warn("%s: %s", component, text);
    } else {
        cli_verbose("%s: %s", component, text);
    }
}

static int setup_log(const cli_args *args)
{
    static const pubsub_log_level levels[] = {PUBSUB_LOG_OFF, PUBSUB_LOG_WARN, PUBSUB_LOG_INFO,
                                              PUBSUB_LOG_DEBUG};
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *components = cli_text(args, "debug");

    if (components != NULL && pubsub_log_set_filter(components, &err) != PUBSUB_OK) {
        return cli_fail("--debug", &err);
    }
    pubsub_log_set_level(levels[cli_say_verbosity() + 1]);
    pubsub_log_set(on_log, NULL);
    return CLI_EXIT_OK;
}

/* ---- together ------------------------------------------------------------------------------ */

static int gather(setup_sources *from, const char *broker)
{
    int code = read_config(from);

    if (code == CLI_EXIT_OK) {
        code = choose_profile(from, broker);
    }
    if (code == CLI_EXIT_OK) {
        choose_url(from, broker);
        code = parse_url(from);
    }
    if (code == CLI_EXIT_OK) {
        code = apply_part(from, "");
    }
    if (code == CLI_EXIT_OK && from->profile != NULL) {
        code = apply_part(from, from->profile);
    }
    if (code == CLI_EXIT_OK) {
        code = apply_env(from);
    }
    return code == CLI_EXIT_OK ? apply_flags(from) : code;
}

static bool asks_for(const cli_args *args, const char *word)
{
    const char *text;

    for (size_t i = 0; (text = cli_at(args, "option", i)) != NULL; i++) {
        if (strcmp(text, word) == 0) {
            return true;
        }
    }
    return false;
}

int cli_setup_init(cli_setup *setup, const cli_args *args, const char *broker, bool *done)
{
    setup_sources from = {.setup = setup, .args = args};
    int code;

    *done = false;
    memset(setup, 0, sizeof(*setup));
    setup->timeout_ms = cli_int(args, "timeout", -1);
    if (asks_for(args, "list")) {
        *done = true;
        return cli_options_list();
    }
    if (pubsub_options_new(&setup->client) != PUBSUB_OK ||
        pubsub_options_new(&setup->subscribe) != PUBSUB_OK ||
        pubsub_options_new(&setup->publish) != PUBSUB_OK) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    code = setup_log(args);
    if (code == CLI_EXIT_OK) {
        code = gather(&from, broker != NULL ? broker : cli_text(args, "broker"));
    }
    cli_config_fini(&from.config);
    if (code == CLI_EXIT_OK && asks_for(args, "dump")) {
        *done = true;
        return cli_options_dump(setup);
    }
    return code;
}

void cli_setup_fini(cli_setup *setup)
{
    if (setup->url != NULL) {
        pubsub__wipe(setup->url, strlen(setup->url));
    }
    pubsub__free(setup->url);
    pubsub_options_free(setup->client);
    pubsub_options_free(setup->subscribe);
    pubsub_options_free(setup->publish);
    memset(setup, 0, sizeof(*setup));
}

int cli_setup_client(const cli_setup *setup, pubsub_client **out)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    if (pubsub_client_new(out, setup->url, setup->client, &err) != PUBSUB_OK) {
        return cli_fail(setup->shown, &err);
    }
    return CLI_EXIT_OK;
}
