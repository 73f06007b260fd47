/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Messages on their way to the broker: a batch becomes frames in one buffer and one write; confirms come
 * back many at a time. */

enum { CONFIRMED = 1, PLAIN = 2, DONE_MAX = 256 };

/* Written as soon as so much has come together, and no more is taken while so much waits. */
#define WRITE_AT ((size_t)64 * 1024)
#define WAIT_MAX ((size_t)256 * 1024)
#define PUBLISH_ROOM ((size_t)1024)
#define FULL_PAUSE_NS UINT64_C(100000000)

bool pubsub__amqp_pub_init(amq_self *self, pubsub_error *err)
{
    amq_pub *pub = &self->pub;
    int64_t window = 1;
    int64_t patience = 0;
    (void)pubsub_options_int(self->config->options, "amqp.window", &window);
    (void)pubsub_options_int(self->config->options, "amqp.confirm_timeout", &patience);
    pub->patience_ns = (uint64_t)patience * 1000000u;
    pub->window = (uint32_t)window;
    pub->size = 1;
    while (pub->size < pub->window) {
        pub->size *= 2;
    }
    pub->slots = pubsub__calloc(pub->size, sizeof(amq_slot));
    pub->done = pubsub__calloc(DONE_MAX, sizeof(pubsub_spi_outcome));
    pub->first = pub->next = 1;
    if (pub->slots == NULL || pub->done == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for what is in flight");
        return false;
    }
    return true;
}

void pubsub__amqp_pub_fini(amq_self *self)
{
    pubsub__free(self->pub.slots);
    pubsub__free(self->pub.done);
    self->pub.slots = NULL;
    self->pub.done = NULL;
}

/* ---- outcomes --------------------------------------------------------------------------------- */

void pubsub__amqp_pub_tell(amq_self *self)
{
    amq_pub *pub = &self->pub;
    if (pub->done_count > 0) {
        pubsub_sink_outcomes(self->sink, pub->done, pub->done_count);
        pub->done_count = 0;
    }
}

/* The error lives until the next pubsub__amqp_pub_tell. */
static void done(amq_self *self, pubsub_spi_publish *publish, pubsub_outcome outcome,
                 pubsub_confirm confirm, uint32_t flags, const pubsub_error *error)
{
    amq_pub *pub = &self->pub;
    if (pub->done_count == DONE_MAX) {
        pubsub__amqp_pub_tell(self);
    }
    pub->done[pub->done_count++] =
        (pubsub_spi_outcome){publish, outcome, confirm, flags, PUBSUB_POSITION_NONE, error};
}

static amq_slot *slot(amq_pub *pub, uint64_t tag)
{
    return &pub->slots[tag & (pub->size - 1)];
}

static void finish(amq_self *self, uint64_t tag, bool ack)
{
    amq_pub *pub = &self->pub;
    amq_slot *at = slot(pub, tag);
    if (at->publish == NULL) {
        return;
    }
    if (ack) {
        done(self, at->publish, PUBSUB_ACCEPTED,
             at->returned ? PUBSUB_CONFIRM_RECEIVED : PUBSUB_CONFIRM_WRITTEN,
             at->returned ? PUBSUB_REPORT_NO_SUBSCRIBER : 0, NULL);
    } else {
        pubsub_error_set(&pub->full, PUBSUB_EFULL,
                         "the broker does not take it: a queue is full, or lost");
        pub->retry_ns = pubsub_sink_now_ns(self->sink) + FULL_PAUSE_NS;
        pubsub_timer_start(self->pub_conn.timer, 50);
        done(self, at->publish, PUBSUB_NOT_SENT, PUBSUB_CONFIRM_NONE, 0, &pub->full);
    }
    at->publish = NULL;
    pub->careful -= pub->careful > 0 ? 1 : 0;
}

bool pubsub__amqp_pub_confirmed(amq_self *self, uint64_t tag, bool multiple, bool ack)
{
    amq_pub *pub = &self->pub;
    tag = tag == 0 && multiple ? pub->next - 1 : tag;
    if (tag >= pub->next || (pub->big != NULL && tag == pub->big_tag)) {
        return false;
    }
    for (uint64_t at = multiple ? pub->first : tag; at >= pub->first && at <= tag; at++) {
        finish(self, at, ack);
    }
    while (pub->first < pub->next && slot(pub, pub->first)->publish == NULL) {
        pub->first++;
        pub->first_ns = pubsub_sink_now_ns(self->sink);
    }
    if (pub->starved && pub->retry_ns == 0) {
        pub->starved = false;
        pubsub_sink_writable(self->sink);
    }
    return true;
}

