/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <string.h>

/* A connection: the transport below it, frames in and out, heartbeats, channels. */

#define IN_SIZE ((size_t)256 * 1024)
#define POOL_PAGE 16384
/* Room for the fields of a method: tables of arguments and the answer to a login are the largest. */
#define METHOD_ROOM ((size_t)12 * 1024)
/* Body, methods and heartbeats that wait here; beyond it nothing more is taken. */
#define WRITE_MAX ((size_t)1024 * 1024)

/* ---- out -------------------------------------------------------------------------------------- */

bool pubsub__amqp_conn_flush(amq_conn *conn)
{
    size_t waits = pubsub__amqp_out_waits(&conn->out);
    if (conn->transport == NULL || waits == 0) {
        return true;
    }
    if (conn->starved) {
        return false;
    }
    pubsub_bytes slice = {conn->out.data + conn->out.at, waits};
    size_t taken = pubsub_transport_write(conn->transport, &slice, 1);
    conn->out.at += taken;
    if (taken > 0) {
        conn->last_out_ns = pubsub_sink_now_ns(conn->self->sink);
        pubsub_transport_flush(conn->transport);
    }
    return taken == waits;
}

void pubsub__amqp_no_memory(amq_conn *conn)
{
    conn->starved = true;
    pubsub_timer_start(conn->timer, 0);
}

static void starved(amq_conn *conn)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, PUBSUB_ELOST, "no memory for what is to be sent");
    pubsub__amqp_conn_fail(conn, &error);
}

void pubsub__amqp_send(amq_conn *conn, uint16_t channel, amqp_method_number_t id, void *fields)
{
    if (conn->transport != NULL && !conn->starved &&
        !pubsub__amqp_put_method(&conn->out, channel, id, fields, METHOD_ROOM)) {
        pubsub__amqp_no_memory(conn);
    }
}

/* ---- in --------------------------------------------------------------------------------------- */

static void protocol_error(amq_conn *conn, const char *what)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, conn->state >= AMQ_UP ? PUBSUB_ELOST : PUBSUB_EPROTO, "%.120s: %s",
                     pubsub_transport_peer(conn->transport), what);
    pubsub__amqp_conn_fail(conn, &error);
}

static amq_channel *find_channel(const amq_conn *conn, uint16_t number)
{
    return number == 0 || number > conn->channel_count ? NULL : conn->channels[number - 1];
}

