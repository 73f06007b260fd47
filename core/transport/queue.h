/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_QUEUE_H
#define PUBSUB_TRANSPORT_QUEUE_H

/* Bytes that wait to be sent: one piece of memory, filled at its end and emptied at its start. */

#include <pubsub/types.h>

typedef struct pubsub__queue {
    char *data;
    size_t head; /* first byte that waits */
    size_t len;
    size_t cap;
    size_t max;
} pubsub__queue;

void pubsub__queue_init(pubsub__queue *queue, size_t max);
void pubsub__queue_fini(pubsub__queue *queue);
size_t pubsub__queue_room(const pubsub__queue *queue);
/* len is at most the room. False when memory is short: nothing was added. */
bool pubsub__queue_add(pubsub__queue *queue, const void *bytes, size_t len);
/* All that waits, in one piece. */
pubsub_bytes pubsub__queue_bytes(const pubsub__queue *queue);
void pubsub__queue_drop(pubsub__queue *queue, size_t len);

#endif
