/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "log/log.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    const char *name;
    const char *help;
} g_features[PUBSUB_FEATURE_COUNT] = {
#define PUBSUB_X(name, text, help) {text, help},
    PUBSUB_FEATURE_MAP(PUBSUB_X)
#undef PUBSUB_X
};

_Static_assert(PUBSUB_FEATURE_COUNT <= PUBSUB_FEATURES_MAX, "caps have no room for all features");

const char *pubsub_feature_name(pubsub_feature feature)
{
    return (unsigned)feature < PUBSUB_FEATURE_COUNT ? g_features[feature].name : "?";
}

const char *pubsub_feature_help(pubsub_feature feature)
{
    return (unsigned)feature < PUBSUB_FEATURE_COUNT ? g_features[feature].help : "?";
}

const char *pubsub_support_name(pubsub_support support)
{
    static const char *const names[] = {"refused", "emulated", "native"};
    return (unsigned)support < sizeof names / sizeof names[0] ? names[support] : "?";
}

pubsub_err pubsub_caps_offline(const char *url, const pubsub_options *options, pubsub_caps *out,
                               pubsub_error *err)
{
    pubsub_client *client = NULL;
    if (url == NULL || out == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no URL or no place for the answer");
    }
    pubsub_err rc = pubsub_client_new(&client, url, options, err);
    if (rc == PUBSUB_OK) {
        *out = client->caps_offline;
        pubsub_client_free(client);
    }
    return rc;
}

void pubsub_sink_log(const pubsub_sink *sink, pubsub_log_level level, const char *format, ...)
{
    const char *component = sink->client->adapter->name;
    if (!pubsub__log_enabled(level, component)) {
        return;
    }
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pubsub__log_write(level, component, "%s", text);
}
