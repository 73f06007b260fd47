/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* CLOCK_MONOTONIC_COARSE */
#endif
#include "client/internal.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Running handlers on the thread that polls, and handing out messages to those who pull. */

/* Messages of one subscription in a row before others get their turn. */
#define ROUND 256u

/* ---- what is ready ---- */

/* After shutdown messages are not handled any more, so they are no reason to poll. */
static bool anything_ready(const pubsub_client *client)
{
    return (client->ready_messages > 0 && !client->stopping) || client->reports.head != NULL ||
           client->events != NULL || client->calls.ended != NULL;
}

/* @locks lock held. The descriptor follows what is ready. */
static bool update_fd(pubsub_client *client)
{
    bool ready = anything_ready(client) || client->state == PUBSUB_STATE_CLOSED;
    if (!client->ready_fd_used || ready == client->ready_fd_set) {
        return ready;
    }
    uint64_t value = 1;
    client->ready_fd_set = ready;
    if (ready) {
        while (write(client->ready_fd, &value, sizeof value) < 0 && errno == EINTR) {
        }
    } else {
        while (read(client->ready_fd, &value, sizeof value) < 0 && errno == EINTR) {
        }
    }
    return ready;
}

void pubsub__ready_changed(pubsub_client *client)
{
    if (update_fd(client)) {
        pthread_cond_broadcast(&client->ready_cond);
    }
}

static pubsub_message_fn handler_of(const pubsub_subscription *sub, void **ctx)
{
    *ctx = sub->fn != NULL ? sub->ctx : sub->client->on_message_ctx;
    return sub->fn != NULL ? sub->fn : sub->client->on_message;
}

/* @locks lock held */
static void queue_run(pubsub_client *client, pubsub_subscription *sub)
{
    if (sub->in_run_queue) {
        return;
    }
    pubsub__subscription_ref(sub);
    sub->in_run_queue = true;
    sub->next_run = NULL;
    if (client->run_tail == NULL) {
        client->run_head = sub;
    } else {
        client->run_tail->next_run = sub;
    }
    client->run_tail = sub;
    client->run_count++;
}

/* @locks lock held. The caller gets the queue's reference. */
static pubsub_subscription *take_run(pubsub_client *client)
{
    pubsub_subscription *sub = client->run_head;
    if (sub != NULL) {
        client->run_head = sub->next_run;
        if (client->run_head == NULL) {
            client->run_tail = NULL;
        }
        sub->in_run_queue = false;
        client->run_count--;
    }
    return sub;
}

void pubsub__ready_sub(pubsub_client *client, pubsub_subscription *sub)
{
    void *ctx = NULL;
    if (handler_of(sub, &ctx) != NULL) {
        queue_run(client, sub);
    }
    update_fd(client);
}

/* ---- reports ---- */

/* @locks lock held; left while handlers run */
static int dispatch_reports(pubsub_client *client)
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
        dispatch_reports(client);
        pubsub__calls_dispatch(client);
    }
}

/* ---- messages ---- */

static uint64_t coarse_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* @locks lock held. Returns whether the I/O thread has to be woken: not for each ack that only returns
 * credit or that it looks for soon, which costs two threads a trip for every message that trickles in. */
