/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_INTERNAL_H
#define PUBSUB_TRANSPORT_INTERNAL_H

/* One transport. transport.c opens and ends it, io.c moves bytes.
 *
 * Everything that comes from outside (a descriptor, a timer, an answer) enters through a function between
 * pubsub__transport_enter and _leave. In between handlers may be called, and each may free the transport:
 * then only its memory is left, until the outermost leave. Calls of the adapter never call handlers;
 * what they cause is left to `soon`. */

#include "transport/dial.h"
#include "transport/queue.h"
#include "transport/shared.h"
#include "transport/stream.h"
#include "transport/target.h"

#include <pubsub/spi/sink.h>
#include <pubsub/spi/transport.h>

typedef enum pubsub__transport_state {
    PUBSUB__TRANSPORT_NEXT = 0, /* a host is to be tried */
    PUBSUB__TRANSPORT_LOOKUP,   /* its name */
    PUBSUB__TRANSPORT_CONNECT,  /* its addresses, or the provider */
    PUBSUB__TRANSPORT_GREET,    /* TLS */
    PUBSUB__TRANSPORT_OPEN,
    PUBSUB__TRANSPORT_CLOSING,   /* what is queued, then goodbye */
    PUBSUB__TRANSPORT_LINGERING, /* the peer's goodbye */
    PUBSUB__TRANSPORT_OVER       /* `closed` was or is to be called */
} pubsub__transport_state;

struct pubsub_transport {
    pubsub_sink *sink;
    pubsub__transport_shared *shared;
    const pubsub_adapter_config *config;
    const pubsub_transport_handlers *handlers;
    void *ctx;
    uint16_t port;
    bool tls;
    size_t write_low;
    size_t read_size;
    pubsub__transport_state state;

    /* opening */
    size_t host, hosts, tried;
    pubsub__target target;
    char peer[PUBSUB__PEER_MAX];
    pubsub_duration_ms timeout;
    uint64_t deadline_ns;
    uint64_t host_ms; /* this host's share, for the message */
    pubsub__lookup *lookup;
    pubsub_watch *lookup_watch;
    pubsub__dial *dial;

    /* open */
    pubsub__stream *stream;
    pubsub_watch *watch; /* of stream->fd */
    uint32_t watched;
    bool stale;               /* an event came that meant nothing: the watch may be disarmed */
    pubsub__stream *provided; /* the lowest layer when it is the application's */
    pubsub_watch *port_watch;
    pubsub__queue out;
    void *buffer;
    bool paused;
    bool peer_ended;
    bool above_low;
    bool tell_writable;
    bool good;
    bool blamed;

    /* ending */
    pubsub_timer *timer; /* the share of a host, or the time for closing */
    pubsub_timer *soon;
    bool soon_set;
    bool soon_send; /* only to send what waits: superfluous after a flush */
    bool failed;    /* error says why; told soon */
    bool writing_failed;
    bool told;
    pubsub_error error;
    unsigned busy;
    bool freed;
};

/* transport.c */
void pubsub__transport_enter(pubsub_transport *t);
void pubsub__transport_leave(pubsub_transport *t);
/* Have pubsub__transport_run called from the loop. */
void pubsub__transport_soon(pubsub_transport *t);
void pubsub__transport_soon_send(pubsub_transport *t);
/* It is over: the host is blamed, `closed` follows soon. */
void pubsub__transport_lose(pubsub_transport *t, const pubsub_error *err);
/* What a stream said, with the peer in front. */
void pubsub__transport_say(const pubsub_transport *t, pubsub_error *err);

/* io.c */
/* Watch for what is needed now. */
void pubsub__transport_rewatch(pubsub_transport *t);
/* Read and hand out. Loop only. */
void pubsub__transport_pump(pubsub_transport *t);
/* Send what waits. Anywhere. */
void pubsub__transport_send(pubsub_transport *t);
/* Go on with closing. Loop only. */
void pubsub__transport_go_on_closing(pubsub_transport *t);
/* Call `writable` if that is due. Loop only. */
void pubsub__transport_tell_writable(pubsub_transport *t);
/* The descriptor, or the provider, is ready. Loop only. */
void pubsub__transport_on_ready(pubsub_transport *t, uint32_t events);

#endif
