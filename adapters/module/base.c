/* SPDX-License-Identifier: MIT */
/* In place of base/alloc.c and the seed of base/rand.c in an adapter that is a module: both belong to the
 * library it was opened by, so that nothing of them is there twice. What else it uses of core/base keeps no
 * state and is linked into the module. */
#include "base/alloc.h"
#include "base/rand.h"

#include <pubsub/spi/support.h>

void *pubsub__alloc(size_t size)
{
    return pubsub_spi_alloc(size);
}

void *pubsub__calloc(size_t count, size_t size)
{
    return pubsub_spi_calloc(count, size);
}

void *pubsub__realloc(void *old, size_t size)
{
    return pubsub_spi_realloc(old, size);
}

void pubsub__free(void *ptr)
{
    pubsub_spi_free(ptr);
}

uint64_t pubsub__rand_u64(void)
{
    return pubsub_spi_random();
}
