/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"

#include <string.h>

/* Running handlers on the thread that polls. */

/* Messages of one subscription in a row before others get their turn. */
#define ROUND 256u

/* ---- reports ---- */

/* @locks lock held; left while handlers run */
int pubsub__dispatch_reports(pubsub_client *client)
{
    pubsub__publish_list list = {NULL, NULL, 0};
    pubsub__publish_append(&list, &client->reports);
    int calls = (int)list.count;
    if (calls == 0) {
        return 0;
    }
    pubsub_delivery_fn fn =
        client->on_delivery; /* may have been removed while the client was closed */
    void *ctx = client->on_delivery_ctx;
    pthread_mutex_unlock(&client->lock);
    for (pubsub__publish *publish = list.head; fn != NULL && publish != NULL;
         publish = publish->next) {
        pubsub_report report = {publish->spi.pub.token, publish->outcome, publish->confirm,
                                publish->spi.pub.qos,   publish->flags,   publish->position,
                                publish->error};
        fn(ctx, &report);
    }
    pthread_mutex_lock(&client->lock);
    pubsub__publish *publish = NULL;
    while ((publish = pubsub__publish_pop(&list)) != NULL) {
        if (client->keep_undelivered && publish->outcome != PUBSUB_ACCEPTED) {
            pubsub__publish_insert(&client->undelivered, publish, NULL);
        } else {
            pubsub__publish_release_locked(client, publish);
        }
    }
    return calls;
}

void pubsub__dispatch_rest(pubsub_client *client)
{
    while (client->events != NULL || client->reports.head != NULL || client->calls.ended != NULL) {
        pubsub__dispatch_events(client);
        pubsub__dispatch_reports(client);
        pubsub__calls_dispatch(client);
    }
}

/* ---- messages ---- */

bool pubsub__flush_settled(pubsub_client *client, const pubsub_subscription *sub,
                           pubsub__message_list *settled)
{
    if (settled->head == NULL) {
        return false;
    }
    bool lazy = atomic_load_explicit(&sub->lazy_ack, memory_order_relaxed);
    bool urgent = !(lazy || client->acks_expected) || client->flushing > 0;
    for (const pubsub_message *m = settled->head; !urgent && m != NULL; m = m->next) {
        client->lazy_settled++;
        client->lazy_bytes += m->size;
        urgent = atomic_load_explicit(&m->verdict, memory_order_relaxed) == PUBSUB__NACK ||
                 client->lazy_settled >= sub->spi.request.prefetch / 4 ||
                 client->lazy_bytes >= sub->spi.request.prefetch_bytes / 4;
    }
    client->settling += settled->count;
    pubsub__message_append(&client->settled, settled);
    return urgent;
}

static bool give_back(pubsub_message *message, pubsub__message_list *settled)
{
    atomic_store_explicit(&message->verdict, PUBSUB__HAND_BACK, memory_order_relaxed);
    pubsub__message_push(settled, message);
    return false;
}

/* With ack=manual: once outstanding it may be settled or forgotten, and gone, so it is held for the call. */
static bool handle_manual(pubsub_subscription *sub, pubsub_message *message,
                          pubsub__message_list *settled)
{
    pubsub_client *client = sub->client;
    void *ctx = NULL;
    pubsub_message_fn fn = pubsub__handler_of(sub, &ctx);
    pthread_mutex_lock(&client->lock);
    if (sub->ended) { /* the I/O thread may have forgotten its messages already */
        pthread_mutex_unlock(&client->lock);
        return give_back(message, settled);
    }
    pubsub_message_ref(message);
    pubsub__outstanding_add(sub, message);
    pthread_mutex_unlock(&client->lock);
    fn(ctx, message);
    if (sub->lanes != NULL) {
        pthread_mutex_lock(&client->lock);
        pubsub__lane_returned(client, message);
        pthread_mutex_unlock(&client->lock);
    }
    pubsub_message_unref(message);
    return true;
}

bool pubsub__handle(pubsub_subscription *sub, pubsub_message *message,
                    pubsub__message_list *settled)
{
    if (atomic_load_explicit(&sub->ended, memory_order_relaxed) ||
        atomic_load_explicit(&sub->client->messages_stop, memory_order_relaxed) ||
        atomic_load_explicit(&message->recalled, memory_order_relaxed)) {
        return give_back(message, settled);
    }
    bool no_ack = message->spi.flags & PUBSUB_SPI_NO_ACK;
    if (!sub->ack_auto && !no_ack) {
        return handle_manual(sub, message, settled);
    }
    void *ctx = NULL;
    pubsub_message_fn fn = pubsub__handler_of(sub, &ctx);
    int refused = fn(ctx, message);
    message->nack_delay = sub->nack_delay;
    atomic_store_explicit(&message->verdict,
                          no_ack         ? PUBSUB__DONE
                          : refused != 0 ? PUBSUB__NACK
                                         : PUBSUB__ACK,
                          memory_order_relaxed);
    pubsub__message_push(settled, message);
    return true;
}

/* Call the handler for a list of messages, without the lock. What is not reached because the
 * subscription or the client ends is handed back. */
static int call_handler(pubsub_client *client, pubsub_subscription *sub, pubsub__message_list *list,
                        bool *wake)
{
    pubsub__message_list settled = {NULL, NULL, 0};
    uint64_t since = pubsub__clock_coarse_ns();
    int calls = 0;
    pubsub_message *message = NULL;
    while ((message = pubsub__message_pop(list)) != NULL) {
        if (!pubsub__handle(sub, message, &settled)) {
            continue;
        }
        calls++;
        uint64_t now = pubsub__clock_coarse_ns();
        if (now != since &&
            settled.head != NULL) { /* slow handlers: acks do not wait for the round */
            since = now;
            pthread_mutex_lock(&client->lock);
            bool urgent = pubsub__flush_settled(client, sub, &settled);
            pthread_mutex_unlock(&client->lock);
            if (urgent) {
                pubsub__wake(client);
            }
        }
    }
    pthread_mutex_lock(&client->lock);
    *wake = pubsub__flush_settled(client, sub, &settled);
    return calls;
}

/* @locks lock held; left while handlers run */
static int dispatch_sub(pubsub_client *client, pubsub_subscription *sub, bool *wake)
{
    if (sub->ended || client->stopping) {
        return 0;
    }
    pubsub__message_list list = {NULL, NULL, 0};
    if (sub->ready.count <= ROUND) {
        list = sub->ready;
        memset(&sub->ready, 0, sizeof sub->ready);
    } else {
        while (list.count < ROUND) {
            pubsub__message_push(&list, pubsub__message_pop(&sub->ready));
        }
        pubsub__run_push(sub);
    }
    pubsub__ready_less(sub, list.count);
    sub->running = 1;
    pthread_mutex_unlock(&client->lock);
    int calls = call_handler(client, sub, &list, wake);
    sub->running = 0;
    pthread_cond_broadcast(&client->state_cond);
    return calls;
}

/* @locks lock held; left while handlers run */
int pubsub__dispatch_messages(pubsub_client *client)
{
    int calls = 0;
    for (size_t left = client->run.count; left > 0; left--) {
        pubsub_subscription *sub = pubsub__run_pop(&client->run);
        if (sub == NULL) {
            break;
        }
        bool wake = false;
        calls += dispatch_sub(client, sub, &wake);
        pthread_mutex_unlock(&client->lock);
        if (wake) {
            pubsub__wake(client);
        }
        pubsub__subscription_unref(sub);
        pthread_mutex_lock(&client->lock);
    }
    return calls;
}
