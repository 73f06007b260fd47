/* SPDX-License-Identifier: MIT */
#include "json/slice.h"

#include "json/scan.h"

#include <string.h>

static pubsub_bytes nothing(void)
{
    return (pubsub_bytes){NULL, 0};
}

static pubsub_bytes between(const unsigned char *begin, const unsigned char *end)
{
    return (pubsub_bytes){begin, (size_t)(end - begin)};
}

bridge_json_type bridge_json_type_of(pubsub_bytes value)
{
    bridge_json_scan scan = bridge_json_scan_of(value);
    bridge_json_skip_space(&scan);
    if (scan.at == scan.end) {
        return BRIDGE_JSON_NONE;
    }
    switch (*scan.at) {
    case '{':
        return BRIDGE_JSON_OBJECT;
    case '[':
        return BRIDGE_JSON_ARRAY;
    case '"':
        return BRIDGE_JSON_STRING;
    case 't':
        return BRIDGE_JSON_TRUE;
    case 'f':
        return BRIDGE_JSON_FALSE;
    case 'n':
        return BRIDGE_JSON_NULL;
    default:
        return *scan.at == '-' || (*scan.at >= '0' && *scan.at <= '9') ? BRIDGE_JSON_NUMBER
                                                                       : BRIDGE_JSON_NONE;
    }
}

/* ---- skipping values ----------------------------------------------------------------------- */

enum { PLAIN = 0, QUOTE, OPEN, CLOSE };

/* What a byte means inside a container whose values are skipped. */
static const unsigned char marks[256] = {
    ['"'] = QUOTE, ['{'] = OPEN, ['['] = OPEN, ['}'] = CLOSE, [']'] = CLOSE};
/* Bytes that end a number, true, false or null. */
static const unsigned char ends[256] = {
    ['\t'] = 1, ['\n'] = 1, ['\r'] = 1, [' '] = 1, ['"'] = 1, [','] = 1,
    [':'] = 1,  ['['] = 1,  [']'] = 1,  ['{'] = 1, ['}'] = 1};

/* From the first byte inside the quotes to behind the closing one. */
static bool skip_string(bridge_json_scan *scan)
{
    for (;;) {
        scan->at = bridge_json_find_quote(scan->at, scan->end);
        if (scan->at == scan->end) {
            return false;
        }
        if (*scan->at == '"') {
            scan->at++;
            return true;
        }
        if (scan->end - scan->at < 2) {
            return false;
        }
        scan->at += 2;
    }
}

/* From the opening bracket to behind its partner: brackets and quotes match, the rest is not looked
 * at. */
static bool skip_container(bridge_json_scan *scan)
{
    unsigned char partner[BRIDGE_JSON_DEPTH_MAX];
    size_t depth = 0;
    while (scan->at < scan->end) {
        unsigned char byte = *scan->at++;
        switch (marks[byte]) {
        case QUOTE:
            if (!skip_string(scan)) {
                return false;
            }
            break;
        case OPEN:
            if (depth == BRIDGE_JSON_DEPTH_MAX) {
                return false;
            }
            partner[depth++] = (unsigned char)(byte + 2); /* so it is for both kinds in ASCII */
            break;
        case CLOSE:
            if (depth == 0 || byte != partner[--depth]) {
                return false;
            }
            if (depth == 0) {
                return true;
            }
            break;
        default:
            break;
        }
    }
    return false;
}

static bool skip_value(bridge_json_scan *scan)
{
    bridge_json_type type = bridge_json_type_of(between(scan->at, scan->end));
    if (type == BRIDGE_JSON_OBJECT || type == BRIDGE_JSON_ARRAY) {
        return skip_container(scan);
    }
    if (type == BRIDGE_JSON_STRING) {
        scan->at++;
        return skip_string(scan);
    }
    while (scan->at < scan->end && ends[*scan->at] == 0) {
        scan->at++;
    }
    return type != BRIDGE_JSON_NONE;
}

/* ---- walking ------------------------------------------------------------------------------- */

static bool broken(bridge_json_walk *walk)
{
    walk->broken = true;
    walk->name = nothing();
    walk->value = nothing();
    return false;
}

/* The name and the colon of a member. */
static bool read_name(bridge_json_scan *scan, pubsub_bytes *name)
{
    if (scan->at == scan->end || *scan->at != '"') {
        return false;
    }
    const unsigned char *begin = ++scan->at;
    if (!skip_string(scan)) {
        return false;
    }
    *name = between(begin, scan->at - 1);
    bridge_json_skip_space(scan);
    if (scan->at == scan->end || *scan->at != ':') {
        return false;
    }
    scan->at++;
    bridge_json_skip_space(scan);
    return true;
}

