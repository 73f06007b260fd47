/* SPDX-License-Identifier: MIT */
#include "host/host.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "host/internal.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

struct host_posted {
    void (*fn)(void *ctx);
    void *ctx;
    host_posted *next;
};

struct host_end {
    void (*fn)(void *ctx);
    void *ctx;
    host_end *next;
};

/* ---- posting ------------------------------------------------------------------------------- */

static pubsub_err post(pubsub_host *table, void (*fn)(void *ctx), void *ctx)
{
    host_loop *host = host_of(table);
    host_posted *posted = pubsub__calloc(1, sizeof(*posted));
    pubsub_err result = PUBSUB_OK;
    if (posted == NULL) {
        return PUBSUB_ENOMEM;
    }
    posted->fn = fn;
    posted->ctx = ctx;
    pthread_mutex_lock(&host->lock);
    if (host->closed) {
        result = PUBSUB_ECLOSED;
    } else if (host->posted_last != NULL) {
        host->posted_last->next = posted;
        host->posted_last = posted;
    } else {
        host->posted = host->posted_last = posted;
        /* Inside the lock, so that the handle cannot be closed before. */
        (void)uv_async_send(&host->wake);
    }
    pthread_mutex_unlock(&host->lock);
    if (result != PUBSUB_OK) {
        pubsub__free(posted);
    }
    return result;
}

/* What is posted while this runs waits for the next turn, or descriptors would starve. */
static void run_posted(host_loop *host)
{
    host_posted *list = NULL;
    pthread_mutex_lock(&host->lock);
    list = host->posted;
    host->posted = host->posted_last = NULL;
    pthread_mutex_unlock(&host->lock);
    while (list != NULL) {
        host_posted *posted = list;
        list = posted->next;
        posted->fn(posted->ctx);
        pubsub__free(posted);
    }
}

static void woken(uv_async_t *handle)
{
    run_posted(handle->data);
}

/* ---- the table ----------------------------------------------------------------------------- */

static uint64_t now_ns(pubsub_host *table)
{
    host_loop *host = host_of(table);
    uint64_t of = uv_now(&host->loop);
    if (host->now_ns == 0 || of != host->now_of) {
        host->now_of = of;
        host->now_ns = pubsub__clock_mono_ns();
    }
    return host->now_ns;
}

/* A host says nothing by itself: its owner puts a function of its own here. */
static void log_nothing(pubsub_host *host, int level, const char *text)
{
    (void)host;
    (void)level;
    (void)text;
}

static const pubsub_host functions = {
    .abi = PUBSUB_CONNECTOR_ABI,
    .size = sizeof(pubsub_host),
    .now_ns = now_ns,
    .timer_new = host_timer_new,
    .timer_start = host_timer_start,
    .timer_stop = host_timer_stop,
    .timer_free = host_timer_free,
    .watch_new = host_watch_new,
    .watch_set = host_watch_set,
    .watch_free = host_watch_free,
    .post = post,
    .log = log_nothing,
};

