/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The table of the AMQP adapter, and the life of an instance. */

static pubsub_err amqp_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                            pubsub_error *err)
{
    amq_self *self = ctx;
    self->sink = sink;
    self->config = config;
    self->pub_conn.self = self;
    self->sub_conn.self = self;
    self->exchange = pubsub_options_get(config->options, "amqp.exchange");
    self->exchange_type = pubsub_options_get(config->options, "amqp.exchange_type");
    self->stream = pubsub__amqp_stream_name(config);
    (void)pubsub_options_bool(config->options, "amqp.mandatory", &self->mandatory);
    pubsub__amqp_naming(config, &self->naming);
    pubsub__rand_name(self->tag, AMQ_ID_TAG);
    if (self->naming.plain && self->stream != NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "amqp.stream needs an exchange that fills it; the empty one does "
                                "not");
    }
    return pubsub__amqp_pub_init(self, err) ? PUBSUB_OK : PUBSUB_ENOMEM;
}

static void amqp_turn(void *ctx)
{
    amq_self *self = ctx;
    pubsub__amqp_give_all(self);
    (void)pubsub__amqp_conn_flush(&self->pub_conn);
    (void)pubsub__amqp_conn_flush(&self->sub_conn);
}

static void amqp_close(void *ctx, pubsub_duration_ms left)
{
    amq_self *self = ctx;
    (void)left;
    self->closing = true;
    self->close_wanted = true;
    pubsub__amqp_conn_close(&self->pub_conn);
    pubsub__amqp_conn_close(&self->sub_conn);
    pubsub__amqp_closed_say(self);
}

static void amqp_fini(void *ctx, bool forked)
{
    amq_self *self = ctx;
    (void)forked; /* the transport knows */
    pubsub__amqp_conn_free(&self->pub_conn);
    pubsub__amqp_conn_free(&self->sub_conn);
    while (self->subs != NULL) {
        pubsub__amqp_sub_free(self->subs);
    }
    pubsub__amqp_pub_fini(self);
}

/* ---- positions: the offset in a stream -------------------------------------------------------- */

static const char offset_prefix[] = "offset-";

static size_t position_text(const pubsub_position *position, char *text, size_t size)
{
    return (size_t)snprintf(text, size, "%s%" PRIu64, offset_prefix, position->word[0]);
}

static pubsub_err position_parse(const char *text, pubsub_position *out, pubsub_error *err)
{
    size_t at = sizeof(offset_prefix) - 1;
    uint64_t value = 0;
    bool good = strncmp(text, offset_prefix, at) == 0 && text[at] != '\0' && strlen(text) < at + 19;
    for (; good && text[at] != '\0'; at++) {
        good = text[at] >= '0' && text[at] <= '9';
        value = value * 10 + (uint64_t)(text[at] - '0');
    }
    if (!good) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "a position in a stream looks like offset-123, not '%.40s'", text);
    }
    out->word[0] = value;
    out->word[1] = 0;
    return PUBSUB_OK;
}

static const char *const schemes[] = {"amqp", "amqps", NULL};

const pubsub_adapter pubsub__adapter_amqp = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "amqp",
    .schemes = schemes,
    .summary = "AMQP 0-9-1 (RabbitMQ), over rabbitmq-c as codec",
    .options = pubsub__amqp_option_rows,
    .instance_size = sizeof(amq_self),
    .caps = pubsub__amqp_caps,
    .negotiate = pubsub__amqp_negotiate,
    .check = pubsub__amqp_check,
    .position_text = position_text,
    .position_parse = position_parse,
    .init = amqp_init,
    .connect = pubsub__amqp_connect,
    .disconnect = pubsub__amqp_disconnect,
    .submit = pubsub__amqp_submit,
    .subscribe = pubsub__amqp_subscribe,
    .unsubscribe = pubsub__amqp_unsubscribe,
    .ack = pubsub__amqp_ack,
    .credit = pubsub__amqp_credit,
    .turn = amqp_turn,
    .close = amqp_close,
    .fini = amqp_fini,
    .flags = PUBSUB_ADAPTER_TRANSPORT,
};
