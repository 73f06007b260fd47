/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOCAL_INTERNAL_H
#define PUBSUB_LOCAL_INTERNAL_H

/* What the files of the store share. Lock order: append_mu, flock(append.lock), seg_mu;
 * sync_mu, flock(sync.lock), seg_mu; a group's flock, then either of these. */

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "local/record.h"
#include "local/store.h"

#if !defined(__linux__) || !defined(__LP64__)
#error "the local store needs 64-bit Linux"
#endif

#define LOCAL_MIN_MAX_BYTES (4u << 20)
#define LOCAL_DEFAULT_MAX_BYTES (UINT64_C(1) << 30)
#define LOCAL_DEFAULT_MAX_AGE_S (7 * 24 * 3600)
#define LOCAL_DEFAULT_MAX_RECORD (16u << 20)
#define LOCAL_DEFAULT_SEGMENT (64u << 20)
#define LOCAL_RECORD_SLACK 1024u /* a record is at most a segment less this */
#define LOCAL_CTL_BYTES 8192u
#define LOCAL_EPOCHS_MAX 256u
#define LOCAL_SELF_BIT 0x80000000u /* of the futex: every waiter listens to it */
#define LOCAL_NS_PER_S UINT64_C(1000000000)

/* Shared by all processes through a mapping of the file `ctl`; means something in one boot only.
 * A line of 64 bytes for each thing that is written at its own pace. The tail is what counts: bytes
 * behind it are garbage. Written under the append lock unless said otherwise. */
typedef struct local_ctl {
    char magic[8];
    uint32_t version;
    _Atomic uint32_t ready; /* 0 while a recovery is under way or was cut short */
    uint8_t uuid[16];
    char boot_id[40];
    uint32_t epoch;

    _Alignas(64) _Atomic uint64_t tail;

    _Alignas(64) _Atomic uint64_t seq; /* of the next record, unless pend_tail equals tail */
    _Atomic uint64_t pend_tail;        /* see commit_tail in append.c */
    _Atomic uint64_t pend_seq;
    _Atomic uint64_t active_base;
    _Atomic uint64_t ret_word; /* retained values: generation << 40 | bytes of its file */

    _Alignas(64) _Atomic uint64_t synced; /* these three under the sync lock */
    _Atomic uint64_t ret_synced;
    _Atomic uint64_t dir_synced; /* base of the last segment whose directory entry is on disk */

    _Alignas(64) _Atomic uint64_t first_base;
    _Atomic uint64_t first_seq;

    _Alignas(64) _Atomic uint32_t failed; /* an fdatasync failed */

    _Alignas(64) _Atomic uint32_t gen; /* futex word */

    _Alignas(64) _Atomic uint64_t max_bytes; /* settings, copies of FORMAT */
    _Atomic int64_t max_age_s;
    _Atomic uint64_t max_record;
    _Atomic uint64_t segment_bytes;
    _Atomic uint32_t full;
} local_ctl;

/* A segment mapped for reading; shared by the readers of one store handle. */
typedef struct local_seg {
    struct local_seg *next;
    uint32_t refs; /* under seg_mu */
    int fd;
    local_seg_head head;
    const uint8_t *map;         /* head.size bytes, of which only the file's may be touched */
    _Atomic uint64_t file_size; /* when last asked */
    atomic_bool final;          /* it will not grow any more */
} local_seg;

typedef struct local_epoch {
    uint32_t epoch;
    uint64_t start; /* older epochs end here */
} local_epoch;

typedef struct local_settings {
    uint64_t max_bytes;
    int64_t max_age_s;
    uint64_t max_record;
    uint64_t segment_bytes;
    uint64_t full; /* a local_full; no padding, so that settings can be compared as bytes */
} local_settings;

struct local_store {
    char *dir;
    int dir_fd, log_fd, ret_fd, groups_fd;
    int append_fd, sync_fd, alive_fd;
    bool readonly;
    mode_t file_mode;
    uint8_t uuid[16];
    char uuid_text[33];
    local_ctl *ctl;
    local_epoch epochs[LOCAL_EPOCHS_MAX];
    uint32_t epoch_count;

    pthread_mutex_t append_mu; /* the writer's fields down to ret_cap */
    int write_fd;
    uint64_t write_base, write_size, write_created_ns, write_alloc, write_zeroed;
    uint8_t *buf;
    size_t buf_cap;
    int ret_write_fd;
    uint64_t ret_gen, ret_size, ret_alloc; /* of the open file */
    uint8_t *ret_buf;
    size_t ret_cap;

