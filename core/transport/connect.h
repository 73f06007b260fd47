/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_CONNECT_H
#define PUBSUB_TRANSPORT_CONNECT_H

/* The steps from a host to an open stream: look-up, addresses (or the provider), TLS. */

#include "transport/internal.h"

/* connect.c: begin with t->target. Loop only. */
void pubsub__transport_connect(pubsub_transport *t);

/* transport.c: this host is through; the next one, or the end, follows soon. Loop only. */
void pubsub__transport_host_failed(pubsub_transport *t, const pubsub_error *err);
/* Give up whatever is open or on its way. */
void pubsub__transport_drop(pubsub_transport *t, bool abort);

#endif
