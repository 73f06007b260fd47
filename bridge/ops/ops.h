/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_OPS_H
#define PUBSUB_BRIDGE_OPS_H

/* The operation endpoints: GET /live, /ready, /status, /metrics. */

#include "engine/engine.h"

typedef struct bridge_ops bridge_ops;

/* Listen on "host:port" or ":port" (loopback). NULL when that does not work, *err says why. */
bridge_ops *bridge_ops_new(pubsub_host *host, const bridge_engine *engine, const char *listen,
                           pubsub_error *err);
/* Stop listening; `done` is called later, from the loop, and then nothing of it is left. */
void bridge_ops_free(bridge_ops *ops, void (*done)(void *ctx), void *ctx);

#endif
