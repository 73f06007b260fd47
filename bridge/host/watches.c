/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include "base/alloc.h"

struct pubsub_host_watch {
    uv_poll_t handle; /* first: freed through it */
    void (*fn)(void *ctx, uint32_t bits);
    void *ctx;
    uint32_t bits; /* asked for */
};

static void ready(uv_poll_t *handle, int status, int events);

static void poll_as_asked(pubsub_host_watch *watch)
{
    int events = ((watch->bits & PUBSUB_HOST_READ) != 0 ? UV_READABLE : 0) |
                 ((watch->bits & PUBSUB_HOST_WRITE) != 0 ? UV_WRITABLE : 0);
    if (events == 0) {
        (void)uv_poll_stop(&watch->handle);
    } else {
        (void)uv_poll_start(&watch->handle, events, ready);
    }
}

static void ready(uv_poll_t *handle, int status, int events)
{
    pubsub_host_watch *watch = (pubsub_host_watch *)(void *)handle;
    uint32_t bits = 0;
    if (status < 0) {
        /* libuv stops a handle with an error on it. Level-triggered means: told until it is dealt with. */
        bits = PUBSUB_HOST_READ | watch->bits;
        poll_as_asked(watch);
    } else {
        bits = ((events & UV_READABLE) != 0 ? PUBSUB_HOST_READ : 0u) |
               ((events & UV_WRITABLE) != 0 ? PUBSUB_HOST_WRITE : 0u);
    }
    watch->fn(watch->ctx, bits);
}

pubsub_host_watch *host_watch_new(pubsub_host *host, int fd, void (*fn)(void *ctx, uint32_t bits),
                                  void *ctx)
{
    pubsub_host_watch *watch = pubsub__calloc(1, sizeof(*watch));
    if (watch == NULL) {
        return NULL;
    }
    watch->fn = fn;
    watch->ctx = ctx;
    if (uv_poll_init(&host_of(host)->loop, &watch->handle, fd) != 0) {
        pubsub__free(watch);
        return NULL;
    }
    return watch;
}

void host_watch_set(pubsub_host_watch *watch, uint32_t bits)
{
    if (watch->bits != bits) {
        watch->bits = bits;
        poll_as_asked(watch);
    }
}

static void closed(uv_handle_t *handle)
{
    pubsub__free(handle);
}

void host_watch_free(pubsub_host_watch *watch)
{
    if (watch != NULL) {
        uv_close((uv_handle_t *)&watch->handle, closed);
    }
}
