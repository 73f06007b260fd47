/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

/* From basic.deliver, a content header and a body to the blocks of the core: each byte is copied once.
 * What the core has no credit for waits here; the broker sends no more than the prefetch. */

#define BLOCK_BYTES ((size_t)128 * 1024)
/* A body beyond this is no message but a mistake; RabbitMQ allows at most half of it. */
#define BODY_MAX (UINT64_C(1) << 30)
#define ALIGN 8u

/* A block that is complete and waits for credit. */
struct amq_held {
    struct amq_held *next;
    pubsub_block *block;
};

static void make_dirty(amq_sub *sub)
{
    if (!sub->dirty) {
        sub->dirty = true;
        sub->next_dirty = sub->self->dirty;
        sub->self->dirty = sub;
    }
}

/* ---- to the core ------------------------------------------------------------------------------ */

/* A block may go beyond what is left, by less than its own size: see block_limit and count_limit. The core
 * calls back only after it said that nothing is left. */
static bool has_credit(amq_sub *sub)
{
    uint32_t messages = 0;
    uint64_t bytes = 0;
    /* Without acks the core counts what is too much. */
    return sub->no_ack || pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &bytes);
}

static void give_held(amq_sub *sub)
{
    while (sub->held != NULL && has_credit(sub)) {
        struct amq_held *held = sub->held;
        sub->held = held->next;
        pubsub_sink_messages(sub->self->sink, sub->spi, held->block);
        pubsub__free(held);
    }
    if (sub->held == NULL) {
        sub->held_end = &sub->held;
    }
}

/* The open block is complete: give it, or have it wait. */
static void close_block(amq_sub *sub)
{
    pubsub_block *block = sub->open;
    sub->open = NULL;
    sub->open_bytes = 0;
    if (block == NULL) {
        return;
    }
    give_held(sub);
    struct amq_held *held = NULL;
    if (sub->held != NULL || !has_credit(sub)) {
        held = pubsub__calloc(1, sizeof(*held));
    }
    if (held == NULL) { /* or no memory to have it wait: then credit is exceeded */
        pubsub_sink_messages(sub->self->sink, sub->spi, block);
        return;
    }
    held->block = block;
    *sub->held_end = held;
    sub->held_end = &held->next;
}

static bool is_arriving(const amq_sub *sub)
{
    return sub->channel != NULL && sub->channel->body != NULL;
}

void pubsub__amqp_give_all(amq_self *self)
{
    while (self->dirty != NULL) {
        amq_sub *sub = self->dirty;
        self->dirty = sub->next_dirty;
        sub->dirty = false;
        if (sub->open != NULL && pubsub_block_count(sub->open) > 0 && !is_arriving(sub)) {
            close_block(sub);
        }
    }
}

void pubsub__amqp_credit(void *ctx, pubsub_spi_subscription *subscription)
{
    amq_sub *sub = subscription->data;
    (void)ctx;
    if (sub != NULL) {
        give_held(sub);
    }
}

void pubsub__amqp_received_clear(amq_sub *sub)
{
    pubsub_block_discard(sub->open);
    sub->open = NULL;
    sub->open_bytes = 0;
    while (sub->held != NULL) {
        struct amq_held *held = sub->held;
        sub->held = held->next;
        pubsub_block_discard(held->block);
        pubsub__free(held);
    }
    sub->held_end = &sub->held;
    for (amq_sub **at = &sub->self->dirty; sub->dirty && *at != NULL; at = &(*at)->next_dirty) {
        if (*at == sub) {
            *at = sub->next_dirty;
            break;
        }
    }
    sub->dirty = false;
}

/* ---- from the broker -------------------------------------------------------------------------- */

static bool begin_content(amq_channel *channel, amqp_method_number_t method)
{
    if (channel->content != 0) {
        return false; /* the one before is not complete */
    }
    channel->content = method;
    channel->has_header = false;
    channel->body = NULL;
    return true;
}

bool pubsub__amqp_deliver(amq_channel *channel, const amqp_basic_deliver_t *deliver)
{
    if (!begin_content(channel, AMQP_BASIC_DELIVER_METHOD) ||
        deliver->routing_key.len > AMQ_SHORT_MAX) {
        return false;
    }
    channel->tag = deliver->delivery_tag;
    channel->redelivered = deliver->redelivered != 0;
    channel->by_name = deliver->exchange.len == 0;
    channel->key_len = (uint8_t)deliver->routing_key.len;
    if (channel->key_len > 0) {
        memcpy(channel->key, deliver->routing_key.bytes, channel->key_len);
    }
    return true;
}

bool pubsub__amqp_return(amq_channel *channel, const amqp_basic_return_t *returned)
{
    (void)returned;
    return begin_content(channel, AMQP_BASIC_RETURN_METHOD);
}

static size_t block_limit(const amq_sub *sub)
{
    uint64_t part = sub->spi->request.prefetch_bytes / 8;
    return sub->no_ack || part > BLOCK_BYTES ? BLOCK_BYTES : (size_t)part;
}

/* Of a queue no more than the prefetch comes anyway; a stream sends whole chunks. */
static size_t count_limit(const amq_sub *sub)
{
    size_t part = (size_t)sub->spi->request.prefetch / 8 + 1;
    return !sub->queue.stream || part > PUBSUB_BLOCK_MESSAGES ? PUBSUB_BLOCK_MESSAGES : part;
}

