/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

/* Subscriptions. */

void pubsub__kafka_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    kaf_self *self = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, PUBSUB_ENOTSUP, "this adapter cannot subscribe yet");
    pubsub_sink_subscribed(self->sink, subscription, NULL, &error);
}

void pubsub__kafka_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    (void)ctx;
    (void)forget;
    subscription->data = NULL;
}

void pubsub__kafka_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    (void)ctx;
    (void)acks;
    (void)count;
}

void pubsub__kafka_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    (void)ctx;
    (void)subscription;
}

bool pubsub__kafka_flush(void *ctx)
{
    (void)ctx;
    return true;
}

void pubsub__kafka_consumers_serve(kaf_self *self)
{
    (void)self;
}

bool pubsub__kafka_consumers_close(kaf_self *self)
{
    (void)self;
    return true;
}

void pubsub__kafka_consumers_free(kaf_self *self, bool forked)
{
    (void)self;
    (void)forked;
}
