/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include <string.h>

/* The channels of the publishing connection: what must be there before the first message, and what the
 * broker says on them. */

enum { CONFIRMED = 1, PLAIN = 2 };

static amq_channel *channel_at(amq_self *self, size_t number)
{
    return self->pub_conn.channels[number - 1];
}

static void open_channel(amq_self *self, uint16_t number)
{
    amqp_channel_open_t open = {amqp_empty_bytes};
    channel_at(self, number)->state = AMQ_CHANNEL_OPENING;
    pubsub__amqp_send(&self->pub_conn, number, AMQP_CHANNEL_OPEN_METHOD, &open);
}

static void declare_exchange(amq_self *self, bool passive)
{
    amqp_exchange_declare_t declare = {0};
    declare.exchange = amqp_cstring_bytes(self->exchange);
    declare.type = amqp_cstring_bytes(self->exchange_type);
    declare.passive = passive;
    declare.durable = 1;
    pubsub__amqp_send(&self->pub_conn, CONFIRMED, AMQP_EXCHANGE_DECLARE_METHOD, &declare);
}

static void declare_stream(amq_self *self, bool passive)
{
    amq_queue queue = {.durable = true, .stream = true};
    pubsub__amqp_declare(&self->pub_conn, CONFIRMED, &queue, pubsub_bytes_of(self->stream),
                         passive);
}

static void bind_stream(amq_self *self)
{
    amqp_queue_bind_t bind = {0};
    bind.queue = amqp_cstring_bytes(self->stream);
    bind.exchange = amqp_cstring_bytes(self->exchange);
    bind.routing_key = amqp_cstring_bytes("#");
    pubsub__amqp_send(&self->pub_conn, CONFIRMED, AMQP_QUEUE_BIND_METHOD, &bind);
}

static void ready(amq_self *self)
{
    self->pub.step = AMQ_READY;
    self->was_ready = true;
    if (self->pub_conn.state == AMQ_PREPARING) {
        pubsub__amqp_conn_up(&self->pub_conn);
    } else {
        pubsub_sink_writable(self->sink);
    }
}

static void go_on(amq_self *self, amq_prepare step)
{
    amqp_confirm_select_t select = {0};
    if (step == AMQ_PREPARE_LOOK && self->naming.plain) {
        step = AMQ_PREPARE_CONFIRMS;
    }
    if (step == AMQ_PREPARE_STREAM_LOOK && self->stream == NULL) {
        step = AMQ_PREPARE_CONFIRMS;
    }
    self->pub.step = step;
    switch (step) {
    case AMQ_PREPARE_CHANNEL:
        open_channel(self, CONFIRMED);
        break;
    case AMQ_PREPARE_LOOK:
    case AMQ_PREPARE_MAKE:
    case AMQ_PREPARE_COMPARE:
        declare_exchange(self, step == AMQ_PREPARE_LOOK);
        break;
    case AMQ_PREPARE_STREAM_LOOK:
    case AMQ_PREPARE_STREAM_MAKE:
        declare_stream(self, step == AMQ_PREPARE_STREAM_LOOK);
        break;
    case AMQ_PREPARE_STREAM_BIND:
        bind_stream(self);
        break;
    case AMQ_PREPARE_CONFIRMS:
        pubsub__amqp_pub_reset(self);
        pubsub__amqp_send(&self->pub_conn, CONFIRMED, AMQP_CONFIRM_SELECT_METHOD, &select);
        break;
    case AMQ_PREPARE_SECOND:
        if (channel_at(self, PLAIN)->state == AMQ_CHANNEL_OPEN) {
            ready(self);
        } else {
            open_channel(self, PLAIN);
        }
        break;
    default:
        break;
    }
}

