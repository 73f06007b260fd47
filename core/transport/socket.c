/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#endif
#include "transport/socket.h"

#include "base/alloc.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLICES_MAX 64

/* A dead peer is noticed after about a minute of silence. There is no TCP_USER_TIMEOUT: it would also end
 * connections to a broker that holds its publishers up for as long, which is not dead. */
#define KEEP_IDLE_S 30
#define KEEP_INTERVAL_S 10
#define KEEP_COUNT 3

static void set_flag(int fd, int level, int name, int value)
{
    /* A socket without it works too. */
    (void)setsockopt(fd, level, name, &value, sizeof value);
}

static void tune(int fd, int family)
{
    if (family != AF_INET && family != AF_INET6) {
        return;
    }
    set_flag(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_flag(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE_S);
    set_flag(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL_S);
    set_flag(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
}

int pubsub__socket_connect(const struct sockaddr *address, socklen_t len, bool *done)
{
    *done = false;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    tune(fd, address->sa_family);
    if (connect(fd, address, len) == 0) {
        *done = true;
    } else if (errno != EINPROGRESS && errno != EINTR) { /* EINTR: it goes on in the background */
        int why = errno;
        close(fd);
        return -why;
    }
    return fd;
}

int pubsub__socket_outcome(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return errno;
    }
    if (error == 0) { /* a spurious event is no success */
        struct sockaddr_storage peer;
        len = sizeof peer;
        if (getpeername(fd, (struct sockaddr *)&peer, &len) != 0) {
            return errno == ENOTCONN ? EINPROGRESS : errno;
        }
    }
    return error;
}

ptrdiff_t pubsub__socket_read(int fd, void *buffer, size_t size, pubsub_error *err)
{
    ssize_t n = 0;
    do {
        n = recv(fd, buffer, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        return n;
    }
    if (n == 0) {
        return PUBSUB_TRANSPORT_END;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return PUBSUB_TRANSPORT_AGAIN;
    }
    pubsub_error_set_errno(err, PUBSUB_ELOST, errno, "cannot read");
    return PUBSUB_TRANSPORT_FAILED;
}

ptrdiff_t pubsub__socket_write(int fd, const pubsub_bytes *slices, size_t count, bool *blocked,
                               pubsub_error *err)
{
    struct iovec parts[SLICES_MAX];
    size_t used = count < SLICES_MAX ? count : SLICES_MAX;
    size_t total = 0;
    for (size_t i = 0; i < used; i++) {
        parts[i].iov_base = (void *)(uintptr_t)slices[i].data;
        parts[i].iov_len = slices[i].len;
        total += slices[i].len;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = used};
    ssize_t n = 0;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    *blocked = false;
    if (n >= 0) {
        *blocked = (size_t)n < total; /* saves the call that would only say so */
        return n;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        *blocked = true;
        return PUBSUB_TRANSPORT_AGAIN;
    }
    pubsub_error_set_errno(err, PUBSUB_ELOST, errno, "cannot write");
    return PUBSUB_TRANSPORT_FAILED;
}

/* ---- the stream ---- */

static ptrdiff_t stream_read(pubsub__stream *stream, void *buffer, size_t size, pubsub_error *err)
{
    return pubsub__socket_read(stream->fd, buffer, size, err);
}

static ptrdiff_t stream_write(pubsub__stream *stream, const pubsub_bytes *slices, size_t count,
                              pubsub_error *err)
{
    return pubsub__socket_write(stream->fd, slices, count, &stream->blocked, err);
}

static ptrdiff_t stream_flush(pubsub__stream *stream, pubsub_error *err)
{
    (void)err;
    stream->blocked = false;
    return 0;
}

static ptrdiff_t stream_finish(pubsub__stream *stream, pubsub_error *err)
{
    (void)err;
    shutdown(stream->fd, SHUT_WR); /* fails only when the peer is gone, which the next read says */
    return 0;
}

static void stream_free(pubsub__stream *stream, bool abort)
{
    (void)abort;
    close(stream->fd);
    pubsub__free(stream);
}

static const pubsub__stream_ops g_socket_ops = {
    .gather = true,
    .linger = true,
    .read = stream_read,
    .write = stream_write,
    .flush = stream_flush,
    .finish = stream_finish,
    .free = stream_free,
};

pubsub__stream *pubsub__socket_stream(int fd)
{
    pubsub__stream *stream = pubsub__calloc(1, sizeof *stream);
    if (stream != NULL) {
        stream->ops = &g_socket_ops;
        stream->fd = fd;
    }
    return stream;
}
