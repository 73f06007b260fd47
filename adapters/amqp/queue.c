/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include <stdio.h>
#include <string.h>

/* Which queue a subscription has, and how it is declared. */

#define GROUP_PREFIX "pubsub.g."
#define DURABLE_PREFIX "pubsub.d."
/* An exclusive queue whose subscription was refused would fill up until the connection ends. */
#define UNUSED_MS 60000

static pubsub_err set_name(amq_queue *queue, const char *prefix, const char *name,
                           pubsub_error *err)
{
    int len = snprintf(queue->name, sizeof(queue->name), "%s%s", prefix, name);
    if (len < 0 || (size_t)len >= sizeof(queue->name)) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "the name of a queue has at most %u bytes; '%s%.40s...' has %d",
                                AMQ_SHORT_MAX, prefix, name, len);
    }
    return PUBSUB_OK;
}

/* A queue that the caller named: his options say how it is, if anything does. */
static void named_by_caller(const pubsub_options *options, amq_queue *out)
{
    static const char *const rows[] = {"amqp.queue_durable", "amqp.queue_auto_delete",
                                       "amqp.queue_exclusive", "amqp.queue_type",
                                       "amqp.queue_expires"};
    const char *type = pubsub_options_get(options, "amqp.queue_type");
    out->named = true;
    out->own = false;
    (void)pubsub_options_bool(options, "amqp.queue_durable", &out->durable);
    (void)pubsub_options_bool(options, "amqp.queue_auto_delete", &out->auto_delete);
    (void)pubsub_options_bool(options, "amqp.queue_exclusive", &out->exclusive);
    out->quorum = type != NULL && strcmp(type, "quorum") == 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        out->ask = out->ask || pubsub_options_is_set(options, rows[i]);
    }
}

/* The address to which answers come is the name of a queue, as programs expect that publish them to the
 * empty exchange. */
static bool is_inbox(const amq_self *self, const pubsub_subscribe_request *request)
{
    const char *prefix = pubsub_options_get(self->config->options, "inbox");
    size_t len = prefix == NULL ? 0 : strlen(prefix);
    const char *pattern = request->patterns[0].data;
    return len > 0 && request->literal && request->pattern_count == 1 &&
           request->patterns[0].len > len + 1 && memcmp(pattern, prefix, len) == 0 &&
           pattern[len] == '/';
}

static pubsub_err inbox_queue(const amq_self *self, const pubsub_subscribe_request *request,
                              amq_queue *out, pubsub_error *err)
{
    char key[AMQ_SHORT_MAX + 1];
    size_t len = 0;
    pubsub_bytes exchange;
    pubsub_err rc =
        pubsub__amqp_route(&self->naming, request->patterns[0], &exchange, key, &len, err);
    if (rc == PUBSUB_OK) {
        key[len] = '\0';
        memcpy(out->name, key, len + 1);
        out->exclusive = true;
    }
    return rc;
}

pubsub_err pubsub__amqp_queue(const amq_self *self, const pubsub_subscribe_request *request,
                              amq_queue *out, pubsub_error *err)
{
    const char *name = pubsub_options_get(request->options, "amqp.queue");
    const char *type = pubsub_options_get(request->options, "amqp.queue_type");
    bool durable = request->durable[0] != '\0';
    memset(out, 0, sizeof(*out));
    (void)pubsub_options_int(request->options, "amqp.queue_expires", &out->expires_ms);
    out->single_active = request->order_key && request->group[0] != '\0';
    if (is_inbox(self, request)) {
        return inbox_queue(self, request, out, err);
    }
    if (self->stream != NULL) {
        out->named = out->durable = out->stream = true;
        return set_name(out, "", self->stream, err);
    }
    if (self->naming.plain) {
        named_by_caller(request->options, out);
        return PUBSUB_OK; /* the names are the topics */
    }
    if (name != NULL) {
        named_by_caller(request->options, out);
        /* Consumers of a queue share it, so it cannot have the one holder of a durable name; and that of a
         * group is kept only where the queue is. */
        bool kept = out->durable && !out->auto_delete && !out->exclusive;
        if (durable && (request->group[0] == '\0' || !kept)) {
            return pubsub_error_set(
                err, PUBSUB_ENOTSUP,
                "amqp.queue names a queue whose consumers share it%s, so a durable name "
                "cannot be kept; leave one of the two out",
                kept ? "" : " and that is not kept");
        }
        return set_name(out, "", name, err);
    }
    if (!durable && request->group[0] == '\0') {
        out->exclusive = true;
        out->expires_ms = UNUSED_MS;
        return PUBSUB_OK;
    }
    out->own = out->named = out->durable = true;
    out->auto_delete = !durable;
    out->quorum = durable && type != NULL && strcmp(type, "quorum") == 0;
    return request->group[0] != '\0' ? set_name(out, GROUP_PREFIX, request->group, err)
                                     : set_name(out, DURABLE_PREFIX, request->durable, err);
}

static void add_text(amqp_table_t *table, const char *name, const char *value)
{
    amqp_table_entry_t *entry = &table->entries[table->num_entries++];
    entry->key = amqp_cstring_bytes(name);
    entry->value.kind = AMQP_FIELD_KIND_UTF8;
    entry->value.value.bytes = amqp_cstring_bytes(value);
}

void pubsub__amqp_declare(amq_conn *conn, uint16_t channel, const amq_queue *queue,
                          pubsub_bytes name, bool passive)
{
    amqp_table_entry_t entries[4];
    amqp_queue_declare_t declare = {0};
    declare.queue = pubsub__amqp_bytes(name);
    declare.passive = passive;
    declare.durable = queue->durable;
    declare.exclusive = queue->exclusive;
    declare.auto_delete = queue->auto_delete;
    declare.arguments.entries = entries;
    if (queue->quorum || queue->stream) {
        add_text(&declare.arguments, "x-queue-type", queue->stream ? "stream" : "quorum");
    }
    if (queue->single_active) {
        amqp_table_entry_t *entry = &entries[declare.arguments.num_entries++];
        entry->key = amqp_cstring_bytes("x-single-active-consumer");
        entry->value.kind = AMQP_FIELD_KIND_BOOLEAN;
        entry->value.value.boolean = 1;
    }
    if (queue->expires_ms > 0 && !queue->stream) {
        amqp_table_entry_t *entry = &entries[declare.arguments.num_entries++];
        entry->key = amqp_cstring_bytes("x-expires");
        entry->value.kind = AMQP_FIELD_KIND_I64;
        entry->value.value.i64 = queue->expires_ms;
    }
    if (passive) {
        declare.arguments.num_entries = 0;
    }
    pubsub__amqp_send(conn, channel, AMQP_QUEUE_DECLARE_METHOD, &declare);
}
