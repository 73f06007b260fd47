/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

/* Handing messages out to those who pull. */

/* @locks lock held */
static void hand_out(pubsub_client *client, pubsub_subscription *sub, pubsub_message *message)
{
    pubsub__ready_less(sub, 1);
    pubsub_message_ref(message);
    if (message->spi.flags & PUBSUB_SPI_NO_ACK) {
        atomic_store_explicit(&message->verdict, PUBSUB__DONE, memory_order_relaxed);
        if (sub->lanes != NULL) {
            pubsub__lane_leave(client, message);
        }
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
    if (pubsub__handler_of(sub, &ctx) != NULL) {
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
