/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_SPI_SUPPORT_H
#define PUBSUB_SPI_SUPPORT_H

/** @file support.h
 *  What the library keeps once for a process and shares with adapters that are built apart from it: where
 *  memory comes from, and the seed of random numbers. An adapter may use its own instead. */

#include <pubsub/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Memory of the library's.
 *  @param size  bytes; 0 is fine.
 *  Returns:   memory that is not cleared, NULL when it is short.
 *  Thread:    any.
 *  Ownership: freed with pubsub_spi_free and nothing else.
 *  Since:     0.1    Source: - */
PUBSUB_API void *pubsub_spi_alloc(size_t size);

/** The same for an array, cleared.
 *  @param count  how many.
 *  @param size   bytes of each.
 *  Returns:   memory; NULL when it is short or the product is too large.
 *  Thread:    any.
 *  Ownership: freed with pubsub_spi_free and nothing else.
 *  Since:     0.1    Source: - */
PUBSUB_API void *pubsub_spi_calloc(size_t count, size_t size);

/** Make memory larger or smaller; it may move.
 *  @param old   what was allocated here, or NULL.
 *  @param size  bytes.
 *  Returns:   the memory; NULL when it is short, and `old` is as it was.
 *  Thread:    any.
 *  Ownership: `old` ends unless the result is NULL.
 *  Since:     0.1    Source: - */
PUBSUB_API void *pubsub_spi_realloc(void *old, size_t size);

/** Give memory back.
 *  @param memory  what was allocated here, or NULL.
 *  Returns:   nothing.
 *  Thread:    any.
 *  Ownership: ends.
 *  Since:     0.1    Source: - */
PUBSUB_API void pubsub_spi_free(void *memory);

/** A random number for names, jitter and choosing, not for keys. Differs in a child after fork.
 *  Returns:   any value, each equally likely.
 *  Thread:    any.
 *  Ownership: -
 *  Since:     0.1    Source: - */
PUBSUB_API uint64_t pubsub_spi_random(void);

#ifdef __cplusplus
}
#endif

#endif
