/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* The table of the Kafka adapter, and the life of an instance. */

static pubsub_err kafka_init(void *ctx, const pubsub_adapter_config *config, pubsub_sink *sink,
                             pubsub_error *err)
{
    kaf_self *self = ctx;
    int64_t partitions = 0;
    int64_t replication = -1;
    self->sink = sink;
    self->config = config;
    self->wake_fd = -1;
    self->naming.fold = pubsub_options_get(config->options, "kafka.topic");
    (void)pubsub_options_bool(config->options, "kafka.create", &self->making.create);
    (void)pubsub_options_int(config->options, "kafka.partitions", &partitions);
    if (pubsub_options_int(config->options, "kafka.replication", &replication) != PUBSUB_OK) {
        replication = -1;
    }
    const char *keyless = pubsub_options_get(config->options, "kafka.keyless");
    self->spread = keyless != NULL && strcmp(keyless, "spread") == 0;
    (void)pubsub_options_int(config->options, "kafka.keep_alive", &self->keep_alive);
    atomic_init(&self->stop, false);
    self->making.stop = &self->stop;
    self->making.partitions = (int)partitions;
    self->making.replication = (int)replication;
    /* What librdkafka refuses is the caller's to know now, not when it connects. */
    rd_kafka_conf_t *conf = pubsub__kafka_conf(self, config->options, RD_KAFKA_PRODUCER, err);
    if (conf == NULL) {
        return PUBSUB_EOPTION;
    }
    rd_kafka_conf_destroy(conf);
    self->done = pubsub__calloc(KAF_DONE_MAX, sizeof(*self->done));
    return self->done != NULL ? PUBSUB_OK
                              : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for outcomes");
}

static void kafka_fini(void *ctx, bool forked)
{
    kaf_self *self = ctx;
    pubsub_watch_free(self->watch);
    pubsub_timer_free(self->rest);
    pubsub_timer_free(self->alive);
    pubsub_timer_free(self->again);
    atomic_store(&self->stop, true);
    pubsub__kafka_worker_free(self->worker, forked);
    pubsub__kafka_consumers_free(self, forked);
    pubsub__kafka_topics_free(self, forked);
    if (!forked && self->events != NULL) {
        rd_kafka_queue_destroy(self->events);
    }
    if (!forked && self->producer != NULL) {
        rd_kafka_destroy(self->producer);
    }
    if (self->wake_fd >= 0) {
        close(self->wake_fd);
    }
    pubsub__free(self->done);
}

/* ---- positions: partition and offset ------------------------------------------------------------- */

static size_t position_text(const pubsub_position *position, char *text, size_t size)
{
    return (size_t)snprintf(text, size, "%" PRIu64 ":%" PRIu64, position->word[0],
                            position->word[1]);
}

/* Digits up to `end`, at most 18 of them. */
static bool read_number(const char **text, char end, uint64_t *out)
{
    const char *at = *text;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9' && at - *text < 18; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    bool good = at > *text && *at == end;
    *out = value;
    *text = good && end != '\0' ? at + 1 : at;
    return good;
}

static pubsub_err position_parse(const char *text, pubsub_position *out, pubsub_error *err)
{
    const char *at = text;
    uint64_t partition = 0;
    uint64_t offset = 0;
    if (!read_number(&at, ':', &partition) || !read_number(&at, '\0', &offset) ||
        partition > INT32_MAX) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "a position in Kafka is partition:offset, like 3:1200, not '%.40s'",
                                text);
    }
    out->word[0] = partition;
    out->word[1] = offset;
    return PUBSUB_OK;
}

static const char *const schemes[] = {"kafka", "kafka+ssl", NULL};

const pubsub_adapter pubsub__adapter_kafka = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "kafka",
    .schemes = schemes,
    .summary = "Apache Kafka, over librdkafka",
    .options = pubsub__kafka_option_rows,
    .instance_size = sizeof(kaf_self),
    .caps = pubsub__kafka_caps,
    .negotiate = pubsub__kafka_negotiate,
    .check = pubsub__kafka_check,
    .position_text = position_text,
    .position_parse = position_parse,
    .init = kafka_init,
    .connect = pubsub__kafka_connect,
    .disconnect = pubsub__kafka_disconnect,
    .submit = pubsub__kafka_submit,
    .subscribe = pubsub__kafka_subscribe,
    .unsubscribe = pubsub__kafka_unsubscribe,
    .ack = pubsub__kafka_ack,
    .credit = pubsub__kafka_credit,
    .wake = pubsub__kafka_wake,
    .flush = pubsub__kafka_flush,
    .close = pubsub__kafka_close,
    .fini = kafka_fini,
};
