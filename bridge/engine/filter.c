/* SPDX-License-Identifier: MIT */
#include "engine/filter.h"

#include "json/slice.h"

#include <string.h>

#define STRING_MAX 65536

static bool same(const void *data, size_t len, const char *text)
{
    return len == strlen(text) && (len == 0 || memcmp(data, text, len) == 0);
}

static bool holds(const bridge_condition *condition, pubsub_bytes document)
{
    pubsub_bytes value = bridge_json_pointer(document, condition->pointer);
    if (value.data == NULL) {
        return false;
    }
    if (bridge_json_type_of(value) != BRIDGE_JSON_STRING) {
        return same(value.data, value.len, condition->value);
    }
    pubsub__buf text;
    pubsub__buf_init(&text, STRING_MAX);
    bool equal = bridge_json_unescape(value, &text) && same(text.data, text.len, condition->value);
    pubsub__buf_fini(&text);
    return equal;
}

bool bridge_filter_passes(const bridge_route *route, const pubsub_source_event *event)
{
    if ((route->changes & (1u << (unsigned)event->change)) == 0) {
        return false;
    }
    for (size_t i = 0; i < route->where_count; i++) {
        if (!holds(&route->where[i], event->document)) {
            return false;
        }
    }
    return true;
}
