/* SPDX-License-Identifier: MIT */
#include "transport/connect.h"

#include "log/log.h"
#include "transport/provider.h"
#include "transport/socket.h"
#include "transport/tls.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static void failed(pubsub_transport *t, pubsub_error *err)
{
    pubsub__transport_say(t, err);
    pubsub__transport_host_failed(t, err);
}

static void failed_code(pubsub_transport *t, pubsub_err code, const char *what)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_error_set(&err, code, "%s", what);
    failed(t, &err);
}

/* ---- TLS, and open ---- */

static void opened(pubsub_transport *t)
{
    pubsub_error none = PUBSUB_ERROR_INIT;
    pubsub_timer_stop(t->timer);
    t->error = none;
    t->state = PUBSUB__TRANSPORT_OPEN;
    pubsub__log(PUBSUB_LOG_DEBUG, "transport", "connected to %s%s", t->peer,
                t->tls ? " with TLS" : "");
    /* A stream without descriptor may have bytes already; TLS may have read them with its handshake. */
    if (t->stream->fd < 0 || t->stream->ops->pending != NULL) {
        pubsub__transport_soon(t);
    }
    t->handlers->opened(t->ctx);
}

static void greet(pubsub_transport *t)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    ptrdiff_t rc = t->stream->ops->greet == NULL ? 0 : t->stream->ops->greet(t->stream, &err);
    if (rc == PUBSUB_TRANSPORT_FAILED || rc == PUBSUB_TRANSPORT_END) {
        failed(t, &err);
    } else if (rc == 0) {
        opened(t);
    }
}

static void on_watch(void *ctx, uint32_t events)
{
    pubsub_transport *t = ctx;
    pubsub__transport_enter(t);
    if (t->state == PUBSUB__TRANSPORT_GREET) {
        greet(t);
    } else {
        pubsub__transport_on_ready(t, events);
    }
    pubsub__transport_leave(t);
}

/* The lowest layer stands: put the others on top of it. */
static void bottom_ready(pubsub_transport *t)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (t->stream->fd >= 0) {
        t->watch = pubsub_watch_new(t->sink, t->stream->fd, on_watch, t);
        if (t->watch == NULL) {
            failed_code(t, PUBSUB_ESYSTEM, "the descriptor cannot be watched");
            return;
        }
    }
    if (t->tls) {
        pubsub__stream *tls = NULL;
        if (pubsub__tls_stream(&tls, t->shared->tls, t->stream, t->target.name, t->peer, &err) !=
            PUBSUB_OK) {
            failed(t, &err);
            return;
        }
        t->stream = tls;
    }
    t->state = PUBSUB__TRANSPORT_GREET;
    greet(t);
}

static void socket_ready(pubsub_transport *t, int fd)
{
    t->stream = pubsub__socket_stream(fd);
    if (t->stream == NULL) {
        close(fd);
        failed_code(t, PUBSUB_ENOMEM, "no memory");
        return;
    }
    bottom_ready(t);
}

/* ---- TCP ---- */

static const char *connect_hint(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "nothing listens there; is the broker running, is it the right port?";
    case ENOENT:
        return "there is no such socket; is the broker running?";
    case EACCES:
    case EPERM:
        return "not allowed; see the permissions of the socket, or a firewall";
    case EAGAIN:
        return "the broker does not accept connections fast enough";
    default:
        return NULL;
    }
}

static void connect_failed(pubsub_transport *t, int error)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *hint = connect_hint(error);
    pubsub_err code = PUBSUB_ECONNECT;
    if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
        code = PUBSUB_ESYSTEM;
    }
    if (hint == NULL) {
        pubsub_error_set_errno(&err, code, error, "cannot connect to %.100s", t->peer);
    } else {
        pubsub_error_set(&err, code, "cannot connect to %.100s: %s", t->peer, hint);
        err.native_code = error;
    }
    pubsub__transport_host_failed(t, &err);
}

static void on_dialled(void *ctx, int fd, int error)
{
    pubsub_transport *t = ctx;
    pubsub__transport_enter(t);
    /* It is inside the dial that it is freed, which the dial allows. */
    pubsub__dial *dial = t->dial;
    t->dial = NULL;
    if (fd >= 0) {
        socket_ready(t, fd);
    } else {
        connect_failed(t, error);
    }
    pubsub__dial_free(dial);
    pubsub__transport_leave(t);
}

static void dial(pubsub_transport *t, const pubsub__addresses *addresses)
{
    t->state = PUBSUB__TRANSPORT_CONNECT;
    if (!pubsub__dial_start(&t->dial, t->sink, addresses, on_dialled, t)) {
        failed_code(t, PUBSUB_ENOMEM, "no memory");
    }
}

