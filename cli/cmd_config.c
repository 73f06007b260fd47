/* SPDX-License-Identifier: MIT */
#include "client_setup.h"
#include "cmd.h"
#include "config.h"
#include "mask.h"
#include "say.h"

#include "base/text.h"

#include <pubsub/caps.h>
#include <pubsub/url.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer values are cut for people, not for --json. */
#define SHOWN_BYTES 1024

typedef struct shown {
    const cli_args *args;
    const cli_setup *setup;
    json_t *list; /* NULL = text */
} shown;

static int finish(void)
{
    if (fflush(stdout) != 0 && errno != EPIPE) {
        cli_error("cannot write to stdout: %s", strerror(errno));
        return CLI_EXIT_FAILED;
    }
    return CLI_EXIT_OK;
}

static int finish_json(json_t *root)
{
    if (root == NULL || json_dumpf(root, stdout, JSON_COMPACT) != 0) {
        cli_error("cannot write the JSON: out of memory, or stdout is closed");
        json_decref(root);
        return CLI_EXIT_FAILED;
    }
    putchar('\n');
    json_decref(root);
    return finish();
}

/* ---- show ---------------------------------------------------------------------------------- */

static void put_setting(const shown *to, const char *name, const char *value,
                        const cli_origin *origin)
{
    char text[SHOWN_BYTES];
    int len;

    if (to->list != NULL) {
        (void)json_array_append_new(
            to->list, json_pack("{s:s, s:s, s:s, s:s}", "name", name, "value", value, "origin",
                                cli_origin_name(origin->kind), "detail", origin->detail));
        return;
    }
    (void)pubsub__text_escape(text, sizeof(text), value, strlen(value));
    len = printf("%s = %s", name, text);
    if (cli_flag(to->args, "origin")) {
        const char *detail = origin->kind != CLI_ORIGIN_URL ? origin->detail : "";

        printf("%*s # %s%s%s", len < 39 ? 39 - len : 0, "", cli_origin_name(origin->kind),
               detail[0] != '\0' ? " " : "", detail);
    }
    putchar('\n');
}

/* An option's value as it was set, NULL when only the default holds. */
static const char *set_value(const cli_setup *setup, const char *name)
{
    const pubsub_options *sets[] = {setup->client, setup->subscribe, setup->publish};

    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if (pubsub_options_is_set(sets[i], name)) {
            return pubsub_options_get(sets[i], name);
        }
    }
    return NULL;
}

static const char *scheme_adapter(const char *scheme)
{
    pubsub_scheme row;

    for (size_t i = 0; pubsub_scheme_at(i, &row); i++) {
        if (strcmp(row.scheme, scheme) == 0) {
            return row.adapter;
        }
    }
    return "";
}

