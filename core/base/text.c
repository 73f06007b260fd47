/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/utf8.h"

#include <string.h>

static const char hex_digits[] = "0123456789ABCDEF";

/* Writes what stands for the character at text (at most 4 bytes) and returns its length; *used is
 * how many bytes it stands for. */
static size_t escape_one(const char *text, size_t len, char out[4], size_t *used)
{
    unsigned char c = (unsigned char)text[0];
    *used = 1;
    char letter = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c == '\\' ? '\\' : '\0';
    if (letter != '\0') {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    size_t n = pubsub__utf8_sequence(text, len);
    if (n == 0 || c < 0x20 || c == 0x7F) {
        out[0] = '\\';
        out[1] = 'x';
        out[2] = hex_digits[c >> 4];
        out[3] = hex_digits[c & 15];
        return 4;
    }
    memcpy(out, text, n);
    *used = n;
    return n;
}

const char *pubsub__text_escape(char *out, size_t size, const void *bytes, size_t len)
{
    static const char dots[] = "...";
    const char *text = bytes;
    size_t at = 0;
    size_t fits = 0; /* the longest prefix that leaves room for the dots */
    if (size == 0) {
        return out;
    }
    while (len > 0) {
        char piece[4];
        size_t used = 0;
        size_t n = escape_one(text, len, piece, &used);
        if (at + n >= size) {
            size_t room = size - 1 - fits;
            size_t ndots = room < sizeof(dots) - 1 ? room : sizeof(dots) - 1;
            memcpy(out + fits, dots, ndots);
            at = fits + ndots;
            break;
        }
        memcpy(out + at, piece, n);
        at += n;
        text += used;
        len -= used;
        if (at + sizeof(dots) <= size) {
            fits = at;
        }
    }
    out[at] = '\0';
    return out;
}

void pubsub__text_oneline(char *text)
{
    size_t len = strlen(text);
    size_t at = 0;
    while (at < len) {
        size_t n = pubsub__utf8_sequence(text + at, len - at);
        unsigned char c = (unsigned char)text[at];
        if (n == 0) {
            /* A lead byte whose sequence runs into the end was cut there. */
            bool cut = c >= 0xC2 && c <= 0xF4 && len - at < 4 && pubsub__utf8_cut(text, len) == at;
            if (cut) {
                text[at] = '\0';
                return;
            }
            text[at] = '?';
            n = 1;
        } else if (c < 0x20 || c == 0x7F) {
            text[at] = ' ';
        }
        at += n;
    }
}

void pubsub__wipe(void *memory, size_t len)
{
    volatile unsigned char *at = memory;
    while (len-- > 0) {
        *at++ = 0;
    }
}

bool pubsub__text_starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}
