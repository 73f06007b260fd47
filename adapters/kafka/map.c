/* SPDX-License-Identifier: MIT */
#include "kafka/map.h"

#include "base/utf8.h"
#include "topic/container.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Longest number of nanoseconds as text. */
enum { NUMBER_MAX = 24, ALIGN = 8 };

static bool equals(pubsub_bytes text, const char *name)
{
    size_t len = strlen(name);
    return text.len == len && memcmp(text.data, name, len) == 0;
}

bool pubsub__kafka_is_inbox(pubsub_bytes topic)
{
    static const char prefix[] = "$inbox/";
    return topic.len > sizeof(prefix) - 1 && memcmp(topic.data, prefix, sizeof(prefix) - 1) == 0;
}

pubsub_err pubsub__kafka_container(const kaf_naming *naming, pubsub_bytes topic, char *out,
                                   size_t *len, pubsub_error *err)
{
    const char *one = naming->fold;
    if (one == NULL && pubsub__kafka_is_inbox(topic)) {
        one = KAF_CONTAINER_INBOX;
    }
    if (one != NULL) {
        *len = strlen(one);
        if (*len > KAF_NAME_MAX) {
            return pubsub_error_set(err, PUBSUB_ETOPIC, "kafka.topic has at most %u bytes",
                                    (unsigned)KAF_NAME_MAX);
        }
        memcpy(out, one, *len + 1);
        return PUBSUB_OK;
    }
    pubsub_err rc = pubsub__container_encode(PUBSUB__CONTAINER_KAFKA, topic.data, topic.len, out,
                                             KAF_NAME_MAX + 1, len, err);
    if (rc == PUBSUB_OK && pubsub__container_is_internal(out, *len)) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "the Kafka topic '%.80s' would be one of the broker's or the "
                                "library's own",
                                out);
    }
    return rc;
}

/* A byte takes three at most, and what is refused is short or begins as below: so a usual topic is not encoded,
 * which each publish would pay for. */
pubsub_err pubsub__kafka_container_check(const kaf_naming *naming, pubsub_bytes topic,
                                         pubsub_error *err)
{
    static const char ours[] = "pubsub";
    const size_t n = sizeof(ours) - 1;
    const char *at = topic.data;
    char name[KAF_NAME_MAX + 1];
    size_t len = 0;
    if (naming->fold == NULL && topic.len > n && topic.len <= KAF_NAME_MAX / 3 &&
        memcmp(at, "__", 2) != 0 && (memcmp(at, ours, n) != 0 || (at[n] != '.' && at[n] != '/'))) {
        return PUBSUB_OK;
    }
    return pubsub__kafka_container(naming, topic, name, &len, err);
}

/* ---- encoding -------------------------------------------------------------------------------------- */

