/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <errno.h>
#include <unistd.h>

/* What is ready for handlers and for those who pull, and who is told. */

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

pubsub_message_fn pubsub__handler_of(const pubsub_subscription *sub, void **ctx)
{
    *ctx = sub->fn != NULL ? sub->ctx : sub->client->on_message_ctx;
    return sub->fn != NULL ? sub->fn : sub->client->on_message;
}

/* @locks lock held */
void pubsub__run_push(pubsub_client *client, pubsub_subscription *sub)
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
pubsub_subscription *pubsub__run_pop(pubsub_client *client)
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
    if (pubsub__handler_of(sub, &ctx) != NULL) {
        pubsub__run_push(client, sub);
    }
    update_fd(client);
}

void pubsub__run_queue_clear(pubsub_client *client)
{
    pubsub_subscription *sub = NULL;
    while ((sub = pubsub__run_pop(client)) != NULL) {
        pubsub__subscription_unref(sub);
    }
}
