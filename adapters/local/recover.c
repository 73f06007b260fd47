/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "local/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

/* After another boot the memory image in `ctl` is a hint at best. What counts is what the disk has:
 * beginning in the segment that holds the last position known to be synced, records are read until
 * the first that is not whole; the file is cut there, later segments are removed, and a new epoch
 * tells positions before and after apart. Damage BELOW the synced position never cuts anything:
 * readers report it as a gap. */

typedef struct recovery {
    local_store *store;
    uint64_t *bases;
    size_t count;
    uint64_t synced; /* hint; 0 = none */
    uint64_t tail;
    uint64_t next_seq;
    uint32_t max_epoch;
    uint64_t active_base;
} recovery;

void pubsub__local_boot_id(char buf[40])
{
    memset(buf, 0, 40);
    if (pubsub__local_hooks.boot_id != NULL) {
        snprintf(buf, 40, "%s", pubsub__local_hooks.boot_id);
        return;
    }
    size_t got = 0;
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)pubsub__local_pread(fd, buf, 36, 0, &got);
        close(fd);
    }
    if (got != 36) {
        /* Without /proc only a crash of processes can be told apart, not one of the machine. */
        snprintf(buf, 40, "unknown");
    }
}

/* ---- epochs ------------------------------------------------------------------------------- */

void pubsub__local_epochs_load(local_store *store)
{
    char text[LOCAL_EPOCHS_MAX * 40];
    size_t got = 0;
    store->epoch_count = 0;
    int fd = openat(store->dir_fd, "epochs", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return;
    }
    (void)pubsub__local_pread(fd, text, sizeof(text) - 1, 0, &got);
    close(fd);
    text[got] = '\0';
    for (char *line = text; *line != '\0' && store->epoch_count < LOCAL_EPOCHS_MAX;) {
        char *end;
        unsigned long epoch = strtoul(line, &end, 10);
        if (end == line || *end != ' ' || epoch == 0 || epoch > UINT32_MAX) {
            break;
        }
        uint64_t start = strtoull(end + 1, &end, 10);
        if (*end != '\n') {
            break;
        }
        store->epochs[store->epoch_count].epoch = (uint32_t)epoch;
        store->epochs[store->epoch_count].start = start;
        store->epoch_count++;
        line = end + 1;
    }
}

static int epochs_save(local_store *store, uint32_t epoch, uint64_t start)
{
    if (store->epoch_count == LOCAL_EPOCHS_MAX) {
        store->epoch_count--;
        memmove(store->epochs, store->epochs + 1, store->epoch_count * sizeof(store->epochs[0]));
    }
    store->epochs[store->epoch_count].epoch = epoch;
    store->epochs[store->epoch_count].start = start;
    store->epoch_count++;
    char text[LOCAL_EPOCHS_MAX * 40];
    size_t len = 0;
    for (uint32_t i = 0; i < store->epoch_count; i++) {
        int n = snprintf(text + len, sizeof(text) - len, "%" PRIu32 " %" PRIu64 "\n",
                         store->epochs[i].epoch, store->epochs[i].start);
        len += (size_t)n;
    }
    return pubsub__local_replace(store, "epochs", "epochs.tmp", text, len);
}

uint64_t pubsub__local_epoch_end(const local_store *store, uint32_t epoch)
{
    uint64_t end = UINT64_MAX;
    for (uint32_t i = 0; i < store->epoch_count; i++) {
        if (store->epochs[i].epoch > epoch && store->epochs[i].start < end) {
            end = store->epochs[i].start;
        }
    }
    return end;
}

/* ---- scanning ------------------------------------------------------------------------------ */

/* Read one segment from its first record. On return r->tail stands behind the last good record and
 * *rolled tells whether the segment goes on in the next one. */
static void scan_bytes(recovery *r, const uint8_t *map, size_t len, const local_seg_head *head,
                       bool *rolled)
{
    size_t at = SEG_HEAD, batch_start = SEG_HEAD;
    uint64_t batch_seq = r->next_seq;
    uint64_t hint = r->synced > head->base ? r->synced - head->base : 0;
    size_t safe = hint < len ? (size_t)hint : len; /* damage below is never cut off */
    *rolled = false;
    for (;;) {
        local_raw raw;
        local_expect expect = {r->next_seq, r->next_seq, 1, UINT32_MAX};
        local_scan scan = pubsub__local_record_scan(map + at, len - at, &expect, &raw);
        if (scan == LOCAL_SCAN_RECORD) {
            at += raw.size;
            r->next_seq++;
            r->max_epoch = raw.epoch > r->max_epoch ? raw.epoch : r->max_epoch;
            if ((raw.flags & REC_F_MORE) == 0) {
                batch_start = at;
                batch_seq = r->next_seq;
            }
            continue;
        }
        if (scan == LOCAL_SCAN_ROLL && at >= safe) {
            *rolled = batch_start == at;
            break;
        }
        if (at >= safe) {
            break;
        }
        expect.seq = 0;
        size_t next = pubsub__local_record_resync(map, len, at, &expect);
        if (next == len || next > safe) {
            /* Nothing readable up to the synced position: go on exactly there. */
            batch_start = safe;
            batch_seq = r->next_seq;
            break;
        }
        at = next;
        r->next_seq = local_get64(map + at + 8);
    }
    r->tail = head->base + batch_start;
    r->next_seq = batch_seq;
}

