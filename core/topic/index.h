/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TOPIC_INDEX_H
#define PUBSUB_TOPIC_INDEX_H

/* Which of many patterns match a topic: a trie of levels. A match walks the topic once with the set
 * of trie nodes reached so far, so its cost is at most levels * nodes whatever the patterns are,
 * and it allocates nothing. Not thread-safe, also not for two matches at once (the walk marks
 * nodes). */

#include <pubsub/error.h>

typedef struct pubsub__topic_index pubsub__topic_index;

/* Called once for each matching (pattern, value); must not change the index. */
typedef void (*pubsub__topic_index_fn)(void *ctx, void *value);

/* max_entries bounds the number of (pattern, value) pairs. */
pubsub_err pubsub__topic_index_new(pubsub__topic_index **out, size_t max_entries);
void pubsub__topic_index_free(pubsub__topic_index *index);

/* Add a valid pattern. The same pair twice counts twice. PUBSUB_EAGAIN when max_entries is reached,
 * PUBSUB_ENOMEM. */
pubsub_err pubsub__topic_index_add(pubsub__topic_index *index, const char *pattern, size_t len,
                                   void *value);
/* Remove one pair; false when it is not there. Never fails for lack of memory. */
bool pubsub__topic_index_remove(pubsub__topic_index *index, const char *pattern, size_t len,
                                void *value);
size_t pubsub__topic_index_count(const pubsub__topic_index *index);

/* Call fn for each pair whose pattern matches; returns how many. fn may be NULL. */
size_t pubsub__topic_index_match(pubsub__topic_index *index, const char *topic, size_t len,
                                 pubsub__topic_index_fn fn, void *ctx);

#endif
