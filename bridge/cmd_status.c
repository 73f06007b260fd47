/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/text.h"
#include "cmd.h"
#include "exit.h"
#include "http/client.h"
#include "say.h"
#include "json/slice.h"

#include <stdio.h>
#include <string.h>

enum { STATUS_MAX = 8 << 20, STATUS_TIMEOUT = 5000 };

typedef struct status_ask {
    pubsub_host *host;
    pubsub__buf body;
    int status;
    pubsub_error error;
} status_ask;

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    status_ask *ask = ctx;
    (void)pubsub__buf_add(&ask->body, bytes.data, bytes.len);
    return bytes.len;
}

static void on_end(void *ctx, const bridge_http_end *end)
{
    status_ask *ask = ctx;
    ask->status = end->status;
    if (end->error != NULL) {
        ask->error = *end->error;
    }
    pubsub_host_stop(ask->host);
}

/* A member as text without its quotes, shown safely. */
static const char *member(pubsub_bytes object, const char *name, char *out, size_t size)
{
    pubsub__buf text;
    pubsub_bytes value = bridge_json_member(object, name);
    pubsub__buf_init(&text, 4096);
    if (bridge_json_type_of(value) == BRIDGE_JSON_STRING && bridge_json_unescape(value, &text)) {
        (void)pubsub__text_escape(out, size, text.data, text.len);
    } else {
        (void)pubsub__text_escape(out, size, value.data, value.len);
    }
    pubsub__buf_fini(&text);
    return out;
}

static int print_table(pubsub_bytes body)
{
    bridge_json_walk walk;
    pubsub_bytes routes = bridge_json_member(body, "routes");
    char cells[7][128];
    memset(&walk, 0, sizeof(walk));
    printf("%-24s %-9s %10s %10s %8s %8s  %s\n", "ROUTE", "STATE", "RECEIVED", "CONFIRMED",
           "REJECTED", "WAITING", "LAST ERROR");
    while (bridge_json_next(&walk, routes)) {
        pubsub_bytes route = walk.value;
        printf("%-24s %-9s %10s %10s %8s %8s  %s\n",
               member(route, "name", cells[0], sizeof(cells[0])),
               member(route, "state", cells[1], sizeof(cells[1])),
               member(route, "received", cells[2], sizeof(cells[2])),
               member(route, "published", cells[3], sizeof(cells[3])),
               member(route, "rejected", cells[4], sizeof(cells[4])),
               member(route, "in_flight", cells[5], sizeof(cells[5])),
               member(route, "error", cells[6], sizeof(cells[6])));
    }
    if (walk.broken || routes.data == NULL) {
        bridge_error("the answer is not the status of a pubsub-bridge");
        return BRIDGE_EXIT_FAILED;
    }
    return BRIDGE_EXIT_OK;
}

static int ask_status(const char *address, bool json)
{
    char url[512];
    status_ask ask;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bridge_http *http = NULL;
    int code = BRIDGE_EXIT_CONNECT;

    memset(&ask, 0, sizeof(ask));
    pubsub__buf_init(&ask.body, STATUS_MAX);
    (void)snprintf(url, sizeof(url), "http://%s%s/status", address[0] == ':' ? "127.0.0.1" : "",
                   address);
    bridge_http_request request = {
        .url = url, .total_ms = STATUS_TIMEOUT, .on_body = on_body, .on_end = on_end, .ctx = &ask};
    if (pubsub_host_new(&ask.host, &err) != PUBSUB_OK ||
        (http = bridge_http_new(ask.host)) == NULL ||
        bridge_http_start(http, &request, &err) == NULL) {
        bridge_error("%s", pubsub_error_text(&err));
        code = BRIDGE_EXIT_FAILED;
        goto out;
    }
    (void)pubsub_host_run(ask.host, PUBSUB_FOREVER);
    if (ask.error.code != PUBSUB_OK) {
        bridge_error("%s: %s", address, pubsub_error_text(&ask.error));
    } else if (ask.status != 200) {
        bridge_error("%s answers %d; is it a pubsub-bridge?", address, ask.status);
    } else if (json) {
        (void)fwrite(pubsub__buf_text(&ask.body), 1, ask.body.len, stdout);
        code = BRIDGE_EXIT_OK;
    } else {
        pubsub_bytes body = {ask.body.data, ask.body.len};
        code = print_table(body);
    }
out:
    bridge_http_free(http);
    pubsub_host_free(ask.host);
    pubsub__buf_fini(&ask.body);
    return code;
}

/* "host:port" is an address, everything else a file. */
static bool is_address(const char *word)
{
    const char *colon = strrchr(word, ':');
    return colon != NULL && colon[1] != '\0' && colon[1 + strspn(colon + 1, "0123456789")] == '\0';
}

int bridge_cmd_status(const bridge_args *args)
{
    const char *word = args->words[0];
    if (is_address(word)) {
        return ask_status(word, args->json);
    }
    bridge_config *config = bridge_load(args, word);
    if (config == NULL) {
        return BRIDGE_EXIT_USAGE;
    }
    int code = BRIDGE_EXIT_USAGE;
    if (config->listen == NULL) {
        bridge_error("%s has no `listen`, so a bridge that runs it cannot be asked", word);
    } else {
        code = ask_status(config->listen, args->json);
    }
    bridge_config_free(config);
    return code;
}
