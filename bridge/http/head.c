/* SPDX-License-Identifier: MIT */
#include "http/head.h"

#include <stddef.h>
#include <string.h>

enum {
    METHOD_MAX = 24,
};

static pubsub_bytes span(const char *from, const char *to)
{
    pubsub_bytes bytes = {from, (size_t)(to - from)};
    return bytes;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_same(pubsub_bytes bytes, const char *text, size_t len)
{
    const char *data = bytes.data;
    if (len != bytes.len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if (lower(data[i]) != lower(text[i])) {
            return false;
        }
    }
    return true;
}

bool bridge_bytes_are(pubsub_bytes bytes, const char *text)
{
    return is_same(bytes, text, strlen(text));
}

int bridge_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A letter, a digit or one of !#$%&'*+-.^_`|~, as one bit for each byte: each byte of each name is asked
 * for. */
static bool is_token(char c)
{
    static const uint32_t bits[8] = {0, 0x03ff6cfau, 0xc7fffffeu, 0x57ffffffu, 0, 0, 0, 0};
    unsigned char byte = (unsigned char)c;
    return (bits[byte / 32] >> byte % 32 & 1u) != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

size_t bridge_head_end(const char *data, size_t len, size_t *seen)
{
    size_t at = *seen;
    while (at + 4 <= len) {
        const char *cr = memchr(data + at, '\r', len - at - 3);
        if (cr == NULL) {
            break;
        }
        if (memcmp(cr, "\r\n\r\n", 4) == 0) {
            return (size_t)(cr - data) + 4;
        }
        at = (size_t)(cr - data) + 1;
    }
    *seen = len > 3 ? len - 3 : 0;
    return 0;
}

/* ---- the request line ---------------------------------------------------------------------- */

static int bad(const char **why, int status, const char *text)
{
    *why = text;
    return status;
}

/* "http://host/path" is what a proxy is sent, and every server must take. */
static const char *skip_authority(const char *at, const char *end)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(schemes[i]);
        if ((size_t)(end - at) > len && bridge_bytes_are(span(at, at + len), schemes[i])) {
            const char *slash = memchr(at + len, '/', (size_t)(end - at) - len);
            return slash != NULL ? slash : end;
        }
    }
    return at;
}

static int parse_target(bridge_head *out, const char *at, const char *end, const char **why)
{
    const char *mark = NULL;
    for (const char *c = at; c < end; c++) {
        if (*c <= ' ' || *c == 127) {
            return bad(why, 400, "the target has a byte that must be escaped");
        }
    }
    at = skip_authority(at, end);
    if (at == end || *at != '/') {
        return bad(why, 400, "the target does not begin with a slash");
    }
    mark = memchr(at, '#', (size_t)(end - at));
    end = mark != NULL ? mark : end;
    mark = memchr(at, '?', (size_t)(end - at));
    out->path = span(at, mark != NULL ? mark : end);
    out->query = mark != NULL ? span(mark + 1, end) : span(end, end);
    return 0;
}

static int parse_line(bridge_head *out, const char *at, const char *end, const char **why)
{
    const char *begin = at;
    const char *version = NULL;
    int status = 0;
    while (at < end && is_token(*at) && at - begin <= METHOD_MAX) {
        at++;
    }
    if (at == begin || at == end || *at != ' ') {
        return bad(why, 400, "this is no HTTP request");
    }
    out->method = span(begin, at);
    at++;
    version = memchr(at, ' ', (size_t)(end - at));
    if (version == NULL || end - version != 9 || memcmp(version + 1, "HTTP/", 5) != 0) {
        return bad(why, 400, "this is no HTTP request");
    }
    if (memcmp(version + 6, "1.1", 3) != 0 && memcmp(version + 6, "1.0", 3) != 0) {
        return bad(why, 505, "HTTP/1.1 is spoken here");
    }
    out->keep_alive = version[8] == '1';
    status = parse_target(out, at, version, why);
    return status;
}

/* ---- fields -------------------------------------------------------------------------------- */

static int parse_field(bridge_head *out, const char *at, const char *end, const char **why)
{
    const char *colon = memchr(at, ':', (size_t)(end - at));
    bridge_field *field = NULL;
    if (colon == NULL || colon == at) {
        return bad(why, 400, "a header has no name");
    }
    for (const char *c = at; c < colon; c++) {
        if (!is_token(*c)) {
            return bad(why, 400, "the name of a header has a byte that it cannot have");
        }
    }
    for (const char *c = colon + 1; c < end; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 127) {
            return bad(why, 400, "the value of a header has a control character");
        }
    }
    if (out->field_count == BRIDGE_HEAD_FIELDS_MAX) {
        return bad(why, 431, "there are too many headers");
    }
    field = &out->fields[out->field_count++];
    field->name = span(at, colon);
    for (at = colon + 1; at < end && is_blank(*at); at++) {
    }
    while (end > at && is_blank(end[-1])) {
        end--;
    }
    field->value = span(at, end);
    return 0;
}

pubsub_bytes bridge_head_find(const bridge_head *head, const char *name, size_t *count)
{
    pubsub_bytes found = {NULL, 0};
    size_t times = 0;
    size_t len = strlen(name);
    for (size_t i = 0; i < head->field_count; i++) {
        if (is_same(head->fields[i].name, name, len)) {
            found = times++ == 0 ? head->fields[i].value : found;
        }
    }
    if (count != NULL) {
        *count = times;
    }
    return found;
}