    atomic_bool flushes; /* what this process writes is flushed */
    pthread_mutex_t sync_mu;
    int sync_seg_fd;
    uint64_t sync_seg_base;

    pthread_mutex_t seg_mu;
    local_seg *segs;

    atomic_bool dead; /* this is a child process of the one that opened it */
    atomic_bool stop_waits;
    atomic_uint waiting;

    local_group *groups; /* for fork; under the fork lock */
    struct local_store *fork_next;
};

/* errors.c */
pubsub_err pubsub__local_errno_code(int sys_errno);
/* Fill err with "<what> in <dir>: <errno text>" and return the code that fits. */
pubsub_err pubsub__local_fail_errno(const char *dir, const char *what, int sys_errno,
                                    pubsub_error *err);
pubsub_err pubsub__local_fail(pubsub_error *err, pubsub_err code, const char *format, ...)
    PUBSUB_PRINTF(3, 4);
/* PUBSUB_ESTATE in a child process, PUBSUB_EDENIED when writing is asked of a read-only bus. */
pubsub_err pubsub__local_usable(const local_store *store, bool writing, pubsub_error *err);

/* files.c: small file helpers; all retry EINTR */
int pubsub__local_flock(int fd, int operation);
int pubsub__local_pwrite(int fd, const void *data, size_t len, uint64_t at); /* 0 or errno */
int pubsub__local_pread(int fd, void *data, size_t len, uint64_t at, size_t *got);
int pubsub__local_fdatasync(int fd); /* 0 or errno; the test hook is in here */
uint64_t pubsub__local_mono_ns(void);
uint64_t pubsub__local_wall_ns(void);
/* Create or truncate a file with the bus's mode. -1 and errno. */
int pubsub__local_create(const local_store *store, int dir_fd, const char *name, int flags);
/* Reserve blocks so that [0, end) can be written: at least to `end`, if there is room to the next
 * larger step. *alloc is what is known to be reserved. 0 or errno. */
int pubsub__local_reserve(int fd, uint64_t end, uint64_t limit, uint64_t *alloc);
/* Before [at, end) is written behind the tail: write zeros up to some way behind `end`, but not behind
 * `limit`, which is reserved. The first flush behind a write to blocks that are only reserved has to mark
 * them as written, and takes twice as long. *zeroed is how far that was done. Failures do not matter. */
void pubsub__local_zero_ahead(int fd, uint64_t at, uint64_t end, uint64_t limit, uint64_t *zeroed);
/* 0, or EFBIG when this process may not write up to `end` (RLIMIT_FSIZE), without the signal. */
int pubsub__local_may_grow(uint64_t end);
/* Replace a small file as a whole: temporary name, fsync, rename, fsync of the directory. */
int pubsub__local_replace(const local_store *store, const char *name, const char *tmp,
                          const void *data, size_t len);
void pubsub__local_seg_name(char buf[32], uint64_t base);
/* Bases of all segments in a directory, ascending; *out to be freed. 0 or errno. */
int pubsub__local_list(int dir_fd, uint64_t **out, size_t *count);

/* format.c: the file FORMAT and the directory */
pubsub_err pubsub__local_format_load(local_store *store, local_settings *out, pubsub_error *err);
pubsub_err pubsub__local_format_save(const local_store *store, const local_settings *settings,
                                     pubsub_error *err);
pubsub_err pubsub__local_settings_apply(const local_store *store, const local_options *options,
                                        local_settings *settings, bool *changed, pubsub_error *err);
pubsub_err pubsub__local_make_dirs(const char *path, pubsub_error *err);
pubsub_err pubsub__local_check_dir(local_store *store, bool *is_bus, pubsub_error *err);

/* recover.c */
void pubsub__local_boot_id(char buf[40]);
/* Make ctl valid for this boot; the caller has the bus to itself. */
pubsub_err pubsub__local_recover(local_store *store, const local_settings *settings,
                                 pubsub_error *err);
void pubsub__local_epochs_load(local_store *store);
/* Where a position of that epoch stops to be valid: UINT64_MAX for the current one. */
uint64_t pubsub__local_epoch_end(const local_store *store, uint32_t epoch);

/* segment.c */
/* The segment that holds offset, mapped; a reference to be dropped. PUBSUB_ENOTFOUND: not there. */
pubsub_err pubsub__local_seg_get(local_store *store, uint64_t base, local_seg **out,
                                 pubsub_error *err);
