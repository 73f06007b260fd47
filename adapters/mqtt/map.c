/* SPDX-License-Identifier: MIT */
#include "mqtt/map.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/utf8.h"

#include <string.h>

/* ---- text ------------------------------------------------------------------------------------ */

static uint32_t code_point(const unsigned char *at, size_t len)
{
    switch (len) {
    case 1:
        return at[0];
    case 2:
        return (uint32_t)(at[0] & 0x1fu) << 6 | (at[1] & 0x3fu);
    case 3:
        return (uint32_t)(at[0] & 0x0fu) << 12 | (uint32_t)(at[1] & 0x3fu) << 6 | (at[2] & 0x3fu);
    default:
        return (uint32_t)(at[0] & 0x07u) << 18 | (uint32_t)(at[1] & 0x3fu) << 12 |
               (uint32_t)(at[2] & 0x3fu) << 6 | (at[3] & 0x3fu);
    }
}

static bool is_forbidden(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xfdd0 && c <= 0xfdef) ||
           (c & 0xfffe) == 0xfffe;
}

bool pubsub__mqtt_is_text(pubsub_bytes text)
{
    const char *at = text.data;
    size_t left = text.len;
    if (left > MQTT_TEXT_MAX) {
        return false;
    }
    while (left > 0) {
        unsigned char first = (unsigned char)*at;
        size_t n = first >= 0x20 && first < 0x7f ? 1 : pubsub__utf8_sequence(at, left);
        if (n == 0 || is_forbidden(code_point((const unsigned char *)at, n))) {
            return false;
        }
        at += n;
        left -= n;
    }
    return true;
}

/* ---- topics and filters ---------------------------------------------------------------------- */

static bool has_prefix(pubsub_bytes text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

pubsub_err pubsub__mqtt_topic_check(pubsub_bytes topic, const char *what, pubsub_error *err)
{
    if (memchr(topic.data, '+', topic.len) != NULL || memchr(topic.data, '#', topic.len) != NULL) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "MQTT allows no '+' and no '#' in a %s, also not inside a level",
                                what);
    }
    if (!pubsub__mqtt_is_text(topic)) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "a %s has control or non-characters, for which MQTT brokers "
                                "close the connection",
                                what);
    }
    if (has_prefix(topic, "$share/") || has_prefix(topic, "$queue/")) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "MQTT reserves $share/ and $queue/ for shared subscriptions");
    }
    return PUBSUB_OK;
}

static int add_group(pubsub__buf *buf, const char *group)
{
    int rc = pubsub__buf_add_text(buf, "$share/");
    for (; *group != '\0' && rc == PUBSUB__BUF_OK; group++) {
        rc = strchr("/+#%", *group) != NULL
                 ? pubsub__buf_printf(buf, "%%%02X", (unsigned)(unsigned char)*group)
                 : pubsub__buf_add_byte(buf, *group);
    }
    return rc == PUBSUB__BUF_OK ? pubsub__buf_add_byte(buf, '/') : rc;
}

/* One level of a pattern; false when nothing after it may be added. */
static pubsub_err add_level(pubsub__buf *buf, pubsub_bytes level, bool last, bool *more,
                            bool *superset, pubsub_error *err)
{
    const char *text = level.data;
    int rc = PUBSUB__BUF_OK;
    if (level.len == 1 && (*text == '#' || *text == '*')) {
        *superset = *superset || !last;
        *more = false;
        rc = pubsub__buf_add_byte(buf, '#');
    } else if (level.len != 1 || *text != '+') {
        if (memchr(text, '+', level.len) != NULL || memchr(text, '#', level.len) != NULL) {
            return pubsub_error_set(err, PUBSUB_EPATTERN,
                                    "MQTT allows '+' and '#' only as a whole level, not in "
                                    "'%.*s'",
                                    (int)(level.len > 60 ? 60 : level.len), text);
        }
        rc = pubsub__buf_add(buf, text, level.len);
    } else {
        rc = pubsub__buf_add_byte(buf, '+');
    }
    if (rc == PUBSUB__BUF_OK && *more && !last) {
        rc = pubsub__buf_add_byte(buf, '/');
    }
    return rc == PUBSUB__BUF_OK ? PUBSUB_OK
                                : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a filter");
}

static pubsub_bytes level_at(pubsub_bytes text, size_t from)
{
    const char *start = (const char *)text.data + from;
    const char *slash = memchr(start, '/', text.len - from);
    return (pubsub_bytes){start, slash == NULL ? text.len - from : (size_t)(slash - start)};
}

