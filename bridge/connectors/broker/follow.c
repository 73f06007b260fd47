/* SPDX-License-Identifier: MIT */
#include "connectors/broker/internal.h"

#include <pubsub/client.h>

#include <stddef.h>
#include <string.h>

#define BEAT_MS 1000 /* the client watches its connection itself; we look at how it stands */
#define END_MS 5000

static pubsub_bytes model_of(const broker_self *self, size_t index)
{
    return pubsub_bytes_of(self->patterns[index]);
}

void broker_tell_state(broker_self *self, pubsub_source_state state)
{
    for (size_t i = 0; self->emitter != NULL && i < self->pattern_count; i++) {
        self->emitter->state(self->emitter, model_of(self, i), state);
    }
}

static void tell_error(broker_self *self, const pubsub_error *error)
{
    if (self->emitter != NULL && error != NULL) {
        self->emitter->error(self->emitter, model_of(self, 0), error);
    }
}

static void tell_waiting(broker_self *self, int64_t more)
{
    pubsub_emitter *emitter = self->emitter;
    if (emitter != NULL &&
        emitter->size >= offsetof(pubsub_emitter, waiting) + sizeof(emitter->waiting) &&
        emitter->waiting != NULL) {
        emitter->waiting(emitter, more);
    }
}

static void tell_gap(broker_self *self, const pubsub_gap *gap)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&err, PUBSUB_ELOST, "messages of the source may be missing: %s",
                           gap != NULL && gap->reason != NULL ? gap->reason : "no reason given");
    tell_error(self, &err);
    if (gap != NULL && gap->missed > 0) {
        tell_waiting(self, -(int64_t)gap->missed);
    }
}

static void on_client_state(broker_self *self, const pubsub_event *event)
{
    if (event->state == PUBSUB_STATE_RECONNECTING ||
        (event->state == PUBSUB_STATE_CONNECTING && event->error != NULL)) {
        tell_error(self, event->error);
        broker_tell_state(self, PUBSUB_SOURCE_WAITING);
    } else if (event->state == PUBSUB_STATE_CLOSED) {
        tell_error(self, event->error);
        broker_tell_state(self, PUBSUB_SOURCE_STOPPED);
    }
}

static void on_event(void *ctx, const pubsub_event *event)
{
    broker_self *self = ctx;
    if (self->emitter == NULL) {
        return;
    }
    switch (event->type) {
    case PUBSUB_EVENT_STATE:
        on_client_state(self, event);
        break;
    case PUBSUB_EVENT_SUBSCRIBED:
        if (!self->was_live) { /* afterwards it goes on, and who counts has counted these */
            tell_waiting(self, (int64_t)event->waiting);
        }
        self->was_live = true;
        broker_tell_state(self, PUBSUB_SOURCE_ACTIVE);
        break;
    case PUBSUB_EVENT_REFUSED:
        tell_error(self, event->error);
        broker_tell_state(self, PUBSUB_SOURCE_STOPPED);
        break;
    case PUBSUB_EVENT_INTERRUPTED:
        broker_interrupted(self);
        tell_error(self, event->error);
        broker_tell_state(self, PUBSUB_SOURCE_WAITING);
        break;
    case PUBSUB_EVENT_GAP:
        tell_gap(self, event->gap);
        break;
    case PUBSUB_EVENT_ERROR:
        tell_error(self, event->error);
        break;
    default:
        break;
    }
}

static void on_ready(void *ctx, uint32_t bits)
{
    broker_self *self = ctx;
    (void)bits;
    if (pubsub_client_poll(self->client, 0, NULL) == PUBSUB_ECLOSED && self->emitter != NULL) {
        self->host->watch_set(self->watch, 0);
    }
}

static void on_beat(void *ctx)
{
    broker_self *self = ctx;
    if (pubsub_client_state(self->client) == PUBSUB_STATE_CONNECTED) {
        for (size_t i = 0; self->emitter != NULL && i < self->pattern_count; i++) {
            self->emitter->alive(self->emitter, model_of(self, i));
        }
    }
    if (self->emitter != NULL) {
        self->host->timer_start(self->beat, BEAT_MS);
    }
}

/* Undo what start did, without waiting: nothing was ever sent. */
static void abandon(broker_self *self)
{
    self->emitter = NULL;
    self->host->watch_free(self->watch);
    self->host->timer_free(self->beat);
    self->watch = NULL;
    self->beat = NULL;
    pubsub_subscription_free(self->subscription);
    self->subscription = NULL;
    pubsub_client_free(self->client);
    self->client = NULL;
}

pubsub_err broker_start(void *ctx, pubsub_emitter *emitter, pubsub_error *err)
{
    broker_self *self = ctx;
    pubsub_err rc = pubsub_client_new(&self->client, self->url, self->client_options, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    self->emitter = emitter;
    (void)pubsub_client_on_event(self->client, on_event, self);
    self->watch = self->host->watch_new(self->host, pubsub_client_fd(self->client), on_ready, self);
    self->beat = self->host->timer_new(self->host, on_beat, self);
    if (self->watch == NULL || self->beat == NULL) {
        rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for source '%s'", self->name);
    } else {
        rc = pubsub_client_subscribe_set(self->client, (const char *const *)self->patterns,
                                         self->pattern_count, self->options, broker_on_message,
                                         self, &self->subscription, err);
    }
    if (rc != PUBSUB_OK) {
        abandon(self);
        return rc;
    }
    self->host->watch_set(self->watch, PUBSUB_HOST_READ);
    self->host->timer_start(self->beat, BEAT_MS);
    return PUBSUB_OK;
}

static void on_ended(void *ctx)
{
    broker_self *self = ctx;
    void (*stopped)(void *) = self->stopped;
    self->stopped = NULL;
    stopped(self->stopped_ctx);
}

void broker_stop(void *ctx, void (*done)(void *ctx), void *done_ctx)
{
    broker_self *self = ctx;
    self->emitter = NULL;
    self->stopped = done;
    self->stopped_ctx = done_ctx;
    self->host->watch_free(self->watch);
    self->host->timer_free(self->beat);
    self->watch = NULL;
    self->beat = NULL;
    broker_drop_all(self);
    pubsub_subscription_free(self->subscription);
    self->subscription = NULL;
    pubsub_client *client = self->client;
    self->client = NULL;
    bridge_client_end(self->host, client, END_MS, on_ended, self);
}
