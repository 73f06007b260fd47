/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SIGNATURE_H
#define PUBSUB_BRIDGE_SIGNATURE_H

/* Who sent a webhook: HMACs over the bytes of the body as they came, in the forms the senders use.
 * Several secrets may be valid at a time, so that they can be changed without a gap. */

#include "connectors/webhook/mac.h"

#define WEBHOOK_SECRETS_MAX 8

typedef enum webhook_scheme {
    WEBHOOK_NONE = 0,
    WEBHOOK_GITHUB,   /* X-Hub-Signature-256: sha256=HEX */
    WEBHOOK_STRIPE,   /* Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX] over "SECONDS.BODY" */
    WEBHOOK_STANDARD, /* webhook-signature: v1,BASE64[ v1,BASE64] over "ID.SECONDS.BODY" */
    WEBHOOK_HMAC,     /* HEADER: PREFIX + HEX or BASE64 over the body */
} webhook_scheme;

typedef struct webhook_signer {
    webhook_scheme scheme;
    const char *header;    /* of the signature */
    const char *prefix;    /* before it */
    bool base64;           /* else hexadecimal */
    const char *algorithm; /* "sha256", "sha1", "sha512" */
    int64_t tolerance_s;   /* of the time that is signed */
    webhook_mac *keys[WEBHOOK_SECRETS_MAX];
    size_t key_count;
} webhook_signer;

/* Add a secret as a person has it: for WEBHOOK_STANDARD base64, with or without "whsec_". The scheme and
 * the algorithm are set already. */
pubsub_err webhook_signer_add(webhook_signer *signer, const char *secret, pubsub_error *err);
void webhook_signer_fini(webhook_signer *signer);

typedef enum webhook_verdict {
    WEBHOOK_GOOD = 0,
    WEBHOOK_MISSING, /* nothing is signed */
    WEBHOOK_BAD,
    WEBHOOK_STALE, /* signed, but too long ago or in the future */
} webhook_verdict;

typedef struct webhook_signed {
    pubsub_bytes signature; /* the header's value */
    pubsub_bytes id;        /* WEBHOOK_STANDARD: of its header */
    pubsub_bytes timestamp; /* the same */
    pubsub_bytes body;
    int64_t now_s; /* since 1970 */
} webhook_signed;

/* *time_s (may be NULL) is the time that was signed, 0 = none. */
webhook_verdict webhook_verify(const webhook_signer *signer, const webhook_signed *what,
                               int64_t *time_s);

#endif