bool pubsub__amqp_channel_closed(amq_channel *channel, const amqp_method_t *method)
{
    amq_conn *conn = channel->conn;
    amqp_channel_close_ok_t ok = {0};
    channel->content = 0;
    pubsub__amqp_send(conn, channel->number, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    if (channel->state == AMQ_CHANNEL_CLOSING) {
        return true; /* both at the same time: its close-ok follows */
    }
    channel->state = AMQ_CHANNEL_FREE;
    if (conn == &conn->self->pub_conn) {
        return pubsub__amqp_pub_method(channel, method);
    }
    return channel->sub == NULL || pubsub__amqp_sub_method(channel, method);
}

static bool channel_method(amq_channel *channel, const amqp_method_t *method)
{
    bool publishes = channel->conn == &channel->conn->self->pub_conn;
    if (method->id == AMQP_CHANNEL_CLOSE_METHOD) {
        /* RabbitMQ may say it twice, and takes one answer only. */
        return channel->state == AMQ_CHANNEL_FREE ||
               (publishes && pubsub__amqp_pub_closed_early(channel, method->decoded)) ||
               pubsub__amqp_channel_closed(channel, method);
    }
    if (channel->state == AMQ_CHANNEL_CLOSING || channel->state == AMQ_CHANNEL_FREE) {
        if (method->id == AMQP_CHANNEL_CLOSE_OK_METHOD) {
            channel->state = AMQ_CHANNEL_FREE;
        }
        return true; /* was on its way */
    }
    if (method->id == AMQP_CHANNEL_OPEN_OK_METHOD) {
        channel->state = AMQ_CHANNEL_OPEN;
    }
    if (publishes) {
        return pubsub__amqp_pub_method(channel, method);
    }
    return channel->sub == NULL || pubsub__amqp_sub_method(channel, method);
}

/* rabbitmq-c follows tables as deep as they go, on the stack: only where one belongs, and then in a small
 * frame. What else has tables is not for a broker to say. */
static bool may_be_decoded(const amq_conn *conn, amqp_method_number_t id)
{
    switch (id) {
    case AMQP_CONNECTION_START_METHOD:
        return conn->state == AMQ_STARTING;
    case AMQP_CONNECTION_START_OK_METHOD:
    case AMQP_EXCHANGE_DECLARE_METHOD:
    case AMQP_EXCHANGE_BIND_METHOD:
    case AMQP_EXCHANGE_UNBIND_METHOD:
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_UNBIND_METHOD:
    case AMQP_BASIC_CONSUME_METHOD:
        return false;
    default:
        return true;
    }
}

static bool handle_method(amq_conn *conn, const amq_frame *frame)
{
    amqp_method_t method;
    amqp_bytes_t fields = {frame->size < 4 ? 0 : frame->size - 4,
                           (void *)(uintptr_t)(frame->payload + 4)};
    if (frame->size < 4) {
        return false;
    }
    method.id = (amqp_method_number_t)frame->payload[0] << 24 |
                (amqp_method_number_t)frame->payload[1] << 16 |
                (amqp_method_number_t)frame->payload[2] << 8 | frame->payload[3];
    if (!may_be_decoded(conn, method.id)) {
        return false;
    }
    if (!conn->pooled) {
        init_amqp_pool(&conn->pool, POOL_PAGE);
        conn->pooled = true;
    }
    if (amqp_decode_method(method.id, &conn->pool, fields, &method.decoded) < 0) {
        return false;
    }
    if (frame->channel == 0) {
        return pubsub__amqp_conn_method(conn, &method);
    }
    amq_channel *channel = find_channel(conn, frame->channel);
    return channel != NULL && channel_method(channel, &method);
}

static bool handle_frame(amq_conn *conn, const amq_frame *frame)
{
    amq_channel *channel = find_channel(conn, frame->channel);
    switch (frame->type) {
    case AMQP_FRAME_METHOD:
        return handle_method(conn, frame);
    case AMQP_FRAME_HEADER:
        return channel != NULL && pubsub__amqp_header(channel, frame);
    case AMQP_FRAME_BODY:
        return channel != NULL && pubsub__amqp_body(channel, frame);
    case AMQP_FRAME_HEARTBEAT:
        return frame->channel == 0;
    default:
        return false;
    }
}

static void parse(amq_conn *conn)
{
    size_t at = 0;
    while (conn->transport != NULL) {
        amq_frame frame;
        size_t used = 0;
        amq_read result = pubsub__amqp_frame_read(conn->in + at, conn->in_len - at, conn->frame_max,
                                                  &frame, &used);
        if (result == AMQ_READ_MORE) {
            break;
        }
        if (result == AMQ_READ_VERSION) {
            protocol_error(conn, "the server does not speak AMQP 0-9-1");
            return;
        }
        conn->parse_left = conn->in_len - at - used;
        if (result != AMQ_READ_OK || !handle_frame(conn, &frame)) {
            if (conn->transport != NULL) {
                protocol_error(conn, "what the server sends is not what AMQP 0-9-1 says");
            }
            return;
        }
        at += used;
    }
    if (conn->pooled) {
        recycle_amqp_pool(&conn->pool);
    }
    pubsub__amqp_pub_tell(conn->self);
    if (conn->transport == NULL) {
        return;
    }
    if (at > 0) {
        memmove(conn->in, conn->in + at, conn->in_len - at);
        conn->in_len -= at;
    }
}

static bool try_next_host(amq_conn *conn);

/* ---- the transport's handlers ----------------------------------------------------------------- */

static void *on_buffer(void *ctx, size_t *size)
{
    amq_conn *conn = ctx;
    /* A frame is at most half of it, so there is always room. */
    *size = IN_SIZE - conn->in_len;
    return conn->in + conn->in_len;
}

static void on_data(void *ctx, void *bytes, size_t len)
{
    amq_conn *conn = ctx;
    (void)bytes; /* they are where on_buffer said */
    conn->in_len += len;
    conn->last_in_ns = pubsub_sink_now_ns(conn->self->sink);
    parse(conn);
}

static void on_writable(void *ctx)
{
    amq_conn *conn = ctx;
    if (pubsub__amqp_conn_flush(conn) && conn == &conn->self->pub_conn) {
        pubsub__amqp_pub_writable(conn->self);
    }
}

static void on_opened(void *ctx)
{
    amq_conn *conn = ctx;
    uint64_t now = pubsub_sink_now_ns(conn->self->sink);
    size_t hosts = pubsub_url_host_count(conn->self->config->url);
    pubsub__amqp_opened(conn);
    if (hosts >= conn->hosts_tried && conn->open_until_ns > now &&
        !conn->starved) { /* its share of the time */
        uint64_t share = (conn->open_until_ns - now) / (hosts - conn->hosts_tried + 1);
        pubsub_timer_start(conn->timer, (pubsub_duration_ms)(share / 1000000u) + 1);
    }
}

/* A host took the connection and was given its time. */
static void on_silence(amq_conn *conn)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, PUBSUB_ECONNECT,
                     conn->state == AMQ_STARTING
                         ? "%.120s accepts connections and says nothing; is it a broker of AMQP "
                           "0-9-1, is it the right port?"
                         : "%.120s began to speak AMQP 0-9-1 and did not answer in time",
                     pubsub_transport_peer(conn->transport));
    if (!try_next_host(conn)) {
        pubsub__amqp_conn_fail(conn, &error);
    }
}

