/* SPDX-License-Identifier: MIT */
#include "amqp/adapter.h"

#include <stdio.h>
#include <string.h>

/* What the user may set, and what can be promised. */

#define C PUBSUB_SCOPE_CLIENT
#define S PUBSUB_SCOPE_SUBSCRIBE
#define YEAR_MS (INT64_C(366) * 24 * 3600 * 1000)
/* RabbitMQ's max_message_size cannot be asked for; what it is set to beyond this is not used. */
#define PAYLOAD_MAX (UINT64_C(128) * 1024 * 1024)

#define TEXT(name_, scopes_, min_, max_, default_, help_)                                          \
    {                                                                                              \
        .name = (name_), .adapter = "amqp", .type = PUBSUB_OPTION_TEXT, .scopes = (scopes_),       \
        .min = (min_), .max = (max_), .default_text = (default_), .help = (help_)                  \
    }
#define ENUM(name_, scopes_, values_, default_, help_)                                             \
    {                                                                                              \
        .name = (name_), .adapter = "amqp", .type = PUBSUB_OPTION_ENUM, .scopes = (scopes_),       \
        .values = (values_), .default_text = (default_), .help = (help_)                           \
    }
#define BOOL(name_, scopes_, default_, help_)                                                      \
    {                                                                                              \
        .name = (name_), .adapter = "amqp", .type = PUBSUB_OPTION_BOOL, .scopes = (scopes_),       \
        .max = 1, .default_text = (default_), .help = (help_)                                      \
    }

const pubsub_option_row pubsub__amqp_option_rows[] = {
    TEXT("exchange", C, 0, 255, "amq.topic",
         "exchange to publish to and to bind queues to, made if it is not there; empty: topics are "
         "the names of queues"),
    ENUM("exchange_type", C, "topic|direct|fanout", "topic",
         "type of that exchange; with direct there are no patterns, with fanout everybody gets "
         "everything and filters"),
    TEXT("stream", C, 1, 255, NULL,
         "name of a stream that keeps all messages of the exchange, to subscribe from a time or "
         "position; made if it is not there"),
    TEXT("vhost", C, 1, 255, NULL, "virtual host, instead of the URL's path"),
    ENUM("auth", C, "plain|external", "plain",
         "user and password, or what the client certificate says"),
    {.name = "heartbeat",
     .adapter = "amqp",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = C,
     .min = 0,
     .max = INT64_C(65535000),
     .default_text = "30s",
     .help = "a peer that is silent for twice as long is lost, in whole seconds; 0 = never"},
    BOOL("mandatory", C, "yes", "have the broker tell when nobody receives a message of qos 1"),
    {.name = "window",
     .adapter = "amqp",
     .type = PUBSUB_OPTION_INT,
     .unit = "messages",
     .scopes = C,
     .min = 1,
     .max = 65536,
     .default_text = "4096",
     .help = "most messages that wait for the broker's confirm"},
    {.name = "confirm_timeout",
     .adapter = "amqp",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = C,
     .min = 0,
     .max = YEAR_MS,
     .default_text = "60s",
     .help = "a message without confirm for so long is unknown, and is sent again on a new "
             "connection; 0 = "
             "never"},
    TEXT("queue", C | S, 1, 255, NULL,
         "queue to consume from, instead of one made for the subscription; used as it is if it is "
         "there"),
    ENUM("queue_type", C | S, "classic|quorum", "classic",
         "type of durable queues that are made; quorum: replicated, and attempts survive a crash"),
    BOOL("queue_durable", C | S, "yes", "a queue of the caller's name survives the broker"),
    BOOL("queue_auto_delete", C | S, "no",
         "a queue of the caller's name ends with its last consumer"),
    BOOL("queue_exclusive", C | S, "no",
         "a queue of the caller's name belongs to this connection and ends with it"),
    {.name = "queue_expires",
     .adapter = "amqp",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = C | S,
     .min = 0,
     .max = 10 * YEAR_MS,
     .default_text = "0",
     .help = "a queue that nobody used for so long ends; 0 = never"},
    {.name = NULL},
};

