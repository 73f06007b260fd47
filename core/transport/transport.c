/* SPDX-License-Identifier: MIT */
#include "transport/internal.h"

#include "base/alloc.h"
#include "base/rand.h"
#include "transport/connect.h"
#include "transport/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define WRITE_MAX (1024u * 1024u)
#define READ_SIZE (64u * 1024u)

/* ---- in and out ---- */

static void release(pubsub_transport *t)
{
    pubsub__queue_fini(&t->out);
    pubsub__free(t->buffer);
    pubsub__free(t);
}

void pubsub__transport_enter(pubsub_transport *t)
{
    t->busy++;
}

void pubsub__transport_leave(pubsub_transport *t)
{
    if (t->busy == 1) {
        pubsub__transport_tell_writable(t);
        /* A layer that had been blocked may have got rid of its bytes while reading. */
        if (!t->freed && t->state == PUBSUB__TRANSPORT_OPEN && t->out.len > 0 &&
            !t->stream->blocked) {
            pubsub__transport_soon_send(t);
        }
        pubsub__transport_rewatch(t);
    }
    t->busy--;
    if (t->busy == 0 && t->freed) {
        release(t);
    }
}

void pubsub__transport_soon(pubsub_transport *t)
{
    t->soon_send = false;
    if (!t->soon_set && !t->freed) {
        t->soon_set = true;
        pubsub_timer_start(t->soon, 0);
    }
}

void pubsub__transport_soon_send(pubsub_transport *t)
{
    if (!t->soon_set && !t->freed) {
        pubsub__transport_soon(t);
        t->soon_send = true;
    }
}

/* ---- failing ---- */

void pubsub__transport_say(const pubsub_transport *t, pubsub_error *err)
{
    if (err->code == PUBSUB_ETLS) {
        return; /* names the peer itself */
    }
    pubsub_error said = *err;
    int native = err->native_code;
    bool open = t->state >= PUBSUB__TRANSPORT_OPEN;
    if (said.code == PUBSUB_ELOST && !open) {
        said.code = PUBSUB_ECONNECT;
    }
    const char *text = said.text;
    pubsub_error_set(err, said.code, "%s %.100s: %s",
                     open ? "lost the connection to" : "cannot connect to", t->peer,
                     text[0] == '\0' ? pubsub_strerror(said.code) : text);
    err->native_code = native;
}

/* This host did not serve: the next transport begins with another one. */
static void blame(pubsub_transport *t)
{
    if (!t->good && !t->blamed && t->hosts > 1) {
        t->blamed = true;
        if (t->shared->next == t->host) {
            t->shared->next = (t->host + 1) % t->hosts;
        }
    }
}

void pubsub_transport_good(pubsub_transport *transport)
{
    transport->good = true;
    transport->shared->next = transport->host;
}

void pubsub__transport_lose(pubsub_transport *t, const pubsub_error *err)
{
    if (!t->failed && !t->told) {
        blame(t);
        t->failed = true;
        t->error = *err;
        pubsub__transport_soon(t);
    }
}

/* ---- one host after the other ---- */

void pubsub__transport_drop(pubsub_transport *t, bool abort)
{
    pubsub_watch_free(t->lookup_watch);
    pubsub__lookup_free(t->lookup);
    pubsub__dial_free(t->dial);
    pubsub_watch_free(t->watch);
    pubsub_watch_free(t->port_watch);
    if (t->stream != NULL) {
        t->stream->ops->free(t->stream, abort);
    }
    t->lookup_watch = t->watch = t->port_watch = NULL;
    t->lookup = NULL;
    t->dial = NULL;
    t->stream = t->provided = NULL;
    t->watched = 0;
    t->peer_ended = false;
}

void pubsub__transport_host_failed(pubsub_transport *t, const pubsub_error *err)
{
    if (t->freed || t->state >= PUBSUB__TRANSPORT_OPEN) {
        return;
    }
    /* What may go away by itself counts more than what will not: the client then tries again. */
    if (t->error.code == PUBSUB_OK || !pubsub_err_is_retryable(t->error.code) ||
        pubsub_err_is_retryable(err->code)) {
        t->error = *err;
    }
    blame(t);
    pubsub__transport_drop(t, true);
    pubsub_timer_stop(t->timer);
    bool late = pubsub_sink_now_ns(t->sink) >= t->deadline_ns;
    if (t->tried < t->hosts && !late) {
        t->state = PUBSUB__TRANSPORT_NEXT;
        t->host = (t->host + 1) % t->hosts;
        t->blamed = false;
    } else {
        t->state = PUBSUB__TRANSPORT_OVER;
        t->failed = true;
        if (t->hosts > 1) {
            pubsub_error last = t->error;
            pubsub_error_set(&t->error, last.code, "none of %zu hosts works, for example: %.180s",
                             t->hosts, last.text);
            t->error.native_code = last.native_code;
        }
    }
    pubsub__transport_soon(t);
}