void *bridge_host_loop(pubsub_host *host)
{
    return &host_of(host)->loop;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void expired(uv_timer_t *handle)
{
    host_loop *host = handle->data;
    host->expired = true;
    /* Timers run at the begin of a turn as well, before the loop waits: it must not wait then. */
    uv_stop(handle->loop);
}

pubsub_err pubsub_host_new(pubsub_host **out, pubsub_error *err)
{
    host_loop *host = NULL;
    int code = 0;
    if (out == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no place for the host was given");
    }
    *out = NULL;
    host = pubsub__calloc(1, sizeof(*host));
    if (host == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    host->table = functions;
    atomic_init(&host->stop, false);
    if (pthread_mutex_init(&host->lock, NULL) != 0) {
        pubsub__free(host);
        return pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot make a lock");
    }
    code = uv_loop_init(&host->loop);
    if (code == 0) {
        code = uv_async_init(&host->loop, &host->wake, woken);
        if (code != 0) {
            (void)uv_loop_close(&host->loop);
        }
    }
    if (code != 0) {
        (void)pthread_mutex_destroy(&host->lock);
        pubsub__free(host);
        return pubsub_error_set_errno(err, PUBSUB_ESYSTEM, -code, "cannot make an event loop");
    }
    (void)uv_timer_init(&host->loop, &host->deadline);
    (void)uv_idle_init(&host->loop, &host->turn);
    host->wake.data = host->deadline.data = host->turn.data = host;
    *out = &host->table;
    return PUBSUB_OK;
}

/* A connection that the other side closed must not end the program, whatever library writes to it:
 * SIGPIPE goes to the thread that wrote, so it is held back while the loop runs and thrown away. */
static bool hold_sigpipe(sigset_t *before)
{
    sigset_t pipes;
    sigset_t pending;
    (void)sigemptyset(&pipes);
    (void)sigaddset(&pipes, SIGPIPE);
    (void)sigemptyset(&pending);
    (void)sigpending(&pending);
    (void)pthread_sigmask(SIG_BLOCK, &pipes, before);
    return sigismember(before, SIGPIPE) == 0 && sigismember(&pending, SIGPIPE) == 0;
}

static void release_sigpipe(const sigset_t *before, bool held)
{
    if (held) {
        sigset_t pipes;
        const struct timespec at_once = {0, 0};
        (void)sigemptyset(&pipes);
        (void)sigaddset(&pipes, SIGPIPE);
        (void)sigtimedwait(&pipes, NULL, &at_once);
        (void)pthread_sigmask(SIG_SETMASK, before, NULL);
    }
}

static pubsub_err turn_until(host_loop *host, pubsub_duration_ms timeout)
{
    if (timeout == 0) {
        (void)uv_run(&host->loop, UV_RUN_NOWAIT);
        return atomic_exchange(&host->stop, false) ? PUBSUB_OK : PUBSUB_ETIMEDOUT;
    }
    host->expired = false;
    if (timeout > 0) {
        uv_update_time(&host->loop);
        (void)uv_timer_start(&host->deadline, expired, (uint64_t)timeout, 0);
    }
    while (!atomic_exchange(&host->stop, false)) {
        if (host->expired) {
            return PUBSUB_ETIMEDOUT;
        }
        (void)uv_run(&host->loop, UV_RUN_ONCE);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_host_run(pubsub_host *table, pubsub_duration_ms timeout)
{
    host_loop *host = host_of(table);
    sigset_t before;
    bool held = false;
    pubsub_err result = PUBSUB_OK;
    if (host == NULL || timeout < -1 || host->running) {
        return PUBSUB_EINVAL;
    }
    host->running = true;
    held = hold_sigpipe(&before);
    result = turn_until(host, timeout);
    release_sigpipe(&before, held);
    (void)uv_timer_stop(&host->deadline);
    host->running = false;
    return result;
}

void pubsub_host_stop(pubsub_host *table)
{
    host_loop *host = host_of(table);
    if (host != NULL) {
        atomic_store(&host->stop, true);
        (void)uv_async_send(&host->wake);
    }
}

bool bridge_host_at_end(pubsub_host *table, void (*fn)(void *ctx), void *ctx)
{
    host_loop *host = host_of(table);
    host_end *end = pubsub__calloc(1, sizeof(*end));
    if (end == NULL) {
        return false;
    }
    end->fn = fn;
    end->ctx = ctx;
    end->next = host->ends;
    host->ends = end;
    return true;
}

static void run_ends(host_loop *host)
{
    while (host->ends != NULL) {
        host_end *end = host->ends;
        host->ends = end->next;
        end->fn(end->ctx);
        pubsub__free(end);
    }
}

/* Handles that others left in the loop are closed, not freed: whose memory they are is not known. */
static void close_rest(uv_handle_t *handle, void *ctx)
{
    (void)ctx;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

void pubsub_host_free(pubsub_host *table)
{
    host_loop *host = host_of(table);
    if (host == NULL) {
        return;
    }
    pthread_mutex_lock(&host->lock);
    host->closed = true;
    pthread_mutex_unlock(&host->lock);
    run_posted(host);
    run_ends(host);
    host_signals_close(host);
    uv_walk(&host->loop, close_rest, NULL);
    while (uv_run(&host->loop, UV_RUN_DEFAULT) != 0) {
    }
    (void)uv_loop_close(&host->loop);
    (void)pthread_mutex_destroy(&host->lock);
    pubsub__free(host);
}
