/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TOPIC_CONTAINER_H
#define PUBSUB_TOPIC_CONTAINER_H

/* The one table that maps topics to what a broker calls the thing that holds messages, and back.
 *
 *   plain  the topic itself (MQTT, Redis, local)
 *   amqp   routing key: `/` -> `.`, `.` -> `%2E`, `%` -> `%25`; nothing is lost
 *   kafka  topic name: `/` -> `.`; letters, digits, `.`, `_`, `-` stay; other bytes -> `-XX`; two
 * topics may share a container, so patterns are supersets and a header carries the topic when
 *          decoding the name (only `.` -> `/`) would not give it back */

#include <pubsub/error.h>

typedef enum pubsub__container_kind {
    PUBSUB__CONTAINER_PLAIN = 0,
    PUBSUB__CONTAINER_AMQP = 1,
    PUBSUB__CONTAINER_KAFKA = 2
} pubsub__container_kind;

/* The longest names: AMQP short string, Kafka topic. A buffer of PUBSUB__CONTAINER_BUF holds every
 * container, decoded topic and binding with its NUL; a Kafka expression needs
 * PUBSUB__CONTAINER_REGEX_BUF. */
#define PUBSUB__CONTAINER_AMQP_MAX 255
#define PUBSUB__CONTAINER_KAFKA_MAX 249
#define PUBSUB__CONTAINER_BUF (1024 + 1)
#define PUBSUB__CONTAINER_REGEX_BUF (4 * 1024 + 8)

/* Topic -> container, NUL-terminated. PUBSUB_ETOPIC when the broker cannot have such a name (too
 * long; Kafka also `.` and `..`), PUBSUB_EINVAL when size is too small for a name that is allowed.
 */
pubsub_err pubsub__container_encode(pubsub__container_kind kind, const char *topic, size_t len,
                                    char *out, size_t size, size_t *out_len, pubsub_error *err);

/* Container -> topic, NUL-terminated; text that no encoding would have produced stays as it is. The
 * result may be no valid topic (foreign names); the message is delivered all the same.
 * PUBSUB_EINVAL when size is too small (len + 1 is enough). */
pubsub_err pubsub__container_decode(pubsub__container_kind kind, const char *container, size_t len,
                                    char *out, size_t size, size_t *out_len);

/* Whether decoding the container of this topic would not give the topic back, so that a
 * `pubsub-topic` header must carry it. */
bool pubsub__container_needs_header(pubsub__container_kind kind, const char *topic, size_t len);

/* The topic of a message that came without the header: the subscription's own if that is literal
 * and maps to this container, else the decoded name. Same results as decode. */
pubsub_err pubsub__container_topic_of(pubsub__container_kind kind, const char *container,
                                      size_t len, const char *pattern, size_t plen, char *out,
                                      size_t size, size_t *out_len);

/* Pattern -> what the broker can subscribe to, NUL-terminated. plain: an MQTT filter, cut behind
 * the first inner `#`. amqp: a binding key. kafka: the name for a literal pattern, else an anchored
 * POSIX extended expression `^...$`. Each matches every container of every matching topic, perhaps
 * more; *exact tells whether the core need not filter what arrives (may be NULL). PUBSUB_EPATTERN
 * or PUBSUB_ETOPIC when the broker cannot have it. */
pubsub_err pubsub__container_pattern(pubsub__container_kind kind, const char *pattern, size_t len,
                                     char *out, size_t size, bool *exact, pubsub_error *err);

/* Whether a container belongs to the broker or to us (`__*`, `pubsub.*`); no pattern matches it. */
bool pubsub__container_is_internal(const char *container, size_t len);

#endif