void pubsub__amqp_naming(const pubsub_adapter_config *config, amq_naming *out)
{
    const char *exchange = pubsub_options_get(config->options, "amqp.exchange");
    out->exchange = pubsub_bytes_of(exchange == NULL ? "amq.topic" : exchange);
    out->plain = out->exchange.len == 0;
}

const char *pubsub__amqp_stream_name(const pubsub_adapter_config *config)
{
    return pubsub_options_get(config->options, "amqp.stream");
}

static void cell(pubsub_caps *caps, pubsub_feature feature, pubsub_support support,
                 const char *note)
{
    caps->features[feature].support = support;
    caps->features[feature].note = note;
}

static void refuse(pubsub_caps *caps, const pubsub_feature *features, size_t count,
                   const char *note)
{
    for (size_t i = 0; i < count; i++) {
        cell(caps, features[i], PUBSUB_REFUSED, note);
    }
}

#define REFUSE(caps, note, ...)                                                                    \
    refuse(caps, (const pubsub_feature[]){__VA_ARGS__},                                            \
           sizeof((const pubsub_feature[]){__VA_ARGS__}) / sizeof(pubsub_feature), note)

static void with_stream(pubsub_caps *out)
{
    REFUSE(out, "every consumer of a stream reads all of it, and the broker stores no position",
           PUBSUB_FEATURE_GROUP, PUBSUB_FEATURE_DURABLE, PUBSUB_FEATURE_DURABLE_GROUP,
           PUBSUB_FEATURE_ORDER_KEY_GROUP);
    REFUSE(out, "a stream keeps messages as long as its retention says", PUBSUB_FEATURE_EXPIRY);
    REFUSE(out,
           "a stream gives a message once to each reader; a position to go on from is the "
           "caller's to keep",
           PUBSUB_FEATURE_ACK);
    cell(out, PUBSUB_FEATURE_HEADERS, PUBSUB_NATIVE,
         "a stream sorts them by name; those of one name keep their order");
    cell(out, PUBSUB_FEATURE_FROM_EARLIEST, PUBSUB_NATIVE, "");
    cell(out, PUBSUB_FEATURE_FROM_TIME, PUBSUB_NATIVE,
         "from the block of messages the time falls into, so some may be older");
    cell(out, PUBSUB_FEATURE_FROM_POSITION, PUBSUB_NATIVE, "the offset in the stream");
}

static void with_names(pubsub_caps *out)
{
    REFUSE(out, "with the empty exchange a topic is the name of one queue", PUBSUB_FEATURE_PATTERNS,
           PUBSUB_FEATURE_INNER_MULTI);
    REFUSE(out, "all consumers of a queue share its messages, whatever name they give",
           PUBSUB_FEATURE_DURABLE);
    cell(
        out, PUBSUB_FEATURE_GROUP, PUBSUB_NATIVE,
        "all consumers of a queue share its messages, also those without a group; members may have "
        "other patterns");
    cell(out, PUBSUB_FEATURE_DURABLE_GROUP, PUBSUB_NATIVE, "as far as the queue is durable");
}

