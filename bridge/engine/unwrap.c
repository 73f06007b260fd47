/* SPDX-License-Identifier: MIT */
#include "engine/unwrap.h"

#include "engine/pipe.h"

#include <string.h>

static bool is(pubsub_bytes name, const char *text)
{
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

static uint64_t number(pubsub_bytes text)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(((const unsigned char *)text.data)[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    return value;
}

const pubsub_source_event *bridge_unwrap(const pubsub_source_event *event, bridge_unwrapped *room)
{
    pubsub_source_event *out = &room->event;
    *out = *event;
    out->topic = (pubsub_bytes){NULL, 0};
    out->timestamp_ns = 0;
    room->run = (pubsub_bytes){NULL, 0};
    out->headers = room->headers;
    out->header_count = 0;
    for (size_t i = 0; i < event->header_count; i++) {
        const pubsub_header *header = &event->headers[i];
        if (is(header->name, SPOOL_MODEL)) {
            out->model = header->value;
        } else if (is(header->name, SPOOL_TOPIC)) {
            out->topic = header->value;
        } else if (is(header->name, SPOOL_TIME)) {
            out->timestamp_ns = number(header->value);
        } else if (is(header->name, SPOOL_RUN)) {
            room->run = header->value;
        } else if (out->header_count < PUBSUB_HEADERS_MAX) {
            room->headers[out->header_count++] = *header;
        }
    }
    return out;
}
