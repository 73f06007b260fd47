/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"
#include "mqtt/map.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <string.h>

/* From a PUBLISH of the broker to the blocks of the subscriptions it belongs to. */

#define BLOCK_BYTES ((size_t)128 * 1024)

static void unref(mqtt_self *self, mqtt_message *message)
{
    if (--message->refs == 0) {
        self->engine->message_free(message);
    }
}

static size_t weight(const mqtt_message *message)
{
    return sizeof(*message) + pubsub__mqtt_decode_need(message);
}

static bool grow(mqtt_sub *sub)
{
    size_t cap = sub->backlog_cap == 0 ? 64 : sub->backlog_cap * 2;
    mqtt_message **ring = pubsub__alloc(cap * sizeof(mqtt_message *));
    if (ring == NULL) {
        return false;
    }
    for (size_t i = 0; i < sub->backlog_count; i++) {
        ring[i] = sub->backlog[(sub->backlog_at + i) % sub->backlog_cap];
    }
    pubsub__free(sub->backlog);
    sub->backlog = ring;
    sub->backlog_cap = cap;
    sub->backlog_at = 0;
    return true;
}

static void drop(mqtt_sub *sub, uint64_t count)
{
    pubsub_gap gap = {"overflow: handlers are slower than the messages", PUBSUB_POSITION_NONE,
                      PUBSUB_POSITION_NONE, 0};
    if (sub->dropped == 0) { /* once for each episode */
        pubsub_sink_gap(sub->self->sink, sub->spi, &gap);
    }
    sub->dropped += count;
}

static void make_dirty(mqtt_sub *sub)
{
    if (!sub->dirty) {
        sub->dirty = true;
        sub->next_dirty = sub->self->dirty;
        sub->self->dirty = sub;
    }
}

static void add(mqtt_sub *sub, mqtt_message *message)
{
    uint64_t bytes = weight(message);
    int64_t limit = 0;
    (void)pubsub_options_int(sub->spi->request.options, "mqtt.backlog", &limit);
    /* What there is credit for does not count; it leaves at the end of this turn. */
    uint64_t max = (uint64_t)limit + sub->spi->request.prefetch_bytes;
    if (sub->backlog_count > 0 && sub->backlog_bytes + bytes > max) {
        drop(sub, 1);
        return;
    }
    if (sub->backlog_count == sub->backlog_cap && !grow(sub)) {
        drop(sub, 1);
        return;
    }
    sub->backlog[(sub->backlog_at + sub->backlog_count++) % sub->backlog_cap] = message;
    sub->backlog_bytes += bytes;
    message->refs++;
    make_dirty(sub);
}

void pubsub__mqtt_backlog_clear(mqtt_sub *sub)
{
    while (sub->backlog_count > 0) {
        unref(sub->self, sub->backlog[sub->backlog_at]);
        sub->backlog_at = (sub->backlog_at + 1) % sub->backlog_cap;
        sub->backlog_count--;
    }
    pubsub__free(sub->backlog);
    sub->backlog = NULL;
    sub->backlog_cap = sub->backlog_at = 0;
    sub->backlog_bytes = 0;
    for (mqtt_sub **at = &sub->self->dirty; sub->dirty && *at != NULL; at = &(*at)->next_dirty) {
        if (*at == sub) {
            *at = sub->next_dirty;
            break;
        }
    }
    sub->dirty = false;
}

/* ---- whose it is --------------------------------------------------------------------------------- */

/* The first pattern of a subscription that matches; pattern_count when none does. */
static size_t first_match(const mqtt_sub *sub, pubsub_bytes topic)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    size_t i = 0;
    while (i < request->pattern_count &&
           !pubsub_topic_matches(request->patterns[i].data, request->patterns[i].len, topic.data,
                                 topic.len)) {
        i++;
    }
    return i;
}

static bool has_id(const mqtt_message *message, uint32_t id)
{
    for (uint32_t i = 0; i < message->id_count; i++) {
        if (message->ids[i] == id) {
            return true;
        }
    }
    return false;
}

static bool knows_none(const mqtt_sub *sub, const mqtt_message *message)
{
    for (size_t i = 0; i < sub->spi->request.pattern_count; i++) {
        if (has_id(message, sub->ids[i])) {
            return false;
        }
    }
    return true;
}

/* The broker sends a copy for each filter that matches (MQTT 5 section 3.3.4), so of several patterns of
 * one subscription only the first that matches counts; else members of a group and durable names would
 * handle one message twice. */
