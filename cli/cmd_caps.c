/* SPDX-License-Identifier: MIT */
#include "client_setup.h"
#include "cmd.h"
#include "say.h"

#include <pubsub/client.h>

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

typedef struct caps_pair {
    pubsub_caps offline;
    pubsub_caps server;
    bool connected; /* server is filled */
} caps_pair;

static const char *confirm_name(uint8_t confirm)
{
    static const char *const names[] = {"none", "received", "written", "durable", "replicated"};

    return confirm < sizeof(names) / sizeof(names[0]) ? names[confirm] : "?";
}

static int finish(void)
{
    if (fflush(stdout) != 0 && errno != EPIPE) {
        cli_error("cannot write to stdout: %s", strerror(errno));
        return CLI_EXIT_FAILED;
    }
    return CLI_EXIT_OK;
}

/* ---- without a URL: the schemes ------------------------------------------------------------ */

static int list_schemes(bool json)
{
    json_t *list = json ? json_array() : NULL;
    pubsub_scheme scheme;

    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
        if (json) {
            (void)json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s, s:s}", "scheme",
                                                        scheme.scheme, "adapter", scheme.adapter,
                                                        "built", (int)scheme.built, "place",
                                                        pubsub_adapter_place_name(scheme.place),
                                                        "summary", scheme.summary));
        } else {
            printf("%-18s %-18s %s\n", scheme.scheme, pubsub_adapter_place_name(scheme.place),
                   scheme.summary);
        }
    }
    if (json) {
        (void)json_dumpf(list, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(list);
    }
    return finish();
}

/* ---- with a URL ---------------------------------------------------------------------------- */

/* What is said last counts: the server's note where there is one. */
static const char *note_of(const caps_pair *pair, size_t i)
{
    const char *note = pair->connected ? pair->server.features[i].note : NULL;

    if (note == NULL || note[0] == '\0') {
        note = pair->offline.features[i].note;
    }
    return note != NULL ? note : "";
}

static const char *server_text(const caps_pair *pair, size_t i)
{
    return pair->connected ? pubsub_support_name(pair->server.features[i].support) : "-";
}

static void put_line(const char *name, const char *offline, const char *server, const char *note)
{
    char line[512];
    int len = snprintf(line, sizeof(line), "%-18s %-12s %-12s %s", name, offline, server, note);

    if (len < 0) {
        return;
    }
    len = len < (int)sizeof(line) ? len : (int)sizeof(line) - 1;
    while (len > 0 && line[len - 1] == ' ') {
        len--;
    }
    printf("%.*s\n", len, line);
}

static void put_table(const caps_pair *pair)
{
    const pubsub_caps *last = pair->connected ? &pair->server : &pair->offline;
    char limit[32] = "no limit known";

    put_line("FEATURE", "OFFLINE", "THIS SERVER", "NOTE");
    for (size_t i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        put_line(pubsub_feature_name((pubsub_feature)i),
                 pubsub_support_name(pair->offline.features[i].support), server_text(pair, i),
                 note_of(pair, i));
    }
    put_line("confirmation", confirm_name(pair->offline.confirm),
             pair->connected ? confirm_name(pair->server.confirm) : "-",
             last->confirm_note != NULL ? last->confirm_note : "");
    if (last->max_payload > 0) {
        (void)snprintf(limit, sizeof(limit), "%" PRIu64 " bytes", last->max_payload);
    }
    printf("largest body: %s; longest topic: %" PRIu32 " bytes\n", limit, last->max_topic);
}

static void put_json(const cli_setup *setup, const caps_pair *pair)
{
    const pubsub_caps *last = pair->connected ? &pair->server : &pair->offline;
    json_t *features = json_object();
    json_t *root = json_object();

    for (size_t i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        json_t *cell = json_object();

        (void)json_object_set_new(
            cell, "offline", json_string(pubsub_support_name(pair->offline.features[i].support)));
        (void)json_object_set_new(
            cell, "server", pair->connected ? json_string(server_text(pair, i)) : json_null());
        (void)json_object_set_new(cell, "note", json_string(note_of(pair, i)));
        (void)json_object_set_new(features, pubsub_feature_name((pubsub_feature)i), cell);
    }
    (void)json_object_set_new(root, "broker", json_string(setup->shown));
    (void)json_object_set_new(root, "features", features);
    (void)json_object_set_new(root, "confirmation", json_string(confirm_name(last->confirm)));
    (void)json_object_set_new(root, "max_payload", json_integer((json_int_t)last->max_payload));
    (void)json_object_set_new(root, "max_topic", json_integer((json_int_t)last->max_topic));
    (void)json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(root);
}

static int ask_server(const cli_setup *setup, caps_pair *pair)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_client *client = NULL;
    int code = cli_setup_client(setup, &client);

    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (pubsub_client_ready(client, setup->timeout_ms, &err) != PUBSUB_OK) {
        code = cli_fail_connect(setup, &err);
        goto out;
    }
    pair->server.size = sizeof(pair->server);
    pair->connected = pubsub_client_caps(client, &pair->server) == PUBSUB_OK;
    (void)pubsub_client_end(client, 1000, NULL);
out:
    pubsub_client_free(client);
    return code;
}

static int show(const cli_args *args, const cli_setup *setup)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    caps_pair pair;
    int code = CLI_EXIT_OK;

    memset(&pair, 0, sizeof(pair));
    pair.offline.size = sizeof(pair.offline);
    if (pubsub_caps_offline(setup->url, setup->client, &pair.offline, &err) != PUBSUB_OK) {
        return cli_fail(setup->shown, &err);
    }
    if (!cli_flag(args, "offline")) {
        code = ask_server(setup, &pair);
    }
    if (code != CLI_EXIT_OK) {
        cli_warn("--offline shows what the adapter can ever do, without connecting");
        return code;
    }
    if (cli_flag(args, "json")) {
        put_json(setup, &pair);
    } else {
        put_table(&pair);
    }
    return finish();
}

int cmd_caps(const cli_args *args)
{
    const char *url = args->word_count > 0 ? args->words[0] : NULL;
    cli_setup setup;
    bool done;
    int code;

    if (args->word_count > 1) {
        return cli_usage("caps takes one URL");
    }
    if (url != NULL && cli_given_any(args, "broker")) {
        return cli_usage("caps: give the URL once, as a word or with -b");
    }
    code = cli_setup_init(&setup, args, url, &done);
    if (code == CLI_EXIT_OK && !done) {
        bool named = url != NULL || cli_given_any(args, "broker") || cli_given_any(args, "profile");

        code = named ? show(args, &setup) : list_schemes(cli_flag(args, "json"));
    }
    cli_setup_fini(&setup);
    return code;
}
