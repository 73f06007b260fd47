/* SPDX-License-Identifier: MIT */
#include "topic/container.h"

#include "topic/level.h"

#include <pubsub/topic.h>

typedef struct container_row {
    const char *name;
    size_t max; /* bytes of a container */
    /* What stands for one byte of a topic; returns its length, at most 3. */
    size_t (*encode_byte)(unsigned char byte, char out[3]);
    /* Reads one piece of a container; returns the byte, and how many bytes it took in *used. */
    char (*decode_byte)(const char *text, size_t len, size_t *used);
} container_row;

static const char hex_digits[] = "0123456789ABCDEF";

static size_t plain_encode(unsigned char byte, char out[3])
{
    out[0] = (char)byte;
    return 1;
}

static char plain_decode(const char *text, size_t len, size_t *used)
{
    (void)len;
    *used = 1;
    return text[0];
}

static size_t escape(char sign, unsigned char byte, char out[3])
{
    out[0] = sign;
    out[1] = hex_digits[byte >> 4];
    out[2] = hex_digits[byte & 15];
    return 3;
}

static size_t amqp_encode(unsigned char byte, char out[3])
{
    if (byte == '.' || byte == '%') {
        return escape('%', byte, out);
    }
    return plain_encode(byte == '/' ? '.' : byte, out);
}

static char amqp_decode(const char *text, size_t len, size_t *used)
{
    *used = 3;
    if (len >= 3 && memcmp(text, "%2E", 3) == 0) {
        return '.';
    }
    if (len >= 3 && memcmp(text, "%25", 3) == 0) {
        return '%';
    }
    *used = 1;
    return text[0] == '.' ? '/' : text[0];
}

static bool kafka_stays(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
}

static size_t kafka_encode(unsigned char byte, char out[3])
{
    if (byte == '/') {
        return plain_encode('.', out);
    }
    return kafka_stays(byte) ? plain_encode(byte, out) : escape('-', byte, out);
}

static char kafka_decode(const char *text, size_t len, size_t *used)
{
    (void)len;
    *used = 1;
    return text[0] == '.' ? '/' : text[0];
}

static const container_row table[] = {
    [PUBSUB__CONTAINER_PLAIN] = {"plain", PUBSUB_TOPIC_MAX, plain_encode, plain_decode},
    [PUBSUB__CONTAINER_AMQP] = {"AMQP", PUBSUB__CONTAINER_AMQP_MAX, amqp_encode, amqp_decode},
    [PUBSUB__CONTAINER_KAFKA] = {"Kafka", PUBSUB__CONTAINER_KAFKA_MAX, kafka_encode, kafka_decode},
};

/* Text with a bound; `over` remembers that something did not fit. */
typedef struct writer {
    char *out;
    size_t size;
    size_t len;
    bool over;
} writer;

static void put(writer *to, const char *text, size_t len)
{
    if (to->over || to->size - to->len <= len) { /* one byte is kept for the NUL */
        to->over = true;
        return;
    }
    memcpy(to->out + to->len, text, len);
    to->len += len;
}

static void put_encoded(writer *to, const container_row *row, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char piece[3];
        size_t n = row->encode_byte((unsigned char)text[i], piece);
        if (n == 1 && to->size - to->len > 1) { /* the usual case, for each byte of each message */
            to->out[to->len++] = piece[0];
        } else {
            put(to, piece, n);
        }
    }
}

static size_t encoded_len(const container_row *row, const char *text, size_t len)
{
    size_t total = 0;
    for (size_t i = 0; i < len; i++) {
        char piece[3];
        total += row->encode_byte((unsigned char)text[i], piece);
    }
    return total;
}

static bool finish(writer *to, size_t *out_len)
{
    if (to->over || to->size == 0) {
        return false;
    }
    to->out[to->len] = '\0';
    if (out_len != NULL) {
        *out_len = to->len;
    }
    return true;
}

static pubsub_err too_small(pubsub_error *err)
{
    return pubsub_error_set(err, PUBSUB_EINVAL, "buffer for a container name is too small");
}