/* The schemes that mean encryption. */
static bool is_secure(const char *scheme)
{
    static const char *const schemes[] = {"mqtts",          "wss",  "kafka+ssl", "rediss",
                                          "rediss+streams", "amqps"};

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        if (strcmp(scheme, schemes[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The bus directory that the environment names, where it counts. */
static const char *bus_by_env(const cli_setup *setup, const char *name)
{
    const char *bus = getenv("PUBSUB_BUS");

    return strcmp(name, "local.dir") == 0 && strcmp(setup->url, "local:") == 0 && bus != NULL &&
                   bus[0] != '\0'
               ? bus
               : NULL;
}

static void put_row(const shown *to, const pubsub_option_row *row)
{
    const cli_origin *origin;
    const char *value;
    cli_origin env = cli_origin_make(CLI_ORIGIN_ENV, "PUBSUB_BUS");
    cli_origin url = cli_origin_make(CLI_ORIGIN_URL, "URL");
    char name[128];

    (void)snprintf(name, sizeof(name), "%s%s%s", row->adapter != NULL ? row->adapter : "",
                   row->adapter != NULL ? "." : "", row->name);
    value = set_value(to->setup, name);
    origin = cli_origins_get(&to->setup->origins, name);
    if (value == NULL && bus_by_env(to->setup, name) != NULL) {
        value = bus_by_env(to->setup, name);
        origin = &env;
    }
    if (value == NULL && strcmp(name, "tls") == 0 && is_secure(to->setup->scheme)) {
        value = "yes";
        origin = &url;
    }
    if (value == NULL && cli_flag(to->args, "defaults") && origin->kind == CLI_ORIGIN_DEFAULT &&
        (row->adapter == NULL || strcmp(row->adapter, scheme_adapter(to->setup->scheme)) == 0)) {
        value = row->default_text;
    }
    if (value != NULL) {
        put_setting(to, name, row->secret || cli_name_is_secret(name) ? "***" : value, origin);
    }
}

/* What is set and has no row: options that the adapter hands on to its library, and those of
 * adapters that are not built in. */
static void put_others(const shown *to)
{
    const char *name;
    const char *value;
    bool secret;

    for (size_t i = 0; (name = pubsub_options_at(to->setup->client, i, &value, &secret)) != NULL;
         i++) {
        const pubsub_option_row *row = pubsub_option_find(name, NULL);

        if (row == NULL || strcmp(row->name, "*") == 0) {
            put_setting(to, name, secret || cli_name_is_secret(name) ? "***" : value,
                        cli_origins_get(&to->setup->origins, name));
        }
    }
}

/* What the parameters of the URL say. */
static void put_url(const shown *to)
{
    cli_origin origin = cli_origin_make(CLI_ORIGIN_URL, "URL");
    pubsub_url *url = NULL;
    const char *value;
    const char *key;
    uint16_t port = 0;
    char text[16];

    if (pubsub_url_parse(&url, to->setup->url, NULL) != PUBSUB_OK) {
        return;
    }
    if (pubsub_url_host_count(url) == 1) {
        value = pubsub_url_host(url, 0, &port);
        put_setting(to, "host", value, &origin);
        if (port != 0) {
            (void)snprintf(text, sizeof(text), "%u", (unsigned)port);
            put_setting(to, "port", text, &origin);
        }
    }
    for (size_t i = 0; (key = pubsub_url_query_at(url, i, &value)) != NULL; i++) {
        const char *adapter = pubsub_option_find(key, NULL) == NULL && strchr(key, '.') == NULL
                                  ? scheme_adapter(to->setup->scheme)
                                  : "";
        char name[256];

        (void)snprintf(name, sizeof(name), "%s%s%s", adapter, adapter[0] != '\0' ? "." : "", key);
        put_setting(to, name, cli_name_is_secret(name) ? "***" : value, &origin);
    }
    pubsub_url_free(url);
}

/* Settings that no broker accepts are an error here as they would be there. */
static int check(const cli_setup *setup)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_caps caps = {.size = sizeof(caps)};
    pubsub_err rc = pubsub_caps_offline(setup->url, setup->client, &caps, &err);

    if (rc == PUBSUB_OK) {
        return CLI_EXIT_OK;
    }
    if (rc == PUBSUB_ENOTBUILT) {
        cli_warn("%s: %s", setup->shown, pubsub_error_text(&err));
        return CLI_EXIT_OK;
    }
    return cli_fail(setup->shown, &err);
}

static int show(const cli_args *args, const cli_setup *setup)
{
    bool json = cli_flag(args, "json");
    shown to = {args, setup, json ? json_array() : NULL};
    const pubsub_option_row *row;
    int code;

    put_setting(&to, "broker", setup->shown, &setup->url_from);
    if (setup->profile != NULL) {
        put_setting(&to, "profile", setup->profile, &setup->profile_from);
    }
    put_url(&to);
    for (size_t i = 0; (row = pubsub_option_at(i)) != NULL; i++) {
        if (strcmp(row->name, "*") != 0) {
            put_row(&to, row);
        }
    }
    put_others(&to);
    code =
        json
            ? finish_json(json_pack("{s:s?, s:o}", "file", setup->config_path, "settings", to.list))
            : finish();
    return code == CLI_EXIT_OK ? check(setup) : code;
}

static int config_show(const cli_args *args)
{
    cli_setup setup;
    bool done;
    int code = cli_setup_init(&setup, args, NULL, &done);

    if (code == CLI_EXIT_OK && !done) {
        code = show(args, &setup);
    }
    cli_setup_fini(&setup);
    return code;
}

/* ---- path ---------------------------------------------------------------------------------- */

static int config_path(const cli_args *args)
{
    cli_config_place places[CLI_CONFIG_PLACES_MAX];
    size_t count = cli_config_places(cli_text(args, "config"), places);
    json_t *list = cli_flag(args, "json") ? json_array() : NULL;
    bool used = false;

    for (size_t i = 0; i < count; i++) {
        const char *state = !places[i].exists ? "missing" : (used ? "not used" : "used");

        used = used || places[i].exists;
        if (list != NULL) {
            (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "path", places[i].path,
                                                        "state", state, "named_by", places[i].why));
        } else {
            printf("%-8s  %s  (%s)\n", state, places[i].path, places[i].why);
        }
    }
    return list != NULL ? finish_json(list) : finish();
}

/* ---- list ---------------------------------------------------------------------------------- */

/* The URL of a profile for people. */
static const char *profile_url(const cli_config *config, const char *profile, char *out,
                               size_t size)
{
    const char *text = cli_config_get(config, profile, "broker");
    pubsub_url *url = NULL;

    text = text != NULL ? text : cli_config_get(config, "", "broker");
    if (pubsub_url_parse(&url, text != NULL ? text : "local:", NULL) != PUBSUB_OK) {
        return "(not a URL)";
    }
    if (scheme_adapter(pubsub_url_scheme(url))[0] == '\0') {
        (void)snprintf(out, size, "%s:... (unknown scheme)", pubsub_url_scheme(url));
    } else {
        (void)pubsub_url_redacted(url, out, size);
    }
    pubsub_url_free(url);
    return out;
}

static void put_profile(const cli_config *config, const cli_config_entry *entry, bool is_default,
                        int width, json_t *list)
{
    char url[SHOWN_BYTES];
    const char *text = profile_url(config, entry->profile, url, sizeof(url));

    if (list != NULL) {
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:i}", "profile",
                                                    entry->profile, "broker", text, "default",
                                                    (int)is_default, "line", (int)entry->line));
    } else {
        printf("%c %-*s  %s\n", is_default ? '*' : ' ', width, entry->profile, text);
    }
}

