/* SPDX-License-Identifier: MIT */
#include "redis/fields.h"

#include "base/utf8.h"

#include <string.h>

static const char *const reserved[] = {
    REDIS_FIELD_KEY,     REDIS_FIELD_CONTENT_TYPE, REDIS_FIELD_REPLY_TO, REDIS_FIELD_CORRELATION,
    REDIS_FIELD_EXPIRES, REDIS_FIELD_TOMBSTONE,    REDIS_FIELD_RAW};

static bool is(pubsub_bytes name, const char *text)
{
    return name.len == strlen(text) && memcmp(name.data, text, name.len) == 0;
}

/* Names of our own all begin with this; nearly no other does, and this runs for each field. */
static bool may_be_reserved(pubsub_bytes name)
{
    static const char prefix[] = "pubsub-";
    return name.len >= sizeof(prefix) - 1 && memcmp(name.data, prefix, sizeof(prefix) - 1) == 0;
}

bool pubsub__redis_is_reserved(pubsub_bytes name)
{
    for (size_t i = 0; may_be_reserved(name) && i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (is(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

/* ---- a message becomes an entry ------------------------------------------------------------------ */

size_t pubsub__redis_fields_count(const pubsub_publication *pub, uint64_t expires_ns)
{
    size_t pairs = 1 + pub->header_count;
    pairs += pub->key.data != NULL ? 1 : 0;
    pairs += pub->content_type.len > 0 ? 1 : 0;
    pairs += pub->reply_to.len > 0 ? 1 : 0;
    pairs += pub->correlation.len > 0 ? 1 : 0;
    pairs += expires_ns != 0 ? 1 : 0;
    pairs += (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) != 0 ? 1 : 0;
    return 2 * pairs;
}

static bool put_pair(pubsub__buf *out, const char *name, pubsub_bytes value)
{
    return pubsub__redis_put_text(out, name) && pubsub__redis_put(out, value.data, value.len);
}

bool pubsub__redis_fields_put(pubsub__buf *out, const pubsub_publication *pub, uint64_t expires_ns)
{
    bool ok = put_pair(out, REDIS_FIELD_PAYLOAD, pub->payload);
    if (pub->key.data != NULL) {
        ok = ok && put_pair(out, REDIS_FIELD_KEY, pub->key);
    }
    if (pub->content_type.len > 0) {
        ok = ok && put_pair(out, REDIS_FIELD_CONTENT_TYPE, pub->content_type);
    }
    if (pub->reply_to.len > 0) {
        ok = ok && put_pair(out, REDIS_FIELD_REPLY_TO, pub->reply_to);
    }
    if (pub->correlation.len > 0) {
        ok = ok && put_pair(out, REDIS_FIELD_CORRELATION, pub->correlation);
    }
    if (expires_ns != 0) {
        ok = ok && pubsub__redis_put_text(out, REDIS_FIELD_EXPIRES) &&
             pubsub__redis_put_u64(out, expires_ns);
    }
    if ((pub->flags & PUBSUB_PUBLISH_TOMBSTONE) != 0) {
        ok = ok && put_pair(out, REDIS_FIELD_TOMBSTONE, (pubsub_bytes){"1", 1});
    }
    for (size_t i = 0; ok && i < pub->header_count; i++) {
        ok = pubsub__redis_put(out, pub->headers[i].name.data, pub->headers[i].name.len) &&
             pubsub__redis_put(out, pub->headers[i].value.data, pub->headers[i].value.len);
    }
    return ok;
}

/* ---- an entry becomes a message ------------------------------------------------------------------ */

static pubsub_bytes field_at(const redis_reply *fields, size_t index)
{
    return pubsub__redis_bytes(pubsub__redis_at(fields, index));
}

static bool can_be_header(pubsub_bytes name)
{
    return name.len > 0 && name.len <= PUBSUB_HEADER_NAME_MAX &&
           pubsub__utf8_check(name.data, name.len);
}

/* Whether it can be shown as headers; somebody else's entry may have any bytes as names. */
static bool is_plain(const redis_reply *fields)
{
    size_t count = pubsub__redis_count(fields);
    size_t headers = 0;
    for (size_t i = 0; i + 1 < count; i += 2) {
        pubsub_bytes name = field_at(fields, i);
        if (!can_be_header(name)) {
            return false;
        }
        headers += pubsub__redis_is_reserved(name) ? 0 : 1;
    }
    return headers <= PUBSUB_HEADERS_MAX + 1 && count % 2 == 0;
}

/* Bytes of the fields in RESP, which is what a reader of raw entries gets. */
static size_t raw_size(const redis_reply *fields)
{
    size_t count = pubsub__redis_count(fields);
    size_t size = 16;
    for (size_t i = 0; i < count; i++) {
        size += field_at(fields, i).len + 32;
    }
    return size;
}

static size_t aligned(size_t len)
{
    return (len + 7) & ~(size_t)7;
}

size_t pubsub__redis_fields_need(const redis_reply *fields, size_t topic_len)
{
    size_t count = pubsub__redis_count(fields);
    size_t need = aligned(topic_len) + 64 + (count / 2 + 1) * sizeof(pubsub_header);
    for (size_t i = 0; i < count; i++) {
        need += aligned(field_at(fields, i).len) + 8;
    }
    if (!is_plain(fields)) {
        need += aligned(raw_size(fields)) + 64;
    }
    return need;
}

static void get_raw(const redis_reply *fields, pubsub_block *block, pubsub_spi_message *out)
{
    static const char name[] = REDIS_FIELD_RAW;
    size_t count = pubsub__redis_count(fields);
    pubsub__buf raw;
    pubsub__buf_init(&raw, raw_size(fields));
    bool ok = pubsub__redis_put_array(&raw, count);
    for (size_t i = 0; ok && i < count; i++) {
        pubsub_bytes part = field_at(fields, i);
        ok = pubsub__redis_put(&raw, part.data, part.len);
    }
    if (ok) {
        out->payload = pubsub_block_copy(block, (pubsub_bytes){raw.data, raw.len});
    }
    pubsub__buf_fini(&raw);
    pubsub_header *header = pubsub_block_take(block, sizeof(*header));
    if (header != NULL) {
        header->name = pubsub_block_copy(block, (pubsub_bytes){name, sizeof(name) - 1});
        header->value = pubsub_block_copy(block, (pubsub_bytes){"fields", 6});
        out->headers = header;
        out->header_count = 1;
    }
}

static uint64_t number(pubsub_bytes text)
{
    uint64_t value = 0;
    for (size_t i = 0; i < text.len && i < 19; i++) {
        char digit = ((const char *)text.data)[i];
        if (digit < '0' || digit > '9') {
            return 0;
        }
        value = value * 10 + (uint64_t)(digit - '0');
    }
    return value;
}

/* One of ours; true when it was. */
static bool get_property(pubsub_bytes name, pubsub_bytes value, pubsub_block *block,
                         pubsub_spi_message *out)
{
    static const char none[] = "";
    if (!may_be_reserved(name)) {
        return false;
    }
    if (is(name, REDIS_FIELD_KEY)) {
        out->key = pubsub_block_copy(block, value);
        if (value.len == 0) {
            out->key.data = none; /* an empty key is one */
        }
    } else if (is(name, REDIS_FIELD_CONTENT_TYPE)) {
        out->content_type = pubsub_block_copy(block, value);
    } else if (is(name, REDIS_FIELD_REPLY_TO)) {
        out->reply_to = pubsub_block_copy(block, value);
    } else if (is(name, REDIS_FIELD_CORRELATION)) {
        out->correlation = pubsub_block_copy(block, value);
    } else if (is(name, REDIS_FIELD_EXPIRES)) {
        out->expires_ns = number(value);
    } else if (is(name, REDIS_FIELD_TOMBSTONE)) {
        out->flags |= PUBSUB_SPI_TOMBSTONE;
    } else {
        return false;
    }
    return true;
}

void pubsub__redis_fields_get(const redis_reply *fields, pubsub_bytes topic, pubsub_block *block,
                              pubsub_spi_message *out)
{
    size_t count = pubsub__redis_count(fields);
    bool has_payload = false;
    out->topic = pubsub_block_copy(block, topic);
    if (!is_plain(fields)) {
        get_raw(fields, block, out);
        return;
    }
    pubsub_header *headers =
        count >= 2 ? pubsub_block_take(block, count / 2 * sizeof(*headers)) : NULL;
    uint32_t header_count = 0;
    for (size_t i = 0; i + 1 < count; i += 2) {
        pubsub_bytes name = field_at(fields, i);
        pubsub_bytes value = field_at(fields, i + 1);
        if (!has_payload && is(name, REDIS_FIELD_PAYLOAD)) {
            out->payload = pubsub_block_copy(block, value);
            has_payload = true;
        } else if (!get_property(name, value, block, out) && headers != NULL) {
            headers[header_count].name = pubsub_block_copy(block, name);
            headers[header_count].value = pubsub_block_copy(block, value);
            header_count++;
        }
    }
    if (!has_payload && header_count == 1) { /* the one field of a simple program */
        out->payload = headers[0].value;
    }
    out->headers = header_count > 0 ? headers : NULL;
    out->header_count = header_count;
}

/* ---- ids ----------------------------------------------------------------------------------------- */

static bool digits(const char *text, size_t len, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t digit = (uint64_t)(unsigned char)text[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return false;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return len > 0;
}

bool pubsub__redis_id_parse(const char *text, size_t len, uint64_t id[2])
{
    const char *dash = len > 0 ? memchr(text, '-', len) : NULL;
    return dash != NULL && digits(text, (size_t)(dash - text), &id[0]) &&
           digits(dash + 1, (size_t)(text + len - dash - 1), &id[1]);
}

static char *put_number(char *before, uint64_t value)
{
    do {
        *--before = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return before;
}

/* By hand: it runs for each message that is acknowledged. */
size_t pubsub__redis_id_text(const uint64_t id[2], char *text)
{
    char room[REDIS_ID_TEXT];
    char *end = room + sizeof(room);
    char *at = put_number(end, id[1]);
    *--at = '-';
    at = put_number(at, id[0]);
    size_t len = (size_t)(end - at);
    memcpy(text, at, len);
    text[len] = '\0';
    return len;
}

int pubsub__redis_id_compare(const uint64_t a[2], const uint64_t b[2])
{
    if (a[0] != b[0]) {
        return a[0] < b[0] ? -1 : 1;
    }
    return a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0;
}

bool pubsub__redis_is_internal(pubsub_bytes channel)
{
    static const char ours[] = "pubsub.";
    return (channel.len >= 2 && memcmp(channel.data, "__", 2) == 0) ||
           (channel.len >= sizeof(ours) - 1 && memcmp(channel.data, ours, sizeof(ours) - 1) == 0);
}

/* ---- patterns ------------------------------------------------------------------------------------ */

static bool is_level(const char *pattern, size_t len, size_t at)
{
    return (at == 0 || pattern[at - 1] == '/') && (at + 1 == len || pattern[at + 1] == '/');
}

/* `*` of Redis crosses levels, so everything is a superset. A multi-level wildcard takes the `/` before it
 * along, because it matches the parent too, and the one behind it. */
size_t pubsub__redis_glob(const char *pattern, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char byte = pattern[i];
        bool multi = (byte == '#' || byte == '*') && is_level(pattern, len, i);
        bool single = byte == '+' && is_level(pattern, len, i);
        if (multi) {
            if (n > 0 && out[n - 1] == '/') {
                n--; /* it matches the parent, too */
            }
            out[n++] = '*';
            i += i + 1 < len ? 1 : 0;
        } else if (single) {
            out[n++] = '*';
        } else {
            if (strchr("*?[]\\^", byte) != NULL && byte != '\0') {
                out[n++] = '\\';
            }
            out[n++] = byte;
        }
    }
    out[n] = '\0';
    return n;
}
