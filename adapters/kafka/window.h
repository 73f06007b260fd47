/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_KAFKA_WINDOW_H
#define PUBSUB_KAFKA_WINDOW_H

/* What of one partition was handed out and what of it is settled, so that no offset is committed before all
 * smaller ones are settled. Offsets grow but need not follow each other: compaction and transactions leave
 * holes. Pure: no library, no clock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most messages between the oldest open one and the newest. */
#define KAF_WINDOW_MAX ((size_t)1 << 16)

typedef struct kaf_window {
    uint64_t *ring; /* offset * 2 + (1 = settled), by sequence number */
    size_t size;    /* a power of two, 0 at first */
    size_t head;    /* the oldest open one; sequence numbers only grow */
    size_t tail;
    int64_t next; /* behind the newest one */
} kaf_window;

typedef enum kaf_seen {
    KAF_SEEN_NEW = 0,     /* it is open now */
    KAF_SEEN_OPEN = 1,    /* was handed out before, and is open still or again */
    KAF_SEEN_SETTLED = 2, /* was dealt with before: not to be handed out again */
    KAF_SEEN_FULL = 3     /* no room, or no memory */
} kaf_seen;

/* Empty, and everything below `start` is settled. Of a zeroed or used one. */
void pubsub__kafka_window_begin(kaf_window *window, int64_t start);
void pubsub__kafka_window_free(kaf_window *window);
/* A message arrives. */
kaf_seen pubsub__kafka_window_add(kaf_window *window, int64_t offset);
/* A message is settled. False when it is not open here. */
bool pubsub__kafka_window_settle(kaf_window *window, int64_t offset);
/* The smallest offset that is not settled: what to commit. */
int64_t pubsub__kafka_window_position(const kaf_window *window);
bool pubsub__kafka_window_is_full(const kaf_window *window);

#endif
