/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <string.h>

/* What a client tells about itself: state, capabilities, statistics. */

pubsub_state pubsub_client_state(const pubsub_client *client)
{
    if (client == NULL || pubsub__client_forked(client)) {
        return PUBSUB_STATE_CLOSED;
    }
    pubsub_client *self = (pubsub_client *)(uintptr_t)client;
    pthread_mutex_lock(&self->lock);
    pubsub_state state = client->state;
    pthread_mutex_unlock(&self->lock);
    return state;
}

const char *pubsub_state_name(pubsub_state state)
{
    static const char *const names[] = {"idle",         "connecting", "connected",
                                        "reconnecting", "closing",    "closed"};
    return (unsigned)state < sizeof names / sizeof names[0] ? names[state] : "?";
}

pubsub_err pubsub_client_caps(const pubsub_client *client, pubsub_caps *out)
{
    if (client == NULL || out == NULL) {
        return PUBSUB_EINVAL;
    }
    if (pubsub__client_forked(client)) {
        return PUBSUB_ESTATE; /* a thread that is not here may hold the lock */
    }
    pubsub_client *self = (pubsub_client *)(uintptr_t)client;
    pthread_mutex_lock(&self->lock);
    *out = client->caps;
    pthread_mutex_unlock(&self->lock);
    return PUBSUB_OK;
}

pubsub_err pubsub_client_stats(const pubsub_client *client, pubsub_stats *out)
{
    if (client == NULL || out == NULL || out->size < sizeof(uint64_t)) {
        return PUBSUB_EINVAL;
    }
    if (pubsub__client_forked(client)) {
        return PUBSUB_ESTATE; /* a thread that is not here may hold the lock */
    }
    pubsub_client *self = (pubsub_client *)(uintptr_t)client;
    pubsub_stats stats;
    uint64_t *words = (uint64_t *)(void *)&stats;
    stats.size = out->size;
    for (size_t i = 1; i < sizeof stats / sizeof(uint64_t); i++) {
        words[i] = atomic_load_explicit(&self->stats[i], memory_order_relaxed);
    }
    pthread_mutex_lock(&self->lock);
    stats.queued = client->queued;
    stats.queued_bytes = client->queued_bytes;
    stats.ready = client->ready_messages;
    stats.unsettled = client->unsettled;
    stats.requests = client->calls.count;
    pthread_mutex_unlock(&self->lock);
    memcpy(out, &stats, stats.size < sizeof stats ? stats.size : sizeof stats);
    return PUBSUB_OK;
}
