/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_WEBHOOK_MAC_H
#define PUBSUB_BRIDGE_WEBHOOK_MAC_H

/* HMAC (RFC 2104) with one secret, over and over: what depends on the secret only is hashed once. */

#include <pubsub/connector.h>

#define WEBHOOK_MAC_MAX 64 /* bytes of the longest one, SHA-512's */

typedef struct webhook_mac webhook_mac;

/* NULL when there is no such algorithm or memory is short. */
webhook_mac *webhook_mac_new(const char *algorithm, const void *secret, size_t len);
void webhook_mac_free(webhook_mac *mac);

/* Over the parts, one behind the other. Returns the number of bytes in out, 0 = it failed. One thread at
 * a time. */
size_t webhook_mac_make(webhook_mac *mac, const pubsub_bytes *parts, size_t count,
                        unsigned char out[WEBHOOK_MAC_MAX]);

#endif
