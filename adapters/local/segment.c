/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

/* A mapped segment stays readable after retention has unlinked it: the mapping holds the file. Only
 * recovery makes a file shorter, and it runs when nobody has the bus open. */

static int open_segment(const local_store *store, uint64_t base, local_seg_head *head, int *fd)
{
    char name[32];
    uint8_t bytes[SEG_HEAD];
    size_t got = 0;
    pubsub__local_seg_name(name, base);
    *fd = openat(store->log_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) {
        return errno;
    }
    int rc = pubsub__local_pread(*fd, bytes, sizeof(bytes), 0, &got);
    if (rc == 0 &&
        (got < SEG_HEAD || !pubsub__local_seg_head_decode(bytes, base, store->uuid, head))) {
        rc = EBADMSG;
    }
    if (rc != 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

pubsub_err pubsub__local_seg_read_head(const local_store *store, uint64_t base, local_seg_head *out)
{
    int fd;
    int rc = open_segment(store, base, out, &fd);
    if (rc == 0) {
        close(fd);
        return PUBSUB_OK;
    }
    return rc == EBADMSG ? PUBSUB_ECORRUPT : pubsub__local_errno_code(rc);
}

static pubsub_err map_segment(local_store *store, uint64_t base, local_seg **out, pubsub_error *err)
{
    local_seg *seg = pubsub__calloc(1, sizeof(*seg));
    if (seg == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for a segment of %s", store->dir);
    }
    int rc = open_segment(store, base, &seg->head, &seg->fd);
    if (rc == 0) {
        void *map = mmap(NULL, seg->head.size, PROT_READ, MAP_SHARED, seg->fd, 0);
        if (map == MAP_FAILED) {
            rc = errno;
            close(seg->fd);
        } else {
            seg->map = map;
        }
    }
    if (rc == 0) {
        *out = seg;
        return PUBSUB_OK;
    }
    pubsub__free(seg);
    if (rc == EBADMSG) {
        return pubsub__local_fail(err, PUBSUB_ECORRUPT, "a segment of %s has a damaged head",
                                  store->dir);
    }
    return pubsub__local_fail_errno(store->dir, "cannot read a segment", rc, err);
}

pubsub_err pubsub__local_seg_get(local_store *store, uint64_t base, local_seg **out,
                                 pubsub_error *err)
{
    pubsub_err rc = PUBSUB_OK;
    pthread_mutex_lock(&store->seg_mu);
    local_seg *seg = store->segs;
    while (seg != NULL && seg->head.base != base) {
        seg = seg->next;
    }
    if (seg == NULL) {
        rc = map_segment(store, base, &seg, err);
        if (rc == PUBSUB_OK && seg != NULL) {
            seg->next = store->segs;
            store->segs = seg;
        }
    }
    if (rc == PUBSUB_OK && seg != NULL) {
        seg->refs++;
        *out = seg;
    }
    pthread_mutex_unlock(&store->seg_mu);
    return rc;
}

void pubsub__local_seg_put(local_store *store, local_seg *seg)
{
    if (seg == NULL) {
        return;
    }
    bool shared =
        !atomic_load(&store->dead); /* a child of fork has neither threads nor a sane lock */
    if (shared) {
        pthread_mutex_lock(&store->seg_mu);
    }
    if (--seg->refs > 0) {
        seg = NULL;
    } else {
        for (local_seg **at = &store->segs; *at != NULL; at = &(*at)->next) {
            if (*at == seg) {
                *at = seg->next;
                break;
            }
        }
    }
    if (shared) {
        pthread_mutex_unlock(&store->seg_mu);
    }
    if (seg != NULL) {
        union {
            const uint8_t *in;
            void *out;
        } map = {seg->map};
        munmap(map.out, seg->head.size);
        close(seg->fd);
        pubsub__free(seg);
    }
}

size_t pubsub__local_seg_usable(local_seg *seg, size_t end, bool sealed)
{
    uint64_t size = atomic_load_explicit(&seg->file_size, memory_order_relaxed);
    if (end <= size) {
        return end;
    }
    if (!atomic_load_explicit(&seg->final, memory_order_relaxed)) {
        struct stat st;
        size = fstat(seg->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
        size = size < seg->head.size ? size : seg->head.size;
        atomic_store_explicit(&seg->file_size, size, memory_order_relaxed);
        if (sealed) {
            atomic_store_explicit(&seg->final, true, memory_order_relaxed);
        }
    }
    return end < size ? end : (size_t)size;
}

pubsub_err pubsub__local_seg_find(local_store *store, uint64_t offset, uint64_t *base,
                                  pubsub_error *err)
{
    uint64_t *bases = NULL;
    size_t count = 0;
    uint64_t active = atomic_load_explicit(&store->ctl->active_base, memory_order_acquire);
    if (offset >= active) {
        *base = active;
        return PUBSUB_OK;
    }
    int rc = pubsub__local_list(store->log_fd, &bases, &count);
    if (rc != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot list the log", rc, err);
    }
    uint64_t first = atomic_load_explicit(&store->ctl->first_base, memory_order_acquire);
    bool found = false;
    for (size_t i = 0; i < count && bases[i] <= offset; i++) {
        if (bases[i] >= first) {
            *base = bases[i];
            found = true;
        }
    }
    pubsub__free(bases);
    return found ? PUBSUB_OK
                 : pubsub__local_fail(err, PUBSUB_ENOTFOUND, "this part of %s was removed",
                                      store->dir);
}

pubsub_err pubsub__local_seg_create(local_store *store, uint64_t base, uint64_t size,
                                    uint64_t first_seq, int *fd, uint64_t *alloc, pubsub_error *err)
{
    char name[32];
    uint8_t bytes[SEG_HEAD + REC_MARK] = {0};
    local_seg_head head = {base, size, first_seq, pubsub__local_wall_ns(), store->ctl->epoch, {0}};
    memcpy(head.uuid, store->uuid, sizeof(head.uuid));
    pubsub__local_seg_head_encode(bytes, &head);
    pubsub__local_seg_name(name, base);
    /* What a creator that was killed has left here is of no use to anybody. */
    *fd = pubsub__local_create(store, store->log_fd, name, O_TRUNC);
    if (*fd < 0) {
        return pubsub__local_fail_errno(store->dir, "cannot start a segment", errno, err);
    }
    *alloc = 0;
    int rc = pubsub__local_may_grow(sizeof(bytes));
    if (rc == 0) {
        rc = pubsub__local_reserve(*fd, sizeof(bytes), size, alloc);
    }
    if (rc == 0) {
        rc = pubsub__local_pwrite(*fd, bytes, sizeof(bytes), 0);
    }
    if (rc != 0) {
        close(*fd);
        *fd = -1;
        unlinkat(store->log_fd, name, 0);
        return pubsub__local_fail_errno(store->dir, "cannot start a segment", rc, err);
    }
    return PUBSUB_OK;
}