void pubsub__amqp_pub_begin(amq_self *self)
{
    amq_conn *conn = &self->pub_conn;
    amq_channel *first = pubsub__amqp_channel_open(conn);
    if (first != NULL && conn->channel_count < PLAIN) { /* both exist from the first time on */
        amq_channel *second = pubsub__amqp_channel_open(conn);
        first = second == NULL ? NULL : first;
    } else if (first != NULL) {
        open_channel(self, PLAIN);
    }
    if (first == NULL) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_error_set(&error, PUBSUB_EFULL, "the broker allows fewer than two channels");
        pubsub__amqp_conn_fail(conn, &error);
        return;
    }
    self->pub.step = AMQ_PREPARE_CHANNEL;
    self->pub.looked = self->pub.compared = false;
}

/* ---- answers ---------------------------------------------------------------------------------- */

/* What was looked for is not there: make it, on a new channel. */
static bool make_it(amq_self *self, amq_prepare looked, int reply_code)
{
    bool may = looked == AMQ_PREPARE_STREAM_LOOK || strncmp(self->exchange, "amq.", 4) != 0;
    if (reply_code != AMQP_NOT_FOUND || !may ||
        (looked != AMQ_PREPARE_LOOK && looked != AMQ_PREPARE_STREAM_LOOK)) {
        return false;
    }
    self->pub.step = looked;
    self->pub.looked = true;
    open_channel(self, CONFIRMED);
    return true;
}

static bool holds(amqp_bytes_t text, const char *part)
{
    size_t len = strlen(part);
    for (size_t at = 0; at + len <= text.len; at++) {
        if (memcmp((const char *)text.bytes + at, part, len) == 0) {
            return true;
        }
    }
    return false;
}

/* What is there is of another type, where ours would mean something else: patterns that match nothing, or
 * are not looked at. Other types are somebody's own; and who may not declare cannot compare. */
static void compared(amq_self *self, const amqp_channel_close_t *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    bool differs = why->reply_code == AMQP_PRECONDITION_FAILED &&
                   holds(why->reply_text, "arg 'type'") &&
                   (holds(why->reply_text, "current is 'topic'") ||
                    holds(why->reply_text, "current is 'direct'") ||
                    holds(why->reply_text, "current is 'fanout'"));
    if (differs) {
        pubsub__amqp_explain(&error, PUBSUB_EOPTION, why->reply_code, why->reply_text,
                             "amqp.exchange_type is not that of the exchange");
        pubsub__amqp_conn_fail(&self->pub_conn, &error);
        return;
    }
    self->odd = true;
    self->pub.compared = true;
    open_channel(self, CONFIRMED);
}

static void first_closed(amq_self *self, const amqp_channel_close_t *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    amq_prepare step = self->pub.step;
    const char *what = step == AMQ_READY ? "the broker refuses a message" : "cannot publish";
    if (make_it(self, step, why->reply_code)) {
        return;
    }
    if (step == AMQ_PREPARE_COMPARE) {
        compared(self, why);
        return;
    }
    pubsub__amqp_explain(&error, pubsub__amqp_code(why->reply_code), why->reply_code,
                         why->reply_text, what);
    if (step != AMQ_READY && self->pub_conn.state == AMQ_PREPARING) {
        /* What was there before comes back when the broker has recovered it, a stream after some seconds. */
        bool comes_back = self->was_ready && (why->reply_code == AMQP_NOT_FOUND ||
                                              why->reply_code == AMQP_RESOURCE_LOCKED ||
                                              why->reply_code == AMQP_PRECONDITION_FAILED);
        error.code = comes_back ? PUBSUB_ELOST : error.code;
        pubsub__amqp_conn_fail(&self->pub_conn, &error);
        return;
    }
    pubsub__amqp_pub_refused(self, &error);
    self->pub.looked = false;
    go_on(self, AMQ_PREPARE_CHANNEL);
}

static void second_closed(amq_self *self, const amqp_channel_close_t *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub__amqp_explain(&error, pubsub__amqp_code(why->reply_code), why->reply_code,
                         why->reply_text, "the broker refuses a message of qos 0");
    pubsub_sink_error(self->sink, NULL, &error);
    pubsub__amqp_pub_cut(self, &error);
    if (self->pub.step == AMQ_READY) {
        self->pub.step = AMQ_PREPARE_SECOND;
    }
    open_channel(self, PLAIN);
}

