/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TYPES_H
#define PUBSUB_TYPES_H

/** @file types.h
 *  Small value types shared by every public header. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(PUBSUB_STATIC)
#define PUBSUB_API
#elif defined(__GNUC__)
#define PUBSUB_API __attribute__((visibility("default")))
#else
#define PUBSUB_API
#endif

#if defined(__GNUC__)
#define PUBSUB_PRINTF(format_index, first_arg)                                                     \
    __attribute__((format(printf, format_index, first_arg)))
#else
#define PUBSUB_PRINTF(format_index, first_arg)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** A duration in milliseconds; -1 (PUBSUB_FOREVER) means no limit where a limit is optional. */
typedef int64_t pubsub_duration_ms;

/** No limit; accepted by every parameter documented as "-1 = no limit". */
#define PUBSUB_FOREVER ((pubsub_duration_ms)-1)

/** Borrowed bytes: any value including NUL; data may be NULL only when len is 0. */
typedef struct pubsub_bytes {
    const void *data;
    size_t len;
} pubsub_bytes;

/** The bytes of a NUL-terminated string literal or variable, without the NUL.
 *  @param text  may be NULL, which gives no bytes.
 *  Returns:   the bytes.
 *  Thread:    any.
 *  Ownership: the result borrows text.
 *  Since:     0.1    Source: - */
PUBSUB_API pubsub_bytes pubsub_bytes_of(const char *text);

#ifdef __cplusplus
}
#endif

#endif
