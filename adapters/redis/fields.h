/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_REDIS_FIELDS_H
#define PUBSUB_REDIS_FIELDS_H

/* Messages as entries of a stream and back, ids, patterns. Pure functions.
 *
 * An entry is what anybody would write: the field `payload`, a field for each header, and, where the message
 * has them, fields that begin with "pubsub-". A second field `payload` is a header of that name. */

#include "redis/resp.h"

#include <pubsub/message.h>
#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

#define REDIS_FIELD_PAYLOAD "payload"
#define REDIS_FIELD_KEY "pubsub-key"
#define REDIS_FIELD_CONTENT_TYPE "pubsub-content-type"
#define REDIS_FIELD_REPLY_TO "pubsub-reply-to"
#define REDIS_FIELD_CORRELATION "pubsub-correlation"
#define REDIS_FIELD_EXPIRES "pubsub-expires-ns"
#define REDIS_FIELD_TOMBSTONE "pubsub-tombstone"
#define REDIS_FIELD_RAW "pubsub-raw"

#define REDIS_ID_TEXT 48

/* Names a header cannot have. */
bool pubsub__redis_is_reserved(pubsub_bytes name);

/* Names and values together: what XADD gets behind the id. */
size_t pubsub__redis_fields_count(const pubsub_publication *pub, uint64_t expires_ns);
bool pubsub__redis_fields_put(pubsub__buf *out, const pubsub_publication *pub, uint64_t expires_ns);

/* Bytes of a block that decoding the fields of an entry needs. */
size_t pubsub__redis_fields_need(const redis_reply *fields, size_t topic_len);
/* Into a message slot; topic and everything else is copied into the block. */
void pubsub__redis_fields_get(const redis_reply *fields, pubsub_bytes topic, pubsub_block *block,
                              pubsub_spi_message *out);

/* "1526919030474-55". False: it is no id. */
bool pubsub__redis_id_parse(const char *text, size_t len, uint64_t id[2]);
size_t pubsub__redis_id_text(const uint64_t id[2], char *text); /* room for REDIS_ID_TEXT */
int pubsub__redis_id_compare(const uint64_t a[2], const uint64_t b[2]);

/* Channels of the server (keyspace notices) and our own, which no pattern matches. */
bool pubsub__redis_is_internal(pubsub_bytes channel);

/* The pattern of channels that matches every topic our pattern matches, perhaps more; NUL-terminated, room
 * for 2 * len + 2. */
size_t pubsub__redis_glob(const char *pattern, size_t len, char *out);

#endif
