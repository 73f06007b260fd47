/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"
#include "base/rand.h"

#include <pubsub/spi/support.h>

/* The library's memory and random numbers for adapters that are built apart from it. */

void *pubsub_spi_alloc(size_t size)
{
    return pubsub__alloc(size);
}

void *pubsub_spi_calloc(size_t count, size_t size)
{
    return pubsub__calloc(count, size);
}

void *pubsub_spi_realloc(void *old, size_t size)
{
    return pubsub__realloc(old, size);
}

void pubsub_spi_free(void *memory)
{
    pubsub__free(memory);
}

uint64_t pubsub_spi_random(void)
{
    return pubsub__rand_u64();
}