pubsub_err pubsub__amqp_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                             pubsub_error *err)
{
    amq_naming naming;
    const char *type = pubsub_options_get(config->options, "amqp.exchange_type");
    const char *queue = pubsub_options_get(config->options, "amqp.queue_type");
    bool quorum = queue != NULL && strcmp(queue, "quorum") == 0;
    (void)err;
    pubsub__amqp_naming(config, &naming);
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (unsigned i = 0; i < PUBSUB_FEATURE_COUNT; i++) {
        cell(out, (pubsub_feature)i, PUBSUB_NATIVE, "");
    }
    REFUSE(out, "AMQP 0-9-1 has no exactly once", PUBSUB_FEATURE_QOS2);
    REFUSE(out, "a queue gives a message once; replay needs amqp.stream",
           PUBSUB_FEATURE_FROM_EARLIEST, PUBSUB_FEATURE_FROM_TIME, PUBSUB_FEATURE_FROM_POSITION);
    REFUSE(out, "RabbitMQ keeps no last values", PUBSUB_FEATURE_RETAIN);
    REFUSE(out, "needs a plug-in of the broker", PUBSUB_FEATURE_DELAY);
    cell(out, PUBSUB_FEATURE_GROUP, PUBSUB_NATIVE,
         "a queue of its own; the broker does not compare the members' patterns");
    cell(out, PUBSUB_FEATURE_DURABLE, PUBSUB_NATIVE,
         "a queue of its own; patterns of an earlier use stay bound, what they bring is filtered");
    cell(out, PUBSUB_FEATURE_NACK_DELAY, PUBSUB_EMULATED, "while this client lives");
    cell(out, PUBSUB_FEATURE_ATTEMPTS, quorum ? PUBSUB_NATIVE : PUBSUB_EMULATED,
         quorum ? "across crashes in durable queues, with what a client had and not handled"
                : "while this client lives");
    cell(out, PUBSUB_FEATURE_DEAD_LETTER, PUBSUB_EMULATED, "published by the client");
    cell(out, PUBSUB_FEATURE_KEY, PUBSUB_EMULATED, "the header pubsub-key");
    cell(out, PUBSUB_FEATURE_TOMBSTONE, PUBSUB_EMULATED, "the header pubsub-tombstone");
    cell(out, PUBSUB_FEATURE_HEADERS, PUBSUB_NATIVE,
         "names up to 255 bytes; values of foreign messages that are no strings are shown as text");
    cell(out, PUBSUB_FEATURE_ORDER_KEY, PUBSUB_NATIVE, "per publisher, topic and qos");
    cell(out, PUBSUB_FEATURE_ORDER_KEY_GROUP, PUBSUB_NATIVE,
         "single active consumer: one member works, one message at a time; the others stand by");
    out->confirm = PUBSUB_CONFIRM_WRITTEN;
    out->confirm_note = "in durable queues; a majority has it in quorum queues; where nobody "
                        "subscribes it is told";
    out->max_payload = PAYLOAD_MAX;
    out->max_topic = AMQ_SHORT_MAX;
    if (naming.plain) {
        with_names(out);
    } else if (type != NULL && strcmp(type, "direct") == 0) {
        REFUSE(out, "a direct exchange compares whole names", PUBSUB_FEATURE_PATTERNS,
               PUBSUB_FEATURE_INNER_MULTI);
    }
    if (pubsub__amqp_stream_name(config) != NULL) {
        with_stream(out);
    }
    return PUBSUB_OK;
}

/* What names of queues and binding keys cannot be is told at the call. */
pubsub_err pubsub__amqp_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                  const pubsub_request *request, pubsub_answer *answer,
                                  pubsub_error *err)
{
    const pubsub_subscribe_request *sub = request->subscribe;
    amq_naming naming;
    char key[AMQ_SHORT_MAX + 1];
    pubsub_err rc = PUBSUB_OK;
    (void)caps;
    (void)answer;
    pubsub__amqp_naming(config, &naming);
    for (size_t i = 0; sub != NULL && rc == PUBSUB_OK && i < sub->pattern_count; i++) {
        size_t len = 0;
        pubsub_bytes exchange;
        rc = naming.plain ? pubsub__amqp_route(&naming, sub->patterns[i], &exchange, key, &len, err)
                          : pubsub__amqp_binding(sub->patterns[i], key, NULL, err);
    }
    if (sub != NULL && rc == PUBSUB_OK && strlen(sub->group) + strlen(sub->durable) > 240 &&
        (strlen(sub->group) > 240 || strlen(sub->durable) > 240)) {
        rc = pubsub_error_set(err, PUBSUB_EOPTION,
                              "the name of a group or durable subscription is part of a queue's "
                              "name and has at most 240 bytes");
    }
    return rc;
}

pubsub_err pubsub__amqp_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                              const pubsub_publication *publication, pubsub_error *err)
{
    amq_naming naming;
    (void)caps;
    pubsub__amqp_naming(config, &naming);
    return pubsub__amqp_encode_check(publication, &naming, err);
}
