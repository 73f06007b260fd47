/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"

#include <string.h>

/* The members of the adapter for subscriptions: which of the two kinds each is. */

static redis_sub *sub_new(redis_self *self, pubsub_spi_subscription *spi)
{
    redis_sub *sub = pubsub__calloc(1, sizeof(*sub));
    if (sub != NULL) {
        sub->self = self;
        sub->spi = spi;
        sub->next = self->subs;
        self->subs = sub;
        pubsub__buf_init(&sub->backlog, SIZE_MAX / 4);
        spi->data = sub;
    }
    return sub;
}

void pubsub__redis_sub_free(redis_sub *sub)
{
    for (size_t i = 0; i < sub->topic_count; i++) {
        pubsub__free(sub->topics[i].name);
    }
    pubsub_block_discard(sub->block);
    pubsub__buf_fini(&sub->backlog);
    pubsub_timer_free(sub->timer);
    pubsub__free(sub->channels);
    pubsub__free(sub->topics);
    pubsub__free(sub->group);
    pubsub__free(sub->consumer);
    pubsub__free(sub->former);
    pubsub__free(sub->lock);
    pubsub__free(sub->token);
    pubsub__free(sub->meta);
    pubsub__free(sub->again);
    pubsub__free(sub);
}

void pubsub__redis_refuse(redis_sub *sub, const pubsub_error *err)
{
    pubsub_sink_subscribed(sub->self->sink, sub->spi, NULL, err);
}

void pubsub__redis_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    redis_self *self = ctx;
    redis_sub *sub = subscription->data;
    bool shared =
        subscription->request.group[0] != '\0' || subscription->request.durable[0] != '\0';
    subscription->native_nack = self->streams && shared;
    subscription->broker_redelivers = self->streams && shared;
    subscription->lazy_ack = !shared;
    if (sub == NULL) {
        sub = sub_new(self, subscription);
    }
    if (sub == NULL) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory for a subscription");
        pubsub_sink_subscribed(self->sink, subscription, NULL, &err);
        return;
    }
    sub->answered = false;
    if (self->streams) {
        pubsub__redis_stream_begin(sub);
    } else {
        pubsub__redis_pubsub_begin(sub);
    }
}

void pubsub__redis_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    redis_self *self = ctx;
    redis_sub *sub = subscription->data;
    if (sub == NULL) {
        return;
    }
    if (self->streams) {
        pubsub__redis_stream_end(sub, forget);
    } else {
        pubsub__redis_pubsub_end(sub);
    }
    pubsub__redis_ops_leave(sub);
    for (redis_sub **at = &self->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            break;
        }
    }
    subscription->data = NULL;
    pubsub__redis_sub_free(sub);
}

void pubsub__redis_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    redis_self *self = ctx;
    redis_sub *sub = subscription->data;
    if (sub != NULL && self->streams) {
        pubsub__redis_stream_read(sub);
    } else if (sub != NULL) {
        pubsub__redis_pubsub_credit(sub);
    }
}

void pubsub__redis_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    redis_self *self = ctx;
    for (size_t at = 0; self->streams && at < count;) {
        redis_sub *sub = acks[at].subscription->data;
        size_t n = 1;
        while (at + n < count && acks[at + n].subscription == acks[at].subscription) {
            n++;
        }
        if (sub != NULL && sub->group != NULL) {
            pubsub__redis_stream_ack(sub, acks + at, n);
        }
        at += n;
    }
}

bool pubsub__redis_flush(void *ctx)
{
    redis_self *self = ctx;
    self->flush_asked = self->acks > 0;
    return self->acks == 0;
}
