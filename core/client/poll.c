/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <unistd.h>

/* Polling: which thread runs handlers, and when. */

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
    calls += pubsub__dispatch_reports(client);
    calls += pubsub__calls_dispatch(client);
    calls += pubsub__dispatch_messages(client);
    client->calling = false;
    client->polling = false;
    client->polled_ns = pubsub__clock_coarse_ns();
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
