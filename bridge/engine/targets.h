/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_TARGETS_H
#define PUBSUB_BRIDGE_TARGETS_H

/* The brokers that are in use: routes to the same broker share a client. */

#include "config/config.h"
#include "engine/target.h"

typedef struct bridge_targets bridge_targets;

bridge_targets *bridge_targets_new(pubsub_host *host);
/* When none is in use and none is ending. */
void bridge_targets_free(bridge_targets *targets);

/* The target of a broker, made if it is not there; give it back with bridge_targets_give(). One that has
 * failed is not given out again. */
bridge_target *bridge_targets_take(bridge_targets *targets, const bridge_broker *broker,
                                   pubsub_error *err);
/* The last user ends it, waiting at most that long. */
void bridge_targets_give(bridge_targets *targets, bridge_target *target,
                         pubsub_duration_ms timeout);

/* `fn` is called each time an ended client is gone; bridge_targets_ending() says how many are left. */
void bridge_targets_on_gone(bridge_targets *targets, void (*fn)(void *ctx), void *ctx);
size_t bridge_targets_ending(const bridge_targets *targets);

#endif
