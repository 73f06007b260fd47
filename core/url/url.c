/* SPDX-License-Identifier: MIT */
#include <pubsub/url.h>

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/text.h"
#include "base/utf8.h"
#include "url/parts.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

void pubsub_url_free(pubsub_url *url)
{
    if (url != NULL) {
        pubsub__wipe(url->store, url->store_size);
        pubsub__free(url);
    }
}

const char *pubsub_url_scheme(const pubsub_url *url)
{
    return url->scheme;
}

const char *pubsub_url_user(const pubsub_url *url)
{
    return url->user;
}

const char *pubsub_url_password(const pubsub_url *url)
{
    return url->password;
}

size_t pubsub_url_host_count(const pubsub_url *url)
{
    return url->nhosts;
}

const char *pubsub_url_host(const pubsub_url *url, size_t index, uint16_t *port)
{
    if (index >= url->nhosts) {
        return NULL;
    }
    if (port != NULL) {
        *port = url->hosts[index].port;
    }
    return url->hosts[index].name;
}

const char *pubsub_url_path(const pubsub_url *url)
{
    return url->path;
}

size_t pubsub_url_query_count(const pubsub_url *url)
{
    return url->nquery;
}

const char *pubsub_url_query_at(const pubsub_url *url, size_t index, const char **value)
{
    if (index >= url->nquery) {
        return NULL;
    }
    if (value != NULL) {
        *value = url->query[index].value;
    }
    return url->query[index].key;
}

const char *pubsub_url_query(const pubsub_url *url, const char *key)
{
    for (size_t i = 0; i < url->nquery; i++) {
        if (strcmp(url->query[i].key, key) == 0) {
            return url->query[i].value;
        }
    }
    return NULL;
}

/* Text with a bound; pieces are written whole or not at all. */
typedef struct writer {
    char *out;
    size_t size;
    size_t len;
    bool over;
} writer;

static void put(writer *to, const char *text, size_t len)
{
    if (to->over || to->size - to->len <= len) {
        to->over = true;
        return;
    }
    memcpy(to->out + to->len, text, len);
    to->len += len;
}

static void put_text(writer *to, const char *text)
{
    put(to, text, strlen(text));
}

/* Percent-encode what would not be read back as it is; `special` lists the delimiters of the part.
 */
static void put_encoded(writer *to, const char *text, const char *special)
{
    static const char hex_digits[] = "0123456789ABCDEF";
    size_t len = strlen(text);
    for (size_t at = 0; at < len;) {
        unsigned char c = (unsigned char)text[at];
        size_t n = pubsub__utf8_sequence(text + at, len - at);
        if (n == 0 || c <= 0x20 || c == 0x7F || strchr("%#<>\"", c) != NULL ||
            strchr(special, c) != NULL) {
            char piece[3] = {'%', hex_digits[c >> 4], hex_digits[c & 15]};
            put(to, piece, sizeof(piece));
            n = 1;
        } else {
            put(to, text + at, n);
        }
        at += n;
    }
}

static void put_authority(writer *to, const pubsub_url *url)
{
    put_text(to, "//");
    if (url->user != NULL) {
        put_encoded(to, url->user, ":@/?");
    }
    if (url->password != NULL) {
        put_text(to, ":***");
    }
    if (url->user != NULL || url->password != NULL) {
        put_text(to, "@");
    }
    for (size_t i = 0; i < url->nhosts; i++) {
        const pubsub__url_host *host = &url->hosts[i];
        put_text(to, i > 0 ? "," : "");
        put_text(to, host->bracketed ? "[" : "");
        put_encoded(to, host->name, host->bracketed ? "/?@,[]" : ":/?@,[]\\^`{|}");
        put_text(to, host->bracketed ? "]" : "");
        if (host->port != 0) {
            char text[8];
            snprintf(text, sizeof(text), ":%u", (unsigned)host->port);
            put_text(to, text);
        }
    }
}

/* Also where it is misspelt, because just then it is shown. */
static bool looks_secret(const char *key)
{
    const char *dot = strrchr(key, '.');
    if (pubsub__edit_distance(dot == NULL ? key : dot + 1, "password") <= 3) {
        return true;
    }
    static const char *const words[] = {"password", "passwd", "secret", "token", "passphrase"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i]);
        for (const char *at = key; *at != '\0'; at++) {
            if (strncasecmp(at, words[i], len) == 0) {
                return true;
            }
        }
    }
    return false;
}

const char *pubsub_url_redacted(const pubsub_url *url, char *buf, size_t size)
{
    if (size == 0) {
        return buf;
    }
    writer to = {.out = buf, .size = size};
    put_text(&to, url->scheme);
    put_text(&to, ":");
    if (url->has_authority) {
        put_authority(&to, url);
    }
    const char *path = url->path;
    if (!url->has_authority && strncmp(path, "//", 2) == 0) {
        put_text(&to, "/%2F"); /* plain, it would read as a host */
        path += 2;
    }
    put_encoded(&to, path, "?");
    for (size_t i = 0; i < url->nquery; i++) {
        put_text(&to, i == 0 ? "?" : "&");
        put_encoded(&to, url->query[i].key, "&=");
        put_text(&to, "=");
        if (looks_secret(url->query[i].key)) {
            put_text(&to, "***");
        } else {
            put_encoded(&to, url->query[i].value, "&");
        }
    }
    buf[to.len] = '\0';
    return buf;
}
