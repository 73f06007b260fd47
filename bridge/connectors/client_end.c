/* SPDX-License-Identifier: MIT */
#include "connectors/client_end.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <pthread.h>
#include <signal.h>

typedef struct ending {
    pubsub_host *host;
    pubsub_client *client;
    pubsub_duration_ms timeout;
    void (*done)(void *ctx);
    void *ctx;
} ending;

static void *run(void *arg)
{
    const ending end = *(ending *)arg;
    pubsub__free(arg); /* when `done` is called, nothing of this is left */
    (void)pubsub_client_end(end.client, end.timeout, NULL);
    pubsub_client_free(end.client);
    while (end.host->post(end.host, end.done, end.ctx) == PUBSUB_ENOMEM) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + 1000000u);
    }
    return NULL;
}

void bridge_client_end(pubsub_host *host, pubsub_client *client, pubsub_duration_ms timeout,
                       void (*done)(void *ctx), void *ctx)
{
    ending *end = pubsub__alloc(sizeof *end);
    ending here = {host, client, timeout, done, ctx};
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t old;
    bool started = false;
    if (end != NULL && pthread_attr_init(&attributes) == 0) {
        *end = here;
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &old);
        started = pthread_create(&thread, &attributes, run, end) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
        (void)pthread_attr_destroy(&attributes);
    }
    if (!started) { /* then waiting here is the lesser evil */
        pubsub__free(end);
        (void)pubsub_client_end(client, timeout, NULL);
        pubsub_client_free(client);
        done(ctx);
    }
}