/* A block with room for a message: the open one, or one for as many such as are probably there. */
static bool find_block(amq_channel *channel, size_t need)
{
    amq_sub *sub = channel->sub;
    size_t left = channel->conn->parse_left;
    size_t limit = block_limit(sub);
    size_t frames = (size_t)(channel->body_size / (channel->conn->frame_max - AMQ_FRAME_REST)) + 1;
    bool whole = left >= channel->body_size + frames * AMQ_FRAME_REST;
    if (sub->open != NULL &&
        (!whole || sub->open_bytes + need > limit || pubsub_block_room(sub->open) < need)) {
        close_block(sub);
    }
    if (sub->open != NULL) {
        return true;
    }
    size_t each = (size_t)channel->body_size + 64;
    size_t count = whole ? 1 + (left - (size_t)channel->body_size) / (each + 64) : 1;
    count = count > count_limit(sub) ? count_limit(sub) : count;
    while (count > 1 && count * need > limit) {
        count = (count + 1) / 2;
    }
    sub->open = pubsub_sink_block(channel->conn->self->sink, count, count * need);
    return sub->open != NULL;
}

static void lose_for_memory(amq_channel *channel)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, PUBSUB_ELOST, "no memory for a message");
    pubsub__amqp_conn_fail(channel->conn, &error);
}

static void complete(amq_channel *channel)
{
    amq_sub *sub = channel->sub;
    bool wanted =
        sub != NULL && channel->content == AMQP_BASIC_DELIVER_METHOD && channel->body != NULL;
    channel->content = 0;
    channel->body = NULL;
    if (!wanted) {
        return;
    }
    pubsub_spi_message *slot = pubsub_block_message(sub->open);
    if (slot != NULL) {
        *slot = channel->message;
        sub->open_bytes += channel->body_size + sizeof(*slot);
        make_dirty(sub);
    }
}

/* Take up a message for its subscription. */
static bool begin_message(amq_channel *channel, const amq_frame *frame, const amq_properties *props)
{
    amq_sub *sub = channel->sub;
    amq_self *self = channel->conn->self;
    const pubsub_subscribe_request *request = &sub->spi->request;
    amq_delivery delivery = {
        {NULL, 0}, {channel->key, channel->key_len}, channel->tag, channel->redelivered};
    size_t need = pubsub__amqp_decode_need(props, frame->size, &delivery) +
                  (size_t)channel->body_size + ALIGN;
    pubsub_bytes none = {NULL, 0};
    pubsub_spi_message *message = &channel->message;
    memset(message, 0, sizeof(*message));
    message->position[0] = message->position[1] = UINT64_MAX;
    if (!find_block(channel, need) ||
        !pubsub__amqp_decode(props, (pubsub_bytes){frame->payload, frame->size}, &delivery,
                             &self->naming,
                             request->pattern_count == 1 ? request->patterns[0] : none,
                             pubsub__clock_wall_ns(), sub->open, message)) {
        return false;
    }
    message->token |= (uint64_t)sub->epoch << AMQ_TAG_BITS;
    message->flags |= sub->filter && !channel->by_name ? PUBSUB_SPI_FILTER : 0u;
    message->flags |= sub->no_ack ? PUBSUB_SPI_NO_ACK : 0u;
    message->qos = request->qos == PUBSUB_AT_MOST_ONCE ? 0 : message->qos;
    channel->body = pubsub_block_take(sub->open, (size_t)channel->body_size + 1);
    message->payload = (pubsub_bytes){channel->body, (size_t)channel->body_size};
    return channel->body != NULL;
}

bool pubsub__amqp_header(amq_channel *channel, const amq_frame *frame)
{
    amq_properties props;
    if (channel->state == AMQ_CHANNEL_CLOSING || channel->state == AMQ_CHANNEL_FREE) {
        return true;
    }
    if (channel->content == 0 || channel->has_header ||
        !pubsub__amqp_properties_read(frame->payload, frame->size, &props) ||
        props.body_size > BODY_MAX) {
        return false;
    }
    channel->has_header = true;
    channel->body_size = props.body_size;
    channel->body_got = 0;
    if (channel->content == AMQP_BASIC_RETURN_METHOD) {
        pubsub__amqp_pub_returned(channel->conn->self, props.message_id);
    } else if (channel->sub != NULL && !begin_message(channel, frame, &props)) {
        lose_for_memory(channel);
        return true;
    }
    if (channel->body_size == 0) {
        complete(channel);
    }
    return true;
}

bool pubsub__amqp_body(amq_channel *channel, const amq_frame *frame)
{
    if (channel->state == AMQ_CHANNEL_CLOSING || channel->state == AMQ_CHANNEL_FREE) {
        return true;
    }
    if (channel->content == 0 || !channel->has_header ||
        frame->size > channel->body_size - channel->body_got) {
        return false;
    }
    if (channel->body != NULL) {
        memcpy(channel->body + channel->body_got, frame->payload, frame->size);
    }
    channel->body_got += frame->size;
    if (channel->body_got == channel->body_size) {
        complete(channel);
    }
    return true;
}
