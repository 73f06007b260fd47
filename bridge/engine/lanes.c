/* SPDX-License-Identifier: MIT */
#include "engine/lanes.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <string.h>

#define LANES_MIN 64u
#define LANES_MAX 65536u

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ (hash >> 29);
}

static uint64_t mix_bytes(uint64_t hash, pubsub_bytes bytes)
{
    const char *at = bytes.data;
    size_t left = bytes.len;
    uint64_t word = 0;
    for (; left >= sizeof word; at += sizeof word, left -= sizeof word) {
        memcpy(&word, at, sizeof word);
        hash = mix(hash, word);
    }
    word = 0;
    if (left > 0) {
        memcpy(&word, at, left);
    }
    return mix(mix(hash, word), bytes.len);
}

bool bridge_lanes_ready(bridge_lanes *lanes, size_t flights)
{
    if (lanes->count > 0) {
        return true;
    }
    size_t count = LANES_MIN;
    while (count < flights && count < LANES_MAX) {
        count *= 2;
    }
    lanes->fronts = pubsub__calloc(count, sizeof(bridge_flight *));
    if (lanes->fronts == NULL) {
        return false;
    }
    lanes->count = count;
    lanes->seed = pubsub__rand_u64();
    return true;
}

static bridge_flight **slot_of(const bridge_lanes *lanes, uint64_t hash)
{
    return &lanes->fronts[hash & (lanes->count - 1)];
}

bool bridge_lanes_enter(bridge_lanes *lanes, bridge_flight *flight, pubsub_bytes model,
                        pubsub_bytes key)
{
    uint64_t hash = mix_bytes(mix_bytes(lanes->seed, model), key);
    bridge_flight **slot = slot_of(lanes, hash);
    bridge_flight *front = *slot;
    while (front != NULL && front->lane != hash) {
        front = front->lane_next;
    }
    flight->lane = hash;
    flight->in_lane = true;
    if (front == NULL) {
        flight->lane_next = *slot;
        *slot = flight;
        return true;
    }
    flight->next = NULL;
    if (front->behind == NULL) {
        front->behind = flight;
    } else {
        front->behind_last->next = flight;
    }
    front->behind_last = flight;
    return false;
}

bridge_flight *bridge_lanes_leave(bridge_lanes *lanes, bridge_flight *flight)
{
    if (!flight->in_lane) {
        return NULL;
    }
    bridge_flight **at = slot_of(lanes, flight->lane);
    while (*at != flight) {
        at = &(*at)->lane_next;
    }
    bridge_flight *next = flight->behind;
    if (next != NULL) {
        next->behind = next->next;
        next->behind_last = flight->behind_last;
        next->lane_next = flight->lane_next;
        next->next = NULL;
    }
    *at = next != NULL ? next : flight->lane_next;
    flight->in_lane = false;
    flight->behind = NULL;
    return next;
}

void bridge_lanes_fini(bridge_lanes *lanes)
{
    for (size_t i = 0; i < lanes->count; i++) {
        for (bridge_flight *front = lanes->fronts[i]; front != NULL; front = front->lane_next) {
            bridge_flight *next = NULL;
            for (bridge_flight *f = front->behind; f != NULL; f = next) {
                next = f->next;
                bridge_target_flight_free(f);
            }
            front->behind = NULL;
        }
    }
    pubsub__free(lanes->fronts);
    *lanes = (bridge_lanes){NULL, 0, 0};
}
