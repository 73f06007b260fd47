/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_VIEW_H
#define PUBSUB_CLI_VIEW_H

/* A received message as the formats see it: a plain value, so that they can be tested without a
 * broker. */

#include <pubsub/message.h>

/* Parts that cost something to look up. */
enum {
    CLI_NEEDS_HEADERS = 1u << 0,
    CLI_NEEDS_POSITION = 1u << 1,
    CLI_NEEDS_PROPERTIES = 1u << 2, /* content type, reply-to, correlation */
    CLI_NEEDS_KEY = 1u << 3,
    CLI_NEEDS_META = 1u << 4, /* qos, retained, times, attempt */
    CLI_NEEDS_RECV = 1u << 5, /* time of arrival */
    CLI_NEEDS_ALL = 0xffffu,
};

typedef struct cli_view {
    uint64_t n;
    uint64_t recv_ns;
    uint64_t ts_ns;
    uint64_t expires_ns;
    const char *broker;
    pubsub_bytes topic;
    pubsub_bytes payload;
    pubsub_bytes key;
    pubsub_bytes content_type;
    pubsub_bytes reply_to;
    pubsub_bytes correlation;
    const pubsub_header *headers;
    size_t header_count;
    const char *position; /* "" = none */
    int qos;
    uint32_t attempt;
    bool has_key;
    bool retained;
    bool redelivered;
    bool tombstone;
} cli_view;

#endif