static void on_looked_up(void *ctx, uint32_t events)
{
    pubsub_transport *t = ctx;
    pubsub__addresses addresses;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)events;
    pubsub__transport_enter(t);
    pubsub_err rc = pubsub__lookup_result(t->lookup, &addresses, &err);
    if (rc != PUBSUB_EAGAIN) {
        pubsub_watch_free(t->lookup_watch);
        pubsub__lookup_free(t->lookup);
        t->lookup_watch = NULL;
        t->lookup = NULL;
        if (rc == PUBSUB_OK) {
            dial(t, &addresses);
        } else {
            pubsub__transport_host_failed(t, &err);
        }
    }
    pubsub__transport_leave(t);
}

static void connect_host(pubsub_transport *t)
{
    pubsub__addresses addresses;
    if (pubsub__lookup_literal(t->target.host, t->target.port, &addresses)) {
        dial(t, &addresses);
        return;
    }
    t->state = PUBSUB__TRANSPORT_LOOKUP;
    t->lookup = pubsub__lookup_start(t->target.host, t->target.port);
    if (t->lookup != NULL) {
        t->lookup_watch = pubsub_watch_new(t->sink, pubsub__lookup_fd(t->lookup), on_looked_up, t);
    }
    if (t->lookup_watch == NULL) {
        failed_code(t, PUBSUB_ESYSTEM, "no memory, descriptor or thread for looking up its name");
        return;
    }
    pubsub_watch_set(t->lookup_watch, PUBSUB_WATCH_READ);
}

/* ---- Unix sockets ---- */

static void connect_path(pubsub_transport *t)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool done = false;
    size_t len = strlen(t->target.host); /* checked when the transport was opened */
    memcpy(address.sun_path, t->target.host, len + 1);
    t->state = PUBSUB__TRANSPORT_CONNECT;
    int fd = pubsub__socket_connect((const struct sockaddr *)&address, sizeof address, &done);
    if (fd >= 0 && !done) { /* Unix sockets connect at once or not at all */
        close(fd);
        fd = -EAGAIN;
    }
    if (fd < 0) {
        connect_failed(t, -fd);
    } else {
        socket_ready(t, fd);
    }
}

/* ---- the application's ---- */

static void provider_open(pubsub_transport *t)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc = pubsub__provider_result(t->provided, &err);
    if (rc == PUBSUB_OK) {
        bottom_ready(t);
    } else if (rc != PUBSUB_EAGAIN) {
        failed(t, &err);
    }
}

static void on_port(void *ctx, uint32_t events)
{
    pubsub_transport *t = ctx;
    (void)events;
    pubsub__transport_enter(t);
    uint32_t ready = pubsub__provider_events(t->provided);
    if (t->state == PUBSUB__TRANSPORT_CONNECT) {
        provider_open(t);
    } else if (t->state == PUBSUB__TRANSPORT_GREET) {
        greet(t);
    } else if (ready != 0) {
        pubsub__transport_on_ready(
            t, (ready & PUBSUB_TRANSPORT_READABLE ? PUBSUB_WATCH_READ : 0) |
                   (ready & PUBSUB_TRANSPORT_WRITABLE ? PUBSUB_WATCH_WRITE : 0));
    }
    pubsub__transport_leave(t);
}

static void connect_provider(pubsub_transport *t)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_transport_target target = {t->target.host, t->target.port, t->tls,
                                      (pubsub_duration_ms)t->host_ms};
    bool open = false;
    t->state = PUBSUB__TRANSPORT_CONNECT;
    pubsub_err rc = pubsub__provider_open(&t->stream, t->shared->provider, t->shared->provider_ctx,
                                          &target, &open, &err);
    if (rc != PUBSUB_OK) {
        err.code = rc;
        failed(t, &err);
        return;
    }
    t->provided = t->stream;
    t->port_watch = pubsub_watch_new(t->sink, pubsub__provider_port(t->provided), on_port, t);
    if (t->port_watch == NULL) {
        failed_code(t, PUBSUB_ENOMEM, "no memory");
        return;
    }
    pubsub_watch_set(t->port_watch, PUBSUB_WATCH_READ);
    if (open) {
        bottom_ready(t);
    }
}

void pubsub__transport_connect(pubsub_transport *t)
{
    if (t->shared->provider != NULL) {
        connect_provider(t);
    } else if (t->target.path) {
        connect_path(t);
    } else {
        connect_host(t);
    }
}