pubsub_err pubsub__container_encode(pubsub__container_kind kind, const char *topic, size_t len,
                                    char *out, size_t size, size_t *out_len, pubsub_error *err)
{
    const container_row *row = &table[kind];
    size_t need = encoded_len(row, topic, len);
    if (need > row->max) {
        return pubsub_error_set(err, PUBSUB_ETOPIC,
                                "topic needs %zu bytes as a %s name, which has at most %zu", need,
                                row->name, row->max);
    }
    writer to = {.out = out, .size = size};
    put_encoded(&to, row, topic, len);
    if (!finish(&to, out_len)) {
        return too_small(err);
    }
    if (kind == PUBSUB__CONTAINER_KAFKA && (strcmp(out, ".") == 0 || strcmp(out, "..") == 0)) {
        return pubsub_error_set(err, PUBSUB_ETOPIC, "Kafka cannot have a topic named '%s'", out);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__container_decode(pubsub__container_kind kind, const char *container, size_t len,
                                    char *out, size_t size, size_t *out_len)
{
    const container_row *row = &table[kind];
    writer to = {.out = out, .size = size};
    for (size_t at = 0; at < len;) {
        size_t used = 0;
        char byte = row->decode_byte(container + at, len - at, &used);
        put(&to, &byte, 1);
        at += used;
    }
    return finish(&to, out_len) ? PUBSUB_OK : PUBSUB_EINVAL;
}

bool pubsub__container_needs_header(pubsub__container_kind kind, const char *topic, size_t len)
{
    const container_row *row = &table[kind];
    if (kind != PUBSUB__CONTAINER_KAFKA) {
        return false; /* nothing is lost */
    }
    for (size_t i = 0; i < len; i++) {
        char piece[3];
        size_t used = 0;
        size_t n = row->encode_byte((unsigned char)topic[i], piece);
        if (n != 1 || row->decode_byte(piece, n, &used) != topic[i]) {
            return true;
        }
    }
    return false;
}

/* Whether a literal pattern maps to this container. */
static bool maps_to(const container_row *row, const char *pattern, size_t plen,
                    const char *container, size_t len)
{
    size_t at = 0;
    for (size_t i = 0; i < plen; i++) {
        char piece[3];
        size_t n = row->encode_byte((unsigned char)pattern[i], piece);
        if (len - at < n || container[at] != piece[0] ||
            (n > 1 && memcmp(container + at, piece, n) != 0)) {
            return false;
        }
        at += n;
    }
    return at == len;
}

pubsub_err pubsub__container_topic_of(pubsub__container_kind kind, const char *container,
                                      size_t len, const char *pattern, size_t plen, char *out,
                                      size_t size, size_t *out_len)
{
    if (pattern != NULL && plen > 0 && pubsub_pattern_is_literal(pattern, plen) &&
        maps_to(&table[kind], pattern, plen, container, len)) {
        writer to = {.out = out, .size = size};
        put(&to, pattern, plen);
        return finish(&to, out_len) ? PUBSUB_OK : PUBSUB_EINVAL;
    }
    return pubsub__container_decode(kind, container, len, out, size, out_len);
}

/* MQTT has `#` only at the end, so an earlier one ends the filter, which then is a superset. */
static bool put_mqtt_filter(writer *to, const char *pattern, size_t len)
{
    for (size_t at = 0; at <= len;) {
        size_t n = pubsub__level_len(pattern, len, at);
        put(to, "/", at > 0 ? 1 : 0);
        if (pubsub__level_is_hash(pattern + at, n)) {
            put(to, "#", 1);
            return at + n >= len;
        }
        put(to, pattern + at, n);
        at += n + 1;
    }
    return true;
}

/* Words are matched by the broker as levels are here, except that it has no rule for `$`. */
static bool put_amqp_binding(writer *to, const char *pattern, size_t len)
{
    for (size_t at = 0; at <= len;) {
        size_t n = pubsub__level_len(pattern, len, at);
        put(to, ".", at > 0 ? 1 : 0);
        if (pubsub__level_is_plus(pattern + at, n)) {
            put(to, "*", 1);
        } else if (pubsub__level_is_hash(pattern + at, n)) {
            put(to, "#", 1);
        } else {
            put_encoded(to, &table[PUBSUB__CONTAINER_AMQP], pattern + at, n);
        }
        at += n + 1;
    }
    return !pubsub__level_is_wild(pattern, pubsub__level_len(pattern, len, 0));
}

/* A `.` in a container may be a level's own, so a wildcard level must be allowed to reach across
 * it. A `#` takes the separator on one side with it: `a/#` is `a(\..*)?`, `#/c` is `(.*\.)?c`. */
static void put_kafka_regex(writer *to, const char *pattern, size_t len)
{
    bool separator = false; /* the next level needs a `\.` before it */
    put(to, "^", 1);
    for (size_t at = 0; at <= len;) {
        size_t n = pubsub__level_len(pattern, len, at);
        bool last = at + n >= len;
        if (pubsub__level_is_hash(pattern + at, n)) {
            const char *piece = separator ? "(\\..*)?" : last ? ".*" : "(.*\\.)?";
            put(to, piece, strlen(piece));
        } else {
            put(to, "\\.", separator ? 2 : 0);
            if (pubsub__level_is_plus(pattern + at, n)) {
                put(to, ".*", 2);
            }
            for (size_t i = 0; i < n && !pubsub__level_is_plus(pattern + at, n); i++) {
                char piece[3];
                size_t k = kafka_encode((unsigned char)pattern[at + i], piece);
                put(to, "\\", piece[0] == '.' ? 1 : 0);
                put(to, piece, k);
            }
            separator = true;
        }
        at += n + 1;
    }
    put(to, "$", 1);
}

pubsub_err pubsub__container_pattern(pubsub__container_kind kind, const char *pattern, size_t len,
                                     char *out, size_t size, bool *exact, pubsub_error *err)
{
    writer to = {.out = out, .size = size};
    bool is_exact = false;
    if (kind == PUBSUB__CONTAINER_PLAIN) {
        is_exact = put_mqtt_filter(&to, pattern, len);
    } else if (kind == PUBSUB__CONTAINER_AMQP) {
        is_exact = put_amqp_binding(&to, pattern, len);
    } else if (pubsub_pattern_is_literal(pattern, len)) {
        pubsub_err rc = pubsub__container_encode(kind, pattern, len, out, size, &to.len, err);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    } else {
        put_kafka_regex(&to, pattern, len);
    }
    if (!finish(&to, NULL)) {
        return too_small(err);
    }
    if (kind == PUBSUB__CONTAINER_AMQP && to.len > PUBSUB__CONTAINER_AMQP_MAX) {
        return pubsub_error_set(err, PUBSUB_EPATTERN,
                                "pattern needs %zu bytes as a binding key, which has at most %d",
                                to.len, PUBSUB__CONTAINER_AMQP_MAX);
    }
    if (exact != NULL) {
        *exact = is_exact;
    }
    return PUBSUB_OK;
}

bool pubsub__container_is_internal(const char *container, size_t len)
{
    static const char ours[] = "pubsub.";
    return (len >= 2 && memcmp(container, "__", 2) == 0) ||
           (len >= sizeof(ours) - 1 && memcmp(container, ours, sizeof(ours) - 1) == 0);
}
