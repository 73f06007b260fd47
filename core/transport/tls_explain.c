/* SPDX-License-Identifier: MIT */
#include "transport/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* What went wrong with TLS, in words that say what to do. */

void pubsub__tls_last_text(char *out, size_t size)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    if (reason != NULL) {
        snprintf(out, size, "%s", reason);
    } else if (ERR_GET_LIB(code) == ERR_LIB_SYS) {
        snprintf(out, size, "system error %d", ERR_GET_REASON(code));
    } else {
        snprintf(out, size, "OpenSSL error %lx", code);
    }
    ERR_clear_error();
}

/* ---- the peer's certificate ---- */

static void write_date(const ASN1_TIME *time, char *out, size_t size)
{
    struct tm tm;
    if (time == NULL || ASN1_TIME_to_tm(time, &tm) != 1 ||
        strftime(out, size, "%Y-%m-%d %H:%M UTC", &tm) == 0) {
        snprintf(out, size, "?");
    }
}

/* Up to three of the names it is for. */
static void write_names(const X509 *certificate, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    int listed = 0;
    out[0] = '\0';
    for (int i = 0; names != NULL && listed < 3 && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS) {
            continue;
        }
        int n = snprintf(out + used, size - used, "%s%.*s", listed > 0 ? ", " : "",
                         ASN1_STRING_length(name->d.dNSName),
                         (const char *)ASN1_STRING_get0_data(name->d.dNSName));
        if (n < 0 || (size_t)n >= size - used) {
            break;
        }
        used += (size_t)n;
        listed++;
    }
    GENERAL_NAMES_free(names);
    if (listed == 0) {
        snprintf(out, size, "no name");
    }
}

static void explain_trust(pubsub__tls_layer *layer, bool self_signed)
{
    snprintf(layer->refusal, sizeof layer->refusal, "%s%s",
             self_signed ? "it is self-signed" : "nobody trusted has signed it",
             layer->custom_ca ? ", and the file or directory of tls_ca does not have its CA"
                              : "; give its CA with tls_ca");
}

static void explain_certificate(pubsub__tls_layer *layer, int code, const X509 *certificate)
{
    char text[80];
    size_t size = sizeof layer->refusal;
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        write_date(certificate == NULL ? NULL : X509_get0_notAfter(certificate), text, sizeof text);
        snprintf(layer->refusal, size, "it expired on %s; renew it at the broker", text);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        write_date(certificate == NULL ? NULL : X509_get0_notBefore(certificate), text,
                   sizeof text);
        snprintf(layer->refusal, size, "it is not valid before %s; is the clock here right?", text);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        text[0] = '\0';
        if (certificate != NULL) {
            write_names(certificate, text, sizeof text);
        }
        snprintf(layer->refusal, size,
                 "it is for %s, not for %.60s; connect by that name or set tls_server_name", text,
                 layer->name == NULL ? "?" : layer->name);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        explain_trust(layer, true);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_UNTRUSTED:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE: /* another CA of the same name */
        explain_trust(layer, false);
        break;
    default:
        snprintf(layer->refusal, size, "%s", X509_verify_cert_error_string(code));
        break;
    }
}

int pubsub__tls_on_certificate(int ok, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    pubsub__tls_layer *layer = ssl == NULL ? NULL : SSL_get_app_data(ssl);
    if (!ok && layer != NULL && layer->refusal[0] == '\0') {
        layer->refusal_code = X509_STORE_CTX_get_error(store);
        explain_certificate(layer, layer->refusal_code, X509_STORE_CTX_get_current_cert(store));
    }
    return ok;
}

/* ---- alerts and the rest ---- */

/* What the peer said about our certificate, or its absence; NULL when it was something else. */
static const char *about_ours(const pubsub__tls_layer *layer, int reason)
{
    switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
        return "wants a client certificate; set tls_cert and tls_key";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
        return layer->has_certificate
                   ? "found no common ground in the handshake; it may refuse the certificate of "
                     "tls_cert"
                   : "refused the handshake; it may want a client certificate (tls_cert and "
                     "tls_key)";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
        return "does not trust the CA of the certificate of tls_cert";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
        return "says the certificate of tls_cert has expired";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
        return "says the certificate of tls_cert was revoked";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        return layer->has_certificate ? "refuses the certificate of tls_cert"
                                      : "wants a client certificate; set tls_cert and tls_key";
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
        return "denies access";
    case SSL_R_TLSV1_UNRECOGNIZED_NAME:
        return "does not know the name asked for; see tls_server_name";
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_UNSUPPORTED_PROTOCOL:
        return "offers no version of TLS from 1.2 on";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
        return "does not speak TLS; is it the port of the plain protocol?";
    default:
        return NULL;
    }
}

/* The end of the connection without a goodbye. Brokers that are killed do that; it is no attack on a
 * protocol whose frames have lengths. */
static bool is_bare_end(int ssl_error, unsigned long code)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
    if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
        ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        return true;
    }
#endif
    return ssl_error == SSL_ERROR_SYSCALL && code == 0;
}

pubsub_err pubsub__tls_explain(const pubsub__tls_layer *layer, int ssl_error, pubsub_error *err)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
    if (is_bare_end(ssl_error, code)) {
        ERR_clear_error();
        return PUBSUB_OK;
    }
    const char *ours = about_ours(layer, reason);
    char why[100];
    pubsub__tls_last_text(why, sizeof why);
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && layer->refusal[0] != '\0') {
        pubsub_error_set(err, PUBSUB_ETLS, "the certificate of %.80s is refused: %s", layer->peer,
                         layer->refusal);
        err->native_code = layer->refusal_code;
        return PUBSUB_ETLS;
    }
    if (ours != NULL) {
        pubsub_error_set(err, PUBSUB_ETLS, "%.80s %s", layer->peer, ours);
    } else {
        pubsub_error_set(err, PUBSUB_ETLS, "TLS with %.80s failed: %s", layer->peer, why);
    }
    err->native_code = reason;
    return PUBSUB_ETLS;
}
