/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CERTS_H
#define PUBSUB_TESTS_CERTS_H

/* Certificates made on the spot, and a TLS server that uses them. */

#include "server.h"

#include "support/tempdir.h"

#include <openssl/ssl.h>

typedef struct cert {
    X509 *x509;
    EVP_PKEY *key;
    char file[KIT_PATH_MAX];     /* certificate in PEM */
    char key_file[KIT_PATH_MAX]; /* its key in PEM */
} cert;

/* @param signer  NULL = signs itself, and is a CA.
 * @param names   subject alternative names in OpenSSL's form: "DNS:localhost,IP:127.0.0.1"; NULL = none
 * @param from_s, to_s  validity in seconds from now. */
void cert_make(cert *c, const char *dir, const char *common_name, const char *names,
               const cert *signer, long from_s, long to_s);
void cert_free(cert *c);

/* A server context; client_ca: demand a certificate signed by it, NULL = none. */
SSL_CTX *cert_server(const cert *own, const cert *client_ca);

/* Server functions for s->tls. */
void serve_tls_echo(server *s, int fd);
/* Send s->size bytes, then close_notify. */
void serve_tls_source(server *s, int fd);
/* Read all, once `go` is set. */
void serve_tls_sink(server *s, int fd);

#endif
