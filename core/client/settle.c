/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

/* From a handler's verdict to the broker: acks, nacks, redelivery, credit. */

#define ACK_BATCH 256u
/* While messages come one after the other the next one brings the I/O thread to look for acks anyway; when
 * none comes, this is how late an ack may be. */
#define ACK_DELAY_NS UINT64_C(1000000)

/* ---- the user's side ---- */

void pubsub__outstanding_add(pubsub_subscription *sub, pubsub_message *message)
{
    message->prev = NULL;
    message->next = sub->outstanding;
    if (sub->outstanding != NULL) {
        sub->outstanding->prev = message;
    }
    sub->outstanding = message;
    message->manual = true;
    sub->client->unsettled++;
}

static void outstanding_remove(pubsub_client *client, pubsub_subscription *sub,
                               pubsub_message *message)
{
    if (message->prev != NULL) {
        message->prev->next = message->next;
    } else {
        sub->outstanding = message->next;
    }
    if (message->next != NULL) {
        message->next->prev = message->prev;
    }
    message->next = message->prev = NULL;
    client->unsettled--;
}

static void hand_over(pubsub_client *client, pubsub_message *message)
{
    pubsub__message_push(&client->settled, message);
    client->settling++;
}

void pubsub__settle_locked(pubsub_client *client, pubsub_message *message)
{
    hand_over(client, message);
    pubsub__wake(client);
}

/* @locks lock held. The I/O thread is to be woken afterwards. */
static pubsub_err settle(pubsub_client *client, pubsub_subscription *sub, pubsub_message *message,
                         enum pubsub__verdict verdict)
{
    if (sub->ended) {
        return PUBSUB_ECLOSED;
    }
    if (!message->manual ||
        atomic_load_explicit(&message->verdict, memory_order_relaxed) != PUBSUB__UNSETTLED) {
        return PUBSUB_ESTATE;
    }
    atomic_store_explicit(&message->verdict, (unsigned char)verdict, memory_order_relaxed);
    outstanding_remove(client, sub, message);
    if (sub->lanes != NULL && verdict == PUBSUB__ACK) {
        pubsub__lane_leave(client, message);
    }
    hand_over(client, message);
    return PUBSUB_OK;
}

pubsub_err pubsub_message_ack(pubsub_message *message)
{
    return message == NULL ? PUBSUB_EINVAL : pubsub_message_ack_batch(&message, 1);
}

/* Leave a client and wake it: without the lock, which its I/O thread takes at once. Until then it must
 * not go away with the last message of it. */
static void unlock_and_wake(pubsub_client *client)
{
    atomic_fetch_add_explicit(&client->refs, 1, memory_order_relaxed);
    pthread_mutex_unlock(&client->lock);
    pubsub__wake(client);
    pubsub__client_unref(client);
}

pubsub_err pubsub_message_ack_batch(pubsub_message *const *messages, size_t count)
{
    if (messages == NULL && count > 0) {
        return PUBSUB_EINVAL;
    }
    pubsub_err rc = PUBSUB_OK;
    pubsub_client *locked = NULL;
    for (size_t i = 0; i < count; i++) {
        pubsub_subscription *sub = messages[i]->block->owner;
        pubsub_client *client = sub->client;
        if (locked == NULL || client != locked) {
            if (locked != NULL) {
                unlock_and_wake(locked);
            }
            if (pubsub__client_forked(client)) {
                return PUBSUB_ESTATE;
            }
            pthread_mutex_lock(&client->lock);
            locked = client;
        }
        pubsub_err one = settle(client, sub, messages[i], PUBSUB__ACK);
        bool matters = one == PUBSUB_ECLOSED || count == 1;
        rc = rc == PUBSUB_OK && matters ? one : rc;
    }
    if (locked != NULL) {
        unlock_and_wake(locked);
    }
    return rc;
}

pubsub_err pubsub_message_nack(pubsub_message *message, pubsub_duration_ms delay,
                               const char *reason)
{
    if (message == NULL) {
        return PUBSUB_EINVAL;
    }
    pubsub_subscription *sub = message->block->owner;
    pubsub_client *client = sub->client;
    if (pubsub__client_forked(client)) {
        return PUBSUB_ESTATE;
    }
    char *copy = reason == NULL ? NULL : pubsub__strndup(reason, strnlen(reason, 200));
    pthread_mutex_lock(&client->lock);
    message->nack_delay = delay < 0 ? sub->nack_delay : delay;
    pubsub_err rc = settle(client, sub, message, PUBSUB__NACK);
    if (rc == PUBSUB_OK) {
        message->reason = copy;
        copy = NULL;
        pubsub__wake(client);
    }
    pthread_mutex_unlock(&client->lock);
    pubsub__free(copy);
    return rc;
}

