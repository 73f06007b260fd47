/* SPDX-License-Identifier: MIT */
#include "base/rand.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <unistd.h>

static atomic_uint_fast64_t g_state;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;

bool pubsub__rand_secure(void *out, size_t len)
{
    unsigned char *at = out;
    while (len > 0) {
        ssize_t n = getrandom(at, len, 0);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static void seed(void)
{
    uint64_t value = 0;
    if (!pubsub__rand_secure(&value, sizeof(value))) {
        value = pubsub__clock_wall_ns() ^ ((uint64_t)getpid() << 40);
    }
    atomic_store_explicit(&g_state, value, memory_order_relaxed);
}

static void start(void)
{
    seed();
    /* Without this, parent and child would go on with the same numbers. */
    pthread_atfork(NULL, NULL, seed);
}

/* SplitMix64: a counter and a mixing step, so that threads share it with one atomic add. */
uint64_t pubsub__rand_u64(void)
{
    pthread_once(&g_once, start);
    const uint64_t step = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = atomic_fetch_add_explicit(&g_state, step, memory_order_relaxed) + step;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
