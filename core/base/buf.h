/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_BUF_H
#define PUBSUB_BASE_BUF_H

/* A growing buffer that never gets bigger than the maximum it was given. The content is always
 * followed by a NUL that is not counted, so that text can be used as a C string. */

#include <pubsub/types.h>

#include <stdarg.h>

enum {
    PUBSUB__BUF_OK = 0,
    PUBSUB__BUF_FULL = 1,  /* would exceed the maximum; nothing was added */
    PUBSUB__BUF_NOMEM = 2, /* nothing was added */
};

typedef struct pubsub__buf {
    char *data; /* NULL while nothing was ever added */
    size_t len;
    size_t cap; /* without the NUL */
    size_t max;
} pubsub__buf;

void pubsub__buf_init(pubsub__buf *buf, size_t max);
void pubsub__buf_fini(pubsub__buf *buf);  /* also after a failure; init again before reuse */
void pubsub__buf_reset(pubsub__buf *buf); /* empty, keeps the memory */

/* All return PUBSUB__BUF_*. */
int pubsub__buf_reserve(pubsub__buf *buf, size_t more);
int pubsub__buf_add(pubsub__buf *buf, const void *data, size_t len);
int pubsub__buf_add_byte(pubsub__buf *buf, char byte);
int pubsub__buf_add_text(pubsub__buf *buf, const char *text);
int pubsub__buf_printf(pubsub__buf *buf, const char *format, ...) PUBSUB_PRINTF(2, 3);
int pubsub__buf_vprintf(pubsub__buf *buf, const char *format, va_list args) PUBSUB_PRINTF(2, 0);

/* Remove the first n bytes (n <= len). */
void pubsub__buf_drop(pubsub__buf *buf, size_t n);

/* The content as a string, "" when empty; lives until the next change. */
const char *pubsub__buf_text(const pubsub__buf *buf);

/* Hand the memory to the caller (pubsub__free) and start empty; NULL when nothing was ever added.
 */
char *pubsub__buf_take(pubsub__buf *buf);

#endif
