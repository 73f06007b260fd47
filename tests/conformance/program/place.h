/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_PROGRAM_PLACE_H
#define PUBSUB_TESTS_PROGRAM_PLACE_H

#include <stdbool.h>

/* The broker of all cases; both texts must stay. In `url`, {unique} becomes a text that each case has for
 * itself, {dir} a new directory. dead_url NULL = there is none. */
void place_set(const char *url, const char *dead_url);
/* Whether it is the same for all cases. */
bool place_is_fixed(const char *url);

#endif
