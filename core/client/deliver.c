/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"
#include "log/log.h"

#include <string.h>

/* From the adapter's block to the ready queue of a subscription. */

static uint32_t size_of(const pubsub_spi_message *spi)
{
    size_t size = sizeof(pubsub_message) + spi->topic.len + spi->payload.len + spi->key.len +
                  spi->content_type.len + spi->reply_to.len + spi->correlation.len;
    for (uint32_t i = 0; i < spi->header_count; i++) {
        size += sizeof(pubsub_header) + spi->headers[i].name.len + spi->headers[i].value.len;
    }
    return size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
}

void pubsub__settle_here(pubsub_client *client, pubsub_message *message,
                         enum pubsub__verdict verdict)
{
    atomic_store_explicit(&message->verdict, (unsigned char)verdict, memory_order_relaxed);
    pubsub__message_push(&client->io_settled, message);
}

/* @locks lock held. Keep of a list what stays, the rest is settled with that verdict. Returns how many. */
static size_t sift(pubsub_client *client, pubsub__message_list *list, pubsub__stays_fn stays,
                   enum pubsub__verdict verdict)
{
    pubsub__message_list kept = {NULL, NULL, 0};
    pubsub_message *message = NULL;
    size_t count = 0;
    while ((message = pubsub__message_pop(list)) != NULL) {
        if (stays(message)) {
            pubsub__message_push(&kept, message);
        } else {
            pubsub__settle_here(client, message, verdict);
            count++;
        }
    }
    *list = kept;
    return count;
}

/* @locks lock held */
static void enter_lanes(pubsub_subscription *sub, pubsub__message_list *list)
{
    pubsub_message *message = NULL;
    while ((message = pubsub__message_pop(list)) != NULL) {
        if (pubsub__lane_enter(sub, message)) {
            pubsub__message_push(&sub->ready, message);
        }
    }
}

size_t pubsub__deliver_sift(pubsub_client *client, pubsub_subscription *sub, pubsub__stays_fn stays,
                            enum pubsub__verdict verdict)
{
    pubsub__message_list waiting = {NULL, NULL, 0};
    if (sub->lanes != NULL) {
        pubsub__lanes_drain(sub, &waiting);
    }
    size_t count = sift(client, &sub->ready, stays, verdict);
    count += sift(client, &waiting, stays, verdict);
    pubsub__ready_less(sub, count);
    enter_lanes(sub, &waiting);
    return count;
}

static bool none_stays(const pubsub_message *message)
{
    (void)message;
    return false;
}

/* Only what has no ack survives a new generation: nobody sends it again. */
static bool unacked_stays(const pubsub_message *message)
{
    return message->spi.flags & PUBSUB_SPI_NO_ACK;
}

void pubsub__deliver_clear(pubsub_client *client, pubsub_subscription *sub, bool all)
{
    pthread_mutex_lock(&client->lock);
    (void)pubsub__deliver_sift(client, sub, all ? none_stays : unacked_stays, PUBSUB__HAND_BACK);
    pubsub__ready_changed(client);
    pthread_mutex_unlock(&client->lock);
}

static bool matches(const pubsub_subscription *sub, pubsub_bytes topic)
{
    const pubsub_subscribe_request *request = &sub->spi.request;
    for (size_t i = 0; i < request->pattern_count; i++) {
        if (pubsub_topic_matches(request->patterns[i].data, request->patterns[i].len, topic.data,
                                 topic.len)) {
            return true;
        }
    }
    return false;
}

static void tell_filtered(pubsub_client *client, pubsub_subscription *sub)
{
    sub->filtered++;
    if (sub->filtered > 100 && sub->filtered > 10 * sub->matched && !sub->filtered_told) {
        sub->filtered_told = true;
        pubsub__log(PUBSUB_LOG_WARN, client->adapter->name,
                    "'%s': more than ten messages arrive for each one that matches; a narrower "
                    "pattern or another layout of topics would save that",
                    (const char *)sub->patterns[0].data);
    }
}

/* One gap for each time the credit runs out, not for each message. */
static void overflow(pubsub_client *client, pubsub_subscription *sub)
{
    pubsub__count(client, overflowed, 1);
    if (!sub->overflowing) {
        sub->overflowing = true;
        sub->starved = true; /* the episode ends when credit is there again */
        pubsub_gap gap = {"overflow: handlers are slower than the messages", PUBSUB_POSITION_NONE,
                          PUBSUB_POSITION_NONE, 0};
        pubsub_sink_gap(&client->sink, &sub->spi, &gap);
    }
}

