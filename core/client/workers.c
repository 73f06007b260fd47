/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

/* Threads of the library that run handlers: the dispatcher, which polls, and workers, which only do what
 * several threads may do at once. With dispatch=poll the program's threads do both. */

/* Handlers in a row before a thread that polls looks at other things. */
#define WORK_ROUND 256

/* ---- the dispatcher ---- */

static void *dispatcher_main(void *arg)
{
    pubsub_client *client = arg;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pthread_mutex_lock(&client->lock);
    while (!client->dispatcher_stop) {
        if (client->state == PUBSUB_STATE_CLOSED && client->reports.head == NULL &&
            client->events == NULL && client->calls.ended == NULL) {
            pthread_cond_wait(&client->state_cond, &client->lock); /* may be opened again */
            continue;
        }
        pthread_mutex_unlock(&client->lock);
        pubsub__poll(client, PUBSUB_FOREVER, &err);
        pthread_mutex_lock(&client->lock);
    }
    pthread_mutex_unlock(&client->lock);
    return NULL;
}

void pubsub__dispatcher_start(pubsub_client *client)
{
    if (client->dispatch_thread && !client->dispatcher_running &&
        pubsub__thread_start(&client->dispatcher, dispatcher_main, client) == 0) {
        client->dispatcher_running = true;
    }
}

/* ---- work ---- */

void pubsub__work_signal(pubsub_client *client)
{
    if (client->idle_workers > 0) {
        pthread_cond_signal(&client->work_cond);
    } else if (!client->dispatch_thread) {
        pthread_cond_broadcast(&client->ready_cond);
    }
}

/* @locks lock held. The next message of a subscription, marked as being handled; NULL = none. */
static pubsub_message *begin_one(pubsub_client *client, pubsub_subscription *sub)
{
    if (sub->ended || client->stopping || sub->ready.head == NULL) {
        return NULL;
    }
    pubsub_message *message = pubsub__message_pop(&sub->ready);
    pubsub__ready_less(sub, 1);
    message->handling = true;
    sub->running++;
    client->handling++;
    if (sub->ready.head != NULL) {
        pubsub__ready_sub(client, sub); /* and the next worker is woken for the next message */
    }
    return message;
}

/* @locks lock held. Returns whether the I/O thread has to be woken. */
static bool end_one(pubsub_client *client, pubsub_subscription *sub, pubsub__message_list *settled)
{
    for (pubsub_message *message = settled->head; message != NULL; message = message->next) {
        unsigned char verdict = atomic_load_explicit(&message->verdict, memory_order_relaxed);
        pubsub__lane_returned(client, message);
        if (verdict == PUBSUB__ACK || verdict == PUBSUB__DONE) {
            pubsub__lane_leave(client, message);
        }
    }
    bool wake = pubsub__flush_settled(client, sub, settled);
    sub->running--;
    client->handling--;
    if (sub->ready.head != NULL) {
        pubsub__ready_sub(client, sub);
    }
    if (sub->running == 0 && (sub->ended || client->stopping)) {
        pthread_cond_broadcast(&client->state_cond);
    }
    return wake;
}

/* @locks lock held; left while the handler runs. Returns whether one did. */
static bool work_one(pubsub_client *client)
{
    pubsub_subscription *sub = pubsub__run_pop(&client->work);
    pubsub_message *message = begin_one(client, sub);
    pubsub__message_list settled = {NULL, NULL, 0};
    bool called = false;
    bool wake = false;
    if (message != NULL) {
        pubsub__frame frame;
        pthread_mutex_unlock(&client->lock);
        pubsub__frame_push(&frame, client);
        called = pubsub__handle(sub, message, &settled);
        pubsub__frame_pop();
        pthread_mutex_lock(&client->lock);
        wake = end_one(client, sub, &settled);
    }
    if (sub->in_run_queue && !wake) { /* so this is not its last reference */
        pubsub__subscription_unref(sub);
        return called;
    }
    pthread_mutex_unlock(&client->lock);
    if (wake) {
        pubsub__wake(client);
    }
    pubsub__subscription_unref(sub);
    pthread_mutex_lock(&client->lock);
    return called;
}

int pubsub__work(pubsub_client *client)
{
    uint64_t since = pubsub__clock_coarse_ns();
    int calls = 0;
    while (client->work.head != NULL && calls < WORK_ROUND && pubsub__clock_coarse_ns() == since) {
        calls += work_one(client) ? 1 : 0;
    }
    return calls;
}

/* ---- workers ---- */

static void *worker_main(void *arg)
{
    pubsub_client *client = arg;
    pthread_mutex_lock(&client->lock);
    while (!client->dispatcher_stop) {
        if (client->work.head != NULL) {
            (void)work_one(client);
            continue;
        }
        client->idle_workers++;
        pthread_cond_wait(&client->work_cond, &client->lock);
        client->idle_workers--;
    }
    pthread_mutex_unlock(&client->lock);
    return NULL;
}

pubsub_err pubsub__workers_start(pubsub_client *client, uint32_t count, pubsub_error *err)
{
    if (client->worker_count >= count) {
        return PUBSUB_OK;
    }
    pthread_t *threads = pubsub__realloc(client->worker_threads, count * sizeof *threads);
    if (threads == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for %u workers", count);
    }
    client->worker_threads = threads;
    while (client->worker_count < count) {
        if (pubsub__thread_start(&threads[client->worker_count], worker_main, client) != 0) {
            return pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot start %u workers, only %u", count,
                                    client->worker_count);
        }
        client->worker_count++;
    }
    return PUBSUB_OK;
}

void pubsub__workers_stop(pubsub_client *client)
{
    client->dispatcher_stop = true;
    pthread_cond_broadcast(&client->state_cond);
    pthread_cond_broadcast(&client->ready_cond);
    pthread_cond_broadcast(&client->work_cond);
    bool dispatcher = client->dispatcher_running;
    uint32_t workers = client->worker_count;
    pthread_t *threads = client->worker_threads;
    client->dispatcher_running = false;
    client->worker_count = 0;
    client->worker_threads = NULL;
    pthread_mutex_unlock(&client->lock);
    if (dispatcher) {
        pthread_join(client->dispatcher, NULL);
    }
    for (uint32_t i = 0; i < workers; i++) {
        pthread_join(threads[i], NULL);
    }
    pubsub__free(threads);
    pthread_mutex_lock(&client->lock);
}
