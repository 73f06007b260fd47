/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SPOOL_H
#define PUBSUB_BRIDGE_SPOOL_H

/* A durable queue between a source that cannot be read again and the broker: a `local:` log below the
 * state directory. One pipe writes it, a second one reads it by the broker connector under a durable
 * name. Every event is synced before it is settled; a full spool makes the source wait, nothing is ever
 * dropped. */

#include "config/config.h"

typedef struct bridge_spool {
    char *dir;
    bridge_route in;  /* how the first pipe sees the route */
    bridge_route out; /* and the second */
    bridge_broker broker;
    pubsub_setting_value *settings; /* of the broker connector */
    size_t setting_count;
} bridge_spool;

/* Whether a source needs one, as configured and by its nature. */
bool bridge_spool_needed(const bridge_source *source);

/* Fill in what the two pipes are made from. Borrows from the route until bridge_spool_rebind(). */
pubsub_err bridge_spool_init(bridge_spool *spool, const char *state, const bridge_route *route,
                             int64_t max_bytes, pubsub_error *err);
void bridge_spool_fini(bridge_spool *spool);
void bridge_spool_rebind(bridge_spool *spool, const bridge_route *route);

/* Where the spool of a route is: "<state>/spool/<route>", with what is no letter, digit, '-', '_' or '.'
 * in the name escaped. For `spool check` and the like. */
char *bridge_spool_path(const char *state, const char *route);

#endif
