/* SPDX-License-Identifier: MIT */
#include "setup_internal.h"

#include "exit.h"
#include "say.h"
#include "secret.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A flag that is an option of the client under another name. */
typedef struct setup_flag {
    const char *flag;
    const char *option;
} setup_flag;

static const setup_flag text_flags[] = {
    {"user", "user"},         {"client-id", "client_id"}, {"tls-ca", "tls_ca"},
    {"tls-cert", "tls_cert"}, {"tls-key", "tls_key"},     {"tls-sni", "tls_server_name"},
};

/* What only a broker behind a connection can heed. */
static const char *const connection_flags[] = {
    "user",     "password", "password-file", "askpass",      "tls-ca",
    "tls-cert", "tls-key",  "tls-sni",       "tls-insecure",
};
static const char *const connection_options[] = {
    "host",   "port",     "socket",  "host_order",      "user",       "password",
    "tls_ca", "tls_cert", "tls_key", "tls_server_name", "tls_verify",
};

static int put_flag(setup_sources *from, const char *flag, const char *name, const char *value)
{
    char detail[80];
    cli_origin origin;

    (void)snprintf(detail, sizeof(detail), "--%s", flag);
    origin = cli_origin_make(CLI_ORIGIN_FLAG, detail);
    return setup_put(from, name, value, &origin);
}

/* The name of NAME=VALUE; false when it is not written so. */
static bool split_x(const char *text, char *name, size_t size, const char **value)
{
    const char *equals = strchr(text, '=');
    size_t len = equals != NULL ? (size_t)(equals - text) : 0;

    if (equals == NULL || len == 0 || len >= size) {
        return false;
    }
    memcpy(name, text, len);
    name[len] = '\0';
    *value = equals + 1;
    return true;
}

static int apply_x(setup_sources *from, const char *text)
{
    char name[256];
    const char *value;

    if (strcmp(text, "list") == 0 || strcmp(text, "dump") == 0) {
        return CLI_EXIT_OK;
    }
    if (!split_x(text, name, sizeof(name), &value)) {
        return cli_usage("-X %.64s: write NAME=VALUE, -X list or -X dump", text);
    }
    if (strcmp(name, "password") == 0) {
        cli_secret_warn("-X password");
    }
    return put_flag(from, "option", name, value);
}

static int apply_secret(setup_sources *from)
{
    char secret[CLI_SECRET_MAX];
    const char *flag = NULL;
    int code = cli_secret_read(from->args, &flag, secret, sizeof(secret));

    if (code == CLI_EXIT_OK && flag != NULL) {
        code = put_flag(from, flag, "password", secret);
    }
    pubsub__wipe(secret, sizeof(secret));
    return code;
}

/* MIN..MAX */
static int apply_reconnect_wait(setup_sources *from, const char *text)
{
    const char *dots = strstr(text, "..");
    char min[64];
    int code;

    if (dots == NULL || dots == text || (size_t)(dots - text) >= sizeof(min)) {
        return cli_usage("--reconnect-wait %s: write MIN..MAX, for example 100ms..5s", text);
    }
    memcpy(min, text, (size_t)(dots - text));
    min[dots - text] = '\0';
    code = put_flag(from, "reconnect-wait", "reconnect_min", min);
    return code == CLI_EXIT_OK ? put_flag(from, "reconnect-wait", "reconnect_max", dots + 2) : code;
}

static int apply_connection(setup_sources *from)
{
    const cli_args *args = from->args;
    int code = CLI_EXIT_OK;

    if (cli_given_any(args, "tls")) {
        code = put_flag(from, "tls", "tls", cli_flag(args, "tls") ? "yes" : "no");
    }
    if (code == CLI_EXIT_OK && cli_flag(args, "tls-insecure")) {
        cli_warn("--tls-insecure: the server's certificate is not checked");
        code = put_flag(from, "tls-insecure", "tls_verify", "no");
    }
    if (code == CLI_EXIT_OK && cli_given_any(args, "reconnect")) {
        code = put_flag(from, "reconnect", "reconnect",
                        cli_int(args, "reconnect", 0) == 0 ? "yes" : "no");
    }
    if (code == CLI_EXIT_OK && cli_given_any(args, "reconnect-wait")) {
        code = apply_reconnect_wait(from, cli_text(args, "reconnect-wait"));
    }
    if (code == CLI_EXIT_OK && cli_given_any(args, "timeout") && from->setup->timeout_ms > 0) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRId64, from->setup->timeout_ms);
        code = put_flag(from, "timeout", "connect_timeout", text);
    }
    return code;
}