static bool is_for(const mqtt_sub *sub, const mqtt_message *message)
{
    size_t count = sub->spi->request.pattern_count;
    if (message->retain && !sub->retained) {
        return false;
    }
    /* The session of a durable name may hold messages of filters that its user had before. */
    bool foreign = sub->link->kind == MQTT_LINK_DURABLE && knows_none(sub, message);
    if (message->id_count == 0 || message->ids_cut || foreign) {
        return first_match(sub, message->topic) < count;
    }
    if (count == 1) {
        return has_id(message, sub->ids[0]);
    }
    size_t first = first_match(sub, message->topic);
    return first < count && has_id(message, sub->ids[first]);
}

void pubsub__mqtt_message(void *host, mqtt_message *message)
{
    mqtt_link *link = host;
    mqtt_self *self = link->self;
    self->progress++;
    message->refs = 1;
    for (mqtt_sub *sub = link->subs; sub != NULL; sub = sub->next) {
        if (is_for(sub, message)) {
            add(sub, message);
        }
    }
    unref(self, message);
}

void pubsub__mqtt_overflowed(void *host, uint64_t count)
{
    mqtt_link *link = host;
    for (mqtt_sub *sub = link->subs; sub != NULL; sub = sub->next) {
        drop(sub, count);
        make_dirty(sub);
    }
}

/* ---- to the core ---------------------------------------------------------------------------------- */

static mqtt_message *nth(const mqtt_sub *sub, size_t i)
{
    return sub->backlog[(sub->backlog_at + i) % sub->backlog_cap];
}

/* How many from the front go into one block, and how big it gets. */
static size_t take_count(const mqtt_sub *sub, uint32_t messages, uint64_t credit, size_t *bytes)
{
    size_t count = 0;
    uint64_t payload = 0;
    *bytes = 0;
    while (count < sub->backlog_count && count < messages && count < PUBSUB_BLOCK_MESSAGES) {
        size_t need = pubsub__mqtt_decode_need(nth(sub, count));
        if (count > 0 && (*bytes + need > BLOCK_BYTES || payload + need > credit)) {
            break;
        }
        *bytes += need;
        payload += need;
        count++;
    }
    return count;
}

/* False: no memory now. */
static bool give_block(mqtt_sub *sub, uint32_t messages, uint64_t credit)
{
    mqtt_self *self = sub->self;
    size_t bytes = 0;
    size_t count = take_count(sub, messages, credit, &bytes);
    pubsub_block *block = pubsub_sink_block(self->sink, count, bytes);
    if (block == NULL) {
        return false;
    }
    bool filter = sub->superset && sub->spi->request.pattern_count == 1;
    for (size_t i = 0; i < count; i++) {
        mqtt_message *message = nth(sub, 0);
        pubsub_spi_message *out = pubsub_block_message(block);
        pubsub__mqtt_decode(message, block, out);
        out->flags |= filter ? PUBSUB_SPI_FILTER : 0u;
        out->token = message->packet_id;
        sub->backlog_bytes -= weight(message);
        sub->backlog_at = (sub->backlog_at + 1) % sub->backlog_cap;
        sub->backlog_count--;
        unref(self, message);
    }
    pubsub_sink_messages(self->sink, sub->spi, block);
    return true;
}

/* True when it waits for memory. */
static bool give(mqtt_sub *sub)
{
    uint32_t messages = 0;
    uint64_t bytes = 0;
    while (sub->backlog_count > 0) {
        if (!pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &bytes)) {
            return false;
        }
        if (!give_block(sub, messages, bytes)) {
            return true;
        }
    }
    if (sub->dropped > 0) {
        pubsub_sink_log(sub->self->sink, PUBSUB_LOG_WARN, "'%s': %" PRIu64 " messages dropped",
                        (const char *)sub->spi->request.patterns[0].data, sub->dropped);
        sub->dropped = 0;
    }
    return false;
}

void pubsub__mqtt_deliver(mqtt_self *self)
{
    mqtt_sub *again = NULL;
    while (self->dirty != NULL) {
        mqtt_sub *sub = self->dirty;
        self->dirty = sub->next_dirty;
        sub->dirty = false;
        if (give(sub)) {
            sub->next_dirty = again;
            again = sub;
        }
    }
    while (again != NULL) {
        mqtt_sub *sub = again;
        again = sub->next_dirty;
        make_dirty(sub);
    }
}

void pubsub__mqtt_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    mqtt_self *self = ctx;
    mqtt_sub *sub = subscription->data;
    if (sub != NULL && sub->backlog_count > 0) {
        make_dirty(sub);
        pubsub__mqtt_deliver(self);
    }
}

void pubsub__mqtt_ack(void *ctx, const pubsub_spi_ack *acks, size_t count)
{
    mqtt_self *self = ctx;
    if (!self->engine->withholds_acks) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        mqtt_sub *sub = acks[i].subscription->data;
        if (sub != NULL && acks[i].settle == PUBSUB_SPI_ACK) {
            self->engine->ack(sub->link->engine, (uint16_t)acks[i].token);
        }
    }
}
