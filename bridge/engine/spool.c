/* SPDX-License-Identifier: MIT */
#include "engine/spool.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "connectors/table.h"

#include <pubsub/options.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SPOOL_TOPIC_NAME "events"
#define SPOOL_DEFAULT_BYTES (INT64_C(1) << 30)
#define SPOOL_MIN_BYTES (INT64_C(4) << 20) /* the least the log takes */

static char topic_name[] = SPOOL_TOPIC_NAME;
static char *topic_names[] = {topic_name};

bool bridge_spool_needed(const bridge_source *source)
{
    uint32_t flags = source->connector->flags;
    if (source->spool >= 0) {
        return source->spool == 1;
    }
    return (flags & PUBSUB_CONNECTOR_HURRIES) != 0 ||
           (flags & (PUBSUB_CONNECTOR_REPLAYS | PUBSUB_CONNECTOR_SETTLES)) == 0;
}

char *bridge_spool_path(const char *state, const char *route)
{
    pubsub__buf path;
    pubsub__buf_init(&path, 3900);
    int rc = pubsub__buf_printf(&path, "%s/spool/", state);
    for (const char *at = route; rc == 0 && *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || (c == '.' && at > route);
        rc = plain ? pubsub__buf_add_byte(&path, *at)
                   : pubsub__buf_printf(&path, "%%%02x", (unsigned)c);
    }
    if (rc != 0) {
        pubsub__buf_fini(&path);
        return NULL;
    }
    return pubsub__buf_take(&path);
}

/* Both sides open the log with the same options, so that it does not matter who makes it. */
static const char *const option_names[] = {"local.dir", "local.sync", "local.full", "local.max_age",
                                           "local.max_bytes"};
#define OPTION_COUNT (sizeof option_names / sizeof option_names[0])

static pubsub_err make_client_options(bridge_spool *spool, const char *const *values,
                                      pubsub_error *err)
{
    pubsub_err rc = pubsub_options_new(&spool->broker.options);
    for (size_t i = 0; i < OPTION_COUNT && rc == PUBSUB_OK; i++) {
        rc = pubsub_options_set(spool->broker.options, option_names[i], values[i], err);
    }
    return rc;
}

static pubsub_err make_settings(bridge_spool *spool, const char *const *values, pubsub_error *err)
{
    char *texts[OPTION_COUNT] = {NULL};
    const char *names[OPTION_COUNT + 3];
    const char *all[OPTION_COUNT + 3];
    pubsub_err rc = PUBSUB_OK;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        pubsub__buf text;
        pubsub__buf_init(&text, 8192);
        if (pubsub__buf_printf(&text, "%s=%s", option_names[i], values[i]) != 0) {
            rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a spool");
        }
        texts[i] = pubsub__buf_take(&text);
        names[i] = "option";
        all[i] = texts[i] != NULL ? texts[i] : "";
    }
    names[OPTION_COUNT] = "url";
    all[OPTION_COUNT] = "local:";
    names[OPTION_COUNT + 1] = "durable";
    all[OPTION_COUNT + 1] = "pubsub-bridge";
    names[OPTION_COUNT + 2] = "from";
    all[OPTION_COUNT + 2] = "earliest";
    if (rc == PUBSUB_OK) {
        rc = pubsub_settings_new(&bridge_connector_broker, names, all, OPTION_COUNT + 3,
                                 &spool->settings, &spool->setting_count, err);
    }
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        pubsub__free(texts[i]);
    }
    return rc;
}

void bridge_spool_rebind(bridge_spool *spool, const bridge_route *route)
{
    spool->in = *route;
    spool->in.topic = topic_name;
    spool->in.format = BRIDGE_FORMAT_RAW;
    spool->in.where = NULL;
    spool->in.where_count = 0;
    spool->in.changes = ~0u;
    spool->in.qos = PUBSUB_AT_LEAST_ONCE;
    spool->in.retain = false;
    spool->in.key = true;
    spool->in.degrade = false;
    spool->in.expiry = 0;
    spool->in.on_reject = BRIDGE_REJECT_STOP;
    spool->out = *route;
    spool->out.models = topic_names;
    spool->out.model_count = 1;
    spool->out.stall = 0; /* the source's silence is the first pipe's affair */
}

pubsub_err bridge_spool_init(bridge_spool *spool, const char *state, const bridge_route *route,
                             int64_t max_bytes, pubsub_error *err)
{
    char bytes[24];
    char name[] = "spool";
    char url[] = "local:";
    memset(spool, 0, sizeof *spool);
    bridge_spool_rebind(spool, route);
    spool->dir = bridge_spool_path(state, route->name);
    spool->broker.name = pubsub__strdup(name);
    spool->broker.url = pubsub__strdup(url);
    if (spool->dir == NULL || spool->broker.name == NULL || spool->broker.url == NULL) {
        bridge_spool_fini(spool);
        return pubsub_error_set(err, PUBSUB_ENOMEM,
                                "no memory for the spool of route '%s', or its path is too long",
                                route->name);
    }
    max_bytes = max_bytes <= 0 ? SPOOL_DEFAULT_BYTES : max_bytes;
    max_bytes = max_bytes < SPOOL_MIN_BYTES ? SPOOL_MIN_BYTES : max_bytes;
    (void)snprintf(bytes, sizeof bytes, "%" PRId64, max_bytes);
    const char *values[] = {spool->dir, "durable", "reject", "forever", bytes};
    pubsub_err rc = make_client_options(spool, values, err);
    rc = rc == PUBSUB_OK ? make_settings(spool, values, err) : rc;
    if (rc != PUBSUB_OK) {
        bridge_spool_fini(spool);
    }
    return rc;
}

void bridge_spool_fini(bridge_spool *spool)
{
    pubsub__free(spool->dir);
    pubsub__free(spool->broker.name);
    pubsub__free(spool->broker.url);
    pubsub_options_free(spool->broker.options);
    pubsub_settings_free(spool->settings, spool->setting_count);
    memset(spool, 0, sizeof *spool);
}
