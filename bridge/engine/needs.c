/* SPDX-License-Identifier: MIT */
#include "engine/needs.h"

#include <stdio.h>

bool bridge_has(const pubsub_caps *caps, pubsub_feature feature)
{
    return caps->features[feature].support != PUBSUB_REFUSED;
}

/* Append "first", ", second", ... */
static void add(char *text, size_t size, size_t *used, const char *what)
{
    int n = snprintf(text + *used, size - *used, "%s%s", *used > 0 ? ", " : "", what);
    if (n > 0 && (size_t)n < size - *used) {
        *used += (size_t)n;
    }
}

static const struct {
    pubsub_qos qos;
    pubsub_feature feature;
    const char *text;
} levels[] = {
    {PUBSUB_AT_MOST_ONCE, PUBSUB_FEATURE_QOS0, "qos 0"},
    {PUBSUB_AT_LEAST_ONCE, PUBSUB_FEATURE_QOS1, "qos 1 (confirmed messages)"},
    {PUBSUB_EXACTLY_ONCE, PUBSUB_FEATURE_QOS2, "qos 2"},
};

bool bridge_needs_met(const bridge_route *route, const char *scheme, const pubsub_caps *caps,
                      char *text, size_t size)
{
    char missing[256] = "";
    size_t used = 0;
    /* A bridge that loses nothing needs confirmations, so an unset qos is 1 here. */
    pubsub_qos qos = route->qos == PUBSUB_QOS_UNSET ? PUBSUB_AT_LEAST_ONCE : route->qos;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (levels[i].qos == qos && !bridge_has(caps, levels[i].feature)) {
            add(missing, sizeof(missing), &used, levels[i].text);
        }
    }
    if (!bridge_has(caps, PUBSUB_FEATURE_HEADERS)) {
        add(missing, sizeof(missing), &used, "headers for the event's id (pubsub-id)");
    }
    if (route->retain && !bridge_has(caps, PUBSUB_FEATURE_RETAIN)) {
        add(missing, sizeof(missing), &used, "retained values");
    }
    if (route->expiry > 0 && !bridge_has(caps, PUBSUB_FEATURE_EXPIRY)) {
        add(missing, sizeof(missing), &used, "expiry");
    }
    text[0] = '\0';
    if (used == 0) {
        return true;
    }
    if (route->degrade) {
        (void)snprintf(text, size, "%s: has no %s; goes without, as degrade allows", scheme,
                       missing);
        return true;
    }
    (void)snprintf(text, size,
                   "%s: has no %s; use another broker, or accept it with degrade: allow", scheme,
                   missing);
    return false;
}
