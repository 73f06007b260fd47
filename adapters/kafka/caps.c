/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include <stdlib.h>
#include <string.h>

/* What can be promised. */

/* What a record has beside key, value and headers, at most: librdkafka counts so much. */
#define RECORD_REST UINT64_C(128)
#define MESSAGE_MAX UINT64_C(1000000)
/* The least that it can be set to. */
#define MESSAGE_MAX_LEAST UINT64_C(1000)

bool pubsub__kafka_own_option(const char *name)
{
    for (const pubsub_option_row *row = pubsub__kafka_option_rows; row->name != NULL; row++) {
        if (row->check == NULL && strcmp(row->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static void cell(pubsub_caps *caps, pubsub_feature feature, pubsub_support support,
                 const char *note)
{
    caps->features[feature].support = support;
    caps->features[feature].note = note;
}

/* The library's limit for one message, which is also that of a request. */
static uint64_t message_max(const pubsub_options *options)
{
    const char *text = pubsub_options_get(options, "kafka.message.max.bytes");
    unsigned long long value = text == NULL ? 0 : strtoull(text, NULL, 10);
    return value > 0 ? value : MESSAGE_MAX;
}

pubsub_err pubsub__kafka_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                              pubsub_error *err)
{
    pubsub_err rc = pubsub__kafka_conf_check(config, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        cell(out, (pubsub_feature)i, PUBSUB_NATIVE, "");
    }
    cell(out, PUBSUB_FEATURE_QOS2, PUBSUB_REFUSED, "transactions are not used");
    cell(out, PUBSUB_FEATURE_GROUP, PUBSUB_NATIVE,
         "members share partitions: at most as many work as there are, each on keys of its own, on "
         "messages without a key with kafka.keyless=spread; their patterns may differ, and what is "
         "open when members come and go may move");
    cell(out, PUBSUB_FEATURE_DURABLE, PUBSUB_NATIVE,
         "offsets of a name without members expire, after 7 days as brokers are set");
    cell(out, PUBSUB_FEATURE_DURABLE_GROUP, PUBSUB_NATIVE,
         "offsets of a group without members expire, after 7 days as brokers are set");
    cell(out, PUBSUB_FEATURE_ACK, PUBSUB_EMULATED,
         "committed up to the first open message; after a crash what follows it comes again");
    cell(out, PUBSUB_FEATURE_NACK_DELAY, PUBSUB_EMULATED, "while this client lives");
    cell(out, PUBSUB_FEATURE_ATTEMPTS, PUBSUB_EMULATED, "while this client lives");
    cell(out, PUBSUB_FEATURE_DEAD_LETTER, PUBSUB_EMULATED, "published by the client");
    cell(out, PUBSUB_FEATURE_FROM_POSITION, PUBSUB_NATIVE, "partition and offset");
    cell(out, PUBSUB_FEATURE_RETAIN, PUBSUB_REFUSED, "Kafka keeps a log, not the last value");
    cell(out, PUBSUB_FEATURE_REPLY_TO, PUBSUB_EMULATED,
         "the headers pubsub-reply and pubsub-correlation");
    cell(out, PUBSUB_FEATURE_CONTENT_TYPE, PUBSUB_EMULATED, "the header content-type");
    cell(out, PUBSUB_FEATURE_ORDER_KEY, PUBSUB_NATIVE,
         "those without a key keep the order of their topic, unless kafka.keyless=spread");
    cell(out, PUBSUB_FEATURE_ORDER_KEY_GROUP, PUBSUB_REFUSED,
         "a message that failed does not hold back later ones of its key");
    cell(out, PUBSUB_FEATURE_EXPIRY, PUBSUB_EMULATED, "the header pubsub-expires-ns");
    cell(out, PUBSUB_FEATURE_DELAY, PUBSUB_REFUSED, "Kafka has no delayed messages");
    cell(out, PUBSUB_FEATURE_REQUEST_REPLY, PUBSUB_EMULATED,
         "answers share the Kafka topic " KAF_CONTAINER_INBOX);
    out->confirm = PUBSUB_CONFIRM_REPLICATED;
    out->confirm_note = "on as many brokers as min.insync.replicas says; on one: written";
    out->max_payload = message_max(config->options) - RECORD_REST;
    out->max_topic = pubsub_options_get(config->options, "kafka.topic") != NULL ? PUBSUB_TOPIC_MAX
                                                                                : KAF_NAME_MAX;
    return PUBSUB_OK;
}

pubsub_err pubsub__kafka_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                   const pubsub_request *request, pubsub_answer *answer,
                                   pubsub_error *err)
{
    (void)config;
    (void)caps;
    (void)request;
    (void)answer;
    (void)err;
    return PUBSUB_OK;
}

static bool is_own(pubsub_bytes name)
{
    static const char *const ours[] = {KAF_HEADER_TOPIC, KAF_HEADER_REPLY, KAF_HEADER_CORRELATION,
                                       KAF_HEADER_EXPIRES};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        if (name.len == strlen(ours[i]) && memcmp(name.data, ours[i], name.len) == 0) {
            return true;
        }
    }
    return false;
}

static pubsub_err check_header(size_t number, pubsub_bytes name, pubsub_error *err)
{
    if (is_own(name)) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "header %zu: the name '%.*s' is the library's own", number,
                                (int)name.len, (const char *)name.data);
    }
    if (memchr(name.data, '\0', name.len) != NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "header %zu: librdkafka allows no NUL in a header's name", number);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__kafka_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                               const pubsub_publication *pub, pubsub_error *err)
{
    kaf_naming naming = {pubsub_options_get(config->options, "kafka.topic")};
    (void)caps;
    pubsub_err rc = pubsub__kafka_container_check(&naming, pub->topic, err);
    uint64_t size = RECORD_REST + pub->payload.len + pub->key.len + pub->content_type.len +
                    pub->reply_to.len + pub->correlation.len;
    for (size_t i = 0; rc == PUBSUB_OK && i < pub->header_count; i++) {
        rc = check_header(i + 1, pub->headers[i].name, err);
        size += pub->headers[i].name.len + pub->headers[i].value.len + 10;
    }
    uint64_t most = size > MESSAGE_MAX_LEAST ? message_max(config->options) : MESSAGE_MAX_LEAST;
    if (rc == PUBSUB_OK && size > most) {
        rc = pubsub_error_set(err, PUBSUB_ETOOBIG,
                              "the message has %llu bytes with key and headers, "
                              "kafka.message.max.bytes is %llu",
                              (unsigned long long)size, (unsigned long long)most);
    }
    return rc;
}
