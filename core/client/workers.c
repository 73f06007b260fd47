/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

/* Threads of the library that run handlers. */

/* ---- dispatch=thread ---- */

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

void pubsub__loop_dispatcher_start(pubsub_client *client)
{
    if (client->dispatch_thread && !client->dispatcher_running &&
        pubsub__thread_start(&client->dispatcher, dispatcher_main, client) == 0) {
        client->dispatcher_running = true;
    }
}