pubsub_message *pubsub_message_ref(pubsub_message *message)
{
    if (message != NULL) {
        atomic_fetch_add_explicit(&message->refs, 1, memory_order_relaxed);
    }
    return message;
}

/* @locks lock held. Settled and processed long ago: its bytes go back to the credit. False: nobody counts
 * any more. */
static bool give_back(pubsub_client *client, const pubsub_subscription *sub,
                      pubsub_message *message)
{
    if (sub->ended || !client->io_running || sub->inbox) {
        return false;
    }
    atomic_store_explicit(&message->verdict, PUBSUB__RELEASED, memory_order_relaxed);
    hand_over(client, message);
    return true;
}

/* Not with a client's lock: the client may go away with its last message. */
static void leave(pubsub_client **locked, bool *handed_over)
{
    if (*locked != NULL && *handed_over) {
        unlock_and_wake(*locked);
    } else if (*locked != NULL) {
        pthread_mutex_unlock(&(*locked)->lock);
    }
    *locked = NULL;
    *handed_over = false;
}

void pubsub_message_unref_batch(pubsub_message *const *messages, size_t count)
{
    pubsub_client *locked = NULL;
    bool handed_over = false;
    for (size_t i = 0; messages != NULL && i < count; i++) {
        pubsub_message *message = messages[i];
        if (message == NULL ||
            atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) != 1) {
            continue;
        }
        pubsub_subscription *sub = message->block->owner;
        pubsub_client *client = sub->client;
        if (locked != NULL && locked != client) {
            leave(&locked, &handed_over);
        }
        if (locked == NULL && !pubsub__client_forked(client)) {
            pthread_mutex_lock(&client->lock);
            locked = client;
        }
        if (locked != NULL && give_back(client, sub, message)) {
            handed_over = true;
        } else {
            leave(&locked, &handed_over);
            pubsub__block_drop(message->block, 1);
        }
    }
    leave(&locked, &handed_over);
}

void pubsub_message_unref(pubsub_message *message)
{
    pubsub_message_unref_batch(&message, 1);
}

/* ---- on the I/O thread ---- */

struct acks {
    pubsub_client *client;
    pubsub_spi_ack items[ACK_BATCH];
    size_t count;
};

static void acks_send(struct acks *acks)
{
    if (acks->count > 0) {
        acks->client->adapter->ack(acks->client->instance, acks->items, acks->count);
        acks->count = 0;
    }
}

static void acks_add(struct acks *acks, const pubsub_message *message, pubsub_spi_settle settle)
{
    pubsub_subscription *sub = message->block->owner;
    if (sub->state == PUBSUB__SUB_ENDED || (message->spi.flags & PUBSUB_SPI_NO_ACK)) {
        return;
    }
    if (message->generation != sub->generation) {
        pubsub__count(acks->client, stale_acks, 1);
        return;
    }
    if (acks->count == ACK_BATCH) {
        acks_send(acks);
    }
    pubsub_spi_ack *ack = &acks->items[acks->count++];
    ack->subscription = &sub->spi;
    ack->token = message->spi.token;
    ack->position[0] = message->spi.position[0];
    ack->position[1] = message->spi.position[1];
    ack->settle = settle;
    ack->delay_ms = message->nack_delay;
}

/* Whether others of its key may wait for it: then it is tried again here, so that they do. */
static bool leads(const pubsub_subscription *sub, const pubsub_message *message)
{
    return sub->lanes != NULL && atomic_load_explicit(&message->leads, memory_order_relaxed);
}

/* The core is through with a message: its credit goes back, its bytes when no caller keeps them. */
static void let_go(pubsub_message *message)
{
    pubsub_subscription *sub = message->block->owner;
    pubsub__free(message->reason);
    message->reason = NULL;
    sub->credit_used--;
    pubsub__live_drop(message);
    if (leads(sub, message)) {
        pthread_mutex_lock(&sub->client->lock);
        pubsub__lane_leave(sub->client, message);
        pthread_mutex_unlock(&sub->client->lock);
    }
    uint32_t size = message->size;
    if (atomic_fetch_sub_explicit(&message->refs, 1, memory_order_acq_rel) == 1) {
        sub->credit_bytes += size;
        pubsub__block_drop(message->block, 1);
    }
}

