/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_HASH_H
#define PUBSUB_BRIDGE_HASH_H

/* A 128-bit hash of a list of byte strings, for event ids and file names: the same on every machine
 * and in every run. Not for secrets. */

#include <pubsub/types.h>

/* Room for the text: 32 hexadecimal digits and a NUL. */
#define BRIDGE_HASH_TEXT 33

typedef struct bridge_hash {
    uint64_t v[4];
    uint64_t tail; /* bytes that do not fill a word yet */
    uint64_t len;
} bridge_hash;

void bridge_hash_init(bridge_hash *hash);
/* Parts are kept apart: "a","bc" is not "ab","c". */
void bridge_hash_add(bridge_hash *hash, pubsub_bytes part);
/* The result; the hash itself is left as it is. */
void bridge_hash_words(const bridge_hash *hash, uint64_t out[2]);
void bridge_hash_text(const bridge_hash *hash, char out[BRIDGE_HASH_TEXT]);

#endif
