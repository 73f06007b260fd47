/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <string.h>

/* A subscription is a channel that goes step by step: look for the queue, make it, bind it, say how much
 * may be open, consume. */

/* ---- life ------------------------------------------------------------------------------------- */

static bool is_plain(const amq_sub *sub)
{
    return sub->self->naming.plain && sub->queue.name[0] == '\0';
}

static amq_sub *sub_new(amq_self *self, pubsub_spi_subscription *spi, pubsub_error *err)
{
    amq_sub *sub = pubsub__calloc(1, sizeof(*sub));
    if (sub == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a subscription");
        return NULL;
    }
    sub->self = self;
    sub->held_end = &sub->held;
    if (pubsub__amqp_queue(self, &spi->request, &sub->queue, err) != PUBSUB_OK) {
        pubsub__free(sub);
        return NULL;
    }
    sub->spi = spi;
    sub->no_ack = spi->request.qos == PUBSUB_AT_MOST_ONCE && !sub->queue.stream;
    sub->prefetch = spi->request.prefetch > UINT16_MAX ? UINT16_MAX : spi->request.prefetch;
    if (sub->queue.single_active) {
        sub->prefetch = 1; /* nothing overtakes a message that is refused and comes again */
    }
    sub->next = self->subs;
    self->subs = sub;
    spi->data = sub;
    return sub;
}

void pubsub__amqp_sub_free(amq_sub *sub)
{
    for (amq_sub **at = &sub->self->subs; *at != NULL; at = &(*at)->next) {
        if (*at == sub) {
            *at = sub->next;
            break;
        }
    }
    pubsub__amqp_received_clear(sub);
    pubsub__amqp_acks_free(sub);
    sub->spi->data = NULL;
    pubsub__free(sub);
}

void pubsub__amqp_sub_lost(amq_sub *sub)
{
    sub->channel = NULL;
    sub->step = AMQ_STEP_NONE;
    pubsub__amqp_received_clear(sub);
}

/* Give the channel back, whatever state it is in. */
static void leave_channel(amq_sub *sub)
{
    amq_channel *channel = sub->channel;
    pubsub__amqp_sub_lost(sub);
    if (channel != NULL) {
        pubsub__amqp_channel_close(channel);
    }
}

static void refuse(amq_sub *sub, const pubsub_error *error)
{
    pubsub_error lost = *error;
    /* What was ours comes back to us as soon as the broker has noticed that the old connection is gone, or has
     * recovered the queue, which it says not to find until then, nor to be able to make; a stream it finds
     * a moment before it can be read. */
    bool missing =
        error->code == PUBSUB_ENOTFOUND
            ? sub->step == AMQ_STEP_LOOK || sub->step == AMQ_STEP_DECLARE
            : sub->queue.stream && sub->step == AMQ_STEP_CONSUME && error->code == PUBSUB_EREJECTED;
    bool comes_back = sub->ever && (missing || error->code == PUBSUB_EBUSY);
    leave_channel(sub);
    if (comes_back) {
        lost.code = missing ? PUBSUB_ELOST : lost.code; /* else it would be final */
        pubsub_sink_lost(sub->self->sink, sub->spi, &lost);
    } else {
        pubsub_sink_subscribed(sub->self->sink, sub->spi, NULL, error);
    }
}

/* ---- steps ------------------------------------------------------------------------------------ */

static pubsub_bytes queue_name(const amq_sub *sub)
{
    return is_plain(sub) ? sub->spi->request.patterns[sub->at]
                         : pubsub_bytes_of(sub->keeps ? sub->actual : sub->queue.name);
}

static void go_on(amq_sub *sub, amq_step step);

static void bind_all(amq_sub *sub)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    amqp_queue_bind_t bind = {0};
    bool filter = false;
    bind.queue = amqp_cstring_bytes(sub->actual);
    bind.exchange = amqp_cstring_bytes(sub->self->exchange);
    for (size_t i = 0; i < request->pattern_count; i++) {
        char key[AMQ_SHORT_MAX + 1];
        bool exact = true;
        pubsub_error error = PUBSUB_ERROR_INIT;
        if (pubsub__amqp_binding(request->patterns[i], key, &exact, &error) != PUBSUB_OK) {
            refuse(sub, &error);
            return;
        }
        filter = filter || !exact;
        bind.routing_key = amqp_cstring_bytes(key);
        pubsub__amqp_send(sub->channel->conn, sub->channel->number, AMQP_QUEUE_BIND_METHOD, &bind);
        sub->waiting++;
    }
    /* A durable queue may have messages of patterns its user had before; a stream has everything. What is
     * in a queue of the caller's name is meant for its consumers, whoever bound it. */
    sub->filter = filter || sub->spi->request.durable[0] != '\0' || sub->queue.stream ||
                  strcmp(sub->self->exchange_type, "topic") != 0 || sub->self->odd;
}

