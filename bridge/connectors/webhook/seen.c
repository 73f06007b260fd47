/* SPDX-License-Identifier: MIT */
#include "connectors/webhook/seen.h"

#include "base/alloc.h"

#include <openssl/evp.h>
#include <string.h>

/* A ring of the last ids in the order they came, and chains over it by the digest's first bytes. */
typedef struct entry {
    webhook_digest digest;
    uint64_t at_ns; /* 0 = empty */
    uint32_t next;  /* in its chain; index + 1, 0 = the end */
} entry;

struct webhook_seen {
    size_t size;
    uint64_t window_ns;
    size_t write;
    size_t buckets; /* a power of two */
    uint32_t *heads;
    entry *ring;
    EVP_MD_CTX *fresh; /* SHA-256 of nothing so far */
    EVP_MD_CTX *work;
};

webhook_seen *webhook_seen_new(size_t size, uint64_t window_ns)
{
    webhook_seen *seen = pubsub__calloc(1, sizeof(*seen));
    if (seen == NULL) {
        return NULL;
    }
    seen->size = size;
    seen->window_ns = window_ns;
    for (seen->buckets = 1; seen->buckets < size; seen->buckets *= 2) {
    }
    seen->heads = pubsub__calloc(seen->buckets, sizeof(*seen->heads));
    seen->ring = pubsub__calloc(size, sizeof(*seen->ring));
    seen->fresh = EVP_MD_CTX_new();
    seen->work = EVP_MD_CTX_new();
    if (seen->heads == NULL || seen->ring == NULL || seen->fresh == NULL || seen->work == NULL ||
        EVP_DigestInit_ex(seen->fresh, EVP_sha256(), NULL) != 1) {
        webhook_seen_free(seen);
        return NULL;
    }
    return seen;
}

void webhook_seen_free(webhook_seen *seen)
{
    if (seen != NULL) {
        EVP_MD_CTX_free(seen->fresh);
        EVP_MD_CTX_free(seen->work);
        pubsub__free(seen->heads);
        pubsub__free(seen->ring);
        pubsub__free(seen);
    }
}

/* The hash is started from a copy: finding its implementation takes longer than the hash. */
bool webhook_digest_of(webhook_seen *seen, pubsub_bytes model, pubsub_bytes id, webhook_digest *out)
{
    unsigned char full[EVP_MAX_MD_SIZE];
    bool ok = EVP_MD_CTX_copy_ex(seen->work, seen->fresh) == 1 &&
              (model.len == 0 || EVP_DigestUpdate(seen->work, model.data, model.len) == 1) &&
              EVP_DigestUpdate(seen->work, "", 1) == 1 &&
              EVP_DigestUpdate(seen->work, id.data, id.len) == 1 &&
              EVP_DigestFinal_ex(seen->work, full, NULL) == 1;
    memcpy(out->bytes, full, ok ? sizeof(out->bytes) : 0);
    return ok;
}

static uint32_t *chain_of(const webhook_seen *seen, const webhook_digest *digest)
{
    uint32_t hash = 0;
    memcpy(&hash, digest->bytes, sizeof(hash));
    return &seen->heads[hash & (seen->buckets - 1)];
}

static void unlink_entry(webhook_seen *seen, uint32_t number)
{
    uint32_t *at = chain_of(seen, &seen->ring[number - 1].digest);
    while (*at != 0 && *at != number) {
        at = &seen->ring[*at - 1].next;
    }
    if (*at == number) {
        *at = seen->ring[number - 1].next;
    }
}

void webhook_seen_add(webhook_seen *seen, const webhook_digest *digest, uint64_t now_ns)
{
    entry *place = NULL;
    uint32_t *chain = NULL;
    if (seen == NULL || seen->size == 0) {
        return;
    }
    place = &seen->ring[seen->write];
    if (place->at_ns != 0) {
        unlink_entry(seen, (uint32_t)seen->write + 1);
    }
    chain = chain_of(seen, digest);
    place->digest = *digest;
    place->at_ns = now_ns;
    place->next = *chain;
    *chain = (uint32_t)seen->write + 1;
    seen->write = (seen->write + 1) % seen->size;
}

bool webhook_seen_has(const webhook_seen *seen, const webhook_digest *digest, uint64_t now_ns)
{
    uint32_t number = seen == NULL || seen->size == 0 ? 0 : *chain_of(seen, digest);
    while (number != 0) {
        const entry *at = &seen->ring[number - 1];
        if (memcmp(&at->digest, digest, sizeof(*digest)) == 0) {
            return now_ns - at->at_ns <= seen->window_ns;
        }
        number = at->next;
    }
    return false;
}
