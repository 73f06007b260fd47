/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/clock.h"

#include <errno.h>

/* Waiting for the I/O thread, or (io=inline) doing its work meanwhile. */

uint64_t pubsub__deadline(pubsub_duration_ms timeout)
{
    if (timeout < 0) {
        return PUBSUB__FOREVER_NS;
    }
    uint64_t now = pubsub__clock_mono_ns();
    uint64_t ns = (uint64_t)timeout;
    return ns > (PUBSUB__FOREVER_NS - now) / 1000000u - 1 ? PUBSUB__FOREVER_NS
                                                          : now + ns * 1000000u;
}

static void on_wait_over(uv_timer_t *timer)
{
    (void)timer;
}

static void forget_timer(uv_handle_t *handle)
{
    bool *gone = handle->data;
    *gone = true;
}

/* One turn of an inline loop, which ends with the first event or at the deadline. */
static void drive(pubsub_client *client, uint64_t deadline_ns)
{
    pubsub__turn(client);
    if (client->stop_loop) {
        if (!client->io_finished) {
            pubsub__io_finish(client);
        }
        return;
    }
    pthread_mutex_lock(&client->lock);
    bool now = client->ready_messages > 0 || client->reports.head != NULL ||
               client->events != NULL || client->submitted.head != NULL ||
               client->settled.head != NULL || client->commands != NULL || client->interrupted ||
               client->calls.ended != NULL || client->progress;
    client->progress = false;
    pthread_mutex_unlock(&client->lock);
    if (now || deadline_ns == PUBSUB__FOREVER_NS) {
        uv_run(&client->loop, now ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        return;
    }
    uint64_t clock = pubsub__clock_mono_ns();
    if (clock >= deadline_ns) {
        uv_run(&client->loop, UV_RUN_NOWAIT);
        return;
    }
    uv_timer_t timer;
    bool gone = false;
    uv_timer_init(&client->loop, &timer);
    timer.data = &gone;
    uv_update_time(&client->loop);
    uv_timer_start(&timer, on_wait_over, (deadline_ns - clock + 999999u) / 1000000u, 0);
    uv_run(&client->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, forget_timer);
    while (!gone) {
        uv_run(&client->loop, UV_RUN_NOWAIT);
    }
}

bool pubsub__wait(pubsub_client *client, pthread_cond_t *cond, uint64_t deadline_ns)
{
    if (client->inline_io && client->io_running) {
        pthread_mutex_unlock(&client->lock);
        drive(client, deadline_ns);
        pthread_mutex_lock(&client->lock);
        return deadline_ns == PUBSUB__FOREVER_NS || pubsub__clock_mono_ns() < deadline_ns;
    }
    if (deadline_ns == PUBSUB__FOREVER_NS) {
        pthread_cond_wait(cond, &client->lock);
        return true;
    }
    struct timespec at = {(time_t)(deadline_ns / 1000000000u), (long)(deadline_ns % 1000000000u)};
    return pthread_cond_timedwait(cond, &client->lock, &at) != ETIMEDOUT;
}
