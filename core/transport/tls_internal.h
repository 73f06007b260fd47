/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_TLS_INTERNAL_H
#define PUBSUB_TRANSPORT_TLS_INTERNAL_H

/* Shared by the files tls*.c. */

#include "transport/tls.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

/* What a file was when it was read. */
typedef struct pubsub__tls_file {
    char *path; /* NULL = option not set */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
} pubsub__tls_file;

struct pubsub__tls {
    SSL_CTX *context;
    bool verify;
    bool has_certificate;
    pubsub__tls_file ca, certificate, key;
};

typedef struct pubsub__tls_layer {
    pubsub__stream stream; /* first */
    pubsub__stream *lower;
    SSL *ssl;
    const char *peer;
    const char *name; /* in `ssl` or the configuration; for messages */
    char *name_copy;
    bool verify, has_certificate, custom_ca;
    bool greeted;
    bool ended; /* the peer's last byte was read */
    bool
        failed_below; /* reading failed; writing may fail earlier, while there is still an alert to read
                           that says why */
    pubsub_error below; /* why reading or writing failed */
    char refusal[256];  /* what is wrong with the peer's certificate, "" = nothing so far */
    int refusal_code;   /* X509_V_ERR_* */
    /* Ciphertext on its way up and down. */
    char *in;
    size_t in_head, in_len;
    char *out;
    size_t out_head, out_len;
} pubsub__tls_layer;

#define PUBSUB__TLS_IN (64u * 1024u)
/* A record, its header, padding and tag: RFC 8446 §5.2, RFC 5246 §6.2.3. */
#define PUBSUB__TLS_RECORD (16384u + 2048u + 5u)
#define PUBSUB__TLS_OUT (64u * 1024u + PUBSUB__TLS_RECORD)

/* tls_bio.c: hang the layer below under the layer's SSL. */
bool pubsub__tls_attach(pubsub__tls_layer *layer);
/* Send what is in `out`: 0, AGAIN or FAILED (then `below` is set). */
ptrdiff_t pubsub__tls_drain(pubsub__tls_layer *layer);

/* tls_explain.c */
/* SSL_CTX_set_verify's: notes in the layer what is wrong. */
int pubsub__tls_on_certificate(int ok, X509_STORE_CTX *store);
/* Why an operation of OpenSSL failed, from its error queue, which is emptied. */
pubsub_err pubsub__tls_explain(const pubsub__tls_layer *layer, int ssl_error, pubsub_error *err);
/* The text of the last thing in the error queue, which is emptied. */
void pubsub__tls_last_text(char *out, size_t size);

#endif