uint64_t pubsub__amqp_pub_overdue(amq_self *self)
{
    amq_pub *pub = &self->pub;
    uint64_t now = pubsub_sink_now_ns(self->sink);
    if (pub->first == pub->next || self->pub_conn.blocked || pub->big != NULL) {
        pub->first_ns = now; /* not the broker's turn */
    }
    uint64_t waited = now - pub->first_ns;
    return pub->patience_ns > 0 && waited > pub->patience_ns ? waited : 0;
}

void pubsub__amqp_pub_returned(amq_self *self, pubsub_bytes message_id)
{
    amq_pub *pub = &self->pub;
    uint64_t id = 0;
    if (pubsub__amqp_id_read(message_id, self->tag, &id) && id > pub->ids &&
        id - pub->ids >= pub->first && id - pub->ids < pub->next) {
        slot(pub, id - pub->ids)->returned = true;
    }
}

static size_t in_flight(amq_pub *pub)
{
    size_t count = 0;
    for (uint64_t tag = pub->first; tag < pub->next; tag++) {
        count += slot(pub, tag)->publish != NULL ? 1 : 0;
    }
    return count;
}

/* Everything without an answer ends. One whose body is not complete never reaches anybody; that of the
 * channel without confirms goes on. */
static void give_up(amq_self *self, pubsub_outcome outcome, uint32_t flags,
                    const pubsub_error *error)
{
    amq_pub *pub = &self->pub;
    for (uint64_t tag = pub->first; tag < pub->next; tag++) {
        amq_slot *at = slot(pub, tag);
        if (at->publish != NULL) {
            bool cut = pub->big == at->publish && outcome == PUBSUB_UNKNOWN;
            done(self, at->publish, cut ? PUBSUB_NOT_SENT : outcome, PUBSUB_CONFIRM_NONE, flags,
                 error);
            at->publish = NULL;
        }
    }
    pub->big = pub->big_tag == 0 ? pub->big : NULL;
    pubsub__amqp_pub_tell(self);
    pub->first = pub->next;
}

void pubsub__amqp_pub_cut(amq_self *self, const pubsub_error *why)
{
    amq_pub *pub = &self->pub;
    pubsub_error error = *why;
    if (pub->big == NULL || pub->big_tag != 0) {
        return;
    }
    /* It may be the one that is refused: then it is again. */
    bool again = pub->cut_id != pub->big->id;
    pub->cut_id = pub->big->id;
    error.code = again ? PUBSUB_ELOST : why->code;
    done(self, pub->big, again ? PUBSUB_NOT_SENT : PUBSUB_REJECTED, PUBSUB_CONFIRM_NONE,
         again ? 0 : PUBSUB_OUTCOME_FINAL, &error);
    pub->big = NULL;
    pubsub__amqp_pub_tell(self);
}

bool pubsub__amqp_pub_closed_early(amq_channel *channel, const amqp_channel_close_t *why)
{
    amq_pub *pub = &channel->conn->self->pub;
    size_t len = why->reply_text.len < AMQ_SHORT_MAX ? why->reply_text.len : AMQ_SHORT_MAX;
    if (pub->big == NULL || pub->big_channel != channel->number) {
        return false;
    }
    pub->early_code = why->reply_code;
    pub->early_len = len;
    memcpy(pub->early_text, len > 0 ? why->reply_text.bytes : "", len);
    return true;
}

/* The body is complete: now the channel may be closed as the broker wished. */
static void close_now(amq_self *self)
{
    amq_pub *pub = &self->pub;
    amqp_channel_close_t why = {pub->early_code, {pub->early_len, pub->early_text}, 0, 0};
    amqp_method_t method = {AMQP_CHANNEL_CLOSE_METHOD, &why};
    pub->early_code = 0;
    (void)pubsub__amqp_channel_closed(self->pub_conn.channels[pub->big_channel - 1], &method);
}

void pubsub__amqp_pub_end(amq_self *self, const pubsub_error *err)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, PUBSUB_ELOST, "no answer of the broker: %.200s",
                     pubsub_error_text(err));
    pubsub__amqp_pub_tell(self);
    if (self->pub.big != NULL && self->pub.big_tag == 0) {
        done(self, self->pub.big, PUBSUB_NOT_SENT, PUBSUB_CONFIRM_NONE, 0, &error);
        self->pub.big = NULL;
    }
    give_up(self, PUBSUB_UNKNOWN, 0, &error);
    self->pub.early_code = 0;
    self->pub.step = AMQ_PREPARE_NONE;
    self->pub.careful = 0;
    self->pub.retry_ns = 0;
}

