/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_NEAREST_H
#define PUBSUB_BASE_NEAREST_H

/* "Did you mean ...?": offer candidates one by one, then ask for the best. */

#include <stddef.h>

/* Longer words are never near anything, which bounds the cost. */
#define PUBSUB__NEAREST_MAX 64

typedef struct pubsub__nearest {
    const char *word;
    const char *best;
    size_t distance;
} pubsub__nearest;

void pubsub__nearest_init(pubsub__nearest *nearest, const char *word);
/* candidate must live as long as the result is used. */
void pubsub__nearest_offer(pubsub__nearest *nearest, const char *candidate);
/* The nearest candidate, NULL when none is near enough to be what was meant. */
const char *pubsub__nearest_result(const pubsub__nearest *nearest);

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b; the longer length
 * when either is longer than PUBSUB__NEAREST_MAX. */
size_t pubsub__edit_distance(const char *a, const char *b);

#endif