bool bridge_json_next(bridge_json_walk *walk, pubsub_bytes container)
{
    if (walk->broken) {
        return false;
    }
    bridge_json_scan scan = bridge_json_scan_of(container);
    bridge_json_skip_space(&scan);
    if (scan.at == scan.end || (*scan.at != '{' && *scan.at != '[')) {
        return broken(walk);
    }
    unsigned char close = (unsigned char)(*scan.at + 2);
    bool first = walk->at == 0;
    scan.at = first ? scan.at + 1 : scan.begin + walk->at;
    bridge_json_skip_space(&scan);
    if (scan.at < scan.end && *scan.at == close) {
        /* Stays in front of the bracket, so that asking again ends here again. */
        walk->at = first ? 0 : (size_t)(scan.at - scan.begin);
        walk->name = nothing();
        walk->value = nothing();
        return false;
    }
    if (!first) {
        if (scan.at == scan.end || *scan.at != ',') {
            return broken(walk);
        }
        scan.at++;
        bridge_json_skip_space(&scan);
    }
    walk->name = nothing();
    if (close == '}' && !read_name(&scan, &walk->name)) {
        return broken(walk);
    }
    const unsigned char *begin = scan.at;
    if (!skip_value(&scan)) {
        return broken(walk);
    }
    walk->value = between(begin, scan.at);
    walk->at = (size_t)(scan.at - scan.begin);
    return true;
}

/* ---- finding ------------------------------------------------------------------------------- */

/* The next byte that a name or a pointer's token means; -1 at the end, -2 when `~` stands alone. */
static int token_byte(const char **at, const char *end, bool pointer)
{
    if (*at == end) {
        return -1;
    }
    char byte = *(*at)++;
    if (byte != '~' || !pointer) {
        return (unsigned char)byte;
    }
    if (*at == end || (**at != '0' && **at != '1')) {
        return -2;
    }
    return *(*at)++ == '0' ? '~' : '/';
}

/* Whether a name as it stands in the JSON means the token. */
static bool name_is(pubsub_bytes name, const char *token, size_t len, bool pointer)
{
    bool plain = !pointer || memchr(token, '~', len) == NULL;
    if (name.len == 0) {
        return len == 0;
    }
    if (plain && memchr(name.data, '\\', name.len) == NULL) {
        return name.len == len && memcmp(name.data, token, len) == 0;
    }
    const char *end = token + len;
    bridge_json_scan scan = bridge_json_scan_of(name);
    while (scan.at < scan.end) {
        char bytes[4] = {(char)*scan.at};
        size_t count = 1;
        if (*scan.at == '\\') {
            count = bridge_json_escape(&scan, bytes);
        } else {
            scan.at++;
        }
        for (size_t i = 0; i < count; i++) {
            if (token_byte(&token, end, pointer) != (unsigned char)bytes[i]) {
                return false;
            }
        }
        if (count == 0) {
            return false;
        }
    }
    return token == end;
}

static pubsub_bytes find_member(pubsub_bytes object, const char *token, size_t len, bool pointer)
{
    bridge_json_walk walk = {0};
    if (bridge_json_type_of(object) != BRIDGE_JSON_OBJECT) {
        return nothing();
    }
    while (bridge_json_next(&walk, object)) {
        if (name_is(walk.name, token, len, pointer)) {
            return walk.value;
        }
    }
    return nothing();
}

pubsub_bytes bridge_json_member(pubsub_bytes object, const char *name)
{
    return find_member(object, name, strlen(name), false);
}

static pubsub_bytes find_element(pubsub_bytes array, const char *token, size_t len)
{
    uint64_t index = 0;
    /* Numbers may have white space around them, tokens not. */
    if (strspn(token, "0123456789") < len || !bridge_json_u64((pubsub_bytes){token, len}, &index)) {
        return nothing();
    }
    bridge_json_walk walk = {0};
    while (bridge_json_next(&walk, array)) {
        if (index-- == 0) {
            return walk.value;
        }
    }
    return nothing();
}

pubsub_bytes bridge_json_pointer(pubsub_bytes value, const char *pointer)
{
    value = bridge_json_trim(value);
    while (*pointer == '/' && value.len > 0) {
        const char *token = ++pointer;
        pointer += strcspn(pointer, "/");
        size_t len = (size_t)(pointer - token);
        value = bridge_json_type_of(value) == BRIDGE_JSON_ARRAY
                    ? find_element(value, token, len)
                    : find_member(value, token, len, true);
    }
    return *pointer == '\0' ? value : nothing();
}

bool bridge_json_u64(pubsub_bytes value, uint64_t *out)
{
    pubsub_bytes digits = bridge_json_trim(value);
    const unsigned char *text = digits.data;
    uint64_t number = 0;
    if (digits.len == 0 || (digits.len > 1 && text[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        unsigned digit = text[i] - '0';
        if (number > (UINT64_MAX - digit) / 10) {
            return false;
        }
        number = number * 10 + digit;
    }
    *out = number;
    return true;
}
