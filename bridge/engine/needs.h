/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_NEEDS_H
#define PUBSUB_BRIDGE_NEEDS_H

/* What a route asks of its broker, held against what the broker has. The same answer is given by `check`
 * (what the broker can ever do) and by a running route (what this server can do). */

#include "config/config.h"

#include <pubsub/caps.h>

/* Whether the broker has all the route needs. If not, text (one line) names what is missing and says what
 * to do; with `degrade: allow` the result is true all the same and text says what will be given up. Text
 * is "" when nothing is missing. */
bool bridge_needs_met(const bridge_route *route, const char *scheme, const pubsub_caps *caps,
                      char *text, size_t size);

/* Whether a broker has a feature in any form. */
bool bridge_has(const pubsub_caps *caps, pubsub_feature feature);

#endif
