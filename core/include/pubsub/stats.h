/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_STATS_H
#define PUBSUB_STATS_H

/** @file stats.h
 *  Counters of one client. All count from pubsub_client_new and never go down, except the gauges. */

#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** X(name, unit, kind, help): the one table behind the struct and docs/statistics.md. */
#define PUBSUB_STATS_MAP(X)                                                                        \
    X(published, "messages", counter, "publish calls that were queued")                            \
    X(published_bytes, "bytes", counter, "payload bytes of those")                                 \
    X(accepted, "messages", counter, "outcome accepted")                                           \
    X(rejected, "messages", counter, "outcome rejected")                                           \
    X(not_sent, "messages", counter, "outcome not sent")                                           \
    X(unknown, "messages", counter, "outcome unknown")                                             \
    X(dropped, "messages", counter, "outcome dropped")                                             \
    X(resent, "messages", counter, "handed to the adapter again after a reconnect")                \
    X(received, "messages", counter, "messages that arrived for a subscription")                   \
    X(received_bytes, "bytes", counter, "payload bytes of those")                                  \
    X(filtered, "messages", counter, "arrived by a superset subscription and did not match")       \
    X(expired, "messages", counter, "arrived after their expiry and were not delivered")           \
    X(acked, "messages", counter, "acknowledged")                                                  \
    X(nacked, "messages", counter, "refused by a handler")                                         \
    X(redelivered, "messages", counter, "delivered with an attempt above one")                     \
    X(dead_lettered, "messages", counter, "published to a dead-letter topic")                      \
    X(stale_acks, "messages", counter, "acks of an older connection, not sent")                    \
    X(gaps, "events", counter, "gap events")                                                       \
    X(overflowed, "messages", counter, "arrived without credit at qos 0 and were dropped")         \
    X(connects, "events", counter, "links that came up")                                           \
    X(disconnects, "events", counter, "links that went down")                                      \
    X(queued, "messages", gauge, "publishes without an outcome")                                   \
    X(queued_bytes, "bytes", gauge, "memory those hold")                                           \
    X(ready, "messages", gauge, "arrived and not handled")                                         \
    X(unsettled, "messages", gauge, "handled and neither acked nor nacked")                        \
    X(stray_replies, "messages", counter, "answers that no request waited for")                    \
    X(requests, "requests", gauge, "requests without an answer")

/** A snapshot. Plain value. */
typedef struct pubsub_stats {
    size_t size; /**< sizeof(pubsub_stats) */
#define PUBSUB_X(name, unit, kind, help) uint64_t name;
    PUBSUB_STATS_MAP(PUBSUB_X)
#undef PUBSUB_X
} pubsub_stats;

#ifdef __cplusplus
}
#endif

#endif
