/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rand.h"
#include "log/log.h"

#include <inttypes.h>
#include <string.h>

/* Connecting, losing and finding again. The adapter opens links, the core decides when. */

void pubsub__set_state_locked(pubsub_client *client, pubsub_state state, const pubsub_error *err)
{
    if (client->state == state) {
        return;
    }
    client->state = state;
    client->progress = true;
    pthread_cond_broadcast(&client->state_cond);
    pthread_cond_broadcast(&client->space_cond);
    pubsub_event event = {sizeof event, PUBSUB_EVENT_STATE, state, NULL, err, NULL, false, 0};
    pubsub__emit_locked(client, &event);
    if (state == PUBSUB_STATE_CONNECTED) {
        event.type = PUBSUB_EVENT_CONNECT;
        event.error = NULL;
        pubsub__emit_locked(client, &event);
    }
    pubsub__ready_changed(client);
}

void pubsub__set_state(pubsub_client *client, pubsub_state state, const pubsub_error *err)
{
    pthread_mutex_lock(&client->lock);
    if (client->state != PUBSUB_STATE_CLOSING && client->state != PUBSUB_STATE_CLOSED) {
        pubsub__set_state_locked(client, state, err);
    }
    pthread_mutex_unlock(&client->lock);
}

/* Nothing will come of this connection: tell every waiter, decide every publish, end every
 * subscription. The loop goes on until somebody ends the client or connects again. */
void pubsub__links_fail(pubsub_client *client)
{
    if (!client->fail_wanted || client->failed || client->closing) {
        return;
    }
    pubsub_error *err = &client->fail_error;
    client->failed = true;
    for (uint32_t i = 1; i < client->link_count; i++) {
        if (client->links[i].state != PUBSUB__LINK_NONE) {
            client->adapter->disconnect(client->instance, i, true);
            client->links[i].state = PUBSUB__LINK_NONE;
        }
    }
    pthread_mutex_lock(&client->lock);
    client->last_error = *err;
    client->failed_opens++;
    client->stopping = true;
    /* First of all: whoever is told of the failure below may connect again at once. */
    if (client->state != PUBSUB_STATE_CLOSING) {
        pubsub__set_state_locked(client, PUBSUB_STATE_CLOSED, err);
    }
    pthread_mutex_unlock(&client->lock);
    pubsub__subs_end_all(client, err);
    pubsub__publish_take(client);
    pubsub__publish_give_up(client, err);
}

/* Capped exponential back-off, half of it by chance so that clients do not come back in step. */
uint64_t pubsub__backoff_ns(const pubsub_client *client, uint32_t attempts)
{
    uint64_t ms = (uint64_t)client->reconnect_min;
    for (uint32_t i = 1; i < attempts && ms < (uint64_t)client->reconnect_max; i++) {
        ms *= 2;
    }
    if (ms > (uint64_t)client->reconnect_max) {
        ms = (uint64_t)client->reconnect_max;
    }
    uint64_t ns = ms * 1000000u;
    return ns / 2 + pubsub__rand_below(ns / 2 + 1);
}

static void begin_connect(pubsub_client *client, uint32_t number)
{
    pubsub__link *link = &client->links[number];
    uint64_t now = pubsub__clock_mono_ns();
    pubsub_error err = PUBSUB_ERROR_INIT;
    link->state = PUBSUB__LINK_CONNECTING;
    link->due_ns = now + (uint64_t)client->connect_timeout * 1000000u;
    pubsub_err rc = client->adapter->connect(client->instance, number, &err);
    if (rc != PUBSUB_OK) {
        err.code = rc;
        pubsub_sink_link_down(&client->sink, number, &err);
    }
}

void pubsub__links_open(pubsub_client *client)
{
    if (client->failed || client->fail_wanted || client->closing) {
        return;
    }
    if (client->links[0].state == PUBSUB__LINK_NONE) {
        begin_connect(client, 0);
    }
}

void pubsub__links_due(pubsub_client *client, uint64_t now_ns)
{
    for (uint32_t i = 0; i < client->link_count; i++) {
        pubsub__link *link = &client->links[i];
        if (link->state == PUBSUB__LINK_DOWN && !client->closing && now_ns >= link->due_ns) {
            begin_connect(client, i);
        } else if (link->state == PUBSUB__LINK_CONNECTING && now_ns >= link->due_ns) {
            pubsub_error err = PUBSUB_ERROR_INIT;
            client->adapter->disconnect(client->instance, i, false);
            pubsub_error_set(&err, PUBSUB_ECONNECT,
                             "no connection within connect_timeout (%" PRId64 " ms)",
                             client->connect_timeout);
            pubsub_sink_link_down(&client->sink, i, &err);
        }
    }
}

uint64_t pubsub__links_next_due(const pubsub_client *client)
{
    uint64_t due = PUBSUB__FOREVER_NS;
    for (uint32_t i = 0; i < client->link_count; i++) {
        const pubsub__link *link = &client->links[i];
        bool waits = link->state == PUBSUB__LINK_CONNECTING ||
                     (link->state == PUBSUB__LINK_DOWN && !client->closing);
        if (waits && link->due_ns < due) {
            due = link->due_ns;
        }
    }
    return due;
}

void pubsub__links_fresh(pubsub_client *client)
{
    for (uint32_t i = 0; i < client->link_count; i++) {
        if (client->links[i].fresh && client->links[i].state == PUBSUB__LINK_UP) {
            client->links[i].fresh = false;
            if (i == 0) {
                pubsub__subs_negotiate(client);
            }
            pubsub__subs_link_up(client, i);
        }
    }
}