static void on_closed(void *ctx, const pubsub_error *err)
{
    amq_conn *conn = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    bool greeted = conn->state == AMQ_STARTING;
    if (err != NULL) {
        error = *err;
    } else {
        pubsub_error_set(&error, PUBSUB_ELOST, "the connection was closed");
    }
    if (greeted && pubsub_err_is_retryable(error.code) && try_next_host(conn)) {
        return;
    }
    pubsub__amqp_conn_fail(conn, &error);
}

static const pubsub_transport_handlers handlers = {.opened = on_opened,
                                                   .buffer = on_buffer,
                                                   .data = on_data,
                                                   .writable = on_writable,
                                                   .closed = on_closed};

/* ---- heartbeats ------------------------------------------------------------------------------- */

/* A broker that is there and does not confirm: what it has is unknown, and goes out again. */
static bool confirm_is_missing(amq_conn *conn)
{
    uint64_t waited = pubsub__amqp_pub_overdue(conn->self);
    if (waited > 0) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_error_set(&error, PUBSUB_ELOST,
                         "the broker did not confirm a message within %u s (amqp.confirm_timeout)",
                         (unsigned)(waited / 1000000000u));
        pubsub__amqp_conn_fail(conn, &error);
    }
    return waited > 0;
}

/* When to look again. */
static pubsub_duration_ms look_after(const amq_conn *conn)
{
    const amq_pub *pub = &conn->self->pub;
    pubsub_duration_ms next =
        conn->heartbeat_s > 0 ? (pubsub_duration_ms)conn->heartbeat_s * 500 : 60000;
    pubsub_duration_ms patience = (pubsub_duration_ms)(pub->patience_ns / 4000000u);
    if (conn == &conn->self->pub_conn) {
        next = patience > 0 && patience < next ? patience : next;
        next = pub->retry_ns != 0 && next > 50 ? 50 : next;
    }
    return next;
}

static void on_timer(void *ctx)
{
    amq_conn *conn = ctx;
    amq_self *self = conn->self;
    uint64_t now = pubsub_sink_now_ns(self->sink);
    uint64_t beat = (uint64_t)conn->heartbeat_s * 1000000000u;
    if (conn->transport == NULL) {
        return;
    }
    if (conn->starved) {
        starved(conn);
        return;
    }
    if (conn->state < AMQ_PREPARING) {
        on_silence(conn);
        return;
    }
    if (beat > 0 && now - conn->last_in_ns > 2 * beat) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_error_set(&error, PUBSUB_ELOST,
                         "nothing was heard of the broker for two heartbeats of %u s",
                         conn->heartbeat_s);
        pubsub__amqp_conn_fail(conn, &error);
        return;
    }
    if (beat > 0 && now - conn->last_out_ns >= beat / 2 - beat / 8 &&
        pubsub__amqp_out_waits(&conn->out) == 0 && !pubsub__amqp_put_heartbeat(&conn->out)) {
        starved(conn);
        return;
    }
    if (conn == &self->pub_conn && conn->state == AMQ_UP && confirm_is_missing(conn)) {
        return;
    }
    if (conn == &self->pub_conn && self->pub.retry_ns != 0 && now >= self->pub.retry_ns) {
        self->pub.retry_ns = 0;
        pubsub_sink_writable(self->sink);
    }
    pubsub_timer_start(conn->timer, look_after(conn));
}

/* ---- life ------------------------------------------------------------------------------------- */

static amq_conn *conn_of(amq_self *self, uint32_t link)
{
    return link == 0 ? &self->pub_conn : link == self->sub_conn.link ? &self->sub_conn : NULL;
}

