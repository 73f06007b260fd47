/* SPDX-License-Identifier: MIT */
#include "http/client_internal.h"

static const struct mapped {
    CURLcode from;
    pubsub_err to;
    const char *text;
} table[] = {
    {CURLE_COULDNT_RESOLVE_PROXY, PUBSUB_ECONNECT, "cannot find the proxy's address"},
    {CURLE_COULDNT_RESOLVE_HOST, PUBSUB_ECONNECT, "cannot find the server's address"},
    {CURLE_COULDNT_CONNECT, PUBSUB_ECONNECT, "cannot connect"},
    {CURLE_OPERATION_TIMEDOUT, PUBSUB_ETIMEDOUT, "no answer in time"},
    {CURLE_GOT_NOTHING, PUBSUB_ELOST, "the server closed the connection without an answer"},
    {CURLE_PARTIAL_FILE, PUBSUB_ELOST, "the answer was cut off"},
    {CURLE_RECV_ERROR, PUBSUB_ELOST, "the connection broke while reading"},
    {CURLE_SEND_ERROR, PUBSUB_ELOST, "the connection broke while writing"},
    {CURLE_READ_ERROR, PUBSUB_ELOST, "the connection broke"},
    {CURLE_SSL_CONNECT_ERROR, PUBSUB_ETLS, "the TLS handshake failed"},
    {CURLE_PEER_FAILED_VERIFICATION, PUBSUB_ETLS, "the server's certificate is not trusted"},
    {CURLE_SSL_CACERT_BADFILE, PUBSUB_ETLS, "cannot use the file of the authority"},
    {CURLE_SSL_CERTPROBLEM, PUBSUB_ETLS,
     "cannot use the own certificate or key (tls_cert, tls_key)"},
    {CURLE_SSL_CIPHER, PUBSUB_ETLS, "no TLS cipher in common"},
    {CURLE_SSL_ISSUER_ERROR, PUBSUB_ETLS, "the server's certificate has the wrong issuer"},
    {CURLE_USE_SSL_FAILED, PUBSUB_ETLS, "the server has no TLS"},
    {CURLE_OUT_OF_MEMORY, PUBSUB_ENOMEM, "out of memory"},
    {CURLE_URL_MALFORMAT, PUBSUB_EINVAL, "the URL cannot be used"},
    {CURLE_UNSUPPORTED_PROTOCOL, PUBSUB_EINVAL, "only http and https URLs can be used"},
    {CURLE_TOO_MANY_REDIRECTS, PUBSUB_EPROTO, "too many redirects"},
};

void http_map_error(const bridge_http_call *call, CURLcode code, pubsub_error *err)
{
    pubsub_err to = PUBSUB_EPROTO; /* all others: the server speaks no HTTP we understand */
    const char *text = "the answer is no valid HTTP";
    const char *detail = call->detail[0] != '\0' ? call->detail : curl_easy_strerror(code);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].from == code) {
            to = table[i].to;
            text = table[i].text;
        }
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION) {
        (void)pubsub_error_set(
            err, to, "%s (%s); %s is %s", text, detail, call->ca_name,
            call->ca_file != NULL ? call->ca_file : "not set, so the system's authorities count");
    } else if (code == CURLE_SSL_CACERT_BADFILE) {
        (void)pubsub_error_set(err, to, "%s (%s) %s: %s", text, call->ca_name,
                               call->ca_file != NULL ? call->ca_file : "of the system", detail);
    } else if (code == CURLE_SSL_CERTPROBLEM) {
        (void)pubsub_error_set(err, to, "%s %s: %s", text,
                               call->cert_file != NULL ? call->cert_file : "", detail);
    } else {
        (void)pubsub_error_set(err, to, "%s: %s", text, detail);
    }
    if (err != NULL) {
        err->native_code = (int)code;
    }
}
