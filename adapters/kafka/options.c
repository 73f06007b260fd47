/* SPDX-License-Identifier: MIT */
#include "kafka/options.h"

#include "kafka/map.h"
#include "module/options.h"

/* The rows of the option table: also a part of the library where the adapter is a module. */

#define C PUBSUB_SCOPE_CLIENT
#define S PUBSUB_SCOPE_SUBSCRIBE

#define SECRET(name_, help_)                                                                       \
    {                                                                                              \
        .name = (name_), .adapter = "kafka", .type = PUBSUB_OPTION_TEXT, .scopes = C,              \
        .secret = true, .help = (help_),                                                           \
        .check = PUBSUB__MODULE_CHECK(pubsub__kafka_check_setting)                                 \
    }

const pubsub_option_row pubsub__kafka_option_rows[] = {
    {.name = "topic",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = C,
     .min = 1,
     .max = KAF_NAME_MAX,
     .help = "Kafka topic that all topics share, keyed by topic; default: one for each"},
    {.name = "create",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_BOOL,
     .scopes = C,
     .max = 1,
     .default_text = "yes",
     .help = "make Kafka topics that are not there; no: they are refused"},
    {.name = "partitions",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_INT,
     .scopes = C,
     .min = 1,
     .max = 10000,
     .default_text = "12",
     .help =
         "partitions of a Kafka topic that is made; a group has at most so many working members"},
    {.name = "replication",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_INT,
     .unit = "copies",
     .scopes = C,
     .min = 1,
     .max = 100,
     .help =
         "copies of each partition of a Kafka topic that is made; default: as the broker is set"},
    {.name = "keyless",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_ENUM,
     .scopes = C,
     .values = "topic|spread",
     .default_text = "topic",
     .help = "where messages without a key go; topic: all of one topic in one partition, in order; "
             "spread: over all partitions, so that the members of a group share them"},
    {.name = "keep_alive",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_DURATION,
     .scopes = C,
     .min = 0,
     .max = INT64_C(3600000),
     .default_text = "30s",
     .help = "so often the cluster is asked for a sign of life, and without one for so long it is "
             "lost; 0 = never"},
    SECRET("ssl.key.password", "librdkafka's setting of that name"),
    SECRET("ssl.key.pem", "librdkafka's setting of that name"),
    SECRET("ssl.keystore.password", "librdkafka's setting of that name"),
    SECRET("sasl.oauthbearer.client.secret", "librdkafka's setting of that name"),
    SECRET("sasl.oauthbearer.config", "librdkafka's setting of that name"),
    {.name = "*",
     .adapter = "kafka",
     .type = PUBSUB_OPTION_TEXT,
     .scopes = C | S,
     .help = "every setting of librdkafka by its own name, like kafka.linger.ms",
     .check = PUBSUB__MODULE_CHECK(pubsub__kafka_check_setting)},
    {.name = NULL},
};
