/* SPDX-License-Identifier: MIT */
#include "amqp/map.h"

#include "topic/container.h"

#include <string.h>

/* An AMQP message as a message of ours. The whole header frame is copied once and pointed into; only names
 * that are written differently, and values that are no strings, take room of their own. */

enum { ALIGN = 8, EXTRA_MAX = 8 };

static bool equals(pubsub_bytes text, const char *name)
{
    size_t len = strlen(name);
    return text.len == len && memcmp(text.data, name, len) == 0;
}

static size_t aligned(size_t len)
{
    return (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* What the broker adds for us and is not a header of the message. */
typedef struct own_fields {
    amq_field key;
    bool has_key;
    bool tombstone;
    int64_t delivery_count; /* of a quorum queue; -1 = none */
    int64_t offset;         /* in a stream; -1 = none */
} own_fields;

static bool take_own(const amq_field *field, own_fields *own)
{
    if (equals(field->name, AMQ_HEADER_KEY) && pubsub__amqp_field_is_bytes(field)) {
        own->key = *field;
        own->has_key = true;
        return true;
    }
    if (equals(field->name, AMQ_HEADER_TOMBSTONE)) {
        own->tombstone = true;
        return true;
    }
    return (equals(field->name, "x-delivery-count") &&
            pubsub__amqp_field_number(field, &own->delivery_count)) ||
           (equals(field->name, "x-stream-offset") &&
            pubsub__amqp_field_number(field, &own->offset));
}

/* Properties that have no place of their own in a message. */
static size_t extra(const amq_properties *props, pubsub_header *out)
{
    const struct {
        const char *name;
        pubsub_bytes value;
    } rows[] = {
        {"amqp-content-encoding", props->content_encoding},
        {"amqp-message-id", props->message_id},
        {"amqp-type", props->type},
        {"amqp-user-id", props->user_id},
        {"amqp-app-id", props->app_id},
        {"amqp-cluster-id", props->cluster_id},
    };
    size_t count = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bool ours = rows[i].value.len == AMQ_ID_LEN &&
                    memcmp(rows[i].value.data, AMQ_ID_PREFIX, sizeof(AMQ_ID_PREFIX) - 1) == 0;
        if (rows[i].value.len > 0 && !ours) {
            out[count++] = (pubsub_header){pubsub_bytes_of(rows[i].name), rows[i].value};
        }
    }
    return count;
}

size_t pubsub__amqp_decode_need(const amq_properties *props, size_t props_size,
                                const amq_delivery *delivery)
{
    size_t headers = EXTRA_MAX;
    size_t need = aligned(props_size) + aligned(delivery->routing_key.len + 1) + ALIGN;
    pubsub_bytes rest = props->headers;
    amq_field field;
    need += aligned(props->reply_to.len + 1);
    while (pubsub__amqp_table_next(&rest, &field)) {
        headers++;
        if (!pubsub__amqp_field_is_bytes(&field)) {
            need += aligned(pubsub__amqp_field_text(&field, NULL, 0) + 1);
        }
    }
    return need + (headers + 1) * sizeof(pubsub_header);
}

/* Where a slice of the frame is in its copy. */
static pubsub_bytes moved(pubsub_bytes slice, pubsub_bytes raw, const unsigned char *copy)
{
    if (slice.len == 0) {
        return (pubsub_bytes){NULL, 0};
    }
    const unsigned char *from = raw.data;
    return (pubsub_bytes){copy + ((const unsigned char *)slice.data - from), slice.len};
}

static pubsub_bytes value_of(const amq_field *field, pubsub_bytes raw, const unsigned char *copy,
                             pubsub_block *block)
{
    if (pubsub__amqp_field_is_bytes(field)) {
        return field->value.len == 0 ? (pubsub_bytes){"", 0} : moved(field->value, raw, copy);
    }
    size_t len = pubsub__amqp_field_text(field, NULL, 0);
    char *text = pubsub_block_take(block, len + 1);
    if (text == NULL) {
        return (pubsub_bytes){"", 0};
    }
    (void)pubsub__amqp_field_text(field, text, len);
    return (pubsub_bytes){text, len};
}

static bool decode_headers(const amq_properties *props, pubsub_bytes raw, const unsigned char *copy,
                           pubsub_block *block, own_fields *own, pubsub_spi_message *out)
{
    static const char undecoded[] = "amqp-undecoded";
    size_t count = 0;
    pubsub_bytes rest = props->headers;
    amq_field field;
    pubsub_header extras[EXTRA_MAX];
    size_t extra_count = extra(props, extras);
    while (pubsub__amqp_table_next(&rest, &field)) {
        count++;
    }
    size_t broken = rest.len;
    if (count + extra_count == 0 && broken == 0) {
        return true;
    }
    pubsub_header *headers =
        pubsub_block_take(block, (count + extra_count + 1) * sizeof(pubsub_header));
    if (headers == NULL) {
        return false;
    }
    size_t n = 0;
    rest = props->headers;
    while (pubsub__amqp_table_next(&rest, &field)) {
        if (!take_own(&field, own)) {
            headers[n++] =
                (pubsub_header){moved(field.name, raw, copy), value_of(&field, raw, copy, block)};
        }
    }
    for (size_t i = 0; i < extra_count; i++) {
        headers[n++] = (pubsub_header){extras[i].name, moved(extras[i].value, raw, copy)};
    }
    if (broken > 0) { /* fields of a type nobody knows: their bytes as they came */
        headers[n++] = (pubsub_header){{undecoded, sizeof(undecoded) - 1}, moved(rest, raw, copy)};
    }
    out->headers = headers;
    out->header_count = (uint32_t)n;
    return true;
}

static pubsub_bytes decode_name(const amq_naming *naming, pubsub_bytes name, bool plain,
                                pubsub_bytes pattern, pubsub_block *block)
{
    char *text = pubsub_block_take(block, name.len + 1);
    size_t len = 0;
    if (text == NULL) {
        return (pubsub_bytes){"", 0};
    }
    if (plain || naming->plain || pubsub__amqp_is_broker_name(name)) {
        memcpy(text, name.data, name.len);
        return (pubsub_bytes){text, name.len};
    }
    if (name.len == 0 ||
        pubsub__container_topic_of(PUBSUB__CONTAINER_AMQP, name.data, name.len, pattern.data,
                                   pattern.len, text, name.len + 1, &len) != PUBSUB_OK) {
        return (pubsub_bytes){"", 0};
    }
    return (pubsub_bytes){text, len};
}

/* Milliseconds of an expiration; 0 = none or no number. */
static uint64_t expiration_ms(pubsub_bytes text)
{
    uint64_t ms = 0;
    const char *at = text.data;
    for (size_t i = 0; i < text.len; i++) {
        if (at[i] < '0' || at[i] > '9' || i > 12) {
            return 0;
        }
        ms = ms * 10 + (uint64_t)(at[i] - '0');
    }
    return ms;
}

bool pubsub__amqp_decode(const amq_properties *props, pubsub_bytes raw,
                         const amq_delivery *delivery, const amq_naming *naming,
                         pubsub_bytes pattern, uint64_t wall_ns, pubsub_block *block,
                         pubsub_spi_message *out)
{
    own_fields own = {.delivery_count = -1, .offset = -1};
    unsigned char *copy = pubsub_block_take(block, raw.len);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, raw.data, raw.len);
    out->topic = decode_name(naming, delivery->routing_key, false, pattern, block);
    if (props->reply_to.len > 0) {
        out->reply_to = decode_name(naming, props->reply_to, false, (pubsub_bytes){NULL, 0}, block);
    }
    out->content_type = moved(props->content_type, raw, copy);
    out->correlation = moved(props->correlation_id, raw, copy);
    if (!decode_headers(props, raw, copy, block, &own, out)) {
        return false;
    }
    if (own.has_key) {
        out->key = own.key.value.len == 0 ? (pubsub_bytes){"", 0} : moved(own.key.value, raw, copy);
    }
    out->flags |= own.tombstone ? PUBSUB_SPI_TOMBSTONE : 0u;
    out->flags |= delivery->redelivered ? PUBSUB_SPI_REDELIVERED : 0u;
    out->attempt = own.delivery_count >= 0 && own.delivery_count < INT32_MAX
                       ? (uint32_t)own.delivery_count + 1
                       : 1;
    if (own.offset >= 0) {
        out->position[0] = (uint64_t)own.offset;
        out->position[1] = 0;
    }
    out->qos = props->delivery_mode == AMQP_DELIVERY_PERSISTENT ? 1 : 0;
    out->timestamp_ns =
        props->timestamp < UINT64_MAX / 1000000000u ? props->timestamp * 1000000000u : 0;
    uint64_t ms = expiration_ms(props->expiration);
    out->expires_ns = ms > 0 && ms < (uint64_t)1 << 40 ? wall_ns + ms * 1000000u : 0;
    out->token = delivery->tag;
    return true;
}