static bool flush_settled(pubsub_client *client, const pubsub_subscription *sub,
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

/* Call the handler for a list of messages, without the lock. What is not reached because the
 * subscription or the client ends is handed back. */
static int call_handler(pubsub_client *client, pubsub_subscription *sub, pubsub__message_list *list,
                        bool *wake)
{
    void *ctx = NULL;
    pubsub_message_fn fn = handler_of(sub, &ctx);
    pubsub__message_list settled = {NULL, NULL, 0};
    uint64_t since = coarse_ns();
    int calls = 0;
    pubsub_message *message = NULL;
    while ((message = pubsub__message_pop(list)) != NULL) {
        if (atomic_load_explicit(&sub->ended, memory_order_relaxed) ||
            atomic_load_explicit(&client->messages_stop, memory_order_relaxed) ||
            atomic_load_explicit(&message->recalled, memory_order_relaxed)) {
            atomic_store_explicit(&message->verdict, PUBSUB__HAND_BACK, memory_order_relaxed);
            pubsub__message_push(&settled, message);
            continue;
        }
        bool no_ack = message->spi.flags & PUBSUB_SPI_NO_ACK;
        if (!sub->ack_auto && !no_ack) {
            pthread_mutex_lock(&client->lock);
            if (sub->ended) { /* the I/O thread may have forgotten its messages already */
                pthread_mutex_unlock(&client->lock);
                atomic_store_explicit(&message->verdict, PUBSUB__HAND_BACK, memory_order_relaxed);
                pubsub__message_push(&settled, message);
                continue;
            }
            /* Once outstanding it may be settled or forgotten, and gone: hold it for the call. */
            pubsub_message_ref(message);
            pubsub__outstanding_add(sub, message);
            pthread_mutex_unlock(&client->lock);
            fn(ctx, message);
            pubsub_message_unref(message);
        } else {
            int refused = fn(ctx, message);
            message->nack_delay = sub->nack_delay;
            atomic_store_explicit(&message->verdict,
                                  no_ack         ? PUBSUB__DONE
                                  : refused != 0 ? PUBSUB__NACK
                                                 : PUBSUB__ACK,
                                  memory_order_relaxed);
            pubsub__message_push(&settled, message);
        }
        calls++;
        uint64_t now = coarse_ns();
        if (now != since &&
            settled.head != NULL) { /* slow handlers: acks do not wait for the round */
            since = now;
            pthread_mutex_lock(&client->lock);
            bool urgent = flush_settled(client, sub, &settled);
            pthread_mutex_unlock(&client->lock);
            if (urgent) {
                pubsub__wake(client);
            }
        }
    }
    pthread_mutex_lock(&client->lock);
    *wake = flush_settled(client, sub, &settled);
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
        queue_run(client, sub);
    }
    client->ready_messages -= list.count;
    sub->called_fn = true;
    sub->called_by = pthread_self();
    pthread_mutex_unlock(&client->lock);
    int calls = call_handler(client, sub, &list, wake);
    sub->called_fn = false;
    pthread_cond_broadcast(&client->state_cond);
    return calls;
}

