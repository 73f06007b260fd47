/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"

#include <errno.h>
#include <unistd.h>

/* Polling: which thread runs handlers, and when. */

static _Thread_local pubsub__frame *t_frame;

void pubsub__frame_push(pubsub__frame *frame, const pubsub_client *client)
{
    frame->up = t_frame;
    frame->client = client;
    t_frame = frame;
}

void pubsub__frame_pop(void)
{
    t_frame = t_frame->up;
}

bool pubsub__in_callback(const pubsub_client *client)
{
    for (const pubsub__frame *frame = t_frame; frame != NULL; frame = frame->up) {
        if (frame->client == client) {
            return true;
        }
    }
    return false;
}

/* @locks lock held */
static bool handlers_wait(const pubsub_client *client)
{
    return client->run.head != NULL || client->reports.head != NULL || client->events != NULL ||
           client->calls.ended != NULL || (client->work.head != NULL && !client->dispatch_thread);
}

/* @locks lock held. While another thread polls: do the work that several may do, until there was some, or
 * until it is this one's turn to poll. Returns false when this call is over. */
static bool poll_beside(pubsub_client *client, pubsub_duration_ms timeout, uint64_t deadline,
                        int *calls)
{
    bool in_time = timeout != 0;
    while (client->polling) {
        *calls = pubsub__work(client);
        if (*calls > 0 || !in_time || client->state == PUBSUB_STATE_CLOSED) {
            return false;
        }
        if (client->polling && client->work.head == NULL) {
            client->idle_workers++;
            in_time = pubsub__wait(client, &client->work_cond, deadline);
            client->idle_workers--;
        }
    }
    return true;
}

/* @locks lock held; left while handlers run */
static int dispatch_all(pubsub_client *client)
{
    pubsub__frame frame;
    while (client->calling) { /* end() is dispatching what is left */
        pthread_cond_wait(&client->state_cond, &client->lock);
    }
    client->calling = true;
    client->poller = pthread_self(); /* end() may have put another thread here meanwhile */
    pubsub__frame_push(&frame, client);
    int calls = pubsub__dispatch_events(client);
    calls += pubsub__dispatch_reports(client);
    calls += pubsub__calls_dispatch(client);
    calls += pubsub__dispatch_messages(client);
    pubsub__frame_pop();
    client->calling = false;
    if (client->work.head != NULL && !client->dispatch_thread) {
        calls += pubsub__work(client);
    }
    return calls;
}

static const char *why_not(const pubsub_client *client)
{
    if (pubsub__in_callback(client)) {
        return "poll inside a handler";
    }
    return client->polling && client->workers == 0
               ? "another thread is polling this client; several may for subscriptions with "
                 "workers above 1"
               : NULL;
}

int pubsub__poll(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err)
{
    int calls = 0;
    uint64_t deadline = timeout == 0 ? 0 : pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    const char *why = why_not(client);
    if (why != NULL) {
        calls = pubsub_error_set(err, PUBSUB_ESTATE, "%s", why);
        goto out;
    }
    if (!poll_beside(client, timeout, deadline, &calls)) {
        if (calls == 0 && client->state == PUBSUB_STATE_CLOSED) {
            calls = pubsub_error_set(err, PUBSUB_ECLOSED, "the client is closed");
        }
        goto out;
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
    bool over = client->state == PUBSUB_STATE_CLOSED && !handlers_wait(client);
    calls = dispatch_all(client);
    client->polling = false;
    client->polled_ns = pubsub__clock_coarse_ns();
    pubsub__ready_changed(client);
    pthread_cond_broadcast(&client->state_cond);
    if (client->idle_workers > 0 && !client->dispatch_thread) {
        pthread_cond_signal(&client->work_cond); /* it is another thread's turn to poll */
    }
    if (over && calls == 0) {
        calls = pubsub_error_set(err, PUBSUB_ECLOSED, "the client is closed and nothing is left");
    }
out:
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
