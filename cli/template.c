/* SPDX-License-Identifier: MIT */
#include "template.h"

#include "when.h"

#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEMPLATE_RANDOM_MAX 65536u

static bool put_random(pubsub__buf *out, unsigned min, unsigned max)
{
    size_t len = min + (size_t)pubsub__rand_below((uint64_t)(max - min) + 1);

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

/* The field between {{ and }}; *known tells whether it is one. */
static bool put_field(pubsub__buf *out, const char *field, uint64_t count, uint64_t now_ns,
                      const char *id, bool *known)
{
    char text[64];
    unsigned min;
    unsigned max;
    char more;

    *known = true;
    if (strcmp(field, "Count") == 0) {
        return pubsub__buf_printf(out, "%" PRIu64, count) == PUBSUB__BUF_OK;
    }
    if (strcmp(field, "Time") == 0) {
        return pubsub__buf_add_text(out, cli_when_iso(now_ns, text, sizeof(text))) ==
               PUBSUB__BUF_OK;
    }
    if (strcmp(field, "ID") == 0) {
        return pubsub__buf_add_text(out, id) == PUBSUB__BUF_OK;
    }
    if (sscanf(field, "Random %5u %5u%c", &min, &max, &more) == 2 && min <= max &&
        max <= TEMPLATE_RANDOM_MAX) {
        return put_random(out, min, max);
    }
    *known = false;
    return true;
}

bool cli_template_add(pubsub__buf *out, pubsub_bytes text, uint64_t count, uint64_t now_ns,
                      const char *id)
{
    const char *data = text.data;

    for (size_t at = 0; at < text.len;) {
        char field[32];
        size_t len = 0;
        bool known = false;

        if (text.len - at >= 4 && data[at] == '{' && data[at + 1] == '{') {
            while (len < sizeof(field) - 1 && at + 2 + len < text.len &&
                   data[at + 2 + len] != '}') {
                field[len] = data[at + 2 + len];
                len++;
            }
            field[len] = '\0';
            if (at + 3 + len < text.len && data[at + 2 + len] == '}' &&
                data[at + 3 + len] == '}' &&
                !put_field(out, field, count, now_ns, id, &known)) {
                return false;
            }
        }
        if (!known && pubsub__buf_add_byte(out, data[at]) != PUBSUB__BUF_OK) {
            return false;
        }
        at += known ? len + 4 : 1;
    }
    return true;
}
