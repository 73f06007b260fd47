/* SPDX-License-Identifier: MIT */
#include "template.h"

#include "base/when.h"

#include "base/rand.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define TEMPLATE_RANDOM_MAX 65536

static bool put_random(pubsub__buf *out, size_t min, size_t max)
{
    size_t len = min + (size_t)pubsub__rand_below(max - min + 1);

    while (len > 0) {
        char name[65];
        size_t n = len < sizeof(name) - 1 ? len : sizeof(name) - 1;

        pubsub__rand_name(name, n);
        if (pubsub__buf_add(out, name, n) != PUBSUB__BUF_OK) {
            return false;
        }
        len -= n;
    }
    return true;
}

/* "Random MIN MAX", in decimal. */
static bool parse_random(const char *field, unsigned long *min, unsigned long *max)
{
    char *end;

    if (strncmp(field, "Random ", 7) != 0 || field[7] < '0' || field[7] > '9') {
        return false;
    }
    *min = strtoul(field + 7, &end, 10);
    if (*end != ' ' || end[1] < '0' || end[1] > '9') {
        return false;
    }
    *max = strtoul(end + 1, &end, 10);
    return *end == '\0' && *min <= *max && *max <= TEMPLATE_RANDOM_MAX;
}

/* The field between {{ and }}; *known tells whether it is one. */
static bool put_field(pubsub__buf *out, const char *field, uint64_t count, uint64_t now_ns,
                      const char *id, bool *known)
{
    char text[64];
    unsigned long min;
    unsigned long max;

    *known = true;
    if (strcmp(field, "Count") == 0) {
        return pubsub__buf_printf(out, "%" PRIu64, count) == PUBSUB__BUF_OK;
    }
    if (strcmp(field, "Time") == 0) {
        return pubsub__buf_add_text(out, pubsub__when_iso(now_ns, text, sizeof(text))) ==
               PUBSUB__BUF_OK;
    }
    if (strcmp(field, "ID") == 0) {
        return pubsub__buf_add_text(out, id) == PUBSUB__BUF_OK;
    }
    if (parse_random(field, &min, &max)) {
        return put_random(out, min, max);
    }
    *known = false;
    return true;
}

/* What stands between the {{ at data[at] and its }}; its length, SIZE_MAX when it is no field. */
static size_t take_field(const char *data, size_t left, char *field, size_t size)
{
    size_t len = 0;

    memset(field, 0, size);
    if (left < 4 || data[0] != '{' || data[1] != '{') {
        return SIZE_MAX;
    }
    while (len < size - 1 && 2 + len < left && data[2 + len] != '}') {
        field[len] = data[2 + len];
        len++;
    }
    return 3 + len < left && data[2 + len] == '}' && data[3 + len] == '}' ? len : SIZE_MAX;
}

bool cli_template_add(pubsub__buf *out, pubsub_bytes text, uint64_t count, uint64_t now_ns,
                      const char *id)
{
    const char *data = text.data;

    for (size_t at = 0; at < text.len;) {
        char field[32];
        size_t len =
            data[at] == '{' ? take_field(data + at, text.len - at, field, sizeof(field)) : SIZE_MAX;
        bool known = false;

        if (len != SIZE_MAX && !put_field(out, field, count, now_ns, id, &known)) {
            return false;
        }
        if (!known && pubsub__buf_add_byte(out, data[at]) != PUBSUB__BUF_OK) {
            return false;
        }
        at += known ? len + 4 : 1;
    }
    return true;
}
