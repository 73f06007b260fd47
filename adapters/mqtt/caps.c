/* SPDX-License-Identifier: MIT */
#include "mqtt/adapter.h"
#include "mqtt/map.h"

#include <stdio.h>
#include <string.h>

/* The longest remaining length of a packet, MQTT 5 section 1.5.5. */
#define PACKET_MAX UINT64_C(268435455)
/* Room of a packet for everything but the payload; a message with more beside it is judged exactly, when
 * it is published and again when the server has told its limit. */
#define PACKET_REST UINT64_C(4096)

static void cell(pubsub_caps *caps, pubsub_feature feature, pubsub_support support,
                 const char *note)
{
    caps->features[feature].support = support;
    caps->features[feature].note = note;
}

static void refuse(pubsub_caps *caps, pubsub_feature feature, const char *note)
{
    if (caps->features[feature].support != PUBSUB_REFUSED) {
        cell(caps, feature, PUBSUB_REFUSED, note);
    }
}

/* What needs properties, or a shared subscription that is certain to be one. */
static void refuse_5(pubsub_caps *caps, const char *note)
{
    static const pubsub_feature only_5[] = {
        PUBSUB_FEATURE_GROUP,    PUBSUB_FEATURE_HEADERS,      PUBSUB_FEATURE_KEY,
        PUBSUB_FEATURE_REPLY_TO, PUBSUB_FEATURE_CONTENT_TYPE, PUBSUB_FEATURE_TOMBSTONE,
        PUBSUB_FEATURE_EXPIRY,   PUBSUB_FEATURE_ORDER_KEY,    PUBSUB_FEATURE_REQUEST_REPLY};
    for (size_t i = 0; i < sizeof(only_5) / sizeof(only_5[0]); i++) {
        refuse(caps, only_5[i], note);
    }
}

static int wanted_version(const pubsub_adapter_config *config)
{
    const char *text = pubsub_options_get(config->options, "mqtt.version");
    return text != NULL && strcmp(text, "3.1.1") == 0 ? MQTT_V311
           : text != NULL && strcmp(text, "5") == 0   ? MQTT_V5
                                                      : 0;
}

pubsub_err pubsub__mqtt_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                             pubsub_error *err)
{
    static const char *const no_log = "an MQTT broker keeps no history";
    (void)err;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        cell(out, (pubsub_feature)i, PUBSUB_NATIVE, "");
    }
    cell(out, PUBSUB_FEATURE_INNER_MULTI, PUBSUB_EMULATED, "more is received and filtered here");
    cell(out, PUBSUB_FEATURE_GROUP, PUBSUB_NATIVE,
         "the broker does not compare the members' patterns; what a lost member had received and "
         "not handled is lost with it");
    cell(out, PUBSUB_FEATURE_DURABLE, PUBSUB_NATIVE,
         "qos 1 and 2; the broker drops silently what exceeds its queue for the session");
    cell(out, PUBSUB_FEATURE_DURABLE_GROUP, PUBSUB_REFUSED,
         "a member that is away would keep receiving its share");
    cell(
        out, PUBSUB_FEATURE_ACK, PUBSUB_REFUSED,
        "this engine (Paho) confirms a message before its handler runs: what a client had received "
        "and not handled is lost with it");
    cell(out, PUBSUB_FEATURE_NACK_DELAY, PUBSUB_EMULATED, "while this client lives");
    cell(out, PUBSUB_FEATURE_ATTEMPTS, PUBSUB_EMULATED, "while this client lives");
    cell(out, PUBSUB_FEATURE_DEAD_LETTER, PUBSUB_EMULATED, "published by the client");
    cell(out, PUBSUB_FEATURE_FROM_EARLIEST, PUBSUB_REFUSED, no_log);
    cell(out, PUBSUB_FEATURE_FROM_TIME, PUBSUB_REFUSED, no_log);
    cell(out, PUBSUB_FEATURE_FROM_POSITION, PUBSUB_REFUSED, no_log);
    cell(out, PUBSUB_FEATURE_HEADERS, PUBSUB_NATIVE,
         "user properties; values that are not text travel in base64");
    cell(out, PUBSUB_FEATURE_KEY, PUBSUB_EMULATED, "the user property pubsub-key");
    cell(out, PUBSUB_FEATURE_TOMBSTONE, PUBSUB_EMULATED, "the user property pubsub-tombstone");
    cell(out, PUBSUB_FEATURE_ORDER_KEY, PUBSUB_NATIVE, "per publisher and topic");
    cell(out, PUBSUB_FEATURE_ORDER_KEY_GROUP, PUBSUB_REFUSED,
         "the broker deals messages out without regard to their keys");
    cell(out, PUBSUB_FEATURE_EXPIRY, PUBSUB_NATIVE, "in whole seconds, rounded up");
    cell(out, PUBSUB_FEATURE_DELAY, PUBSUB_REFUSED, "MQTT has no delayed messages");
    out->confirm = PUBSUB_CONFIRM_RECEIVED;
    out->confirm_note = "when the broker writes it down is its own setting (mosquitto: "
                        "autosave_interval, half an hour)";
    out->max_payload = PACKET_MAX - PACKET_REST;
    out->max_topic = PUBSUB_TOPIC_MAX;
    if (wanted_version(config) == MQTT_V311) {
        refuse_5(out, "needs MQTT 5, and mqtt.version is 3.1.1");
    }
    return PUBSUB_OK;
}

