/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_SPI_TRANSPORT_H
#define PUBSUB_SPI_TRANSPORT_H

/** @file transport.h
 *  Streams of bytes for adapters that speak their protocol themselves: TCP, Unix sockets, TLS above
 *  either, or what the application brought (<pubsub/transport.h>); the adapter sees no difference. Hosts,
 *  ports, certificates and the choice among all of this come from the client's URL and options.
 *
 *  A transport is opened once: open -> opened -> data ... -> closed -> free. All functions are for the
 *  I/O thread. Handlers are called from the loop only, never from inside a call of the adapter's; after
 *  each the core makes its turn, as after a watch or a timer. Inside a handler every function is
 *  allowed, freeing the transport too. An adapter that uses these sets PUBSUB_ADAPTER_TRANSPORT in its
 *  table. */

#include <pubsub/spi/adapter.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct pubsub_transport pubsub_transport;

/** What to open. Zero is a good value for everything but the ports. */
typedef struct pubsub_transport_request {
    uint16_t port;     /**< the protocol's port, where the URL gives none */
    uint16_t tls_port; /**< the same with TLS */
    pubsub_duration_ms
        timeout;      /**< for look-up, connect and TLS of all hosts together; 0 = a little
                                     less than connect_timeout, so that its error comes before the
                                     core's and can say more */
    size_t write_max; /**< most bytes that wait to be sent; 0 = 1 MiB */
    size_t write_low; /**< `writable` is called when no more wait; 0 = a quarter of write_max */
    size_t read_size; /**< most bytes in one call of `data`; 0 = 64 KiB */
} pubsub_transport_request;

/** What the adapter is told. */
typedef struct pubsub_transport_handlers {
    /** It is open, TLS included: the protocol may begin. */
    void (*opened)(void *ctx);
    /** Where to read into. May be NULL: then a buffer of the transport's, valid during `data`. Asked
     *  before each read; one read later, with or without `data`, the buffer is no longer used.
     *  @param size  in: what would be usual; out: the size of what is returned, at least 1.
     *  Returns NULL when there is no place now: reading is then paused, see pubsub_transport_resume. */
    void *(*buffer)(void *ctx, size_t *size);
    /** Bytes arrived; all of them count as used. */
    void (*data)(void *ctx, void *bytes, size_t len);
    /** The queue had been above write_low and is not any more. May be NULL. */
    void (*writable)(void *ctx);
    /** It is over, whatever it was before; called once, nothing follows but pubsub_transport_free.
     *  @param err  NULL = after pubsub_transport_close, and everything was sent. PUBSUB_ECONNECT =
     *              never opened; PUBSUB_ELOST = was open; PUBSUB_ETLS = a certificate was refused, by us
     *              or by the peer; also PUBSUB_EOPTION, PUBSUB_ENOMEM, PUBSUB_ESYSTEM. Fit for
     *              pubsub_sink_link_down. A peer that refuses our certificate in TLS 1.3 is heard only after
     *              `opened`. */
    void (*closed)(void *ctx, const pubsub_error *err);
} pubsub_transport_handlers;

/** Begin to open a transport to one of the URL's hosts: first the one that worked last, else the first
 *  or a random one (option host_order), then the others in turn.
 *  @param sink      not NULL.
 *  @param request   not NULL, copied.
 *  @param handlers  not NULL; stays in place until the transport is freed.
 *  @param ctx       for the handlers.
 *  @param err       optional detail.
 *  Returns:   a transport on its way; NULL with PUBSUB_EOPTION, PUBSUB_ETLS (own certificate files),
 *             PUBSUB_ENOTBUILT (TLS), PUBSUB_ENOMEM in err.
 *  Thread:    I/O.
 *  Ownership: the adapter frees it with pubsub_transport_free.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_transport *pubsub_sink_transport_open(pubsub_sink *sink,
                                                        const pubsub_transport_request *request,
                                                        const pubsub_transport_handlers *handlers,
                                                        void *ctx, pubsub_error *err);

/** Say that the protocol works with this host: the next transport of this client begins with it.
 *  Without this word the next one begins with the next host, because a port that accepts connections is
 *  not yet a broker that serves.
 *  @param transport  open, not NULL.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_good(pubsub_transport *transport);

/** Queue bytes to be sent, from the first slice on. Small ones wait for pubsub_transport_flush or the
 *  end of the loop's turn, so that many become one system call; large ones are sent from where they lie.
 *  @param transport  not NULL.
 *  @param slices     may be NULL when count is 0.
 *  @param count      number of slices.
 *  Returns:   how many bytes were taken: less than offered when write_max is reached, 0 when the
 *             transport is not open. After less, `writable` follows, or `closed`.
 *  Thread:    I/O.
 *  Ownership: copied or sent on return.
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_transport_write(pubsub_transport *transport, const pubsub_bytes *slices,
                                         size_t count);

/** How many bytes a write would take now, for protocols whose frames must not be cut.
 *  @param transport  not NULL.
 *  Returns:   0..write_max; 0 when it is not open. When it is less than write_max - write_low,
 *             `writable` follows, so frames up to that size never wait in vain.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_transport_room(const pubsub_transport *transport);

/** Bytes that were taken and are not yet with the operating system.
 *  @param transport  not NULL.
 *  Returns:   0..write_max, with TLS a little more.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API size_t pubsub_transport_queued(const pubsub_transport *transport);

/** Send now what waits, as far as it goes without blocking; the rest follows by itself. The place for it
 *  is the adapter's `turn`.
 *  @param transport  not NULL.
 *  Returns:   nothing; errors come by `closed`.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_flush(pubsub_transport *transport);

/** Stop reading, so that the peer gets to feel it. While paused the end of the connection is noticed
 *  only by writing.
 *  @param transport  not NULL.
 *  Returns:   nothing. No `data` follows until pubsub_transport_resume.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_pause(pubsub_transport *transport);

/** Read again; fine when it was not paused.
 *  @param transport  not NULL.
 *  Returns:   nothing. `data` follows from the loop.
 *  Thread:    I/O.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_resume(pubsub_transport *transport);

/** Close in good order: send what is queued, say goodbye (TLS close_notify, FIN), wait for the peer's.
 *  `closed` follows, with NULL or, when the time is over first, PUBSUB_ETIMEDOUT. `data` and
 *  `writable` are not called any more. A transport that is not open yet is dropped.
 *  @param transport  not NULL.
 *  @param timeout    milliseconds, at least 0.
 *  Returns:   nothing.
 *  Thread:    I/O.
 *  Ownership: the transport stays the adapter's.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_close(pubsub_transport *transport, pubsub_duration_ms timeout);

/** Where it leads, for messages: "broker.example:1883", "[::1]:6379", "/run/redis.sock".
 *  @param transport  not NULL.
 *  Returns:   a string, "" before the first host is tried.
 *  Thread:    I/O.
 *  Ownership: the transport's; changes while it opens.
 *  Since:     0.1    Source: - */
PUBSUB_API const char *pubsub_transport_peer(const pubsub_transport *transport);

/** Drop it at once, without a word to the peer, and release everything. No handler is called any more.
 *  @param transport  may be NULL.
 *  Returns:   nothing.
 *  Thread:    I/O; also in `fini`, and there in a forked child.
 *  Ownership: ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_transport_free(pubsub_transport *transport);

#ifdef __cplusplus
}
#endif

#endif
