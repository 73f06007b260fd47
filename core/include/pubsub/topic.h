/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TOPIC_H
#define PUBSUB_TOPIC_H

/** @file topic.h
 *  Topics and patterns: what is valid, and which pattern matches which topic. This matcher is the
 *  law for every broker; where a broker matches differently, the library corrects it.
 *
 *  A topic is UTF-8 text of 1..PUBSUB_TOPIC_MAX bytes without NUL, cut into levels by `/`. Empty
 *  levels are levels: `/a` has two, `a//b` three. In a pattern a level that is exactly
 *    `+`  matches one level of any content, also an empty one;
 *    `#`  matches zero or more levels, at any place: `a/#` matches `a`, `a/#/c` matches `a/c`;
 *    `*`  means the same as `#`.
 *  A pattern that begins with a wildcard never matches a topic whose first level begins with `$`.
 *  Inside a longer level these characters are plain: `a+b` and `*.log` are literal levels. MQTT
 *  brokers refuse `+` and `#` there, so a program that is to run on MQTT avoids them. */

#include <pubsub/error.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The longest topic or pattern, in bytes. */
#define PUBSUB_TOPIC_MAX 1024

/** Check that a topic can be published to.
 *  @param topic  UTF-8, len bytes, need not end in NUL; NULL only when len is 0.
 *  @param len    its length in bytes.
 *  @param err    optional detail with the byte offset of the fault, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_ETOPIC when empty, too long, with a NUL or a level that is `+`, `#`
 *  or
 *             `*`; PUBSUB_EUTF8; PUBSUB_EINVAL for NULL.
 *  Thread:    any.
 *  Ownership: borrowed for the call.
 *  Since:     0.1    Source: MQTT 5.0 §4.7 for levels, wildcards and `$` */
PUBSUB_API pubsub_err pubsub_topic_check(const char *topic, size_t len, pubsub_error *err);

/** Check that a pattern can be subscribed to; every valid topic is also a valid pattern.
 *  @param pattern  UTF-8, len bytes, need not end in NUL; NULL only when len is 0.
 *  @param len      its length in bytes.
 *  @param err      optional detail with the byte offset of the fault, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_EPATTERN when empty, too long or with a NUL; PUBSUB_EUTF8;
 *             PUBSUB_EINVAL for NULL.
 *  Thread:    any.
 *  Ownership: borrowed for the call.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_pattern_check(const char *pattern, size_t len, pubsub_error *err);

/** Whether a pattern has no wildcard level, so that it matches exactly the topic with its own text.
 *  @param pattern  a valid pattern of len bytes, not NULL.
 *  @param len      its length in bytes.
 *  Returns:   true for a literal pattern.
 *  Thread:    any.
 *  Ownership: borrowed for the call.
 *  Since:     0.1    Source: - */
PUBSUB_API bool pubsub_pattern_is_literal(const char *pattern, size_t len);

/** Whether a pattern matches a topic. Never allocates; the cost is at most the product of the
 *  lengths.
 *  @param pattern  a valid pattern of plen bytes, not NULL.
 *  @param plen     its length in bytes.
 *  @param topic    a valid topic of tlen bytes, not NULL.
 *  @param tlen     its length in bytes.
 *  Returns:   true when it matches; false also when either is empty.
 *  Thread:    any.
 *  Ownership: borrowed for the call.
 *  Since:     0.1    Source: MQTT 5.0 §4.7 for levels, wildcards and `$` */
PUBSUB_API bool pubsub_topic_matches(const char *pattern, size_t plen, const char *topic,
                                     size_t tlen);

#ifdef __cplusplus
}
#endif

#endif
