/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

/* What an adapter takes back of what it gave: on the I/O thread, like all that touches these lists. */

void pubsub__live_add(pubsub_subscription *sub, pubsub_block *block)
{
    block->live = block->count;
    block->prev_live = NULL;
    block->next_live = sub->blocks;
    if (sub->blocks != NULL) {
        sub->blocks->prev_live = block;
    }
    sub->blocks = block;
}

void pubsub__live_remove(pubsub_block *block)
{
    pubsub_subscription *sub = block->owner;
    if (block->prev_live != NULL) {
        block->prev_live->next_live = block->next_live;
    } else {
        sub->blocks = block->next_live;
    }
    if (block->next_live != NULL) {
        block->next_live->prev_live = block->prev_live;
    }
}

/* Mark what is asked for. Returns how many that are. */
static size_t mark(pubsub_subscription *sub, pubsub_recall_fn match, void *ctx)
{
    size_t count = 0;
    for (pubsub_block *block = sub->blocks; block != NULL; block = block->next_live) {
        for (uint32_t i = 0; i < block->count; i++) {
            pubsub_message *message = &block->messages[i];
            if (!message->gone && match(ctx, message->spi.token, message->spi.position)) {
                atomic_store_explicit(&message->recalled, true, memory_order_relaxed);
                count++;
            }
        }
    }
    return count;
}

static bool unmarked_stays(const pubsub_message *message)
{
    return !atomic_load_explicit(&message->recalled, memory_order_relaxed);
}

size_t pubsub_sink_recall(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                          pubsub_recall_fn match, void *ctx, size_t *left)
{
    pubsub_client *client = sink->client;
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    size_t marked = mark(sub, match, ctx);
    size_t taken = 0;
    if (marked > 0) {
        pthread_mutex_lock(&client->lock);
        taken = pubsub__deliver_sift(client, sub, unmarked_stays, PUBSUB__DONE);
        pubsub__ready_changed(client);
        pthread_mutex_unlock(&client->lock);
        taken += pubsub__held_recall(client, sub);
        pubsub__turn_soon(client);
    }
    if (left != NULL) {
        *left = marked - taken;
    }
    return taken;
}
