/* SPDX-License-Identifier: MIT */
/* A record of Kafka of any content: "container LF pattern LF key LF payload LF name LF value LF name LF value ...".
 * Decoding finds room in what was asked for and takes no more, a topic or an answer's topic that a header names is
 * one, no time to live is longer than a number, and headers that are published again come back. */
#include "fuzz/fuzz.h"

#include "kafka/map.h"
#include "message/block.h"

#include <string.h>

enum { HEADERS = 200, NAME_SIZE = KAF_NAME_MAX + 1, PIECE_MAX = 1 << 16 };

static const kaf_naming g_apart = {NULL};
static const kaf_naming g_folded = {"all"};

static pubsub_bytes next_line(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at;
    const uint8_t *newline = start == end ? NULL : memchr(start, '\n', (size_t)(end - start));
    *at = newline == NULL ? end : newline + 1;
    return (pubsub_bytes){start, (size_t)((newline == NULL ? end : newline) - start)};
}

static rd_kafka_headers_t *headers_of(const uint8_t *at, const uint8_t *end)
{
    rd_kafka_headers_t *headers = at < end ? rd_kafka_headers_new(8) : NULL;
    for (int i = 0; i < HEADERS && at < end; i++) {
        pubsub_bytes name = next_line(&at, end);
        bool none = at == end; /* the broker knows headers without a value */
        pubsub_bytes value = next_line(&at, end);
        FUZZ_CHECK(rd_kafka_header_add(headers, name.data, (ssize_t)name.len,
                                       none ? NULL : value.data,
                                       (ssize_t)value.len) == RD_KAFKA_RESP_ERR_NO_ERROR);
    }
    return headers;
}

static pubsub_block *decode(const kaf_record *record, const kaf_naming *naming,
                            pubsub_bytes pattern, pubsub__block_pool *pool)
{
    size_t need = pubsub__kafka_decode_need(record, pattern);
    pubsub_block *block = pubsub__block_new(pool, 1, need);
    FUZZ_CHECK(block != NULL);
    pubsub_spi_message *out = pubsub_block_message(block);
    FUZZ_CHECK(pubsub__kafka_decode(record, naming, pattern, block, out));
    FUZZ_CHECK(block->used <= need);
    FUZZ_CHECK(out->header_count <= PUBSUB_HEADERS_MAX);
    FUZZ_CHECK(out->payload.len == record->payload_len);
    FUZZ_CHECK(out->reply_to.len == 0 ||
               pubsub_topic_check(out->reply_to.data, out->reply_to.len, NULL) == PUBSUB_OK);
    return block;
}

/* What has no header of this library's own is published and decoded once more. */
static void check_again(const pubsub_spi_message *got, pubsub__block_pool *pool)
{
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    rd_kafka_headers_t *headers = NULL;
    char name[NAME_SIZE];
    size_t len = 0;
    pub.topic = got->topic;
    pub.headers = got->headers;
    pub.header_count = got->header_count;
    for (uint32_t i = 0; i < got->header_count; i++) {
        pubsub_bytes text = got->headers[i].name;
        if ((text.len >= 7 && memcmp(text.data, "pubsub-", 7) == 0) || text.len == 12) {
            return; /* refused, or with a meaning */
        }
    }
    if (pubsub_topic_check(pub.topic.data, pub.topic.len, NULL) != PUBSUB_OK ||
        pubsub__kafka_container(&g_apart, pub.topic, name, &len, NULL) != PUBSUB_OK) {
        return;
    }
    bool with_topic = pubsub__kafka_needs_topic(&g_apart, pub.topic);
    FUZZ_CHECK(pubsub__kafka_encode_headers(&pub, with_topic, 5, &headers) == PUBSUB_OK);
    kaf_record record = {.container = name, .headers = headers};
    pubsub_block *block = decode(&record, &g_apart, (pubsub_bytes){"#", 1}, pool);
    const pubsub_spi_message *back = &block->messages[0].spi;
    FUZZ_CHECK(back->topic.len == pub.topic.len &&
               memcmp(back->topic.data, pub.topic.data, pub.topic.len) == 0);
    FUZZ_CHECK(back->expires_ns == 5 && back->header_count == got->header_count);
    pubsub_block_discard(block);
    rd_kafka_headers_destroy(headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static pubsub__block_pool *pool;
    const uint8_t *at = data;
    const uint8_t *end = data + size;
    char name[NAME_SIZE] = "";
    if (pool == NULL) {
        pool = pubsub__block_pool_new(4, NULL);
        FUZZ_CHECK(pool != NULL);
    }
    if (size > PIECE_MAX) {
        return 0;
    }
    pubsub_bytes container = next_line(&at, end);
    pubsub_bytes pattern = next_line(&at, end);
    pubsub_bytes key = next_line(&at, end);
    pubsub_bytes payload = next_line(&at, end);
    memcpy(name, container.data, container.len > KAF_NAME_MAX ? KAF_NAME_MAX : container.len);
    rd_kafka_headers_t *headers = headers_of(at, end);
    kaf_record record = {.container = name,
                         .key = key.len > 0 ? key.data : NULL,
                         .key_len = key.len,
                         .payload = payload.len > 0 ? payload.data : NULL,
                         .payload_len = payload.len,
                         .headers = headers,
                         .timestamp_ms = -1};
    pubsub_block_discard(decode(&record, &g_folded, pattern, pool));
    pubsub_block *block = decode(&record, &g_apart, pattern, pool);
    check_again(&block->messages[0].spi, pool);
    pubsub_block_discard(block);
    if (headers != NULL) {
        rd_kafka_headers_destroy(headers);
    }
    return 0;
}
