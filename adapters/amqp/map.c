/* SPDX-License-Identifier: MIT */
#include "amqp/map.h"

#include "base/utf8.h"
#include "topic/container.h"

#include <string.h>

/* Names, and publications as AMQP messages. */

static bool begins(pubsub_bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

bool pubsub__amqp_is_broker_name(pubsub_bytes topic)
{
    return begins(topic, "amq.gen-") || begins(topic, "amq.rabbitmq.reply-to");
}

/* ---- names ------------------------------------------------------------------------------------ */

static pubsub_err copy_name(pubsub_bytes topic, char *key, size_t *key_len, pubsub_error *err)
{
    if (topic.len > AMQ_SHORT_MAX) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "the topic has %zu bytes, the name of a queue at most %u",
                                topic.len, AMQ_SHORT_MAX);
    }
    memcpy(key, topic.data, topic.len);
    *key_len = topic.len;
    return PUBSUB_OK;
}

pubsub_err pubsub__amqp_route(const amq_naming *naming, pubsub_bytes topic, pubsub_bytes *exchange,
                              char *key, size_t *key_len, pubsub_error *err)
{
    char encoded[PUBSUB__CONTAINER_BUF];
    if (naming->plain || pubsub__amqp_is_broker_name(topic)) {
        *exchange = (pubsub_bytes){"", 0};
        return copy_name(topic, key, key_len, err);
    }
    *exchange = naming->exchange;
    pubsub_err rc = pubsub__container_encode(PUBSUB__CONTAINER_AMQP, topic.data, topic.len, encoded,
                                             sizeof(encoded), key_len, err);
    if (rc == PUBSUB_OK) {
        memcpy(key, encoded, *key_len);
    }
    return rc;
}

pubsub_err pubsub__amqp_binding(pubsub_bytes pattern, char *key, bool *exact, pubsub_error *err)
{
    char encoded[PUBSUB__CONTAINER_BUF];
    pubsub_err rc = pubsub__container_pattern(PUBSUB__CONTAINER_AMQP, pattern.data, pattern.len,
                                              encoded, sizeof(encoded), exact, err);
    if (rc == PUBSUB_OK) {
        memcpy(key, encoded, strlen(encoded) + 1);
    }
    return rc;
}

/* ---- publishing ------------------------------------------------------------------------------- */

size_t pubsub__amqp_encode_need(const pubsub_publication *pub)
{
    /* flags, table length, delivery mode, timestamp, six short strings: the longest they can be */
    size_t need = 2 + 4 + 1 + 8 + (size_t)6 * (1 + AMQ_SHORT_MAX);
    need += pub->key.len + 32 + 32; /* key and tombstone */
    for (size_t i = 0; i < pub->header_count; i++) {
        need += 1 + pub->headers[i].name.len + 1 + 4 + pub->headers[i].value.len;
    }
    return need;
}

static void add(amqp_table_t *table, pubsub_bytes name, pubsub_bytes value)
{
    amqp_table_entry_t *entry = &table->entries[table->num_entries++];
    const char *text = value.len > 0 ? value.data : "";
    entry->key = pubsub__amqp_bytes(name);
    entry->value.kind =
        pubsub__utf8_check(text, value.len) ? AMQP_FIELD_KIND_UTF8 : AMQP_FIELD_KIND_BYTES;
    entry->value.value.bytes = pubsub__amqp_bytes((pubsub_bytes){text, value.len});
}

static void set(amqp_basic_properties_t *out, amqp_flags_t flag, amqp_bytes_t *to,
                pubsub_bytes value)
{
    if (value.len > 0) {
        out->_flags |= flag;
        *to = pubsub__amqp_bytes(value);
    }
}