pubsub_err pubsub__mqtt_filter_new(pubsub_bytes pattern, const char *group, char **filter,
                                   bool *superset, pubsub_error *err)
{
    pubsub__buf buf;
    pubsub_err rc = PUBSUB_OK;
    bool more = true;
    *filter = NULL;
    if (!pubsub__mqtt_is_text(pattern)) {
        return pubsub_error_set(err, PUBSUB_EPATTERN,
                                "the pattern has control or non-characters, for which MQTT "
                                "brokers close the connection");
    }
    if (has_prefix(pattern, "$share/") || has_prefix(pattern, "$queue/")) {
        return pubsub_error_set(err, PUBSUB_EPATTERN,
                                "use the option group instead of a pattern that begins with "
                                "$share/ or $queue/");
    }
    pubsub__buf_init(&buf, MQTT_TEXT_MAX);
    if (group[0] != '\0' && add_group(&buf, group) != PUBSUB__BUF_OK) {
        rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a filter");
    }
    for (size_t at = 0; rc == PUBSUB_OK && more && at <= pattern.len;) {
        pubsub_bytes level = level_at(pattern, at);
        bool last = at + level.len >= pattern.len;
        rc = add_level(&buf, level, last, &more, superset, err);
        at += level.len + 1;
    }
    if (rc == PUBSUB_OK) {
        *filter = pubsub__buf_take(&buf);
    }
    pubsub__buf_fini(&buf);
    return rc;
}

static bool is_level(pubsub_bytes level, char c)
{
    return level.len == 1 && *(const char *)level.data == c;
}

bool pubsub__mqtt_overlap(pubsub_bytes a, pubsub_bytes b)
{
    size_t at_a = 0;
    size_t at_b = 0;
    while (at_a <= a.len && at_b <= b.len) {
        pubsub_bytes la = level_at(a, at_a);
        pubsub_bytes lb = level_at(b, at_b);
        if (is_level(la, '#') || is_level(la, '*') || is_level(lb, '#') || is_level(lb, '*')) {
            return true;
        }
        bool same = la.len == lb.len && memcmp(la.data, lb.data, la.len) == 0;
        if (!same && !is_level(la, '+') && !is_level(lb, '+')) {
            return false;
        }
        at_a += la.len + 1;
        at_b += lb.len + 1;
    }
    /* One of them is longer: they meet only if all that is left is #. */
    pubsub_bytes rest = at_a <= a.len   ? level_at(a, at_a)
                        : at_b <= b.len ? level_at(b, at_b)
                                        : (pubsub_bytes){"#", 1};
    return is_level(rest, '#') || is_level(rest, '*');
}

/* ---- base64, RFC 4648 section 4 -------------------------------------------------------------- */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t pubsub__mqtt_base64_size(size_t len)
{
    return (len + 2) / 3 * 4;
}

size_t pubsub__mqtt_base64_encode(char *out, const void *data, size_t len)
{
    const unsigned char *in = data;
    char *to = out;
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t word = (uint32_t)in[i] << 16;
        word |= n > 1 ? (uint32_t)in[i + 1] << 8 : 0;
        word |= n > 2 ? in[i + 2] : 0u;
        *to++ = alphabet[word >> 18];
        *to++ = alphabet[word >> 12 & 63];
        *to++ = n > 1 ? alphabet[word >> 6 & 63] : '=';
        *to++ = n > 2 ? alphabet[word & 63] : '=';
    }
    return (size_t)(to - out);
}

static int sextet(char c)
{
    const char *at = c == '\0' ? NULL : strchr(alphabet, c);
    return at == NULL ? -1 : (int)(at - alphabet);
}

bool pubsub__mqtt_base64_decode(const char *text, size_t len, unsigned char *out, size_t *out_len)
{
    size_t n = 0;
    if (len % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < len; i += 4) {
        size_t pad = i + 4 < len ? 0 : (text[i + 3] == '=') + (size_t)(text[i + 2] == '=');
        if (pad == 1 && text[i + 3] != '=') {
            return false;
        }
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = k >= 4 - pad ? 0 : sextet(text[i + k]);
            if (value < 0) {
                return false;
            }
            word = word << 6 | (uint32_t)value;
        }
        if ((pad == 1 && (word & 0xff) != 0) || (pad == 2 && (word & 0xffff) != 0)) {
            return false; /* bits that say nothing must be 0 */
        }
        out[n++] = (unsigned char)(word >> 16);
        if (pad < 2) {
            out[n++] = (unsigned char)(word >> 8 & 0xff);
        }
        if (pad < 1) {
            out[n++] = (unsigned char)(word & 0xff);
        }
    }
    *out_len = n;
    return true;
}
