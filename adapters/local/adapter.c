/* SPDX-License-Identifier: MIT */
#include "local/adapter.h"

#include "base/alloc.h"

/* The smallest complete adapter: its broker is a directory. Begin reading here: `submit` is in
 * adapter_publish.c, `subscribe` in adapter_read.c, what can be promised in adapter_caps.c. */

static void on_timer(void *ctx)
{
    pubsub__local_adapter_pump(ctx);
}

static pubsub_err local_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                             pubsub_error *err)
{
    local_self *self = ctx;
    self->sink = sink;
    self->config = config;
    if (pthread_mutex_init(&self->mu, NULL) != 0 || pthread_cond_init(&self->cond, NULL) != 0) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a lock");
    }
    self->mu_ready = true;
    return pubsub__local_adapter_options(config, &self->options, &self->dir, &self->durable, err);
}

/* What this bus can do: its largest message, and that a read-only one keeps nothing for anybody. */
static pubsub_err tell_caps(local_self *self, pubsub_error *err)
{
    pubsub_caps caps;
    pubsub_err rc = pubsub__local_adapter_caps(self->config, &caps, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    caps.max_payload = pubsub__local_max_payload(self->store);
    if (pubsub__local_is_readonly(self->store)) {
        static const pubsub_feature written[] = {PUBSUB_FEATURE_GROUP, PUBSUB_FEATURE_DURABLE,
                                                 PUBSUB_FEATURE_DURABLE_GROUP,
                                                 PUBSUB_FEATURE_ORDER_KEY_GROUP};
        for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
            caps.features[written[i]].support = PUBSUB_REFUSED;
            caps.features[written[i]].note = "this directory may only be read";
        }
    }
    pubsub_sink_caps(self->sink, &caps);
    return PUBSUB_OK;
}

static pubsub_err local_connect(void *ctx, uint32_t link, pubsub_error *err)
{
    local_self *self = ctx;
    (void)link; /* there is only link 0 */
    self->closing = false;
    pubsub_err rc = PUBSUB_OK;
    if (self->store == NULL) {
        rc = pubsub__local_open(&self->store, &self->options, err);
    }
    if (rc == PUBSUB_OK && self->timer == NULL) {
        self->timer = pubsub_timer_new(self->sink, on_timer, self);
        if (self->timer == NULL) {
            rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a timer");
        }
    }
    if (rc == PUBSUB_OK) {
        rc = tell_caps(self, err);
    }
    if (rc == PUBSUB_OK) {
        pubsub_sink_link_up(self->sink, 0);
    }
    return rc;
}

static void shut(local_self *self)
{
    self->closing = true;
    pubsub__local_adapter_settle(self);
    pubsub__local_helper_stop(self);
    pubsub__local_adapter_drop_subs(self);
    pubsub_timer_free(self->timer);
    self->timer = NULL;
    pubsub__local_close(self->store);
    self->store = NULL;
}

static void local_disconnect(void *ctx, uint32_t link, bool final)
{
    (void)link;
    if (final) {
        shut(ctx);
    }
}

static void local_wake(void *ctx)
{
    pubsub__local_adapter_pump(ctx);
}

static bool local_flush(void *ctx)
{
    pubsub__local_adapter_settle(ctx);
    return true; /* acks are written as they come */
}

static void local_turn(void *ctx)
{
    pubsub__local_adapter_settle(ctx);
}

static void local_close(void *ctx, pubsub_duration_ms left)
{
    local_self *self = ctx;
    (void)left;
    shut(self);
    pubsub_sink_closed(self->sink);
}

static void local_fini(void *ctx, bool forked)
{
    local_self *self = ctx;
    if (!forked) {
        pubsub__local_helper_stop(self);
    }
    pubsub__local_adapter_drop_subs(self);
    pubsub_timer_free(self->timer);
    pubsub__local_close(self->store);
    pubsub__local_adapter_publish_fini(self);
    pubsub__free(self->dir);
    if (self->mu_ready && !forked) {
        pthread_cond_destroy(&self->cond);
        pthread_mutex_destroy(&self->mu);
    }
}

static const char *const schemes[] = {"local", NULL};

const pubsub_adapter pubsub__adapter_local = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "local",
    .schemes = schemes,
    .summary = "the embedded broker: a directory on this machine, no server needed",
    .options = pubsub__local_option_rows,
    .instance_size = sizeof(local_self),
    .caps = pubsub__local_adapter_caps,
    .negotiate = pubsub__local_adapter_negotiate,
    .check = pubsub__local_adapter_check,
    .position_text = pubsub__local_adapter_position_text,
    .position_parse = pubsub__local_adapter_position_parse,
    .init = local_init,
    .connect = local_connect,
    .disconnect = local_disconnect,
    .submit = pubsub__local_adapter_submit,
    .subscribe = pubsub__local_adapter_subscribe,
    .unsubscribe = pubsub__local_adapter_unsubscribe,
    .ack = pubsub__local_adapter_ack,
    .credit = pubsub__local_adapter_credit,
    .wake = local_wake,
    .flush = local_flush,
    .turn = local_turn,
    .close = local_close,
    .fini = local_fini,
};