void pubsub__amqp_pub_reset(amq_self *self)
{
    amq_pub *pub = &self->pub;
    pub->ids += pub->next;
    pub->first = pub->next = 1;
    memset(pub->slots, 0, pub->size * sizeof(amq_slot));
}

void pubsub__amqp_pub_refused(amq_self *self, const pubsub_error *why)
{
    amq_pub *pub = &self->pub;
    size_t count = in_flight(pub);
    pubsub_error error = *why;
    pubsub__amqp_pub_tell(self);
    if (count == 0) {
        pubsub_sink_error(self->sink, NULL, why);
    } else if (count == 1) {
        give_up(self, PUBSUB_REJECTED, PUBSUB_OUTCOME_FINAL, why);
        pub->careful -= pub->careful > 0 ? 1 : 0;
    } else { /* one of them: find out which */
        error.code = PUBSUB_ELOST;
        give_up(self, PUBSUB_UNKNOWN, 0, &error);
        pub->careful = (uint32_t)count;
    }
}

/* ---- sending ---------------------------------------------------------------------------------- */

static size_t body_max(const amq_conn *conn)
{
    return conn->frame_max - AMQ_FRAME_REST;
}

/* Go on with the body of a big message. False when the transport takes no more now. */
static bool send_big(amq_self *self)
{
    amq_pub *pub = &self->pub;
    amq_conn *conn = &self->pub_conn;
    pubsub_spi_publish *publish = pub->big;
    while (publish != NULL && pub->big_at < publish->pub.payload.len) {
        size_t left = publish->pub.payload.len - pub->big_at;
        size_t len = left < body_max(conn) ? left : body_max(conn);
        if (!pubsub__amqp_put_body(&conn->out, pub->big_channel,
                                   (const char *)publish->pub.payload.data + pub->big_at, len)) {
            pubsub__amqp_no_memory(conn);
            return false;
        }
        pub->big_at += len;
        if (!pubsub__amqp_conn_flush(conn)) {
            return false;
        }
    }
    return true;
}

static void big_done(amq_self *self)
{
    amq_pub *pub = &self->pub;
    if (pub->big != NULL && pub->big_at == pub->big->pub.payload.len) {
        if (pub->big_tag == 0) {
            done(self, pub->big, PUBSUB_ACCEPTED, PUBSUB_CONFIRM_NONE, 0, NULL);
        }
        pub->big = NULL;
    }
}

void pubsub__amqp_pub_writable(amq_self *self)
{
    (void)send_big(self);
    if (self->pub.early_code != 0 && self->pub.big_at == self->pub.big->pub.payload.len) {
        close_now(self);
    }
    big_done(self);
    pubsub__amqp_pub_tell(self);
    if (self->pub.big == NULL) {
        self->pub.starved = false;
        pubsub_sink_writable(self->sink);
    }
}

/* The routing key of a topic; the last one is remembered. */
static pubsub_err route(amq_self *self, pubsub_bytes topic, pubsub_error *err)
{
    amq_pub *pub = &self->pub;
    if (topic.len == pub->topic_len && memcmp(topic.data, pub->topic, topic.len) == 0) {
        return PUBSUB_OK;
    }
    pub->topic_len = 0;
    pubsub_err rc =
        pubsub__amqp_route(&self->naming, topic, &pub->exchange, pub->key, &pub->key_len, err);
    if (rc == PUBSUB_OK && topic.len <= sizeof(pub->topic)) {
        memcpy(pub->topic, topic.data, topic.len);
        pub->topic_len = topic.len;
    }
    return rc;
}

static void add_times(const pubsub_spi_publish *publish, uint64_t wall_ns, char *text, size_t size,
                      amqp_basic_properties_t *props)
{
    props->_flags |= AMQP_BASIC_TIMESTAMP_FLAG;
    props->timestamp = wall_ns / 1000000000u;
    if (publish->expires_ns > 0) {
        uint64_t left = publish->expires_ns > wall_ns ? publish->expires_ns - wall_ns : 0;
        int len = snprintf(text, size, "%" PRIu64, (left + 999999u) / 1000000u);
        props->_flags |= AMQP_BASIC_EXPIRATION_FLAG;
        props->expiration = (amqp_bytes_t){(size_t)len, text};
    }
}

