/* SPDX-License-Identifier: MIT */
#include "transport/tls.h"

#include "base/alloc.h"
#include "transport/tls_internal.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

/* ---- what a certificate must be for ---- */

/* Without the zone of an IPv6 address and the dot behind a full name: no certificate has them. */
static char *plain_name(const char *name)
{
    const char *zone = strchr(name, ':') == NULL ? NULL : strchr(name, '%');
    size_t len = zone == NULL ? strlen(name) : (size_t)(zone - name);
    if (len > 1 && name[len - 1] == '.') {
        len--;
    }
    return pubsub__strndup(name, len);
}

static bool is_address(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

static bool expect_name(pubsub__tls_layer *layer, const char *name)
{
    if (name == NULL) {
        return true;
    }
    layer->name_copy = plain_name(name);
    layer->name = layer->name_copy;
    if (layer->name == NULL) {
        return false;
    }
    bool address = is_address(layer->name);
    if (!address && SSL_set_tlsext_host_name(layer->ssl, layer->name_copy) != 1) {
        return false; /* RFC 6066 §3: names only, no addresses */
    }
    if (!layer->verify) {
        return true;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(layer->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return address ? X509_VERIFY_PARAM_set1_ip_asc(param, layer->name) == 1
                   : X509_VERIFY_PARAM_set1_host(param, layer->name, 0) == 1;
}

/* ---- the stream ---- */

/* Turns a failed operation into AGAIN, END or FAILED. What OpenSSL wrote meanwhile, an alert for example, is
 * sent in any case; whether that works matters only when there is nothing better to say. */
static ptrdiff_t after_failure(pubsub__tls_layer *layer, int result, pubsub_error *err)
{
    int why = SSL_get_error(layer->ssl, result);
    if (layer->failed_below) {
        *err = layer->below;
        return PUBSUB_TRANSPORT_FAILED;
    }
    ptrdiff_t sent = pubsub__tls_drain(layer);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        if (sent == PUBSUB_TRANSPORT_FAILED) {
            *err = layer->below;
            return sent;
        }
        return PUBSUB_TRANSPORT_AGAIN;
    }
    if (why == SSL_ERROR_ZERO_RETURN) {
        return PUBSUB_TRANSPORT_END;
    }
    return pubsub__tls_explain(layer, why, err) == PUBSUB_OK ? PUBSUB_TRANSPORT_END
                                                             : PUBSUB_TRANSPORT_FAILED;
}

static ptrdiff_t tls_greet(pubsub__stream *stream, pubsub_error *err)
{
    pubsub__tls_layer *layer = (pubsub__tls_layer *)stream;
    for (;;) {
        ERR_clear_error();
        int rc = SSL_do_handshake(layer->ssl);
        if (rc == 1) {
            ptrdiff_t sent = pubsub__tls_drain(layer);
            if (sent == PUBSUB_TRANSPORT_FAILED) {
                *err = layer->below;
                return sent;
            }
            layer->greeted = true; /* the rest of the last flight goes out with what follows */
            return 0;
        }
        bool full = SSL_get_error(layer->ssl, rc) == SSL_ERROR_WANT_WRITE;
        ptrdiff_t result = after_failure(layer, rc, err);
        if (result == PUBSUB_TRANSPORT_END) {
            pubsub_error_set(err, PUBSUB_ECONNECT,
                             "it ended the connection during the TLS handshake");
            return PUBSUB_TRANSPORT_FAILED;
        }
        if (result != PUBSUB_TRANSPORT_AGAIN || !full || layer->out_len > 0) {
            return result;
        }
    }
}

static ptrdiff_t tls_read(pubsub__stream *stream, void *buffer, size_t size, pubsub_error *err)
{
    pubsub__tls_layer *layer = (pubsub__tls_layer *)stream;
    char *to = buffer;
    size_t done = 0;
    while (done < size && !layer->ended) {
        size_t n = 0;
        ERR_clear_error();
        int rc = SSL_read_ex(layer->ssl, to + done, size - done, &n);
        if (rc == 1) {
            done += n;
            continue;
        }
        ptrdiff_t result = after_failure(layer, rc, err);
        if (result == PUBSUB_TRANSPORT_AGAIN) {
            return done > 0 ? (ptrdiff_t)done : result;
        }
        layer->ended = true;
        layer->failed_below = result == PUBSUB_TRANSPORT_FAILED;
        layer->below = *err;
    }
    if (done > 0) {
        return (ptrdiff_t)done;
    }
    *err = layer->below;
    return layer->failed_below ? PUBSUB_TRANSPORT_FAILED : PUBSUB_TRANSPORT_END;
}

/* Whether a whole record fits behind what waits, so that OpenSSL never holds half of one. */
static bool room_for_record(const pubsub__tls_layer *layer)
{
    return PUBSUB__TLS_OUT - layer->out_len >= PUBSUB__TLS_RECORD;
}

static ptrdiff_t tls_write(pubsub__stream *stream, const pubsub_bytes *slices, size_t count,
                           pubsub_error *err)
{
    pubsub__tls_layer *layer = (pubsub__tls_layer *)stream;
    size_t done = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = 0;
        while (at < slices[i].len) {
            if (!room_for_record(layer) && pubsub__tls_drain(layer) == PUBSUB_TRANSPORT_FAILED) {
                *err = layer->below;
                return PUBSUB_TRANSPORT_FAILED;
            }
            if (!room_for_record(layer)) {
                return done > 0 ? (ptrdiff_t)done : PUBSUB_TRANSPORT_AGAIN;
            }
            size_t n = 0;
            ERR_clear_error();
            int rc =
                SSL_write_ex(layer->ssl, (const char *)slices[i].data + at, slices[i].len - at, &n);
            if (rc != 1) {
                ptrdiff_t result = after_failure(layer, rc, err);
                return done > 0 && result == PUBSUB_TRANSPORT_AGAIN ? (ptrdiff_t)done : result;
            }
            at += n;
            done += n;
        }
    }
    if (pubsub__tls_drain(layer) == PUBSUB_TRANSPORT_FAILED) {
        *err = layer->below;
        return PUBSUB_TRANSPORT_FAILED;
    }
    return (ptrdiff_t)done;
}

static ptrdiff_t tls_flush(pubsub__stream *stream, pubsub_error *err)
{
    pubsub__tls_layer *layer = (pubsub__tls_layer *)stream;
    ptrdiff_t rc = pubsub__tls_drain(layer);
    if (rc == PUBSUB_TRANSPORT_FAILED) {
        *err = layer->below;
    }
    return rc;
}

static ptrdiff_t tls_finish(pubsub__stream *stream, pubsub_error *err)
{
    pubsub__tls_layer *layer = (pubsub__tls_layer *)stream;
    if (layer->greeted && (SSL_get_shutdown(layer->ssl) & SSL_SENT_SHUTDOWN) == 0) {
        ERR_clear_error();
        (void)SSL_shutdown(layer->ssl);
        ERR_clear_error();
    }
    ptrdiff_t rc = tls_flush(stream, err);
    return rc == 0 ? layer->lower->ops->finish(layer->lower, err) : rc;
}

static bool tls_pending(const pubsub__stream *stream)
{
    const pubsub__tls_layer *layer = (const pubsub__tls_layer *)stream;
    return layer->ended || layer->in_len > 0 || SSL_pending(layer->ssl) > 0 ||
           (layer->lower->ops->pending != NULL && layer->lower->ops->pending(layer->lower));
}

static void release(pubsub__tls_layer *layer)
{
    SSL_free(layer->ssl);
    pubsub__free(layer->name_copy);
    pubsub__free(layer->in);
    pubsub__free(layer->out);
    pubsub__free(layer);
}

static void tls_free(pubsub__stream *stream, bool abort)
{
    pubsub__tls_layer *layer = (pubsub__tls_layer *)stream;
    layer->lower->ops->free(layer->lower, abort);
    release(layer);
}

/* Whether `linger` is worth it is the lower layer's to know, hence two tables. */
#define TLS_OPS(linger_)                                                                           \
    {                                                                                              \
        .linger = (linger_), .greet = tls_greet, .read = tls_read, .write = tls_write,             \
        .flush = tls_flush, .finish = tls_finish, .pending = tls_pending, .free = tls_free         \
    }
static const pubsub__stream_ops g_tls_ops = TLS_OPS(false);
static const pubsub__stream_ops g_tls_linger_ops = TLS_OPS(true);

pubsub_err pubsub__tls_stream(pubsub__stream **out, pubsub__tls *tls, pubsub__stream *lower,
                              const char *name, const char *peer, pubsub_error *err)
{
    *out = NULL;
    pubsub__tls_layer *layer = pubsub__calloc(1, sizeof *layer);
    if (layer == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for TLS");
    }
    layer->stream.ops = lower->ops->linger ? &g_tls_linger_ops : &g_tls_ops;
    layer->stream.fd = lower->fd;
    layer->lower = lower;
    layer->peer = peer;
    layer->verify = tls->verify;
    layer->has_certificate = tls->has_certificate;
    layer->custom_ca = tls->ca.path != NULL;
    layer->in = pubsub__alloc(PUBSUB__TLS_IN);
    layer->out = pubsub__alloc(PUBSUB__TLS_OUT);
    ERR_clear_error();
    layer->ssl = SSL_new(tls->context);
    if (layer->in == NULL || layer->out == NULL || layer->ssl == NULL ||
        !pubsub__tls_attach(layer) || !expect_name(layer, name)) {
        ERR_clear_error();
        release(layer);
        return pubsub_error_set(err, PUBSUB_ENOMEM,
                                "cannot begin TLS with %s: no memory, or no "
                                "valid name to check",
                                peer);
    }
    SSL_set_app_data(layer->ssl, layer);
    SSL_set_connect_state(layer->ssl);
    *out = &layer->stream;
    return PUBSUB_OK;
}
