/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TRANSPORT_LOOKUP_H
#define PUBSUB_TRANSPORT_LOOKUP_H

/* Names to addresses on helper threads of this process, never on the thread that asks. A look-up that
 * is no longer wanted is left to itself: the C library cannot interrupt it, and waiting for it would
 * make the end of a client as slow as a dead name server (the pool of libuv has that property, which is
 * why it is not used). */

#include <pubsub/error.h>

#include <sys/socket.h>

#define PUBSUB__ADDRESSES_MAX 16

typedef struct pubsub__address {
    struct sockaddr_storage at;
    socklen_t len;
} pubsub__address;

typedef struct pubsub__addresses {
    pubsub__address items[PUBSUB__ADDRESSES_MAX]; /* families alternate, the preferred one first */
    size_t count;
} pubsub__addresses;

typedef struct pubsub__lookup pubsub__lookup;

/* Addresses that need no look-up: "127.0.0.1", "::1", "fe80::1%eth0". False for a name. */
bool pubsub__lookup_literal(const char *host, uint16_t port, pubsub__addresses *out);
/* Begin a look-up; NULL when memory, descriptors or threads are short. */
pubsub__lookup *pubsub__lookup_start(const char *host, uint16_t port);
/* Readable when the answer is there. */
int pubsub__lookup_fd(const pubsub__lookup *lookup);
/* The answer: PUBSUB_OK, PUBSUB_EAGAIN = not yet, else with err filled. */
pubsub_err pubsub__lookup_result(pubsub__lookup *lookup, pubsub__addresses *out, pubsub_error *err);
/* Forget it, answered or not. NULL is fine. */
void pubsub__lookup_free(pubsub__lookup *lookup);

#endif
