/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_HOST_H
#define PUBSUB_BRIDGE_HOST_H

/* What the bridge's own parts may use of a host made by pubsub_host_new() beyond the public table. */

#include <pubsub/connector.h>

/* The libuv loop (uv_loop_t *) behind it, for libraries that bring their own watches. */
void *bridge_host_loop(pubsub_host *host);

/* Called for each signal on the host's thread; fn NULL gives it back. False when the system refuses. */
bool bridge_host_on_signal(pubsub_host *host, int signal, void (*fn)(void *ctx, int signal),
                           void *ctx);

/* Called once by pubsub_host_free, the last one first, while the loop can still be run: for what a part
 * keeps for the host's whole life. False when memory is short. */
bool bridge_host_at_end(pubsub_host *host, void (*fn)(void *ctx), void *ctx);

#endif
