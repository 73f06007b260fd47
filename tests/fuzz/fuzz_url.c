/* SPDX-License-Identifier: MIT */
/* Any text as a URL: refused with a text, or taken apart so that what is shown of it reads back. */
#include "fuzz/fuzz.h"

#include <pubsub/url.h>

#include <string.h>

static void compare(const pubsub_url *a, const pubsub_url *b)
{
    FUZZ_CHECK(strcmp(pubsub_url_scheme(a), pubsub_url_scheme(b)) == 0);
    FUZZ_CHECK(strcmp(pubsub_url_path(a), pubsub_url_path(b)) == 0);
    FUZZ_CHECK((pubsub_url_user(a) == NULL) == (pubsub_url_user(b) == NULL));
    FUZZ_CHECK((pubsub_url_password(a) == NULL) == (pubsub_url_password(b) == NULL));
    FUZZ_CHECK(pubsub_url_host_count(a) == pubsub_url_host_count(b));
    for (size_t i = 0; i < pubsub_url_host_count(a); i++) {
        uint16_t one = 0;
        uint16_t two = 0;
        FUZZ_CHECK(strcmp(pubsub_url_host(a, i, &one), pubsub_url_host(b, i, &two)) == 0);
        FUZZ_CHECK(one == two);
    }
    FUZZ_CHECK(pubsub_url_query_count(a) == pubsub_url_query_count(b));
    for (size_t i = 0; i < pubsub_url_query_count(a); i++) {
        FUZZ_CHECK(strcmp(pubsub_url_query_at(a, i, NULL), pubsub_url_query_at(b, i, NULL)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    pubsub_url *url = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc = pubsub_url_parse(&url, text, &err);
    if (rc != PUBSUB_OK) {
        FUZZ_CHECK(rc == PUBSUB_EURL && url == NULL && err.code == rc && err.text[0] != '\0');
    } else {
        static char shown[3 * PUBSUB_URL_MAX];
        pubsub_url *again = NULL;
        pubsub_url_redacted(url, shown, sizeof(shown));
        /* Percent signs can make it longer than a URL may be; then there is nothing to compare. */
        if (strlen(shown) <= PUBSUB_URL_MAX) {
            FUZZ_CHECK(pubsub_url_parse(&again, shown, &err) == PUBSUB_OK);
            compare(url, again);
        }
        pubsub_url_free(again);
    }
    pubsub_url_free(url);
    free(text);
    return 0;
}
