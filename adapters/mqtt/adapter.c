/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

/* The table of the MQTT adapter, and the life of an instance. */

static void wake_host(void *ctx)
{
    pubsub_sink_wake(ctx);
}

static void log_host(void *ctx, int level, const char *text)
{
    pubsub_sink_log(ctx, (pubsub_log_level)level, "%s", text);
}

static pubsub_err mqtt_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                            pubsub_error *err)
{
    mqtt_self *self = ctx;
    self->sink = sink;
    self->config = config;
    self->engine = &pubsub__mqtt_paho;
    self->host = (mqtt_host){&pubsub__mqtt_events, NULL, wake_host, sink, log_host};
    pubsub_err rc = pubsub__mqtt_target_check(config, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    const char *version = pubsub_options_get(config->options, "mqtt.version");
    self->wanted_version = version != NULL && strcmp(version, "5") == 0       ? MQTT_V5
                           : version != NULL && strcmp(version, "3.1.1") == 0 ? MQTT_V311
                                                                              : 0;
    self->session_expiry_s = pubsub__mqtt_seconds(config->options, "mqtt.session_expiry");
    const char *order = pubsub_options_get(config->options, "host_order");
    if (order != NULL && strcmp(order, "random") == 0) {
        self->good_host = (size_t)pubsub__rand_below(pubsub__mqtt_host_count(config));
    }
    self->keep_alive_s = (uint16_t)pubsub__mqtt_seconds(config->options, "mqtt.keep_alive");
    const char *id = pubsub_options_get(config->options, "client_id");
    char made[32];
    if (id == NULL) {
        char random[12];
        pubsub__rand_name(random, sizeof(random) - 1);
        (void)snprintf(made, sizeof(made), "pubsub-%s", random);
        id = made;
    }
    self->client_id = pubsub__strdup(id);
    return self->client_id != NULL ? PUBSUB_OK
                                   : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a name");
}

static void mqtt_wake(void *ctx)
{
    mqtt_self *self = ctx;
    for (mqtt_link *link = self->links; link != NULL; link = link->next) {
        if (link->engine != NULL && link->state != MQTT_LINK_GONE) {
            self->engine->run(link->engine);
        }
    }
    pubsub__mqtt_deliver(self);
    pubsub__mqtt_links_sweep(self);
}

static void mqtt_close(void *ctx, pubsub_duration_ms left)
{
    mqtt_self *self = ctx;
    (void)left;
    self->closing = true;
    self->close_wanted = true;
    for (mqtt_link *link = self->links; link != NULL; link = link->next) {
        if (!link->orphan) {
            pubsub__mqtt_link_end(link, false);
        }
    }
    pubsub__mqtt_links_sweep(self);
}

static void mqtt_fini(void *ctx, bool forked)
{
    mqtt_self *self = ctx;
    while (self->links != NULL) {
        mqtt_link *link = self->links;
        self->links = link->next;
        while (link->subs != NULL) {
            mqtt_sub *sub = link->subs;
            link->subs = sub->next;
            pubsub__mqtt_sub_free(sub);
        }
        pubsub__mqtt_link_free(link, forked);
    }
    pubsub_timer_free(self->timer);
    pubsub__free(self->client_id);
    pubsub__free(self->user);
    pubsub__free(self->scratch);
}

static const char *const schemes[] = {"mqtt", "mqtts", "ws", "wss", NULL};

const pubsub_adapter pubsub__adapter_mqtt = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "mqtt",
    .schemes = schemes,
    .summary = "MQTT 5 and 3.1.1, over paho.mqtt.c",
    .options = pubsub__mqtt_option_rows,
    .instance_size = sizeof(mqtt_self),
    .caps = pubsub__mqtt_caps,
    .negotiate = pubsub__mqtt_negotiate,
    .check = pubsub__mqtt_check,
    .init = mqtt_init,
    .connect = pubsub__mqtt_connect,
    .disconnect = pubsub__mqtt_disconnect,
    .submit = pubsub__mqtt_submit,
    .subscribe = pubsub__mqtt_subscribe,
    .unsubscribe = pubsub__mqtt_unsubscribe,
    .ack = pubsub__mqtt_ack,
    .credit = pubsub__mqtt_credit,
    .wake = mqtt_wake,
    .close = mqtt_close,
    .fini = mqtt_fini,
};
