/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_TOUCH_H
#define PUBSUB_BRIDGE_TOUCH_H

/* `check`: each route's connector looks at its settings. With --connect every source and every broker that
 * a route uses is reached too, without relaying anything. */

#include "config/config.h"

/* Findings are what is wrong, remarks what is good to know (what is lost by the nature of a source).
 * Returns an exit code. */
int bridge_touch(const bridge_config *config, bool connect, bridge_findings *findings,
                 bridge_findings *remarks);

#endif
