/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_STREAM_H
#define PUBSUB_TRANSPORT_STREAM_H

/* One layer of a transport: at the bottom a socket or the application's provider, above it TLS, and
 * whatever else turns bytes into bytes (a WebSocket, for example). A layer owns the one below it. None of
 * these functions blocks or calls a handler. */

#include <pubsub/error.h>
#include <pubsub/transport.h>
#include <pubsub/types.h>

typedef struct pubsub__stream pubsub__stream;

/* Results below zero are PUBSUB_TRANSPORT_AGAIN, _END and _FAILED; err is filled with _FAILED only. */
typedef struct pubsub__stream_ops {
    bool gather; /* several slices in one write cost no more than one */
    bool linger; /* after `finish` it is worth waiting for the peer's end */
    /* Greet the peer: 0 when done. NULL: there is nothing to say. */
    ptrdiff_t (*greet)(pubsub__stream *stream, pubsub_error *err);
    ptrdiff_t (*read)(pubsub__stream *stream, void *buffer, size_t size, pubsub_error *err);
    /* What could not be taken shows in stream->blocked. */
    ptrdiff_t (*write)(pubsub__stream *stream, const pubsub_bytes *slices, size_t count,
                       pubsub_error *err);
    /* Send what the layer itself holds back: 0 when nothing is left. */
    ptrdiff_t (*flush)(pubsub__stream *stream, pubsub_error *err);
    /* Say goodbye, after a flush: 0 when done. */
    ptrdiff_t (*finish)(pubsub__stream *stream, pubsub_error *err);
    /* Bytes, or the end, can be read although the descriptor is not readable. NULL: never. */
    bool (*pending)(const pubsub__stream *stream);
    /* abort: without a word to the peer. */
    void (*free)(pubsub__stream *stream, bool abort);
} pubsub__stream_ops;

struct pubsub__stream {
    const pubsub__stream_ops *ops;
    int fd;       /* to be watched; -1 = whoever is at the bottom tells */
    bool blocked; /* go on when the descriptor is writable */
};

#endif
