/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <stdio.h>
#include <string.h>

/* The table of the Redis adapter, and the life of an instance. */

static pubsub_duration_ms number(const pubsub_adapter_config *config, const char *name)
{
    int64_t value = 0;
    (void)pubsub_options_int(config->options, name, &value);
    return value;
}

static pubsub_err redis_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                             pubsub_error *err)
{
    redis_self *self = ctx;
    char name[64];
    self->sink = sink;
    self->config = config;
    self->streams = pubsub__redis_is_streams(config);
    self->keep_alive = number(config, "redis.keep_alive");
    self->lease = number(config, "redis.lease");
    self->max_len = (uint64_t)number(config, "redis.max_len");
    self->inbox = pubsub_options_get(config->options, "inbox");
    pubsub_err rc = pubsub__redis_database(config, &self->database, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub__redis_caps(config, &self->caps, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__rand_name(self->tag, 12);
    (void)snprintf(name, sizeof(name), "pubsub-%s", self->tag);
    const char *id = pubsub_options_get(config->options, "client_id");
    self->name = pubsub__strdup(id != NULL && strpbrk(id, " \n\r\t") == NULL ? id : name);
    return self->name != NULL ? PUBSUB_OK
                              : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a name");
}

static void redis_fini(void *ctx, bool forked)
{
    redis_self *self = ctx;
    (void)forked; /* the transports know */
    while (self->subs != NULL) {
        redis_sub *sub = self->subs;
        self->subs = sub->next;
        pubsub__redis_sub_free(sub);
    }
    while (self->links != NULL) {
        redis_link *link = self->links;
        self->links = link->next;
        pubsub__redis_conn_free(link->conn, link->kind != REDIS_LINK_HUB);
        pubsub__free(link);
    }
    while (self->ops != NULL) {
        redis_op *op = self->ops;
        self->ops = op->next;
        pubsub__free(op->data);
        pubsub__free(op);
    }
    pubsub__redis_channels_free(self);
    pubsub_timer_free(self->timer);
    pubsub__free(self->known);
    pubsub__free(self->name);
}

static size_t position_text(const pubsub_position *position, char *text, size_t size)
{
    char id[REDIS_ID_TEXT];
    size_t len = pubsub__redis_id_text(position->word, id);
    if (size > 0) {
        size_t kept = len < size ? len : size - 1;
        memcpy(text, id, kept);
        text[kept] = '\0';
    }
    return len;
}

static pubsub_err position_parse(const char *text, pubsub_position *out, pubsub_error *err)
{
    extern const pubsub_adapter pubsub__adapter_redis;
    if (!pubsub__redis_id_parse(text, strlen(text), out->word)) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "'%.60s' is not a position of redis, such as 1526919030474-0",
                                text);
    }
    out->adapter = &pubsub__adapter_redis;
    return PUBSUB_OK;
}

static const char *const schemes[] = {"redis", "rediss", "redis+streams", "rediss+streams", NULL};

const pubsub_adapter pubsub__adapter_redis = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "redis",
    .schemes = schemes,
    .summary = "Redis, pub/sub and streams",
    .options = pubsub__redis_option_rows,
    .instance_size = sizeof(redis_self),
    .caps = pubsub__redis_caps,
    .negotiate = pubsub__redis_negotiate,
    .check = pubsub__redis_check,
    .position_text = position_text,
    .position_parse = position_parse,
    .init = redis_init,
    .connect = pubsub__redis_connect,
    .disconnect = pubsub__redis_disconnect,
    .submit = pubsub__redis_submit,
    .subscribe = pubsub__redis_subscribe,
    .unsubscribe = pubsub__redis_unsubscribe,
    .ack = pubsub__redis_ack,
    .credit = pubsub__redis_credit,
    .flush = pubsub__redis_flush,
    .turn = pubsub__redis_turn,
    .close = pubsub__redis_close,
    .fini = redis_fini,
    .flags = PUBSUB_ADAPTER_TRANSPORT,
};
