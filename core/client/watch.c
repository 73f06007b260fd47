/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"

/* Timers and watches: what adapters get of the loop. */

struct pubsub_timer {
    uv_timer_t uv; /* first */
    void (*fn)(void *ctx);
    void *ctx;
    pubsub_client *client;
};

struct pubsub_watch {
    uv_poll_t uv; /* first */
    void (*fn)(void *ctx, uint32_t events);
    void *ctx;
    pubsub_client *client;
    int bits; /* what it waits for */
};

static void free_handle(uv_handle_t *handle)
{
    pubsub__free(handle->data);
}

uint64_t pubsub_sink_now_ns(const pubsub_sink *sink)
{
    (void)sink;
    return pubsub__clock_mono_ns();
}

pubsub_timer *pubsub_timer_new(pubsub_sink *sink, void (*fn)(void *ctx), void *ctx)
{
    pubsub_timer *timer = pubsub__calloc(1, sizeof *timer);
    if (timer != NULL) {
        uv_timer_init(&sink->client->loop, &timer->uv);
        timer->uv.data = timer;
        timer->fn = fn;
        timer->ctx = ctx;
        timer->client = sink->client;
    }
    return timer;
}

static void on_timer(uv_timer_t *uv)
{
    pubsub_timer *timer = uv->data;
    pubsub_client *client = timer->client;
    timer->fn(timer->ctx);
    pubsub__turn(client);
}

void pubsub_timer_start(pubsub_timer *timer, pubsub_duration_ms delay)
{
    uv_update_time(timer->uv.loop);
    uv_timer_start(&timer->uv, on_timer, delay < 0 ? 0 : (uint64_t)delay, 0);
}

void pubsub_timer_stop(pubsub_timer *timer)
{
    uv_timer_stop(&timer->uv);
}

void pubsub_timer_free(pubsub_timer *timer)
{
    if (timer != NULL && timer->client->forked) {
        pubsub__free(timer); /* the loop's descriptors are shared with the parent */
    } else if (timer != NULL) {
        uv_close((uv_handle_t *)&timer->uv, free_handle);
    }
}

pubsub_watch *pubsub_watch_new(pubsub_sink *sink, int fd, void (*fn)(void *ctx, uint32_t events),
                               void *ctx)
{
    pubsub_watch *watch = pubsub__calloc(1, sizeof *watch);
    if (watch == NULL) {
        return NULL;
    }
    if (uv_poll_init(&sink->client->loop, &watch->uv, fd) != 0) {
        pubsub__free(watch);
        return NULL;
    }
    watch->uv.data = watch;
    watch->fn = fn;
    watch->ctx = ctx;
    watch->client = sink->client;
    return watch;
}

static void on_watch(uv_poll_t *uv, int status, int events)
{
    pubsub_watch *watch = uv->data;
    pubsub_client *client = watch->client;
    uint32_t bits = (events & UV_WRITABLE) ? PUBSUB_WATCH_WRITE : 0;
    if (status != 0) {
        /* libuv stops at an error; but what came before it is still to be read, perhaps in several turns. */
        uv_poll_start(uv, watch->bits, on_watch);
    }
    if (status != 0 || (events & (UV_READABLE | UV_DISCONNECT))) {
        bits |= PUBSUB_WATCH_READ;
    }
    watch->fn(watch->ctx, bits);
    pubsub__turn(client);
}

void pubsub_watch_set(pubsub_watch *watch, uint32_t events)
{
    int bits = 0;
    if (events & PUBSUB_WATCH_READ) {
        bits |= UV_READABLE | UV_DISCONNECT;
    }
    if (events & PUBSUB_WATCH_WRITE) {
        bits |= UV_WRITABLE;
    }
    watch->bits = bits;
    if (bits == 0) {
        uv_poll_stop(&watch->uv);
    } else {
        uv_poll_start(&watch->uv, bits, on_watch);
    }
}

void pubsub_watch_free(pubsub_watch *watch)
{
    if (watch != NULL && watch->client->forked) {
        pubsub__free(watch);
    } else if (watch != NULL) {
        uv_poll_stop(&watch->uv);
        uv_close((uv_handle_t *)&watch->uv, free_handle);
    }
}
