/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "options/resolve.h"

#include <inttypes.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Birth, handlers, connect, ready, death. */

#define BLOCKS_KEPT 16u

static pubsub_err forked(pubsub_error *err)
{
    return pubsub_error_set(err, PUBSUB_ESTATE,
                            "the client belongs to the parent process; only free it here");
}

/* ---- new ---- */

static void on_block_free(void *owner)
{
    pubsub__subscription_unref(owner);
}

static void init_sync(pubsub_client *client)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&client->lock, NULL);
    pthread_cond_init(&client->ready_cond, &attr);
    pthread_cond_init(&client->work_cond, &attr);
    pthread_cond_init(&client->state_cond, &attr);
    pthread_cond_init(&client->space_cond, &attr);
    pthread_cond_init(&client->freeze_cond, &attr);
    pthread_condattr_destroy(&attr);
}

static int64_t number(const pubsub_client *client, const char *name)
{
    int64_t value = 0;
    return pubsub_options_int(client->options, name, &value) == PUBSUB_OK ? value : 0;
}

static bool word_is(const pubsub_client *client, const char *name, const char *word)
{
    const char *value = pubsub_options_get(client->options, name);
    return value != NULL && strcmp(value, word) == 0;
}

static pubsub_err read_options(pubsub_client *client, pubsub_error *err)
{
    client->inline_io = word_is(client, "io", "inline");
    client->dispatch_thread = word_is(client, "dispatch", "thread");
    client->degrade = word_is(client, "degrade", "allow");
    client->connect_timeout = number(client, "connect_timeout");
    client->reconnect_min = number(client, "reconnect_min");
    client->reconnect_max = number(client, "reconnect_max");
    client->queue_messages = (size_t)number(client, "queue_messages");
    client->queue_bytes = (size_t)number(client, "queue_bytes");
    client->publish_timeout = number(client, "publish_timeout");
    client->linger = number(client, "linger");
    client->batch_messages = (size_t)number(client, "batch_messages");
    client->batch_bytes = (size_t)number(client, "batch_bytes");
    pubsub_options_bool(client->options, "reconnect", &client->reconnect);
    pubsub_options_bool(client->options, "connect_retry", &client->connect_retry);
    if (client->inline_io && client->dispatch_thread) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "io=inline and dispatch=thread exclude each other");
    }
    const char *inbox = pubsub_options_get(client->options, "inbox");
    if (inbox != NULL && pubsub_topic_check(inbox, strlen(inbox), err) != PUBSUB_OK) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "inbox='%.80s' is not a topic", inbox);
    }
    if (client->reconnect_min > client->reconnect_max) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "reconnect_min is above reconnect_max");
    }
    return PUBSUB_OK;
}

