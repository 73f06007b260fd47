/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_TLS_H
#define PUBSUB_TRANSPORT_TLS_H

/* TLS by OpenSSL, above any other stream. Built without it (PUBSUB_TLS=OFF), loading gives
 * PUBSUB_ENOTBUILT and the rest is never called. */

#include "transport/shared.h"
#include "transport/stream.h"

#include <pubsub/options.h>

/* Read certificates and rules from the files the options tls_* name. *tls is what was loaded before, or
 * NULL; it stays when no file has changed since. */
pubsub_err pubsub__tls_load(pubsub__tls **tls, const pubsub_options *options, pubsub_error *err);
void pubsub__tls_free(pubsub__tls *tls);

/* A stream of TLS above `lower`, which it owns from now on (on failure it is still the caller's).
 * @param name  what the certificate must be for; NULL only when nothing is checked.
 * @param peer  for messages; must live as long as the stream. */
pubsub_err pubsub__tls_stream(pubsub__stream **out, pubsub__tls *tls, pubsub__stream *lower,
                              const char *name, const char *peer, pubsub_error *err);

#endif
