/* SPDX-License-Identifier: MIT */
/* Lines "name=value", after an optional first line "@url": each is refused with a text or set; what is set
 * reads back; the whole is resolved with the URL. */
#include "fuzz/fuzz.h"

#include "options/resolve.h"

#include <string.h>

static void set_line(pubsub_options *opts, char *line)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    char *equals = strchr(line, '=');
    const char *value = equals == NULL ? "" : equals + 1;
    if (equals != NULL) {
        *equals = '\0';
    }
    pubsub_err rc = pubsub_options_set(opts, line, value, &err);
    if (rc != PUBSUB_OK) {
        FUZZ_CHECK(rc == PUBSUB_EOPTION || rc == PUBSUB_EUTF8);
        FUZZ_CHECK(err.code == rc && err.text[0] != '\0');
        return;
    }
    FUZZ_CHECK(pubsub_options_is_set(opts, line));
    FUZZ_CHECK(strcmp(pubsub_options_get(opts, line), value) == 0);
    int64_t number = 0;
    const pubsub_option_row *row = pubsub_option_find(line, NULL);
    if (row != NULL && row->type != PUBSUB_OPTION_TEXT) {
        FUZZ_CHECK(pubsub_options_int(opts, line, &number) == PUBSUB_OK);
        FUZZ_CHECK(row->max == 0 || number <= row->max);
        FUZZ_CHECK(number >= row->min);
    }
}

static void resolve(const char *text, const pubsub_options *opts)
{
    pubsub_url *url = NULL;
    pubsub_options *out = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub_url_parse(&url, text, NULL) == PUBSUB_OK) {
        pubsub_err rc = pubsub__options_resolve(&out, url, "amqp", true, opts, &err);
        FUZZ_CHECK((rc == PUBSUB_OK) == (out != NULL));
        FUZZ_CHECK(rc == PUBSUB_OK || err.text[0] != '\0');
        for (size_t i = 0; rc == PUBSUB_OK && i < pubsub_options_count(opts); i++) {
            const char *name = pubsub_options_at(opts, i, NULL, NULL);
            FUZZ_CHECK(strcmp(pubsub_options_get(opts, name), pubsub_options_get(out, name)) == 0);
        }
    }
    pubsub_options_free(out);
    pubsub_url_free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    pubsub_options *opts = NULL;
    pubsub_options *copy = NULL;
    FUZZ_CHECK(text != NULL && pubsub_options_new(&opts) == PUBSUB_OK);
    memcpy(text, data, size);
    text[size] = '\0';
    char *line = text;
    const char *url = "amqp://h";
    for (bool first = true; line != NULL; first = false) {
        char *newline = strchr(line, '\n');
        if (newline != NULL) {
            *newline = '\0';
        }
        if (first && line[0] == '@') {
            url = line + 1;
        } else {
            set_line(opts, line);
        }
        line = newline == NULL ? NULL : newline + 1;
    }
    FUZZ_CHECK(pubsub_options_copy(&copy, opts) == PUBSUB_OK);
    FUZZ_CHECK(pubsub_options_count(copy) == pubsub_options_count(opts));
    FUZZ_CHECK(pubsub_options_merge(copy, opts) == PUBSUB_OK);
    resolve(url, opts);
    pubsub_options_free(copy);
    pubsub_options_free(opts);
    free(text);
    return 0;
}
