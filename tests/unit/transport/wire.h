/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_WIRE_H
#define PUBSUB_TESTS_WIRE_H

/* A client whose adapter (scheme `wire:`) is nothing but one transport, and notes what it is told. One at
 * a time. Each function may be used from the thread of the test. */

#include "support/net.h"

#include <pubsub/pubsub.h>
#include <pubsub/spi/sink.h>
#include <pubsub/spi/transport.h>

#include <pthread.h>
#include <sys/types.h>

#define WIRE_KEEP 4096u

typedef struct wire wire;
typedef void (*wire_fn)(wire *w, void *arg);

struct wire {
    /* Set by the test before wire_connect. */
    pubsub_transport_request request;
    bool own_buffer;   /* have bytes read into a buffer of the adapter's */
    bool trust;        /* say "good" as soon as it is open */
    bool pause_first;  /* pause inside `opened` */
    bool free_on_data; /* free the transport inside `data` */
    wire_fn on_open;   /* called inside `opened` */
    wire_fn on_turn;   /* called in the adapter's `turn` while open */
    wire_fn on_writable;
    void *ctx;

    /* [lock] what happened */
    pthread_mutex_t lock;
    unsigned opens, closes, data_calls, writables, buffers;
    bool orderly; /* the last closed had no error */
    pubsub_error error;
    size_t received;
    size_t most;  /* in one call of data */
    uint32_t sum; /* of all bytes received */
    char head[WIRE_KEEP];
    char peer[300];

    /* [io] */
    pubsub_sink *sink;
    pubsub_transport *transport;
    char *buffer;

    pubsub_client *client;
    wire_fn command; /* [lock] */
    void *command_arg;
    bool command_done;
};

/* A client for this URL, with options as in kit_options; not yet connected. reconnect is off unless
 * they say otherwise. */
void wire_new(wire *w, const char *url, const char *options);
void wire_connect(wire *w);
/* Both. */
void wire_open(wire *w, const char *url, const char *options);
/* Wait until there is a transport. */
void wire_begun(wire *w);
/* Wait until it is open. */
void wire_ready(wire *w);
/* Wait until it was closed; the error is in w->error. */
void wire_await_closed(wire *w);
void wire_free(wire *w);
/* Run something on the I/O thread. */
void wire_do(wire *w, wire_fn fn, void *arg);
/* Write all of it, as far as taken; returns that. */
size_t wire_write(wire *w, const void *bytes, size_t len);
void wire_flush(wire *w);
void wire_pause(wire *w);
void wire_resume(wire *w);
void wire_close(wire *w, pubsub_duration_ms timeout);
/* Free the transport now. */
void wire_drop(wire *w);
size_t wire_queued(wire *w);

/* Read a field under the lock. */
#define WIRE_GET(w, field) wire_get_size((w), &(w)->field, sizeof((w)->field))
size_t wire_get_size(wire *w, const void *field, size_t size);

#define WIRE_AWAIT(w, cond)                                                                        \
    do {                                                                                           \
        kit_deadline until_ = kit_in(KIT_PATIENCE);                                                \
        for (;;) {                                                                                 \
            pthread_mutex_lock(&(w)->lock);                                                        \
            bool met_ = (cond);                                                                    \
            pthread_mutex_unlock(&(w)->lock);                                                      \
            if (met_) {                                                                            \
                break;                                                                             \
            }                                                                                      \
            if (kit_over(until_)) {                                                                \
                fail_msg("waited in vain for: %s", #cond);                                         \
            }                                                                                      \
            wire_turn(w);                                                                          \
        }                                                                                          \
    } while (0)
/* Let an inline client go on; otherwise rest. */
void wire_turn(wire *w);

/* Calls of sendmsg in this process since the last reset, and those without MSG_NOSIGNAL. */
unsigned wire_sends(void);
unsigned wire_loud_sends(void);
void wire_sends_reset(void);

#endif
