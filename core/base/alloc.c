/* SPDX-License-Identifier: MIT */
#include "base/alloc.h"

#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint_fast64_t g_count;
static atomic_int_fast64_t g_live;
static atomic_uint_fast64_t g_fail_at;

static int should_fail(void)
{
    uint64_t n = atomic_fetch_add_explicit(&g_count, 1, memory_order_relaxed) + 1;
    return n == atomic_load_explicit(&g_fail_at, memory_order_relaxed);
}

static void *born(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_add_explicit(&g_live, 1, memory_order_relaxed);
    }
    return ptr;
}

void *pubsub__alloc(size_t size)
{
    return should_fail() ? NULL : born(malloc(size == 0 ? 1 : size));
}

void *pubsub__calloc(size_t count, size_t size)
{
    if (count == 0 || size == 0) {
        count = size = 1;
    }
    return should_fail() ? NULL : born(calloc(count, size));
}

void *pubsub__realloc(void *old, size_t size)
{
    if (should_fail()) {
        return NULL;
    }
    void *ptr = realloc(old, size == 0 ? 1 : size);
    return old == NULL ? born(ptr) : ptr;
}

void pubsub__free(void *ptr)
{
    if (ptr != NULL) {
        atomic_fetch_sub_explicit(&g_live, 1, memory_order_relaxed);
        free(ptr);
    }
}

void pubsub__alloc_fail_at(uint64_t nth)
{
    uint64_t now = atomic_load_explicit(&g_count, memory_order_relaxed);
    atomic_store_explicit(&g_fail_at, nth == 0 ? 0 : now + nth, memory_order_relaxed);
}

uint64_t pubsub__alloc_count(void)
{
    return atomic_load_explicit(&g_count, memory_order_relaxed);
}

int64_t pubsub__alloc_live(void)
{
    return atomic_load_explicit(&g_live, memory_order_relaxed);
}
