/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_WHEN_H
#define PUBSUB_BASE_WHEN_H

/* Points in time as people write them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 3339 ("2026-02-14T08:00:00Z", also a blank for T, a fraction, an offset, or only the date),
 * "@1771056000.5" for seconds since 1970, "-5m" and "+5m" for now less or plus a duration. Nanoseconds
 * since 1970 UTC in *out_ns. False when it is no such text or out of range. */
bool pubsub__when_parse(const char *text, uint64_t now_ns, uint64_t *out_ns);

/* "2026-02-14T08:00:00.123456Z"; cut to size. Returns buf. */
const char *pubsub__when_iso(uint64_t ns, char *buf, size_t size);

#endif
