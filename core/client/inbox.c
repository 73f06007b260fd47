/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <string.h>

/* The inbox of a client, on the I/O thread: answers that arrive go straight to who waits for them, and
 * requests are let go once they can. */

/* The number behind our tag: at most 20 digits, nothing else. False for what is not ours. */
static bool read_correlation(const pubsub__calls *calls, pubsub_bytes text, uint64_t *number)
{
    const char *at = text.data;
    if (text.len < PUBSUB__CALL_TAG_LEN + 2 || text.len > PUBSUB__CALL_TAG_LEN + 21 ||
        memcmp(at, calls->tag, PUBSUB__CALL_TAG_LEN) != 0 || at[PUBSUB__CALL_TAG_LEN] != '-') {
        return false;
    }
    *number = 0;
    for (size_t i = PUBSUB__CALL_TAG_LEN + 1; i < text.len; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return false;
        }
        *number = *number * 10 + (uint64_t)(at[i] - '0'); /* what overflows is not found */
    }
    return true;
}

void pubsub__inbox_messages(pubsub_client *client, pubsub_subscription *inbox, pubsub_block *block)
{
    uint32_t count = block->count; /* the block may go with its last message */
    pthread_mutex_lock(&client->lock);
    for (uint32_t i = 0; i < count; i++) {
        pubsub_message *message = &block->messages[i];
        uint64_t number = 0;
        pubsub__call *call = NULL;
        if (read_correlation(&client->calls, message->spi.correlation, &number)) {
            call = pubsub__call_find_locked(client, number);
        }
        if (call != NULL) {
            pubsub__call_end_locked(client, call, message, NULL);
        } else {
            pubsub__count(client, stray_replies, 1);
        }
        /* An answer counts against the inbox only until it is here, and not by its size: one that its
         * receiver keeps for long must not keep others from coming. */
        message->size = 0;
        inbox->credit_used++;
        pubsub__settle_here(client, message,
                            message->spi.flags & PUBSUB_SPI_NO_ACK ? PUBSUB__DONE : PUBSUB__ACK);
    }
    pthread_mutex_unlock(&client->lock);
    pubsub__turn_soon(client);
}

void pubsub__inbox_opened_locked(pubsub_client *client)
{
    client->calls.open = true;
    if (client->calls.held.head != NULL) {
        pubsub__publish_append(&client->submitted, &client->calls.held);
        pubsub__turn_soon(client);
    }
}

/* @locks lock held */
static void end_all(pubsub_client *client, const pubsub_error *why)
{
    pubsub__calls *calls = &client->calls;
    for (size_t i = 0; i < calls->bucket_count; i++) {
        while (calls->buckets[i] != NULL) {
            pubsub__call_end_locked(client, calls->buckets[i], NULL, why);
        }
    }
}

void pubsub__inbox_gone(pubsub_client *client, pubsub_subscription *inbox)
{
    pubsub__publish_list held = {NULL, NULL, 0};
    pubsub__publish *publish = NULL;
    pubsub_error why = PUBSUB_ERROR_INIT;
    pthread_mutex_lock(&client->lock);
    (void)pubsub__sub_ended_error(inbox, &why);
    client->calls.open = false;
    client->calls.inbox = NULL;
    pubsub__publish_append(&held, &client->calls.held);
    end_all(client, &why);
    pthread_mutex_unlock(&client->lock);
    while ((publish = pubsub__publish_pop(&held)) != NULL) {
        pubsub_spi_outcome outcome = {
            &publish->spi, PUBSUB_NOT_SENT, PUBSUB_CONFIRM_NONE, 0, PUBSUB_POSITION_NONE, &why};
        pubsub__publish_finish(client, publish, &outcome);
    }
    pubsub__subscription_unref(inbox);
}

void pubsub__inbox_published_locked(pubsub_client *client, const pubsub__publish *publish)
{
    pubsub__call *call = pubsub__call_find_locked(client, publish->for_whom.call);
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (call == NULL) {
        return; /* answered already, or given up */
    }
    if (publish->outcome != PUBSUB_ACCEPTED) {
        if (publish->error != NULL) {
            err = *publish->error;
        } else {
            pubsub_error_set(&err, PUBSUB_EREJECTED, "the request was not delivered");
        }
        pubsub__call_end_locked(client, call, NULL, &err);
    } else if (publish->flags & PUBSUB_REPORT_NO_SUBSCRIBER) {
        pubsub_error_set(&err, PUBSUB_ENORESPONDER, "nobody receives requests to '%.*s'",
                         (int)(publish->spi.pub.topic.len > 80 ? 80 : publish->spi.pub.topic.len),
                         (const char *)publish->spi.pub.topic.data);
        pubsub__call_end_locked(client, call, NULL, &err);
    }
}
