/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "wire.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BUFFER 8192u

static wire *g_wire; /* the one there is */

/* ---- counting system calls: the library's sendmsg is this one ---- */

static atomic_uint g_sends;
static atomic_uint g_loud;

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    atomic_fetch_add(&g_sends, 1);
    if ((flags & MSG_NOSIGNAL) == 0) {
        atomic_fetch_add(&g_loud, 1);
    }
    return (ssize_t)syscall(SYS_sendmsg, fd, message, flags);
}

unsigned wire_sends(void)
{
    return atomic_load(&g_sends);
}

unsigned wire_loud_sends(void)
{
    return atomic_load(&g_loud);
}

void wire_sends_reset(void)
{
    atomic_store(&g_sends, 0);
    atomic_store(&g_loud, 0);
}

/* ---- what the transport tells ---- */

static void on_opened(void *ctx)
{
    wire *w = ctx;
    if (w->trust) {
        pubsub_transport_good(w->transport);
    }
    if (w->pause_first) {
        pubsub_transport_pause(w->transport);
    }
    if (w->on_open != NULL) {
        w->on_open(w, w->ctx);
    }
    pthread_mutex_lock(&w->lock);
    w->opens++;
    (void)snprintf(w->peer, sizeof(w->peer), "%s", pubsub_transport_peer(w->transport));
    pthread_mutex_unlock(&w->lock);
    pubsub_sink_link_up(w->sink, 0);
}

static void *on_buffer(void *ctx, size_t *size)
{
    wire *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->buffers++;
    pthread_mutex_unlock(&w->lock);
    *size = BUFFER;
    return w->buffer;
}

static void on_data(void *ctx, void *bytes, size_t len)
{
    wire *w = ctx;
    const unsigned char *from = bytes;
    pthread_mutex_lock(&w->lock);
    w->data_calls++;
    for (size_t i = 0; i < len; i++) {
        w->sum += from[i];
        if (w->received + i < WIRE_KEEP - 1) {
            w->head[w->received + i] = (char)from[i];
        }
    }
    w->received += len;
    w->most = len > w->most ? len : w->most;
    pthread_mutex_unlock(&w->lock);
    if (w->free_on_data) {
        pubsub_transport_free(w->transport);
        w->transport = NULL;
    }
}

static void on_writable(void *ctx)
{
    wire *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->writables++;
    pthread_mutex_unlock(&w->lock);
    if (w->on_writable != NULL) {
        w->on_writable(w, w->ctx);
    }
}

static void on_closed(void *ctx, const pubsub_error *err)
{
    wire *w = ctx;
    pubsub_error none = PUBSUB_ERROR_INIT;
    pubsub_error why = err != NULL ? *err : none;
    pubsub_transport_free(w->transport);
    w->transport = NULL;
    if (err == NULL) {
        (void)pubsub_error_set(&why, PUBSUB_ELOST, "closed as asked for");
    }
    pthread_mutex_lock(&w->lock);
    w->closes++;
    w->orderly = err == NULL;
    w->error = why;
    pthread_mutex_unlock(&w->lock);
    pubsub_sink_link_down(w->sink, 0, &why);
}

static const pubsub_transport_handlers g_handlers = {
    .opened = on_opened, .data = on_data, .writable = on_writable, .closed = on_closed};
static const pubsub_transport_handlers g_buffered = {.opened = on_opened,
                                                     .buffer = on_buffer,
                                                     .data = on_data,
                                                     .writable = on_writable,
                                                     .closed = on_closed};

/* ---- the adapter ---- */

typedef struct wire_instance {
    wire *w;
} wire_instance;

static pubsub_err wire_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                            pubsub_error *err)
{
    (void)config;
    (void)err;
    memset(out, 0, sizeof(*out));
    out->size = sizeof(*out);
    for (size_t i = 0; i < PUBSUB_FEATURES_MAX; i++) {
        out->features[i] = (pubsub_cap){PUBSUB_NATIVE, ""};
    }
    out->confirm_note = "";
    out->max_topic = PUBSUB_TOPIC_MAX;
    return PUBSUB_OK;
}

