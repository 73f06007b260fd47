/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "log/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The loop of one client: a libuv loop, an eventfd that wakes it, and one timer for everything the core
 * has to do later. It runs on its own thread, or (io=inline) inside the calls that wait. */

#define CLOSE_GRACE_NS (1000u * 1000000ull)

static void raise_eventfd(int fd)
{
    uint64_t one = 1;
    /* Fails only when the counter is full, and then it is readable anyway. */
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

void pubsub__wake(pubsub_client *client)
{
    if (client->inline_io) {
        return; /* whoever waits drives the loop and looks first */
    }
    if (!atomic_exchange_explicit(&client->wake_pending, true, memory_order_acq_rel)) {
        raise_eventfd(client->wake_fd);
    }
}

void pubsub_sink_wake(pubsub_sink *sink)
{
    pubsub_client *client = sink->client;
    atomic_store_explicit(&client->adapter_wake, true, memory_order_release);
    if (!atomic_exchange_explicit(&client->wake_pending, true, memory_order_acq_rel)) {
        raise_eventfd(client->wake_fd);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void on_core_timer(uv_timer_t *timer)
{
    pubsub__turn(timer->data);
}

void pubsub__turn_soon(pubsub_client *client)
{
    client->turn_again = true;
    if (!client->in_turn && client->loop_open) {
        uv_timer_start(&client->core_timer, on_core_timer, 0, 0);
    }
}

static void set_core_timer(pubsub_client *client, uint64_t now)
{
    uint64_t due = least(pubsub__links_next_due(client), pubsub__held_next_due(client));
    due = least(due, pubsub__subs_next_due(client));
    due = least(due, pubsub__publish_next_due(client));
    due = least(due, pubsub__calls_next_due(client));
    due = client->acks_due_ns == 0 ? due : least(due, client->acks_due_ns);
    if (client->closing && !client->closed) {
        due = least(due, client->close_due_ns);
    }
    if (due == PUBSUB__FOREVER_NS) {
        uv_timer_stop(&client->core_timer);
        return;
    }
    uint64_t ms = due <= now ? 0 : (due - now + 999999u) / 1000000u;
    uv_update_time(&client->loop);
    uv_timer_start(&client->core_timer, on_core_timer, ms, 0);
}

/* End what close left: the adapter gets a grace period for good manners, then its links are dropped. */
static void turn_close(pubsub_client *client, uint64_t now)
{
    pthread_mutex_lock(&client->lock);
    bool wanted = client->want_close;
    uint64_t deadline = client->end_deadline_ns;
    pthread_mutex_unlock(&client->lock);
    if (wanted && !client->closing) {
        pubsub_error why = PUBSUB_ERROR_INIT;
        pubsub_error_set(&why, PUBSUB_ECLOSED, "the client was closed before this was done");
        client->closing = true;
        client->close_due_ns = deadline > now + CLOSE_GRACE_NS ? deadline : now + CLOSE_GRACE_NS;
        pubsub__subs_end_all(client, &why);
        if (client->links[0].state == PUBSUB__LINK_NONE || client->failed) {
            client->closed = true;
        } else {
            uint64_t left = (client->close_due_ns - now) / 1000000u;
            client->adapter->close(client->instance,
                                   left > INT64_MAX / 2 ? PUBSUB_FOREVER : (int64_t)left);
        }
    }
    if (client->closing && !client->closed && now >= client->close_due_ns) {
        pubsub__log(PUBSUB_LOG_WARN, client->adapter->name, "close took too long, links dropped");
        for (uint32_t i = 0; i < client->link_count; i++) {
            if (client->links[i].state != PUBSUB__LINK_NONE) {
                client->adapter->disconnect(client->instance, i, true);
            }
        }
        client->closed = true;
    }
    if (client->closing && client->closed && !client->stop_loop) {
        pubsub_error why = PUBSUB_ERROR_INIT;
        pubsub_error_set(&why, PUBSUB_ECLOSED, "the client was closed before this was delivered");
        pubsub__publish_give_up(client, &why);
        pubsub__settle_take(client); /* messages whose dead letters were given up just now */
        client->stop_loop = true;
        uv_stop(&client->loop);
    }
}

/* One pass over everything that may be due. Sink functions only record what the adapter says; acting on
 * it happens here, so that an adapter is never entered again from inside a call of its own. */
static void turn_once(pubsub_client *client)
{
    pthread_mutex_lock(&client->lock);
    while (client->freeze_wanted && !client->inline_io) {
        client->frozen = true;
        pthread_cond_broadcast(&client->state_cond);
        pthread_cond_wait(&client->freeze_cond, &client->lock);
    }
    client->frozen = false;
    pthread_mutex_unlock(&client->lock);
    if (atomic_exchange_explicit(&client->adapter_wake, false, memory_order_acq_rel) &&
        client->adapter->wake != NULL) {
        client->adapter->wake(client->instance);
    }
    uint64_t now = pubsub__clock_mono_ns();
    pubsub__links_open(client);
    pubsub__links_due(client, now);
    pubsub__links_fail(client);
    pubsub__links_fresh(client);
    pubsub__subs_commands(client);
    pubsub__publish_take(client);
    pubsub__publish_submit(client);
    pubsub__publish_due(client, now);
    pubsub__calls_due(client, now);
    pubsub__acks_due(client, now);
    pubsub__settle_take(client);
    pubsub__publish_flush(client);
    pubsub__held_due(client, now);
    pubsub__subs_due(client, now);
    turn_close(client, now);
}

void pubsub__turn(pubsub_client *client)
{
    if (client->in_turn) {
        client->turn_again = true;
        return;
    }
    client->in_turn = true;
    do {
        client->turn_again = false;
        if (client->stop_loop) {
            break;
        }
        turn_once(client);
        if (!client->turn_again && client->adapter->turn != NULL && !client->closed) {
            client->adapter->turn(client->instance);
        }
    } while (client->turn_again);
    client->in_turn = false;
    if (!client->stop_loop) {
        set_core_timer(client, pubsub__clock_mono_ns());
    }
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    pubsub_client *client = poll->data;
    uint64_t count = 0;
    (void)status;
    (void)events;
    while (read(client->wake_fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    atomic_store_explicit(&client->wake_pending, false, memory_order_release);
    /* Whoever queues after this point wakes again; what came before is seen below. */
    atomic_thread_fence(memory_order_seq_cst);
    pubsub__turn(client);
}

void pubsub__io_finish(pubsub_client *client)
{
    pthread_mutex_lock(&client->lock);
    client->io_finished = true;
    pthread_cond_broadcast(&client->state_cond);
    pthread_mutex_unlock(&client->lock);
}

static void *io_main(void *arg)
{
    pubsub_client *client = arg;
    pubsub__turn(client);
    if (!client->stop_loop) {
        uv_run(&client->loop, UV_RUN_DEFAULT);
    }
    pubsub__io_finish(client);
    return NULL;
}

int pubsub__thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(thread, NULL, fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

static pubsub_err open_loop(pubsub_client *client, pubsub_error *err)
{
    int rc = uv_loop_init(&client->loop);
    if (rc != 0) {
        return pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot create the event loop: %s",
                                uv_strerror(rc));
    }
    client->loop_open = true;
    client->wake_poll.data = client;
    client->core_timer.data = client;
    uv_timer_init(&client->loop, &client->core_timer);
    rc = uv_poll_init(&client->loop, &client->wake_poll, client->wake_fd);
    if (rc == 0) {
        rc = uv_poll_start(&client->wake_poll, UV_READABLE, on_wake);
    }
    if (rc != 0) {
        return pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot watch the wake-up descriptor: %s",
                                uv_strerror(rc));
    }
    return PUBSUB_OK;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

static void close_loop(pubsub_client *client)
{
    if (!client->loop_open) {
        return;
    }
    /* Timers and watches of the adapter were freed by its fini; what is left are our own. */
    uv_walk(&client->loop, close_handle, NULL);
    while (uv_run(&client->loop, UV_RUN_DEFAULT) != 0) {
    }
    uv_loop_close(&client->loop);
    client->loop_open = false;
}

static void reset_io(pubsub_client *client)
{
    memset(client->links, 0, client->link_count * sizeof *client->links);
    client->closing = client->closed = client->stop_loop = false;
    client->fail_wanted = client->failed = false;
    client->first_connect_done = false;
    client->submit_blocked = false;
    client->io_finished = false;
    atomic_store(&client->wake_pending, false);
    atomic_store(&client->adapter_wake, false);
}

pubsub_err pubsub__loop_start(pubsub_client *client, pubsub_error *err)
{
    if (client->io_running) {
        return PUBSUB_OK;
    }
    reset_io(client);
    pubsub_err rc = open_loop(client, err);
    if (rc != PUBSUB_OK) {
        close_loop(client);
        return rc;
    }
    if (client->instance == NULL) {
        client->instance = pubsub__calloc(1, client->adapter->instance_size);
        rc = client->instance == NULL
                 ? pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection")
                 : client->adapter->init(client->instance, &client->config, &client->sink, err);
    }
    if (rc == PUBSUB_OK && !client->inline_io &&
        pubsub__thread_start(&client->io_thread, io_main, client) != 0) {
        rc = pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot start the I/O thread");
    }
    if (rc != PUBSUB_OK) {
        if (client->instance != NULL) {
            client->adapter->fini(client->instance, false);
            pubsub__free(client->instance);
            client->instance = NULL;
        }
        close_loop(client);
        return rc;
    }
    client->io_running = true;
    return PUBSUB_OK;
}

void pubsub__loop_stop(pubsub_client *client)
{
    if (!client->io_running) {
        return;
    }
    client->want_close = true;
    pubsub__wake(client);
    while (!client->io_finished) {
        pubsub__wait(client, &client->state_cond, PUBSUB__FOREVER_NS);
    }
    client->io_running = false;
    client->want_close = false;
    pthread_mutex_unlock(&client->lock);
    if (!client->inline_io) {
        pthread_join(client->io_thread, NULL);
    }
    client->adapter->fini(client->instance, false);
    pubsub__free(client->instance);
    client->instance = NULL;
    close_loop(client);
    pthread_mutex_lock(&client->lock);
}

void pubsub_sink_closed(pubsub_sink *sink)
{
    sink->client->closed = true;
    pubsub__turn_soon(sink->client);
}
