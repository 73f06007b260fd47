/* SPDX-License-Identifier: MIT */
#include "amqp/wire.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The properties of a message and their table of headers, read in place. AMQP 0-9-1 section 4.2.5.5 with
 * the types RabbitMQ uses. */

/* Deeper tables are shown as null. */
#define DEPTH_MAX 16

/* ---- bytes with an end ------------------------------------------------------------------------ */

typedef struct reader {
    const unsigned char *at;
    size_t left;
    bool broken;
} reader;

static const unsigned char *take(reader *from, size_t len)
{
    if (from->broken || from->left < len) {
        from->broken = true;
        return NULL;
    }
    const unsigned char *at = from->at;
    from->at += len;
    from->left -= len;
    return at;
}

/* A number of up to eight bytes, 0 when it is cut. */
static uint64_t number(reader *from, size_t len)
{
    const unsigned char *at = take(from, len);
    uint64_t value = 0;
    for (size_t i = 0; at != NULL && i < len; i++) {
        value = value << 8 | at[i];
    }
    return value;
}

static pubsub_bytes bytes(reader *from, size_t len_len)
{
    size_t len = (size_t)number(from, len_len);
    const unsigned char *at = take(from, len);
    return at == NULL ? (pubsub_bytes){NULL, 0} : (pubsub_bytes){at, len};
}

/* ---- properties ------------------------------------------------------------------------------- */

static void read_text(reader *from, uint64_t flags, uint64_t flag, pubsub_bytes *out)
{
    if (flags & flag) {
        *out = bytes(from, 1);
    }
}

bool pubsub__amqp_properties_read(const unsigned char *payload, size_t size, amq_properties *out)
{
    reader from = {payload, size, false};
    memset(out, 0, sizeof(*out));
    uint64_t class_id = number(&from, 2);
    (void)number(&from, 2); /* weight */
    out->body_size = number(&from, 8);
    uint64_t flags = number(&from, 2);
    uint64_t word = flags;
    while ((word & 1) != 0 && !from.broken) { /* further words of flags: properties unknown to us */
        word = number(&from, 2);
    }
    read_text(&from, flags, AMQP_BASIC_CONTENT_TYPE_FLAG, &out->content_type);
    read_text(&from, flags, AMQP_BASIC_CONTENT_ENCODING_FLAG, &out->content_encoding);
    if (flags & AMQP_BASIC_HEADERS_FLAG) {
        out->headers = bytes(&from, 4);
    }
    if (flags & AMQP_BASIC_DELIVERY_MODE_FLAG) {
        out->delivery_mode = (uint8_t)number(&from, 1);
    }
    if (flags & AMQP_BASIC_PRIORITY_FLAG) {
        out->priority = (uint8_t)number(&from, 1);
    }
    read_text(&from, flags, AMQP_BASIC_CORRELATION_ID_FLAG, &out->correlation_id);
    read_text(&from, flags, AMQP_BASIC_REPLY_TO_FLAG, &out->reply_to);
    read_text(&from, flags, AMQP_BASIC_EXPIRATION_FLAG, &out->expiration);
    read_text(&from, flags, AMQP_BASIC_MESSAGE_ID_FLAG, &out->message_id);
    if (flags & AMQP_BASIC_TIMESTAMP_FLAG) {
        out->timestamp = number(&from, 8);
    }
    read_text(&from, flags, AMQP_BASIC_TYPE_FLAG, &out->type);
    read_text(&from, flags, AMQP_BASIC_USER_ID_FLAG, &out->user_id);
    read_text(&from, flags, AMQP_BASIC_APP_ID_FLAG, &out->app_id);
    read_text(&from, flags, AMQP_BASIC_CLUSTER_ID_FLAG, &out->cluster_id);
    return !from.broken && class_id == AMQP_BASIC_CLASS;
}

/* ---- tables ----------------------------------------------------------------------------------- */