static pubsub_err wire_init(void *self, const pubsub_adapter_config *config, pubsub_sink *sink,
                            pubsub_error *err)
{
    (void)config;
    (void)err;
    ((wire_instance *)self)->w = g_wire;
    g_wire->sink = sink;
    return PUBSUB_OK;
}

static pubsub_err wire_link(void *self, uint32_t link, pubsub_error *err)
{
    wire *w = ((wire_instance *)self)->w;
    (void)link;
    w->transport = pubsub_sink_transport_open(w->sink, &w->request,
                                              w->own_buffer ? &g_buffered : &g_handlers, w, err);
    return w->transport == NULL ? err->code : PUBSUB_OK;
}

static void wire_unlink(void *self, uint32_t link, bool final)
{
    wire *w = ((wire_instance *)self)->w;
    (void)link;
    (void) final;
    pubsub_transport_free(w->transport);
    w->transport = NULL;
}

static size_t wire_submit(void *self, pubsub_spi_publish *const *publishes, size_t count)
{
    (void)self;
    (void)publishes;
    (void)count;
    return 0;
}

static void wire_subscribe(void *self, pubsub_spi_subscription *subscription)
{
    (void)self;
    (void)subscription;
}

static void wire_unsubscribe(void *self, pubsub_spi_subscription *subscription, bool forget)
{
    (void)self;
    (void)subscription;
    (void)forget;
}

static void wire_ack(void *self, const pubsub_spi_ack *acks, size_t count)
{
    (void)self;
    (void)acks;
    (void)count;
}

static void wire_credit(void *self, pubsub_spi_subscription *subscription)
{
    (void)self;
    (void)subscription;
}

static void wire_wake(void *self)
{
    wire *w = ((wire_instance *)self)->w;
    pthread_mutex_lock(&w->lock);
    wire_fn fn = w->command;
    void *arg = w->command_arg;
    w->command = NULL;
    pthread_mutex_unlock(&w->lock);
    if (fn != NULL) {
        fn(w, arg);
        pthread_mutex_lock(&w->lock);
        w->command_done = true;
        pthread_mutex_unlock(&w->lock);
    }
}

static void wire_on_turn(void *self)
{
    wire *w = ((wire_instance *)self)->w;
    if (w->on_turn != NULL && w->transport != NULL) {
        w->on_turn(w, w->ctx);
    }
}

static void wire_shut(void *self, pubsub_duration_ms left)
{
    wire *w = ((wire_instance *)self)->w;
    (void)left;
    pubsub_transport_free(w->transport);
    w->transport = NULL;
    pubsub_sink_closed(w->sink);
}

static void wire_fini(void *self, bool forked)
{
    wire *w = ((wire_instance *)self)->w;
    (void)forked;
    if (w != NULL) {
        pubsub_transport_free(w->transport);
        w->transport = NULL;
    }
}

static const char *const g_schemes[] = {"wire", NULL};
static const pubsub_adapter g_adapter = {
    .abi = PUBSUB_SPI_ABI,
    .size = sizeof(pubsub_adapter),
    .name = "wire",
    .schemes = g_schemes,
    .summary = "bytes",
    .instance_size = sizeof(wire_instance),
    .caps = wire_caps,
    .init = wire_init,
    .connect = wire_link,
    .disconnect = wire_unlink,
    .submit = wire_submit,
    .subscribe = wire_subscribe,
    .unsubscribe = wire_unsubscribe,
    .ack = wire_ack,
    .credit = wire_credit,
    .wake = wire_wake,
    .turn = wire_on_turn,
    .close = wire_shut,
    .fini = wire_fini,
    .flags = PUBSUB_ADAPTER_TRANSPORT,
};

/* ---- the test's side ---- */

void wire_new(wire *w, const char *url, const char *options)
{
    static bool registered;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!registered) {
        KIT_OK(pubsub_adapter_register(&g_adapter, &err), &err);
        registered = true;
    }
    pthread_mutex_init(&w->lock, NULL);
    w->buffer = malloc(BUFFER);
    assert_non_null(w->buffer);
    g_wire = w;
    pubsub_options *opts = kit_options(options);
    if (!pubsub_options_is_set(opts, "reconnect")) {
        KIT_OK(pubsub_options_set(opts, "reconnect", "no", &err), &err);
    }
    pubsub_err rc = pubsub_client_new(&w->client, url, opts, &err);
    pubsub_options_free(opts);
    KIT_OK(rc, &err);
}

