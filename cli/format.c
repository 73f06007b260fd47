/* SPDX-License-Identifier: MIT */
#include "format.h"

#include "codec.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

typedef enum format_modifier {
    MODIFIER_NONE = 0,
    MODIFIER_HEX,
    MODIFIER_BASE64,
    MODIFIER_JSON,
    MODIFIER_STRFTIME,
} format_modifier;

typedef struct format_op {
    char field; /* 0 = literal text, 'h' = header NAME or, with inner, all headers */
    format_modifier modifier;
    char *text; /* literal, name of a header, or strftime format; owned */
    size_t len;
    cli_format *inner;
} format_op;

struct cli_format {
    format_op *ops;
    size_t count;
    size_t capacity;
    unsigned needs;
};

typedef struct format_parser {
    const char *start;
    const char *at;
    bool inner; /* inside %h{...}: only %k and %v, ends at } */
    char *err;
    size_t err_size;
} format_parser;

static bool fail(format_parser *parser, const char *at, const char *what)
{
    (void)snprintf(parser->err, parser->err_size, "%s at position %zu", what,
                   (size_t)(at - parser->start) + 1);
    return false;
}

static format_op *add_op(cli_format *format, char field)
{
    if (format->count == format->capacity) {
        size_t capacity = format->capacity == 0 ? 8 : format->capacity * 2;
        format_op *ops = pubsub__realloc(format->ops, capacity * sizeof(*ops));

        if (ops == NULL) {
            return NULL;
        }
        format->ops = ops;
        format->capacity = capacity;
    }
    memset(&format->ops[format->count], 0, sizeof(format->ops[0]));
    format->ops[format->count].field = field;
    return &format->ops[format->count++];
}

void cli_format_free(cli_format *format)
{
    if (format == NULL) {
        return;
    }
    for (size_t i = 0; i < format->count; i++) {
        pubsub__free(format->ops[i].text);
        cli_format_free(format->ops[i].inner);
    }
    pubsub__free(format->ops);
    pubsub__free(format);
}

/* Text up to the next % (or } inside a header format). */
static bool parse_literal(format_parser *parser, cli_format *format)
{
    pubsub__buf text;
    format_op *op;
    bool ok = false;

    pubsub__buf_init(&text, CLI_FORMAT_MAX);
    while (*parser->at != '\0' && !(parser->inner && *parser->at == '}')) {
        char byte = *parser->at;
        size_t n = 1;

        if (byte == '%') {
            if (parser->at[1] != '%') {
                break;
            }
            n = 2;
        } else if (byte == '\\') {
            n = cli_escape(parser->at, &byte);
            if (n == 0 && (parser->at[1] == '{' || parser->at[1] == '}')) {
                byte = parser->at[1];
                n = 2;
            }
            if (n == 0) {
                fail(parser, parser->at, "unknown escape (write \\\\ for a backslash)");
                goto out;
            }
        }
        if (pubsub__buf_add_byte(&text, byte) != PUBSUB__BUF_OK) {
            fail(parser, parser->at, "out of memory");
            goto out;
        }
        parser->at += n;
    }
    op = add_op(format, 0);
    if (op == NULL) {
        fail(parser, parser->at, "out of memory");
        goto out;
    }
    op->len = text.len;
    op->text = pubsub__buf_take(&text);
    ok = true;
out:
    pubsub__buf_fini(&text);
    return ok;
}

static bool is_time(char field)
{
    return field == 'd' || field == 'D';
}

static bool is_bytes(char field)
{
    return strchr("tkvsRcCh", field) != NULL;
}

/* {hex}, {base64}, {json} or {strftime[...]} behind a field; nothing is fine. */
static bool parse_modifier(format_parser *parser, format_op *op)
{
    static const struct {
        const char *name;
        format_modifier modifier;
    } words[] = {{"hex}", MODIFIER_HEX}, {"base64}", MODIFIER_BASE64}, {"json}", MODIFIER_JSON}};
    const char *at = parser->at + 1;
    const char *end;

    if (*parser->at != '{') {
        return true;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strncmp(at, words[i].name, strlen(words[i].name)) == 0) {
            if (!is_bytes(op->field)) {
                return fail(parser, at, "this modifier is for texts, not for numbers");
            }
            op->modifier = words[i].modifier;
            parser->at = at + strlen(words[i].name);
            return true;
        }
    }
    if (strncmp(at, "strftime[", 9) != 0) {
        return fail(parser, at, "unknown modifier (hex, base64, json, strftime[...])");
    }
    if (!is_time(op->field)) {
        return fail(parser, at, "strftime is for the times %d and %D");
    }
    at += 9;
    end = strstr(at, "]}");
    if (end == NULL || end == at || end - at > 255) {
        return fail(parser, at, "strftime[ needs a format of at most 255 bytes and ]}");
    }
    op->text = pubsub__strndup(at, (size_t)(end - at));
    op->modifier = MODIFIER_STRFTIME;
    parser->at = end + 2;
    return op->text != NULL || fail(parser, at, "out of memory");
}