static bool add(rd_kafka_headers_t *headers, pubsub_bytes name, pubsub_bytes value)
{
    const void *data = value.len > 0 ? value.data : "";
    return rd_kafka_header_add(headers, name.data, (ssize_t)name.len, data, (ssize_t)value.len) ==
           RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool pubsub__kafka_needs_topic(const kaf_naming *naming, pubsub_bytes topic)
{
    return naming->fold != NULL || pubsub__kafka_is_inbox(topic) ||
           pubsub__container_needs_header(PUBSUB__CONTAINER_KAFKA, topic.data, topic.len);
}

pubsub_err pubsub__kafka_encode_headers(const pubsub_publication *pub, bool with_topic,
                                        uint64_t expires_ns, rd_kafka_headers_t **out)
{
    size_t count = pub->header_count + (with_topic ? 1 : 0) + (pub->content_type.len > 0 ? 1 : 0) +
                   (pub->reply_to.len > 0 ? 1 : 0) + (pub->correlation.len > 0 ? 1 : 0) +
                   (expires_ns > 0 ? 1 : 0);
    char number[NUMBER_MAX];
    bool ok = true;
    *out = NULL;
    if (count == 0) {
        return PUBSUB_OK;
    }
    rd_kafka_headers_t *headers = rd_kafka_headers_new(count);
    if (with_topic) {
        ok = add(headers, pubsub_bytes_of(KAF_HEADER_TOPIC), pub->topic);
    }
    if (pub->content_type.len > 0) {
        ok = ok && add(headers, pubsub_bytes_of(KAF_HEADER_CONTENT_TYPE), pub->content_type);
    }
    if (pub->reply_to.len > 0) {
        ok = ok && add(headers, pubsub_bytes_of(KAF_HEADER_REPLY), pub->reply_to);
    }
    if (pub->correlation.len > 0) {
        ok = ok && add(headers, pubsub_bytes_of(KAF_HEADER_CORRELATION), pub->correlation);
    }
    if (expires_ns > 0) {
        int len = snprintf(number, sizeof(number), "%" PRIu64, expires_ns);
        ok = ok &&
             add(headers, pubsub_bytes_of(KAF_HEADER_EXPIRES), (pubsub_bytes){number, (size_t)len});
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        ok = ok && add(headers, pub->headers[i].name, pub->headers[i].value);
    }
    if (!ok) {
        rd_kafka_headers_destroy(headers);
        return PUBSUB_ENOMEM;
    }
    *out = headers;
    return PUBSUB_OK;
}

/* ---- decoding -------------------------------------------------------------------------------------- */

static size_t aligned(size_t len)
{
    return (len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

/* Header number i; false behind the last one. */
static bool header_at(const rd_kafka_headers_t *headers, size_t i, pubsub_header *out)
{
    const char *name = NULL;
    const void *value = NULL;
    size_t size = 0;
    if (headers == NULL ||
        rd_kafka_header_get_all(headers, i, &name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return false;
    }
    *out = (pubsub_header){pubsub_bytes_of(name), {value, value == NULL ? 0 : size}};
    return true;
}

kaf_record pubsub__kafka_record(rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        headers = NULL;
    }
    return (kaf_record){.container = rd_kafka_topic_name(message->rkt),
                        .key = message->key,
                        .key_len = message->key_len,
                        .payload = message->payload,
                        .payload_len = message->len,
                        .headers = headers,
                        .timestamp_ms = rd_kafka_message_timestamp(message, &type),
                        .partition = message->partition,
                        .offset = message->offset};
}

/* Of a topic that is made of a container's name. */
static size_t room_for_topic(const char *container, pubsub_bytes pattern)
{
    size_t len = strlen(container);
    return (len > pattern.len ? len : pattern.len) + 1;
}

size_t pubsub__kafka_decode_need(const kaf_record *record, pubsub_bytes pattern)
{
    size_t need = aligned(room_for_topic(record->container, pattern)) +
                  aligned(record->payload_len) + aligned(record->key_len) + 4 * ALIGN;
    pubsub_header header;
    for (size_t i = 0; header_at(record->headers, i, &header); i++) {
        need += sizeof(header) + aligned(header.name.len) + aligned(header.value.len) + 2 * ALIGN;
    }
    return need;
}

static uint64_t number_of(pubsub_bytes text)
{
    const char *at = text.data;
    uint64_t value = 0;
    if (text.len == 0 || text.len > 19) {
        return 0;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (at[i] < '0' || at[i] > '9') {
            return 0;
        }
        value = value * 10 + (uint64_t)(at[i] - '0');
    }
    return value;
}

/* What the headers that are not the message's own say. */
typedef struct own_headers {
    pubsub_bytes topic;
    pubsub_bytes reply;
    pubsub_bytes correlation;
    pubsub_bytes content_type;
    uint64_t expires_ns;
} own_headers;

/* The first one of each counts; another one is a header like any. */
static bool once(pubsub_bytes *to, const pubsub_header *header, const char *name)
{
    if (to->len > 0 || header->value.len == 0 || !equals(header->name, name)) {
        return false;
    }
    *to = header->value;
    return true;
}

static bool is_topic(pubsub_bytes text)
{
    return pubsub_topic_check(text.data, text.len, NULL) == PUBSUB_OK;
}

static bool take_own(const pubsub_header *header, own_headers *own)
{
    pubsub_bytes value = header->value;
    if (equals(header->name, KAF_HEADER_EXPIRES) && own->expires_ns == 0) {
        own->expires_ns = number_of(value);
        return own->expires_ns > 0;
    }
    return (is_topic(value) && once(&own->topic, header, KAF_HEADER_TOPIC)) ||
           (is_topic(value) && once(&own->reply, header, KAF_HEADER_REPLY)) ||
           once(&own->correlation, header, KAF_HEADER_CORRELATION) ||
           (pubsub__utf8_check(value.data == NULL ? "" : value.data, value.len) &&
            once(&own->content_type, header, KAF_HEADER_CONTENT_TYPE));
}

/* A name that no header here can have: the record is shown all the same. */
static bool is_name(pubsub_bytes name)
{
    return name.len > 0 && name.len <= PUBSUB_HEADER_NAME_MAX &&
           pubsub__utf8_check(name.data, name.len);
}

static bool decode_headers(const rd_kafka_headers_t *headers, pubsub_block *block, own_headers *own,
                           pubsub_spi_message *out)
{
    static const char undecoded[] = "kafka-undecoded";
    size_t count = headers == NULL ? 0 : rd_kafka_header_cnt(headers);
    pubsub_header header;
    size_t n = 0;
    if (count == 0) {
        return true;
    }
    pubsub_header *list = pubsub_block_take(block, count * sizeof(*list));
    if (list == NULL) {
        return false;
    }
    for (size_t i = 0; n < PUBSUB_HEADERS_MAX && header_at(headers, i, &header); i++) {
        if (take_own(&header, own)) {
            continue;
        }
        pubsub_bytes value = pubsub_block_copy(block, header.value);
        value.data = header.value.len == 0 ? "" : value.data;
        list[n].name = is_name(header.name) ? pubsub_block_copy(block, header.name)
                                            : (pubsub_bytes){undecoded, sizeof(undecoded) - 1};
        list[n++].value = value;
    }
    out->headers = list;
    out->header_count = (uint32_t)n;
    return true;
}

static bool decode_topic(const kaf_record *record, const own_headers *own, pubsub_bytes pattern,
                         pubsub_block *block, pubsub_spi_message *out)
{
    const char *name = record->container;
    size_t len = 0;
    if (own->topic.len > 0) {
        out->topic = pubsub_block_copy(block, own->topic);
        return out->topic.data != NULL;
    }
    if (record->known.len > 0) {
        out->topic = record->known;
        return true;
    }
    size_t size = room_for_topic(name, pattern);
    char *text = pubsub_block_take(block, size);
    if (text == NULL ||
        pubsub__container_topic_of(PUBSUB__CONTAINER_KAFKA, name, strlen(name), pattern.data,
                                   pattern.len, text, size, &len) != PUBSUB_OK) {
        return false;
    }
    out->topic = (pubsub_bytes){text, len};
    return true;
}

static pubsub_bytes copied(pubsub_block *block, const void *data, size_t len)
{
    pubsub_bytes copy = pubsub_block_copy(block, (pubsub_bytes){data, len});
    return len == 0 ? (pubsub_bytes){"", 0} : copy;
}

bool pubsub__kafka_decode(const kaf_record *record, const kaf_naming *naming, pubsub_bytes pattern,
                          pubsub_block *block, pubsub_spi_message *out)
{
    own_headers own = {.expires_ns = 0};
    if (!decode_headers(record->headers, block, &own, out) ||
        !decode_topic(record, &own, pattern, block, out)) {
        return false;
    }
    out->reply_to = pubsub_block_copy(block, own.reply);
    out->correlation = pubsub_block_copy(block, own.correlation);
    out->content_type = pubsub_block_copy(block, own.content_type);
    out->expires_ns = own.expires_ns;
    if (record->payload != NULL) {
        out->payload = copied(block, record->payload, record->payload_len);
    } else {
        out->flags |= PUBSUB_SPI_TOMBSTONE;
    }
    /* What shares a container has its topic as key where it had none. */
    bool shared = naming->fold != NULL || pubsub__kafka_is_inbox(out->topic);
    bool added = shared && record->key_len == out->topic.len && record->key != NULL &&
                 memcmp(record->key, out->topic.data, record->key_len) == 0;
    if (record->key != NULL && !added) {
        out->key = copied(block, record->key, record->key_len);
    }
    out->timestamp_ns =
        record->timestamp_ms > 0 ? (uint64_t)record->timestamp_ms * UINT64_C(1000000) : 0;
    out->position[0] = (uint64_t)record->partition;
    out->position[1] = (uint64_t)record->offset;
    return true;
}
