/* SPDX-License-Identifier: MIT */
#include "base/nearest.h"

#include <stdint.h>
#include <string.h>

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t pubsub__edit_distance(const char *a, const char *b)
{
    size_t alen = strlen(a);
    size_t blen = strlen(b);
    if (alen > PUBSUB__NEAREST_MAX || blen > PUBSUB__NEAREST_MAX) {
        return alen > blen ? alen : blen;
    }
    /* Three rows of the table: two back for swapped neighbours, one back, and the current one. */
    size_t rows[3][PUBSUB__NEAREST_MAX + 1];
    for (size_t j = 0; j <= blen; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= alen; i++) {
        size_t *now = rows[i % 3];
        const size_t *last = rows[(i + 2) % 3];
        const size_t *before = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= blen; j++) {
            size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + cost);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < now[j]) {
                now[j] = before[j - 2] + 1;
            }
        }
    }
    return rows[alen % 3][blen];
}

void pubsub__nearest_init(pubsub__nearest *nearest, const char *word)
{
    *nearest = (pubsub__nearest){.word = word, .best = NULL, .distance = SIZE_MAX};
}

void pubsub__nearest_offer(pubsub__nearest *nearest, const char *candidate)
{
    size_t distance = pubsub__edit_distance(nearest->word, candidate);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->best = candidate;
    }
}

const char *pubsub__nearest_result(const pubsub__nearest *nearest)
{
    if (nearest->best == NULL) {
        return NULL;
    }
    size_t len = strlen(nearest->word);
    size_t allowed = len < 6 ? (len + 1) / 2 : 3;
    if (nearest->distance > allowed || nearest->distance >= strlen(nearest->best)) {
        return NULL;
    }
    return nearest->best;
}
