/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include <pubsub/version.h>

#include <stdio.h>
#include <string.h>

/* From the first byte to a connection that is open, and what is said on channel 0 later. AMQP 0-9-1
 * section 2.2.4; capabilities and connection.blocked are RabbitMQ's extensions. */

#define CREDENTIALS_MAX ((size_t)8 * 1024)

void pubsub__amqp_opened(amq_conn *conn)
{
    static const unsigned char greeting[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    conn->state = AMQ_STARTING;
    conn->last_in_ns = conn->last_out_ns = pubsub_sink_now_ns(conn->self->sink);
    if (!pubsub__amqp_put_raw(&conn->out, greeting, sizeof(greeting))) {
        pubsub__amqp_no_memory(conn);
    }
}

static const char *text_option(const amq_self *self, const char *name, const char *otherwise)
{
    const char *text = pubsub_options_get(self->config->options, name);
    return text == NULL ? otherwise : text;
}

static bool fail(amq_conn *conn, pubsub_err code, const char *text)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_error_set(&error, code, "%s", text);
    pubsub__amqp_conn_fail(conn, &error);
    return true;
}

/* ---- start ------------------------------------------------------------------------------------ */

static amqp_table_entry_t entry_text(const char *key, const char *value)
{
    amqp_table_entry_t entry;
    entry.key = amqp_cstring_bytes(key);
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes(value);
    return entry;
}

static amqp_table_entry_t entry_yes(const char *key)
{
    amqp_table_entry_t entry;
    entry.key = amqp_cstring_bytes(key);
    entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
    entry.value.value.boolean = 1;
    return entry;
}

static bool offers(amqp_bytes_t mechanisms, const char *name)
{
    size_t len = strlen(name);
    const char *at = mechanisms.bytes;
    for (size_t i = 0; i + len <= mechanisms.len; i++) {
        bool begins = i == 0 || at[i - 1] == ' ';
        bool ends = i + len == mechanisms.len || at[i + len] == ' ';
        if (begins && ends && memcmp(at + i, name, len) == 0) {
            return true;
        }
    }
    return false;
}

static bool start(amq_conn *conn, const amqp_connection_start_t *offer)
{
    const amq_self *self = conn->self;
    bool external = strcmp(text_option(self, "amqp.auth", "plain"), "external") == 0;
    const char *mechanism = external ? "EXTERNAL" : "PLAIN";
    const char *user = text_option(self, "user", "guest");
    const char *password = text_option(
        self, "password", pubsub_options_is_set(self->config->options, "user") ? "" : "guest");
    char response[CREDENTIALS_MAX];
    int len = 0;
    if (!offers(offer->mechanisms, mechanism)) {
        char text[80];
        (void)snprintf(text, sizeof(text), "the broker does not offer authentication by %s",
                       mechanism);
        return fail(conn, PUBSUB_EAUTH, text);
    }
    if (!external) {
        len = snprintf(response, sizeof(response), "%c%s%c%s", 0, user, 0, password);
    }
    if (len < 0 || (size_t)len >= sizeof(response)) {
        return fail(conn, PUBSUB_EOPTION, "user name and password are too long");
    }
    amqp_table_entry_t able[] = {
        entry_yes("publisher_confirms"),
        entry_yes("consumer_cancel_notify"),
        entry_yes("connection.blocked"),
        entry_yes("basic.nack"),
        entry_yes("authentication_failure_close"),
        entry_yes("exchange_exchange_bindings"),
        entry_yes("per_consumer_qos"),
    };
    amqp_table_entry_t properties[5] = {
        entry_text("product", "libpubsub"), entry_text("version", PUBSUB_VERSION_STRING),
        entry_text("platform", "C"),
        entry_text("connection_name",
                   text_option(self, "client_id", conn->link == 0 ? "pubsub" : "pubsub-sub"))};
    properties[4].key = amqp_cstring_bytes("capabilities");
    properties[4].value.kind = AMQP_FIELD_KIND_TABLE;
    properties[4].value.value.table.num_entries = (int)(sizeof(able) / sizeof(able[0]));
    properties[4].value.value.table.entries = able;
    amqp_connection_start_ok_t answer = {{5, properties},
                                         amqp_cstring_bytes(mechanism),
                                         {(size_t)len, response},
                                         amqp_cstring_bytes("en_US")};
    pubsub__amqp_send(conn, 0, AMQP_CONNECTION_START_OK_METHOD, &answer);
    memset(response, 0, sizeof(response));
    conn->state = AMQ_TUNING;
    return true;
}

/* ---- tune ------------------------------------------------------------------------------------- */

/* The smaller one, where 0 means no limit. */
static uint32_t lesser(uint32_t ours, uint32_t theirs)
{
    return theirs == 0 || (ours != 0 && ours < theirs) ? ours : theirs;
}

/* The path of the URL without its first slash; "/" when there is nothing. */
static const char *vhost_of(const amq_self *self)
{
    const char *path = pubsub_url_path(self->config->url);
    path = path != NULL && path[0] == '/' ? path + 1 : path;
    return text_option(self, "amqp.vhost", path == NULL || path[0] == '\0' ? "/" : path);
}