void pubsub__local_seg_put(local_store *store, local_seg *seg);
/* The base of the segment that holds offset. PUBSUB_ENOTFOUND when it is below the first. */
pubsub_err pubsub__local_seg_find(local_store *store, uint64_t offset, uint64_t *base,
                                  pubsub_error *err);
/* How many of the first `end` bytes of the file exist and may be touched. A sealed segment does not
 * grow any more. Keeps a reader alive when somebody has cut a file. */
size_t pubsub__local_seg_usable(local_seg *seg, size_t end, bool sealed);
pubsub_err pubsub__local_seg_read_head(const local_store *store, uint64_t base,
                                       local_seg_head *out);
pubsub_err pubsub__local_seg_create(local_store *store, uint64_t base, uint64_t size,
                                    uint64_t first_seq, int *fd, uint64_t *alloc,
                                    pubsub_error *err);

/* append.c */
pubsub_err pubsub__local_append_lock(local_store *store, pubsub_error *err);
void pubsub__local_append_unlock(local_store *store);
/* Drop the writer's open segment, for after somebody else changed files. */
void pubsub__local_writer_close(local_store *store);

/* retain.c; all with the append lock held */
/* Write complete records behind the current end, compacting first when the file is full. *word is
 * what ret_word has to become for them to count. */
pubsub_err pubsub__local_retain_write(local_store *store, const uint8_t *data, size_t len,
                                      uint64_t *word, pubsub_error *err);
/* The records just written must not count: erase the first. */
void pubsub__local_retain_undo(local_store *store);
/* Find the valid end of the retained values after a restart. */
pubsub_err pubsub__local_retain_recover(local_store *store, uint64_t *word, pubsub_error *err);
/* With the sync lock instead. 0 or errno. */
int pubsub__local_retain_sync(local_store *store, uint64_t word);

/* The retained values as they were when the log ended at `limit`, the newest of each topic. */
typedef struct local_ret_scan {
    const uint8_t *map;
    size_t map_len;
    uint32_t *at; /* offsets of the wanted records / 8, ascending */
    size_t count, next;
} local_ret_scan;
pubsub_err pubsub__local_retain_open(local_ret_scan *scan, local_store *store,
                                     const local_filter *filter, uint64_t limit, pubsub_error *err);
bool pubsub__local_retain_next(local_ret_scan *scan, local_raw *raw);
void pubsub__local_retain_close(local_ret_scan *scan);

/* retention.c; with the append lock held */
pubsub_err pubsub__local_retention(local_store *store, uint64_t extra_bytes, pubsub_error *err);

/* wait.c */
void pubsub__local_ring(local_store *store, uint32_t bits);

/* fork.c */
void pubsub__local_fork_add(local_store *store);
void pubsub__local_fork_remove(local_store *store);
void pubsub__local_fork_add_group(local_store *store, local_group *group);
void pubsub__local_fork_remove_group(local_store *store, local_group *group);

/* walk.c: reading records in order; what cursors and groups have in common */
typedef struct local_walk {
    local_store *store;
    local_seg *seg; /* held while pos is in it, or views point into it */
    uint64_t pos;
    uint64_t limit;    /* a tail seen earlier */
    uint64_t last_seq; /* of the last record read or skipped; 0 = not known */

} local_walk;

void pubsub__local_walk_init(local_walk *walk, local_store *store, uint64_t pos, uint64_t last_seq);
void pubsub__local_walk_fini(local_walk *walk);
/* The next record that passes the filter, as pubsub__local_cursor_next; raw points into walk->seg,
 * and walk->pos stands behind the record. */
int pubsub__local_walk_next(local_walk *walk, const local_filter *filter, local_raw *raw,
                            local_gap *gap, pubsub_error *err);
void pubsub__local_view_fill(local_view *view, const local_raw *raw, uint64_t at, uint64_t end);
/* Whether a record of a segment held by the caller may be given out: checksum, then expiry. */
bool pubsub__local_expired(const local_raw *raw);

/* start.c: where reading begins */
pubsub_err pubsub__local_start(local_store *store, const local_from *from, uint64_t *pos,
                               uint64_t *last_seq, local_gap *gap, bool *has_gap,
                               pubsub_error *err);

/* groups, as far as others need them */
int *pubsub__local_group_fd(local_group *group);
local_group **pubsub__local_group_link(local_group *group);
/* The smallest position a durable group still needs; UINT64_MAX when there is no such group. */
uint64_t pubsub__local_groups_oldest(const local_store *store, bool *any);

#endif
