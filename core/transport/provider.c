/* SPDX-License-Identifier: MIT */
#include "transport/provider.h"

#include "base/alloc.h"
#include "transport/socket.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OPENED (1u << 8)
#define SIGNALLED (1u << 9)

struct pubsub_transport_port {
    atomic_uint events;
    int fd;
    bool failed; /* written before OPENED is set */
    pubsub_error error;
};

typedef struct provided {
    pubsub__stream stream; /* first */
    const pubsub_transport_provider *provider;
    pubsub_transport_port port;
    void *data;
    bool opened;
} provided;

/* ---- the port: any thread ---- */

static void announce(pubsub_transport_port *port, uint32_t bits)
{
    uint64_t one = 1;
    uint32_t before =
        atomic_fetch_or_explicit(&port->events, bits | SIGNALLED, memory_order_acq_rel);
    if ((before & SIGNALLED) == 0) {
        while (write(port->fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

void pubsub_transport_opened(pubsub_transport_port *port, const pubsub_error *err)
{
    if (err != NULL) {
        port->failed = true;
        port->error = *err;
    }
    announce(port, OPENED);
}

void pubsub_transport_ready(pubsub_transport_port *port, uint32_t events)
{
    announce(port, events & (PUBSUB_TRANSPORT_READABLE | PUBSUB_TRANSPORT_WRITABLE));
}

/* ---- the stream ---- */

static ptrdiff_t provider_read(pubsub__stream *stream, void *buffer, size_t size, pubsub_error *err)
{
    provided *self = (provided *)stream;
    if (self->provider->read == NULL) {
        return pubsub__socket_read(stream->fd, buffer, size, err);
    }
    ptrdiff_t n = self->provider->read(self->data, buffer, size, err);
    if (n == 0 || n < PUBSUB_TRANSPORT_FAILED || n > (ptrdiff_t)size) {
        pubsub_error_set(err, PUBSUB_EINTERNAL, "its read function returned %td of %zu bytes", n,
                         size);
        return PUBSUB_TRANSPORT_FAILED;
    }
    return n;
}

static size_t sum(const pubsub_bytes *slices, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += slices[i].len;
    }
    return total;
}

static ptrdiff_t provider_write(pubsub__stream *stream, const pubsub_bytes *slices, size_t count,
                                pubsub_error *err)
{
    provided *self = (provided *)stream;
    if (self->provider->write == NULL) {
        return pubsub__socket_write(stream->fd, slices, count, &stream->blocked, err);
    }
    ptrdiff_t n = self->provider->write(self->data, slices, count, err);
    /* A partial write does not promise that it will be announced when there is room again: only AGAIN
     * does. So the caller goes on until that. */
    stream->blocked = n == PUBSUB_TRANSPORT_AGAIN;
    if (n == 0 || n == PUBSUB_TRANSPORT_END || n < PUBSUB_TRANSPORT_FAILED ||
        n > (ptrdiff_t)sum(slices, count)) {
        pubsub_error_set(err, PUBSUB_EINTERNAL, "its write function returned %td of %zu bytes", n,
                         sum(slices, count));
        return PUBSUB_TRANSPORT_FAILED;
    }
    return n;
}

static ptrdiff_t provider_flush(pubsub__stream *stream, pubsub_error *err)
{
    (void)err;
    stream->blocked = false;
    return 0;
}

static ptrdiff_t provider_finish(pubsub__stream *stream, pubsub_error *err)
{
    (void)err;
    if (((provided *)stream)->provider->read == NULL) {
        shutdown(stream->fd, SHUT_WR);
    }
    return 0; /* the rest is for its close function */
}

static void provider_free(pubsub__stream *stream, bool abort)
{
    provided *self = (provided *)stream;
    if (self->provider->read == NULL && stream->fd >= 0) {
        close(stream->fd);
    }
    if (self->provider->close != NULL) {
        self->provider->close(self->data, abort);
    }
    close(self->port.fd);
    pubsub__free(self);
}

static const pubsub__stream_ops g_provider_ops = {
    .gather = true,
    .read = provider_read,
    .write = provider_write,
    .flush = provider_flush,
    .finish = provider_finish,
    .free = provider_free,
};

static const pubsub__stream_ops g_provided_socket_ops = {
    .gather = true,
    .linger = true,
    .read = provider_read,
    .write = provider_write,
    .flush = provider_flush,
    .finish = provider_finish,
    .free = provider_free,
};

/* ---- opening ---- */

static pubsub_err check_opened(const provided *self, pubsub_error *err)
{
    if (self->provider->read == NULL && self->stream.fd < 0) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "the transport '%.40s' has neither functions nor a descriptor",
                                self->provider->name);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__provider_open(pubsub__stream **out, const pubsub_transport_provider *provider,
                                 void *ctx, const pubsub_transport_target *target, bool *open,
                                 pubsub_error *err)
{
    *out = NULL;
    *open = false;
    provided *self = pubsub__calloc(1, sizeof *self);
    if (self == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a transport");
    }
    self->stream.ops = provider->read == NULL ? &g_provided_socket_ops : &g_provider_ops;
    self->provider = provider;
    self->port.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_init(&self->port.events, 0);
    pubsub_transport_stream stream = {NULL, -1};
    pubsub_err rc = PUBSUB_ESYSTEM;
    if (self->port.fd < 0) {
        pubsub_error_set_errno(err, rc, errno, "cannot make a descriptor");
    } else {
        rc = provider->open(ctx, target, &self->port, &stream, err);
    }
    if (rc != PUBSUB_OK && rc != PUBSUB_EAGAIN) {
        if (self->port.fd >= 0) {
            close(self->port.fd);
        }
        pubsub__free(self);
        return rc;
    }
    self->data = stream.data;
    self->stream.fd = stream.fd;
    self->opened = *open = rc == PUBSUB_OK;
    *out = &self->stream;
    rc = check_opened(self, err);
    if (rc != PUBSUB_OK) {
        *out = NULL;
        provider_free(&self->stream, true);
    }
    return rc;
}

int pubsub__provider_port(const pubsub__stream *stream)
{
    return ((const provided *)stream)->port.fd;
}

pubsub_err pubsub__provider_result(pubsub__stream *stream, pubsub_error *err)
{
    provided *self = (provided *)stream;
    if (!self->opened) {
        return PUBSUB_EAGAIN;
    }
    if (!self->port.failed) {
        return PUBSUB_OK;
    }
    pubsub_err rc = self->port.error.code == PUBSUB_OK ? PUBSUB_ECONNECT : self->port.error.code;
    if (err != NULL) {
        *err = self->port.error;
        err->code = rc;
    }
    return rc;
}

uint32_t pubsub__provider_events(pubsub__stream *stream)
{
    provided *self = (provided *)stream;
    uint64_t count = 0;
    while (read(self->port.fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    /* After the read: who announces from here on writes again. */
    uint32_t events = atomic_exchange_explicit(&self->port.events, 0, memory_order_acq_rel);
    if (events & OPENED) {
        self->opened = true;
    }
    return events & (PUBSUB_TRANSPORT_READABLE | PUBSUB_TRANSPORT_WRITABLE);
}
