/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_UTF8_H
#define PUBSUB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* How many bytes at the start of text are valid UTF-8; len when all are. Overlong forms,
 * surrogates, code points above U+10FFFF and cut sequences are invalid; NUL is valid. */
size_t pubsub__utf8_valid_prefix(const char *text, size_t len);

/* Whether all of it is valid. */
bool pubsub__utf8_check(const char *text, size_t len);

/* The length 1..4 of the valid sequence at the start of text, 0 when there is none. */
size_t pubsub__utf8_sequence(const char *text, size_t len);

/* The largest n <= limit at which text can be cut without splitting a sequence. text[0..limit) must
 * be valid up to a cut sequence at its end. */
size_t pubsub__utf8_cut(const char *text, size_t limit);

#endif
