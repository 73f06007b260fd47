/* SPDX-License-Identifier: MIT */
#include "engine/format.h"

#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* Attributes of CloudEvents 1.0.2. `source` and `id` together are unique, as they have to be: the source
 * is "/<name of the source>/<model>", a relative reference. */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c) != NULL);
}

/* RFC 3986 path segment; what does not fit is left out. */
static size_t add_segment(char *out, size_t size, size_t used, pubsub_bytes text)
{
    const char *data = text.data;
    if (used + 1 < size) {
        out[used++] = '/';
    }
    for (size_t i = 0; i < text.len && used + 4 < size; i++) {
        used += (size_t)(is_unreserved(data[i]) ? snprintf(out + used, size - used, "%c", data[i])
                                                : snprintf(out + used, size - used, "%%%02X",
                                                           (unsigned)(unsigned char)data[i]));
    }
    out[used] = '\0';
    return used;
}

/* RFC 3339 with nanoseconds, UTC; empty when the time is not known. */
static void time_text(uint64_t ns, char *out, size_t size)
{
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm tm;
    out[0] = '\0';
    if (ns != 0 && gmtime_r(&seconds, &tm) != NULL) {
        (void)snprintf(out, size, "%04d-%02d-%02dT%02d:%02d:%02d.%09luZ", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                       (unsigned long)(ns % 1000000000u));
    }
}

size_t bridge_ce_attributes(const bridge_format_names *names, const pubsub_source_event *event,
                            bridge_ce_text *text, bridge_ce out[BRIDGE_CE_MAX])
{
    size_t count = 0;
    size_t used = add_segment(text->source, sizeof text->source, 0, pubsub_bytes_of(names->source));
    (void)add_segment(text->source, sizeof text->source, used, event->model);
    (void)snprintf(text->type, sizeof text->type, "pubsub.%s", pubsub_change_name(event->change));
    time_text(event->timestamp_ns, text->time, sizeof text->time);
    out[count++] = (bridge_ce){"specversion", pubsub_bytes_of("1.0")};
    out[count++] = (bridge_ce){"id", names->id};
    out[count++] = (bridge_ce){"source", pubsub_bytes_of(text->source)};
    out[count++] = (bridge_ce){"type", pubsub_bytes_of(text->type)};
    if (event->key.len > 0) {
        out[count++] = (bridge_ce){"subject", event->key};
    }
    if (text->time[0] != '\0') {
        out[count++] = (bridge_ce){"time", pubsub_bytes_of(text->time)};
    }
    return count;
}

const char *bridge_ce_prefix(const char *url)
{
    if (pubsub__text_starts_with(url, "mqtt") || pubsub__text_starts_with(url, "ws")) {
        return "";
    }
    return pubsub__text_starts_with(url, "amqp") ? "cloudEvents_" : "ce_";
}
