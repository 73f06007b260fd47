/* SPDX-License-Identifier: MIT */
#include "connectors/webhook/mac.h"

#include "base/alloc.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

/* A request costs copies of two hashes that have taken in the padded secret. What OpenSSL offers for it
 * looks up its implementation and hashes the secret anew each time, which takes ten times as long as
 * the body does, or cannot be started again in all the versions that are in use. */

enum { BLOCK_MAX = 128 };

struct webhook_mac {
    EVP_MD_CTX *inner; /* after the secret */
    EVP_MD_CTX *outer;
    EVP_MD_CTX *work;
};

static bool start(EVP_MD_CTX *ctx, const EVP_MD *md, const unsigned char *key, size_t block,
                  unsigned char pad)
{
    unsigned char padded[BLOCK_MAX];
    bool ok = false;
    for (size_t i = 0; i < block; i++) {
        padded[i] = key[i] ^ pad;
    }
    ok = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1 &&
         EVP_DigestUpdate(ctx, padded, block) == 1;
    OPENSSL_cleanse(padded, sizeof(padded));
    return ok;
}

/* The secret as a block: filled up with zeros, or its hash when it is longer. */
static bool make_block(const EVP_MD *md, const void *secret, size_t len, size_t block,
                       unsigned char out[BLOCK_MAX])
{
    memset(out, 0, BLOCK_MAX);
    if (len > block) {
        return EVP_Digest(secret, len, out, NULL, md, NULL) == 1;
    }
    memcpy(out, secret, len);
    return true;
}

webhook_mac *webhook_mac_new(const char *algorithm, const void *secret, size_t len)
{
    const EVP_MD *md = EVP_get_digestbyname(algorithm);
    size_t block = md != NULL ? (size_t)EVP_MD_block_size(md) : 0;
    webhook_mac *mac = pubsub__calloc(1, sizeof(*mac));
    unsigned char key[BLOCK_MAX];
    bool ok = false;
    if (mac == NULL || block == 0 || block > BLOCK_MAX || EVP_MD_size(md) > WEBHOOK_MAC_MAX) {
        pubsub__free(mac);
        return NULL;
    }
    mac->inner = EVP_MD_CTX_new();
    mac->outer = EVP_MD_CTX_new();
    mac->work = EVP_MD_CTX_new();
    ok = mac->work != NULL && make_block(md, secret, len, block, key) &&
         start(mac->inner, md, key, block, 0x36) && start(mac->outer, md, key, block, 0x5c);
    OPENSSL_cleanse(key, sizeof(key));
    if (!ok) {
        webhook_mac_free(mac);
        return NULL;
    }
    return mac;
}

void webhook_mac_free(webhook_mac *mac)
{
    if (mac != NULL) {
        EVP_MD_CTX_free(mac->inner);
        EVP_MD_CTX_free(mac->outer);
        EVP_MD_CTX_free(mac->work);
        pubsub__free(mac);
    }
}

size_t webhook_mac_make(webhook_mac *mac, const pubsub_bytes *parts, size_t count,
                        unsigned char out[WEBHOOK_MAC_MAX])
{
    unsigned len = 0;
    bool ok = EVP_MD_CTX_copy_ex(mac->work, mac->inner) == 1;
    for (size_t i = 0; ok && i < count; i++) {
        ok = parts[i].len == 0 || EVP_DigestUpdate(mac->work, parts[i].data, parts[i].len) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(mac->work, out, &len) == 1 &&
         EVP_MD_CTX_copy_ex(mac->work, mac->outer) == 1 &&
         EVP_DigestUpdate(mac->work, out, len) == 1 &&
         EVP_DigestFinal_ex(mac->work, out, &len) == 1;
    return ok ? len : 0;
}