static pubsub_err scan_segment(recovery *r, uint64_t base, local_seg_head *head, bool *rolled,
                               pubsub_error *err)
{
    char name[32];
    struct stat st;
    uint8_t bytes[SEG_HEAD];
    size_t got = 0;
    pubsub__local_seg_name(name, base);
    int fd = openat(r->store->log_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int saved = errno;
        if (fd >= 0) {
            close(fd);
        }
        return pubsub__local_fail_errno(r->store->dir, "cannot read a segment", saved, err);
    }
    pubsub_err rc = PUBSUB_OK;
    /* After a failed flush the cache may hold what the disk does not: look at the disk. */
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    int sys = pubsub__local_pread(fd, bytes, sizeof(bytes), 0, &got);
    size_t len = (uint64_t)st.st_size < SEG_MAX_BYTES ? (size_t)st.st_size : SEG_MAX_BYTES;
    void *map = MAP_FAILED;
    if (sys != 0 || got < SEG_HEAD ||
        !pubsub__local_seg_head_decode(bytes, base, r->store->uuid, head)) {
        rc = PUBSUB_ECORRUPT;
    } else {
        len = len < head->size ? len : (size_t)head->size;
        map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) {
            rc = pubsub__local_fail_errno(r->store->dir, "cannot map a segment", errno, err);
        }
    }
    if (rc == PUBSUB_OK) {
        if (head->first_seq > r->next_seq || r->next_seq == 0) {
            r->next_seq = head->first_seq;
        }
        r->max_epoch = head->epoch > r->max_epoch ? head->epoch : r->max_epoch;
        scan_bytes(r, map, len, head, rolled);
        munmap(map, len);
        int sync_rc = pubsub__local_fdatasync(fd);
        if (sync_rc != 0) {
            rc = pubsub__local_fail_errno(r->store->dir, "cannot sync a segment", sync_rc, err);
        }
    }
    close(fd);
    return rc;
}

/* Index of the segment in which scanning begins: that of the synced position, else the first. */
static size_t first_to_scan(recovery *r)
{
    for (size_t i = r->count; i > 0 && r->synced != 0; i--) {
        if (r->bases[i - 1] <= r->synced) {
            local_seg_head head;
            if (pubsub__local_seg_read_head(r->store, r->bases[i - 1], &head) == PUBSUB_OK &&
                r->synced <= head.base + head.size) {
                return i - 1;
            }
            break;
        }
    }
    r->synced = 0;
    return 0;
}

static int remove_from(recovery *r, size_t index)
{
    char name[32];
    for (size_t i = index; i < r->count; i++) {
        pubsub__local_seg_name(name, r->bases[i]);
        if (unlinkat(r->store->log_fd, name, 0) < 0) {
            return errno;
        }
    }
    r->count = index < r->count ? index : r->count;
    return 0;
}

