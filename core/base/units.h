/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_UNITS_H
#define PUBSUB_BASE_UNITS_H

/* Numbers, durations and sizes as people write them. No white space, no locale; a whole text or
 * nothing. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PUBSUB__UNITS_OK = 0,
    PUBSUB__UNITS_SYNTAX = 1, /* not such a text */
    PUBSUB__UNITS_RANGE = 2,  /* too big for 64 bits */
};

/* "-12", "0", "42"; leading zeros are fine. */
int pubsub__parse_int(const char *text, int64_t *out);

/* Milliseconds: "250ms", "5s", "1.5s", "2m", "1h", "1d", a bare number of milliseconds, and "-1" or
 * "forever", which give -1. Fractions of a millisecond are rounded up, so that what is not 0 stays
 * so. */
int pubsub__parse_duration(const char *text, int64_t *out_ms);

/* Bytes: "512", "64k", "8M", "1G", "1T" (also lower or upper case, "KiB", "kB"), powers of 1024. */
int pubsub__parse_size(const char *text, int64_t *out);

/* yes no true false on off 1 0, upper or lower case. */
int pubsub__parse_bool(const char *text, bool *out);

/* The shortest exact text that parses back: "1500ms" -> "1500ms", 2000 -> "2s", -1 -> "forever". */
const char *pubsub__format_duration(int64_t ms, char *buf, size_t size);
const char *pubsub__format_size(int64_t bytes, char *buf, size_t size);

#endif
