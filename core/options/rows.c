/* SPDX-License-Identifier: MIT */
#include "options/table.h"

#define C PUBSUB_SCOPE_CLIENT
#define S PUBSUB_SCOPE_SUBSCRIBE
#define P PUBSUB_SCOPE_PUBLISH

#define MINUTE INT64_C(60000)
#define DAY (INT64_C(1440) * MINUTE)
#define YEAR (366 * DAY)
#define KIB INT64_C(1024)
#define TIB (INT64_C(1) << 40)

#define TEXT(name_, scopes_, max_, default_, help_)                                                \
    {                                                                                              \
        .name = (name_), .type = PUBSUB_OPTION_TEXT, .scopes = (scopes_), .min = 1, .max = (max_), \
        .default_text = (default_), .help = (help_)                                                \
    }
#define SECRET(name_, scopes_, max_, help_)                                                        \
    {                                                                                              \
        .name = (name_), .type = PUBSUB_OPTION_TEXT, .scopes = (scopes_), .max = (max_),           \
        .secret = true, .help = (help_)                                                            \
    }
#define ENUM(name_, scopes_, values_, default_, help_)                                             \
    {                                                                                              \
        .name = (name_), .type = PUBSUB_OPTION_ENUM, .scopes = (scopes_), .values = (values_),     \
        .default_text = (default_), .help = (help_)                                                \
    }
#define BOOL(name_, scopes_, default_, help_)                                                      \
    {                                                                                              \
        .name = (name_), .type = PUBSUB_OPTION_BOOL, .scopes = (scopes_), .max = 1,                \
        .default_text = (default_), .help = (help_)                                                \
    }
#define NUMBER(name_, type_, unit_, scopes_, min_, max_, default_, help_)                          \
    {                                                                                              \
        .name = (name_), .type = PUBSUB_OPTION_##type_, .unit = (unit_), .scopes = (scopes_),      \
        .min = (min_), .max = (max_), .default_text = (default_), .help = (help_)                  \
    }

/* Client and another scope: the client's value is the default for its subscriptions or publishes. */
const pubsub_option_row pubsub__generic_options[] = {
    /* where to, and who */
    TEXT("host", C, 255, NULL, "host of the broker, instead of in the URL"),
    NUMBER("port", INT, NULL, C, 1, 65535, NULL, "port of the broker, instead of in the URL"),
    TEXT("socket", C, 107, NULL, "path of a Unix socket to connect to, instead of the host"),
    ENUM("host_order", C, "listed|random", "listed",
         "with several hosts: which one is tried first; after that the one that worked last"),
    TEXT("user", C, 1024, NULL, "user name, instead of in the URL"),
    SECRET("password", C, 4096, "password, instead of in the URL"),
    TEXT("client_id", C, 256, NULL, "name the broker knows this client by; default: made up"),
    BOOL("tls", C, "no", "encrypt, as the secure schemes do"),
    TEXT("tls_ca", C, 4096, NULL,
         "file or directory of trusted certificates; default: the system's"),
    TEXT("tls_cert", C, 4096, NULL, "file of the client certificate"),
    TEXT("tls_key", C, 4096, NULL, "file of the client certificate's private key"),
    TEXT("tls_server_name", C, 255, NULL, "name the certificate must have; default: the host"),
    BOOL("tls_verify", C, "yes", "check the broker's certificate and name"),

    /* connecting */
    NUMBER("connect_timeout", DURATION, NULL, C, 1, DAY, "5s",
           "look-up, connect, TLS and handshake together"),
    BOOL("reconnect", C, "yes", "connect again when the connection is lost"),
    BOOL("connect_retry", C, "no", "go on trying when the first connect fails, instead of failing"),
    NUMBER("reconnect_min", DURATION, NULL, C, 1, DAY, "100ms",
           "shortest wait before reconnecting"),
    NUMBER("reconnect_max", DURATION, NULL, C, 1, DAY, "5s", "longest wait before reconnecting"),

    /* how the client works */
    ENUM("io", C, "thread|inline", "thread",
         "who drives the connection: a thread of its own, or poll and the blocking calls"),
    ENUM("dispatch", C, "poll|thread", "poll",
         "who calls handlers: poll, or a thread of the client"),
    ENUM("degrade", C | S | P, "refuse|allow", "refuse",
         "what happens when the broker cannot do what is asked for: an error, or less"),

    /* publishing */
    NUMBER("queue_messages", INT, "messages", C, 1, 10000000, "100000",
           "most messages that wait to be published"),
    NUMBER("queue_bytes", SIZE, NULL, C, 4 * KIB, TIB, "64M",
           "most bytes that wait to be published"),
    NUMBER("publish_timeout", DURATION, NULL, C, -1, YEAR, "forever",
           "a publish that could not be sent for this long is reported as not sent"),
    NUMBER("batch_messages", INT, "messages", C, 1, 512, "512", "most messages in one batch"),
    NUMBER("batch_bytes", SIZE, NULL, C, KIB, 1024 * KIB * KIB, "1M", "most bytes in one batch"),
    NUMBER("linger", DURATION, NULL, C, 0, MINUTE, "0", "how long a batch waits to get fuller"),
    NUMBER(
        "qos", INT, NULL, S | P, 0, 2, NULL,
        "0 at most once, 1 at least once, 2 exactly once; unset: 1 if the broker has it, else 0"),
    BOOL("retain", P, "no", "keep the message as the topic's last value"),
    NUMBER("expiry", DURATION, NULL, P, 1, YEAR, NULL, "do not deliver after this long"),

    /* requests */
    TEXT("inbox", C, 512, "$inbox", "topic below which the answers to this client's requests go"),

    /* subscribing */
    TEXT("group", S, 255, NULL, "share the messages with the other members of this group"),
    TEXT("durable", S, 255, NULL, "keep messages under this name while nobody is connected"),
    TEXT("from", S, 1024, "new",
         "where to begin: new, earliest, last (retained values, then new), a time, a position"),
    BOOL("reset", S, "no", "begin at `from` even when there is a stored position"),
    ENUM("order", S, "none|key", "none", "keep the order of messages with the same key"),
    NUMBER("workers", INT, NULL, C | S, 1, 256, "1",
           "handlers of a subscription at the same time; messages of one key one after the other, "
           "those without a key in any order, with order=key by topic"),
    NUMBER("prefetch", INT, "messages", C | S, 1, 1000000, "1000",
           "most messages handed out and not yet acknowledged"),
    NUMBER("prefetch_bytes", SIZE, NULL, C | S, KIB, TIB, "8M",
           "most bytes handed out and not yet acknowledged"),
    ENUM("ack", C | S, "auto|manual", "auto",
         "who acknowledges: the handler's return value, or a call"),
    NUMBER("max_attempts", INT, "deliveries", C | S, 0, 1000000, "10",
           "deliveries before a message goes to the dead-letter topic; 0 = no limit"),
    NUMBER("nack_delay", DURATION, NULL, C | S, 0, DAY, "1s",
           "wait before a refused message is delivered again"),
    TEXT(
        "dead_letter", C | S, 1024, NULL,
        "topic for messages given up, none = drop them; default: $dead/<group or durable>/<topic>"),
    {.name = NULL},
};