static void on_late(pubsub_transport *t)
{
    static const char *const doing[] = {
        [PUBSUB__TRANSPORT_LOOKUP] = "the look-up of its name was not answered",
        [PUBSUB__TRANSPORT_CONNECT] = "no answer",
        [PUBSUB__TRANSPORT_GREET] = "no answer to the TLS handshake; does that port speak TLS?",
    };
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (t->state >= PUBSUB__TRANSPORT_LOOKUP && t->state <= PUBSUB__TRANSPORT_GREET) {
        pubsub_error_set(&err, PUBSUB_ECONNECT,
                         "cannot connect to %.100s within %" PRIu64 " ms: %s", t->peer, t->host_ms,
                         doing[t->state]);
        err.native_code = ETIMEDOUT;
        pubsub__transport_host_failed(t, &err);
    } else if (t->state == PUBSUB__TRANSPORT_CLOSING || t->state == PUBSUB__TRANSPORT_LINGERING) {
        pubsub_error_set(&err, PUBSUB_ETIMEDOUT,
                         t->state == PUBSUB__TRANSPORT_CLOSING
                             ? "%.100s did not take the last %zu bytes in time"
                             : "%.100s did not close in time",
                         t->peer, t->out.len);
        pubsub__transport_lose(t, &err);
    }
}

static void on_timer(void *ctx)
{
    pubsub_transport *t = ctx;
    pubsub__transport_enter(t);
    on_late(t);
    pubsub__transport_leave(t);
}

/* The time of this host: an equal share of what is left. */
static void start_share(pubsub_transport *t)
{
    uint64_t now = pubsub_sink_now_ns(t->sink);
    uint64_t left = t->deadline_ns > now ? t->deadline_ns - now : 0;
    size_t hosts_left = t->hosts - t->tried;
    t->host_ms = (left / (hosts_left == 0 ? 1 : hosts_left) + 999999u) / 1000000u;
    t->host_ms = t->host_ms == 0 ? 1 : t->host_ms;
    pubsub_timer_start(t->timer, (pubsub_duration_ms)t->host_ms);
}

static void next_host(pubsub_transport *t)
{
    t->target = pubsub__target_at(t->config, t->host, t->port);
    pubsub__target_text(&t->target, t->peer);
    start_share(t);
    t->tried++;
    pubsub__transport_connect(t);
}

/* ---- what is left to the loop ---- */

static void tell_closed(pubsub_transport *t)
{
    pubsub_error err = t->error;
    bool failed = t->failed;
    bool orderly = t->state == PUBSUB__TRANSPORT_OVER && !failed;
    t->told = true;
    t->state = PUBSUB__TRANSPORT_OVER;
    pubsub__transport_drop(t, !orderly);
    pubsub_timer_stop(t->timer);
    t->handlers->closed(t->ctx, failed ? &err : NULL);
}

static void run(pubsub_transport *t)
{
    if (t->told) {
        return;
    }
    if (t->failed && t->writing_failed && t->stream != NULL) {
        pubsub__transport_pump(t); /* the peer's last words */
        t->writing_failed = false;
    }
    if (t->freed) {
        return;
    }
    if (t->failed || t->state == PUBSUB__TRANSPORT_OVER) {
        tell_closed(t);
    } else if (t->state == PUBSUB__TRANSPORT_NEXT) {
        next_host(t);
    } else if (t->state == PUBSUB__TRANSPORT_OPEN) {
        if (!t->stream->blocked) {
            pubsub__transport_send(t);
        }
        if (t->stream->fd < 0 || t->stream->ops->pending != NULL) {
            pubsub__transport_pump(t);
        }
    } else if (t->state == PUBSUB__TRANSPORT_CLOSING || t->state == PUBSUB__TRANSPORT_LINGERING) {
        pubsub__transport_go_on_closing(t);
    }
}

static void on_soon(void *ctx)
{
    pubsub_transport *t = ctx;
    t->soon_set = false;
    pubsub__transport_enter(t);
    run(t);
    pubsub__transport_leave(t);
}

/* ---- open, close, free ---- */

