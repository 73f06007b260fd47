/* SPDX-License-Identifier: MIT */
#include "transport/tls.h"

/* In place of tls*.c when the library is built without OpenSSL. */

pubsub_err pubsub__tls_load(pubsub__tls **tls, const pubsub_options *options, pubsub_error *err)
{
    (void)tls;
    (void)options;
    return pubsub_error_set(
        err, PUBSUB_ENOTBUILT,
        "this library was built without TLS; configure it with -DPUBSUB_TLS=ON");
}

void pubsub__tls_free(pubsub__tls *tls)
{
    (void)tls;
}

pubsub_err pubsub__tls_stream(pubsub__stream **out, pubsub__tls *tls, pubsub__stream *lower,
                              const char *name, const char *peer, pubsub_error *err)
{
    (void)tls;
    (void)lower;
    (void)name;
    (void)peer;
    *out = NULL;
    return pubsub_error_set(err, PUBSUB_ENOTBUILT, "this library was built without TLS");
}