void pubsub__amqp_encode(const pubsub_publication *pub, const amq_naming *naming,
                         amqp_table_entry_t *entries, char *reply_to, amqp_basic_properties_t *out)
{
    memset(out, 0, sizeof(*out));
    out->headers.entries = entries;
    if (pub->key.data != NULL) {
        add(&out->headers, pubsub_bytes_of(AMQ_HEADER_KEY), pub->key);
    }
    if (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) {
        add(&out->headers, pubsub_bytes_of(AMQ_HEADER_TOMBSTONE), pubsub_bytes_of("1"));
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        add(&out->headers, pub->headers[i].name, pub->headers[i].value);
    }
    out->_flags = AMQP_BASIC_DELIVERY_MODE_FLAG |
                  (out->headers.num_entries > 0 ? AMQP_BASIC_HEADERS_FLAG : 0u);
    out->delivery_mode = pub->qos > 0 ? AMQP_DELIVERY_PERSISTENT : AMQP_DELIVERY_NONPERSISTENT;
    set(out, AMQP_BASIC_CONTENT_TYPE_FLAG, &out->content_type, pub->content_type);
    set(out, AMQP_BASIC_CORRELATION_ID_FLAG, &out->correlation_id, pub->correlation);
    if (pub->reply_to.len > 0) {
        pubsub_bytes exchange;
        size_t len = 0;
        if (pubsub__amqp_route(naming, pub->reply_to, &exchange, reply_to, &len, NULL) ==
            PUBSUB_OK) {
            set(out, AMQP_BASIC_REPLY_TO_FLAG, &out->reply_to, (pubsub_bytes){reply_to, len});
        }
    }
}

static pubsub_err too_long(pubsub_error *err, const char *what, size_t len)
{
    return pubsub_error_set(err, PUBSUB_ETOOBIG, "%s has %zu bytes, in AMQP 0-9-1 at most %u", what,
                            len, AMQ_SHORT_MAX);
}

pubsub_err pubsub__amqp_encode_check(const pubsub_publication *pub, const amq_naming *naming,
                                     pubsub_error *err)
{
    char key[AMQ_SHORT_MAX + 1];
    size_t len = 0;
    pubsub_bytes exchange;
    pubsub_err rc = pubsub__amqp_route(naming, pub->topic, &exchange, key, &len, err);
    if (rc == PUBSUB_OK && pub->reply_to.len > 0) {
        rc = pubsub__amqp_route(naming, pub->reply_to, &exchange, key, &len, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (pub->content_type.len > AMQ_SHORT_MAX) {
        return too_long(err, "the content type", pub->content_type.len);
    }
    if (pub->correlation.len > AMQ_SHORT_MAX) {
        return too_long(err, "the correlation", pub->correlation.len);
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        if (pub->headers[i].name.len > AMQ_SHORT_MAX) {
            return too_long(err, "the name of a header", pub->headers[i].name.len);
        }
    }
    if (pubsub__amqp_encode_need(pub) > AMQ_FRAME_MAX - 64) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG,
                                "headers and key of a message must fit into a frame of %u bytes",
                                AMQ_FRAME_MAX);
    }
    return PUBSUB_OK;
}

/* ---- ids -------------------------------------------------------------------------------------- */

static const char hex_digits[] = "0123456789abcdef";

void pubsub__amqp_id_write(char out[AMQ_ID_LEN], const char tag[AMQ_ID_TAG], uint64_t number)
{
    size_t at = sizeof(AMQ_ID_PREFIX) - 1;
    memcpy(out, AMQ_ID_PREFIX, at);
    memcpy(out + at, tag, AMQ_ID_TAG);
    at += AMQ_ID_TAG;
    out[at++] = '-';
    for (int i = 0; i < 16; i++) {
        out[at++] = hex_digits[number >> (60 - 4 * i) & 15];
    }
}

bool pubsub__amqp_id_read(pubsub_bytes id, const char tag[AMQ_ID_TAG], uint64_t *out)
{
    size_t at = sizeof(AMQ_ID_PREFIX) - 1;
    const char *text = id.data;
    if (id.len != AMQ_ID_LEN || memcmp(text, AMQ_ID_PREFIX, at) != 0 ||
        memcmp(text + at, tag, AMQ_ID_TAG) != 0 || text[at + AMQ_ID_TAG] != '-') {
        return false;
    }
    *out = 0;
    for (at += AMQ_ID_TAG + 1; at < AMQ_ID_LEN; at++) {
        const char *digit = text[at] == '\0' ? NULL : strchr(hex_digits, text[at]);
        if (digit == NULL) {
            return false;
        }
        *out = *out << 4 | (uint64_t)(digit - hex_digits);
    }
    return true;
}
