/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_PROXY_INTERNAL_H
#define PUBSUB_TESTS_PROXY_INTERNAL_H

/* proxy.c is the thread and what tests ask of it, proxy_link.c one connection. Everything here belongs
 * to the proxy's thread; where another thread looks, under the proxy's lock. */

#include "support/proxy.h"

#include <poll.h>

enum { PROXY_HELD_MAX = 256 * 1024, PROXY_READ_MAX = 16 * 1024 };

/* What a direction does to its bytes. */
typedef struct proxy_rules {
    uint64_t delay_ns;
    uint64_t bytes_per_second; /* 0 = no limit */
    bool stall;
    kit_filter filter; /* bytes NULL = none */
    uint64_t bytes;    /* counted */
} proxy_rules;

typedef struct proxy_chunk {
    struct proxy_chunk *next;
    uint64_t due_ns;
    size_t len;
    size_t done;
    uint8_t data[];
} proxy_chunk;

/* One direction of a connection: from fds[way] to fds[!way]. */
typedef struct proxy_stream {
    proxy_chunk *first;
    proxy_chunk *last;
    size_t held;
    uint64_t free_ns; /* bandwidth: when the next byte may leave */
    bool ended;       /* the sender closed its side */
    bool closed;      /* the receiver was told */
    bool lost;        /* half-closed by the test: what still comes is thrown away */
    kit_filter filter;
    void *state;
} proxy_stream;

typedef struct proxy_link {
    struct proxy_link *next;
    int fds[2]; /* client, broker; the broker's is -1 when mute */
    proxy_stream streams[2];
} proxy_link;

struct kit_out {
    proxy_stream *stream;
    uint64_t due_ns;
};

/* Take over an accepted connection and connect it to the target; NULL when that fails, then the client
 * got a reset. target 0 = mute. */
proxy_link *proxy_link_new(int client, uint16_t target, const proxy_rules rules[2]);
void proxy_link_free(proxy_link *link);
/* What to wait for; *due_ns is lowered to the time something can be written. Fills two entries. */
void proxy_link_prepare(proxy_link *link, const proxy_rules rules[2], uint64_t now,
                        struct pollfd polls[2], uint64_t *due_ns);
/* Move bytes. false = it is over, and the ends were told. */
bool proxy_link_serve(proxy_link *link, proxy_rules rules[2], uint64_t now,
                      const struct pollfd polls[2]);
/* Make the close that follows a reset. */
void proxy_link_reset(proxy_link *link);
void proxy_link_half_close(proxy_link *link, kit_way way);
void proxy_link_inject(proxy_link *link, kit_way way, const void *data, size_t len, uint64_t now);
void proxy_reset_socket(int fd);
bool proxy_prepare_socket(int fd);

#endif
