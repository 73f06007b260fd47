/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_HTTP_CLIENT_H
#define PUBSUB_BRIDGE_HTTP_CLIENT_H

/* HTTP(S) requests on a host's loop. The one place that knows libcurl. */

#include <pubsub/connector.h>

typedef struct bridge_http bridge_http;
typedef struct bridge_http_call bridge_http_call;

/* One pool of connections. NULL when memory is short. */
bridge_http *bridge_http_new(pubsub_host *host);
/* Every call has ended or been canceled before. */
void bridge_http_free(bridge_http *http);

/* How a call ended. */
typedef struct bridge_http_end {
    int status; /* 0 = there was no answer */
    const pubsub_error
        *error;             /* transport failure, also in the middle of a body; NULL = complete */
    int64_t retry_after_ms; /* -1 = the server said nothing */
} bridge_http_end;

typedef struct bridge_http_request {
    const char *method;         /* NULL = GET, or POST with a body */
    const char *url;            /* without user and password */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    pubsub_bytes body;          /* borrowed until the end; empty = none */
    const char *user;           /* basic authentication; NULL = none */
    const char *password;
    const char *bearer;  /* token; NULL = none */
    const char *ca_file; /* NULL = the system's */
    const char *ca_name; /* of the setting it comes from, a constant; NULL = tls_ca */
    const char *cert_file;
    const char *key_file;
    bool insecure;                 /* no verification of the certificate */
    pubsub_duration_ms connect_ms; /* 0 = 10 s */
    pubsub_duration_ms head_ms;    /* until the answer begins, 0 = no limit */
    pubsub_duration_ms silence_ms; /* no byte for so long is a failure, 0 = no limit */
    pubsub_duration_ms total_ms;   /* 0 = no limit */

    /* Called with the status line known and before the first byte; may be NULL. */
    void (*on_head)(void *ctx, int status);
    /* One header of the answer; may be NULL. */
    void (*on_header)(void *ctx, pubsub_bytes name, pubsub_bytes value);
    /* Bytes of the body. Returns how many were taken: fewer pauses the call until
     * bridge_http_resume(), and the rest comes again. */
    size_t (*on_body)(void *ctx, pubsub_bytes bytes);
    /* The end, exactly once; the call is gone when it returns. Not called after cancel. */
    void (*on_end)(void *ctx, const bridge_http_end *end);
    void *ctx;
} bridge_http_request;

/* Start a call; strings are copied, the body is borrowed. NULL when memory is short or the URL cannot
 * be used (*err says). */
bridge_http_call *bridge_http_start(bridge_http *http, const bridge_http_request *request,
                                    pubsub_error *err);
void bridge_http_resume(bridge_http_call *call);
void bridge_http_cancel(bridge_http_call *call);

#endif