int setup_apply_flags(setup_sources *from)
{
    const char *text;
    int code = CLI_EXIT_OK;

    for (size_t i = 0; i < sizeof(text_flags) / sizeof(text_flags[0]) && code == CLI_EXIT_OK; i++) {
        text = cli_text(from->args, text_flags[i].flag);
        if (text != NULL) {
            code = put_flag(from, text_flags[i].flag, text_flags[i].option, text);
        }
    }
    if (code == CLI_EXIT_OK) {
        code = apply_connection(from);
    }
    for (size_t i = 0; (text = cli_at(from->args, "option", i)) != NULL && code == CLI_EXIT_OK;
         i++) {
        code = apply_x(from, text);
    }
    return code == CLI_EXIT_OK ? apply_secret(from) : code;
}

/* ---- what cannot be heeded ----------------------------------------------------------------- */

static int fail_connectionless(const setup_sources *from, const char *what)
{
    cli_error(
        "%s: %s is a log on this machine, without a connection, encryption or users: leave it "
        "out, or name a broker with -b",
        what, from->setup->shown);
    return CLI_EXIT_UNSUPPORTED;
}

static bool is_of_connection(const char *name, const char *value)
{
    static const char *const no[] = {"no", "false", "off", "0"};

    for (size_t i = 0; i < sizeof(connection_options) / sizeof(connection_options[0]); i++) {
        if (strcmp(name, connection_options[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        if (strcmp(value, no[i]) == 0) {
            return false; /* tls=no asks for nothing */
        }
    }
    return strcmp(name, "tls") == 0;
}

static int check_url(const setup_sources *from)
{
    const char *host = pubsub_url_host(from->parsed, 0, NULL);
    const char *key;
    const char *value;

    if (pubsub_url_user(from->parsed) != NULL || pubsub_url_password(from->parsed) != NULL) {
        return fail_connectionless(from, "a user in the URL");
    }
    if (host != NULL && host[0] != '\0') {
        return fail_connectionless(from, "a host in the URL");
    }
    for (size_t i = 0; (key = pubsub_url_query_at(from->parsed, i, &value)) != NULL; i++) {
        if (is_of_connection(key, value)) {
            return fail_connectionless(from, key);
        }
    }
    return CLI_EXIT_OK;
}

int setup_check_flags(const setup_sources *from)
{
    const cli_args *args = from->args;
    const char *text;
    char what[300];

    if (from->adapter == NULL || strcmp(from->adapter, "local") != 0) {
        return CLI_EXIT_OK;
    }
    if (cli_flag(args, "tls")) {
        return fail_connectionless(from, "--tls");
    }
    for (size_t i = 0; i < sizeof(connection_flags) / sizeof(connection_flags[0]); i++) {
        if (cli_given_any(args, connection_flags[i])) {
            (void)snprintf(what, sizeof(what), "--%s", connection_flags[i]);
            return fail_connectionless(from, what);
        }
    }
    for (size_t i = 0; (text = cli_at(args, "option", i)) != NULL; i++) {
        char name[256];
        const char *value;

        if (split_x(text, name, sizeof(name), &value) && is_of_connection(name, value)) {
            (void)snprintf(what, sizeof(what), "-X %s", name);
            return fail_connectionless(from, what);
        }
    }
    if (cli_given_any(args, "client-id")) {
        cli_warn("--client-id: %s does not name its clients", from->setup->shown);
    }
    return from->setup->url_from.kind == CLI_ORIGIN_FLAG ? check_url(from) : CLI_EXIT_OK;
}