/* @locks lock held; left while handlers run */
static int dispatch_messages(pubsub_client *client)
{
    int calls = 0;
    for (size_t left = client->run_count; left > 0; left--) {
        pubsub_subscription *sub = take_run(client);
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

void pubsub__run_queue_clear(pubsub_client *client)
{
    pubsub_subscription *sub = NULL;
    while ((sub = take_run(client)) != NULL) {
        pubsub__subscription_unref(sub);
    }
}

/* ---- poll ---- */

bool pubsub__in_callback(pubsub_client *client)
{
    return client->calling && pthread_equal(client->poller, pthread_self());
}

/* @locks lock held */
static bool handlers_wait(const pubsub_client *client)
{
    return client->run_head != NULL || client->reports.head != NULL || client->events != NULL ||
           client->calls.ended != NULL;
}

int pubsub__poll(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err)
{
    int calls = 0;
    uint64_t deadline = timeout == 0 ? 0 : pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    if (pubsub__in_callback(client) || client->polling) {
        calls = pubsub_error_set(err, PUBSUB_ESTATE,
                                 client->calling && pthread_equal(client->poller, pthread_self())
                                     ? "poll inside a handler"
                                     : "another thread is polling this client");
        pthread_mutex_unlock(&client->lock);
        return calls;
    }
    client->polling = true;
    client->poller = pthread_self();
    if (client->inline_io && client->io_running && timeout == 0) {
        pubsub__wait(client, &client->ready_cond, 0);
    }
    bool in_time = true;
    while (!handlers_wait(client) && !client->interrupted && in_time && timeout != 0 &&
           client->state != PUBSUB_STATE_CLOSED && !client->dispatcher_stop) {
        in_time = pubsub__wait(client, &client->ready_cond, deadline);
    }
    client->interrupted = false;
    while (client->calling) { /* end() is dispatching what is left */
        pthread_cond_wait(&client->state_cond, &client->lock);
    }
    bool over = client->state == PUBSUB_STATE_CLOSED && !handlers_wait(client);
    client->calling = true;
    client->poller = pthread_self(); /* end() may have put another thread here meanwhile */
    calls += pubsub__dispatch_events(client);
    calls += dispatch_reports(client);
    calls += pubsub__calls_dispatch(client);
    calls += dispatch_messages(client);
    client->calling = false;
    client->polling = false;
    client->polled_ns = coarse_ns();
    pubsub__ready_changed(client);
    pthread_cond_broadcast(&client->state_cond);
    if (over && calls == 0) {
        calls = pubsub_error_set(err, PUBSUB_ECLOSED, "the client is closed and nothing is left");
    }
    pthread_mutex_unlock(&client->lock);
    return calls;
}

int pubsub_client_poll(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err)
{
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    if (client->dispatch_thread) {
        return pubsub_error_set(err, PUBSUB_ESTATE,
                                "with dispatch=thread the client polls by itself");
    }
    return pubsub__poll(client, timeout, err);
}

void pubsub_client_interrupt(pubsub_client *client)
{
    if (client != NULL && !pubsub__client_forked(client)) {
        pthread_mutex_lock(&client->lock);
        client->interrupted = true;
        pthread_cond_broadcast(&client->ready_cond);
        pthread_mutex_unlock(&client->lock);
        if (client->inline_io) { /* the poller may sit in the loop */
            atomic_store(&client->wake_pending, true);
            uint64_t one = 1;
            while (write(client->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
            }
        }
    }
}

int pubsub_client_fd(const pubsub_client *client)
{
    if (client == NULL) {
        return PUBSUB_EINVAL;
    }
    if (client->inline_io || pubsub__client_forked(client)) {
        return PUBSUB_ESTATE;
    }
    pubsub_client *self = (pubsub_client *)(uintptr_t)client;
    pthread_mutex_lock(&self->lock);
    self->ready_fd_used = true;
    pubsub__ready_changed(self);
    pthread_mutex_unlock(&self->lock);
    return client->ready_fd;
}

/* ---- pulling ---- */

/* @locks lock held */
static void hand_out(pubsub_client *client, pubsub_subscription *sub, pubsub_message *message)
{
    client->ready_messages--;
    pubsub_message_ref(message);
    if (message->spi.flags & PUBSUB_SPI_NO_ACK) {
        atomic_store_explicit(&message->verdict, PUBSUB__DONE, memory_order_relaxed);
        pubsub__settle_locked(client, message);
    } else {
        pubsub__outstanding_add(sub, message);
    }
}

/* @locks lock held */
static pubsub_err may_pull(pubsub_client *client, pubsub_subscription *sub, pubsub_error *err)
{
    void *ctx = NULL;
    if (pubsub__in_callback(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "a handler cannot wait for messages");
    }
    if (handler_of(sub, &ctx) != NULL) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "a handler serves this subscription");
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_subscription_next_batch(pubsub_subscription *subscription,
                                          pubsub_duration_ms timeout, pubsub_message **out,
                                          size_t capacity, size_t *count, pubsub_error *err)
{
    if (count != NULL) {
        *count = 0;
    }
    if (subscription == NULL || out == NULL || capacity == 0 || count == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no subscription or no room for messages");
    }
    pubsub_client *client = subscription->client;
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    uint64_t deadline = timeout == 0 ? 0 : pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    pubsub_err rc = may_pull(client, subscription, err);
    bool in_time = timeout != 0;
    if (rc == PUBSUB_OK && timeout == 0 && client->inline_io && client->io_running) {
        pubsub__wait(client, &client->ready_cond, 0);
    }
    while (rc == PUBSUB_OK && subscription->ready.head == NULL && !subscription->ended && in_time) {
        in_time = pubsub__wait(client, &client->ready_cond, deadline);
    }
    if (rc == PUBSUB_OK && subscription->ended) {
        rc = pubsub__sub_ended_error(subscription, err);
    } else if (rc == PUBSUB_OK && subscription->ready.head == NULL) {
        rc = timeout == 0 ? pubsub_error_set(err, PUBSUB_EAGAIN, "no message is ready")
                          : pubsub_error_set(err, PUBSUB_ETIMEDOUT, "no message within %lld ms",
                                             (long long)timeout);
    }
    while (rc == PUBSUB_OK && *count < capacity && subscription->ready.head != NULL) {
        pubsub_message *message = pubsub__message_pop(&subscription->ready);
        hand_out(client, subscription, message);
        out[(*count)++] = message;
    }
    pubsub__ready_changed(client);
    pthread_mutex_unlock(&client->lock);
    return rc;
}

pubsub_err pubsub_subscription_next(pubsub_subscription *subscription, pubsub_duration_ms timeout,
                                    pubsub_message **out, pubsub_error *err)
{
    size_t count = 0;
    if (out == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no room for a message");
    }
    *out = NULL;
    return pubsub_subscription_next_batch(subscription, timeout, out, 1, &count, err);
}