static void refused(struct acks *acks, pubsub_message *message)
{
    pubsub_client *client = acks->client;
    pubsub_subscription *sub = message->block->owner;
    pubsub__count(client, nacked, 1);
    if (atomic_load_explicit(&message->recalled, memory_order_relaxed)) {
        acks_add(acks, message, PUBSUB_SPI_RELEASE);
        let_go(message);
    } else if (message->generation != sub->generation || sub->finishing) {
        acks_add(acks, message, sub->spi.native_nack ? PUBSUB_SPI_NACK : PUBSUB_SPI_RELEASE);
        let_go(message);
    } else if (pubsub__attempts_over(message)) {
        pubsub__dead_letter_start(client, message);
    } else if (sub->spi.native_nack && !leads(sub, message)) {
        acks_add(acks, message, PUBSUB_SPI_NACK);
        let_go(message);
    } else {
        pubsub__held_add(client, message, message->nack_delay);
    }
}

static void process(struct acks *acks, pubsub_message *message)
{
    pubsub_subscription *sub = message->block->owner;
    switch ((enum pubsub__verdict)atomic_load_explicit(&message->verdict, memory_order_relaxed)) {
    case PUBSUB__ACK:
        pubsub__count(acks->client, acked, 1);
        acks_add(acks, message, PUBSUB_SPI_ACK);
        let_go(message);
        break;
    case PUBSUB__NACK:
        refused(acks, message);
        break;
    case PUBSUB__HAND_BACK:
        acks_add(acks, message, PUBSUB_SPI_RELEASE);
        let_go(message);
        break;
    case PUBSUB__RELEASED:
        sub->credit_bytes += message->size;
        pubsub__block_drop(message->block, 1);
        break;
    case PUBSUB__DONE:
    case PUBSUB__UNSETTLED:
        let_go(message);
        break;
    }
}

/* Tell adapters that wait for credit; not before it is worth a round trip. */
static void offer_credit(pubsub_client *client)
{
    pubsub_subscription *next = NULL;
    for (pubsub_subscription *sub = client->io_subs; sub != NULL; sub = next) {
        next = sub->io_next;
        if (!sub->starved || sub->state != PUBSUB__SUB_ACTIVE || sub->finishing) {
            continue;
        }
        uint32_t prefetch = sub->spi.request.prefetch;
        bool enough = sub->credit_used <= prefetch - (prefetch + 3) / 4 &&
                      sub->credit_bytes >= (int64_t)(sub->spi.request.prefetch_bytes / 4);
        if (enough || sub->credit_used == 0) {
            sub->starved = false;
            sub->overflowing = false;
            client->adapter->credit(client->instance, &sub->spi);
        }
    }
}

void pubsub__acks_expect_locked(pubsub_client *client)
{
    if (!client->inline_io) {
        client->acks_expected = true;
        client->acks_due_ns = pubsub__clock_mono_ns() + ACK_DELAY_NS;
    }
}

void pubsub__acks_due(pubsub_client *client, uint64_t now_ns)
{
    if (client->acks_due_ns == 0 || now_ns < client->acks_due_ns) {
        return;
    }
    client->acks_due_ns = 0;
    pthread_mutex_lock(&client->lock);
    client->acks_expected = false;
    pthread_mutex_unlock(&client->lock);
}

void pubsub__settle_take(pubsub_client *client)
{
    struct acks acks;
    acks.client = client;
    acks.count = 0;
    for (;;) {
        pubsub__message_list list = {NULL, NULL, 0};
        pthread_mutex_lock(&client->lock);
        size_t users = client->settled.count;
        client->lazy_settled = client->lazy_bytes = 0;
        pubsub__message_append(&list, &client->settled);
        pthread_mutex_unlock(&client->lock);
        pubsub__message_append(&list, &client->io_settled);
        if (list.head == NULL) {
            break;
        }
        pubsub_message *message = NULL;
        while ((message = pubsub__message_pop(&list)) != NULL) {
            process(&acks, message);
        }
        acks_send(&acks);
        pthread_mutex_lock(&client->lock);
        client->settling -= users;
        if (client->settling == 0) {
            client->progress = true;
            pthread_cond_broadcast(&client->state_cond);
        }
        pthread_mutex_unlock(&client->lock);
    }
    offer_credit(client);
}
