/* SPDX-License-Identifier: MIT */
/* Strings: what they mean, and how bytes become one. */
#include "base/utf8.h"
#include "json/scan.h"

static int hex_digit(unsigned char byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* The four digits behind `\u`; -1 when they are not. */
static int hex_unit(const unsigned char *at, const unsigned char *end)
{
    int unit = 0;
    if (end - at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

static size_t encode(unsigned code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | (code >> 6));
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | (code >> 12));
        out[1] = (char)(0x80 | ((code >> 6) & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | (code >> 18));
    out[1] = (char)(0x80 | ((code >> 12) & 0x3F));
    out[2] = (char)(0x80 | ((code >> 6) & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

/* From behind `\u`. */
static size_t escape_unit(bridge_json_scan *scan, char out[4])
{
    int unit = hex_unit(scan->at, scan->end);
    if (unit < 0) {
        return 0;
    }
    scan->at += 4;
    unsigned code = (unsigned)unit;
    if (code >= 0xD800 && code <= 0xDFFF) {
        int low = -1;
        if (code < 0xDC00 && scan->end - scan->at >= 6 && scan->at[0] == '\\' &&
            scan->at[1] == 'u') {
            low = hex_unit(scan->at + 2, scan->end);
        }
        if (low < 0xDC00 || low > 0xDFFF) {
            return encode(0xFFFD, out);
        }
        scan->at += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + ((unsigned)low - 0xDC00);
    }
    return encode(code, out);
}

size_t bridge_json_escape(bridge_json_scan *scan, char out[4])
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    if (scan->end - scan->at < 2) {
        return 0;
    }
    unsigned char letter = scan->at[1];
    const char *found = letter != '\0' ? strchr(letters, letter) : NULL;
    if (found != NULL) {
        scan->at += 2;
        out[0] = meanings[found - letters];
        return 1;
    }
    if (letter != 'u') {
        return 0;
    }
    scan->at += 2;
    return escape_unit(scan, out);
}

/* One piece of a string: up to the next escape or sequence, or that. */
static bool unescape_piece(bridge_json_scan *scan, pubsub__buf *out)
{
    const unsigned char *from = scan->at;
    scan->at = bridge_json_find_special(scan->at, scan->end);
    if (scan->at > from) {
        return pubsub__buf_add(out, from, (size_t)(scan->at - from)) == PUBSUB__BUF_OK;
    }
    if (*from >= 0x80) {
        size_t left = (size_t)(scan->end - from);
        size_t count = pubsub__utf8_sequence((const char *)from, left);
        scan->at += count;
        return count > 0 && pubsub__buf_add(out, from, count) == PUBSUB__BUF_OK;
    }
    if (*from != '\\') {
        return false; /* a quote or a control character */
    }
    char bytes[4];
    size_t count = bridge_json_escape(scan, bytes);
    return count > 0 && pubsub__buf_add(out, bytes, count) == PUBSUB__BUF_OK;
}

static void cut_back(pubsub__buf *out, size_t len)
{
    if (out->len > len) {
        out->len = len;
        out->data[len] = '\0';
    }
}

bool bridge_json_unescape(pubsub_bytes string, pubsub__buf *out)
{
    string = bridge_json_trim(string);
    bridge_json_scan scan = bridge_json_scan_of(string);
    size_t before = out->len;
    if (string.len < 2 || scan.at[0] != '"' || scan.end[-1] != '"') {
        return false;
    }
    scan.at++;
    scan.end--;
    while (scan.at < scan.end) {
        if (!unescape_piece(&scan, out)) {
            cut_back(out, before);
            return false;
        }
    }
    return true;
}

/* One byte that cannot stand in a string as it is, or one sequence. */
static int quote_special(bridge_json_scan *scan, pubsub__buf *out)
{
    static const char bytes[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    static const char digits[] = "0123456789abcdef";
    unsigned char byte = *scan->at;
    if (byte >= 0x80) {
        const char *text = (const char *)scan->at;
        size_t count = pubsub__utf8_sequence(text, (size_t)(scan->end - scan->at));
        scan->at += count > 0 ? count : 1;
        return count > 0 ? pubsub__buf_add(out, text, count)
                         : pubsub__buf_add(out, "\xEF\xBF\xBD", 3);
    }
    scan->at++;
    const char *found = byte != '\0' ? strchr(bytes, byte) : NULL;
    if (found != NULL) {
        const char escape[2] = {'\\', letters[found - bytes]};
        return pubsub__buf_add(out, escape, sizeof(escape));
    }
    const char escape[6] = {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
    return pubsub__buf_add(out, escape, sizeof(escape));
}

int bridge_json_quote(pubsub_bytes bytes, pubsub__buf *out)
{
    bridge_json_scan scan = bridge_json_scan_of(bytes);
    size_t before = out->len;
    int rc = pubsub__buf_add_byte(out, '"');
    while (rc == PUBSUB__BUF_OK && scan.at < scan.end) {
        const unsigned char *from = scan.at;
        scan.at = bridge_json_find_special(from, scan.end);
        rc = scan.at > from ? pubsub__buf_add(out, from, (size_t)(scan.at - from))
                            : quote_special(&scan, out);
    }
    if (rc == PUBSUB__BUF_OK) {
        rc = pubsub__buf_add_byte(out, '"');
    }
    if (rc != PUBSUB__BUF_OK) {
        cut_back(out, before);
    }
    return rc;
}
