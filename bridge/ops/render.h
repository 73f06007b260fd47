/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_RENDER_H
#define PUBSUB_BRIDGE_RENDER_H

/* What the operation endpoints say, from a look at the engine. */

#include "base/buf.h"
#include "engine/engine.h"

/* {"ready":true,"routes":[{"name":...,"state":...},...]}: brief for /ready, all counters for /status. */
void bridge_render_routes(const bridge_engine *engine, bool all, pubsub__buf *out);

/* Prometheus' text format 0.0.4. The names are stable; docs/bridge.md lists them. */
void bridge_render_metrics(const bridge_engine *engine, pubsub__buf *out);

/* One row of the table of metrics, for the documentation and its test; NULL past the end. */
typedef struct bridge_metric {
    const char *name;
    const char *type; /* "counter" or "gauge" */
    const char *help;
} bridge_metric;
const bridge_metric *bridge_metric_at(size_t index);

#endif
