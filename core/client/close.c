/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

/* Flushing and ending. */

/* @locks lock held */
static bool flushed(const pubsub_client *client, uint64_t ticket)
{
    return client->unresolved == 0 && client->settling == 0 && client->flush_done >= ticket;
}

/* @locks lock held. False when the time is over. */
static bool flush_locked(pubsub_client *client, uint64_t deadline)
{
    if (!client->io_running || client->state == PUBSUB_STATE_CLOSED) {
        return client->unresolved == 0;
    }
    uint64_t ticket = ++client->flush_wanted;
    pubsub__wake(client);
    client->flushing++;
    bool in_time = true;
    while (in_time && !flushed(client, ticket) && client->state != PUBSUB_STATE_CLOSED) {
        in_time = pubsub__wait(client, &client->state_cond, deadline);
    }
    client->flushing--;
    return flushed(client, ticket) ||
           (client->state == PUBSUB_STATE_CLOSED && client->unresolved == 0);
}

pubsub_err pubsub_client_flush(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err)
{
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = PUBSUB_OK;
    pthread_mutex_lock(&client->lock);
    if (pubsub__in_callback(client)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "a handler cannot wait for a flush");
    } else if (!flush_locked(client, pubsub__deadline(timeout))) {
        rc = pubsub_error_set(err, PUBSUB_ETIMEDOUT,
                              "%zu messages have no outcome yet, %zu acks are not sent",
                              client->unresolved, client->settling);
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}

static void each(pubsub__publish_list *list, pubsub_undelivered_fn fn, void *ctx, size_t *count)
{
    for (pubsub__publish *publish = list->head; publish != NULL; publish = publish->next) {
        (*count)++;
        if (fn != NULL) {
            fn(ctx, &publish->spi.pub, publish->outcome);
        }
    }
}

/* While the client is open the lists are the I/O thread's: have it stand still between two turns. */
static size_t each_open(pubsub_client *client, pubsub_undelivered_fn fn, void *ctx)
{
    size_t count = 0;
    if (!client->inline_io) {
        client->freeze_wanted = true;
        pubsub__wake(client);
        while (!client->frozen && !client->io_finished) {
            pthread_cond_wait(&client->state_cond, &client->lock);
        }
    }
    each(&client->handed_over, fn, ctx, &count);
    each(&client->pending, fn, ctx, &count);
    each(&client->submitted, fn, ctx, &count);
    each(&client->calls.held, fn, ctx, &count);
    client->freeze_wanted = false;
    pthread_cond_broadcast(&client->freeze_cond);
    return count;
}

size_t pubsub_client_undelivered(pubsub_client *client, pubsub_undelivered_fn fn, void *ctx)
{
    size_t count = 0;
    if (client == NULL || pubsub__client_forked(client)) {
        return 0;
    }
    pthread_mutex_lock(&client->lock);
    each(&client->undelivered, fn, ctx, &count);
    if (client->io_running && !client->io_finished && !client->ending && !client->freeze_wanted) {
        count += each_open(client, fn, ctx);
    }
    pthread_mutex_unlock(&client->lock);
    return count;
}

void pubsub__undelivered_clear(pubsub_client *client)
{
    pubsub__publish *publish = NULL;
    while ((publish = pubsub__publish_pop(&client->undelivered)) != NULL) {
        pubsub__publish_release_locked(client, publish);
    }
}

pubsub_err pubsub_client_shutdown(pubsub_client *client)
{
    if (client == NULL || pubsub__client_forked(client)) {
        return client == NULL ? PUBSUB_EINVAL : PUBSUB_ESTATE;
    }
    pthread_mutex_lock(&client->lock);
    if (client->state != PUBSUB_STATE_CLOSED) {
        client->stopping = true;
        atomic_store(&client->messages_stop, true);
        pubsub__set_state_locked(
            client, client->io_running ? PUBSUB_STATE_CLOSING : PUBSUB_STATE_CLOSED, NULL);
        pthread_cond_broadcast(&client->space_cond);
    }
    pthread_mutex_unlock(&client->lock);
    return PUBSUB_OK;
}

/* @locks lock held. Until no handler runs: nothing can interrupt one. A poller that only waits leaves by
 * itself, because the client is closed. */
static void wait_handlers(pubsub_client *client)
{
    while (client->calling || client->handling > 0) {
        pthread_cond_wait(&client->state_cond, &client->lock);
    }
}

/* @locks lock held; left while handlers run. The last reports and events, on this thread. */
static void dispatch_last(pubsub_client *client)
{
    pubsub__frame frame;
    client->calling = true;
    client->poller = pthread_self();
    pubsub__frame_push(&frame, client);
    pubsub__dispatch_rest(client);
    pubsub__frame_pop();
    client->calling = false;
    pubsub__ready_changed(client);
    pthread_cond_broadcast(&client->state_cond);
}

/* @locks lock held */
void pubsub__end_locked(pubsub_client *client, uint64_t deadline, bool talk)
{
    client->stopping = true;
    atomic_store(&client->messages_stop, true);
    if (client->state != PUBSUB_STATE_CLOSED) {
        pubsub__set_state_locked(client, PUBSUB_STATE_CLOSING, NULL);
    }
    wait_handlers(client);
    flush_locked(client, deadline);
    client->end_deadline_ns = deadline == PUBSUB__FOREVER_NS ? 0 : deadline;
    client->keep_undelivered = true;
    pubsub__loop_stop(client);
    pubsub__set_state_locked(client, PUBSUB_STATE_CLOSED, NULL);
    wait_handlers(client);
    if (talk) {
        dispatch_last(client);
    }
    client->keep_undelivered = false;
}

pubsub_err pubsub_client_end(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err)
{
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = PUBSUB_OK;
    uint64_t deadline = pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    if (pubsub__in_callback(client)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE,
                              "a handler cannot end its client; pubsub_client_shutdown starts it");
        goto out;
    }
    while (client->ending) { /* one thread ends, the others wait for it */
        pthread_cond_wait(&client->state_cond, &client->lock);
    }
    if (!client->io_running) { /* idle, or ended before */
        client->stopping = true;
        pubsub__set_state_locked(client, PUBSUB_STATE_CLOSED, NULL);
        goto out;
    }
    client->ending = true;
    pubsub__end_locked(client, deadline, true);
    client->ending = false;
    pthread_cond_broadcast(&client->state_cond);
    if (client->undelivered.count > 0) {
        rc = pubsub_error_set(
            err, PUBSUB_ETIMEDOUT,
            "%zu messages were not delivered; pubsub_client_undelivered lists them",
            client->undelivered.count);
    }
out:
    pthread_mutex_unlock(&client->lock);
    return rc;
}
