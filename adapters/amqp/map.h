/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_AMQP_MAP_H
#define PUBSUB_AMQP_MAP_H

/* Topics, patterns and messages as AMQP has them. Pure: no connection, no state but what is passed. */

#include "amqp/wire.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

/* Headers of our own. */
#define AMQ_HEADER_KEY "pubsub-key"
#define AMQ_HEADER_TOMBSTONE "pubsub-tombstone"
/* Ids of messages that may be returned: this, eight characters of the client's, `-`, sixteen hex digits. */
#define AMQ_ID_PREFIX "pubsub-"
#define AMQ_ID_TAG 8
#define AMQ_ID_LEN (sizeof(AMQ_ID_PREFIX) - 1 + AMQ_ID_TAG + 1 + 16)
/* Most headers of a message we publish: the caller's, the key and the tombstone. */
#define AMQ_ENTRIES_MAX (PUBSUB_HEADERS_MAX + 2)

/* How topics become routing keys. */
typedef struct amq_naming {
    pubsub_bytes exchange;
    bool plain; /* the empty exchange: a topic is the name of a queue, byte for byte */
} amq_naming;

/* A queue that the broker named, or an address for direct replies: reached through the empty exchange
 * whatever the exchange of the client is. */
bool pubsub__amqp_is_broker_name(pubsub_bytes topic);
/* Topic -> exchange and routing key of at most AMQ_SHORT_MAX bytes, written to `key`. */
pubsub_err pubsub__amqp_route(const amq_naming *naming, pubsub_bytes topic, pubsub_bytes *exchange,
                              char *key, size_t *key_len, pubsub_error *err);
/* Pattern -> binding key, NUL-terminated, in room for AMQ_SHORT_MAX + 1 bytes. */
pubsub_err pubsub__amqp_binding(pubsub_bytes pattern, char *key, bool *exact, pubsub_error *err);

/* An upper bound of the encoded properties. */
size_t pubsub__amqp_encode_need(const pubsub_publication *pub);
/* Properties of a publication. `entries` has room for AMQ_ENTRIES_MAX; `reply_to` for an encoded name
 * of AMQ_SHORT_MAX bytes. Everything is borrowed from pub, entries and reply_to. */
void pubsub__amqp_encode(const pubsub_publication *pub, const amq_naming *naming,
                         amqp_table_entry_t *entries, char *reply_to, amqp_basic_properties_t *out);
/* What cannot be a message of AMQP 0-9-1. */
pubsub_err pubsub__amqp_encode_check(const pubsub_publication *pub, const amq_naming *naming,
                                     pubsub_error *err);

/* What came with a message beside its properties. */
typedef struct amq_delivery {
    pubsub_bytes exchange;
    pubsub_bytes routing_key;
    uint64_t tag;
    bool redelivered;
} amq_delivery;

/* Bytes of a block that decoding will take, without the body. `props_size` is that of the whole header
 * frame. */
size_t pubsub__amqp_decode_need(const amq_properties *props, size_t props_size,
                                const amq_delivery *delivery);
/* Copy everything but the body into a block. `raw` is the frame's payload that props point into.
 * `pattern` is the subscription's one if it has only one. False when the block has no room. */
bool pubsub__amqp_decode(const amq_properties *props, pubsub_bytes raw,
                         const amq_delivery *delivery, const amq_naming *naming,
                         pubsub_bytes pattern, uint64_t wall_ns, pubsub_block *block,
                         pubsub_spi_message *out);
/* The number in an id of ours; false for any other. */
bool pubsub__amqp_id_read(pubsub_bytes id, const char tag[AMQ_ID_TAG], uint64_t *out);
void pubsub__amqp_id_write(char out[AMQ_ID_LEN], const char tag[AMQ_ID_TAG], uint64_t number);

#endif
