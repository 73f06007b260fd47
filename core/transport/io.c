/* SPDX-License-Identifier: MIT */
#include "transport/internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

/* What waits may be sent from where it lies, instead of being copied first, from this size on; and more
 * than this is not held back until the end of the turn. */
#define SEND_AT (32u * 1024u)
#define GATHER_MAX 32
/* Reads before somebody else gets his turn. */
#define ROUNDS 16

/* ---- watching ---- */

void pubsub__transport_rewatch(pubsub_transport *t)
{
    uint32_t wanted = 0;
    if (t->freed || t->watch == NULL) {
        return;
    }
    if (t->state == PUBSUB__TRANSPORT_OPEN && !t->failed) {
        wanted |= t->paused ? 0 : PUBSUB_WATCH_READ;
    } else if (t->state >= PUBSUB__TRANSPORT_GREET && t->state < PUBSUB__TRANSPORT_OVER) {
        wanted |= t->peer_ended ? 0 : PUBSUB_WATCH_READ;
    }
    if (t->stream->blocked && t->state < PUBSUB__TRANSPORT_OVER && !t->failed) {
        wanted |= PUBSUB_WATCH_WRITE;
    }
    if (wanted != t->watched || (t->stale && wanted != 0)) {
        pubsub_watch_set(t->watch, wanted);
        t->watched = wanted;
    }
    t->stale = false;
}

/* ---- writing ---- */

static bool may_write(const pubsub_transport *t)
{
    return !t->freed && !t->failed &&
           (t->state == PUBSUB__TRANSPORT_OPEN || t->state == PUBSUB__TRANSPORT_CLOSING);
}

static void write_failed(pubsub_transport *t, pubsub_error *err)
{
    pubsub__transport_say(t, err);
    t->writing_failed = true;
    pubsub__transport_lose(t, err);
}

static void note_level(pubsub_transport *t)
{
    if (t->out.len > t->write_low) {
        t->above_low = true;
    } else if (t->above_low) {
        t->above_low = false;
        t->tell_writable = t->state == PUBSUB__TRANSPORT_OPEN && t->handlers->writable != NULL;
    }
}

void pubsub__transport_send(pubsub_transport *t)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!may_write(t)) {
        return;
    }
    ptrdiff_t n = t->stream->ops->flush(t->stream, &err);
    while (n >= 0 && t->out.len > 0 && !t->stream->blocked) {
        pubsub_bytes slice = pubsub__queue_bytes(&t->out);
        n = t->stream->ops->write(t->stream, &slice, 1, &err);
        if (n > 0) {
            pubsub__queue_drop(&t->out, (size_t)n);
        }
    }
    if (n == PUBSUB_TRANSPORT_FAILED || n == PUBSUB_TRANSPORT_END) {
        write_failed(t, &err);
    }
    note_level(t);
    pubsub__transport_rewatch(t);
}

/* Where a write stands in its slices. */
typedef struct cursor {
    const pubsub_bytes *slices;
    size_t count;
    size_t index;
    size_t offset;
} cursor;

static void advance(cursor *at, size_t len)
{
    while (len > 0 && at->index < at->count) {
        size_t left = at->slices[at->index].len - at->offset;
        if (len < left) {
            at->offset += len;
            return;
        }
        len -= left;
        at->index++;
        at->offset = 0;
    }
}

/* Send the queue and the slices behind it in one call. Returns what of the slices is gone; sets *stop
 * when it cannot go on. */
static size_t send_gathered(pubsub_transport *t, const cursor *at, bool *stop)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes parts[GATHER_MAX];
    size_t count = 0;
    size_t queued = t->out.len;
    if (queued > 0) {
        parts[count++] = pubsub__queue_bytes(&t->out);
    }
    for (size_t i = at->index; i < at->count && count < GATHER_MAX; i++) {
        size_t skip = i == at->index ? at->offset : 0;
        if (at->slices[i].len > skip) {
            parts[count].data = (const char *)at->slices[i].data + skip;
            parts[count++].len = at->slices[i].len - skip;
        }
    }
    ptrdiff_t n = t->stream->ops->write(t->stream, parts, count, &err);
    *stop = n <= 0 || t->stream->blocked;
    if (n == PUBSUB_TRANSPORT_FAILED || n == PUBSUB_TRANSPORT_END) {
        write_failed(t, &err);
        return 0;
    }
    if (n <= 0) {
        return 0;
    }
    size_t of_queue = (size_t)n < queued ? (size_t)n : queued;
    pubsub__queue_drop(&t->out, of_queue);
    return (size_t)n - of_queue;
}

