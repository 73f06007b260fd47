/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include <string.h>

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_options(const pubsub_options *a, const pubsub_options *b)
{
    size_t count = pubsub_options_count(a);
    if (count != pubsub_options_count(b)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const char *one = NULL;
        const char *two = NULL;
        const char *name = pubsub_options_at(a, i, &one, NULL);
        if (!same_text(name, pubsub_options_at(b, i, &two, NULL)) || !same_text(one, two)) {
            return false;
        }
    }
    return true;
}

static bool same_broker(const bridge_broker *a, const bridge_broker *b)
{
    return same_text(a->name, b->name) && same_text(a->url, b->url) &&
           same_options(a->options, b->options);
}

static bool same_source(const bridge_source *a, const bridge_source *b)
{
    if (!same_text(a->name, b->name) || a->connector != b->connector || a->spool != b->spool ||
        a->spool_size != b->spool_size || a->setting_count != b->setting_count) {
        return false;
    }
    for (size_t i = 0; i < a->setting_count; i++) {
        if (!same_text(a->settings[i].name, b->settings[i].name) ||
            !same_text(a->settings[i].text, b->settings[i].text)) {
            return false;
        }
    }
    return true;
}

static bool same_lists(const bridge_route *a, const bridge_route *b)
{
    if (a->model_count != b->model_count || a->where_count != b->where_count) {
        return false;
    }
    for (size_t i = 0; i < a->model_count; i++) {
        if (!same_text(a->models[i], b->models[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < a->where_count; i++) {
        if (!same_text(a->where[i].pointer, b->where[i].pointer) ||
            !same_text(a->where[i].value, b->where[i].value)) {
            return false;
        }
    }
    return true;
}

bool bridge_config_same_route(const bridge_config *a, size_t route_a, const bridge_config *b,
                              size_t route_b)
{
    const bridge_route *one = &a->routes[route_a];
    const bridge_route *two = &b->routes[route_b];
    return same_text(a->state, b->state) && same_text(one->name, two->name) &&
           same_source(&a->sources[one->source], &b->sources[two->source]) &&
           same_broker(&a->brokers[one->broker], &b->brokers[two->broker]) &&
           same_lists(one, two) && same_text(one->topic, two->topic) &&
           one->format == two->format && one->changes == two->changes && one->qos == two->qos &&
           one->retain == two->retain && one->key == two->key && one->ordered == two->ordered &&
           one->degrade == two->degrade && one->expiry == two->expiry &&
           one->in_flight == two->in_flight && one->in_flight_bytes == two->in_flight_bytes &&
           one->on_reject == two->on_reject && same_text(one->dead_letter, two->dead_letter) &&
           one->stall == two->stall;
}
