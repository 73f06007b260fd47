/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include "base/alloc.h"

/* A timer set to 0 does not go through libuv's timers: those run again at once what a timer's own
 * function sets to 0, and descriptors would starve. It waits in a list for the next turn instead. */
struct pubsub_host_timer {
    uv_timer_t handle; /* first: freed through it */
    host_loop *host;
    void (*fn)(void *ctx);
    void *ctx;
    pubsub_host_timer *next;  /* in host->soon or in the list of this turn */
    pubsub_host_timer **link; /* what points to it there; NULL = in no list */
};

static void fire(uv_timer_t *handle)
{
    pubsub_host_timer *timer = (pubsub_host_timer *)(void *)handle;
    timer->fn(timer->ctx);
}

pubsub_host_timer *host_timer_new(pubsub_host *host, void (*fn)(void *ctx), void *ctx)
{
    pubsub_host_timer *timer = pubsub__calloc(1, sizeof(*timer));
    if (timer == NULL) {
        return NULL;
    }
    timer->host = host_of(host);
    timer->fn = fn;
    timer->ctx = ctx;
    (void)uv_timer_init(&timer->host->loop, &timer->handle);
    return timer;
}

static void soon_add(pubsub_host_timer *timer)
{
    host_loop *host = timer->host;
    timer->next = NULL;
    timer->link = host->soon_last != NULL ? &host->soon_last->next : &host->soon;
    *timer->link = timer;
    host->soon_last = timer;
    (void)uv_idle_start(&host->turn, host_timers_turn);
}

static void soon_remove(pubsub_host_timer *timer)
{
    host_loop *host = timer->host;
    if (timer->link == NULL) {
        return;
    }
    if (host->soon_last == timer) {
        host->soon_last = timer->link == &host->soon
                              ? NULL
                              : (pubsub_host_timer *)(void *)((char *)timer->link -
                                                              offsetof(pubsub_host_timer, next));
    }
    *timer->link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = timer->link;
    }
    timer->link = NULL;
    timer->next = NULL;
}

void host_timers_turn(uv_idle_t *handle)
{
    host_loop *host = handle->data;
    pubsub_host_timer *now = host->soon;
    host->soon = NULL;
    host->soon_last = NULL;
    if (now != NULL) {
        now->link = &now;
    }
    while (now != NULL) {
        pubsub_host_timer *timer = now;
        soon_remove(timer);
        timer->fn(timer->ctx); /* may free it, and others of this list */
    }
    if (host->soon == NULL) {
        (void)uv_idle_stop(handle);
    }
}

void host_timer_stop(pubsub_host_timer *timer)
{
    soon_remove(timer);
    (void)uv_timer_stop(&timer->handle);
}

void host_timer_start(pubsub_host_timer *timer, pubsub_duration_ms delay)
{
    host_timer_stop(timer);
    if (delay <= 0) {
        soon_add(timer);
        return;
    }
    /* Sub-millisecond rounding of the loop's clock must not make it early. */
    uv_update_time(&timer->host->loop);
    (void)uv_timer_start(&timer->handle, fire, (uint64_t)delay, 0);
}

static void closed(uv_handle_t *handle)
{
    pubsub__free(handle);
}

void host_timer_free(pubsub_host_timer *timer)
{
    if (timer == NULL) {
        return;
    }
    soon_remove(timer);
    uv_close((uv_handle_t *)&timer->handle, closed);
}
