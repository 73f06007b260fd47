/* SPDX-License-Identifier: MIT */
#include "kafka/window.h"

#include "base/alloc.h"

#include <string.h>

#define RING_FIRST ((size_t)256)

void pubsub__kafka_window_begin(kaf_window *window, int64_t start)
{
    window->head = window->tail = 0;
    window->next = start;
}

void pubsub__kafka_window_free(kaf_window *window)
{
    pubsub__free(window->ring);
    memset(window, 0, sizeof(*window));
}

static uint64_t *at(const kaf_window *window, size_t number)
{
    return &window->ring[number & (window->size - 1)];
}

static int64_t offset_at(const kaf_window *window, size_t number)
{
    return (int64_t)(*at(window, number) >> 1);
}

static bool grow(kaf_window *window)
{
    kaf_window more = *window;
    more.size = window->size == 0 ? RING_FIRST : window->size * 2;
    if (more.size > KAF_WINDOW_MAX) {
        return false;
    }
    more.ring = pubsub__alloc(more.size * sizeof(*more.ring));
    if (more.ring == NULL) {
        return false;
    }
    for (size_t i = window->head; i < window->tail; i++) {
        *at(&more, i) = *at(window, i);
    }
    pubsub__free(window->ring);
    *window = more;
    return true;
}

/* Where an offset is; `tail` when it is not there. Without holes it is at once where it is expected, and holes
 * only move it to the front. */
static size_t find(const kaf_window *window, int64_t offset)
{
    size_t low = window->head;
    size_t high = window->tail;
    if (low == high || offset < offset_at(window, low)) {
        return window->tail;
    }
    uint64_t ahead = (uint64_t)(offset - offset_at(window, low));
    if (ahead < high - low) {
        high = low + (size_t)ahead + 1;
        if (offset_at(window, high - 1) == offset) {
            return high - 1;
        }
    }
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (offset_at(window, middle) <= offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return offset_at(window, low) == offset ? low : window->tail;
}

kaf_seen pubsub__kafka_window_add(kaf_window *window, int64_t offset)
{
    if (offset < window->next) {
        size_t found = find(window, offset);
        bool open = found != window->tail && (*at(window, found) & 1) == 0;
        return open ? KAF_SEEN_OPEN : KAF_SEEN_SETTLED;
    }
    if (window->tail - window->head == window->size && !grow(window)) {
        return KAF_SEEN_FULL;
    }
    *at(window, window->tail++) = (uint64_t)offset << 1;
    window->next = offset + 1;
    return KAF_SEEN_NEW;
}

bool pubsub__kafka_window_settle(kaf_window *window, int64_t offset)
{
    size_t found = find(window, offset);
    if (found == window->tail || (*at(window, found) & 1) != 0) {
        return false;
    }
    *at(window, found) |= 1;
    while (window->head < window->tail && (*at(window, window->head) & 1) != 0) {
        window->head++;
    }
    return true;
}

int64_t pubsub__kafka_window_position(const kaf_window *window)
{
    return window->head == window->tail ? window->next : offset_at(window, window->head);
}

bool pubsub__kafka_window_is_full(const kaf_window *window)
{
    return window->tail - window->head >= KAF_WINDOW_MAX;
}