void pubsub_sink_caps(pubsub_sink *sink, const pubsub_caps *caps)
{
    pubsub_client *client = sink->client;
    pthread_mutex_lock(&client->lock);
    client->caps = *caps;
    pthread_mutex_unlock(&client->lock);
    atomic_store(&client->publish_ok, pubsub__caps_mask(caps));
    atomic_store(&client->publish_last, 0);
}

void pubsub_sink_link_up(pubsub_sink *sink, uint32_t number)
{
    pubsub_client *client = sink->client;
    if (number >= client->link_count) {
        return;
    }
    pubsub__link *link = &client->links[number];
    if (link->state == PUBSUB__LINK_PAUSED) {
        link->state = PUBSUB__LINK_UP;
        link->fresh = true; /* for what was asked for meanwhile; who is subscribed stays so */
        if (number == 0) {
            client->submit_blocked = false;
            pubsub__set_state(client, PUBSUB_STATE_CONNECTED, NULL);
        }
        pubsub__turn_soon(client);
        return;
    }
    if (link->state != PUBSUB__LINK_CONNECTING) {
        return; /* given up in the meantime */
    }
    link->state = PUBSUB__LINK_UP;
    link->attempts = 0;
    link->generation++;
    link->fresh = true;
    pubsub__count(client, connects, 1);
    if (number == 0) {
        client->first_connect_done = true;
        client->submit_blocked = false;
        pubsub__set_state(client, PUBSUB_STATE_CONNECTED, NULL);
    }
    pubsub__turn_soon(client);
}

static void lose_link(pubsub_client *client, uint32_t number, const pubsub_error *err)
{
    pubsub__link *link = &client->links[number];
    if (link->state == PUBSUB__LINK_UP || link->state == PUBSUB__LINK_PAUSED) {
        pubsub__count(client, disconnects, 1);
    }
    link->fresh = false;
    link->attempts++;
    link->state = PUBSUB__LINK_DOWN;
    uint64_t wait = pubsub__backoff_ns(client, link->attempts);
    link->due_ns = pubsub__clock_mono_ns() + wait;
    pubsub__log(PUBSUB_LOG_INFO, client->adapter->name,
                "link %" PRIu32 " down: %s; again in %" PRIu64 " ms", number,
                pubsub_error_text(err), wait / 1000000u);
    pubsub__subs_link_down(client, number, err, false);
}

void pubsub_sink_link_down(pubsub_sink *sink, uint32_t number, const pubsub_error *err)
{
    pubsub_client *client = sink->client;
    if (number >= client->link_count || client->links[number].state == PUBSUB__LINK_NONE ||
        client->links[number].state == PUBSUB__LINK_DOWN) {
        return;
    }
    if (client->closing) {
        client->links[number].state = PUBSUB__LINK_NONE;
        return;
    }
    pubsub_error why = *err;
    if (why.adapter[0] == '\0') {
        memcpy(why.adapter, client->adapter->name,
               strnlen(client->adapter->name, sizeof why.adapter - 1));
    }
    bool first = number == 0 && !client->first_connect_done && !client->connect_retry;
    bool again = client->reconnect && pubsub_err_is_retryable(why.code) && !first;
    pubsub__turn_soon(client);
    if (again) {
        lose_link(client, number, &why);
        if (number == 0) {
            pthread_mutex_lock(&client->lock);
            /* A flush that the lost connection will not answer is asked again on the next. */
            client->flush_pending =
                client->flush_pending || client->flush_done != client->flush_seen;
            client->last_error = why;
            pthread_mutex_unlock(&client->lock);
            pubsub__set_state(client, PUBSUB_STATE_RECONNECTING, &why);
        }
        return;
    }
    client->links[number].state = PUBSUB__LINK_NONE;
    if (number == 0) {
        client->fail_wanted = true;
        client->fail_error = why;
        return;
    }
    pubsub__subs_link_down(client, number, &why, true);
}

void pubsub_sink_link_paused(pubsub_sink *sink, uint32_t number, const pubsub_error *err)
{
    pubsub_client *client = sink->client;
    if (number >= client->link_count || client->links[number].state != PUBSUB__LINK_UP) {
        return;
    }
    client->links[number].state = PUBSUB__LINK_PAUSED;
    pubsub__count(client, disconnects, 1);
    if (number == 0) {
        pubsub__set_state(client, PUBSUB_STATE_RECONNECTING, err);
    }
}

uint32_t pubsub_sink_link_new(pubsub_sink *sink)
{
    pubsub_client *client = sink->client;
    uint32_t number = 1;
    while (number < client->link_count && client->links[number].state != PUBSUB__LINK_NONE) {
        number++;
    }
    if (number == client->link_count) {
        uint32_t more = client->link_count * 2 < 8 ? 8 : client->link_count * 2;
        pubsub__link *links =
            more > PUBSUB__LINKS_MAX ? NULL : pubsub__realloc(client->links, more * sizeof *links);
        if (links == NULL) {
            return 0;
        }
        memset(links + client->link_count, 0, (more - client->link_count) * sizeof *links);
        client->links = links;
        client->link_count = more;
    }
    pubsub__link *link = &client->links[number];
    link->state = PUBSUB__LINK_DOWN;
    link->attempts = 0;
    link->due_ns = 0;
    link->fresh = false;
    pubsub__turn_soon(client);
    return number;
}

void pubsub_sink_link_free(pubsub_sink *sink, uint32_t number)
{
    if (number > 0 && number < sink->client->link_count) {
        sink->client->links[number].state = PUBSUB__LINK_NONE;
    }
}
