/* SPDX-License-Identifier: MIT */
#include "connectors/webhook/signature.h"

#include <openssl/crypto.h>
#include <string.h>

enum {
    CANDIDATES_MAX = 16, /* signatures in one header */
    SECRET_MAX = 1024,
};

/* ---- secrets ------------------------------------------------------------------------------- */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Returns the number of bytes, -1 when it is no base64 or does not fit. Strict: one text for one value. */
static int from_base64(const char *text, size_t len, unsigned char *out, size_t size)
{
    unsigned bits = 0;
    unsigned have = 0;
    size_t used = 0;
    if (len % 4 != 0) {
        return -1;
    }
    for (int pad = 0; pad < 2 && len > 0 && text[len - 1] == '='; pad++) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0) {
            return -1;
        }
        bits = (bits << 6 | (unsigned)digit) & 0xffffu;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (used == size) {
                return -1;
            }
            out[used++] = (unsigned char)(bits >> have);
        }
    }
    return (bits & ((1u << have) - 1)) == 0 ? (int)used : -1;
}

static int from_hex(const char *text, size_t len, unsigned char *out, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    if (len % 2 != 0 || len / 2 > size) {
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i];
        const char *at = c != '\0' ? strchr(digits, c) : NULL;
        if (at == NULL) {
            return -1;
        }
        out[i / 2] = (unsigned char)((i % 2 == 0 ? 0 : out[i / 2] << 4) | (at - digits));
    }
    return (int)(len / 2);
}

pubsub_err webhook_signer_add(webhook_signer *signer, const char *secret, pubsub_error *err)
{
    unsigned char bytes[SECRET_MAX];
    const unsigned char *key = (const unsigned char *)secret;
    size_t len = strlen(secret);
    webhook_mac *made = NULL;
    if (signer->key_count == WEBHOOK_SECRETS_MAX) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "secret: there are more than %d",
                                WEBHOOK_SECRETS_MAX);
    }
    if (signer->scheme == WEBHOOK_STANDARD) {
        const char *text = strncmp(secret, "whsec_", 6) == 0 ? secret + 6 : secret;
        int decoded = from_base64(text, strlen(text), bytes, sizeof(bytes));
        if (decoded <= 0) {
            return pubsub_error_set(err, PUBSUB_EOPTION,
                                    "secret: for signature: standard it is \"whsec_\" and base64");
        }
        key = bytes;
        len = (size_t)decoded;
    }
    if (len == 0 || len > SECRET_MAX) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "secret: it is empty or longer than %d bytes",
                                SECRET_MAX);
    }
    made = webhook_mac_new(signer->algorithm, key, len);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (made == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "OpenSSL cannot make a key");
    }
    signer->keys[signer->key_count++] = made;
    return PUBSUB_OK;
}

void webhook_signer_fini(webhook_signer *signer)
{
    for (size_t i = 0; i < signer->key_count; i++) {
        webhook_mac_free(signer->keys[i]);
    }
    signer->key_count = 0;
}

/* ---- checking ------------------------------------------------------------------------------ */

typedef struct candidate {
    unsigned char bytes[WEBHOOK_MAC_MAX];
    size_t len;
} candidate;

typedef struct candidates {
    candidate items[CANDIDATES_MAX];
    size_t count;
} candidates;

static void add_candidate(candidates *list, const char *text, size_t len, bool base64)
{
    candidate *item = &list->items[list->count];
    int decoded = -1;
    if (list->count == CANDIDATES_MAX) {
        return;
    }
    decoded = base64 ? from_base64(text, len, item->bytes, sizeof(item->bytes))
                     : from_hex(text, len, item->bytes, sizeof(item->bytes));
    if (decoded > 0) {
        item->len = (size_t)decoded;
        list->count++;
    }
}

