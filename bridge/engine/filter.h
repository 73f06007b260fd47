/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_FILTER_H
#define PUBSUB_BRIDGE_FILTER_H

/* Which events a route lets through. */

#include "config/config.h"

/* Whether an event passes: its change is wanted and every condition holds. A document that is no JSON
 * fulfils no condition. */
bool bridge_filter_passes(const bridge_route *route, const pubsub_source_event *event);

#endif