void wire_connect(wire *w)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    KIT_OK(pubsub_client_connect(w->client, &err), &err);
}

void wire_open(wire *w, const char *url, const char *options)
{
    wire_new(w, url, options);
    wire_connect(w);
}

void wire_turn(wire *w)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub_client_poll(w->client, 1, &err) <= 0) {
        kit_breathe();
    }
}

static void io_begun(wire *w, void *arg)
{
    *(bool *)arg = w->transport != NULL;
}

void wire_begun(wire *w)
{
    bool begun = false;
    kit_deadline until = kit_in(KIT_PATIENCE);
    while (!begun) {
        wire_do(w, io_begun, &begun);
        assert_false(kit_over(until));
    }
}

void wire_ready(wire *w)
{
    WIRE_AWAIT(w, w->opens > 0 || w->closes > 0);
    if (w->opens == 0) {
        fail_msg("not opened: %s", pubsub_error_text(&w->error));
    }
}

void wire_await_closed(wire *w)
{
    WIRE_AWAIT(w, w->closes > 0);
}

void wire_free(wire *w)
{
    pubsub_client_free(w->client);
    free(w->buffer);
    pthread_mutex_destroy(&w->lock);
    g_wire = NULL;
}

void wire_do(wire *w, wire_fn fn, void *arg)
{
    pthread_mutex_lock(&w->lock);
    w->command = fn;
    w->command_arg = arg;
    w->command_done = false;
    pthread_mutex_unlock(&w->lock);
    pubsub_sink_wake(w->sink);
    WIRE_AWAIT(w, w->command_done);
}

typedef struct io_write {
    const void *bytes;
    size_t len;
    size_t result;
} io_write;

static void io_write_now(wire *w, void *arg)
{
    io_write *job = arg;
    pubsub_bytes slice = {job->bytes, job->len};
    job->result = w->transport == NULL ? 0 : pubsub_transport_write(w->transport, &slice, 1);
}

size_t wire_write(wire *w, const void *bytes, size_t len)
{
    io_write job = {bytes, len, 0};
    wire_do(w, io_write_now, &job);
    return job.result;
}

static void io_flush(wire *w, void *arg)
{
    (void)arg;
    if (w->transport != NULL) {
        pubsub_transport_flush(w->transport);
    }
}

void wire_flush(wire *w)
{
    wire_do(w, io_flush, NULL);
}

static void io_pause(wire *w, void *arg)
{
    (void)arg;
    pubsub_transport_pause(w->transport);
}

void wire_pause(wire *w)
{
    wire_do(w, io_pause, NULL);
}

static void io_resume(wire *w, void *arg)
{
    (void)arg;
    pubsub_transport_resume(w->transport);
}

void wire_resume(wire *w)
{
    wire_do(w, io_resume, NULL);
}

static void io_close(wire *w, void *arg)
{
    pubsub_transport_close(w->transport, *(pubsub_duration_ms *)arg);
}

void wire_close(wire *w, pubsub_duration_ms timeout)
{
    wire_do(w, io_close, &timeout);
}

static void io_drop(wire *w, void *arg)
{
    (void)arg;
    pubsub_transport_free(w->transport);
    w->transport = NULL;
}

void wire_drop(wire *w)
{
    wire_do(w, io_drop, NULL);
}

static void io_queued(wire *w, void *arg)
{
    *(size_t *)arg = w->transport == NULL ? 0 : pubsub_transport_queued(w->transport);
}

size_t wire_queued(wire *w)
{
    size_t queued = 0;
    wire_do(w, io_queued, &queued);
    return queued;
}

size_t wire_get_size(wire *w, const void *field, size_t size)
{
    size_t value = 0;
    pthread_mutex_lock(&w->lock);
    memcpy(&value, field,
           size); /* little-endian machines only, like the rest of the tests' tricks */
    pthread_mutex_unlock(&w->lock);
    return value;
}
