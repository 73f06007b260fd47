/* SPDX-License-Identifier: MIT */
/* Any bytes as an event: line one a topic template, line two the content type, line three the key, the
 * rest the document. Every format that is JSON gives valid JSON with the document's bytes in it, and a
 * topic is one or is refused. */
#include "fuzz/fuzz.h"

#include "base/utf8.h"
#include "engine/filter.h"
#include "engine/format.h"
#include "engine/topic.h"
#include "json/slice.h"

#include <string.h>

static pubsub_bytes take_line(pubsub_bytes *rest)
{
    const char *data = rest->data;
    const char *end = rest->len > 0 ? memchr(data, '\n', rest->len) : NULL;
    size_t len = end != NULL ? (size_t)(end - data) : rest->len;
    pubsub_bytes line = {data, len};
    size_t used = end != NULL ? len + 1 : len;
    *rest = (pubsub_bytes){data + used, rest->len - used};
    return line;
}

static bool holds(const pubsub__buf *out, pubsub_bytes part)
{
    for (size_t i = 0; i + part.len <= out->len; i++) {
        if (memcmp(out->data + i, part.data, part.len) == 0) {
            return true;
        }
    }
    return false;
}

static void try_formats(const pubsub_source_event *event)
{
    const bridge_format_names names = {"source", pubsub_bytes_of("id")};
    bool json = event->content_type.len == 0 && event->document.len > 0 &&
                bridge_json_check(event->document, NULL) == NULL;
    for (int format = BRIDGE_FORMAT_EVENT; format <= BRIDGE_FORMAT_RAW; format++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_bytes type;
        pubsub__buf out;
        pubsub__buf_init(&out, SIZE_MAX / 4);
        FUZZ_CHECK(bridge_format_payload((bridge_format)format, &names, event, &out, &type, &err) ==
                   PUBSUB_OK);
        if (format < BRIDGE_FORMAT_CLOUDEVENTS_BINARY) {
            FUZZ_CHECK(bridge_json_check((pubsub_bytes){out.data, out.len}, NULL) == NULL);
            bool removed =
                format == BRIDGE_FORMAT_CHANGESTREAM && event->change == PUBSUB_CHANGE_DELETE;
            FUZZ_CHECK(!json || removed || holds(&out, event->document));
        } else {
            FUZZ_CHECK(out.len == event->document.len && holds(&out, event->document));
        }
        pubsub__buf_fini(&out);
    }
}

static void try_topic(pubsub_bytes line, const pubsub_source_event *event)
{
    const bridge_topic_names names = {"source", "route", pubsub_bytes_of("id")};
    char text[512];
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__buf out;
    size_t len = line.len < sizeof text - 1 ? line.len : sizeof text - 1;
    memcpy(text, line.data, len);
    text[len] = '\0';
    pubsub__buf_init(&out, 1u << 20);
    bool template_fine = bridge_topic_check(text, &err) == PUBSUB_OK;
    pubsub_err rc = bridge_topic_make(text, &names, event, &out, &err);
    if (rc == PUBSUB_OK) {
        FUZZ_CHECK(template_fine);
        FUZZ_CHECK(pubsub_topic_check(out.data, out.len, NULL) == PUBSUB_OK);
    }
    pubsub__buf_fini(&out);
    bridge_condition where = {text, text};
    bridge_route route = {.changes = ~0u, .where = &where, .where_count = 1};
    (void)bridge_filter_passes(&route, event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char nothing[] = "";
    pubsub_bytes rest = {size > 0 ? (const void *)data : nothing, size};
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    pubsub_bytes topic = take_line(&rest);
    event.content_type = take_line(&rest);
    event.key = take_line(&rest);
    event.document = rest;
    event.model = pubsub_bytes_of("model");
    event.change = (pubsub_change)(size % 5);
    event.timestamp_ns = size * UINT64_C(1234567890123457);
    try_formats(&event);
    try_topic(topic, &event);
    return 0;
}
