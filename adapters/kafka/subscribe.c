/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "topic/container.h"

#include <string.h>

/* The members of the adapter for subscriptions, and what all consumers share. */

/* ---- what a subscription asks for -------------------------------------------------------------------- */

static bool add_name(kaf_sub *sub, const char *name)
{
    for (size_t i = 0; i < sub->name_count; i++) {
        if (strcmp(sub->names[i], name) == 0) {
            return true; /* two topics, one container */
        }
    }
    sub->names[sub->name_count] = pubsub__strdup(name);
    return sub->names[sub->name_count] != NULL && ++sub->name_count > 0;
}

static pubsub_err add_expr(kaf_sub *sub, pubsub_bytes pattern, pubsub_error *err)
{
    char text[PUBSUB__CONTAINER_REGEX_BUF];
    size_t at = sub->expr_count;
    pubsub_err rc = pubsub__container_pattern(PUBSUB__CONTAINER_KAFKA, pattern.data, pattern.len,
                                              text, sizeof(text), NULL, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (regcomp(&sub->exprs[at], text, REG_EXTENDED | REG_NOSUB) != 0) {
        return pubsub_error_set(err, PUBSUB_EPATTERN, "the pattern is too long for an expression");
    }
    sub->texts[at] = pubsub__strdup(text);
    if (sub->texts[at] == NULL) {
        regfree(&sub->exprs[at]);
        return PUBSUB_ENOMEM;
    }
    sub->expr_count++;
    return PUBSUB_OK;
}

static pubsub_err add_pattern(kaf_sub *sub, pubsub_bytes pattern, pubsub_error *err)
{
    char name[KAF_NAME_MAX + 1];
    size_t len = 0;
    const kaf_naming *naming = &sub->self->naming;
    if (naming->fold == NULL && !pubsub_pattern_is_literal(pattern.data, pattern.len)) {
        return add_expr(sub, pattern, err);
    }
    pubsub_err rc = pubsub__kafka_container(naming, pattern, name, &len, err);
    return rc != PUBSUB_OK ? rc : add_name(sub, name) ? PUBSUB_OK : PUBSUB_ENOMEM;
}

static pubsub_err read_request(kaf_sub *sub, pubsub_error *err)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    size_t count = request->pattern_count;
    const char *name = request->group[0] != '\0' ? request->group : request->durable;
    sub->grouped = name[0] != '\0';
    sub->durable = request->durable[0] != '\0';
    sub->no_ack = request->qos == PUBSUB_AT_MOST_ONCE;
    sub->group = pubsub__strdup(name);
    sub->names = pubsub__calloc(count, sizeof(char *));
    sub->texts = pubsub__calloc(count, sizeof(char *));
    sub->exprs = pubsub__calloc(count, sizeof(regex_t));
    pubsub_err rc =
        sub->group != NULL && sub->names != NULL && sub->texts != NULL && sub->exprs != NULL
            ? PUBSUB_OK
            : PUBSUB_ENOMEM;
    for (size_t i = 0; rc == PUBSUB_OK && i < count; i++) {
        rc = add_pattern(sub, request->patterns[i], err);
    }
    if (rc == PUBSUB_OK && count == 1 &&
        pubsub_pattern_is_literal(request->patterns[0].data, request->patterns[0].len)) {
        sub->literal = request->patterns[0];
        sub->inbox = !sub->grouped && strcmp(sub->names[0], KAF_CONTAINER_INBOX) == 0;
    }
    if (rc == PUBSUB_ENOMEM) {
        pubsub_error_set(err, rc, "no memory for a subscription");
    }
    return rc;
}

/* ---- members ------------------------------------------------------------------------------------------------ */

static kaf_sub *sub_new(kaf_self *self, pubsub_spi_subscription *spi, pubsub_error *err)
{
    kaf_sub *sub = pubsub__calloc(1, sizeof(*sub));
    if (sub == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
        return NULL;
    }
    sub->self = self;
    sub->spi = spi;
    if (read_request(sub, err) != PUBSUB_OK) {
        sub->spi = NULL;
        pubsub__kafka_sub_reap(sub);
        return NULL;
    }
    sub->next = self->subs;
    self->subs = sub;
    spi->data = sub;
    return sub;
}

void pubsub__kafka_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    kaf_self *self = ctx;
    kaf_sub *sub = subscription->data;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool again = sub != NULL;
    sub = again ? sub : sub_new(self, subscription, &err);
    if (sub == NULL) {
        pubsub_sink_subscribed(self->sink, subscription, NULL, &err);
        return;
    }
    subscription->native_nack = false;
    subscription->broker_redelivers = sub->grouped;
    subscription->lazy_ack = !sub->grouped;
    sub->answered = sub->lost = false;
    if (sub->grouped) {
        pubsub__kafka_group_begin(sub);
    } else {
        pubsub__kafka_assign_begin(sub);
    }
}

