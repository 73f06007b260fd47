/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_LANES_H
#define PUBSUB_BRIDGE_LANES_H

/* The order of one key. Of the events of a model that have the same key one is under way at a time, and the
 * others stand behind it: a broker that asks for patience with one message while it takes the next would
 * turn them round otherwise. Two keys with the same 64 bits of hash wait for each other in vain, no
 * more. */

#include "engine/target.h"

typedef struct bridge_lanes {
    bridge_flight **fronts; /* those under way, by hash */
    size_t count;           /* power of two; 0 before the first one */
    uint64_t seed;          /* so that nobody who chooses keys can choose where they meet */
} bridge_lanes;

/* Room for so many flights. False when memory is short; once true it stays so. */
bool bridge_lanes_ready(bridge_lanes *lanes, size_t flights);
/* True: it goes now. False: it stands behind another one of its key. */
bool bridge_lanes_enter(bridge_lanes *lanes, bridge_flight *flight, pubsub_bytes model,
                        pubsub_bytes key);
/* It is done, one way or the other. The one behind it, whose turn it is; or NULL. */
bridge_flight *bridge_lanes_leave(bridge_lanes *lanes, bridge_flight *flight);
/* Frees those that stand behind others. */
void bridge_lanes_fini(bridge_lanes *lanes);

#endif
