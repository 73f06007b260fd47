/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CAPS_H
#define PUBSUB_CAPS_H

/** @file caps.h
 *  What a broker can do, feature by feature. The same table answers pubsub_caps_get, drives the
 *  conformance tests and decides what a publish or subscribe call is refused for. */

#include <pubsub/error.h>
#include <pubsub/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How a feature is provided. */
typedef enum pubsub_support {
    PUBSUB_REFUSED = 0,  /**< asking for it is PUBSUB_ENOTSUP */
    PUBSUB_EMULATED = 1, /**< done on this side of the connection */
    PUBSUB_NATIVE = 2    /**< done by the broker */
} pubsub_support;

/** X(NAME, "name", "what it means"): every feature that can be asked for. Values are stable: new
 *  ones are appended. */
#define PUBSUB_FEATURE_MAP(X)                                                                      \
    X(QOS0, "qos0", "at most once")                                                                \
    X(QOS1, "qos1", "at least once, publishes are confirmed")                                      \
    X(QOS2, "qos2", "exactly once")                                                                \
    X(PATTERNS, "patterns", "subscribe with + and #")                                              \
    X(INNER_MULTI, "inner-multi", "# inside a pattern")                                            \
    X(GROUP, "group", "members share the messages of a subscription")                              \
    X(DURABLE, "durable", "messages are kept while nobody is connected")                           \
    X(DURABLE_GROUP, "durable-group", "a group whose messages are kept while no member is there")  \
    X(ACK, "ack", "a message comes again unless its handler succeeded")                            \
    X(NACK_DELAY, "nack-delay", "refused messages come again after a delay")                       \
    X(ATTEMPTS, "attempts", "deliveries are counted, across crashes where native")                 \
    X(DEAD_LETTER, "dead-letter", "after max_attempts to the dead-letter topic")                   \
    X(FROM_EARLIEST, "from-earliest", "replay from the first stored message")                      \
    X(FROM_TIME, "from-time", "replay from a time")                                                \
    X(FROM_POSITION, "from-position", "replay from a position")                                    \
    X(RETAIN, "retain", "the last value of a topic is kept for later subscribers")                 \
    X(HEADERS, "headers", "named values beside the payload")                                       \
    X(KEY, "key", "a key beside the payload")                                                      \
    X(CONTENT_TYPE, "content-type", "a media type beside the payload")                             \
    X(REPLY_TO, "reply-to", "reply topic and correlation beside the payload")                      \
    X(TOMBSTONE, "tombstone", "a message without a value")                                         \
    X(ORDER_KEY, "order-key", "messages of one key keep their order")                              \
    X(ORDER_KEY_GROUP, "order-key-group", "order per key also across the members of a group")      \
    X(EXPIRY, "expiry", "messages are not delivered after their expiry")                           \
    X(DELAY, "delay", "messages are delivered later")                                              \
    X(REQUEST_REPLY, "request-reply", "request and reply")

typedef enum pubsub_feature {
#define PUBSUB_X(name, text, help) PUBSUB_FEATURE_##name,
    PUBSUB_FEATURE_MAP(PUBSUB_X)
#undef PUBSUB_X
        PUBSUB_FEATURE_COUNT
} pubsub_feature;

/** Room for features in pubsub_caps, so that new ones do not change its layout. */
#define PUBSUB_FEATURES_MAX 64

/** One cell: the answer, and a short reason or limit ("members <= partitions"), never NULL. */
typedef struct pubsub_cap {
    pubsub_support support;
    const char *note;
} pubsub_cap;

/** The whole answer of one adapter or one connected server. Plain value; strings are static. */
typedef struct pubsub_caps {
    size_t size;                              /**< sizeof(pubsub_caps) */
    pubsub_cap features[PUBSUB_FEATURES_MAX]; /**< index: pubsub_feature */
    uint8_t confirm; /**< pubsub_confirm: what a confirmation of qos 1 is worth at most */
    const char *confirm_note;
    uint64_t max_payload; /**< bytes, 0 = no limit known */
    uint32_t max_topic;   /**< bytes of the portable topic, never above PUBSUB_TOPIC_MAX */
} pubsub_caps;

/** The short name of a feature, "dead-letter"; "?" for values that are no feature.
 *  Returns:   a string constant.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_feature_name(pubsub_feature feature);

/** What a feature means, one line; "?" for values that are no feature.
 *  Returns:   a string constant.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_feature_help(pubsub_feature feature);

/** "native", "emulated" or "refused".
 *  Returns:   a string constant.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_support_name(pubsub_support support);

/** What the adapter of a URL can ever do, without connecting.
 *  @param url      broker URL, not NULL.
 *  @param options  client options, may be NULL.
 *  @param out      filled on success.
 *  @param err      optional detail, may be NULL.
 *  Returns:   PUBSUB_OK, PUBSUB_EURL, PUBSUB_ESCHEME, PUBSUB_ENOTBUILT, PUBSUB_EOPTION, PUBSUB_ENOMEM.
 *  Thread:    any.
 *  Ownership: out holds static strings only.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_caps_offline(const char *url, const pubsub_options *options,
                                          pubsub_caps *out, pubsub_error *err);

/** Where the adapter of a scheme is. */
typedef enum pubsub_adapter_place {
    PUBSUB_ADAPTER_NOT_BUILT = 0,
    PUBSUB_ADAPTER_BUILT_IN = 1, /**< a part of the library, or registered by the program */
    PUBSUB_ADAPTER_LOADED = 2,   /**< a module that was opened */
    PUBSUB_ADAPTER_MODULE = 3,   /**< a module that will be opened when it is used */
    PUBSUB_ADAPTER_MISSING = 4   /**< was built as a module, and the file is not here */
} pubsub_adapter_place;

/** A scheme this library knows. */
typedef struct pubsub_scheme {
    const char *scheme;  /**< "kafka+ssl" */
    const char *adapter; /**< "kafka" */
    bool built;          /**< whether its adapter is here: built in, or a module that is found */
    const char *summary; /**< one line */
    pubsub_adapter_place place;
} pubsub_scheme;

/** "not built", "built in", "module", "module, not loaded" or "module, not found".
 *  Returns:   a string constant, "?" for other values.
 *  Thread:    any.
 *  Ownership: static.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_adapter_place_name(pubsub_adapter_place place);

/** Every known scheme, built or not. Opens no module; an adapter of somebody else's is in the list when it
 *  was opened.
 *  @param index  0..; out may not be NULL.
 *  Returns:   true while index is in range.
 *  Thread:    any.
 *  Ownership: static strings.
 *  Since:     0.1    Source: - */
PUBSUB_API bool pubsub_scheme_at(size_t index, pubsub_scheme *out);

#ifdef __cplusplus
}
#endif

#endif
