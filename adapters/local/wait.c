/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "local/internal.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"

/* One futex word for the whole bus; who waits names the bits it cares for, who appends names the bits
 * of its topics, so that most wake-ups concern only those who will read something. It works on a
 * mapping that may only be read. */

static long futex_wake(local_ctl *ctl, uint32_t bits)
{
    return syscall(SYS_futex, &ctl->gen, FUTEX_WAKE_BITSET, INT32_MAX, NULL, NULL, bits);
}

uint32_t pubsub__local_topic_hash(const char *topic, size_t len)
{
    return pubsub__crc32c(0, topic, len);
}

uint32_t pubsub__local_topic_bits(const char *topic, size_t len)
{
    const char *slash = len == 0 ? NULL : memchr(topic, '/', len);
    size_t level = slash == NULL ? len : (size_t)(slash - topic);
    return 1u << (pubsub__crc32c(0, topic, level) % 31u);
}

uint32_t pubsub__local_generation(const local_store *store)
{
    return atomic_load(&store->ctl->gen);
}

void pubsub__local_ring(local_store *store, uint32_t bits)
{
    atomic_fetch_add(&store->ctl->gen, 1);
    (void)futex_wake(store->ctl, bits);
}

bool pubsub__local_wait(local_store *store, uint32_t generation, uint32_t bits, int64_t timeout_ms)
{
    struct timespec deadline, *until = NULL;
    if (timeout_ms >= 0) {
        uint64_t at = pubsub__clock_mono_ns() + (uint64_t)timeout_ms * 1000000u;
        deadline.tv_sec = (time_t)(at / LOCAL_NS_PER_S);
        deadline.tv_nsec = (long)(at % LOCAL_NS_PER_S);
        until = &deadline;
    }
    long rc = 0;
    int saved = 0;
    atomic_fetch_add(&store->waiting, 1);
    if (!atomic_load(&store->stop_waits) && !atomic_load(&store->dead)) {
        do {
            rc = syscall(SYS_futex, &store->ctl->gen, FUTEX_WAIT_BITSET, generation, until, NULL,
                         bits | LOCAL_SELF_BIT);
            saved = errno;
        } while (rc < 0 && saved == EINTR && !atomic_load(&store->stop_waits));
    }
    atomic_fetch_sub(&store->waiting, 1);
    return rc == 0 || saved != ETIMEDOUT;
}

void pubsub__local_wake_self(local_store *store)
{
    atomic_store(&store->stop_waits, true);
    /* A waiter may be between its look at stop_waits and the kernel. With a changed word the kernel
     * sends it back; a read-only bus has no word to change, so ring until nobody waits. */
    if (!store->readonly && !atomic_load(&store->dead)) {
        atomic_fetch_add(&store->ctl->gen, 1);
    }
    while (atomic_load(&store->waiting) != 0) {
        (void)futex_wake(store->ctl, LOCAL_SELF_BIT);
        if (!store->readonly) {
            break;
        }
        sched_yield();
    }
}

void pubsub__local_wake_clear(local_store *store)
{
    atomic_store(&store->stop_waits, false);
}
