/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <unistd.h>

/* Locks of the kernel belong to the open file, which a forked child shares: unless the child closes
 * its copies, it keeps the parent's locks alive after the parent died. */

static pthread_mutex_t g_mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t g_once = PTHREAD_ONCE_INIT;
static local_store *g_stores;

static void before_fork(void)
{
    pthread_mutex_lock(&g_mu);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&g_mu);
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void in_child(void)
{
    for (local_store *store = g_stores; store != NULL; store = store->fork_next) {
        atomic_store(&store->dead, true);
        close_fd(&store->append_fd);
        close_fd(&store->sync_fd);
        close_fd(&store->alive_fd);
        close_fd(&store->write_fd);
        close_fd(&store->ret_write_fd);
        close_fd(&store->sync_seg_fd);
        for (local_group *group = store->groups; group != NULL;
             group = *pubsub__local_group_link(group)) {
            close_fd(pubsub__local_group_fd(group));
        }
    }
    pthread_mutex_unlock(&g_mu);
}

static void install(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

void pubsub__local_fork_add(local_store *store)
{
    pthread_once(&g_once, install);
    pthread_mutex_lock(&g_mu);
    store->fork_next = g_stores;
    g_stores = store;
    pthread_mutex_unlock(&g_mu);
}

void pubsub__local_fork_remove(local_store *store)
{
    pthread_mutex_lock(&g_mu);
    for (local_store **at = &g_stores; *at != NULL; at = &(*at)->fork_next) {
        if (*at == store) {
            *at = store->fork_next;
            break;
        }
    }
    pthread_mutex_unlock(&g_mu);
}

void pubsub__local_fork_add_group(local_store *store, local_group *group)
{
    pthread_mutex_lock(&g_mu);
    *pubsub__local_group_link(group) = store->groups;
    store->groups = group;
    pthread_mutex_unlock(&g_mu);
}

void pubsub__local_fork_remove_group(local_store *store, local_group *group)
{
    pthread_mutex_lock(&g_mu);
    for (local_group **at = &store->groups; *at != NULL; at = pubsub__local_group_link(*at)) {
        if (*at == group) {
            *at = *pubsub__local_group_link(group);
            break;
        }
    }
    pthread_mutex_unlock(&g_mu);
}
