/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SERVER_H
#define PUBSUB_BRIDGE_SERVER_H

/* An HTTP/1.1 server on a host's loop. Whoever wants requests mounts a path on an address; several may
 * mount on the same address, which is listened on once. Everything is bounded: heads, bodies,
 * connections, the time for each. Names and values of headers are what the wire brought. */

#include <pubsub/connector.h>

typedef struct bridge_mount bridge_mount;
typedef struct bridge_request bridge_request;

/* What one address allows; 0 = what it has by now, at first the default. Of several who mount on an address
 * and say something, the latest decides. */
typedef struct bridge_server_limits {
    size_t head_bytes;          /* request line and headers, 16 KiB */
    size_t connections;         /* at a time, 2,000 */
    size_t connections_address; /* at a time from one address, 500 */
    pubsub_duration_ms head;    /* from the first byte of a head to its end, 10 s */
    pubsub_duration_ms body;    /* from the head's end to the body's, 30 s */
    pubsub_duration_ms idle;    /* between requests, and for the reader of an answer, 60 s */
} bridge_server_limits;

typedef struct bridge_mount_options {
    const char *listen;    /* "host:port", "[::1]:port", ":port" and "port" (both loopback);
                              "*:port" = every address; port 0 = any free one */
    const char *cert_file; /* PEM, both or none */
    const char *key_file;
    const char *path; /* "/hooks": that path and all below it; the longest that fits gets it */
    size_t max_body;  /* bytes; more is answered 413 */
    bridge_server_limits limits;

    /* All but on_end may be NULL. A head has come. May answer already. */
    void (*on_head)(void *ctx, bridge_request *request);
    /* A piece of the body; not called once the request is answered. */
    void (*on_body)(void *ctx, bridge_request *request, pubsub_bytes piece);
    /* The body is complete, also when there is none; answer now or later. */
    void (*on_end)(void *ctx, bridge_request *request);
    /* The client is gone, was too slow or sent nonsense: there is nobody to answer. The request ends
     * with this call. Not called for a request that was answered in one piece. */
    void (*on_gone)(void *ctx, bridge_request *request);
    void *ctx;
} bridge_mount_options;

/* Listen, or join who does. PUBSUB_EINVAL (address, files, a path that is taken), PUBSUB_EBUSY (the
 * port is), PUBSUB_ETLS, PUBSUB_ENOMEM, PUBSUB_ESYSTEM; *err says what. */
pubsub_err bridge_mount_new(bridge_mount **out, pubsub_host *host,
                            const bridge_mount_options *options, pubsub_error *err);

/* Read the certificates of all addresses again, and log what comes of it. One that cannot be used changes
 * nothing. */
void bridge_server_reload(pubsub_host *host);

/* Whether an address names this machine only. Looks nothing up. */
bool bridge_listen_is_loopback(const char *listen);

/* Whether both name one address as they are written: mounts on it share what listens. */
bool bridge_listen_is_same(const char *a, const char *b);

/* The port that is listened on. */
unsigned bridge_mount_port(const bridge_mount *mount);
/* Requests that have not been answered yet. */
size_t bridge_mount_open(const bridge_mount *mount);

/* Take no more requests; those that are open may be answered for up to `drain` milliseconds, then they
 * are gone. `done` is called later, once nothing of the mount is left. */
void bridge_mount_free(bridge_mount *mount, pubsub_duration_ms drain, void (*done)(void *ctx),
                       void *ctx);

/* ---- a request, from on_head until it is answered or gone --------------------------------- */

pubsub_bytes bridge_request_method(const bridge_request *request);
pubsub_bytes bridge_request_path(const bridge_request *request);  /* escapes as they came */
pubsub_bytes bridge_request_query(const bridge_request *request); /* behind '?', or empty */
/* The value of a header, {NULL,0} when it is not there. The first of equal names counts, in *count
 * (may be NULL) is how many there are. */
pubsub_bytes bridge_request_header(const bridge_request *request, const char *name, size_t *count);
const char *bridge_request_peer(const bridge_request *request); /* "192.0.2.1", "::1" */
/* -1 = not known before the body's end. */
int64_t bridge_request_length(const bridge_request *request);

void bridge_request_set(bridge_request *request, void *data);
void *bridge_request_get(const bridge_request *request);

/* Stop or go on reading the body. */
void bridge_request_pause(bridge_request *request, bool pause);

/* Answer in one piece. `headers` are lines "Name: value\r\n", NULL = none; Content-Length, Date and
 * Connection are added. Ends the request. */
void bridge_request_answer(bridge_request *request, int status, const char *headers,
                           pubsub_bytes body);
/* The same with a text/plain line. */
void bridge_request_answer_text(bridge_request *request, int status, const char *headers,
                                const char *text);

/* Answer in pieces: head, pieces, end. on_gone is called when the client leaves in between. */
void bridge_request_begin(bridge_request *request, int status, const char *headers);
/* False: not taken, too much is unsent (`bridge_request_unsent`); try again later. */
bool bridge_request_send(bridge_request *request, pubsub_bytes piece);
size_t bridge_request_unsent(const bridge_request *request);
void bridge_request_finish(bridge_request *request); /* ends the request */

#endif