/* What becomes of one message before any handler sees it. */
static bool wanted(pubsub_client *client, pubsub_subscription *sub, pubsub_message *message,
                   uint64_t *wall)
{
    const pubsub_spi_message *spi = &message->spi;
    if ((spi->flags & PUBSUB_SPI_FILTER) && !matches(sub, spi->topic)) {
        pubsub__count(client, filtered, 1);
        tell_filtered(client, sub);
        pubsub__settle_here(client, message, PUBSUB__ACK);
        return false;
    }
    sub->matched++;
    if (spi->expires_ns != 0) {
        *wall = *wall != 0 ? *wall : pubsub__clock_wall_ns();
        if (spi->expires_ns <= *wall) {
            pubsub__count(client, expired, 1);
            pubsub__settle_here(client, message, PUBSUB__ACK);
            return false;
        }
    }
    if (spi->flags & PUBSUB_SPI_NO_ACK) {
        if (sub->credit_used >= sub->spi.request.prefetch || sub->credit_bytes <= 0) {
            overflow(client, sub);
            pubsub__settle_here(client, message, PUBSUB__DONE);
            return false;
        }
        return true;
    }
    if (sub->spi.request.max_attempts != 0 && spi->attempt > sub->spi.request.max_attempts &&
        !pubsub__is_dead_letter(message)) {
        pubsub__dead_letter_start(client, message); /* its handlers crashed each time */
        return false;
    }
    if (spi->attempt > 1) {
        pubsub__count(client, redelivered, 1);
    }
    return true;
}

static void init_message(pubsub_subscription *sub, pubsub_block *block, pubsub_message *message)
{
    message->block = block;
    message->next = message->prev = NULL;
    message->due_ns = 0;
    message->nack_delay = 0;
    message->reason = NULL;
    message->generation = sub->generation;
    message->size = size_of(&message->spi);
    message->manual = message->gone = false;
    message->handling = false;
    if (sub->lanes != NULL) {
        message->lane_next = message->behind = NULL;
        message->lane_over = message->again = false;
        atomic_store_explicit(&message->leads, false, memory_order_relaxed);
        pubsub__lane_hash(sub, message);
    }
    atomic_store_explicit(&message->recalled, false, memory_order_relaxed);
    atomic_store_explicit(&message->refs, 1, memory_order_relaxed);
    atomic_store_explicit(&message->verdict, PUBSUB__UNSETTLED, memory_order_relaxed);
}

pubsub_block *pubsub_sink_block(pubsub_sink *sink, size_t messages, size_t min_bytes)
{
    return pubsub__block_new(sink->client->blocks, messages, min_bytes);
}

void pubsub_sink_messages(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                          pubsub_block *block)
{
    pubsub_client *client = sink->client;
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    if (block == NULL || block->count == 0 || sub->finishing) {
        pubsub_block_discard(block);
        return;
    }
    block->owner = sub;
    pubsub__subscription_ref(sub);
    atomic_store_explicit(&block->refs, block->count, memory_order_relaxed);
    pubsub__live_add(sub, block);
    if (sub->inbox) {
        for (uint32_t i = 0; i < block->count; i++) {
            init_message(sub, block, &block->messages[i]);
            pubsub__count(client, received_bytes, block->messages[i].spi.payload.len);
        }
        pubsub__count(client, received, block->count);
        pubsub__inbox_messages(client, sub, block);
        return;
    }
    pubsub__message_list list = {NULL, NULL, 0};
    uint64_t wall = 0;
    uint64_t bytes = 0;
    const pubsub_spi_message *last = &block->messages[block->count - 1].spi;
    if (last->position[0] != UINT64_MAX || last->position[1] != UINT64_MAX) {
        subscription->delivered.word[0] = last->position[0];
        subscription->delivered.word[1] = last->position[1];
        subscription->delivered.adapter = client->adapter;
    }
    uint32_t count = block->count;
    for (uint32_t i = 0; i < count; i++) {
        pubsub_message *message = &block->messages[i];
        init_message(sub, block, message);
        bytes += message->spi.payload.len;
        if (wanted(client, sub, message, &wall)) {
            pubsub__message_push(&list, message);
        }
        sub->credit_used++;
        sub->credit_bytes -= message->size;
    }
    pubsub__count(client, received, count);
    pubsub__count(client, received_bytes, bytes);
    if (list.head != NULL) {
        pthread_mutex_lock(&client->lock);
        pubsub__ready_add(sub, list.count);
        if (sub->lanes != NULL) {
            enter_lanes(sub, &list);
        } else {
            pubsub__message_append(&sub->ready, &list);
        }
        if (sub->ready.head != NULL) {
            pubsub__ready_sub(client, sub);
        }
        if (!sub->spi.lazy_ack) {
            pubsub__acks_expect_locked(client);
        }
        bool shared = sub->shared;
        pthread_mutex_unlock(&client->lock);
        if (!shared) {
            pthread_cond_broadcast(&client->ready_cond);
        }
    }
    if (client->io_settled.head != NULL) {
        pubsub__turn_soon(client);
    }
}

bool pubsub_sink_credit(pubsub_sink *sink, pubsub_spi_subscription *subscription,
                        uint32_t *messages, uint64_t *bytes)
{
    pubsub_subscription *sub = (pubsub_subscription *)(void *)subscription;
    (void)sink;
    int64_t left = (int64_t)sub->spi.request.prefetch - (int64_t)sub->credit_used;
    bool some = left > 0 && sub->credit_bytes > 0;
    *messages = some ? (uint32_t)left : 0;
    *bytes = some ? (uint64_t)sub->credit_bytes : 0;
    sub->starved = sub->starved || !some;
    return some;
}
