/* SPDX-License-Identifier: MIT */
#include "host/internal.h"

#include "base/alloc.h"

struct host_signal {
    uv_signal_t handle; /* first: freed through it */
    int number;
    void (*fn)(void *ctx, int signal);
    void *ctx;
    host_signal *next;
};

static void closed(uv_handle_t *handle)
{
    pubsub__free(handle);
}

static void arrived(uv_signal_t *handle, int number)
{
    host_signal *signal = (host_signal *)(void *)handle;
    signal->fn(signal->ctx, number);
}

static host_signal **find(host_loop *host, int number)
{
    host_signal **at = &host->signals;
    while (*at != NULL && (*at)->number != number) {
        at = &(*at)->next;
    }
    return at;
}

static host_signal *add(host_loop *host, int number)
{
    host_signal *signal = pubsub__calloc(1, sizeof(*signal));
    if (signal == NULL) {
        return NULL;
    }
    if (uv_signal_init(&host->loop, &signal->handle) != 0) {
        pubsub__free(signal);
        return NULL;
    }
    if (uv_signal_start(&signal->handle, arrived, number) != 0) {
        uv_close((uv_handle_t *)&signal->handle, closed);
        return NULL;
    }
    signal->number = number;
    signal->next = host->signals;
    host->signals = signal;
    return signal;
}

static void drop(host_signal **at)
{
    host_signal *signal = *at;
    *at = signal->next;
    (void)uv_signal_stop(&signal->handle);
    uv_close((uv_handle_t *)&signal->handle, closed);
}

bool bridge_host_on_signal(pubsub_host *table, int signal, void (*fn)(void *ctx, int signal),
                           void *ctx)
{
    host_loop *host = host_of(table);
    host_signal **at = find(host, signal);
    host_signal *found = *at;
    if (fn == NULL) {
        if (found != NULL) {
            drop(at);
        }
        return true;
    }
    if (found == NULL) {
        found = add(host, signal);
    }
    if (found == NULL) {
        return false;
    }
    found->fn = fn;
    found->ctx = ctx;
    return true;
}

void host_signals_close(host_loop *host)
{
    while (host->signals != NULL) {
        drop(&host->signals);
    }
}