static pubsub_duration_ms default_timeout(const pubsub_adapter_config *config)
{
    int64_t timeout = 0;
    if (pubsub_options_int(config->options, "connect_timeout", &timeout) != PUBSUB_OK) {
        timeout = 5000;
    }
    /* The core counts too, from a little earlier. */
    int64_t margin = timeout / 20 > 1 ? timeout / 20 : 1;
    return timeout > margin ? timeout - margin : 1;
}

static size_t first_host(pubsub__transport_shared *shared, const pubsub_adapter_config *config,
                         size_t hosts)
{
    if (!shared->begun) {
        const char *order = pubsub_options_get(config->options, "host_order");
        shared->begun = true;
        shared->next =
            order != NULL && strcmp(order, "random") == 0 ? (size_t)pubsub__rand_below(hosts) : 0;
    }
    return shared->next < hosts ? shared->next : 0;
}

/* @param begin_ns  when opening began: reading certificates takes its time too. */
static pubsub_err prepare(pubsub_transport *t, const pubsub_transport_request *request,
                          uint64_t begin_ns, pubsub_error *err)
{
    pubsub_err rc = pubsub__target_check(t->config, err);
    pubsub_options_bool(t->config->options, "tls", &t->tls);
    if (rc == PUBSUB_OK && t->tls) {
        rc = pubsub__tls_load(&t->shared->tls, t->config->options, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    t->port = t->tls ? request->tls_port : request->port;
    t->hosts = pubsub__target_count(t->config);
    t->host = first_host(t->shared, t->config, t->hosts);
    size_t write_max = request->write_max == 0 ? WRITE_MAX : request->write_max;
    t->write_low = request->write_low == 0 ? write_max / 4 : request->write_low;
    if (t->write_low >= write_max) {
        t->write_low = write_max - 1; /* a full queue must be above it */
    }
    t->read_size = request->read_size == 0 ? READ_SIZE : request->read_size;
    pubsub__queue_init(&t->out, write_max);
    t->timeout = request->timeout > 0 ? request->timeout : default_timeout(t->config);
    t->deadline_ns = begin_ns + (uint64_t)t->timeout * 1000000u;
    return PUBSUB_OK;
}

pubsub_transport *pubsub_sink_transport_open(pubsub_sink *sink,
                                             const pubsub_transport_request *request,
                                             const pubsub_transport_handlers *handlers, void *ctx,
                                             pubsub_error *err)
{
    uint64_t begin_ns = pubsub_sink_now_ns(sink);
    pubsub_transport *t = pubsub__calloc(1, sizeof *t);
    if (t == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
        return NULL;
    }
    t->sink = sink;
    t->handlers = handlers;
    t->ctx = ctx;
    t->shared = pubsub__sink_transport(sink, &t->config);
    if (prepare(t, request, begin_ns, err) != PUBSUB_OK) {
        release(t);
        return NULL;
    }
    t->timer = pubsub_timer_new(sink, on_timer, t);
    t->soon = pubsub_timer_new(sink, on_soon, t);
    if (t->timer == NULL || t->soon == NULL) {
        pubsub_timer_free(t->timer);
        pubsub_timer_free(t->soon);
        release(t);
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
        return NULL;
    }
    pubsub__transport_soon(t);
    return t;
}

void pubsub_transport_close(pubsub_transport *transport, pubsub_duration_ms timeout)
{
    pubsub_transport *t = transport;
    if (t->failed || t->state >= PUBSUB__TRANSPORT_CLOSING) {
        return;
    }
    t->blamed = true; /* whatever happens now is not the host's fault */
    if (t->state < PUBSUB__TRANSPORT_OPEN) {
        pubsub__transport_drop(t, true);
        pubsub_timer_stop(t->timer);
        t->state = PUBSUB__TRANSPORT_OVER;
    } else {
        t->state = PUBSUB__TRANSPORT_CLOSING;
        pubsub_timer_start(t->timer, timeout);
    }
    pubsub__transport_soon(t);
}

const char *pubsub_transport_peer(const pubsub_transport *transport)
{
    return transport->peer;
}

void pubsub_transport_free(pubsub_transport *transport)
{
    pubsub_transport *t = transport;
    if (t == NULL || t->freed) {
        return;
    }
    if (!t->told && t->tried > 0) {
        blame(t);
    }
    t->freed = true;
    pubsub__transport_drop(t, true);
    pubsub_timer_free(t->timer);
    pubsub_timer_free(t->soon);
    t->timer = t->soon = NULL;
    if (t->busy == 0) {
        release(t);
    }
}

void pubsub__transport_shared_fini(pubsub__transport_shared *shared)
{
    pubsub__tls_free(shared->tls);
    shared->tls = NULL;
}
