/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

/* Refused messages that wait for their time: a binary heap by due time. [io] */

static void heap_swap(pubsub__held *held, size_t a, size_t b)
{
    pubsub_message *keep = held->items[a];
    held->items[a] = held->items[b];
    held->items[b] = keep;
}

static void heap_down(pubsub__held *held, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < held->count; child++) {
            if (held->items[child]->due_ns < held->items[least]->due_ns) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        heap_swap(held, at, least);
        at = least;
    }
}

void pubsub__held_add(pubsub_client *client, pubsub_message *message, pubsub_duration_ms delay)
{
    pubsub__held *held = &client->held;
    if (atomic_load_explicit(&message->recalled, memory_order_relaxed)) {
        pubsub__settle_here(client, message, PUBSUB__HAND_BACK);
        return;
    }
    if (held->count == held->capacity) {
        size_t more = held->capacity == 0 ? 64 : held->capacity * 2;
        pubsub_message **items = pubsub__realloc(held->items, more * sizeof(pubsub_message *));
        if (items == NULL) { /* no memory to wait in: deliver again at once */
            delay = 0;
            if (held->capacity == 0) {
                pubsub__settle_here(client, message, PUBSUB__HAND_BACK);
                return;
            }
            held->items[0]->due_ns = 0;
            pubsub__held_due(client, 1);
        } else {
            held->items = items;
            held->capacity = more;
        }
    }
    message->due_ns = pubsub__clock_mono_ns() + (uint64_t)(delay < 0 ? 0 : delay) * 1000000u;
    size_t at = held->count++;
    held->items[at] = message;
    while (at > 0 && held->items[(at - 1) / 2]->due_ns > held->items[at]->due_ns) {
        heap_swap(held, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static pubsub_message *heap_take(pubsub__held *held)
{
    pubsub_message *message = held->items[0];
    held->items[0] = held->items[--held->count];
    heap_down(held, 0);
    return message;
}

/* Its delay is over: back into the ready queue, one attempt later. */
static void deliver_again(pubsub_client *client, pubsub_message *message)
{
    pubsub_subscription *sub = message->block->owner;
    atomic_store_explicit(&message->verdict, PUBSUB__UNSETTLED, memory_order_relaxed);
    message->manual = false;
    message->spi.attempt += message->spi.attempt > 0 ? 1 : 2;
    message->spi.flags |= PUBSUB_SPI_REDELIVERED;
    pubsub__free(message->reason);
    message->reason = NULL;
    pubsub__count(client, redelivered, 1);
    pthread_mutex_lock(&client->lock);
    if (message->handling) {
        message->again = true; /* refused by a handler that has not returned */
    } else {
        bool waits = sub->lanes != NULL &&
                     !atomic_load_explicit(&message->leads, memory_order_relaxed) &&
                     !pubsub__lane_enter(sub, message);
        pubsub__ready_add(sub, 1);
        if (!waits) {
            pubsub__message_push(&sub->ready, message);
            pubsub__ready_sub(client, sub);
        }
    }
    pthread_mutex_unlock(&client->lock);
    pthread_cond_broadcast(&client->ready_cond);
}

void pubsub__held_due(pubsub_client *client, uint64_t now_ns)
{
    while (client->held.count > 0 && client->held.items[0]->due_ns <= now_ns) {
        deliver_again(client, heap_take(&client->held));
    }
}

uint64_t pubsub__held_next_due(const pubsub_client *client)
{
    return client->held.count > 0 ? client->held.items[0]->due_ns : PUBSUB__FOREVER_NS;
}

/* Take those of a subscription (NULL = of all) out of the heap, only recalled ones or whatever they are. */
static size_t take_out(pubsub_client *client, const pubsub_subscription *subscription,
                       bool recalled, enum pubsub__verdict verdict)
{
    pubsub__held *held = &client->held;
    size_t before = held->count;
    size_t kept = 0;
    for (size_t i = 0; i < before; i++) {
        pubsub_message *message = held->items[i];
        if ((subscription == NULL || message->block->owner == subscription) &&
            (!recalled || atomic_load_explicit(&message->recalled, memory_order_relaxed))) {
            pubsub__settle_here(client, message, verdict);
        } else {
            held->items[kept++] = message;
        }
    }
    held->count = kept;
    for (size_t i = kept / 2; i-- > 0;) {
        heap_down(held, i);
    }
    return before - kept;
}

void pubsub__held_clear(pubsub_client *client, const pubsub_subscription *subscription)
{
    (void)take_out(client, subscription, false, PUBSUB__HAND_BACK);
}

size_t pubsub__held_recall(pubsub_client *client, const pubsub_subscription *subscription)
{
    return take_out(client, subscription, true, PUBSUB__DONE);
}
