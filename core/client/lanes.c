/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <string.h>

/* Order per key where several handlers of a subscription run at the same time. Of each key that is here
 * one message leads: it is ready, in its handler, waits for its retry, or is not settled yet. The others
 * of its key wait behind it in order of arrival, and when it is settled for good the next one leads.
 * Leaders stand in a table by hash; messages without a key never do. Nothing is allocated for a message:
 * the lists run through the messages, whose number the credit of the subscription bounds. */

#define BUCKETS_MIN 64u
#define BUCKETS_MAX 65536u

struct pubsub__lanes {
    uint32_t mask;
    uint64_t seed; /* so that nobody can choose keys that meet in one bucket */
    bool by_topic; /* of what has no key */
    size_t waiting;
    pubsub_message *buckets[];
};

pubsub__lanes *pubsub__lanes_new(uint32_t prefetch, bool by_topic)
{
    uint32_t count = BUCKETS_MIN;
    while (count < prefetch && count < BUCKETS_MAX) {
        count *= 2;
    }
    pubsub__lanes *lanes = pubsub__calloc(1, sizeof *lanes + count * sizeof lanes->buckets[0]);
    if (lanes != NULL) {
        lanes->mask = count - 1;
        lanes->by_topic = by_topic;
        lanes->seed = pubsub__rand_u64();
    }
    return lanes;
}

void pubsub__lanes_free(pubsub__lanes *lanes)
{
    pubsub__free(lanes);
}

/* Whether it has to keep an order with others, and by what. */
static bool key_of(const pubsub__lanes *lanes, const pubsub_message *message, pubsub_bytes *key)
{
    bool keyed = message->spi.key.data != NULL;
    *key = keyed ? message->spi.key : message->spi.topic;
    return keyed || lanes->by_topic;
}

static uint32_t hash_of(uint64_t seed, pubsub_bytes key)
{
    const unsigned char *at = key.data;
    uint64_t hash = seed ^ key.len;
    size_t left = key.len;
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word = 0;
        memcpy(&word, at, 8);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    for (; left > 0; left--, at++) {
        hash = (hash ^ *at) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (uint32_t)(hash ^ (hash >> 29));
}

void pubsub__lane_hash(const pubsub_subscription *sub, pubsub_message *message)
{
    pubsub_bytes key = {NULL, 0};
    if (key_of(sub->lanes, message, &key)) {
        message->lane_hash = hash_of(sub->lanes->seed, key);
    }
}

static bool same_key(const pubsub_message *a, const pubsub_message *b)
{
    bool keyed = a->spi.key.data != NULL;
    if (a->lane_hash != b->lane_hash || keyed != (b->spi.key.data != NULL)) {
        return false;
    }
    pubsub_bytes x = keyed ? a->spi.key : a->spi.topic;
    pubsub_bytes y = keyed ? b->spi.key : b->spi.topic;
    return x.len == y.len && (x.len == 0 || memcmp(x.data, y.data, x.len) == 0);
}

static pubsub_message **bucket_of(pubsub__lanes *lanes, const pubsub_message *message)
{
    return &lanes->buckets[message->lane_hash & lanes->mask];
}

/* Behind the others that wait for the same leader. */
static void wait_behind(pubsub_message *leader, pubsub_message *message)
{
    if (leader->behind == NULL) {
        message->next = message;
    } else {
        message->next = leader->behind->next;
        leader->behind->next = message;
    }
    leader->behind = message;
}

/* The first of those that wait for a leader, or NULL. */
static pubsub_message *take_behind(pubsub_message *leader)
{
    pubsub_message *last = leader->behind;
    if (last == NULL) {
        return NULL;
    }
    pubsub_message *first = last->next;
    if (first == last) {
        leader->behind = NULL;
    } else {
        last->next = first->next;
    }
    first->next = NULL;
    return first;
}

bool pubsub__lane_enter(pubsub_subscription *sub, pubsub_message *message)
{
    pubsub__lanes *lanes = sub->lanes;
    pubsub_bytes key = {NULL, 0};
    if (!key_of(lanes, message, &key)) {
        return true;
    }
    pubsub_message **bucket = bucket_of(lanes, message);
    for (pubsub_message *leader = *bucket; leader != NULL; leader = leader->lane_next) {
        if (same_key(leader, message)) {
            wait_behind(leader, message);
            lanes->waiting++;
            sub->client->apart_messages += sub->shared ? 0 : 1;
            return false;
        }
    }
    message->lane_next = *bucket;
    *bucket = message;
    atomic_store_explicit(&message->leads, true, memory_order_relaxed);
    return true;
}

void pubsub__lane_leave(pubsub_client *client, pubsub_message *message)
{
    if (message->handling) {
        message->lane_over = true;
        return;
    }
    if (!atomic_load_explicit(&message->leads, memory_order_relaxed)) {
        return;
    }
    pubsub_subscription *sub = message->block->owner;
    pubsub_message **at = bucket_of(sub->lanes, message);
    while (*at != message) {
        at = &(*at)->lane_next;
    }
    atomic_store_explicit(&message->leads, false, memory_order_relaxed);
    pubsub_message *heir = take_behind(message);
    if (heir == NULL) {
        *at = message->lane_next;
        return;
    }
    heir->behind = message->behind;
    heir->lane_next = message->lane_next;
    atomic_store_explicit(&heir->leads, true, memory_order_relaxed);
    *at = heir;
    message->behind = NULL;
    sub->lanes->waiting--;
    client->apart_messages -= sub->shared ? 0 : 1;
    pubsub__message_push(&sub->ready, heir);
    pubsub__ready_sub(client, sub);
    if (!sub->shared) {
        pthread_cond_broadcast(&client->ready_cond);
    }
}

void pubsub__lane_returned(pubsub_client *client, pubsub_message *message)
{
    message->handling = false;
    if (message->lane_over) {
        message->lane_over = false;
        pubsub__lane_leave(client, message);
    }
    if (message->again) {
        message->again = false;
        pubsub_subscription *sub = message->block->owner;
        pubsub__message_push(&sub->ready, message);
        pubsub__ready_add(sub, 1);
        pubsub__ready_sub(client, sub);
    }
}

void pubsub__lanes_drain(pubsub_subscription *sub, pubsub__message_list *out)
{
    pubsub__lanes *lanes = sub->lanes;
    for (uint32_t i = 0; lanes->waiting > 0 && i <= lanes->mask; i++) {
        for (pubsub_message *leader = lanes->buckets[i]; leader != NULL;
             leader = leader->lane_next) {
            pubsub_message *message = NULL;
            while ((message = take_behind(leader)) != NULL) {
                lanes->waiting--;
                sub->client->apart_messages -= sub->shared ? 0 : 1;
                pubsub__message_push(out, message);
            }
        }
    }
}
