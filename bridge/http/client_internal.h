/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_CLIENT_INTERNAL_H
#define PUBSUB_BRIDGE_CLIENT_INTERNAL_H

/* What the files of the HTTP client share. libcurl must not be called back into from its own
 * callbacks, and whoever uses this client may start, resume and cancel calls from anywhere. So those
 * only mark a call, and the marks are dealt with in the next turn of the loop. */

#include "http/client.h"

#include <curl/curl.h>

typedef struct http_socket http_socket;

/* Redirects to the same origin that are followed before it counts as a failure. */
#define HTTP_REDIRECTS_MAX 5

struct bridge_http {
    pubsub_host *host;
    CURLM *multi;
    pubsub_host_timer *timeout; /* libcurl's */
    pubsub_host_timer *marks;   /* set to 0 when a call is marked */
    bridge_http_call *calls;
    http_socket *sockets;
    unsigned inside; /* functions of ours on the stack that walk the calls */
};

struct bridge_http_call {
    bridge_http *http;
    bridge_http_call *next;
    bridge_http_call *previous;
    CURL *easy;
    struct curl_slist *headers;
    bridge_http_request request; /* the functions, limits and the body; no strings */
    pubsub_host_timer *timer;
    char *url;
    char *ca_file; /* for texts; NULL = not given */
    const char *ca_name;
    char *cert_file;
    uint64_t heard_ns; /* when the last byte came, or the call began */
    int64_t retry_after_ms;
    size_t skip; /* bytes of what libcurl brings next that were taken before */
    int status;
    unsigned redirects;
    bool follow; /* the answer is a redirect that may be followed */
    bool added;
    bool head_done; /* the empty line behind the headers came */
    bool head_told;
    bool paused;
    bool resume;   /* marked */
    bool canceled; /* marked */
    char detail[CURL_ERROR_SIZE];
};

/* client.c: something happened at a descriptor, or libcurl's time is up. */
void http_act(bridge_http *http, curl_socket_t fd, int bits);

/* sockets.c: what libcurl calls to have descriptors watched. */
int http_on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned);
void http_sockets_free(bridge_http *http);

/* easy.c: the handle of a call. False when memory is short. */
bool http_easy_prepare(bridge_http_call *call, const bridge_http_request *request);
/* Whether the URL can be used; *err says why not. */
bool http_url_check(const char *url, pubsub_error *err);
/* Whether two URLs have the same scheme, host and port. */
bool http_url_same_origin(const char *a, const char *b);

/* answer.c: what libcurl calls. */
size_t http_on_header(char *line, size_t size, size_t count, void *ctx);
size_t http_on_body(char *bytes, size_t size, size_t count, void *ctx);
/* Milliseconds a Retry-After header asks for; -1 when it says nothing that makes sense. */
int64_t http_retry_after(const char *value);

/* map_error.c: libcurl's code as ours, with a text that says what to look at. */
void http_map_error(const bridge_http_call *call, CURLcode code, pubsub_error *err);

#endif
