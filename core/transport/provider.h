/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_PROVIDER_H
#define PUBSUB_TRANSPORT_PROVIDER_H

/* The application's transport as the lowest layer. */

#include "transport/stream.h"

/* Open one. *open tells whether it is open already; otherwise pubsub__provider_result answers when the
 * port's descriptor is readable. */
pubsub_err pubsub__provider_open(pubsub__stream **out, const pubsub_transport_provider *provider,
                                 void *ctx, const pubsub_transport_target *target, bool *open,
                                 pubsub_error *err);
/* Readable after pubsub_transport_opened or _ready. */
int pubsub__provider_port(const pubsub__stream *stream);
/* PUBSUB_EAGAIN = not open yet. */
pubsub_err pubsub__provider_result(pubsub__stream *stream, pubsub_error *err);
/* PUBSUB_TRANSPORT_* bits the provider announced since the last call; empties the descriptor. */
uint32_t pubsub__provider_events(pubsub__stream *stream);

#endif