/* The bytes of a value of this kind; for those with a length of their own the size of that, in *prefix. */
static bool size_of(uint8_t kind, size_t *size, size_t *prefix)
{
    *size = *prefix = 0;
    switch (kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_U8:
        *size = 1;
        return true;
    case AMQP_FIELD_KIND_I16:
    case AMQP_FIELD_KIND_U16:
    case 'U':
        *size = 2;
        return true;
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_U32:
    case AMQP_FIELD_KIND_F32:
        *size = 4;
        return true;
    case AMQP_FIELD_KIND_I64:
    case 'L':
    case AMQP_FIELD_KIND_F64:
    case AMQP_FIELD_KIND_TIMESTAMP:
        *size = 8;
        return true;
    case AMQP_FIELD_KIND_DECIMAL:
        *size = 5;
        return true;
    case AMQP_FIELD_KIND_VOID:
        return true;
    case AMQP_FIELD_KIND_UTF8:
    case AMQP_FIELD_KIND_BYTES:
    case AMQP_FIELD_KIND_ARRAY:
    case AMQP_FIELD_KIND_TABLE:
        *prefix = 4;
        return true;
    default:
        return false;
    }
}

static bool read_value(reader *from, amq_field *out)
{
    size_t size = 0;
    size_t prefix = 0;
    out->kind = (uint8_t)number(from, 1);
    if (from->broken || !size_of(out->kind, &size, &prefix)) {
        return false;
    }
    if (prefix > 0) {
        out->value = bytes(from, prefix);
    } else {
        out->value = (pubsub_bytes){take(from, size), size};
    }
    return !from->broken;
}

bool pubsub__amqp_table_next(pubsub_bytes *rest, amq_field *out)
{
    reader from = {rest->data, rest->len, false};
    if (rest->len == 0) {
        return false;
    }
    out->name = bytes(&from, 1);
    if (from.broken || !read_value(&from, out)) {
        return false;
    }
    *rest = (pubsub_bytes){from.at, from.left};
    return true;
}

bool pubsub__amqp_field_is_bytes(const amq_field *field)
{
    return field->kind == AMQP_FIELD_KIND_UTF8 || field->kind == AMQP_FIELD_KIND_BYTES;
}

static uint64_t unsigned_of(const amq_field *field)
{
    reader from = {field->value.data, field->value.len, false};
    return number(&from, field->value.len < 8 ? field->value.len : 8);
}

static int64_t signed_of(const amq_field *field)
{
    unsigned shift = 64 - 8 * (unsigned)field->value.len;
    uint64_t value = unsigned_of(field);
    /* the sign is in the first byte of as many as there are */
    uint64_t sign = UINT64_C(1) << (63 - shift);
    return (int64_t)((value ^ sign) - sign);
}

bool pubsub__amqp_field_number(const amq_field *field, int64_t *out)
{
    switch (field->kind) {
    case AMQP_FIELD_KIND_I8:
    case AMQP_FIELD_KIND_I16:
    case 'U':
    case AMQP_FIELD_KIND_I32:
    case AMQP_FIELD_KIND_I64:
    case 'L':
        *out = signed_of(field);
        return true;
    case AMQP_FIELD_KIND_U8:
    case AMQP_FIELD_KIND_U16:
    case AMQP_FIELD_KIND_U32:
        *out = (int64_t)unsigned_of(field);
        return true;
    default:
        return false;
    }
}

/* ---- text ------------------------------------------------------------------------------------- */

typedef struct writer {
    char *out;
    size_t size;
    size_t len;
} writer;

static void put(writer *to, const char *text, size_t len)
{
    if (to->len < to->size) {
        size_t room = to->size - to->len;
        memcpy(to->out + to->len, text, len < room ? len : room);
    }
    to->len += len;
}

/* A JSON string; bytes that are not UTF-8 become the characters of the same numbers. */
static void put_string(writer *to, pubsub_bytes text)
{
    const char *at = text.data;
    put(to, "\"", 1);
    for (size_t i = 0; i < text.len;) {
        size_t len = pubsub__utf8_sequence(at + i, text.len - i);
        unsigned char byte = (unsigned char)at[i];
        char piece[8];
        if (len == 0 || byte < 0x20) {
            put(to, piece, (size_t)snprintf(piece, sizeof(piece), "\\u%04x", byte));
            i++;
            continue;
        }
        put(to, "\\", byte == '"' || byte == '\\' ? 1 : 0);
        put(to, at + i, len);
        i += len;
    }
    put(to, "\"", 1);
}

