/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_SHARED_H
#define PUBSUB_TRANSPORT_SHARED_H

/* What the transports of one client have in common. It lies in the client; core/client knows this header,
 * not the other way round. */

#include <pubsub/spi/adapter.h>
#include <pubsub/transport.h>

typedef struct pubsub__tls pubsub__tls;

typedef struct pubsub__transport_shared {
    const pubsub_transport_provider *provider; /* set while no transport exists */
    void *provider_ctx;
    /* The rest is the I/O thread's. */
    bool begun;       /* `next` was chosen */
    size_t next;      /* the host to begin with */
    pubsub__tls *tls; /* certificates, read once */
} pubsub__transport_shared;

/* Called when the client is destroyed. */
void pubsub__transport_shared_fini(pubsub__transport_shared *shared);

/* core/client/transport.c, given at link time. */
pubsub__transport_shared *pubsub__sink_transport(pubsub_sink *sink,
                                                 const pubsub_adapter_config **config);

#endif
