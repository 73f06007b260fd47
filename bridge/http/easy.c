/* SPDX-License-Identifier: MIT */
#include "http/client_internal.h"

#include "base/alloc.h"

#include <string.h>
#include <strings.h>

/* Large enough that a busy feed costs few system calls, small enough for many feeds. */
#define RECEIVE_BYTES 65536L

#define SET(option, value) (good = good && curl_easy_setopt(easy, option, value) == CURLE_OK)

static bool url_part(CURLU *url, CURLUPart part, char **out)
{
    return curl_url_get(url, part, out, CURLU_DEFAULT_PORT) == CURLUE_OK;
}

bool http_url_check(const char *url, pubsub_error *err)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL;
    char *user = NULL;
    const char *wrong = NULL;
    if (parsed == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return false;
    }
    if (curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        !url_part(parsed, CURLUPART_SCHEME, &scheme)) {
        wrong = "the URL cannot be used: it should look like https://host:port/";
    } else if (strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0) {
        wrong = "only http and https URLs can be used";
    } else if (url_part(parsed, CURLUPART_USER, &user)) {
        wrong = "user and password do not belong into the URL";
    }
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(parsed);
    if (wrong != NULL) {
        (void)pubsub_error_set(err, PUBSUB_EINVAL, "%s", wrong);
    }
    return wrong == NULL;
}

bool http_url_same_origin(const char *a, const char *b)
{
    static const CURLUPart parts[] = {CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT};
    CURLU *left = curl_url();
    CURLU *right = curl_url();
    bool same = left != NULL && right != NULL &&
                curl_url_set(left, CURLUPART_URL, a, 0) == CURLUE_OK &&
                curl_url_set(right, CURLUPART_URL, b, 0) == CURLUE_OK;
    for (size_t i = 0; same && i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *x = NULL;
        char *y = NULL;
        same =
            url_part(left, parts[i], &x) && url_part(right, parts[i], &y) && strcasecmp(x, y) == 0;
        curl_free(x);
        curl_free(y);
    }
    curl_url_cleanup(left);
    curl_url_cleanup(right);
    return same;
}

static bool add_header(bridge_http_call *call, const char *text)
{
    struct curl_slist *more = curl_slist_append(call->headers, text);
    if (more == NULL) {
        return false;
    }
    call->headers = more;
    return true;
}

static bool set_method(bridge_http_call *call, const bridge_http_request *request)
{
    CURL *easy = call->easy;
    bool good = true;
    if (request->body.len > 0 ||
        (request->method != NULL && strcmp(request->method, "POST") == 0)) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        SET(CURLOPT_POSTFIELDS, request->body.len > 0 ? (const char *)request->body.data : "");
    }
    if (request->method != NULL) {
        SET(CURLOPT_CUSTOMREQUEST, request->method);
        if (strcmp(request->method, "HEAD") == 0) {
            SET(CURLOPT_NOBODY, 1L);
        }
    }
    return good;
}

static bool set_access(bridge_http_call *call, const bridge_http_request *request)
{
    CURL *easy = call->easy;
    bool good = true;
    if (request->bearer != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        SET(CURLOPT_XOAUTH2_BEARER, request->bearer);
    } else if (request->user != NULL) {
        SET(CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        SET(CURLOPT_USERNAME, request->user);
        SET(CURLOPT_PASSWORD, request->password != NULL ? request->password : "");
    }
    if (request->ca_file != NULL) {
        SET(CURLOPT_CAINFO, request->ca_file);
        SET(CURLOPT_CAPATH, NULL); /* this authority and no other */
    }
    if (request->cert_file != NULL) {
        SET(CURLOPT_SSLCERT, request->cert_file);
    }
    if (request->key_file != NULL) {
        SET(CURLOPT_SSLKEY, request->key_file);
    }
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_SSL_VERIFYPEER, request->insecure ? 0L : 1L);
    SET(CURLOPT_SSL_VERIFYHOST, request->insecure ? 0L : 2L);
    return good;
}

static bool set_limits(bridge_http_call *call, const bridge_http_request *request)
{
    CURL *easy = call->easy;
    bool good = true;
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(request->connect_ms > 0 ? request->connect_ms : 10000));
    SET(CURLOPT_TIMEOUT_MS, (long)(request->total_ms > 0 ? request->total_ms : 0));
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
    /* A call that is canceled while a name is being looked up does not wait for the look-up. */
    SET(CURLOPT_QUICK_EXIT, 1L);
#endif
    return good;
}

bool http_easy_prepare(bridge_http_call *call, const bridge_http_request *request)
{
    CURL *easy = curl_easy_init();
    bool good = easy != NULL;
    call->easy = easy;
    if (!good) {
        return false;
    }
    SET(CURLOPT_URL, call->url);
    SET(CURLOPT_PRIVATE, (void *)call);
    SET(CURLOPT_ERRORBUFFER, call->detail);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_USERAGENT, "libpubsub");
    /* A paused stream among others on one connection would hold them up, so no HTTP/2. */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_ACCEPT_ENCODING, "");
    SET(CURLOPT_HEADERFUNCTION, http_on_header);
    SET(CURLOPT_HEADERDATA, (void *)call);
    SET(CURLOPT_WRITEFUNCTION, http_on_body);
    SET(CURLOPT_WRITEDATA, (void *)call);
    good = good && set_method(call, request) && set_access(call, request) &&
           set_limits(call, request) && add_header(call, "Expect:");
    for (size_t i = 0; good && request->headers != NULL && request->headers[i] != NULL; i++) {
        good = add_header(call, request->headers[i]);
    }
    SET(CURLOPT_HTTPHEADER, call->headers);
    return good;
}