/* Copy as much as there is room for. */
static size_t enqueue(pubsub_transport *t, cursor *at)
{
    size_t done = 0;
    while (at->index < at->count) {
        const pubsub_bytes *slice = &at->slices[at->index];
        size_t left = slice->len - at->offset;
        size_t room = pubsub__queue_room(&t->out);
        size_t n = left < room ? left : room;
        if (n == 0 && left > 0) {
            break;
        }
        if (!pubsub__queue_add(&t->out, (const char *)slice->data + at->offset, n)) {
            pubsub_error err = PUBSUB_ERROR_INIT;
            pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory for what is to be sent");
            pubsub__transport_lose(t, &err);
            break;
        }
        done += n;
        at->offset += n;
        if (at->offset == slice->len) {
            at->index++;
            at->offset = 0;
        }
    }
    return done;
}

size_t pubsub_transport_write(pubsub_transport *transport, const pubsub_bytes *slices, size_t count)
{
    pubsub_transport *t = transport;
    cursor at = {slices, count, 0, 0};
    size_t total = 0;
    size_t done = 0;
    if (t->state != PUBSUB__TRANSPORT_OPEN || t->failed) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        total += slices[i].len;
    }
    bool stop = t->stream->blocked;
    while (!stop && t->stream->ops->gather && done < total &&
           t->out.len + (total - done) >= SEND_AT) {
        size_t n = send_gathered(t, &at, &stop);
        advance(&at, n);
        done += n;
    }
    while (done < total && !t->failed) {
        size_t n = enqueue(t, &at);
        done += n;
        if (t->stream->blocked || t->out.len < SEND_AT || t->failed) {
            break;
        }
        size_t before = t->out.len;
        pubsub__transport_send(t);
        if (t->out.len == before) {
            break;
        }
    }
    note_level(t);
    if (t->tell_writable) {
        pubsub__transport_soon(t);
    } else if (t->out.len > 0 && !t->stream->blocked) {
        pubsub__transport_soon_send(t);
    }
    pubsub__transport_rewatch(t);
    return done;
}

size_t pubsub_transport_room(const pubsub_transport *transport)
{
    bool open = transport->state == PUBSUB__TRANSPORT_OPEN && !transport->failed;
    return open ? pubsub__queue_room(&transport->out) : 0;
}

size_t pubsub_transport_queued(const pubsub_transport *transport)
{
    return transport->out.len;
}

void pubsub_transport_flush(pubsub_transport *transport)
{
    if (transport->state != PUBSUB__TRANSPORT_OPEN || transport->stream->blocked) {
        return;
    }
    pubsub__transport_send(transport);
    if (transport->tell_writable) {
        pubsub__transport_soon(transport);
    } else if (transport->soon_set && transport->soon_send) {
        transport->soon_set = false;
        pubsub_timer_stop(transport->soon);
    }
}

void pubsub__transport_tell_writable(pubsub_transport *t)
{
    if (!t->freed && t->tell_writable && t->state == PUBSUB__TRANSPORT_OPEN && !t->failed) {
        t->tell_writable = false;
        t->handlers->writable(t->ctx);
    }
}

/* ---- reading ---- */

static bool may_read(const pubsub_transport *t)
{
    return !t->freed && !t->paused && !t->peer_ended && t->state == PUBSUB__TRANSPORT_OPEN;
}

static void *read_buffer(pubsub_transport *t, size_t *size)
{
    *size = t->read_size;
    if (t->handlers->buffer != NULL) {
        return t->handlers->buffer(t->ctx, size);
    }
    if (t->buffer == NULL) {
        t->buffer = pubsub__alloc(t->read_size);
    }
    return t->buffer;
}

static void read_ended(pubsub_transport *t, ptrdiff_t how, pubsub_error *err)
{
    t->peer_ended = true;
    if (how == PUBSUB_TRANSPORT_END) {
        pubsub_error_set(err, PUBSUB_ELOST, "%.180s closed the connection", t->peer);
    } else {
        pubsub__transport_say(t, err);
    }
    /* When writing failed first, what there was to read may say why. */
    if (!t->failed || err->code == PUBSUB_ETLS) {
        t->failed = false;
        pubsub__transport_lose(t, err);
    }
}

