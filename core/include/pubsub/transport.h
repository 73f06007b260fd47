/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_H
#define PUBSUB_TRANSPORT_H

/** @file transport.h
 *  How an application brings its own way to the broker: a tunnel, a proxy, a serial line, a pair of
 *  sockets, memory. It implements pubsub_transport_provider, a table of four functions that open, read,
 *  write and close a stream of bytes, and gives it to a client before connecting. The protocol, and TLS
 *  when the URL asks for it, run above it as they would above TCP. docs/transport.md tells more.
 *
 *  Rules for the four functions:
 *  - They are called on the client's I/O thread, one call at a time for each stream, with no lock of the
 *    library held. Several streams of one client may be open at once.
 *  - They must not block. Where nothing can be done now they return PUBSUB_TRANSPORT_AGAIN, and the
 *    library asks again when the descriptor says so, or after pubsub_transport_ready().
 *  - They must not call the client. */

#include <pubsub/client.h>
#include <pubsub/error.h>
#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Nothing now: ask again when the stream is ready. */
#define PUBSUB_TRANSPORT_AGAIN ((ptrdiff_t)-1)
/** The peer has said its last byte. */
#define PUBSUB_TRANSPORT_END ((ptrdiff_t)-2)
/** The stream is broken; `err` says why. */
#define PUBSUB_TRANSPORT_FAILED ((ptrdiff_t)-3)

/** Bits of pubsub_transport_ready. */
#define PUBSUB_TRANSPORT_READABLE (1u << 0)
#define PUBSUB_TRANSPORT_WRITABLE (1u << 1)

/** Where a stream is to lead. */
typedef struct pubsub_transport_target {
    const char *host; /**< as in the URL: a name, an address, or the path of a Unix socket */
    uint16_t port;    /**< 0 for a Unix socket */
    bool tls;         /**< TLS will run over the stream; the library does that itself */
    pubsub_duration_ms timeout; /**< how long it may take until it is open */
} pubsub_transport_target;

/** The library's end of one stream, to be told what happens at the application's end. Valid from
 *  `open` until `close` has returned. */
typedef struct pubsub_transport_port pubsub_transport_port;

/** What `open` fills in. */
typedef struct pubsub_transport_stream {
    void *data; /**< handed to the other functions; NULL at first */
    int fd; /**< a non-blocking descriptor whose readiness is the stream's, watched by the library;
                     -1 (at first): the provider calls pubsub_transport_ready instead */
} pubsub_transport_stream;

/** An application's transport. Constant while a client has it. */
typedef struct pubsub_transport_provider {
    uint32_t size;    /**< sizeof(pubsub_transport_provider) */
    const char *name; /**< for messages: "ssh tunnel" */

    /** Begin to open a stream. Called for each connection, also for the same target again, and for the
     *  hosts of the URL in turn when one fails.
     *  Returns PUBSUB_OK = it is open; PUBSUB_EAGAIN = under way, pubsub_transport_opened() follows;
     *  anything else, with err filled = failed, and `close` is not called. */
    pubsub_err (*open)(void *ctx, const pubsub_transport_target *target,
                       pubsub_transport_port *port, pubsub_transport_stream *stream,
                       pubsub_error *err);

    /** Read what is there. Returns the number of bytes, 1..size, or PUBSUB_TRANSPORT_*. NULL together
     *  with `write`: `fd` is a connected socket, the library reads and writes it and closes it. */
    ptrdiff_t (*read)(void *data, void *buffer, size_t size, pubsub_error *err);

    /** Write slices, in order, as much as can be taken now. Returns the number of bytes taken, at least
     *  1, or PUBSUB_TRANSPORT_AGAIN or PUBSUB_TRANSPORT_FAILED. What was taken is copied or sent. */
    ptrdiff_t (*write)(void *data, const pubsub_bytes *slices, size_t count, pubsub_error *err);

    /** Release the stream, also one that is not open yet. May be called on any thread that ends the
     *  client, and in a forked child (then with `abort`). May be NULL.
     *  @param abort  drop everything at once and speak to nobody; false: what was taken still reaches
     *                the peer, after this has returned. */
    void (*close)(void *data, bool abort);
} pubsub_transport_provider;

/** Give a client a transport of the application's. Every connection then runs over it; hosts, ports,
 *  user and everything above the bytes still come from the URL.
 *  @param client    idle or closed, not NULL.
 *  @param provider  NULL = TCP, Unix sockets and TLS of the library again.
 *  @param ctx       for `open`.
 *  @param err       optional detail, may be NULL.
 *  Returns:   PUBSUB_OK; PUBSUB_EINVAL for an incomplete table; PUBSUB_ESTATE when the client is
 *             connecting or connected; PUBSUB_ENOTSUP when this adapter's library makes its own
 *             connections, or makes none.
 *  Thread:    any except callbacks.
 *  Ownership: provider and ctx stay the caller's and must live until the client is freed or has another
 *             transport.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_err pubsub_client_set_transport(pubsub_client *client,
                                                  const pubsub_transport_provider *provider,
                                                  void *ctx, pubsub_error *err);

/** Say that a stream whose `open` returned PUBSUB_EAGAIN is open, or will never be.
 *  @param port  not NULL.
 *  @param err   NULL = it is open; otherwise why not.
 *  Returns:   nothing.
 *  Thread:    any, also inside `open`; not after `close` has returned.
 *  Ownership: err is copied.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_opened(pubsub_transport_port *port, const pubsub_error *err);

/** Say that read or write, after PUBSUB_TRANSPORT_AGAIN, should be asked again. Needed for streams
 *  without a descriptor; calling it too often does no harm.
 *  @param port    not NULL.
 *  @param events  PUBSUB_TRANSPORT_READABLE and PUBSUB_TRANSPORT_WRITABLE.
 *  Returns:   nothing.
 *  Thread:    any, also inside the four functions; not after `close` has returned.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_ready(pubsub_transport_port *port, uint32_t events);

#ifdef __cplusplus
}
#endif

#endif
