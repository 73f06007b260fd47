/* SPDX-License-Identifier: MIT */
#include "engine/hash.h"

#include <inttypes.h>
#include <stdio.h>

/* SipHash-2-4 with 128 bits of result and a fixed key (Aumasson, Bernstein 2012). */

static uint64_t rotate(uint64_t x, unsigned by)
{
    return (x << by) | (x >> (64 - by));
}

static void mix(uint64_t v[4], unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void add_word(bridge_hash *hash, uint64_t word)
{
    hash->v[3] ^= word;
    mix(hash->v, 2);
    hash->v[0] ^= word;
}

static void add_bytes(bridge_hash *hash, const unsigned char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        hash->tail |= (uint64_t)data[i] << (8 * (hash->len & 7));
        if ((++hash->len & 7) == 0) {
            add_word(hash, hash->tail);
            hash->tail = 0;
        }
    }
}

void bridge_hash_init(bridge_hash *hash)
{
    *hash = (bridge_hash){{UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d) ^ 0xee,
                           UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573)},
                          0,
                          0};
}

void bridge_hash_add(bridge_hash *hash, pubsub_bytes part)
{
    unsigned char len[8];
    for (unsigned i = 0; i < 8; i++) {
        len[i] = (unsigned char)((uint64_t)part.len >> (8 * i));
    }
    add_bytes(hash, len, sizeof len);
    add_bytes(hash, part.data, part.len);
}

void bridge_hash_words(const bridge_hash *hash, uint64_t out[2])
{
    bridge_hash end = *hash;
    add_word(&end, end.tail | (end.len & 0xff) << 56);
    end.v[2] ^= 0xee;
    mix(end.v, 4);
    out[0] = end.v[0] ^ end.v[1] ^ end.v[2] ^ end.v[3];
    end.v[1] ^= 0xdd;
    mix(end.v, 4);
    out[1] = end.v[0] ^ end.v[1] ^ end.v[2] ^ end.v[3];
}

void bridge_hash_text(const bridge_hash *hash, char out[BRIDGE_HASH_TEXT])
{
    uint64_t words[2];
    bridge_hash_words(hash, words);
    (void)snprintf(out, BRIDGE_HASH_TEXT, "%016" PRIx64 "%016" PRIx64, words[0], words[1]);
}
