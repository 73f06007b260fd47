/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_KAFKA_MAP_H
#define PUBSUB_KAFKA_MAP_H

/* Topics, patterns and messages as Kafka has them. Pure: no connection, no state but what is passed. */

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

#include <librdkafka/rdkafka.h>

/* Longest name of a topic of Kafka. */
#define KAF_NAME_MAX 249

/* Headers of our own. */
#define KAF_HEADER_TOPIC "pubsub-topic"
#define KAF_HEADER_REPLY "pubsub-reply"
#define KAF_HEADER_CORRELATION "pubsub-correlation"
#define KAF_HEADER_EXPIRES "pubsub-expires-ns"
#define KAF_HEADER_CONTENT_TYPE "content-type"

/* Containers of our own, which no pattern matches. */
#define KAF_CONTAINER_INBOX "pubsub.inbox"
#define KAF_CONTAINER_TOPICS "pubsub.topics"

/* How topics become containers. */
typedef struct kaf_naming {
    const char *fold; /* option kafka.topic: all topics in this container, NULL = one for each */
} kaf_naming;

/* Whether all topics of a kind share one container, so that the topic travels beside the message and is its key
 * where it has none. */
bool pubsub__kafka_is_inbox(pubsub_bytes topic);

/* Topic -> container, NUL-terminated in room for KAF_NAME_MAX + 1 bytes. */
pubsub_err pubsub__kafka_container(const kaf_naming *naming, pubsub_bytes topic, char *out,
                                   size_t *len, pubsub_error *err);
/* Whether there is a container for a topic. */
pubsub_err pubsub__kafka_container_check(const kaf_naming *naming, pubsub_bytes topic,
                                         pubsub_error *err);
/* Whether the container does not say which topic it was, so that a header has to. */
bool pubsub__kafka_needs_topic(const kaf_naming *naming, pubsub_bytes topic);
/* The headers of a publication, with_topic: with that one; *out is NULL when it has none. */
pubsub_err pubsub__kafka_encode_headers(const pubsub_publication *pub, bool with_topic,
                                        uint64_t expires_ns, rd_kafka_headers_t **out);
/* A message as librdkafka hands it out. */
typedef struct kaf_record {
    const char *container;
    const void *key; /* NULL = none */
    size_t key_len;
    const void *payload; /* NULL = a tombstone */
    size_t payload_len;
    const rd_kafka_headers_t *headers; /* NULL = none */
    int64_t timestamp_ms;              /* -1 = none */
    int32_t partition;
    int64_t offset;
    pubsub_bytes known; /* the topic of this container, in the block already; .len 0 = not yet */
} kaf_record;

/* What points into it lives as long as the message. */
kaf_record pubsub__kafka_record(rd_kafka_message_t *message);
/* Bytes of a block that decoding a message will take at most, with the same pattern. */
size_t pubsub__kafka_decode_need(const kaf_record *record, pubsub_bytes pattern);
/* Copy a message into a block. `pattern` is the subscription's one if it has only one and that is literal. False
 * when the block has no room. */
bool pubsub__kafka_decode(const kaf_record *record, const kaf_naming *naming, pubsub_bytes pattern,
                          pubsub_block *block, pubsub_spi_message *out);

#endif