/* Method, header and the first frame of the body. False when memory is short. */
static bool encode(amq_self *self, const pubsub_spi_publish *publish, uint16_t channel,
                   uint64_t wall_ns, size_t room)
{
    amq_pub *pub = &self->pub;
    amq_conn *conn = &self->pub_conn;
    char reply_to[AMQ_SHORT_MAX];
    char expiration[24];
    char id[AMQ_ID_LEN];
    amqp_basic_properties_t props;
    amqp_basic_publish_t method = {0};
    pubsub__amqp_encode(&publish->pub, &self->naming, pub->entries, reply_to, &props);
    add_times(publish, wall_ns, expiration, sizeof(expiration), &props);
    method.exchange = pubsub__amqp_bytes(pub->exchange);
    method.routing_key = (amqp_bytes_t){pub->key_len, pub->key};
    if (channel == CONFIRMED && self->mandatory) {
        method.mandatory = 1;
        pubsub__amqp_id_write(id, self->tag, pub->ids + pub->next);
        props._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
        props.message_id = (amqp_bytes_t){sizeof(id), id};
    }
    return pubsub__amqp_put_method(&conn->out, channel, AMQP_BASIC_PUBLISH_METHOD, &method,
                                   PUBLISH_ROOM) &&
           pubsub__amqp_put_header(&conn->out, channel, publish->pub.payload.len, &props, room);
}

static void put_body(amq_self *self, pubsub_spi_publish *publish, uint16_t channel, uint64_t tag)
{
    amq_pub *pub = &self->pub;
    pubsub_bytes payload = publish->pub.payload;
    pub->big = publish;
    pub->big_tag = tag;
    pub->big_at = 0;
    pub->big_channel = channel;
    if (payload.len > 0 && payload.len <= body_max(&self->pub_conn) &&
        pubsub__amqp_put_body(&self->pub_conn.out, channel, payload.data, payload.len)) {
        pub->big_at = payload.len;
    } else {
        (void)send_big(self);
    }
    big_done(self);
}

/* Take one. False when it could not be: memory is short. */
static bool submit_one(amq_self *self, pubsub_spi_publish *publish, uint64_t wall_ns)
{
    amq_pub *pub = &self->pub;
    amq_conn *conn = &self->pub_conn;
    pubsub_error error = PUBSUB_ERROR_INIT;
    uint16_t channel = publish->pub.qos > 0 ? CONFIRMED : PLAIN;
    size_t room = pubsub__amqp_encode_need(&publish->pub);
    pubsub_err rc = route(self, publish->pub.topic, &error);
    if (rc == PUBSUB_OK && room + 64 > conn->frame_max) {
        rc = pubsub_error_set(&error, PUBSUB_ETOOBIG,
                              "headers of %zu bytes, this broker takes frames of %" PRIu32, room,
                              conn->frame_max);
    }
    if (rc != PUBSUB_OK) {
        done(self, publish, PUBSUB_REJECTED, PUBSUB_CONFIRM_NONE, PUBSUB_OUTCOME_FINAL, &error);
        pubsub__amqp_pub_tell(self);
        return true;
    }
    if (!encode(self, publish, channel, wall_ns, room)) {
        pubsub__amqp_no_memory(conn);
        return false;
    }
    uint64_t tag = 0;
    if (channel == CONFIRMED) {
        tag = pub->next++;
        pub->first_ns = tag == pub->first ? pubsub_sink_now_ns(self->sink) : pub->first_ns;
        *slot(pub, tag) = (amq_slot){publish, false};
    }
    put_body(self, publish, channel, tag);
    return true;
}

static bool has_room(amq_self *self, const pubsub_spi_publish *publish)
{
    amq_pub *pub = &self->pub;
    amq_conn *conn = &self->pub_conn;
    uint64_t window = pub->careful > 0 ? 1 : pub->window;
    if (conn->state != AMQ_UP || pub->step != AMQ_READY || conn->blocked || conn->starved ||
        pub->big != NULL || (publish->pub.qos > 0 && pub->next - pub->first >= window)) {
        return false;
    }
    size_t waits = pubsub__amqp_out_waits(&conn->out);
    return waits < WRITE_AT || pubsub__amqp_conn_flush(conn) ||
           pubsub__amqp_out_waits(&conn->out) < WAIT_MAX;
}

size_t pubsub__amqp_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    amq_self *self = ctx;
    uint64_t wall_ns = pubsub__clock_wall_ns();
    size_t taken = 0;
    if (self->pub.retry_ns != 0 && pubsub_sink_now_ns(self->sink) < self->pub.retry_ns) {
        return 0;
    }
    while (taken < count && has_room(self, publishes[taken]) &&
           submit_one(self, publishes[taken], wall_ns)) {
        taken++;
    }
    self->pub.starved = taken < count;
    pubsub__amqp_pub_tell(self);
    return taken;
}
