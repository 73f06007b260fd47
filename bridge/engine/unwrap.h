/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_UNWRAP_H
#define PUBSUB_BRIDGE_UNWRAP_H

/* An event that was in a spool, as it was before: what its message could not hold is in headers. */

#include <pubsub/connector.h>

typedef struct bridge_unwrapped {
    pubsub_source_event event;
    pubsub_bytes run; /* who wrote it there */
    pubsub_header headers[PUBSUB_HEADERS_MAX];
} bridge_unwrapped;

/* The result is room->event and borrows from `event`. */
const pubsub_source_event *bridge_unwrap(const pubsub_source_event *event, bridge_unwrapped *room);

#endif
