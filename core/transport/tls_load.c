/* SPDX-License-Identifier: MIT */
#include "transport/tls_internal.h"

#include "base/alloc.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

/* ---- files, and whether they are still what was read ---- */

static bool same_file(const pubsub__tls_file *file, const char *path)
{
    struct stat now;
    if (file->path == NULL || path == NULL) {
        return file->path == NULL && path == NULL;
    }
    return strcmp(file->path, path) == 0 && stat(path, &now) == 0 && now.st_dev == file->device &&
           now.st_ino == file->inode && now.st_size == file->size &&
           now.st_mtim.tv_sec == file->changed.tv_sec &&
           now.st_mtim.tv_nsec == file->changed.tv_nsec;
}

static pubsub_err note_file(pubsub__tls_file *file, const char *option, const char *path,
                            pubsub_error *err)
{
    struct stat now;
    if (path == NULL) {
        return PUBSUB_OK;
    }
    if (stat(path, &now) != 0) {
        return pubsub_error_set_errno(err, PUBSUB_EOPTION, errno,
                                      "option '%s': cannot read '%.120s'", option, path);
    }
    file->path = pubsub__strdup(path);
    file->device = now.st_dev;
    file->inode = now.st_ino;
    file->size = now.st_size;
    file->changed = now.st_mtim;
    return file->path == NULL ? pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for TLS")
                              : PUBSUB_OK;
}

static pubsub_err bad_file(const char *option, const char *path, const char *hint,
                           pubsub_error *err)
{
    char why[100];
    pubsub__tls_last_text(why, sizeof why);
    return pubsub_error_set(err, PUBSUB_EOPTION, "option '%s': '%.100s' %s (%s)", option, path,
                            hint, why);
}

/* ---- loading ---- */

static pubsub_err load_ca(pubsub__tls *tls, pubsub_error *err)
{
    const char *path = tls->ca.path;
    if (path == NULL) {
        if (SSL_CTX_set_default_verify_paths(tls->context) != 1) {
            char why[100];
            pubsub__tls_last_text(why, sizeof why);
            return pubsub_error_set(err, PUBSUB_ESYSTEM,
                                    "cannot load the system's trusted certificates: %s", why);
        }
        return PUBSUB_OK;
    }
    struct stat now;
    bool directory = stat(path, &now) == 0 && S_ISDIR(now.st_mode);
    if (SSL_CTX_load_verify_locations(tls->context, directory ? NULL : path,
                                      directory ? path : NULL) != 1) {
        return bad_file("tls_ca", path, "has no certificates in PEM", err);
    }
    return PUBSUB_OK;
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *ctx)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

static pubsub_err load_own(pubsub__tls *tls, pubsub_error *err)
{
    const char *certificate = tls->certificate.path;
    const char *key = tls->key.path != NULL ? tls->key.path : certificate;
    if (certificate == NULL) {
        return tls->key.path == NULL
                   ? PUBSUB_OK
                   : pubsub_error_set(err, PUBSUB_EOPTION, "tls_key is given without tls_cert");
    }
    SSL_CTX_set_default_passwd_cb(tls->context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(tls->context, certificate) != 1) {
        return bad_file("tls_cert", certificate, "is no certificate in PEM", err);
    }
    if (SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1) {
        unsigned long code = ERR_peek_last_error();
        if (ERR_GET_LIB(code) == ERR_LIB_X509 &&
            ERR_GET_REASON(code) == X509_R_KEY_VALUES_MISMATCH) {
            return bad_file("tls_key", key, "does not belong to the certificate of tls_cert", err);
        }
        return bad_file("tls_key", key,
                        tls->key.path == NULL
                            ? "has no private key behind the certificate; set tls_key"
                            : "is no private key in PEM without a passphrase",
                        err);
    }
    tls->has_certificate = true;
    return PUBSUB_OK;
}

static pubsub_err make_context(pubsub__tls *tls, pubsub_error *err)
{
    tls->context = SSL_CTX_new(TLS_client_method());
    if (tls->context == NULL || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1) {
        char why[100];
        pubsub__tls_last_text(why, sizeof why);
        return pubsub_error_set(err, PUBSUB_ESYSTEM, "cannot start TLS: %s", why);
    }
    SSL_CTX_set_options(tls->context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(tls->context, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                       SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(tls->context, tls->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       tls->verify ? pubsub__tls_on_certificate : NULL);
    return PUBSUB_OK;
}

pubsub_err pubsub__tls_load(pubsub__tls **tls, const pubsub_options *options, pubsub_error *err)
{
    const char *ca = pubsub_options_get(options, "tls_ca");
    const char *certificate = pubsub_options_get(options, "tls_cert");
    const char *key = pubsub_options_get(options, "tls_key");
    if (*tls != NULL && same_file(&(*tls)->ca, ca) &&
        same_file(&(*tls)->certificate, certificate) && same_file(&(*tls)->key, key)) {
        return PUBSUB_OK;
    }
    pubsub__tls *fresh = pubsub__calloc(1, sizeof *fresh);
    if (fresh == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for TLS");
    }
    ERR_clear_error();
    fresh->verify = true;
    pubsub_options_bool(options, "tls_verify", &fresh->verify);
    pubsub_err rc = note_file(&fresh->ca, "tls_ca", ca, err);
    if (rc == PUBSUB_OK) {
        rc = note_file(&fresh->certificate, "tls_cert", certificate, err);
    }
    if (rc == PUBSUB_OK) {
        rc = note_file(&fresh->key, "tls_key", key, err);
    }
    if (rc == PUBSUB_OK) {
        rc = make_context(fresh, err);
    }
    if (rc == PUBSUB_OK && fresh->verify) {
        rc = load_ca(fresh, err);
    }
    if (rc == PUBSUB_OK) {
        rc = load_own(fresh, err);
    }
    if (rc != PUBSUB_OK) {
        pubsub__tls_free(fresh);
        return rc;
    }
    pubsub__tls_free(*tls);
    *tls = fresh;
    return PUBSUB_OK;
}

void pubsub__tls_free(pubsub__tls *tls)
{
    if (tls != NULL) {
        SSL_CTX_free(tls->context); /* streams that still use it count for themselves */
        pubsub__free(tls->ca.path);
        pubsub__free(tls->certificate.path);
        pubsub__free(tls->key.path);
        pubsub__free(tls);
    }
}
