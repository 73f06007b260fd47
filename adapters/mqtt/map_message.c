/* SPDX-License-Identifier: MIT */
#include "mqtt/map.h"

#include <string.h>

/* A publication as an MQTT PUBLISH and back. */

static bool equals(pubsub_bytes text, const char *name)
{
    size_t len = strlen(name);
    return text.len == len && memcmp(text.data, name, len) == 0;
}

/* A foreign header with one of our names would be read as ours: announced as if it were binary, it is
 * read as what it is. */
static bool must_encode(pubsub_bytes value)
{
    return !pubsub__mqtt_is_text(value);
}

static void need_one(pubsub_bytes value, size_t *properties, size_t *bytes)
{
    *properties += 1;
    if (must_encode(value)) {
        *properties += 1;
        *bytes += pubsub__mqtt_base64_size(value.len);
    }
}

void pubsub__mqtt_encode_need(const pubsub_publication *pub, size_t *properties, size_t *bytes)
{
    *properties = 0;
    *bytes = 0;
    if (pub->key.data != NULL) {
        need_one(pub->key, properties, bytes);
    }
    if (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) {
        *properties += 1;
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        need_one(pub->headers[i].value, properties, bytes);
    }
}

static void add_user(mqtt_message *out, mqtt_user_property *user, char **scratch, pubsub_bytes name,
                     pubsub_bytes value)
{
    if (must_encode(value)) {
        user[out->user_count++] = (mqtt_user_property){pubsub_bytes_of(MQTT_USER_BASE64), name};
        size_t len = pubsub__mqtt_base64_encode(*scratch, value.data, value.len);
        value = (pubsub_bytes){*scratch, len};
        *scratch += len;
    }
    user[out->user_count++] = (mqtt_user_property){name, value};
}

static pubsub_bytes present(pubsub_bytes bytes)
{
    return bytes.len > 0 ? bytes : (pubsub_bytes){NULL, 0};
}

void pubsub__mqtt_encode(const pubsub_publication *pub, int version, mqtt_user_property *user,
                         char *scratch, mqtt_message *out)
{
    memset(out, 0, sizeof(*out));
    out->topic = pub->topic;
    out->payload = pub->payload;
    out->retain = (pub->flags & PUBSUB_PUBLISH_RETAIN) != 0;
    out->expiry_s = MQTT_EXPIRY_NONE;
    if (version < MQTT_V5) {
        return;
    }
    out->content_type = present(pub->content_type);
    out->response_topic = present(pub->reply_to);
    out->correlation = present(pub->correlation);
    out->user = user;
    if (pub->key.data != NULL) {
        add_user(out, user, &scratch, pubsub_bytes_of(MQTT_USER_KEY), pub->key);
    }
    if (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) {
        add_user(out, user, &scratch, pubsub_bytes_of(MQTT_USER_TOMBSTONE), pubsub_bytes_of("1"));
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        add_user(out, user, &scratch, pub->headers[i].name, pub->headers[i].value);
    }
}

uint64_t pubsub__mqtt_packet_size(const mqtt_message *message, int version)
{
    /* fixed header, topic, packet identifier, length of the properties */
    uint64_t size = 5 + 2 + (uint64_t)message->topic.len + 2 + message->payload.len;
    if (version < MQTT_V5) {
        return size;
    }
    size += 4 + 5; /* length, and message expiry */
    size += message->content_type.data != NULL ? 3 + (uint64_t)message->content_type.len : 0;
    size += message->response_topic.data != NULL ? 3 + (uint64_t)message->response_topic.len : 0;
    size += message->correlation.data != NULL ? 3 + (uint64_t)message->correlation.len : 0;
    for (uint32_t i = 0; i < message->user_count; i++) {
        size += 5 + (uint64_t)message->user[i].name.len + message->user[i].value.len;
    }
    return size;
}

/* ---- received -------------------------------------------------------------------------------- */

size_t pubsub__mqtt_decode_need(const mqtt_message *message)
{
    enum { ALIGN = 16 };
    size_t need = message->topic.len + message->payload.len + message->content_type.len +
                  message->response_topic.len + message->correlation.len + (size_t)6 * ALIGN;
    for (uint32_t i = 0; i < message->user_count; i++) {
        need += message->user[i].name.len + message->user[i].value.len + (size_t)2 * ALIGN;
    }
    return need + message->user_count * sizeof(pubsub_header);
}

static pubsub_bytes copy(pubsub_block *block, pubsub_bytes bytes)
{
    return bytes.data == NULL ? (pubsub_bytes){NULL, 0} : pubsub_block_copy(block, bytes);
}

/* The bytes behind a base64 announcement; as they came when they are none. */
static pubsub_bytes copy_decoded(pubsub_block *block, pubsub_bytes text)
{
    size_t len = 0;
    unsigned char *to = pubsub_block_take(block, text.len + 1);
    if (to != NULL && pubsub__mqtt_base64_decode(text.data, text.len, to, &len)) {
        return (pubsub_bytes){to, len};
    }
    if (to != NULL && text.len > 0) {
        memcpy(to, text.data, text.len);
    }
    return (pubsub_bytes){to, to == NULL ? 0 : text.len};
}

static void take_key(pubsub_spi_message *out, pubsub_bytes value)
{
    out->key = value.data == NULL ? (pubsub_bytes){"", 0} : value; /* an empty key is a key */
}

static void decode_user(const mqtt_message *message, pubsub_block *block, pubsub_spi_message *out)
{
    pubsub_header *headers = pubsub_block_take(block, message->user_count * sizeof(pubsub_header));
    if (headers == NULL) {
        return;
    }
    for (uint32_t i = 0; i < message->user_count; i++) {
        const mqtt_user_property *user = &message->user[i];
        bool binary = false;
        if (equals(user->name, MQTT_USER_BASE64) && i + 1 < message->user_count &&
            user->value.len == user[1].name.len &&
            memcmp(user->value.data, user[1].name.data, user->value.len) == 0) {
            binary = true;
            user++;
            i++;
        }
        if (equals(user->name, MQTT_USER_TOMBSTONE) && message->payload.len == 0 && !binary) {
            out->flags |= PUBSUB_SPI_TOMBSTONE;
            continue;
        }
        pubsub_bytes value = binary ? copy_decoded(block, user->value) : copy(block, user->value);
        if (equals(user->name, MQTT_USER_KEY) && out->key.data == NULL) {
            take_key(out, value);
            continue;
        }
        headers[out->header_count++] = (pubsub_header){copy(block, user->name), value};
    }
    out->headers = headers;
}

void pubsub__mqtt_decode(const mqtt_message *message, pubsub_block *block, pubsub_spi_message *out)
{
    out->topic = copy(block, message->topic);
    out->payload = copy(block, message->payload);
    out->content_type = copy(block, message->content_type);
    out->reply_to = copy(block, message->response_topic);
    out->correlation = copy(block, message->correlation);
    out->qos = message->qos;
    out->flags |= message->retain ? PUBSUB_SPI_RETAINED : 0u;
    out->flags |= message->dup ? PUBSUB_SPI_REDELIVERED : 0u;
    out->flags |= message->qos == 0 ? PUBSUB_SPI_NO_ACK : 0u;
    if (message->expiry_s != MQTT_EXPIRY_NONE) {
        out->expires_ns = message->arrived_ns + (uint64_t)message->expiry_s * UINT64_C(1000000000);
    }
    if (message->user_count > 0) {
        decode_user(message, block, out);
    }
}
