/* SPDX-License-Identifier: MIT */
#include "engine/window.h"

#include "base/alloc.h"

#include <pubsub/connector.h>

#include <string.h>

#define SLOTS_FIRST 16

void bridge_window_init(bridge_window *window, size_t max)
{
    memset(window, 0, sizeof *window);
    window->max = max > 0 ? max : 1;
    pubsub__buf_init(&window->positions, SIZE_MAX / 4);
    pubsub__buf_init(&window->committed, PUBSUB_POSITION_BYTES_MAX);
}

void bridge_window_fini(bridge_window *window)
{
    pubsub__free(window->slots);
    pubsub__buf_fini(&window->positions);
    pubsub__buf_fini(&window->committed);
    memset(window, 0, sizeof *window);
}

static bridge_window_slot *slot_of(const bridge_window *window, uint64_t number)
{
    return &window->slots[number & (window->capacity - 1)];
}

static bool grow(bridge_window *window)
{
    size_t capacity = window->capacity == 0 ? SLOTS_FIRST : window->capacity * 2;
    bridge_window_slot *slots = pubsub__calloc(capacity, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    for (uint64_t n = window->head; n != window->tail; n++) {
        slots[n & (capacity - 1)] = *slot_of(window, n);
    }
    pubsub__free(window->slots);
    window->slots = slots;
    window->capacity = capacity;
    return true;
}

bool bridge_window_add(bridge_window *window, pubsub_bytes position, uint64_t *number)
{
    if (bridge_window_count(window) >= window->max || position.len > PUBSUB_POSITION_BYTES_MAX ||
        (bridge_window_count(window) == window->capacity && !grow(window)) ||
        pubsub__buf_add(&window->positions, position.data, position.len) != PUBSUB__BUF_OK) {
        return false;
    }
    *number = window->tail++;
    *slot_of(window, *number) =
        (bridge_window_slot){window->base + window->positions.len, (uint32_t)position.len, false};
    return true;
}

static bool set_committed(bridge_window *window, pubsub_bytes position, uint64_t covers)
{
    size_t have = window->committed.len;
    if (position.len > have &&
        pubsub__buf_reserve(&window->committed, position.len - have) != PUBSUB__BUF_OK) {
        return false;
    }
    pubsub__buf_reset(&window->committed);
    (void)pubsub__buf_add(&window->committed, position.data, position.len);
    window->covers = covers;
    window->fresh = true;
    return true;
}

bool bridge_window_pass(bridge_window *window, pubsub_bytes position)
{
    if (position.len == 0 || position.len > PUBSUB_POSITION_BYTES_MAX) {
        return false;
    }
    if (bridge_window_count(window) == 0) {
        return set_committed(window, position, window->head);
    }
    /* It stands as soon as the newest entry is done, so it takes the place of that one's position. */
    bridge_window_slot *last = slot_of(window, window->tail - 1);
    if (pubsub__buf_reserve(&window->positions, position.len) != PUBSUB__BUF_OK) {
        return false;
    }
    window->positions.len -= last->position_len;
    (void)pubsub__buf_add(&window->positions, position.data, position.len);
    last->position_len = (uint32_t)position.len;
    last->position_end = window->base + window->positions.len;
    return true;
}

/* Forget the bytes before `end`; they are moved out only when they are half of what is kept. */
static void drop_positions(bridge_window *window, uint64_t end)
{
    size_t gone = (size_t)(end - window->base);
    if (gone == window->positions.len) {
        window->base = end;
        pubsub__buf_reset(&window->positions);
    } else if (gone > window->positions.len / 2) {
        window->base = end;
        pubsub__buf_drop(&window->positions, gone);
    }
}

bool bridge_window_done(bridge_window *window, uint64_t number)
{
    if (number - window->head >= bridge_window_count(window) || slot_of(window, number)->done) {
        return false;
    }
    slot_of(window, number)->done = true;
    const bridge_window_slot *best = NULL;
    uint64_t end = 0;
    uint64_t covers = 0;
    while (window->head != window->tail && slot_of(window, window->head)->done) {
        const bridge_window_slot *slot = slot_of(window, window->head++);
        end = slot->position_end;
        if (slot->position_len > 0) {
            best = slot;
            covers = window->head;
        }
    }
    if (best != NULL) {
        const char *data = window->positions.data +
                           (size_t)(best->position_end - best->position_len - window->base);
        (void)set_committed(window, (pubsub_bytes){data, best->position_len}, covers);
    }
    if (end != 0) {
        drop_positions(window, end);
    }
    return true;
}

bool bridge_window_commit(bridge_window *window, pubsub_bytes *position)
{
    if (!window->fresh) {
        return false;
    }
    window->fresh = false;
    *position = (pubsub_bytes){window->committed.data, window->committed.len};
    return true;
}
