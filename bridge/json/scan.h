/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SCAN_H
#define PUBSUB_BRIDGE_SCAN_H

/* What the files of this folder share: a place in some bytes, and the inner loops, which look at eight
 * bytes at a time. */

#include "json/slice.h"

#include <string.h>

typedef struct bridge_json_scan {
    const unsigned char *begin;
    const unsigned char *at;
    const unsigned char *end;
} bridge_json_scan;

static inline bridge_json_scan bridge_json_scan_of(pubsub_bytes bytes)
{
    const unsigned char *begin = bytes.data != NULL ? bytes.data : (const unsigned char *)"";
    return (bridge_json_scan){begin, begin, begin + bytes.len};
}

static inline bool bridge_json_is_space(unsigned char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static inline void bridge_json_skip_space(bridge_json_scan *scan)
{
    while (scan->at < scan->end && bridge_json_is_space(*scan->at)) {
        scan->at++;
    }
}

/* White space off both ends. */
static inline pubsub_bytes bridge_json_trim(pubsub_bytes value)
{
    bridge_json_scan scan = bridge_json_scan_of(value);
    bridge_json_skip_space(&scan);
    while (scan.end > scan.at && bridge_json_is_space(scan.end[-1])) {
        scan.end--;
    }
    return (pubsub_bytes){scan.at, (size_t)(scan.end - scan.at)};
}

#define BRIDGE_JSON_EACH(byte) ((uint64_t)(byte)*UINT64_C(0x0101010101010101))

/* The high bit of each byte that is `byte`. Exact up to the first hit, which is all that is asked of it;
 * bytes from 0x80 may count as hits. */
static inline uint64_t bridge_json_equals(uint64_t word, unsigned char byte)
{
    return (word ^ BRIDGE_JSON_EACH(byte)) - BRIDGE_JSON_EACH(0x01);
}

/* The first quote or backslash; end when there is none. */
static inline const unsigned char *bridge_json_find_quote(const unsigned char *at,
                                                          const unsigned char *end)
{
    uint64_t word;
    while ((size_t)(end - at) >= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        uint64_t hits = bridge_json_equals(word, '"') | bridge_json_equals(word, '\\');
        /* A byte from 0x80 is neither. */
        if ((hits & ~word & BRIDGE_JSON_EACH(0x80)) != 0) {
            break;
        }
        at += sizeof(word);
    }
    while (at < end && *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

/* The first byte of a string that is not simply itself: quote, backslash, control, not ASCII. */
static inline const unsigned char *bridge_json_find_special(const unsigned char *at,
                                                            const unsigned char *end)
{
    uint64_t word;
    while ((size_t)(end - at) >= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        uint64_t hits = bridge_json_equals(word, '"') | bridge_json_equals(word, '\\') |
                        (word - BRIDGE_JSON_EACH(0x20)) | word;
        if ((hits & BRIDGE_JSON_EACH(0x80)) != 0) {
            break;
        }
        at += sizeof(word);
    }
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20 && *at < 0x80) {
        at++;
    }
    return at;
}

/* From a backslash to behind the escape; what it means as UTF-8. A surrogate without its partner means
 * U+FFFD. Returns the number of bytes, 0 when it is no escape. */
size_t bridge_json_escape(bridge_json_scan *scan, char out[4]);

#endif
