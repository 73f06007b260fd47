/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TOPIC_LEVEL_H
#define PUBSUB_TOPIC_LEVEL_H

/* Levels of topics and patterns, one after the other. A cursor stands at the first byte of a level;
 * behind the last level it is at len + 1 (the last level may be empty, so len is still a level). */

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The length of the level that begins at `at` <= len. */
static inline size_t pubsub__level_len(const char *text, size_t len, size_t at)
{
    const char *slash = at == len ? NULL : memchr(text + at, '/', len - at);
    return slash == NULL ? len - at : (size_t)(slash - text) - at;
}

static inline bool pubsub__level_is_plus(const char *level, size_t n)
{
    return n == 1 && level[0] == '+';
}

/* `#`, or `*`, which means the same. */
static inline bool pubsub__level_is_hash(const char *level, size_t n)
{
    return n == 1 && (level[0] == '#' || level[0] == '*');
}

static inline bool pubsub__level_is_wild(const char *level, size_t n)
{
    return pubsub__level_is_plus(level, n) || pubsub__level_is_hash(level, n);
}

#endif