static cli_format *compile(format_parser *parser);

/* %h{name} or %h{...%k...%v...}; a bare %h is all of them as name=value. */
static bool parse_headers(format_parser *parser, format_op *op)
{
    format_parser inner = *parser;
    const char *at = parser->at;
    size_t len;

    inner.inner = true;
    if (*at != '{') {
        format_parser all = {"%k=%v,}", "%k=%v,}", true, parser->err, parser->err_size};

        op->inner = compile(&all);
        return op->inner != NULL;
    }
    len = strcspn(at, "}");
    if (at[len] == '\0') {
        return fail(parser, at, "%h{ has no }");
    }
    if (memchr(at, '%', len) == NULL) {
        if (len == 1) {
            return fail(parser, at, "%h{} names no header");
        }
        op->text = pubsub__strndup(at + 1, len - 1);
        op->len = len - 1;
        parser->at = at + len + 1;
        return op->text != NULL ? parse_modifier(parser, op) : fail(parser, at, "out of memory");
    }
    inner.at = at + 1;
    op->inner = compile(&inner);
    if (op->inner == NULL) {
        return false;
    }
    if (*inner.at != '}') {
        return fail(parser, at, "%h{ has no }");
    }
    parser->at = inner.at + 1;
    return true;
}

static unsigned needs_of(char field)
{
    switch (field) {
    case 'k':
    case 'K':
        return CLI_NEEDS_KEY;
    case 'h':
    case 'H':
        return CLI_NEEDS_HEADERS;
    case 'o':
    case 'p':
        return CLI_NEEDS_POSITION;
    case 'R':
    case 'c':
    case 'C':
        return CLI_NEEDS_PROPERTIES;
    case 'D':
        return CLI_NEEDS_RECV;
    case 'd':
    case 'q':
    case 'r':
    case 'a':
        return CLI_NEEDS_META;
    default:
        return 0;
    }
}

static bool parse_field(format_parser *parser, cli_format *format)
{
    const char *start = parser->at;
    char field = start[1];
    format_op *op;

    if (field == '\0') {
        return fail(parser, start, "a lone % (write %% for a percent sign)");
    }
    if (strchr(parser->inner ? "kv" : "tkvsnpoqrRcCadDhTKVH", field) == NULL) {
        return fail(parser, start,
                    parser->inner ? "only %k and %v are known inside %h{...}"
                                  : "unknown field (see FORMATS in pubsub help sub)");
    }
    op = add_op(format, field == 's' ? 'v' : field);
    if (op == NULL) {
        return fail(parser, start, "out of memory");
    }
    format->needs |= parser->inner ? 0 : needs_of(field);
    parser->at += 2;
    return field == 'h' ? parse_headers(parser, op) : parse_modifier(parser, op);
}

static cli_format *compile(format_parser *parser)
{
    cli_format *format = pubsub__calloc(1, sizeof(*format));
    bool ok = true;

    if (format == NULL) {
        fail(parser, parser->at, "out of memory");
        return NULL;
    }
    while (ok && *parser->at != '\0' && !(parser->inner && *parser->at == '}')) {
        ok = *parser->at == '%' && parser->at[1] != '%' ? parse_field(parser, format)
                                                        : parse_literal(parser, format);
    }
    if (!ok) {
        cli_format_free(format);
        return NULL;
    }
    return format;
}

cli_format *cli_format_compile(const char *text, char *err, size_t err_size)
{
    format_parser parser = {text, text, false, err, err_size};

    if (strlen(text) > CLI_FORMAT_MAX) {
        fail(&parser, text + CLI_FORMAT_MAX, "longer than 65536 bytes");
        return NULL;
    }
    return compile(&parser);
}

unsigned cli_format_needs(const cli_format *format)
{
    return format->needs;
}

static bool put_bytes(pubsub__buf *out, pubsub_bytes bytes, format_modifier modifier)
{
    switch (modifier) {
    case MODIFIER_HEX:
        return cli_hex_add(out, bytes);
    case MODIFIER_BASE64:
        return cli_base64_add(out, bytes);
    case MODIFIER_JSON:
        return cli_json_add(out, bytes);
    default:
        return bytes.len == 0 || pubsub__buf_add(out, bytes.data, bytes.len) == PUBSUB__BUF_OK;
    }
}

static bool put_number(pubsub__buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    return pubsub__buf_add(out, digits + at, sizeof(digits) - at) == PUBSUB__BUF_OK;
}

