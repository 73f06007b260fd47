/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_HOST_INTERNAL_H
#define PUBSUB_BRIDGE_HOST_INTERNAL_H

/* What the files of this folder share. */

#include "host/host.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

typedef struct host_posted host_posted;
typedef struct host_signal host_signal;
typedef struct host_end host_end;

/* The host that pubsub_host_new() makes. Everything but the posted list is the loop thread's. */
typedef struct host_loop {
    pubsub_host table; /* first, so that one is the other */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t deadline;
    uv_idle_t turn; /* active while `soon` is not empty */
    pubsub_host_timer *soon;
    pubsub_host_timer *soon_last;
    uint64_t now_ns;
    uint64_t now_of; /* the loop's time when now_ns was read */
    host_signal *signals;
    host_end *ends;
    bool running;
    bool expired;
    atomic_bool stop;

    pthread_mutex_t lock; /* guards what follows */
    host_posted *posted;
    host_posted *posted_last;
    bool closed;
} host_loop;

static inline host_loop *host_of(pubsub_host *host)
{
    return (host_loop *)(void *)host;
}

/* timers.c */
pubsub_host_timer *host_timer_new(pubsub_host *host, void (*fn)(void *ctx), void *ctx);
void host_timer_start(pubsub_host_timer *timer, pubsub_duration_ms delay);
void host_timer_stop(pubsub_host_timer *timer);
void host_timer_free(pubsub_host_timer *timer);
/* Run the timers that were set to 0 before this turn; the loop's idle handle. */
void host_timers_turn(uv_idle_t *handle);

/* watches.c */
pubsub_host_watch *host_watch_new(pubsub_host *host, int fd, void (*fn)(void *ctx, uint32_t bits),
                                  void *ctx);
void host_watch_set(pubsub_host_watch *watch, uint32_t bits);
void host_watch_free(pubsub_host_watch *watch);

/* signals.c */
void host_signals_close(host_loop *host);

#endif
