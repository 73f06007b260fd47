/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <errno.h>
#include <unistd.h>

/* What is ready for handlers and for those who pull, and who is told. */

/* After shutdown messages are not handled any more, so they are no reason to poll. */
static bool anything_ready(const pubsub_client *client)
{
    bool messages = client->ready_messages > client->apart_messages ||
                    (client->work.head != NULL && !client->dispatch_thread);
    return (messages && !client->stopping) || client->reports.head != NULL ||
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
    if (client->state == PUBSUB_STATE_CLOSED && client->idle_workers > 0) {
        pthread_cond_broadcast(&client->work_cond); /* threads that poll beside another one */
    }
}

void pubsub__ready_add(pubsub_subscription *sub, size_t n)
{
    sub->client->ready_messages += n;
    sub->client->apart_messages += sub->shared ? n : 0;
}

void pubsub__ready_less(pubsub_subscription *sub, size_t n)
{
    sub->client->ready_messages -= n;
    sub->client->apart_messages -= sub->shared ? n : 0;
}

void pubsub__run_push(pubsub_subscription *sub)
{
    pubsub__run_queue *queue = sub->shared ? &sub->client->work : &sub->client->run;
    if (sub->in_run_queue) {
        return;
    }
    pubsub__subscription_ref(sub);
    sub->in_run_queue = true;
    sub->next_run = NULL;
    if (queue->tail == NULL) {
        queue->head = sub;
    } else {
        queue->tail->next_run = sub;
    }
    queue->tail = sub;
    queue->count++;
}

pubsub_subscription *pubsub__run_pop(pubsub__run_queue *queue)
{
    pubsub_subscription *sub = queue->head;
    if (sub != NULL) {
        queue->head = sub->next_run;
        if (queue->head == NULL) {
            queue->tail = NULL;
        }
        sub->in_run_queue = false;
        queue->count--;
    }
    return sub;
}

void pubsub__ready_sub(pubsub_client *client, pubsub_subscription *sub)
{
    void *ctx = NULL;
    if (sub->shared && sub->running < sub->workers) {
        pubsub__run_push(sub);
        pubsub__work_signal(client);
    } else if (!sub->shared && pubsub__handler_of(sub, &ctx) != NULL) {
        pubsub__run_push(sub);
    }
    update_fd(client);
}

void pubsub__run_queue_clear(pubsub_client *client)
{
    pubsub_subscription *sub = NULL;
    while ((sub = pubsub__run_pop(&client->run)) != NULL ||
           (sub = pubsub__run_pop(&client->work)) != NULL) {
        pubsub__subscription_unref(sub);
    }
}
