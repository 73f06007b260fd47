/* SPDX-License-Identifier: MIT */
#include "options/resolve.h"

#include "options/known.h"
#include "options/table.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 512

/* What is being put together. */
typedef struct resolution {
    pubsub_options *result;
    const pubsub_options *given; /* by the program */
    const pubsub_url *url;
    const char *adapter;
    pubsub_error *err;
} resolution;

/* Equal as values: "5s" and "5000" are. */
static bool same_value(const pubsub_options *opts, const char *name, const char *value)
{
    const pubsub_option_row *row = pubsub_option_find(name, NULL);
    int64_t number = 0;
    int64_t other = 0;
    if (row == NULL || row->type == PUBSUB_OPTION_TEXT) {
        return strcmp(pubsub_options_get(opts, name), value) == 0;
    }
    return pubsub_options_int(opts, name, &number) == PUBSUB_OK &&
           pubsub__option_parse(row, name, value, &other, NULL) == PUBSUB_OK && number == other;
}

/* Put what the URL says at `place` ("as ...") beside what is there already. */
static pubsub_err put(resolution *in, const char *name, const char *value, const char *place)
{
    if (pubsub_options_is_set(in->result, name)) {
        if (same_value(in->result, name, value)) {
            return PUBSUB_OK;
        }
        const char *other =
            pubsub_options_is_set(in->given, name) ? "as an option" : "elsewhere in the URL";
        return pubsub_error_set(in->err, PUBSUB_EOPTION,
                                "'%s' is given %s and %s, with different values", name, place,
                                other);
    }
    return pubsub_options_set(in->result, name, value, in->err);
}

static pubsub_err put_parts(resolution *in)
{
    const char *place = "in the URL";
    pubsub_err rc = PUBSUB_OK;
    if (pubsub_url_user(in->url) != NULL) {
        rc = put(in, "user", pubsub_url_user(in->url), place);
    }
    if (rc == PUBSUB_OK && pubsub_url_password(in->url) != NULL) {
        rc = put(in, "password", pubsub_url_password(in->url), place);
    }
    size_t hosts = pubsub_url_host_count(in->url);
    if (rc == PUBSUB_OK && hosts == 1) {
        uint16_t port = 0;
        rc = put(in, "host", pubsub_url_host(in->url, 0, &port), place);
        if (rc == PUBSUB_OK && port != 0) {
            char text[8];
            snprintf(text, sizeof(text), "%u", (unsigned)port);
            rc = put(in, "port", text, place);
        }
    }
    if (rc == PUBSUB_OK && hosts > 1 && pubsub_options_is_set(in->given, "host")) {
        rc = pubsub_error_set(in->err, PUBSUB_EOPTION,
                              "'host' is given as an option, but the URL has %zu hosts", hosts);
    }
    return rc;
}

static pubsub_err unknown_key(const resolution *in, const pubsub_option_row *rows, const char *key)
{
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, key);
    pubsub__option_offer(&nearest, pubsub__generic_options, PUBSUB_SCOPE_CLIENT);
    pubsub__option_offer(&nearest, rows, PUBSUB_SCOPE_CLIENT);
    const char *best = pubsub__nearest_result(&nearest);
    return pubsub_error_set(
        in->err, PUBSUB_EOPTION, "unknown query parameter '%.64s' in the URL%s%s%s", key,
        best == NULL ? "" : ", did you mean '", best == NULL ? "" : best, best == NULL ? "" : "'?");
}

/* The full name of the option that a query key means. */
static pubsub_err name_of_key(const resolution *in, const char *key, char *name, size_t size)
{
    bool known = false;
    const pubsub_option_row *rows =
        in->adapter == NULL ? NULL : pubsub__registry_option_rows(in->adapter, &known);
    const pubsub_option_row *row = pubsub__option_row(pubsub__generic_options, key);
    int len = 0;
    if (row == NULL && strchr(key, '.') == NULL) {
        row = pubsub__option_row(rows, key);
        if (row == NULL) {
            return unknown_key(in, rows, key);
        }
        len = snprintf(name, size, "%s.%s", in->adapter, key);
    } else {
        len = snprintf(name, size, "%s", key);
        if (row == NULL) {
            pubsub_err rc = pubsub__option_lookup(key, &row, in->err);
            if (rc != PUBSUB_OK) {
                return rc;
            }
        }
    }
    if (len < 0 || (size_t)len >= size) {
        return unknown_key(in, NULL, key);
    }
    if (row != NULL && (row->scopes & PUBSUB_SCOPE_CLIENT) == 0) {
        return pubsub_error_set(in->err, PUBSUB_EOPTION,
                                "option '%s' belongs to %s and cannot stand in a URL", name,
                                pubsub__option_scope_text(row->scopes));
    }
    return PUBSUB_OK;
}

static pubsub_err put_query(resolution *in)
{
    pubsub_err rc = PUBSUB_OK;
    size_t count = pubsub_url_query_count(in->url);
    for (size_t i = 0; rc == PUBSUB_OK && i < count; i++) {
        const char *value = NULL;
        const char *key = pubsub_url_query_at(in->url, i, &value);
        char name[NAME_MAX_BYTES];
        rc = name_of_key(in, key, name, sizeof(name));
        if (rc == PUBSUB_OK) {
            rc = put(in, name, value, "in the URL's query");
        }
    }
    return rc;
}

pubsub_err pubsub__options_resolve(pubsub_options **out, const pubsub_url *url, const char *adapter,
                                   bool implied_tls, const pubsub_options *opts, pubsub_error *err)
{
    *out = NULL;
    pubsub_err rc = pubsub_options_check(opts, PUBSUB_SCOPE_CLIENT, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    resolution in = {.given = opts, .url = url, .adapter = adapter, .err = err};
    rc = pubsub_options_copy(&in.result, opts);
    if (rc != PUBSUB_OK) {
        return pubsub_error_set(err, rc, "no memory for options");
    }
    rc = put_parts(&in);
    if (rc == PUBSUB_OK && implied_tls) {
        rc = put(&in, "tls", "yes", "by the URL's scheme");
    }
    if (rc == PUBSUB_OK) {
        rc = put_query(&in);
    }
    if (rc != PUBSUB_OK) {
        pubsub_options_free(in.result);
        return rc;
    }
    *out = in.result;
    return PUBSUB_OK;
}

pubsub_err pubsub__options_int2(const pubsub_options *own, const pubsub_options *client,
                                const char *name, int64_t *out)
{
    return pubsub_options_int(pubsub_options_is_set(own, name) ? own : client, name, out);
}

const char *pubsub__options_get2(const pubsub_options *own, const pubsub_options *client,
                                 const char *name)
{
    return pubsub_options_get(pubsub_options_is_set(own, name) ? own : client, name);
}
