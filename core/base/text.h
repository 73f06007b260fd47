/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_TEXT_H
#define PUBSUB_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Write bytes so that they can be shown in one line: `\n`, `\t`, `\\`, `\xNN` for other control
 * characters and for what is not UTF-8; the rest as it is. Cut with "..." when it does not fit,
 * never in the middle of a character. Always ends in NUL when size > 0. Returns out. */
const char *pubsub__text_escape(char *out, size_t size, const void *bytes, size_t len);

/* In place: control characters become spaces, what is not UTF-8 becomes '?', a sequence cut at the
 * end is removed. */
void pubsub__text_oneline(char *text);

/* Overwrite memory in a way the compiler does not remove, before it is freed. */
void pubsub__wipe(void *memory, size_t len);

bool pubsub__text_starts_with(const char *text, const char *prefix);

#endif
