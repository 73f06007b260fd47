/* SPDX-License-Identifier: MIT */
/* A received MQTT message of any content, and a pattern: "pattern LF topic LF name LF value LF name LF value
 * ...". Decoding stays inside what was asked for, what is written can be read again, and a filter matches
 * whatever its pattern matches. */
#include "fuzz/fuzz.h"

#include "base/alloc.h"
#include "message/block.h"
#include "mqtt/map.h"

#include <string.h>

#define PROPERTIES 32u

static pubsub_bytes next_line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at;
    const uint8_t *newline = start == end ? NULL : memchr(start, '\n', (size_t)(end - start));
    *at = newline == NULL ? end : newline + 1;
    return (pubsub_bytes){start, (size_t)((newline == NULL ? end : newline) - start)};
}

static void check_filter(pubsub_bytes pattern, pubsub_bytes topic)
{
    char *filter = NULL;
    bool superset = false;
    if (pubsub_pattern_check(pattern.data, pattern.len, NULL) != PUBSUB_OK ||
        pubsub_topic_check(topic.data, topic.len, NULL) != PUBSUB_OK ||
        pubsub__mqtt_filter_new(pattern, "", &filter, &superset, NULL) != PUBSUB_OK) {
        FUZZ_CHECK(filter == NULL);
        return;
    }
    bool wanted = pubsub_topic_matches(pattern.data, pattern.len, topic.data, topic.len);
    bool found = pubsub_topic_matches(filter, strlen(filter), topic.data, topic.len);
    FUZZ_CHECK(superset ? found || !wanted : found == wanted);
    FUZZ_CHECK(!wanted || pubsub__mqtt_overlap(pattern, topic));
    pubsub__free(filter);
}

static void check_base64(pubsub_bytes bytes)
{
    size_t room = pubsub__mqtt_base64_size(bytes.len);
    char *text = pubsub__alloc(room + 1);
    unsigned char *back = pubsub__alloc(room + 1);
    size_t len = 0;
    FUZZ_CHECK(text != NULL && back != NULL);
    FUZZ_CHECK(pubsub__mqtt_base64_encode(text, bytes.data, bytes.len) == room);
    FUZZ_CHECK(pubsub__mqtt_base64_decode(text, room, back, &len));
    FUZZ_CHECK(len == bytes.len && (len == 0 || memcmp(back, bytes.data, len) == 0));
    pubsub__free(text);
    pubsub__free(back);
}

static void check_again(const pubsub_spi_message *message, pubsub__block_pool *pool)
{
    mqtt_user_property user[2 * PROPERTIES + 2];
    mqtt_message wire;
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    size_t properties = 0;
    size_t bytes = 0;
    for (uint32_t i = 0; i < message->header_count; i++) {
        pubsub_bytes name = message->headers[i].name;
        if (name.len >= 7 && memcmp(name.data, "pubsub-", 7) == 0) {
            return; /* refused when it is published */
        }
    }
    pub.topic = message->topic;
    pub.key = message->key;
    pub.headers = message->headers;
    pub.header_count = message->header_count;
    pub.flags = message->flags & PUBSUB_SPI_TOMBSTONE ? PUBSUB_PUBLISH_TOMBSTONE : 0;
    pubsub__mqtt_encode_need(&pub, &properties, &bytes);
    FUZZ_CHECK(properties <= sizeof(user) / sizeof(user[0]));
    char *scratch = pubsub__alloc(bytes + 1);
    FUZZ_CHECK(scratch != NULL);
    pubsub__mqtt_encode(&pub, MQTT_V5, user, scratch, &wire);
    FUZZ_CHECK(wire.user_count == properties);
    pubsub_block *block = pubsub__block_new(pool, 1, pubsub__mqtt_decode_need(&wire));
    FUZZ_CHECK(block != NULL);
    pubsub_spi_message *back = pubsub_block_message(block);
    pubsub__mqtt_decode(&wire, block, back);
    FUZZ_CHECK(back->header_count == message->header_count);
    for (uint32_t i = 0; i < back->header_count; i++) {
        FUZZ_CHECK(back->headers[i].value.len == message->headers[i].value.len);
    }
    FUZZ_CHECK((back->key.data == NULL) == (message->key.data == NULL));
    FUZZ_CHECK(back->key.len == message->key.len);
    pubsub_block_discard(block);
    pubsub__free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pubsub__block_pool *pool;
    const uint8_t *at = data;
    const uint8_t *end = data + size;
    mqtt_user_property user[PROPERTIES];
    mqtt_message message;
    if (pool == NULL) {
        pool = pubsub__block_pool_new(4, NULL);
        FUZZ_CHECK(pool != NULL);
    }
    pubsub_bytes pattern = next_line(&at, end);
    memset(&message, 0, sizeof(message));
    message.topic = next_line(&at, end);
    message.expiry_s = MQTT_EXPIRY_NONE;
    message.user = user;
    while (at < end && message.user_count < PROPERTIES) {
        user[message.user_count].name = next_line(&at, end);
        user[message.user_count].value = next_line(&at, end);
        check_base64(user[message.user_count++].value);
    }
    check_filter(pattern, message.topic);
    pubsub_block *block = pubsub__block_new(pool, 1, pubsub__mqtt_decode_need(&message));
    FUZZ_CHECK(block != NULL);
    pubsub_spi_message *out = pubsub_block_message(block);
    pubsub__mqtt_decode(&message, block, out);
    FUZZ_CHECK(out->header_count <= message.user_count);
    FUZZ_CHECK(message.user_count == 0 || out->headers != NULL);
    check_again(out, pool);
    pubsub_block_discard(block);
    return 0;
}