static pubsub_err resolve(pubsub_client *client, const char *text, const pubsub_options *options,
                          pubsub_error *err)
{
    pubsub_err rc = pubsub_url_parse(&client->url, text, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    const char *scheme = pubsub_url_scheme(client->url);
    pubsub_error why = PUBSUB_ERROR_INIT;
    client->adapter = pubsub__registry_find(scheme, &why);
    if (client->adapter == NULL) {
        return pubsub_error_set(err, why.code, "%s", why.text);
    }
    rc = pubsub__options_resolve(&client->options, client->url, client->adapter->name,
                                 pubsub__registry_implies_tls(scheme), options, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    client->config.url = client->url;
    client->config.options = client->options;
    return client->adapter->caps(&client->config, &client->caps_offline, err);
}

static void destroy(pubsub_client *client)
{
    pubsub__block_pool_unref(client->blocks);
    pubsub__chunk_pool_fini(&client->chunks);
    pubsub_options_free(client->options);
    pubsub_url_free(client->url);
    pubsub__free(client->links);
    pubsub__free(client->held.items);
    pubsub__calls_fini(&client->calls);
    pubsub__transport_shared_fini(&client->transport);
    if (client->wake_fd >= 0) {
        close(client->wake_fd);
    }
    if (client->ready_fd >= 0) {
        close(client->ready_fd);
    }
    pthread_mutex_destroy(&client->lock);
    pthread_cond_destroy(&client->ready_cond);
    pthread_cond_destroy(&client->work_cond);
    pthread_cond_destroy(&client->state_cond);
    pthread_cond_destroy(&client->space_cond);
    pthread_cond_destroy(&client->freeze_cond);
    pubsub__free(client);
}

void pubsub__client_unref(pubsub_client *client)
{
    if (atomic_fetch_sub_explicit(&client->refs, 1, memory_order_acq_rel) == 1) {
        destroy(client);
    }
}

pubsub_err pubsub_client_new(pubsub_client **out, const char *url, const pubsub_options *options,
                             pubsub_error *err)
{
    pubsub_error local = PUBSUB_ERROR_INIT;
    err = err != NULL ? err : &local;
    if (out == NULL || url == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no URL or no place for the client");
    }
    *out = NULL;
    pubsub_client *client = pubsub__calloc(1, sizeof *client);
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a client");
    }
    client->sink.client = client;
    client->fork_generation = pubsub__fork_generation();
    client->wake_fd = client->ready_fd = -1;
    atomic_init(&client->refs, 1);
    init_sync(client);
    pubsub__calls_init(&client->calls);
    pubsub_err rc = resolve(client, url, options, err);
    if (rc == PUBSUB_OK) {
        rc = read_options(client, err);
    }
    if (rc != PUBSUB_OK) {
        goto out;
    }
    client->caps = client->caps_offline;
    atomic_init(&client->publish_ok, pubsub__caps_mask(&client->caps));
    client->blocks = pubsub__block_pool_new(BLOCKS_KEPT, on_block_free);
    client->links = pubsub__calloc(1, sizeof *client->links);
    client->link_count = 1;
    client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    client->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (client->blocks == NULL || client->links == NULL) {
        rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a client");
    } else if (client->wake_fd < 0 || client->ready_fd < 0) {
        rc = pubsub_error_set(err, PUBSUB_ESYSTEM,
                              "no descriptor left for a client; raise the limit (ulimit -n)");
    }
out:
    if (rc != PUBSUB_OK) {
        destroy(client);
        return rc;
    }
    *out = client;
    return PUBSUB_OK;
}

/* ---- free ---- */

/* In the child nothing of the client runs, and locks may be held by threads that are not here. */
static void free_forked(pubsub_client *client)
{
    client->forked = true;
    if (client->instance != NULL) {
        client->adapter->fini(client->instance, true);
        pubsub__free(client->instance);
    }
    if (client->loop_open) {
        close(uv_backend_fd(&client->loop));
    }
    close(client->wake_fd);
    close(client->ready_fd);
    /* The rest may be half written; the child keeps its memory as it is. */
}

void pubsub_client_free(pubsub_client *client)
{
    if (client == NULL) {
        return;
    }
    if (pubsub__client_forked(client)) {
        free_forked(client);
        return;
    }
    pthread_mutex_lock(&client->lock);
    if (client->io_running) {
        pubsub__end_locked(client, pubsub__deadline(0), false);
    }
    client->stopping = true;
    pubsub__set_state_locked(client, PUBSUB_STATE_CLOSED, NULL);
    pubsub__workers_stop(client);
    pubsub__frame frame;
    client->calling = true; /* requests are promised an end; nothing else is told any more */
    client->poller = pthread_self();
    pubsub__frame_push(&frame, client);
    pubsub__calls_dispatch(client);
    pubsub__frame_pop();
    client->calling = false;
    pubsub__undelivered_clear(client);
    pubsub__publish *publish = NULL;
    while ((publish = pubsub__publish_pop(&client->reports)) != NULL) {
        pubsub__publish_release_locked(client, publish);
    }
    pubsub__events_clear(client);
    pubsub__run_queue_clear(client);
    pthread_mutex_unlock(&client->lock);
    pubsub__client_unref(client);
}

/* ---- handlers ---- */

/* @locks takes the lock and keeps it when it returns PUBSUB_OK. */
static pubsub_err begin_set(pubsub_client *client)
{
    if (client == NULL) {
        return PUBSUB_EINVAL;
    }
    if (pubsub__client_forked(client)) {
        return PUBSUB_ESTATE;
    }
    pthread_mutex_lock(&client->lock);
    if (client->state == PUBSUB_STATE_IDLE || client->state == PUBSUB_STATE_CLOSED) {
        return PUBSUB_OK;
    }
    pthread_mutex_unlock(&client->lock);
    return PUBSUB_ESTATE;
}

pubsub_err pubsub_client_on_message(pubsub_client *client, pubsub_message_fn fn, void *ctx)
{
    pubsub_err rc = begin_set(client);
    if (rc == PUBSUB_OK) {
        client->on_message = fn;
        client->on_message_ctx = ctx;
        pthread_mutex_unlock(&client->lock);
    }
    return rc;
}

pubsub_err pubsub_client_on_delivery(pubsub_client *client, pubsub_delivery_fn fn, void *ctx)
{
    pubsub_err rc = begin_set(client);
    if (rc == PUBSUB_OK) {
        client->on_delivery = fn;
        client->on_delivery_ctx = ctx;
        pthread_mutex_unlock(&client->lock);
    }
    return rc;
}

pubsub_err pubsub_client_on_event(pubsub_client *client, pubsub_event_fn fn, void *ctx)
{
    pubsub_err rc = begin_set(client);
    if (rc == PUBSUB_OK) {
        client->on_event = fn;
        client->on_event_ctx = ctx;
        pthread_mutex_unlock(&client->lock);
    }
    return rc;
}

/* ---- connect, ready ---- */

/* @locks lock held; may be left and taken again. Back to idle after an end or a failed connect. */
static pubsub_err reopen(pubsub_client *client, pubsub_error *err)
{
    if (client->io_running) {
        if (client->inline_io && pubsub__in_callback(client)) {
            return pubsub_error_set(err, PUBSUB_ESTATE, "cannot reconnect inside this handler");
        }
        client->ending = true;
        client->end_deadline_ns = 0;
        pubsub__loop_stop(client);
        client->ending = false;
        pthread_cond_broadcast(&client->state_cond);
    }
    pubsub__undelivered_clear(client);
    client->stopping = false;
    atomic_store(&client->messages_stop, false);
    pubsub_error clear = PUBSUB_ERROR_INIT;
    client->last_error = clear;
    client->caps = client->caps_offline;
    atomic_store(&client->publish_ok, pubsub__caps_mask(&client->caps));
    client->state = PUBSUB_STATE_IDLE;
    return PUBSUB_OK;
}

pubsub_err pubsub_client_connect(pubsub_client *client, pubsub_error *err)
{
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client");
    }
    if (pubsub__client_forked(client)) {
        return forked(err);
    }
    pubsub_err rc = PUBSUB_OK;
    pthread_mutex_lock(&client->lock);
    if (client->ending ||
        (client->state != PUBSUB_STATE_IDLE && client->state != PUBSUB_STATE_CLOSED)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "the client is already %s",
                              pubsub_state_name(client->state));
    } else if (client->state == PUBSUB_STATE_CLOSED) {
        rc = reopen(client, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__open_locked(client, err);
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}

pubsub_err pubsub_client_ready(pubsub_client *client, pubsub_duration_ms timeout, pubsub_error *err)
{
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client");
    }
    if (pubsub__client_forked(client)) {
        return forked(err);
    }
    pubsub_err rc = PUBSUB_OK;
    uint64_t deadline = pubsub__deadline(timeout);
    pthread_mutex_lock(&client->lock);
    if (pubsub__in_callback(client)) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "a handler cannot wait for the connection");
    } else if (client->state == PUBSUB_STATE_CLOSING || client->state == PUBSUB_STATE_CLOSED) {
        bool failed = client->last_error.code != PUBSUB_OK;
        rc = pubsub_error_set(err, PUBSUB_ESTATE, "the client is %s%s%s",
                              pubsub_state_name(client->state), failed ? ": " : "",
                              failed ? pubsub_error_text(&client->last_error) : "");
    } else {
        rc = pubsub__open_locked(client, err);
    }
    uint32_t failed = client->failed_opens;
    while (rc == PUBSUB_OK && client->state != PUBSUB_STATE_CONNECTED) {
        if (client->failed_opens != failed) {
            rc = client->last_error.code;
            if (err != NULL) {
                *err = client->last_error;
            }
        } else if (client->state == PUBSUB_STATE_CLOSING || client->state == PUBSUB_STATE_CLOSED) {
            rc = pubsub_error_set(err, PUBSUB_ESTATE, "the client was closed meanwhile");
        } else if (!pubsub__wait(client, &client->state_cond, deadline) &&
                   client->state != PUBSUB_STATE_CONNECTED && client->failed_opens == failed) {
            rc = pubsub_error_set(err, PUBSUB_ETIMEDOUT, "not connected within %" PRId64 " ms",
                                  timeout);
        }
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}