/* Every secret against every signature, so that the time taken tells nothing about a match. */
static bool any_matches(const webhook_signer *signer, const pubsub_bytes *parts, size_t count,
                        const candidates *given)
{
    unsigned found = 0;
    for (size_t i = 0; i < signer->key_count; i++) {
        unsigned char mac[WEBHOOK_MAC_MAX];
        size_t len = webhook_mac_make(signer->keys[i], parts, count, mac);
        for (size_t k = 0; k < given->count; k++) {
            if (len > 0 && given->items[k].len == len) {
                found |= CRYPTO_memcmp(given->items[k].bytes, mac, len) == 0 ? 1u : 0u;
            }
        }
    }
    return found != 0;
}

/* Seconds since 1970 as senders write them. */
static bool parse_seconds(const char *text, size_t len, int64_t *out)
{
    int64_t value = 0;
    if (len == 0 || len > 12) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (text[i] - '0');
    }
    *out = value;
    return true;
}

/* "t=1492774577,v1=5257a8..,v0=.." */
static pubsub_bytes parse_stripe(pubsub_bytes value, candidates *list)
{
    const char *at = value.data;
    const char *end = at + value.len;
    pubsub_bytes time = {NULL, 0};
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        size_t len = (size_t)(stop - at);
        if (len > 2 && memcmp(at, "t=", 2) == 0 && time.data == NULL) {
            time.data = at + 2;
            time.len = len - 2;
        } else if (len > 3 && memcmp(at, "v1=", 3) == 0) {
            add_candidate(list, at + 3, len - 3, false);
        }
        at = comma != NULL ? comma + 1 : end;
    }
    return time;
}

/* "v1,K5oZfz.. v1a,hnO3.." */
static void parse_standard(pubsub_bytes value, candidates *list)
{
    const char *at = value.data;
    const char *end = at + value.len;
    while (at < end) {
        const char *blank = memchr(at, ' ', (size_t)(end - at));
        const char *stop = blank != NULL ? blank : end;
        if (stop - at > 3 && memcmp(at, "v1,", 3) == 0) {
            add_candidate(list, at + 3, (size_t)(stop - at) - 3, true);
        }
        at = blank != NULL ? blank + 1 : end;
    }
}

static void parse_prefixed(pubsub_bytes value, const char *prefix, bool base64, candidates *list)
{
    size_t len = strlen(prefix);
    if (value.len > len && memcmp(value.data, prefix, len) == 0) {
        add_candidate(list, (const char *)value.data + len, value.len - len, base64);
    }
}

webhook_verdict webhook_verify(const webhook_signer *signer, const webhook_signed *what,
                               int64_t *time_s)
{
    static const pubsub_bytes dot = {".", 1};
    pubsub_bytes parts[5] = {{NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}, {NULL, 0}};
    pubsub_bytes time = {NULL, 0};
    size_t count = 0;
    candidates given;
    int64_t signed_s = 0;
    given.count = 0;
    if (time_s != NULL) {
        *time_s = 0;
    }
    if (signer->scheme == WEBHOOK_NONE) {
        return WEBHOOK_GOOD;
    }
    if (what->signature.data == NULL) {
        return WEBHOOK_MISSING;
    }
    if (signer->scheme == WEBHOOK_STRIPE) {
        time = parse_stripe(what->signature, &given);
        parts[count++] = time;
        parts[count++] = dot;
    } else if (signer->scheme == WEBHOOK_STANDARD) {
        parse_standard(what->signature, &given);
        time = what->timestamp;
        if (what->id.len == 0 || time.len == 0) {
            return WEBHOOK_MISSING;
        }
        parts[count++] = what->id;
        parts[count++] = dot;
        parts[count++] = time;
        parts[count++] = dot;
    } else {
        parse_prefixed(what->signature, signer->prefix, signer->base64, &given);
    }
    parts[count++] = what->body;
    if (!any_matches(signer, parts, count, &given)) {
        return WEBHOOK_BAD;
    }
    if (count > 1) {
        if (!parse_seconds(time.data, time.len, &signed_s)) {
            return WEBHOOK_BAD;
        }
        if (signed_s > what->now_s + signer->tolerance_s ||
            signed_s < what->now_s - signer->tolerance_s) {
            return WEBHOOK_STALE;
        }
        if (time_s != NULL) {
            *time_s = signed_s;
        }
    }
    return WEBHOOK_GOOD;
}