static void first_open(amq_self *self)
{
    amq_pub *pub = &self->pub;
    if (pub->looked) {
        pub->looked = false;
        go_on(self, pub->step == AMQ_PREPARE_LOOK ? AMQ_PREPARE_MAKE : AMQ_PREPARE_STREAM_MAKE);
    } else if (pub->compared) {
        pub->compared = false;
        go_on(self, AMQ_PREPARE_STREAM_LOOK);
    } else {
        /* again, after something was refused: the rest is there */
        go_on(self,
              self->pub_conn.state == AMQ_PREPARING ? AMQ_PREPARE_LOOK : AMQ_PREPARE_CONFIRMS);
    }
}

/* Of the one that every broker has the type is known. */
static bool is_default(const amq_self *self)
{
    return strcmp(self->exchange, "amq.topic") == 0 && strcmp(self->exchange_type, "topic") == 0;
}

static void declared(amq_self *self)
{
    switch (self->pub.step) {
    case AMQ_PREPARE_LOOK:
        go_on(self, is_default(self) ? AMQ_PREPARE_STREAM_LOOK : AMQ_PREPARE_COMPARE);
        break;
    case AMQ_PREPARE_MAKE:
    case AMQ_PREPARE_COMPARE:
        self->odd = false;
        go_on(self, AMQ_PREPARE_STREAM_LOOK);
        break;
    case AMQ_PREPARE_STREAM_LOOK:
    case AMQ_PREPARE_STREAM_MAKE:
        go_on(self, AMQ_PREPARE_STREAM_BIND);
        break;
    default:
        break;
    }
}

static bool is_open(const amq_self *self, size_t number)
{
    return self->pub_conn.channels[number - 1]->state == AMQ_CHANNEL_OPEN;
}

bool pubsub__amqp_pub_method(amq_channel *channel, const amqp_method_t *method)
{
    amq_self *self = channel->conn->self;
    bool first = channel->number == CONFIRMED;
    switch (method->id) {
    case AMQP_CHANNEL_OPEN_OK_METHOD:
        if (first) {
            first_open(self);
        } else if (self->pub.step == AMQ_PREPARE_SECOND) {
            ready(self);
        }
        return true;
    case AMQP_CHANNEL_CLOSE_METHOD:
        if (first) {
            first_closed(self, method->decoded);
        } else {
            second_closed(self, method->decoded);
        }
        return true;
    case AMQP_EXCHANGE_DECLARE_OK_METHOD:
    case AMQP_QUEUE_DECLARE_OK_METHOD:
        declared(self);
        return true;
    case AMQP_QUEUE_BIND_OK_METHOD:
        go_on(self, AMQ_PREPARE_CONFIRMS);
        return true;
    case AMQP_CONFIRM_SELECT_OK_METHOD:
        if (is_open(self, PLAIN)) {
            ready(self);
        } else {
            self->pub.step = AMQ_PREPARE_SECOND; /* its open-ok is on its way */
        }
        return true;
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;
        return pubsub__amqp_pub_confirmed(self, ack->delivery_tag, ack->multiple, true);
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;
        return pubsub__amqp_pub_confirmed(self, nack->delivery_tag, nack->multiple, false);
    }
    case AMQP_BASIC_RETURN_METHOD:
        return pubsub__amqp_return(channel, method->decoded);
    case AMQP_CHANNEL_FLOW_METHOD: {
        const amqp_channel_flow_t *flow = method->decoded;
        amqp_channel_flow_ok_t ok = {flow->active};
        pubsub__amqp_send(channel->conn, channel->number, AMQP_CHANNEL_FLOW_OK_METHOD, &ok);
        return true;
    }
    default:
        return false;
    }
}