static bool put_time(const format_op *op, pubsub__buf *out, uint64_t ns)
{
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm parts;
    char text[1024];
    size_t len = 0;

    if (op->modifier != MODIFIER_STRFTIME) {
        return put_number(out, ns);
    }
    if (ns == 0) {
        return pubsub__buf_add_byte(out, '-') == PUBSUB__BUF_OK;
    }
    if (gmtime_r(&seconds, &parts) != NULL) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        /* The format is the user's; strftime reads nothing but parts for it. */
        len = strftime(text, sizeof(text), op->text, &parts);
#pragma GCC diagnostic pop
    }
    return len == 0 || pubsub__buf_add(out, text, len) == PUBSUB__BUF_OK;
}

static bool put_headers(const format_op *op, pubsub__buf *out, const cli_view *view)
{
    if (op->inner == NULL) {
        for (size_t i = 0; i < view->header_count; i++) {
            pubsub_bytes name = view->headers[i].name;

            if (name.len == op->len && memcmp(name.data, op->text, op->len) == 0) {
                return put_bytes(out, view->headers[i].value, op->modifier);
            }
        }
        return put_bytes(out, (pubsub_bytes){NULL, 0}, op->modifier);
    }
    for (size_t i = 0; i < view->header_count; i++) {
        cli_view header = {.key = view->headers[i].name, .payload = view->headers[i].value};

        if (!cli_format_run(op->inner, out, &header)) {
            return false;
        }
    }
    return true;
}

static bool put_field(const format_op *op, pubsub__buf *out, const cli_view *view)
{
    switch (op->field) {
    case 0:
        return op->len == 0 || pubsub__buf_add(out, op->text, op->len) == PUBSUB__BUF_OK;
    case 't':
        return put_bytes(out, view->topic, op->modifier);
    case 'k':
        return put_bytes(out, view->key, op->modifier);
    case 'v':
        return put_bytes(out, view->payload, op->modifier);
    case 'R':
        return put_bytes(out, view->reply_to, op->modifier);
    case 'c':
        return put_bytes(out, view->content_type, op->modifier);
    case 'C':
        return put_bytes(out, view->correlation, op->modifier);
    case 'h':
        return put_headers(op, out, view);
    case 'o':
        return pubsub__buf_add_text(out, view->position) == PUBSUB__BUF_OK;
    case 'p':
        return true; /* positions do not tell the partition apart */
    case 'd':
        return put_time(op, out, view->ts_ns);
    case 'D':
        return put_time(op, out, view->recv_ns);
    case 'q':
        return put_number(out, view->qos < 0 ? 0 : (uint64_t)view->qos);
    case 'r':
        return put_number(out, view->retained);
    case 'a':
        return put_number(out, view->attempt);
    case 'n':
        return put_number(out, view->n);
    case 'T':
        return put_number(out, view->topic.len);
    case 'K':
        return put_number(out, view->key.len);
    case 'V':
        return put_number(out, view->payload.len);
    default:
        return put_number(out, view->header_count);
    }
}

bool cli_format_run(const cli_format *format, pubsub__buf *out, const cli_view *view)
{
    for (size_t i = 0; i < format->count; i++) {
        if (!put_field(&format->ops[i], out, view)) {
            return false;
        }
    }
    return true;
}

/* RFC 4180: quoted when it holds a comma, a quote or a line break. */
static bool csv_field(pubsub__buf *out, pubsub_bytes bytes)
{
    const char *data = bytes.data;
    bool quote = bytes.len > 0 &&
                 (memchr(data, ',', bytes.len) != NULL || memchr(data, '"', bytes.len) != NULL ||
                  memchr(data, '\n', bytes.len) != NULL || memchr(data, '\r', bytes.len) != NULL);

    if (!quote) {
        return put_bytes(out, bytes, MODIFIER_NONE);
    }
    if (pubsub__buf_add_byte(out, '"') != PUBSUB__BUF_OK) {
        return false;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        if ((data[i] == '"' && pubsub__buf_add_byte(out, '"') != PUBSUB__BUF_OK) ||
            pubsub__buf_add_byte(out, data[i]) != PUBSUB__BUF_OK) {
            return false;
        }
    }
    return pubsub__buf_add_byte(out, '"') == PUBSUB__BUF_OK;
}

bool cli_csv_add(pubsub__buf *out, const cli_view *view)
{
    return put_number(out, view->n) && pubsub__buf_add_byte(out, ',') == PUBSUB__BUF_OK &&
           put_number(out, view->ts_ns) && pubsub__buf_add_byte(out, ',') == PUBSUB__BUF_OK &&
           csv_field(out, view->topic) && pubsub__buf_add_byte(out, ',') == PUBSUB__BUF_OK &&
           csv_field(out, view->key) && pubsub__buf_add_byte(out, ',') == PUBSUB__BUF_OK &&
           csv_field(out, view->payload) && pubsub__buf_add_byte(out, '\n') == PUBSUB__BUF_OK;
}