/* Whether the entry is the first that names its profile. */
static bool is_new_profile(const cli_config *config, size_t index)
{
    const cli_config_entry *entry = &config->entries[index];

    for (size_t i = 0; i < index; i++) {
        if (strcmp(config->entries[i].profile, entry->profile) == 0) {
            return false;
        }
    }
    return entry->profile[0] != '\0';
}

static int config_list(const cli_args *args)
{
    json_t *list = cli_flag(args, "json") ? json_array() : NULL;
    cli_config config;
    char *path = NULL;
    const char *chosen;
    int width = 0;
    int code = cli_setup_config(args, &config, &path);

    if (code != CLI_EXIT_OK) {
        json_decref(list);
        goto out;
    }
    if (path == NULL) {
        cli_warn("there is no configuration file: `pubsub config path` shows where one may be");
    }
    chosen = cli_setup_profile(args, &config);
    for (size_t i = 0; i < config.count; i++) {
        int len = (int)strlen(config.entries[i].profile);

        width = len > width && len < 40 ? len : width;
    }
    for (size_t i = 0; i < config.count; i++) {
        if (is_new_profile(&config, i)) {
            const cli_config_entry *entry = &config.entries[i];

            put_profile(&config, entry, chosen != NULL && strcmp(chosen, entry->profile) == 0,
                        width, list);
        }
    }
    code = list != NULL ? finish_json(list) : finish();
out:
    cli_setup_config_fini(&config, path);
    return code;
}

int cmd_config(const cli_args *args)
{
    static const struct {
        const char *word;
        int (*run)(const cli_args *args);
    } actions[] = {{"show", config_show}, {"path", config_path}, {"list", config_list}};
    const char *word = args->word_count > 0 ? args->words[0] : "show";

    if (args->word_count > 1) {
        return cli_usage("config takes one word: show, path or list");
    }
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(word, actions[i].word) == 0) {
            return actions[i].run(args);
        }
    }
    return cli_usage("config %s: give show, path or list", word);
}
