/* SPDX-License-Identifier: MIT */
#include "transport/dial.h"

#include "base/alloc.h"
#include "transport/socket.h"

#include <errno.h>
#include <unistd.h>

/* How long an address may be silent before the next one is tried beside it: RFC 8305 §5. */
#define STAGGER_MS 250

typedef struct attempt {
    pubsub__dial *dial;
    pubsub_watch *watch;
    int fd; /* -1 = over, or not begun */
} attempt;

struct pubsub__dial {
    pubsub_sink *sink;
    pubsub__dial_fn fn;
    void *ctx;
    pubsub_timer *timer;
    pubsub__addresses addresses;
    attempt attempts[PUBSUB__ADDRESSES_MAX];
    size_t begun;
    size_t running;
    int error;
    int won; /* descriptor, -1 = none yet */
};

static void drop(attempt *one)
{
    if (one->fd >= 0) {
        pubsub_watch_free(one->watch);
        close(one->fd);
        one->watch = NULL;
        one->fd = -1;
        one->dial->running--;
    }
}

/* A refusal says more than a time-out, and both more than "no such network", which is what every address
 * of a family gives that this machine does not have. */
static void note_error(pubsub__dial *dial, int error)
{
    bool vague = error == ENETUNREACH || error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
    if (dial->error == 0 || !vague) {
        dial->error = error;
    }
}

static void win(pubsub__dial *dial, attempt *one)
{
    dial->won = one->fd;
    pubsub_watch_free(one->watch);
    one->watch = NULL;
    one->fd = -1;
    dial->running--;
}

static void advance(pubsub__dial *dial);

static void on_event(void *ctx, uint32_t events)
{
    attempt *one = ctx;
    pubsub__dial *dial = one->dial;
    (void)events;
    int error = pubsub__socket_outcome(one->fd);
    if (error == EINPROGRESS) {
        pubsub_watch_set(one->watch, PUBSUB_WATCH_WRITE);
        return;
    }
    if (error == 0) {
        win(dial, one);
    } else {
        note_error(dial, error);
        drop(one);
    }
    advance(dial);
}

/* The next address. False when it failed at once. */
static bool begin(pubsub__dial *dial)
{
    const pubsub__address *address = &dial->addresses.items[dial->begun];
    attempt *one = &dial->attempts[dial->begun++];
    bool done = false;
    int fd = pubsub__socket_connect((const struct sockaddr *)&address->at, address->len, &done);
    if (fd < 0) {
        note_error(dial, -fd);
        return false;
    }
    one->fd = fd;
    dial->running++;
    if (done) {
        win(dial, one);
        return true;
    }
    one->watch = pubsub_watch_new(dial->sink, fd, on_event, one);
    if (one->watch == NULL) {
        note_error(dial, ENOMEM);
        drop(one);
        return false;
    }
    pubsub_watch_set(one->watch, PUBSUB_WATCH_WRITE);
    return true;
}

static void finish(pubsub__dial *dial)
{
    for (size_t i = 0; i < dial->begun; i++) {
        drop(&dial->attempts[i]);
    }
    pubsub_timer_stop(dial->timer);
    int fd = dial->won;
    dial->won = -1;
    dial->fn(dial->ctx, fd, dial->error);
}

/* Something happened to an attempt, or it is the next one's turn. */
static void advance(pubsub__dial *dial)
{
    bool begun = false;
    while (dial->won < 0 && !begun && dial->begun < dial->addresses.count) {
        begun = begin(dial);
    }
    if (dial->won >= 0 || dial->running == 0) {
        finish(dial);
    } else if (dial->begun < dial->addresses.count) {
        pubsub_timer_start(dial->timer, STAGGER_MS);
    }
}

static void on_timer(void *ctx)
{
    advance(ctx);
}

bool pubsub__dial_start(pubsub__dial **out, pubsub_sink *sink, const pubsub__addresses *addresses,
                        pubsub__dial_fn fn, void *ctx)
{
    pubsub__dial *dial = pubsub__calloc(1, sizeof *dial);
    *out = dial;
    if (dial == NULL) {
        return false;
    }
    dial->sink = sink;
    dial->fn = fn;
    dial->ctx = ctx;
    dial->won = -1;
    dial->addresses = *addresses;
    for (size_t i = 0; i < PUBSUB__ADDRESSES_MAX; i++) {
        dial->attempts[i].dial = dial;
        dial->attempts[i].fd = -1;
    }
    dial->timer = pubsub_timer_new(sink, on_timer, dial);
    if (dial->timer == NULL) {
        pubsub__free(dial);
        *out = NULL;
        return false;
    }
    advance(dial);
    return true;
}

void pubsub__dial_free(pubsub__dial *dial)
{
    if (dial != NULL) {
        for (size_t i = 0; i < dial->begun; i++) {
            drop(&dial->attempts[i]);
        }
        if (dial->won >= 0) {
            close(dial->won);
        }
        pubsub_timer_free(dial->timer);
        pubsub__free(dial);
    }
}