static void put_float(writer *to, double value, int digits, bool json)
{
    char text[40];
    int len = snprintf(text, sizeof(text), "%.*g", digits, value);
    if (json && !isfinite(value)) {
        put(to, "null", 4);
        return;
    }
    for (int i = 0; i < len; i++) { /* a program may have a locale with another point */
        text[i] = text[i] == ',' ? '.' : text[i];
    }
    put(to, text, (size_t)len);
}

static void put_decimal(writer *to, const amq_field *field)
{
    const unsigned char *at = field->value.data;
    amq_field value = {{NULL, 0}, AMQP_FIELD_KIND_I32, {at + 1, 4}};
    char text[32];
    put(to, text,
        (size_t)snprintf(text, sizeof(text), "%" PRId64 "e-%u", signed_of(&value), at[0]));
}

static void put_scalar(writer *to, const amq_field *field, bool json)
{
    char text[32];
    int64_t value = 0;
    uint64_t bits = 0;
    float f32 = 0;
    double f64 = 0;
    if (pubsub__amqp_field_number(field, &value)) {
        put(to, text, (size_t)snprintf(text, sizeof(text), "%" PRId64, value));
        return;
    }
    switch (field->kind) {
    case AMQP_FIELD_KIND_BOOLEAN:
        put(to, unsigned_of(field) != 0 ? "true" : "false", unsigned_of(field) != 0 ? 4 : 5);
        break;
    case AMQP_FIELD_KIND_TIMESTAMP:
        put(to, text, (size_t)snprintf(text, sizeof(text), "%" PRIu64, unsigned_of(field)));
        break;
    case AMQP_FIELD_KIND_F32: {
        uint32_t half = (uint32_t)unsigned_of(field);
        memcpy(&f32, &half, sizeof(f32));
        put_float(to, (double)f32, 9, json);
        break;
    }
    case AMQP_FIELD_KIND_F64:
        bits = unsigned_of(field);
        memcpy(&f64, &bits, sizeof(f64));
        put_float(to, f64, 17, json);
        break;
    case AMQP_FIELD_KIND_DECIMAL:
        put_decimal(to, field);
        break;
    default:
        break;
    }
}

static void put_value(writer *to, const amq_field *field, int depth);

/* NOLINTNEXTLINE(misc-no-recursion): bounded by DEPTH_MAX */
static void put_nested(writer *to, const amq_field *field, int depth)
{
    bool table = field->kind == AMQP_FIELD_KIND_TABLE;
    reader from = {field->value.data, field->value.len, false};
    pubsub_bytes rest = field->value;
    amq_field inner;
    put(to, table ? "{" : "[", 1);
    for (size_t i = 0; table ? pubsub__amqp_table_next(&rest, &inner)
                             : from.left > 0 && read_value(&from, &inner);
         i++) {
        put(to, ",", i > 0 ? 1 : 0);
        if (table) {
            put_string(to, inner.name);
            put(to, ":", 1);
        }
        put_value(to, &inner, depth + 1);
    }
    put(to, table ? "}" : "]", 1);
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by DEPTH_MAX */
static void put_value(writer *to, const amq_field *field, int depth)
{
    if (pubsub__amqp_field_is_bytes(field)) {
        put_string(to, field->value);
    } else if (field->kind == AMQP_FIELD_KIND_VOID || depth > DEPTH_MAX) {
        put(to, "null", 4);
    } else if (field->kind == AMQP_FIELD_KIND_TABLE || field->kind == AMQP_FIELD_KIND_ARRAY) {
        put_nested(to, field, depth);
    } else {
        put_scalar(to, field, depth > 0);
    }
}

size_t pubsub__amqp_field_text(const amq_field *field, char *out, size_t size)
{
    writer to = {out, size, 0};
    if (pubsub__amqp_field_is_bytes(field)) {
        put(&to, field->value.len > 0 ? field->value.data : "", field->value.len);
    } else if (field->kind != AMQP_FIELD_KIND_VOID) {
        put_value(&to, field, 0);
    }
    return to.len;
}