static bool tune(amq_conn *conn, const amqp_connection_tune_t *offer)
{
    int64_t beat_ms = 0;
    (void)pubsub_options_int(conn->self->config->options, "amqp.heartbeat", &beat_ms);
    /* Ours counts, also where the broker would rather have none: it must hear of us when we are lost. */
    conn->heartbeat_s = (uint16_t)((beat_ms + 999) / 1000);
    if (offer->heartbeat != 0 && conn->heartbeat_s > offer->heartbeat) {
        conn->heartbeat_s = offer->heartbeat;
    }
    conn->frame_max = lesser(AMQ_FRAME_MAX, offer->frame_max);
    conn->channel_max = (uint16_t)lesser(UINT16_MAX, offer->channel_max);
    if (conn->frame_max < AMQ_FRAME_MIN) {
        return fail(conn, PUBSUB_EPROTO, "the broker wants smaller frames than AMQP 0-9-1 allows");
    }
    amqp_connection_tune_ok_t answer = {conn->channel_max, conn->frame_max, conn->heartbeat_s};
    amqp_connection_open_t open = {amqp_cstring_bytes(vhost_of(conn->self)), amqp_empty_bytes, 0};
    if (open.virtual_host.len > AMQ_SHORT_MAX) {
        return fail(conn, PUBSUB_EOPTION, "the name of the virtual host is too long");
    }
    pubsub__amqp_send(conn, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &answer);
    pubsub__amqp_send(conn, 0, AMQP_CONNECTION_OPEN_METHOD, &open);
    conn->state = AMQ_OPENING;
    return true;
}

/* ---- afterwards ------------------------------------------------------------------------------- */

static bool opened(amq_conn *conn)
{
    if (conn == &conn->self->pub_conn) {
        conn->state = AMQ_PREPARING;
        pubsub__amqp_pub_begin(conn->self);
    } else {
        pubsub__amqp_conn_up(conn);
    }
    return true;
}

static bool closed(amq_conn *conn, const amqp_connection_close_t *why)
{
    amqp_connection_close_ok_t ok = {0};
    pubsub_err code = pubsub__amqp_code(why->reply_code);
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (conn->state == AMQ_TUNING && why->reply_code == AMQP_ACCESS_REFUSED) {
        code = PUBSUB_EAUTH;
    }
    /* What worked once is tried again: our own doing closes channels, not connections. */
    if (conn->state >= AMQ_UP && code != PUBSUB_EDENIED) {
        code = PUBSUB_ELOST;
    }
    pubsub__amqp_explain(&error, code, why->reply_code, why->reply_text,
                         "the broker closed the connection");
    pubsub__amqp_send(conn, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &ok);
    (void)pubsub__amqp_conn_flush(conn);
    pubsub__amqp_conn_fail(conn, &error);
    return true;
}

static void blocked(amq_conn *conn, const amqp_connection_blocked_t *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    conn->blocked = true;
    pubsub_error_set(&error, PUBSUB_EFULL, "the broker holds publishers back: %.*s",
                     (int)(why->reason.len < 120 ? why->reason.len : 120),
                     why->reason.bytes == NULL ? "" : (const char *)why->reason.bytes);
    pubsub_sink_error(conn->self->sink, NULL, &error);
}

static void unblocked(amq_conn *conn)
{
    conn->blocked = false;
    pubsub_sink_log(conn->self->sink, PUBSUB_LOG_INFO, "the broker takes publishes again");
    if (conn == &conn->self->pub_conn) {
        pubsub__amqp_pub_writable(conn->self);
    }
}

bool pubsub__amqp_conn_method(amq_conn *conn, const amqp_method_t *method)
{
    switch (method->id) {
    case AMQP_CONNECTION_START_METHOD:
        return conn->state == AMQ_STARTING && start(conn, method->decoded);
    case AMQP_CONNECTION_TUNE_METHOD:
        return conn->state == AMQ_TUNING && tune(conn, method->decoded);
    case AMQP_CONNECTION_SECURE_METHOD:
        return conn->state == AMQ_TUNING &&
               fail(conn, PUBSUB_EAUTH, "the broker asks for more than a password");
    case AMQP_CONNECTION_OPEN_OK_METHOD:
        return conn->state == AMQ_OPENING && opened(conn);
    case AMQP_CONNECTION_CLOSE_METHOD:
        return closed(conn, method->decoded);
    case AMQP_CONNECTION_CLOSE_OK_METHOD: {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_error_set(&error, PUBSUB_ECLOSED, "closed");
        pubsub__amqp_conn_fail(conn, &error);
        return true;
    }
    case AMQP_CONNECTION_BLOCKED_METHOD:
        blocked(conn, method->decoded);
        return true;
    case AMQP_CONNECTION_UNBLOCKED_METHOD:
        unblocked(conn);
        return true;
    default:
        return false;
    }
}