static int cut_active(recovery *r)
{
    char name[32];
    pubsub__local_seg_name(name, r->active_base);
    int fd = openat(r->store->log_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    /* Cut, then the end mark: the file grows again with zeros. */
    static const uint8_t mark[REC_MARK];
    uint64_t end = r->tail - r->active_base;
    int rc = ftruncate(fd, (off_t)end) < 0 ? errno : 0;
    if (rc == 0) {
        rc = pubsub__local_pwrite(fd, mark, sizeof(mark), end);
    }
    if (rc == 0) {
        rc = pubsub__local_fdatasync(fd);
    }
    close(fd);
    return rc;
}

static pubsub_err scan_log(recovery *r, pubsub_error *err)
{
    size_t first = first_to_scan(r), i = first;
    bool rolled = true;
    while (i < r->count && rolled) {
        local_seg_head head = {0};
        pubsub_err rc = scan_segment(r, r->bases[i], &head, &rolled, err);
        if (rc == PUBSUB_ECORRUPT) {
            /* Its head never reached the disk, so nothing in it or behind it was confirmed as
             * durable. Only damage to the beginning of a log that goes on is not ours to decide. */
            if (i == first && r->count > 1) {
                return pubsub__local_fail(err, rc,
                                          "the first segment of %s is damaged; move the directory "
                                          "away or restore it from a backup",
                                          r->store->dir);
            }
            break;
        }
        if (rc != PUBSUB_OK) {
            return rc;
        }
        r->active_base = r->bases[i++];
        if (i < r->count && r->bases[i] != head.base + head.size) {
            break; /* the one it rolled to is missing */
        }
    }
    int sys = remove_from(r, i);
    return sys == 0 ? PUBSUB_OK
                    : pubsub__local_fail_errno(r->store->dir, "cannot remove a segment", sys, err);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void read_hint(recovery *r, uint32_t *old_epoch)
{
    const local_ctl *ctl = r->store->ctl;
    *old_epoch = 0;
    if (memcmp(ctl->magic, "PSUBCTL1", 8) == 0 && ctl->version == 1 &&
        memcmp(ctl->uuid, r->store->uuid, 16) == 0) {
        r->synced = atomic_load(&ctl->synced) % REC_ALIGN == 0 ? atomic_load(&ctl->synced) : 0;
        *old_epoch = ctl->epoch;
    }
}

static void fill_ctl(recovery *r, const local_settings *settings, uint32_t epoch, uint64_t ret_word,
                     const local_seg_head *first)
{
    local_ctl *ctl = r->store->ctl;
    memcpy(ctl->magic, "PSUBCTL1", 8);
    ctl->version = 1;
    memcpy(ctl->uuid, r->store->uuid, 16);
    pubsub__local_boot_id(ctl->boot_id);
    ctl->epoch = epoch;
    atomic_store(&ctl->tail, r->tail);
    atomic_store(&ctl->seq, r->next_seq);
    atomic_store(&ctl->pend_tail, 0);
    atomic_store(&ctl->pend_seq, 0);
    atomic_store(&ctl->active_base, r->active_base);
    atomic_store(&ctl->ret_word, ret_word);
    atomic_store(&ctl->synced, r->tail);
    atomic_store(&ctl->ret_synced, ret_word);
    atomic_store(&ctl->dir_synced, r->active_base);
    atomic_store(&ctl->first_base, first->base);
    atomic_store(&ctl->first_seq, first->first_seq);
    atomic_store(&ctl->failed, 0);
    atomic_store(&ctl->max_bytes, settings->max_bytes);
    atomic_store(&ctl->max_age_s, settings->max_age_s);
    atomic_store(&ctl->max_record, settings->max_record);
    atomic_store(&ctl->segment_bytes, settings->segment_bytes);
    atomic_store(&ctl->full, (uint32_t)settings->full);
    atomic_store(&ctl->ready, 1);
}

static pubsub_err start_empty(recovery *r, uint64_t size, pubsub_error *err)
{
    int fd;
    uint64_t alloc;
    /* Behind every position there ever was, should only the segments have been lost. */
    uint64_t base = r->store->epoch_count > 0
                        ? r->store->epochs[r->store->epoch_count - 1].start + SEG_MAX_BYTES
                        : 0;
    r->next_seq = 1;
    pubsub_err rc = pubsub__local_seg_create(r->store, base & ~(uint64_t)7, size, r->next_seq, &fd,
                                             &alloc, err);
    if (rc == PUBSUB_OK) {
        r->active_base = base & ~(uint64_t)7;
        r->tail = r->active_base + SEG_HEAD;
        close(fd);
    }
    return rc;
}

pubsub_err pubsub__local_recover(local_store *store, const local_settings *settings,
                                 pubsub_error *err)
{
    recovery r = {.store = store, .active_base = UINT64_MAX};
    uint32_t epoch;
    uint64_t ret_word = 0;
    local_seg_head first = {0};
    read_hint(&r, &epoch);
    pubsub__local_epochs_load(store);
    int sys = pubsub__local_list(store->log_fd, &r.bases, &r.count);
    if (sys != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot list the log", sys, err);
    }
    bool fresh = r.count == 0 && store->epoch_count == 0;
    atomic_store(&store->ctl->ready, 0);
    pubsub_err rc = scan_log(&r, err);
    if (rc == PUBSUB_OK && r.active_base == UINT64_MAX) {
        store->ctl->epoch = 1;
        rc = start_empty(&r, settings->segment_bytes, err);
    } else if (rc == PUBSUB_OK && (sys = cut_active(&r)) != 0) {
        rc = pubsub__local_fail_errno(store->dir, "cannot cut the log", sys, err);
    }
    if (rc == PUBSUB_OK) {
        uint64_t base = r.count > 0 ? r.bases[0] : r.active_base;
        rc = pubsub__local_seg_read_head(store, base, &first);
        if (rc != PUBSUB_OK) {
            pubsub__local_fail(err, rc, "the first segment of %s cannot be read", store->dir);
        }
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_retain_recover(store, &ret_word, err);
    }
    if (rc == PUBSUB_OK && !fresh) {
        uint32_t last = store->epoch_count > 0 ? store->epochs[store->epoch_count - 1].epoch : 0;
        epoch = epoch > r.max_epoch ? epoch : r.max_epoch;
        epoch = (epoch > last ? epoch : last) + 1;
        sys = epochs_save(store, epoch, r.tail);
        if (sys != 0) {
            rc = pubsub__local_fail_errno(store->dir, "cannot write epochs", sys, err);
        }
    }
    if (rc == PUBSUB_OK) {
        (void)fsync(store->log_fd);
        fill_ctl(&r, settings, fresh ? 1 : epoch, ret_word, &first);
    }
    pubsub__free(r.bases);
    return rc;
}