static pubsub_err open_transport(amq_conn *conn, pubsub_error *err)
{
    uint64_t now = pubsub_sink_now_ns(conn->self->sink);
    uint64_t left = conn->open_until_ns > now ? conn->open_until_ns - now : 0;
    pubsub_transport_request request = {.port = 5672,
                                        .tls_port = 5671,
                                        .timeout = (pubsub_duration_ms)(left / 1000000u) + 1,
                                        .write_max = WRITE_MAX};
    if (conn->in == NULL) {
        conn->in = pubsub__alloc(IN_SIZE);
    }
    if (conn->in == NULL) {
        conn->transport = NULL;
        return pubsub_error_set(err, PUBSUB_ELOST, "no memory for a connection");
    }
    conn->frame_max = AMQ_FRAME_FIRST; /* until it is agreed */
    conn->in_len = 0;
    conn->out.at = conn->out.len = 0;
    conn->blocked = conn->starved = false;
    conn->hosts_tried++;
    conn->transport = pubsub_sink_transport_open(conn->self->sink, &request, &handlers, conn, err);
    if (conn->transport == NULL) {
        return err->code != PUBSUB_OK ? err->code : PUBSUB_ECONNECT;
    }
    conn->state = AMQ_DIALING;
    return PUBSUB_OK;
}

/* A host can be reached and does not answer: the next transport begins with another one. False when there
 * is none, or no time. */
static bool try_next_host(amq_conn *conn)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (conn->state >= AMQ_PREPARING || conn->self->closing ||
        conn->hosts_tried >= pubsub_url_host_count(conn->self->config->url) ||
        pubsub_sink_now_ns(conn->self->sink) >= conn->open_until_ns) {
        return false;
    }
    pubsub_transport_free(conn->transport);
    return open_transport(conn, &error) == PUBSUB_OK;
}

pubsub_err pubsub__amqp_connect(void *ctx, uint32_t link, pubsub_error *err)
{
    amq_self *self = ctx;
    amq_conn *conn = conn_of(self, link);
    int64_t timeout = 5000;
    if (conn == NULL) {
        return pubsub_error_set(err, PUBSUB_EINTERNAL, "no such link");
    }
    self->closing = self->close_wanted = false;
    if (conn->timer == NULL) {
        conn->timer = pubsub_timer_new(self->sink, on_timer, conn);
    }
    if (conn->timer == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a timer");
    }
    (void)pubsub_options_int(self->config->options, "connect_timeout", &timeout);
    /* The core counts too, from a little earlier. */
    conn->open_until_ns =
        pubsub_sink_now_ns(self->sink) + (uint64_t)(timeout - timeout / 20) * 1000000u;
    conn->hosts_tried = 0;
    return open_transport(conn, err);
}

void pubsub__amqp_conn_up(amq_conn *conn)
{
    conn->state = AMQ_UP;
    pubsub_transport_good(conn->transport);
    pubsub_timer_start(conn->timer, conn->starved ? 0 : look_after(conn));
    pubsub_sink_link_up(conn->self->sink, conn->link);
}

/* The connection is no more: what lived on it ends. */
static void drop(amq_conn *conn, const pubsub_error *err)
{
    amq_self *self = conn->self;
    pubsub_transport_free(conn->transport);
    conn->transport = NULL;
    conn->state = AMQ_DOWN;
    conn->in_len = 0;
    conn->out.at = conn->out.len = 0;
    if (conn->timer != NULL) {
        pubsub_timer_stop(conn->timer);
    }
    for (size_t i = 0; i < conn->channel_count; i++) {
        amq_channel *channel = conn->channels[i];
        if (channel->sub != NULL) {
            pubsub__amqp_sub_lost(channel->sub);
        }
        channel->sub = NULL;
        channel->state = AMQ_CHANNEL_FREE;
        channel->content = 0;
    }
    if (conn == &self->pub_conn) {
        pubsub__amqp_pub_end(self, err);
        return;
    }
    for (amq_sub *sub = self->subs; sub != NULL; sub = sub->next) {
        sub->keeps = false;
    }
}

static void free_timers(amq_self *self)
{
    pubsub_timer_free(self->pub_conn.timer);
    pubsub_timer_free(self->sub_conn.timer);
    self->pub_conn.timer = self->sub_conn.timer = NULL;
}

void pubsub__amqp_closed_say(amq_self *self)
{
    if (self->close_wanted && self->pub_conn.transport == NULL &&
        self->sub_conn.transport == NULL) {
        self->close_wanted = false;
        self->sub_conn.link = 0;
        free_timers(self);
        pubsub_sink_closed(self->sink);
    }
}