static void put_offset(const amq_sub *sub, amqp_table_entry_t *entry)
{
    const pubsub_from *from = &sub->spi->request.from;
    const pubsub_position *at =
        sub->spi->delivered.adapter != NULL ? &sub->spi->delivered : &from->position;
    bool resume = sub->spi->delivered.adapter != NULL;
    entry->key = amqp_cstring_bytes("x-stream-offset");
    entry->value.kind = AMQP_FIELD_KIND_UTF8;
    if (resume || from->kind == PUBSUB_FROM_POSITION) {
        entry->value.kind = AMQP_FIELD_KIND_I64;
        entry->value.value.i64 = (int64_t)at->word[0] + 1;
    } else if (from->kind == PUBSUB_FROM_TIME) {
        entry->value.kind = AMQP_FIELD_KIND_TIMESTAMP;
        entry->value.value.u64 = from->time_ns / 1000000000u;
    } else {
        entry->value.value.bytes =
            amqp_cstring_bytes(from->kind == PUBSUB_FROM_EARLIEST ? "first" : "next");
    }
}

static bool takes_alone(const amq_sub *sub)
{
    return sub->queue.own && sub->spi->request.group[0] == '\0';
}

static void consume_all(amq_sub *sub)
{
    size_t count = is_plain(sub) ? sub->spi->request.pattern_count : 1;
    amqp_table_entry_t offset;
    amqp_basic_consume_t consume = {0};
    consume.no_ack = sub->no_ack;
    consume.exclusive = takes_alone(sub);
    if (sub->queue.stream) {
        put_offset(sub, &offset);
        consume.arguments = (amqp_table_t){1, &offset};
    }
    for (size_t i = 0; i < count; i++) {
        consume.queue = is_plain(sub) ? pubsub__amqp_bytes(sub->spi->request.patterns[i])
                                      : amqp_cstring_bytes(sub->actual);
        pubsub__amqp_send(sub->channel->conn, sub->channel->number, AMQP_BASIC_CONSUME_METHOD,
                          &consume);
        sub->waiting++;
    }
}

static void answer(amq_sub *sub)
{
    static const char made_anew[] = "the queue was gone and was made anew";
    static const char exclusive[] = "reconnected: the broker kept nothing meanwhile";
    static const char no_acks[] = "reconnected: what was on its way without acks is lost";
    static const char nowhere[] = "reconnected: nothing had come of the stream yet to go on behind";
    const amq_queue *queue = &sub->queue;
    bool kept = sub->existed;
    bool starts_anew =
        sub->spi->delivered.adapter == NULL && sub->spi->request.from.kind == PUBSUB_FROM_NEW;
    bool loses = sub->ever && (queue->stream ? starts_anew : !kept || sub->no_ack);
    bool weak = sub->spi->request.qos == PUBSUB_AT_MOST_ONCE; /* streams want acks all the same */
    pubsub_gap gap = {queue->stream      ? nowhere
                      : kept             ? no_acks
                      : queue->exclusive ? exclusive
                                         : made_anew,
                      PUBSUB_POSITION_NONE, PUBSUB_POSITION_NONE, 0};
    bool resumed = queue->stream ? sub->spi->delivered.adapter != NULL
                                 : kept && (sub->ever || sub->spi->request.durable[0] != '\0');
    pubsub_spi_subscribed result = {resumed, weak ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE,
                                    loses ? &gap : NULL, 0};
    sub->step = AMQ_STEP_ACTIVE;
    sub->ever = true;
    pubsub_sink_subscribed(sub->self->sink, sub->spi, &result, NULL);
}

static void go_on(amq_sub *sub, amq_step step)
{
    amq_channel *channel = sub->channel;
    amqp_basic_qos_t qos = {0, (uint16_t)sub->prefetch, 0};
    sub->step = step;
    sub->waiting = 0;
    switch (step) {
    case AMQ_STEP_LOOK:
    case AMQ_STEP_DECLARE:
        pubsub__amqp_declare(channel->conn, channel->number, &sub->queue, queue_name(sub),
                             step == AMQ_STEP_LOOK);
        break;
    case AMQ_STEP_BIND:
        bind_all(sub);
        break;
    case AMQ_STEP_QOS:
        pubsub__amqp_send(channel->conn, channel->number, AMQP_BASIC_QOS_METHOD, &qos);
        break;
    case AMQ_STEP_CONSUME:
        consume_all(sub);
        break;
    default:
        break;
    }
}

