/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_LINK_H
#define PUBSUB_BRIDGE_LINK_H

/* Accepted connections as streams of bytes, plain or TLS. All that the server knows of libwebsockets;
 * another library takes its place by another file with these functions. */

#include <pubsub/connector.h>

typedef struct bridge_links bridge_links; /* one per host */
typedef struct bridge_port bridge_port;   /* how connections of one address speak */
typedef struct bridge_link bridge_link;   /* one connection */

#define BRIDGE_LINK_PIECE ((size_t)16 * 1024)

/* The host's, made at the first call and kept until the host is freed. NULL with *err when libwebsockets
 * cannot run on the host's loop. */
bridge_links *bridge_links_of(pubsub_host *host, pubsub_error *err);

/* cert_file NULL = plain. */
bridge_port *bridge_port_new(bridge_links *links, const char *cert_file, const char *key_file,
                             pubsub_error *err);
/* Read the files again; connections that stand keep what they have. On failure nothing has changed. */
pubsub_err bridge_port_reload(bridge_port *port, const char *cert_file, const char *key_file,
                              pubsub_error *err);
/* Every link of it has been closed. */
void bridge_port_free(bridge_port *port);

typedef struct bridge_link_events {
    void (*on_bytes)(void *ctx, const void *data, size_t len);
    void (*on_writable)(void *ctx); /* was asked for, and nothing is unsent */
    void (*on_closed)(void *ctx);   /* by the other side; the link is gone */
} bridge_link_events;

/* Take over an accepted descriptor, also when this fails (NULL). */
bridge_link *bridge_link_new(bridge_port *port, int fd, const bridge_link_events *events,
                             void *ctx);
void bridge_link_read(bridge_link *link, bool on);
void bridge_link_want_write(bridge_link *link);
/* At most BRIDGE_LINK_PIECE bytes, while none of an earlier call are unsent. 1 = sent; 0 = taken, on_writable comes
 * when it is sent; -1 = the connection is dead and should be closed. */
int bridge_link_write(bridge_link *link, const void *data, size_t len);
/* Nothing more will be written: the other side sees the end. */
void bridge_link_end(bridge_link *link);
/* No event comes any more. */
void bridge_link_close(bridge_link *link);

#endif