static bool no_place(pubsub_transport *t, const void *buffer, size_t size)
{
    if (t->freed || (buffer != NULL && size > 0)) {
        return t->freed;
    }
    if (t->handlers->buffer == NULL) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to read into");
        pubsub__transport_lose(t, &err);
        t->peer_ended = true;
    }
    t->paused = true;
    return true;
}

void pubsub__transport_pump(pubsub_transport *t)
{
    bool any = false;
    for (int round = 0; may_read(t); round++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        size_t size = 0;
        if (round == ROUNDS) {
            pubsub__transport_soon(t); /* what a layer has already read makes nothing readable */
            return;
        }
        void *buffer = read_buffer(t, &size);
        if (no_place(t, buffer, size)) {
            return;
        }
        ptrdiff_t n = t->stream->ops->read(t->stream, buffer, size, &err);
        if (n == PUBSUB_TRANSPORT_AGAIN) {
            t->stale = !any && t->stream->ops->pending == NULL;
            return;
        }
        if (n < 0) {
            read_ended(t, n, &err);
            return;
        }
        any = true;
        t->handlers->data(t->ctx, buffer, (size_t)n);
        if (t->freed) {
            return;
        }
        bool drained = (size_t)n < size && t->stream->fd >= 0;
        bool pending = t->stream->ops->pending != NULL && t->stream->ops->pending(t->stream);
        if (drained && !pending) {
            return;
        }
    }
}

void pubsub_transport_pause(pubsub_transport *transport)
{
    transport->paused = true;
    pubsub__transport_rewatch(transport);
}

void pubsub_transport_resume(pubsub_transport *transport)
{
    if (transport->paused) {
        transport->paused = false;
        pubsub__transport_rewatch(transport);
        /* Without a descriptor, or with bytes in a layer, nothing would make it go on. */
        bool waiting =
            transport->stream != NULL &&
            (transport->stream->fd < 0 || (transport->stream->ops->pending != NULL &&
                                           transport->stream->ops->pending(transport->stream)));
        if (waiting) {
            pubsub__transport_soon(transport);
        }
    }
}

/* ---- closing ---- */

static void discard(pubsub_transport *t)
{
    char waste[4096];
    for (int round = 0; round < ROUNDS && !t->peer_ended; round++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        ptrdiff_t n = t->stream->ops->read(t->stream, waste, sizeof waste, &err);
        if (n == PUBSUB_TRANSPORT_AGAIN) {
            t->stale = round == 0 && t->stream->ops->pending == NULL;
            return;
        }
        t->peer_ended = n < 0;
    }
    if (!t->peer_ended) {
        pubsub__transport_soon(t);
    }
}

void pubsub__transport_go_on_closing(pubsub_transport *t)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    discard(t);
    if (t->state == PUBSUB__TRANSPORT_CLOSING) {
        pubsub__transport_send(t);
        if (t->failed || t->out.len > 0 || t->stream->blocked) {
            return;
        }
        ptrdiff_t n = t->stream->ops->finish(t->stream, &err);
        if (n == PUBSUB_TRANSPORT_FAILED) {
            write_failed(t, &err);
        }
        if (n != 0) {
            return;
        }
        t->state = PUBSUB__TRANSPORT_LINGERING;
    }
    if (t->peer_ended || !t->stream->ops->linger) {
        t->state = PUBSUB__TRANSPORT_OVER;
        pubsub__transport_soon(t);
    }
}

void pubsub__transport_on_ready(pubsub_transport *t, uint32_t events)
{
    if (t->state >= PUBSUB__TRANSPORT_CLOSING) {
        if (t->state < PUBSUB__TRANSPORT_OVER) {
            pubsub__transport_go_on_closing(t);
        }
        return;
    }
    /* An error shows as readable, also when only writing was asked for. */
    if (t->stream->blocked) {
        pubsub__transport_send(t);
        t->stale = (events & PUBSUB_WATCH_READ) != 0 && t->paused;
    }
    if (events & PUBSUB_WATCH_READ) {
        pubsub__transport_pump(t);
    }
}
