/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_SOCKET_H
#define PUBSUB_TRANSPORT_SOCKET_H

#include "transport/stream.h"

#include <sys/socket.h>

/* A new non-blocking socket that is connecting to an address: its descriptor, or -errno. *done tells
 * whether it is connected already. */
int pubsub__socket_connect(const struct sockaddr *address, socklen_t len, bool *done);
/* How a connect ended: 0 or an errno. */
int pubsub__socket_outcome(int fd);

/* A stream over a connected socket, which it owns from now on; NULL (and the socket is still the
 * caller's) when memory is short. */
pubsub__stream *pubsub__socket_stream(int fd);

/* Its parts, for streams that have a socket among other things. Results as in stream.h. */
ptrdiff_t pubsub__socket_read(int fd, void *buffer, size_t size, pubsub_error *err);
ptrdiff_t pubsub__socket_write(int fd, const pubsub_bytes *slices, size_t count, bool *blocked,
                               pubsub_error *err);

#endif
