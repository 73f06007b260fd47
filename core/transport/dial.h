/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_DIAL_H
#define PUBSUB_TRANSPORT_DIAL_H

/* Connecting to one of several addresses of a host. They are tried in their order; the next one begins
 * when the last one failed, or has not answered for a quarter of a second, and the first that answers
 * wins. */

#include "transport/lookup.h"

#include <pubsub/spi/sink.h>

typedef struct pubsub__dial pubsub__dial;

/* fd: connected, the receiver's from now on; or -1, and error is the errno of the attempt that came
 * furthest. The dial may be freed inside. */
typedef void (*pubsub__dial_fn)(void *ctx, int fd, int error);

/* Called from the loop; fn may be called before this returns, then *out is set already. False when
 * memory is short. */
bool pubsub__dial_start(pubsub__dial **out, pubsub_sink *sink, const pubsub__addresses *addresses,
                        pubsub__dial_fn fn, void *ctx);
/* Drops every attempt; NULL is fine. */
void pubsub__dial_free(pubsub__dial *dial);

#endif