static void open_channel(amq_sub *sub)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    amq_conn *conn = &sub->self->sub_conn;
    if (!pubsub__amqp_acks_begin(sub)) {
        pubsub_error_set(&error, PUBSUB_ENOMEM, "no memory for a subscription");
        refuse(sub, &error);
        return;
    }
    sub->step = AMQ_STEP_OPEN;
    sub->channel = pubsub__amqp_channel_open(conn);
    if (sub->channel == NULL) {
        pubsub_error_set(&error, PUBSUB_EFULL,
                         "the broker allows %u channels, so as many subscriptions of a client; use "
                         "patterns or a further client, or raise its channel_max",
                         (unsigned)conn->channel_max);
        refuse(sub, &error);
        return;
    }
    sub->channel->sub = sub;
}

/* ---- answers ---------------------------------------------------------------------------------- */

static void declared(amq_sub *sub, const amqp_queue_declare_ok_t *ok)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    size_t len = ok->queue.len < AMQ_SHORT_MAX ? ok->queue.len : AMQ_SHORT_MAX;
    memcpy(sub->actual, ok->queue.bytes == NULL ? "" : ok->queue.bytes, len);
    sub->actual[len] = '\0';
    bool looked = sub->step == AMQ_STEP_LOOK;
    sub->existed = looked || (sub->existed && !sub->absent);
    sub->keeps = !sub->self->naming.plain && sub->queue.exclusive && !sub->queue.named &&
                 sub->queue.name[0] == '\0';
    if (looked && takes_alone(sub) && ok->consumer_count > 0) {
        pubsub_error_set(&error, PUBSUB_EBUSY, "'%.80s' is in use by another client",
                         sub->spi->request.durable);
        refuse(sub, &error);
    } else if (looked && sub->recheck) {
        refuse(sub, &sub->refused);
    } else if (looked && (sub->queue.own || sub->queue.ask || sub->queue.stream)) {
        go_on(sub, AMQ_STEP_DECLARE);
    } else if (is_plain(sub) && sub->at + 1 < sub->spi->request.pattern_count) {
        sub->at++;
        sub->absent = false;
        go_on(sub, AMQ_STEP_LOOK);
    } else if (sub->self->naming.plain) { /* nothing can be bound to the empty exchange */
        go_on(sub, sub->no_ack ? AMQ_STEP_CONSUME : AMQ_STEP_QOS);
    } else {
        go_on(sub, AMQ_STEP_BIND);
    }
}

static pubsub_err code_of(const amq_sub *sub, int reply_code)
{
    pubsub_bytes name = queue_name(sub);
    bool reserved = name.len >= 4 && memcmp(name.data, "amq.", 4) == 0;
    if (reply_code == AMQP_ACCESS_REFUSED && sub->step == AMQ_STEP_DECLARE && reserved) {
        return PUBSUB_ETOPIC;
    }
    return pubsub__amqp_code(reply_code);
}

static const char *what_of(const amq_sub *sub, int reply_code)
{
    switch (sub->step) {
    case AMQ_STEP_DECLARE:
        return reply_code == AMQP_PRECONDITION_FAILED
                   ? "the queue is there, and is not as it was asked for"
                   : "the broker refuses the queue";
    case AMQ_STEP_BIND:
        return "the broker refuses the binding";
    case AMQ_STEP_CONSUME:
        return "the broker refuses the consumer";
    default:
        return "the broker refuses the subscription";
    }
}

static void closed(amq_sub *sub, const amqp_channel_close_t *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    sub->channel->sub = NULL;
    sub->channel = NULL;
    if (sub->step == AMQ_STEP_LOOK && why->reply_code == AMQP_NOT_FOUND) {
        sub->absent = true;
        sub->keeps = false;
        open_channel(sub);
        return;
    }
    if (sub->step == AMQ_STEP_ACTIVE) {
        pubsub__amqp_explain(&error, PUBSUB_ELOST, why->reply_code, why->reply_text,
                             "the broker ended the subscription");
        pubsub__amqp_sub_lost(sub);
        pubsub_sink_lost(sub->self->sink, sub->spi, &error);
        return;
    }
    pubsub__amqp_explain(&error, code_of(sub, why->reply_code), why->reply_code, why->reply_text,
                         what_of(sub, why->reply_code));
    if (sub->step == AMQ_STEP_CONSUME && why->reply_code == AMQP_ACCESS_REFUSED &&
        takes_alone(sub) && !sub->recheck) {
        sub->recheck = true; /* no permission, or somebody was faster */
        sub->refused = error;
        open_channel(sub);
        return;
    }
    refuse(sub, &error);
}

