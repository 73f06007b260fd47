/* SPDX-License-Identifier: MIT */
#include "codec.h"

#include "base/utf8.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool cli_hex_add(pubsub__buf *out, pubsub_bytes bytes)
{
    const unsigned char *data = bytes.data;

    if (bytes.len > SIZE_MAX / 2 || pubsub__buf_reserve(out, bytes.len * 2) != PUBSUB__BUF_OK) {
        return false;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        char pair[2] = {hex_digits[data[i] >> 4], hex_digits[data[i] & 15]};

        (void)pubsub__buf_add(out, pair, 2);
    }
    return true;
}

bool cli_base64_add(pubsub__buf *out, pubsub_bytes bytes)
{
    const unsigned char *data = bytes.data;

    if (bytes.len > SIZE_MAX / 2 ||
        pubsub__buf_reserve(out, (bytes.len + 2) / 3 * 4) != PUBSUB__BUF_OK) {
        return false;
    }
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t word = (uint32_t)data[i] << 16;
        char quad[4];

        word |= n > 1 ? (uint32_t)data[i + 1] << 8 : 0;
        word |= n > 2 ? (uint32_t)data[i + 2] : 0;
        quad[0] = base64_digits[word >> 18];
        quad[1] = base64_digits[word >> 12 & 63];
        quad[2] = n > 1 ? base64_digits[word >> 6 & 63] : '=';
        quad[3] = n > 2 ? base64_digits[word & 63] : '=';
        (void)pubsub__buf_add(out, quad, 4);
    }
    return true;
}

/* How many bytes from the start need no escape in a JSON string and are ASCII. */
static size_t json_plain(const unsigned char *data, size_t len)
{
    size_t n = 0;

    while (n < len && data[n] >= 0x20 && data[n] < 0x7f && data[n] != '"' && data[n] != '\\') {
        n++;
    }
    return n;
}

static bool json_escape(pubsub__buf *out, unsigned char byte)
{
    static const char letters[] = "btn\0fr";
    char text[6] = {'\\', 'u', '0', '0', hex_digits[byte >> 4], hex_digits[byte & 15]};

    if (byte == '"' || byte == '\\') {
        text[1] = (char)byte;
        return pubsub__buf_add(out, text, 2) == PUBSUB__BUF_OK;
    }
    if (byte >= '\b' && byte <= '\r' && letters[byte - '\b'] != '\0') {
        text[1] = letters[byte - '\b'];
        return pubsub__buf_add(out, text, 2) == PUBSUB__BUF_OK;
    }
    return pubsub__buf_add(out, text, 6) == PUBSUB__BUF_OK;
}

bool cli_json_add(pubsub__buf *out, pubsub_bytes bytes)
{
    const unsigned char *data = bytes.data;
    size_t at = 0;

    if (pubsub__buf_add_byte(out, '"') != PUBSUB__BUF_OK) {
        return false;
    }
    while (at < bytes.len) {
        size_t n = json_plain(data + at, bytes.len - at);

        if (n > 0 && pubsub__buf_add(out, data + at, n) != PUBSUB__BUF_OK) {
            return false;
        }
        at += n;
        if (at == bytes.len) {
            break;
        }
        if (data[at] < 0x80) {
            if (!json_escape(out, data[at])) {
                return false;
            }
            at++;
            continue;
        }
        n = pubsub__utf8_sequence((const char *)data + at, bytes.len - at);
        if (pubsub__buf_add(out, n > 0 ? (const void *)(data + at) : "\xef\xbf\xbd",
                            n > 0 ? n : 3) != PUBSUB__BUF_OK) {
            return false;
        }
        at += n > 0 ? n : 1;
    }
    return pubsub__buf_add_byte(out, '"') == PUBSUB__BUF_OK;
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

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool cli_hex_decode(pubsub__buf *out, pubsub_bytes text, size_t *at)
{
    const char *data = text.data;
    int high = -1;

    for (*at = 0; *at < text.len; (*at)++) {
        int value = hex_value(data[*at]);

        if (value < 0) {
            if (is_space(data[*at]) && high < 0) {
                continue;
            }
            return false;
        }
        if (high < 0) {
            high = value;
            continue;
        }
        if (pubsub__buf_add_byte(out, (char)(high << 4 | value)) != PUBSUB__BUF_OK) {
            *at = text.len;
            return false;
        }
        high = -1;
    }
    return high < 0;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '+' || c == '-') {
        return 62;
    }
    return c == '/' || c == '_' ? 63 : -1;
}

bool cli_base64_decode(pubsub__buf *out, pubsub_bytes text, size_t *at)
{
    const char *data = text.data;
    uint32_t word = 0;
    unsigned digits = 0;
    unsigned pads = 0;

    for (*at = 0; *at < text.len; (*at)++) {
        int value = base64_value(data[*at]);

        if (is_space(data[*at])) {
            continue;
        }
        if (data[*at] == '=' && digits % 4 >= 2 && pads < 4 - digits % 4) {
            pads++;
            continue;
        }
        if (value < 0 || pads > 0) {
            return false;
        }
        word = word << 6 | (uint32_t)value;
        digits++;
        /* Every digit but the first of four completes a byte. */
        if (digits % 4 != 1) {
            unsigned shift = 6 - (digits - 1) % 4 * 2;

            if (pubsub__buf_add_byte(out, (char)(word >> shift & 255)) != PUBSUB__BUF_OK) {
                *at = text.len;
                return false;
            }
        }
    }
    /* One lone digit is no byte; padding, when there is any, is complete. */
    return digits % 4 != 1 && (pads == 0 || digits % 4 + pads == 4);
}

size_t cli_escape(const char *text, char *out)
{
    static const char names[] = "ntr0eabfv\\";
    static const char values[] = "\n\t\r\0\033\a\b\f\v\\";
    const char *found;

    if (text[0] != '\\' || text[1] == '\0') {
        return 0;
    }
    if (text[1] == 'x') {
        int high = hex_value(text[2]);
        int low = high < 0 ? -1 : hex_value(text[3]);

        *out = (char)(low < 0 ? high : high << 4 | low);
        return high < 0 ? 0 : (low < 0 ? 3 : 4);
    }
    found = strchr(names, text[1]);
    if (found == NULL) {
        return 0;
    }
    *out = values[found - names];
    return 2;
}

bool cli_unescape(pubsub__buf *out, const char *text, size_t *at)
{
    for (*at = 0; text[*at] != '\0';) {
        char byte = text[*at];
        size_t n = 1;

        if (byte == '\\') {
            n = cli_escape(text + *at, &byte);
            if (n == 0) {
                return false;
            }
        }
        if (pubsub__buf_add_byte(out, byte) != PUBSUB__BUF_OK) {
            return false;
        }
        *at += n;
    }
    return true;
}
