/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_CLIENT_END_H
#define PUBSUB_BRIDGE_CLIENT_END_H

/* Ending a client waits for its broker, so it is done on a thread of its own. */

#include <pubsub/connector.h>

/* End and free a client; `done` is called on the host's thread. Nobody uses the client any more; what
 * its handlers are still told, they are told on that other thread. */
void bridge_client_end(pubsub_host *host, pubsub_client *client, pubsub_duration_ms timeout,
                       void (*done)(void *ctx), void *ctx);

#endif