void pubsub__amqp_conn_fail(amq_conn *conn, const pubsub_error *err)
{
    amq_self *self = conn->self;
    uint32_t link = conn->link;
    bool again = true;
    if (conn->state == AMQ_DOWN && conn->transport == NULL) {
        return;
    }
    drop(conn, err);
    if (self->closing) {
        pubsub__amqp_closed_say(self);
        return;
    }
    (void)pubsub_options_bool(self->config->options, "reconnect", &again);
    if (link != 0 && (!again || !pubsub_err_is_retryable(err->code))) {
        conn->link = 0; /* the core gives the number up */
    }
    pubsub_sink_link_down(self->sink, link, err);
}

void pubsub__amqp_disconnect(void *ctx, uint32_t link, bool final)
{
    amq_self *self = ctx;
    amq_conn *conn = conn_of(self, link);
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (conn == NULL) {
        return;
    }
    pubsub_error_set(&error, PUBSUB_ELOST, "the connection was given up");
    drop(conn, &error);
    if (final && link != 0) {
        conn->link = 0;
    }
    if (final && self->pub_conn.transport == NULL && self->sub_conn.transport == NULL) {
        self->close_wanted = false;
        free_timers(self);
    }
}

void pubsub__amqp_conn_close(amq_conn *conn)
{
    amqp_connection_close_t bye = {200, amqp_cstring_bytes("goodbye"), 0, 0};
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (conn->transport == NULL) {
        return;
    }
    /* A broker that holds us back does not read that we leave. */
    if (conn->state == AMQ_UP && !conn->blocked) {
        pubsub__amqp_send(conn, 0, AMQP_CONNECTION_CLOSE_METHOD, &bye);
        conn->state = AMQ_CLOSING;
        return;
    }
    pubsub_error_set(&error, PUBSUB_ECLOSED, "the client was closed");
    drop(conn, &error);
}

void pubsub__amqp_conn_free(amq_conn *conn)
{
    pubsub_transport_free(conn->transport);
    conn->transport = NULL;
    pubsub_timer_free(conn->timer);
    conn->timer = NULL;
    pubsub__amqp_out_fini(&conn->out);
    pubsub__free(conn->in);
    conn->in = NULL;
    if (conn->pooled) {
        empty_amqp_pool(&conn->pool);
        conn->pooled = false;
    }
    for (size_t i = 0; i < conn->channel_count; i++) {
        pubsub__free(conn->channels[i]);
    }
    pubsub__free(conn->channels);
    conn->channels = NULL;
    conn->channel_count = 0;
}

/* ---- channels --------------------------------------------------------------------------------- */

static amq_channel *free_channel(amq_conn *conn)
{
    /* There may be more than this broker allows: of an earlier connection. */
    for (size_t i = 0; i < conn->channel_count && i < conn->channel_max; i++) {
        if (conn->channels[i]->state == AMQ_CHANNEL_FREE && conn->channels[i]->sub == NULL) {
            return conn->channels[i];
        }
    }
    if (conn->channel_count >= conn->channel_max) {
        return NULL;
    }
    amq_channel **more =
        pubsub__realloc(conn->channels, (conn->channel_count + 1) * sizeof(amq_channel *));
    if (more == NULL) {
        return NULL;
    }
    conn->channels = more;
    amq_channel *channel = pubsub__calloc(1, sizeof(*channel));
    if (channel == NULL) {
        return NULL;
    }
    conn->channels[conn->channel_count++] = channel;
    channel->conn = conn;
    channel->number = (uint16_t)conn->channel_count;
    return channel;
}

amq_channel *pubsub__amqp_channel_open(amq_conn *conn)
{
    amq_channel *channel = free_channel(conn);
    amqp_channel_open_t open = {amqp_empty_bytes};
    if (channel == NULL) {
        return NULL;
    }
    channel->state = AMQ_CHANNEL_OPENING;
    channel->content = 0;
    pubsub__amqp_send(conn, channel->number, AMQP_CHANNEL_OPEN_METHOD, &open);
    return channel;
}

void pubsub__amqp_channel_close(amq_channel *channel)
{
    amqp_channel_close_t bye = {200, amqp_cstring_bytes("goodbye"), 0, 0};
    channel->sub = NULL;
    channel->body = NULL;
    if (channel->state == AMQ_CHANNEL_OPEN || channel->state == AMQ_CHANNEL_OPENING) {
        channel->state = AMQ_CHANNEL_CLOSING;
        pubsub__amqp_send(channel->conn, channel->number, AMQP_CHANNEL_CLOSE_METHOD, &bye);
    }
}