void pubsub__mqtt_server_caps(const mqtt_self *self, const mqtt_connack *connack, pubsub_caps *caps)
{
    (void)pubsub__mqtt_caps(self->config, caps, NULL);
    if (connack->version < MQTT_V5) {
        refuse_5(caps, "needs MQTT 5, and this broker speaks only 3.1.1");
    }
    if (connack->maximum_qos < 2) {
        refuse(caps, PUBSUB_FEATURE_QOS2, "this broker refuses qos 2");
    }
    if (connack->maximum_qos < 1) {
        refuse(caps, PUBSUB_FEATURE_QOS1, "this broker refuses qos 1");
    }
    if (!connack->retain_available) {
        refuse(caps, PUBSUB_FEATURE_RETAIN, "this broker keeps no retained messages");
    }
    if (!connack->wildcards_available) {
        refuse(caps, PUBSUB_FEATURE_PATTERNS, "this broker refuses wildcards");
        refuse(caps, PUBSUB_FEATURE_INNER_MULTI, "this broker refuses wildcards");
    }
    if (!connack->shared_available) {
        refuse(caps, PUBSUB_FEATURE_GROUP, "this broker has no shared subscriptions");
    }
    uint64_t rest = connack->maximum_packet > 2 * PACKET_REST ? PACKET_REST : 0;
    if (connack->maximum_packet - rest < caps->max_payload) {
        caps->max_payload = connack->maximum_packet - rest;
    }
}

pubsub_err pubsub__mqtt_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                  const pubsub_request *request, pubsub_answer *answer,
                                  pubsub_error *err)
{
    (void)config;
    (void)caps;
    const pubsub_subscribe_request *sub = request->subscribe;
    if (sub == NULL || sub->group[0] == '\0') {
        return PUBSUB_OK;
    }
    uint64_t retain = PUBSUB_BIT(PUBSUB_FEATURE_RETAIN) & (answer->native | answer->emulated);
    if (retain != 0) {
        answer->native &= ~retain;
        answer->refused |= retain;
        (void)snprintf(answer->why, sizeof(answer->why),
                       "a shared subscription gets no retained messages");
    }
    bool no_local = false;
    (void)pubsub_options_bool(sub->options, "mqtt.no_local", &no_local);
    if (no_local) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "mqtt.no_local cannot be used with a group (MQTT 5 section "
                                "3.8.3.1)");
    }
    return PUBSUB_OK;
}
