/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"

/* Group commit across processes: whoever holds the sync lock flushes everything up to the tail, so
 * those who waited for the lock mostly find their records flushed already. */

static int sync_segment(local_store *store, uint64_t base)
{
    if (store->sync_seg_fd < 0 || store->sync_seg_base != base) {
        char name[32];
        if (store->sync_seg_fd >= 0) {
            close(store->sync_seg_fd);
        }
        pubsub__local_seg_name(name, base);
        store->sync_seg_fd = openat(store->log_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        store->sync_seg_base = base;
        if (store->sync_seg_fd < 0) {
            return errno == ENOENT ? 0 : errno; /* removed by retention: nothing to flush */
        }
    }
    return pubsub__local_fdatasync(store->sync_seg_fd);
}

/* Flush all segments that hold bytes of [from, to). */
static int sync_range(local_store *store, uint64_t from, uint64_t active)
{
    if (from >= active) {
        return sync_segment(store, active);
    }
    uint64_t *bases = NULL;
    size_t count = 0;
    int rc = pubsub__local_list(store->log_fd, &bases, &count);
    for (size_t i = 0; i < count && rc == 0; i++) {
        bool ends_before = i + 1 < count && bases[i + 1] <= from;
        if (!ends_before && bases[i] <= active) {
            rc = sync_segment(store, bases[i]);
        }
    }
    pubsub__free(bases);
    return rc;
}

static int sync_dirs(local_store *store, uint64_t active)
{
    local_ctl *ctl = store->ctl;
    if (atomic_load(&ctl->dir_synced) == active) {
        return 0;
    }
    if (fsync(store->log_fd) < 0) {
        return errno;
    }
    atomic_store(&ctl->dir_synced, active);
    return 0;
}

static pubsub_err sync_locked(local_store *store, uint64_t upto, pubsub_error *err)
{
    local_ctl *ctl = store->ctl;
    if (atomic_load(&ctl->failed) != 0) {
        return pubsub__local_fail(
            err, PUBSUB_EIO,
            "%s: the disk failed to store data earlier; open it alone with local.repair=yes",
            store->dir);
    }
    uint64_t from = atomic_load(&ctl->synced);
    if (from >= upto) {
        return PUBSUB_OK;
    }
    /* The order matters: what is behind `tail` lies in segments up to the active one read after. */
    uint64_t ret_word = atomic_load(&ctl->ret_word);
    uint64_t tail = atomic_load(&ctl->tail);
    uint64_t active = atomic_load(&ctl->active_base);
    int sys = sync_range(store, from, active);
    if (sys == 0 && atomic_load(&ctl->ret_synced) != ret_word) {
        sys = pubsub__local_retain_sync(store, ret_word);
    }
    if (sys == 0) {
        sys = sync_dirs(store, active);
    }
    if (sys != 0) {
        /* The kernel may have dropped the pages it could not write and report success next time. */
        atomic_store(&ctl->failed, 1);
        (void)pubsub__local_fail_errno(store->dir, "the disk failed to store data", sys, err);
        return PUBSUB_EIO;
    }
    atomic_store(&ctl->ret_synced, ret_word);
    atomic_store(&ctl->synced, tail);
    return PUBSUB_OK;
}

pubsub_err pubsub__local_sync(local_store *store, local_position upto, pubsub_error *err)
{
    pubsub_err rc = pubsub__local_usable(store, true, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    if (atomic_load_explicit(&store->ctl->synced, memory_order_acquire) >= upto.offset) {
        return PUBSUB_OK;
    }
    atomic_store_explicit(&store->flushes, true, memory_order_relaxed);
    pthread_mutex_lock(&store->sync_mu);
    int sys = pubsub__local_flock(store->sync_fd, LOCK_EX);
    if (sys == 0) {
        rc = sync_locked(store, upto.offset, err);
        (void)pubsub__local_flock(store->sync_fd, LOCK_UN);
    } else {
        rc = pubsub__local_fail_errno(store->dir, "cannot lock the log", sys, err);
    }
    pthread_mutex_unlock(&store->sync_mu);
    return rc;
}
