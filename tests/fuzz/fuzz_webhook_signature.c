/* SPDX-License-Identifier: MIT */
/* First byte: the scheme. Then three lines, signature, id and time, and the body. */
#include "connectors/webhook/signature.h"

#include "fuzz/fuzz.h"

#include <string.h>

static pubsub_bytes take_line(const char **at, const char *end)
{
    const char *stop = memchr(*at, '\n', (size_t)(end - *at));
    pubsub_bytes line = {*at, (size_t)((stop != NULL ? stop : end) - *at)};
    *at = stop != NULL ? stop + 1 : end;
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const secrets[] = {"", "secret", "secret",
                                          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "secret"};
    webhook_signer signer;
    webhook_signed what;
    const char *at = (const char *)data + 1;
    const char *end = (const char *)data + size;
    int64_t time_s = 0;
    if (size == 0) {
        return 0;
    }
    memset(&signer, 0, sizeof(signer));
    memset(&what, 0, sizeof(what));
    signer.scheme = (webhook_scheme)(1 + data[0] % 4);
    signer.prefix = signer.scheme == WEBHOOK_GITHUB ? "sha256=" : "";
    signer.base64 = data[0] >= 128;
    signer.algorithm = data[0] % 8 >= 4 ? "sha512" : "sha256";
    signer.tolerance_s = 300;
    FUZZ_CHECK(webhook_signer_add(&signer, secrets[signer.scheme], NULL) == PUBSUB_OK);
    what.signature = take_line(&at, end);
    what.id = take_line(&at, end);
    what.timestamp = take_line(&at, end);
    what.body.data = at;
    what.body.len = (size_t)(end - at);
    what.now_s = 1614265330;
    (void)webhook_verify(&signer, &what, &time_s);
    FUZZ_CHECK(time_s >= 0);
    webhook_signer_fini(&signer);
    return 0;
}
