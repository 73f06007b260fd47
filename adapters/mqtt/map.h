/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_MQTT_MAP_H
#define PUBSUB_MQTT_MAP_H

/* What is pure in the adapter: topics, filters, text and headers, both ways. No state, no I/O. */

#include "mqtt/engine.h"

#include <pubsub/message.h>
#include <pubsub/spi/sink.h>

/* Names of our own user properties. A header value or key that is not MQTT text is written in base64
 * (RFC 4648 section 4), announced by MQTT_USER_BASE64 with its name directly before it. */
#define MQTT_USER_KEY "pubsub-key"
#define MQTT_USER_TOMBSTONE "pubsub-tombstone"
#define MQTT_USER_BASE64 "pubsub-base64"

/* Longest text or binary property, MQTT 5 section 1.5.4 and 1.5.6. */
#define MQTT_TEXT_MAX 65535u

/* Whether text may stand in an MQTT packet: UTF-8 without NUL, control and non-characters (MQTT 5 section
 * 1.5.4: a server may close the connection for those, and mosquitto does). */
bool pubsub__mqtt_is_text(pubsub_bytes text);

/* Whether a topic can be published to: text, no + or # anywhere (section 4.7.1). err names the reason. */
pubsub_err pubsub__mqtt_topic_check(pubsub_bytes topic, const char *what, pubsub_error *err);

/* The topic filter for a pattern, to be freed with pubsub__free: `*` levels become #, what stands behind an
 * inner # is cut off; superset tells that the filter matches more than the pattern. With a group (not "")
 * it is a shared one, the group's name percent-encoded where MQTT forbids its characters. */
pubsub_err pubsub__mqtt_filter_new(pubsub_bytes pattern, const char *group, char **filter,
                                   bool *superset, pubsub_error *err);

/* Whether a topic may be matched by both patterns; may say yes too often, never no too often. */
bool pubsub__mqtt_overlap(pubsub_bytes a, pubsub_bytes b);

/* Bytes of a PUBLISH at most (section 3.3), and of base64. */
uint64_t pubsub__mqtt_packet_size(const mqtt_message *message, int version);
size_t pubsub__mqtt_base64_size(size_t len);
size_t pubsub__mqtt_base64_encode(char *out, const void *data, size_t len);
/* False for anything that is not canonical base64; out has room for len / 4 * 3 bytes. */
bool pubsub__mqtt_base64_decode(const char *text, size_t len, unsigned char *out, size_t *out_len);

/* How much room pubsub__mqtt_encode needs for a publication. */
void pubsub__mqtt_encode_need(const pubsub_publication *pub, size_t *properties, size_t *bytes);
/* Everything but qos and expiry; borrows from pub, user and scratch. */
void pubsub__mqtt_encode(const pubsub_publication *pub, int version, mqtt_user_property *user,
                         char *scratch, mqtt_message *out);

/* The room of a received message in a block, and the message written there. */
size_t pubsub__mqtt_decode_need(const mqtt_message *message);
void pubsub__mqtt_decode(const mqtt_message *message, pubsub_block *block, pubsub_spi_message *out);

#endif