static void cancelled(amq_sub *sub)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, PUBSUB_ELOST,
                     "the broker ended the subscription: its queue '%.80s' was deleted or moved",
                     sub->actual);
    leave_channel(sub);
    pubsub_sink_lost(sub->self->sink, sub->spi, &error);
}

/* One of several answers; true when all are there. */
static bool last_answer(amq_sub *sub)
{
    sub->waiting -= sub->waiting > 0 ? 1 : 0;
    return sub->waiting == 0;
}

bool pubsub__amqp_sub_method(amq_channel *channel, const amqp_method_t *method)
{
    amq_sub *sub = channel->sub;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD:
        return pubsub__amqp_deliver(channel, method->decoded);
    case AMQP_CHANNEL_OPEN_OK_METHOD:
        go_on(sub,
              (sub->queue.named || sub->keeps) && !sub->absent ? AMQ_STEP_LOOK : AMQ_STEP_DECLARE);
        return true;
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        declared(sub, method->decoded);
        return true;
    case AMQP_QUEUE_BIND_OK_METHOD:
        if (last_answer(sub)) {
            go_on(sub, sub->no_ack ? AMQ_STEP_CONSUME : AMQ_STEP_QOS);
        }
        return true;
    case AMQP_BASIC_QOS_OK_METHOD:
        go_on(sub, AMQ_STEP_CONSUME);
        return true;
    case AMQP_BASIC_CONSUME_OK_METHOD:
        if (last_answer(sub)) {
            answer(sub);
        }
        return true;
    case AMQP_BASIC_CANCEL_METHOD:
        cancelled(sub);
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD:
        closed(sub, method->decoded);
        return true;
    default:
        return false;
    }
}

/* ---- members of the table --------------------------------------------------------------------- */

void pubsub__amqp_subscribe(void *ctx, pubsub_spi_subscription *subscription)
{
    amq_self *self = ctx;
    amq_sub *sub = subscription->data;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (sub == NULL) {
        sub = sub_new(self, subscription, &error);
    }
    if (sub != NULL && self->sub_conn.link == 0) {
        self->sub_conn.link = pubsub_sink_link_new(self->sink);
        if (self->sub_conn.link == 0) {
            pubsub_error_set(&error, PUBSUB_ENOMEM, "no further connection can be opened");
            sub = NULL;
        }
    }
    if (sub == NULL) {
        pubsub_sink_subscribed(self->sink, subscription, NULL, &error);
        return;
    }
    subscription->native_nack = false;
    subscription->lazy_ack = sub->no_ack;
    subscription->broker_redelivers = !sub->no_ack && !sub->queue.stream;
    pubsub_sink_bind(self->sink, subscription, self->sub_conn.link);
    if (self->sub_conn.state != AMQ_UP) {
        return; /* called again when it is */
    }
    leave_channel(sub);
    sub->at = 0;
    sub->existed = sub->absent = sub->recheck = false;
    open_channel(sub);
}

static void delete_queue(amq_sub *sub)
{
    amqp_queue_delete_t kill = {0};
    kill.queue = amqp_cstring_bytes(sub->actual);
    kill.nowait = 1;
    pubsub__amqp_send(sub->channel->conn, sub->channel->number, AMQP_QUEUE_DELETE_METHOD, &kill);
}

void pubsub__amqp_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget)
{
    amq_sub *sub = subscription->data;
    (void)ctx;
    if (sub == NULL) {
        return; /* it was refused before it lived */
    }
    bool ours = sub->queue.exclusive || (forget && sub->queue.own);
    bool there = sub->channel != NULL && sub->channel->state == AMQ_CHANNEL_OPEN &&
                 sub->step > AMQ_STEP_DECLARE;
    if (ours && there && !is_plain(sub)) {
        delete_queue(sub);
    } else if (forget && sub->queue.own && sub->ever) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_error_set(&error, PUBSUB_ELOST,
                         "the queue '%.80s' is still there: there is no connection to delete it by",
                         sub->queue.name);
        pubsub_sink_error(sub->self->sink, NULL, &error);
    }
    leave_channel(sub);
    pubsub__amqp_sub_free(sub);
}