/* Whether a comma-separated value, over all headers of the name, has this word. */
static bool has_word(const bridge_head *head, const char *name, const char *word)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < head->field_count; i++) {
        const char *at = head->fields[i].value.data;
        const char *end = at + head->fields[i].value.len;
        bool is_named = is_same(head->fields[i].name, name, len);
        while (is_named && at < end) {
            const char *comma = memchr(at, ',', (size_t)(end - at));
            const char *stop = comma != NULL ? comma : end;
            while (at < stop && is_blank(*at)) {
                at++;
            }
            const char *tail = stop;
            while (tail > at && is_blank(tail[-1])) {
                tail--;
            }
            if (bridge_bytes_are(span(at, tail), word)) {
                return true;
            }
            at = comma != NULL ? comma + 1 : end;
        }
    }
    return false;
}

static bool parse_length(pubsub_bytes value, int64_t *out)
{
    const char *digits = value.data;
    int64_t length = 0;
    if (value.len == 0 || value.len > 18) {
        return false;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (digits[i] < '0' || digits[i] > '9') {
            return false;
        }
        length = length * 10 + (digits[i] - '0');
    }
    *out = length;
    return true;
}

/* How long the body is must have one answer, or a proxy in between may see other requests. */
static int parse_framing(bridge_head *out, const char **why)
{
    size_t lengths = 0;
    size_t codings = 0;
    bool is_10 = !out->keep_alive;
    pubsub_bytes length = bridge_head_find(out, "content-length", &lengths);
    pubsub_bytes coding = bridge_head_find(out, "transfer-encoding", &codings);
    out->length = -1;
    if (lengths > 1 || (lengths == 1 && codings > 0)) {
        return bad(why, 400, "the length of the body is told more than once");
    }
    if (lengths == 1 && !parse_length(length, &out->length)) {
        return bad(why, 400, "Content-Length is no number");
    }
    if (codings > 0) {
        if (codings > 1 || is_10 || !bridge_bytes_are(coding, "chunked")) {
            return bad(why, 501, "Transfer-Encoding other than chunked is not known");
        }
        out->chunked = true;
    }
    return 0;
}

static int parse_meaning(bridge_head *out, const char **why)
{
    size_t hosts = 0;
    pubsub_bytes expect = bridge_head_find(out, "expect", NULL);
    bool is_11 = out->keep_alive;
    int status = parse_framing(out, why);
    if (status != 0) {
        return status;
    }
    (void)bridge_head_find(out, "host", &hosts);
    if (hosts > 1 || (hosts == 0 && is_11)) {
        return bad(why, 400, "there must be one Host header");
    }
    if (expect.data != NULL && is_11) {
        if (!bridge_bytes_are(expect, "100-continue")) {
            return bad(why, 417, "only 100-continue can be expected");
        }
        out->expects = true;
    }
    if (has_word(out, "connection", "close")) {
        out->keep_alive = false;
    } else if (!is_11) {
        out->keep_alive = has_word(out, "connection", "keep-alive");
    }
    return 0;
}

int bridge_head_parse(bridge_head *out, pubsub_bytes head, const char **why)
{
    const char *at = head.data;
    const char *end = at + head.len - 2; /* the empty line's CR LF stays for the loop to end at */
    bool is_first = true;
    memset(out, 0, offsetof(bridge_head, fields));
    *why = "";
    while (at < end) {
        const char *line_end = memchr(at, '\r', (size_t)(end - at));
        int status = 0;
        if (line_end == NULL || line_end[1] != '\n') {
            return bad(why, 400, "a line ends in something else than CR LF");
        }
        status =
            is_first ? parse_line(out, at, line_end, why) : parse_field(out, at, line_end, why);
        if (status != 0) {
            return status;
        }
        is_first = false;
        at = line_end + 2;
    }
    return is_first ? bad(why, 400, "this is no HTTP request") : parse_meaning(out, why);
}

/* ---- escapes ------------------------------------------------------------------------------- */

bool bridge_percent_decode(pubsub_bytes text, bool plus_is_blank, pubsub__buf *out)
{
    const char *data = text.data;
    for (size_t i = 0; i < text.len; i++) {
        char c = data[i];
        if (c == '%') {
            int high = text.len - i > 2 ? bridge_hex_digit(data[i + 1]) : -1;
            int low = text.len - i > 2 ? bridge_hex_digit(data[i + 2]) : -1;
            if (high < 0 || low < 0 || high + low == 0) {
                return false;
            }
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        if (pubsub__buf_add_byte(out, c) != PUBSUB__BUF_OK) {
            return false;
        }
    }
    return true;
}

bool bridge_query_find(pubsub_bytes query, const char *name, pubsub__buf *out)
{
    const char *at = query.data;
    const char *end = at == NULL ? NULL : at + query.len;
    size_t len = strlen(name);
    while (at != NULL && at < end) {
        const char *amp = memchr(at, '&', (size_t)(end - at));
        const char *stop = amp != NULL ? amp : end;
        if ((size_t)(stop - at) > len && memcmp(at, name, len) == 0 && at[len] == '=') {
            return bridge_percent_decode(span(at + len + 1, stop), true, out);
        }
        at = amp != NULL ? amp + 1 : NULL;
    }
    return false;
}
