/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_WINDOW_H
#define PUBSUB_BRIDGE_WINDOW_H

/* The commit window of one model of one route: events in the order in which they came, done in any
 * order, and the position that may be stored: the last one before which everything is done. */

#include "base/buf.h"

typedef struct bridge_window_slot {
    uint64_t position_end; /* where its position ends in the stream of position bytes */
    uint32_t position_len; /* 0 = no position stands behind it */
    bool done;
} bridge_window_slot;

typedef struct bridge_window {
    bridge_window_slot *slots; /* a ring; the entry with number n is in slots[n & mask] */
    size_t capacity;           /* power of two, 0 before the first entry */
    size_t max;                /* entries */
    uint64_t head;             /* number of the oldest entry that is not passed */
    uint64_t tail;             /* number of the next entry */
    pubsub__buf positions;     /* of the entries that are not passed */
    uint64_t base;             /* where positions.data begins in the stream */
    pubsub__buf committed;     /* what bridge_window_commit() gives */
    uint64_t covers;           /* entries before this number come before that position */
    bool fresh;                /* it has changed since it was given */
} bridge_window;

/* max: entries, at least 1. No memory is taken yet. */
void bridge_window_init(bridge_window *window, size_t max);
void bridge_window_fini(bridge_window *window);

/* The next event. False when the window is full or memory is short; then nothing has changed. */
bool bridge_window_add(bridge_window *window, pubsub_bytes position, uint64_t *number);

/* Everything up to here led to no event. False when memory is short: the position is forgotten, and
 * only more is read again than was needed. */
bool bridge_window_pass(bridge_window *window, pubsub_bytes position);

/* An event is done. False when it was already, or never was there. */
bool bridge_window_done(bridge_window *window, uint64_t number);

static inline size_t bridge_window_count(const bridge_window *window)
{
    return (size_t)(window->tail - window->head);
}

/* The position that may be stored, when it is another than the last time; it lives until the next
 * call. */
bool bridge_window_commit(bridge_window *window, pubsub_bytes *position);

#endif
