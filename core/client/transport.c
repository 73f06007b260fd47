/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

#include <pubsub/transport.h>

/* The application's transport, and what the transports of a client share. */

pubsub__transport_shared *pubsub__sink_transport(pubsub_sink *sink,
                                                 const pubsub_adapter_config **config)
{
    *config = &sink->client->config;
    return &sink->client->transport;
}

static pubsub_err check(const pubsub_transport_provider *provider, pubsub_error *err)
{
    if (provider == NULL) {
        return PUBSUB_OK;
    }
    if (provider->size < sizeof *provider || provider->name == NULL || provider->open == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "a transport needs its size, a name and an open function");
    }
    if ((provider->read == NULL) != (provider->write == NULL)) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "a transport has both read and write, or neither");
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_client_set_transport(pubsub_client *client,
                                       const pubsub_transport_provider *provider, void *ctx,
                                       pubsub_error *err)
{
    if (client == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no client");
    }
    if (pubsub__client_forked(client)) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the client belongs to the parent process");
    }
    pubsub_err rc = check(provider, err);
    if (rc == PUBSUB_OK && (client->adapter->flags & PUBSUB_ADAPTER_TRANSPORT) == 0) {
        rc = pubsub_error_set(err, PUBSUB_ENOTSUP,
                              "'%s' does not take a transport: its connections are made elsewhere",
                              client->adapter->name);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pthread_mutex_lock(&client->lock);
    /* A client whose connection failed for good is closed, but its I/O thread still runs. */
    if (client->io_running || client->ending) {
        rc = pubsub_error_set(err, PUBSUB_ESTATE,
                              "the client is %s; set the transport before it connects, or end it "
                              "first",
                              pubsub_state_name(client->state));
    } else {
        client->transport.provider = provider;
        client->transport.provider_ctx = ctx;
    }
    pthread_mutex_unlock(&client->lock);
    return rc;
}