void pubsub__kafka_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    kaf_self *self = ctx;
    kaf_sub *sub = subscription->data;
    if (sub == NULL) {
        return;
    }
    subscription->data = NULL;
    for (kaf_sub **at = &self->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            break;
        }
    }
    sub->spi = NULL;
    sub->jobs++; /* until this is through */
    pubsub__kafka_consumer_leave(sub, forget && sub->grouped);
    sub->jobs--;
    pubsub__kafka_sub_reap(sub);
}

void pubsub__kafka_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    kaf_self *self = ctx;
    kaf_sub *sub = subscription->data;
    if (sub != NULL && sub->consumer != NULL) {
        sub->empty = false;
        pubsub__kafka_consumers_serve(self);
    }
}

static void settle(const pubsub_spi_ack *ack)
{
    kaf_sub *sub = ack->subscription->data;
    kaf_consumer *consumer = sub == NULL ? NULL : sub->consumer;
    uint32_t slot = (uint32_t)ack->token;
    if (consumer == NULL || !sub->grouped || slot >= consumer->part_count ||
        ack->token >> 32 != consumer->parts[slot]->epoch) {
        return;
    }
    if (consumer->stage == KAF_STAGE_REVOKED && consumer->left > 0) {
        consumer->left--;
    }
    kaf_part *part = consumer->parts[slot];
    if (ack->settle == PUBSUB_SPI_ACK &&
        pubsub__kafka_window_settle(&part->window, (int64_t)ack->position[1])) {
        if (part->paused && !pubsub__kafka_window_is_full(&part->window)) {
            pubsub__kafka_pause(consumer, part, false);
        }
        pubsub__kafka_commit_soon(consumer);
    }
    if (consumer->stage == KAF_STAGE_REVOKED && consumer->left == 0) {
        pubsub__kafka_tick_at(sub->self, 1);
    }
}

void pubsub__kafka_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        settle(&acks[i]);
    }
}

/* ---- flush ------------------------------------------------------------------------------------------------- */

static bool all_committed(const kaf_self *self)
{
    for (const kaf_consumer *at = self->consumers; at != NULL; at = at->next) {
        if (at->grouped && !pubsub__kafka_commit_done(at)) {
            return false;
        }
    }
    return true;
}

bool pubsub__kafka_flush(void *ctx)
{
    kaf_self *self = ctx;
    for (kaf_consumer *at = self->consumers; at != NULL; at = at->next) {
        if (at->grouped && at->stage == KAF_STAGE_READING) {
            (void)pubsub__kafka_commit_now(at);
        }
    }
    self->flush_asked = !all_committed(self);
    return !self->flush_asked;
}

void pubsub__kafka_flushed(kaf_self *self)
{
    if (self->flush_asked && all_committed(self)) {
        self->flush_asked = false;
        pubsub_sink_flushed(self->sink);
    }
}

/* ---- turns -------------------------------------------------------------------------------------------------- */

static void on_tick(void *ctx)
{
    kaf_self *self = ctx;
    uint64_t now = pubsub__clock_mono_ns();
    kaf_consumer *next = NULL;
    self->tick_ns = 0;
    for (kaf_consumer *at = self->consumers; at != NULL; at = next) {
        next = at->next;
        if (at->stage == KAF_STAGE_CLOSING) {
            continue;
        }
        if (at->grouped) {
            pubsub__kafka_group_tick(at, now);
        } else {
            pubsub__kafka_assign_tick(at, now);
        }
        pubsub__kafka_receive_tick(at, now);
    }
    pubsub__kafka_consumers_serve(self);
}

void pubsub__kafka_tick_at(kaf_self *self, uint64_t when_ns)
{
    if (self->tick == NULL && !self->closing) {
        self->tick = pubsub_timer_new(self->sink, on_tick, self);
    }
    if (self->tick == NULL || (self->tick_ns != 0 && self->tick_ns <= when_ns)) {
        return;
    }
    uint64_t now = pubsub__clock_mono_ns();
    self->tick_ns = when_ns;
    pubsub_timer_start(
        self->tick, when_ns <= now ? 0 : (pubsub_duration_ms)((when_ns - now + 999999) / 1000000));
}

void pubsub__kafka_consumers_serve(kaf_self *self)
{
    bool more = false;
    kaf_consumer *next = NULL;
    for (kaf_consumer *at = self->consumers; at != NULL; at = next) {
        next = at->next;
        if (at->stage == KAF_STAGE_CLOSING) {
            continue;
        }
        if (at->grouped) {
            pubsub__kafka_commits_serve(at);
        }
        more = pubsub__kafka_receive(at) || more;
    }
    if (more) {
        pubsub__kafka_tick_at(self, 1);
    }
}
