/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

static bool in_range(unsigned char byte, unsigned low, unsigned high)
{
    return byte >= low && byte <= high;
}

size_t pubsub__utf8_sequence(const char *text, size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        return 1;
    }
    /* The range of the second byte is what keeps out overlong forms, surrogates and > U+10FFFF. */
    size_t need = 0;
    unsigned low = 0x80;
    unsigned high = 0xBF;
    if (in_range(s[0], 0xC2, 0xDF)) {
        need = 2;
    } else if (in_range(s[0], 0xE0, 0xEF)) {
        need = 3;
        low = s[0] == 0xE0 ? 0xA0 : low;
        high = s[0] == 0xED ? 0x9F : high;
    } else if (in_range(s[0], 0xF0, 0xF4)) {
        need = 4;
        low = s[0] == 0xF0 ? 0x90 : low;
        high = s[0] == 0xF4 ? 0x8F : high;
    }
    if (need == 0 || len < need || !in_range(s[1], low, high)) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if (!in_range(s[i], 0x80, 0xBF)) {
            return 0;
        }
    }
    return need;
}

size_t pubsub__utf8_valid_prefix(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        if (len - at >= sizeof(word)) {
            memcpy(&word, text + at, sizeof(word));
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                at += sizeof(word);
                continue;
            }
        }
        size_t n = pubsub__utf8_sequence(text + at, len - at);
        if (n == 0) {
            break;
        }
        at += n;
    }
    return at;
}

bool pubsub__utf8_check(const char *text, size_t len)
{
    return pubsub__utf8_valid_prefix(text, len) == len;
}

size_t pubsub__utf8_cut(const char *text, size_t limit)
{
    size_t start = limit;
    for (int back = 0; back < 4 && start > 0; back++) {
        start--;
        if (((unsigned char)text[start] & 0xC0) != 0x80) {
            return start + pubsub__utf8_sequence(text + start, limit - start);
        }
    }
    return limit;
}
