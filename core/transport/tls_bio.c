/* SPDX-License-Identifier: MIT */
#include "transport/tls_internal.h"

#include <openssl/bio.h>
#include <pthread.h>
#include <string.h>

/* Between OpenSSL and the layer below. OpenSSL's own socket BIO is no choice: it writes with write(), which
 * raises SIGPIPE, knows sockets only, and makes one system call for each record. */

static BIO_METHOD *g_method;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;

/* Read ciphertext when none is there. Returns as a stream's read. */
static ptrdiff_t fill(pubsub__tls_layer *layer)
{
    ptrdiff_t n = layer->lower->ops->read(layer->lower, layer->in, PUBSUB__TLS_IN, &layer->below);
    layer->in_head = 0;
    layer->in_len = n > 0 ? (size_t)n : 0;
    if (n == PUBSUB_TRANSPORT_FAILED) {
        layer->failed_below = true;
    }
    return n;
}

static int bio_read(BIO *bio, char *data, int len)
{
    pubsub__tls_layer *layer = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    if (layer->in_len == 0) {
        ptrdiff_t n = fill(layer);
        if (n == PUBSUB_TRANSPORT_AGAIN) {
            BIO_set_retry_read(bio);
            return -1;
        }
        if (n < 0) {
            return n == PUBSUB_TRANSPORT_END ? 0 : -1;
        }
    }
    size_t n = (size_t)len < layer->in_len ? (size_t)len : layer->in_len;
    memcpy(data, layer->in + layer->in_head, n);
    layer->in_head += n;
    layer->in_len -= n;
    return (int)n;
}

ptrdiff_t pubsub__tls_drain(pubsub__tls_layer *layer)
{
    pubsub__stream *lower = layer->lower;
    layer->stream.blocked = false;
    while (layer->out_len > 0) {
        pubsub_bytes slice = {layer->out + layer->out_head, layer->out_len};
        ptrdiff_t n = lower->ops->write(lower, &slice, 1, &layer->below);
        if (n == PUBSUB_TRANSPORT_FAILED) {
            return n;
        }
        if (n > 0) {
            layer->out_head += (size_t)n;
            layer->out_len -= (size_t)n;
        }
        if (layer->out_len > 0 && lower->blocked) {
            layer->stream.blocked = true;
            return PUBSUB_TRANSPORT_AGAIN;
        }
    }
    layer->out_head = 0;
    lower->blocked = false;
    return 0;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    pubsub__tls_layer *layer = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0) {
        return 0;
    }
    if (layer->out_head > 0 && layer->out_head + layer->out_len + (size_t)len > PUBSUB__TLS_OUT) {
        memmove(layer->out, layer->out + layer->out_head, layer->out_len);
        layer->out_head = 0;
    }
    size_t room = PUBSUB__TLS_OUT - layer->out_head - layer->out_len;
    size_t n = (size_t)len < room ? (size_t)len : room;
    if (n == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(layer->out + layer->out_head + layer->out_len, data, n);
    layer->out_len += n;
    return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0; /* sending is the layer's affair */
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static void make_method(void)
{
    g_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pubsub stream");
    if (g_method != NULL) {
        BIO_meth_set_read(g_method, bio_read);
        BIO_meth_set_write(g_method, bio_write);
        BIO_meth_set_ctrl(g_method, bio_ctrl);
        BIO_meth_set_create(g_method, bio_create);
    }
}

bool pubsub__tls_attach(pubsub__tls_layer *layer)
{
    pthread_once(&g_once, make_method);
    BIO *bio = g_method == NULL ? NULL : BIO_new(g_method);
    if (bio == NULL) {
        return false;
    }
    BIO_set_data(bio, layer);
    SSL_set_bio(layer->ssl, bio, bio);
    return true;
}
