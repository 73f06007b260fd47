/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SEEN_H
#define PUBSUB_BRIDGE_SEEN_H

/* The ids of deliveries that were dealt with: so many, for so long, in memory that does not grow. Ids are
 * kept as the first bytes of their SHA-256, so that nobody can make two that look the same. */

#include <pubsub/connector.h>

typedef struct webhook_digest {
    unsigned char bytes[16];
} webhook_digest;

typedef struct webhook_seen webhook_seen;

/* NULL when memory is short. */
webhook_seen *webhook_seen_new(size_t size, uint64_t window_ns);
void webhook_seen_free(webhook_seen *seen);
/* One thread at a time. False: it could not be made. */
bool webhook_digest_of(webhook_seen *seen, pubsub_bytes model, pubsub_bytes id,
                       webhook_digest *out);
void webhook_seen_add(webhook_seen *seen, const webhook_digest *digest, uint64_t now_ns);
bool webhook_seen_has(const webhook_seen *seen, const webhook_digest *digest, uint64_t now_ns);

#endif
