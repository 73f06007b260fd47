/* SPDX-License-Identifier: MIT */
#include "url/parts.h"

#include "base/alloc.h"

#include <string.h>

#define SCHEME_MAX 32

/* Scheme, user, password, path, hosts and pairs each need a NUL. */
#define PIECES_MAX (4 + PUBSUB_URL_HOSTS_MAX + 2 * PUBSUB_URL_QUERY_MAX)

/* The text being parsed; offsets in messages count from its start. */
typedef struct parser {
    pubsub_url *url;
    const char *text;
    pubsub_error *err;
} parser;

static pubsub_err fail(const parser *in, const char *at, const char *what)
{
    return pubsub_error_set(in->err, PUBSUB_EURL, "URL: %s at byte %zu", what,
                            (size_t)(at - in->text));
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Copy [from, to) into the store, percent-decoded. */
static pubsub_err store_decoded(parser *in, const char *from, const char *to, const char **out)
{
    pubsub_url *url = in->url;
    char *start = url->store + url->store_used;
    char *put = start;
    for (const char *at = from; at < to; at++) {
        char c = *at;
        if (c == '%') {
            int high = to - at > 2 ? hex_value(at[1]) : -1;
            int low = high >= 0 ? hex_value(at[2]) : -1;
            if (low < 0) {
                return fail(in, at, "'%' without two hexadecimal digits (write %25 for '%')");
            }
            c = (char)(high * 16 + low);
            if (c == '\0') {
                return fail(in, at, "%00 is not allowed");
            }
            at += 2;
        }
        *put++ = c;
    }
    *put++ = '\0';
    url->store_used += (size_t)(put - start);
    *out = start;
    return PUBSUB_OK;
}

static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_scheme_char(char c)
{
    return is_alpha(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

static pubsub_err parse_scheme(parser *in, const char **rest)
{
    const char *at = in->text;
    char *scheme = in->url->store;
    while (is_scheme_char(*at)) {
        at++;
    }
    size_t len = (size_t)(at - in->text);
    if (*at != ':' || len == 0) {
        return fail(in, at, "expected a scheme and ':', as in 'local:' or 'mqtt://host'");
    }
    if (!is_alpha(in->text[0])) {
        return fail(in, in->text, "a scheme begins with a letter");
    }
    if (len > SCHEME_MAX) {
        return fail(in, in->text, "the scheme is too long");
    }
    for (size_t i = 0; i < len; i++) {
        char c = in->text[i];
        scheme[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    scheme[len] = '\0';
    in->url->scheme = scheme;
    in->url->store_used = len + 1;
    *rest = at + 1;
    return PUBSUB_OK;
}

/* user[:password], without the `@`. Messages give places only. */
static pubsub_err parse_userinfo(parser *in, const char *from, const char *to)
{
    const char *colon = memchr(from, ':', (size_t)(to - from));
    const char *user_end = colon == NULL ? to : colon;
    pubsub_err rc = PUBSUB_OK;
    if (user_end > from) {
        rc = store_decoded(in, from, user_end, &in->url->user);
    }
    if (rc == PUBSUB_OK && colon != NULL) {
        rc = store_decoded(in, colon + 1, to, &in->url->password);
    }
    return rc;
}

/* Digits up to `to`; never quotes them, because a misplaced password may stand here. */
static pubsub_err parse_port(parser *in, const char *from, const char *to, uint16_t *out)
{
    unsigned port = 0;
    if (from == to) {
        return fail(in, from, "a port is missing behind ':'");
    }
    for (const char *at = from; at < to; at++) {
        if (*at < '0' || *at > '9') {
            return fail(in, at, "the port is not a number");
        }
        port = port * 10 + (unsigned)(*at - '0');
        if (port > 65535) {
            return fail(in, from, "the port is not in 1..65535");
        }
    }
    if (port == 0) {
        return fail(in, from, "the port is not in 1..65535");
    }
    *out = (uint16_t)port;
    return PUBSUB_OK;
}

/* "[::1]", "[fe80::1%25eth0]": where the bracket closes. */
static pubsub_err parse_bracket(parser *in, const char *from, const char *to, const char **close)
{
    for (const char *at = from + 1; at < to; at++) {
        if (*at == ']') {
            *close = at;
            return at == from + 1 ? fail(in, from, "empty host") : PUBSUB_OK;
        }
        bool percent = to - at > 2 && memcmp(at, "%25", 3) == 0;
        if (!percent && hex_value(*at) < 0 && !is_alpha(*at) && strchr(":.-_~", *at) == NULL) {
            return fail(in, at, "character that no IPv6 address has (%25 begins a zone)");
        }
    }
    return fail(in, from, "'[' without ']'");
}

static pubsub_err parse_host(parser *in, const char *from, const char *to)
{
    pubsub_url *url = in->url;
    if (url->nhosts == PUBSUB_URL_HOSTS_MAX) {
        return fail(in, from, "more than 16 hosts");
    }
    pubsub__url_host *host = &url->hosts[url->nhosts];
    const char *name = from;
    const char *name_end = memchr(from, ':', (size_t)(to - from));
    const char *colon = name_end == NULL ? to : name_end;
    name_end = colon;
    if (from < to && *from == '[') {
        pubsub_err rc = parse_bracket(in, from, to, &name_end);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        name = from + 1;
        colon = name_end + 1;
        host->bracketed = true;
        if (colon < to && *colon != ':') {
            return fail(in, colon, "expected ':', ',' or '/' behind ']'");
        }
    }
    if (!host->bracketed && colon < to &&
        memchr(colon + 1, ':', (size_t)(to - colon - 1)) != NULL) {
        return fail(in, from, "more than one ':' (an IPv6 address stands in brackets)");
    }
    if (name == name_end) {
        return fail(in, from, "empty host");
    }
    for (const char *at = name; at < name_end; at++) {
        if (strchr(" <>\"\\^`{|}[]", *at) != NULL) {
            return fail(in, at, "character that no host has");
        }
    }
    if (colon < to) {
        pubsub_err rc = parse_port(in, colon + 1, to, &host->port);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    url->nhosts++;
    return store_decoded(in, name, name_end, &host->name);
}

static pubsub_err parse_authority(parser *in, const char *from, const char *to)
{
    in->url->has_authority = true;
    if (from == to) {
        return PUBSUB_OK; /* local:///dir */
    }
    const char *at_sign = memchr(from, '@', (size_t)(to - from));
    if (at_sign != NULL) {
        const char *second = memchr(at_sign + 1, '@', (size_t)(to - at_sign - 1));
        if (second != NULL) {
            return fail(in, at_sign, "more than one '@' (in a user or password write %40)");
        }
        pubsub_err rc = parse_userinfo(in, from, at_sign);
        if (rc != PUBSUB_OK) {
            return rc;
        }
        from = at_sign + 1;
    }
    for (;;) {
        const char *comma = memchr(from, ',', (size_t)(to - from));
        pubsub_err rc = parse_host(in, from, comma == NULL ? to : comma);
        if (rc != PUBSUB_OK || comma == NULL) {
            return rc;
        }
        from = comma + 1;
    }
}

static pubsub_err parse_query(parser *in, const char *from, const char *to)
{
    pubsub_url *url = in->url;
    while (from < to) {
        const char *amp = memchr(from, '&', (size_t)(to - from));
        const char *end = amp == NULL ? to : amp;
        const char *equals = memchr(from, '=', (size_t)(end - from));
        const char *key_end = equals == NULL ? end : equals;
        if (key_end == from) {
            return fail(in, from, "a query parameter has no name");
        }
        if (url->nquery == PUBSUB_URL_QUERY_MAX) {
            return fail(in, from, "more than 64 query parameters");
        }
        pubsub__url_pair *pair = &url->query[url->nquery];
        pubsub_err rc = store_decoded(in, from, key_end, &pair->key);
        if (rc == PUBSUB_OK) {
            rc = store_decoded(in, equals == NULL ? end : equals + 1, end, &pair->value);
        }
        if (rc != PUBSUB_OK) {
            return rc;
        }
        url->nquery++;
        if (amp != NULL && amp + 1 == to) {
            return fail(in, amp, "a query parameter is missing behind '&'");
        }
        from = amp == NULL ? to : amp + 1;
    }
    return PUBSUB_OK;
}

static pubsub_err check_characters(const parser *in, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)in->text[i];
        if (c < 0x20 || c == 0x7F) {
            return fail(in, in->text + i, "control character (write it as %XX)");
        }
        if (c == '#') {
            return fail(in, in->text + i,
                        "'#' begins a fragment, which has no meaning here "
                        "(write %23)");
        }
    }
    return PUBSUB_OK;
}

static pubsub_err parse(parser *in, size_t len)
{
    const char *at = NULL;
    pubsub_err rc = check_characters(in, len);
    if (rc == PUBSUB_OK) {
        rc = parse_scheme(in, &at);
    }
    if (rc != PUBSUB_OK || at == NULL) {
        return rc;
    }
    const char *end = in->text + len;
    const char *question = memchr(at, '?', (size_t)(end - at));
    const char *path_end = question == NULL ? end : question;
    if (path_end - at >= 2 && memcmp(at, "//", 2) == 0) {
        at += 2;
        const char *slash = memchr(at, '/', (size_t)(path_end - at));
        const char *authority_end = slash == NULL ? path_end : slash;
        rc = parse_authority(in, at, authority_end);
        at = authority_end;
    }
    if (rc == PUBSUB_OK) {
        rc = store_decoded(in, at, path_end, &in->url->path);
    }
    if (rc == PUBSUB_OK && question != NULL) {
        rc = parse_query(in, question + 1, end);
    }
    return rc;
}

pubsub_err pubsub_url_parse(pubsub_url **out, const char *text, pubsub_error *err)
{
    if (out == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "no place for the URL");
    }
    *out = NULL;
    if (text == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "URL is NULL");
    }
    size_t len = strnlen(text, PUBSUB_URL_MAX + 1);
    if (len > PUBSUB_URL_MAX) {
        return pubsub_error_set(err, PUBSUB_EURL, "URL: more than %d bytes", PUBSUB_URL_MAX);
    }
    size_t store_size = len + PIECES_MAX;
    pubsub_url *url = pubsub__calloc(1, sizeof(*url) + store_size);
    if (url == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a URL");
    }
    url->store_size = store_size;
    parser in = {.url = url, .text = text, .err = err};
    pubsub_err rc = parse(&in, len);
    if (rc != PUBSUB_OK) {
        pubsub_url_free(url);
        return rc;
    }
    *out = url;
    return PUBSUB_OK;
}
