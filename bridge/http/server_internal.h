/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SERVER_INTERNAL_H
#define PUBSUB_BRIDGE_SERVER_INTERNAL_H

/* What the server's files share: listen.c opens addresses and accepts, conn.c reads what comes on one
 * connection, conn_write.c sends, conn_time.c ends what takes too long, request.c is what handlers call. */

#include "base/buf.h"
#include "http/head.h"
#include "http/link.h"
#include "http/server.h"

#include <netinet/in.h>
#include <time.h>

enum {
    SERVER_SOCKETS_MAX = 4, /* a name may have several addresses */
    SERVER_PEER_MAX = INET6_ADDRSTRLEN,
};

typedef struct server_listener server_listener;
typedef struct server_conn server_conn;

typedef struct server_socket {
    server_listener *listener;
    int fd;
    pubsub_host_watch *watch;
} server_socket;

struct server_listener {
    pubsub_host *host;
    bridge_links *links;
    bridge_port *port;
    char *host_name;
    char *cert_file; /* NULL = plain */
    char *key_file;
    unsigned port_number;
    bridge_server_limits limits;
    server_socket sockets[SERVER_SOCKETS_MAX];
    size_t socket_count;
    pubsub_host_timer *again; /* accepting goes on after descriptors ran out */
    bridge_mount *mounts;
    server_conn *conns; /* the newest first */
    size_t conn_count;
    bridge_request *pool; /* used up, for the next ones */
    size_t pooled;
    bool closing;
    time_t date_s; /* what `date` says */
    char date[48];
    pubsub_host_timer *end;
    void (*done)(void *ctx); /* of the last mount */
    void *done_ctx;
    server_listener *next;
};

struct bridge_mount {
    server_listener *listener;
    bridge_mount_options options; /* path is its own copy, the other texts are not kept */
    size_t open;
    bool ending;
    pubsub_host_timer *drain; /* only while ending */
    pubsub_duration_ms drain_ms;
    void (*done)(void *ctx);
    void *done_ctx;
    bridge_mount *next;
};

typedef enum conn_state {
    CONN_HEAD = 0, /* of a request, or nothing yet */
    CONN_BODY,
    CONN_ANSWER, /* the request is complete and not answered */
    CONN_LINGER, /* all is said; what still comes is thrown away so that the answer is not lost */
} conn_state;

struct server_conn {
    server_listener *listener;
    bridge_link *link;
    pubsub_host_timer *timer;
    uint64_t due_ns;   /* when its time is over, 0 = it has all the time */
    uint64_t armed_ns; /* when the timer comes to look, 0 = it is not set */
    bridge_request *request;
    server_conn *prev;
    server_conn *next;
    pubsub__buf in;
    pubsub__buf out;
    size_t out_sent;
    size_t head_seen;
    size_t lingered;
    conn_state state;
    bool running; /* inside conn_run */
    bool timing;  /* the head's time has begun */
    bool unsent;  /* the link still has bytes */
    bool closing; /* once everything is sent */
    bool broken;  /* to be freed by the timer */
    struct in6_addr address;
    char peer[SERVER_PEER_MAX];
};

struct bridge_request {
    server_conn *conn;
    bridge_mount *mount;
    void *data;
    bridge_request *next; /* in the listener's pool */
    size_t room;          /* for bytes of a head */
    bridge_chunks chunks;
    int64_t body; /* bytes so far */
    bool paused;
    bool complete; /* the body is */
    bool begun;    /* answered in pieces */
    bool chunked;  /* the answer */
    bridge_head head;
    char bytes[]; /* of the head */
};

/* listen.c */
server_listener *server_listener_get(pubsub_host *host, const bridge_mount_options *options,
                                     pubsub_error *err);
void server_listener_stop(server_listener *listener);   /* accepting */
void server_listener_forget(server_listener *listener); /* nobody joins it any more */
void server_listener_free(server_listener *listener);   /* everything of it is gone */

/* conn.c */
void server_conn_new(server_listener *listener, int fd, const struct in6_addr *address,
                     const char *peer);
void server_conn_free(server_conn *conn);
/* Go on with what has come. */
void server_conn_run(server_conn *conn);
/* Whoever handles the request, if there is one, is told that it is gone. */
void server_conn_request_gone(server_conn *conn);

/* conn_write.c */
static inline bool server_conn_has_unsent(const server_conn *conn)
{
    return conn->unsent || conn->out_sent < conn->out.len;
}
/* Something was put into `out`: it leaves when the loop comes to it. */
void server_conn_send(server_conn *conn);
/* The request, if there is one, is gone; say why and close. */
void server_conn_fail(server_conn *conn, int status, const char *text);
/* The request is answered completely: what is in `out` leaves now, as far as it can. */
void server_conn_answered(server_conn *conn);
void server_conn_on_writable(void *ctx);

/* conn_time.c */
void server_conn_time(server_conn *conn, pubsub_duration_ms ms); /* from now on */
void server_conn_no_time(server_conn *conn);                     /* all it wants */
void server_conn_on_timer(void *ctx);
/* It is freed in a turn of its own. */
void server_conn_broken(server_conn *conn);

/* request.c */
bool server_put_head(server_conn *conn, int status, const char *headers, int64_t length,
                     bool chunked, bool keep);
/* One with a copy of the head's bytes and nothing else in it. NULL when memory is short. */
bridge_request *server_request_new(server_conn *conn, const void *head, size_t len);
void server_request_free(bridge_request *request); /* its mount is told */
void server_request_drop(bridge_request *request); /* it never had one */
void server_pool_free(server_listener *listener);

/* server.c */
bridge_mount *server_mount_find(server_listener *listener, pubsub_bytes path);
void server_mount_released(bridge_mount *mount); /* one request less */
void server_conn_count_changed(server_listener *listener);

#endif
