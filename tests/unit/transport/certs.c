/* SPDX-License-Identifier: MIT */
#include "certs.h"

#include "support/cmocka.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUIRE(cond)                                                                              \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fail_msg("%s: %s", #cond, ERR_error_string(ERR_peek_last_error(), NULL));              \
        }                                                                                          \
    } while (0)

static EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    REQUIRE(ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1 &&
            EVP_PKEY_CTX_set_ec_paramgen_curve_nid(ctx, NID_X9_62_prime256v1) == 1 &&
            EVP_PKEY_keygen(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void extend(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    REQUIRE(extension != NULL && X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

static void save(cert *c, const char *dir, const char *name)
{
    (void)snprintf(c->file, sizeof(c->file), "%s/%s.pem", dir, name);
    (void)snprintf(c->key_file, sizeof(c->key_file), "%s/%s.key", dir, name);
    FILE *out = fopen(c->file, "w");
    REQUIRE(out != NULL && PEM_write_X509(out, c->x509) == 1);
    (void)fclose(out);
    out = fopen(c->key_file, "w");
    REQUIRE(out != NULL && PEM_write_PrivateKey(out, c->key, NULL, NULL, 0, NULL, NULL) == 1);
    (void)fclose(out);
}

void cert_make(cert *c, const char *dir, const char *common_name, const char *names,
               const cert *signer, long from_s, long to_s)
{
    static long serial = 1;
    c->key = new_key();
    c->x509 = X509_new();
    REQUIRE(c->x509 != NULL && X509_set_version(c->x509, 2) == 1);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(c->x509), serial++);
    (void)X509_gmtime_adj(X509_getm_notBefore(c->x509), from_s);
    (void)X509_gmtime_adj(X509_getm_notAfter(c->x509), to_s);
    X509_NAME *name = X509_get_subject_name(c->x509);
    REQUIRE(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                       (const unsigned char *)common_name, -1, -1, 0) == 1);
    X509 *issuer = signer == NULL ? c->x509 : signer->x509;
    REQUIRE(X509_set_issuer_name(c->x509, X509_get_subject_name(issuer)) == 1);
    REQUIRE(X509_set_pubkey(c->x509, c->key) == 1);
    extend(c->x509, issuer, NID_basic_constraints,
           signer == NULL ? "critical,CA:TRUE" : "CA:FALSE");
    if (names != NULL) {
        extend(c->x509, issuer, NID_subject_alt_name, names);
    }
    REQUIRE(X509_sign(c->x509, signer == NULL ? c->key : signer->key, EVP_sha256()) > 0);
    save(c, dir, common_name);
}

void cert_free(cert *c)
{
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
}

SSL_CTX *cert_server(const cert *own, const cert *client_ca)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    REQUIRE(ctx != NULL && SSL_CTX_use_certificate(ctx, own->x509) == 1 &&
            SSL_CTX_use_PrivateKey(ctx, own->key) == 1);
    if (client_ca != NULL) {
        REQUIRE(SSL_CTX_load_verify_locations(ctx, client_ca->file, NULL) == 1);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    return ctx;
}

/* ---- serving; on the server's thread, where nothing may be asserted ---- */

static SSL *greet(server *s, int fd)
{
    SSL *ssl = SSL_new(s->tls);
    if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1) {
        return ssl;
    }
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

static void count(server *s, const unsigned char *bytes, size_t len)
{
    unsigned sum = 0;
    for (size_t i = 0; i < len; i++) {
        sum += bytes[i];
    }
    atomic_fetch_add(&s->sum, sum);
    atomic_fetch_add(&s->received, len);
}

static void read_on(server *s, SSL *ssl, bool echo)
{
    unsigned char bytes[16384];
    int n = 0;
    while ((n = SSL_read(ssl, bytes, sizeof(bytes))) > 0) {
        count(s, bytes, (size_t)n);
        if (echo && SSL_write(ssl, bytes, n) != n) {
            break;
        }
    }
    atomic_store(&s->ended, SSL_get_error(ssl, n) == SSL_ERROR_ZERO_RETURN);
}

static void leave(SSL *ssl)
{
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    ERR_clear_error();
}

void serve_tls_echo(server *s, int fd)
{
    SSL *ssl = greet(s, fd);
    if (ssl != NULL) {
        read_on(s, ssl, true);
        leave(ssl);
    }
}

void serve_tls_sink(server *s, int fd)
{
    SSL *ssl = greet(s, fd);
    if (ssl != NULL) {
        if (server_wait_go(s)) {
            read_on(s, ssl, false);
        }
        leave(ssl);
    }
}

void serve_tls_source(server *s, int fd)
{
    unsigned char bytes[10000];
    memset(bytes, 'x', sizeof(bytes));
    SSL *ssl = greet(s, fd);
    if (ssl == NULL) {
        return;
    }
    for (size_t left = s->size; left > 0;) {
        size_t n = left < sizeof(bytes) ? left : sizeof(bytes);
        if (SSL_write(ssl, bytes, (int)n) <= 0) {
            break;
        }
        left -= n;
    }
    (void)SSL_shutdown(ssl);
    read_on(s, ssl, false);
    SSL_free(ssl);
    ERR_clear_error();
}
