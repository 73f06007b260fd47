/* SPDX-License-Identifier: MIT */
#include "local/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t pubsub__local_position_format(local_position pos, char buf[LOCAL_POSITION_TEXT])
{
    int len = snprintf(buf, LOCAL_POSITION_TEXT, "e%" PRIu32 "-%" PRIu64, pos.epoch, pos.offset);
    return len < 0 ? 0 : (size_t)len;
}

/* Decimal digits without sign or leading zeros, up to max. Returns how many were read, 0 = none. */
static size_t read_number(const char *text, size_t len, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    size_t n = 0;
    for (; n < len && text[n] >= '0' && text[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(text[n] - '0');
        if (value > (max - digit) / 10 || (n == 1 && text[0] == '0')) {
            return 0;
        }
        value = value * 10 + digit;
    }
    *out = value;
    return n;
}

bool pubsub__local_position_parse(const char *text, size_t len, local_position *out)
{
    uint64_t epoch = 0, offset = 0;
    if (text == NULL || len < 4 || len >= LOCAL_POSITION_TEXT || text[0] != 'e') {
        return false;
    }
    size_t n = 1 + read_number(text + 1, len - 1, UINT32_MAX, &epoch);
    if (n == 1 || n + 1 >= len || text[n] != '-' || epoch == 0) {
        return false;
    }
    size_t digits = read_number(text + n + 1, len - n - 1, INT64_MAX, &offset);
    if (digits == 0 || n + 1 + digits != len || offset % 8 != 0) {
        return false;
    }
    out->epoch = (uint32_t)epoch;
    out->offset = offset;
    return true;
}
