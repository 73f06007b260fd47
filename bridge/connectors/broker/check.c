/* SPDX-License-Identifier: MIT */
#include "connectors/broker/internal.h"

#include <pubsub/client.h>

/* What is lost by the nature of the source, and whether it can be reached. */

static void remark(broker_self *self, const char *text)
{
    pubsub_error finding = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&finding, PUBSUB_OK, "%s", text);
    self->say(self->check_ctx, &finding);
}

static void say_nature(broker_self *self)
{
    if (!self->acks) {
        remark(self, "this broker has no acknowledgements: messages that were taken and not passed "
                     "on when the bridge is killed are lost");
    }
    if (!pubsub_options_is_set(self->options, "durable")) {
        remark(self, "nothing is kept while the bridge is away: messages published then are lost");
    }
    if (self->caps.features[PUBSUB_FEATURE_HEADERS].support == PUBSUB_REFUSED) {
        remark(self, "this broker has no headers: ids of events are made anew");
    }
}

static void on_client_gone(void *ctx)
{
    broker_self *self = ctx;
    self->checking = false;
    if (self->orphan) {
        broker_fini(self);
        return;
    }
    self->checked(self->check_ctx);
}

static void finish(broker_self *self)
{
    if (self->client == NULL) {
        return;
    }
    pubsub_client *client = self->client;
    self->client = NULL;
    self->host->watch_free(self->watch);
    self->watch = NULL;
    bridge_client_end(self->host, client, 1000, on_client_gone, self);
}

static void on_event(void *ctx, const pubsub_event *event)
{
    broker_self *self = ctx;
    if (self->checked == NULL || event->type != PUBSUB_EVENT_STATE) {
        return;
    }
    if (event->error != NULL) {
        self->say(self->check_ctx, event->error);
        self->host->timer_start(self->beat, 0); /* not from inside the client */
    } else if (event->state == PUBSUB_STATE_CONNECTED) {
        self->host->timer_start(self->beat, 0);
    }
}

static void on_ready(void *ctx, uint32_t bits)
{
    broker_self *self = ctx;
    (void)bits;
    (void)pubsub_client_poll(self->client, 0, NULL);
}

static void on_timer(void *ctx)
{
    broker_self *self = ctx;
    self->host->timer_free(self->beat);
    self->beat = NULL;
    finish(self);
}

static pubsub_err open_client(broker_self *self, pubsub_error *err)
{
    pubsub_options *options = NULL;
    pubsub_err rc = pubsub_options_copy(&options, self->client_options);
    rc = rc == PUBSUB_OK ? pubsub_options_set_bool(options, "connect_retry", false, err) : rc;
    rc = rc == PUBSUB_OK ? pubsub_client_new(&self->client, self->url, options, err) : rc;
    pubsub_options_free(options);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    (void)pubsub_client_on_event(self->client, on_event, self);
    self->watch = self->host->watch_new(self->host, pubsub_client_fd(self->client), on_ready, self);
    self->beat = self->host->timer_new(self->host, on_timer, self);
    if (self->watch == NULL || self->beat == NULL) {
        self->host->watch_free(self->watch);
        self->host->timer_free(self->beat);
        self->watch = NULL;
        self->beat = NULL;
        pubsub_client_free(self->client);
        self->client = NULL;
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for source '%s'", self->name);
    }
    self->host->watch_set(self->watch, PUBSUB_HOST_READ);
    return pubsub_client_connect(self->client, err);
}

void broker_check(void *ctx, void (*say)(void *ctx, const pubsub_error *finding),
                  void (*done)(void *ctx), void *done_ctx)
{
    broker_self *self = ctx;
    pubsub_error err = PUBSUB_ERROR_INIT;
    self->say = say;
    self->checked = done;
    self->check_ctx = done_ctx;
    self->checking = true;
    say_nature(self);
    if (open_client(self, &err) != PUBSUB_OK) {
        say(done_ctx, &err);
        if (self->client != NULL) {
            self->host->timer_start(self->beat, 0);
        } else {
            self->checking = false;
            done(done_ctx);
        }
    }
}
