/* SPDX-License-Identifier: MIT */
#include "client/internal.h"

/* Knowing a child process. */

static atomic_uint g_fork_generation;
static pthread_once_t g_fork_once = PTHREAD_ONCE_INIT;

static void in_child(void)
{
    atomic_fetch_add_explicit(&g_fork_generation, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, in_child);
}

uint32_t pubsub__fork_generation(void)
{
    pthread_once(&g_fork_once, watch_forks);
    return atomic_load_explicit(&g_fork_generation, memory_order_relaxed);
}

bool pubsub__client_forked(const pubsub_client *client)
{
    return atomic_load_explicit(&g_fork_generation, memory_order_relaxed) !=
           client->fork_generation;
}
