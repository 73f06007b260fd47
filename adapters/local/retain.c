/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

/* The retained values are a small log of their own, ret/<generation>.seg: a segment head, then copies
 * of the retained records, the newest of each topic being the one that counts. When the file is full
 * the newest ones are rewritten into the next generation. ctl.ret_word names generation and length in
 * one word, so that readers never see one without the other. */

#define RET_BYTES (8u << 20)
#define RET_MAX (256u << 20) /* all retained values of a bus */
#define WORD_BITS 40

static uint64_t word_of(uint64_t generation, uint64_t len)
{
    return generation << WORD_BITS | len;
}

static uint64_t generation_of(uint64_t word)
{
    return word >> WORD_BITS;
}

static size_t length_of(uint64_t word)
{
    return (size_t)(word & ((UINT64_C(1) << WORD_BITS) - 1));
}

/* ---- finding the newest of each topic ------------------------------------------------------------- */

typedef struct topic_set {
    const uint8_t *map;
    uint32_t *slots; /* offset / 8 of the newest record, 0 = free; offsets begin behind the head */
    size_t cap;      /* power of two */
    size_t used;
    bool damaged; /* something in it could not be read */
} topic_set;

static size_t probe(const topic_set *set, uint32_t hash, pubsub_bytes topic)
{
    size_t i = hash & (set->cap - 1);
    for (; set->slots[i] != 0; i = (i + 1) & (set->cap - 1)) {
        local_raw raw;
        (void)pubsub__local_record_parse(set->map + (size_t)set->slots[i] * 8, UINT32_MAX, &raw);
        if (raw.topic_hash == hash && raw.topic.len == topic.len &&
            memcmp(raw.topic.data, topic.data, topic.len) == 0) {
            break;
        }
    }
    return i;
}

static bool grow(topic_set *set)
{
    topic_set bigger = {set->map, NULL, set->cap == 0 ? 256 : set->cap * 2, set->used,
                        set->damaged};
    bigger.slots = pubsub__calloc(bigger.cap, sizeof(*bigger.slots));
    if (bigger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < set->cap; i++) {
        if (set->slots[i] != 0) {
            local_raw raw;
            (void)pubsub__local_record_parse(set->map + (size_t)set->slots[i] * 8, UINT32_MAX,
                                             &raw);
            bigger.slots[probe(&bigger, raw.topic_hash, raw.topic)] = set->slots[i];
        }
    }
    pubsub__free(set->slots);
    *set = bigger;
    return true;
}

static bool take_all(void *ctx, const char *topic, size_t len)
{
    (void)ctx;
    (void)topic;
    (void)len;
    return true;
}

/* Fill the set with the newest record of each topic that passes the filter. False: no memory. */
/* Values that came after `limit` are left to the log, which tells them in their order. */
static bool collect(topic_set *set, size_t len, const local_filter *filter, uint32_t epoch,
                    uint64_t limit)
{
    for (size_t at = SEG_HEAD; at < len;) {
        local_raw raw;
        if (pubsub__local_record_parse(set->map + at, len - at, &raw) != LOCAL_SCAN_RECORD) {
            set->damaged = true;
            break;
        }
        bool later = raw.epoch == epoch && raw.origin >= limit;
        bool want =
            !later && (!filter->exact || raw.topic_hash == filter->topic_hash) &&
            (filter->match == NULL || filter->match(filter->ctx, raw.topic.data, raw.topic.len));
        if (want && !pubsub__local_record_crc_ok(set->map + at, &raw)) {
            set->damaged = true;
        } else if (want) {
            if (set->used * 2 >= set->cap && !grow(set)) {
                return false;
            }
            size_t i = probe(set, raw.topic_hash, raw.topic);
            set->used += set->slots[i] == 0;
            set->slots[i] = (uint32_t)(at / 8);
        }
        at += raw.size;
    }
    return true;
}

static void sift(uint32_t *heap, size_t at, size_t count)
{
    for (size_t child = at * 2 + 1; child < count; child = at * 2 + 1) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[at] >= heap[child]) {
            return;
        }
        uint32_t swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

/* Turn the set into ascending offsets of the values that are there: no cleared ones. */
static size_t list_values(topic_set *set)
{
    size_t count = 0;
    for (size_t i = 0; i < set->cap; i++) {
        local_raw raw;
        if (set->slots[i] == 0) {
            continue;
        }
        (void)pubsub__local_record_parse(set->map + (size_t)set->slots[i] * 8, UINT32_MAX, &raw);
        if (raw.payload.len > 0) {
            set->slots[count++] = set->slots[i];
        }
    }
    for (size_t i = count / 2; i > 0; i--) {
        sift(set->slots, i - 1, count);
    }
    for (size_t end = count; end > 1; end--) {
        uint32_t swap = set->slots[0];
        set->slots[0] = set->slots[end - 1];
        set->slots[end - 1] = swap;
        sift(set->slots, 0, end - 1);
    }
    return count;
}

/* ---- reading --------------------------------------------------------------------------------------- */

static int map_generation(const local_store *store, uint64_t generation, size_t len,
                          const uint8_t **map)
{
    char name[32];
    struct stat st;
    pubsub__local_seg_name(name, generation);
    int fd = openat(store->ret_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return errno;
    }
    int rc = fstat(fd, &st) < 0 ? errno : (uint64_t)st.st_size < len ? EBADMSG : 0;
    if (rc == 0) {
        void *at = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
        rc = at == MAP_FAILED ? errno : 0;
        *map = at;
    }
    close(fd);
    return rc;
}

static void unmap(const uint8_t *map, size_t len)
{
    union {
        const uint8_t *in;
        void *out;
    } at = {map};
    if (map != NULL) {
        munmap(at.out, len);
    }
}

pubsub_err pubsub__local_retain_open(local_ret_scan *scan, local_store *store,
                                     const local_filter *filter, uint64_t limit, pubsub_error *err)
{
    memset(scan, 0, sizeof(*scan));
    int sys = ENOENT;
    /* A compaction between reading the word and opening the file: look again. */
    for (int tries = 0; tries < 1000 && sys == ENOENT; tries++) {
        uint64_t word = atomic_load(&store->ctl->ret_word);
        if (word == 0) {
            return PUBSUB_OK;
        }
        scan->map_len = length_of(word);
        sys = map_generation(store, generation_of(word), scan->map_len, &scan->map);
    }
    if (sys != 0) {
        scan->map = NULL;
        return sys == EBADMSG
                   ? pubsub__local_fail(err, PUBSUB_ECORRUPT, "the retained values of %s were cut",
                                        store->dir)
                   : pubsub__local_fail_errno(store->dir, "cannot read retained values", sys, err);
    }
    topic_set set = {scan->map, NULL, 0, 0, false};
    if (!collect(&set, scan->map_len, filter, store->ctl->epoch, limit)) {
        pubsub__free(set.slots);
        pubsub__local_retain_close(scan);
        return pubsub__local_fail(err, PUBSUB_ENOMEM, "no memory for retained values");
    }
    if (set.damaged) {
        pubsub__free(set.slots);
        pubsub__local_retain_close(scan);
        return pubsub__local_fail(
            err, PUBSUB_ECORRUPT,
            "the retained values of %s are damaged; restore its directory ret "
            "from a backup, or read without them",
            store->dir);
    }
    scan->count = list_values(&set);
    scan->at = set.slots;
    return PUBSUB_OK;
}

bool pubsub__local_retain_next(local_ret_scan *scan, local_raw *raw)
{
    if (scan->next >= scan->count) {
        return false;
    }
    size_t at = (size_t)scan->at[scan->next++] * 8;
    (void)pubsub__local_record_parse(scan->map + at, scan->map_len - at, raw);
    return true;
}

void pubsub__local_retain_close(local_ret_scan *scan)
{
    unmap(scan->map, scan->map_len);
    pubsub__free(scan->at);
    memset(scan, 0, sizeof(*scan));
}

/* ---- writing, with the append lock -------------------------------------------------------------------- */

static int open_generation(local_store *store, uint64_t generation)
{
    if (store->ret_write_fd >= 0 && store->ret_gen == generation) {
        return 0;
    }
    if (store->ret_write_fd >= 0) {
        close(store->ret_write_fd);
    }
    char name[32];
    uint8_t bytes[SEG_HEAD];
    local_seg_head head;
    size_t got;
    pubsub__local_seg_name(name, generation);
    store->ret_write_fd = openat(store->ret_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (store->ret_write_fd < 0) {
        return errno;
    }
    int rc = pubsub__local_pread(store->ret_write_fd, bytes, sizeof(bytes), 0, &got);
    if (rc == 0 &&
        (got < SEG_HEAD || !pubsub__local_seg_head_decode(bytes, generation, store->uuid, &head))) {
        rc = EBADMSG;
    }
    store->ret_gen = generation;
    store->ret_size = rc == 0 ? head.size : 0;
    store->ret_alloc = 0;
    return rc;
}

static int write_at(int fd, const void *data, size_t len, uint64_t at, uint64_t limit,
                    uint64_t *alloc)
{
    int rc = pubsub__local_may_grow(at + len);
    if (rc == 0) {
        rc = pubsub__local_reserve(fd, at + len, limit, alloc);
    }
    return rc == 0 ? pubsub__local_pwrite(fd, data, len, at) : rc;
}

/* Copy the newest values into a new file. *out_len is where it ends. */
static int write_values(local_store *store, int fd, uint64_t generation, uint64_t size,
                        topic_set *set, size_t count, uint64_t *out_len)
{
    uint8_t bytes[SEG_HEAD];
    static const uint8_t mark[REC_MARK];
    uint64_t alloc = 0;
    local_seg_head head = {generation, size, 0, pubsub__local_wall_ns(), store->ctl->epoch, {0}};
    memcpy(head.uuid, store->uuid, sizeof(head.uuid));
    pubsub__local_seg_head_encode(bytes, &head);
    int rc = write_at(fd, bytes, sizeof(bytes), 0, size, &alloc);
    uint64_t at = SEG_HEAD;
    for (size_t i = 0; i < count && rc == 0; i++) {
        const uint8_t *p = set->map + (size_t)set->slots[i] * 8;
        size_t len = (size_t)local_record_size(local_get32(p));
        rc = write_at(fd, p, len, at, size, &alloc);
        at += len;
    }
    if (rc == 0) {
        rc = write_at(fd, mark, sizeof(mark), at, size, &alloc);
    }
    if (rc == 0) {
        rc = pubsub__local_fdatasync(fd);
    }
    *out_len = at;
    return rc;
}

static uint64_t live_bytes(const topic_set *set, size_t count)
{
    uint64_t live = 0;
    for (size_t i = 0; i < count; i++) {
        live += local_record_size(local_get32(set->map + (size_t)set->slots[i] * 8));
    }
    return live;
}

/* Start the next generation with the values of the current one (word 0: with none), with room for
 * `more` bytes. On success ctl has changed over and the old file is gone. */
static int next_generation(local_store *store, uint64_t word, size_t more)
{
    uint64_t generation = generation_of(word) + 1, len = 0, size = RET_BYTES;
    const uint8_t *map = NULL;
    const local_filter all = {false, 0, take_all, NULL};
    int fd = -1, rc = 0;
    if (word != 0) {
        rc = map_generation(store, generation_of(word), length_of(word), &map);
        if (rc != 0) {
            return rc;
        }
    }
    topic_set set = {map, NULL, 0, 0, false};
    size_t count = 0;
    if (map != NULL) {
        rc = collect(&set, length_of(word), &all, 0, UINT64_MAX) ? 0 : ENOMEM;
        count = rc == 0 ? list_values(&set) : 0;
    }
    uint64_t live = live_bytes(&set, count) + more + SEG_HEAD + REC_MARK;
    while (size < live * 2) {
        size *= 2;
    }
    if (rc == 0 && size > RET_MAX) {
        rc = ENOBUFS;
    }
    if (rc == 0) {
        fd = pubsub__local_create(store, store->ret_fd, "next.tmp", O_TRUNC);
        rc = fd < 0 ? errno : write_values(store, fd, generation, size, &set, count, &len);
    }
    char name[32], old[32];
    pubsub__local_seg_name(name, generation);
    pubsub__local_seg_name(old, generation - 1);
    if (rc == 0 && renameat(store->ret_fd, "next.tmp", store->ret_fd, name) < 0) {
        rc = errno;
    }
    if (rc == 0) {
        (void)fsync(store->ret_fd);
        atomic_store(&store->ctl->ret_word, word_of(generation, len));
        (void)unlinkat(store->ret_fd, old, 0);
    } else if (fd >= 0) {
        (void)unlinkat(store->ret_fd, "next.tmp", 0);
    }
    if (fd >= 0) {
        close(fd);
    }
    unmap(map, length_of(word));
    pubsub__free(set.slots);
    return rc;
}

static pubsub_err fail_retain(const local_store *store, int sys, pubsub_error *err)
{
    if (sys == ENOBUFS) {
        return pubsub__local_fail(err, PUBSUB_EFULL,
                                  "%s holds too many retained values (more than %u MiB)",
                                  store->dir, RET_MAX >> 21);
    }
    if (sys == EBADMSG) {
        return pubsub__local_fail(err, PUBSUB_ECORRUPT, "the retained values of %s are damaged",
                                  store->dir);
    }
    return pubsub__local_fail_errno(store->dir, "cannot store a retained value", sys, err);
}

pubsub_err pubsub__local_retain_write(local_store *store, const uint8_t *data, size_t len,
                                      uint64_t *word, pubsub_error *err)
{
    static const uint8_t mark[REC_MARK];
    *word = atomic_load(&store->ctl->ret_word);
    int sys = *word == 0 ? 0 : open_generation(store, generation_of(*word));
    if (sys == 0 && (*word == 0 || length_of(*word) + len + REC_MARK > store->ret_size)) {
        sys = next_generation(store, *word, len);
        *word = atomic_load(&store->ctl->ret_word);
        if (sys == 0) {
            sys = open_generation(store, generation_of(*word));
        }
    }
    size_t at = length_of(*word);
    if (sys == 0) {
        sys = write_at(store->ret_write_fd, data, len, at, store->ret_size, &store->ret_alloc);
    }
    if (sys == 0) {
        sys = write_at(store->ret_write_fd, mark, sizeof(mark), at + len, store->ret_size,
                       &store->ret_alloc);
    }
    if (sys != 0) {
        if (store->ret_write_fd >= 0 && *word != 0) {
            pubsub__local_retain_undo(store);
        }
        return fail_retain(store, sys, err);
    }
    *word = word_of(generation_of(*word), at + len);
    return PUBSUB_OK;
}

void pubsub__local_retain_undo(local_store *store)
{
    static const uint8_t mark[REC_MARK];
    uint64_t word = atomic_load(&store->ctl->ret_word);
    if (word != 0 && open_generation(store, generation_of(word)) == 0 &&
        pubsub__local_may_grow(length_of(word) + REC_MARK) == 0) {
        (void)pubsub__local_pwrite(store->ret_write_fd, mark, sizeof(mark), length_of(word));
    }
}

int pubsub__local_retain_sync(local_store *store, uint64_t word)
{
    char name[32];
    pubsub__local_seg_name(name, generation_of(word));
    int fd = openat(store->ret_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        /* Compacted meanwhile: the new file was flushed before it took the name. */
        return errno == ENOENT ? 0 : errno;
    }
    int rc = pubsub__local_fdatasync(fd);
    close(fd);
    return rc;
}

/* ---- after a restart --------------------------------------------------------------------------------- */

/* A generation as a restart finds it. */
typedef struct found_values {
    uint64_t generation;
    uint64_t len; /* up to the last whole record; 0 = not usable */
    uint32_t epoch;
    uint64_t seq; /* of the last record */
} found_values;

static int examine(const local_store *store, uint64_t generation, found_values *out)
{
    char name[32];
    struct stat st;
    const uint8_t *map = NULL;
    *out = (found_values){.generation = generation};
    pubsub__local_seg_name(name, generation);
    if (fstatat(store->ret_fd, name, &st, 0) < 0 || st.st_size < (off_t)SEG_HEAD) {
        return 0;
    }
    size_t at = SEG_HEAD, len = (size_t)st.st_size;
    int sys = map_generation(store, generation, len, &map);
    if (sys != 0) {
        return sys;
    }
    local_seg_head head;
    if (pubsub__local_seg_head_decode(map, generation, store->uuid, &head)) {
        local_expect expect = {0, 1, 1, UINT32_MAX};
        local_raw raw;
        while (pubsub__local_record_scan(map + at, len - at, &expect, &raw) == LOCAL_SCAN_RECORD) {
            out->epoch = raw.epoch;
            out->seq = raw.seq;
            at += raw.size;
        }
        out->len = at;
    }
    unmap(map, len);
    return 0;
}

/* Two generations are there when a compaction was cut short, before or after it came into force. The one
 * that was written to last counts; when they end alike, the newer one, which is as complete. */
static bool later(const found_values *a, const found_values *b)
{
    if (b->len == 0 || a->epoch != b->epoch) {
        return b->len == 0 || a->epoch > b->epoch;
    }
    return a->seq >= b->seq;
}

pubsub_err pubsub__local_retain_recover(local_store *store, uint64_t *word, pubsub_error *err)
{
    uint64_t *gens = NULL;
    size_t count = 0;
    found_values best = {0};
    *word = 0;
    (void)unlinkat(store->ret_fd, "next.tmp", 0);
    int sys = pubsub__local_list(store->ret_fd, &gens, &count);
    for (size_t i = 0; i < count && sys == 0; i++) {
        found_values values;
        sys = examine(store, gens[i], &values);
        if (sys == 0 && values.len != 0 && later(&values, &best)) {
            best = values;
        }
    }
    for (size_t i = 0; i < count && sys == 0; i++) {
        if (best.len == 0 || gens[i] != best.generation) {
            char name[32];
            pubsub__local_seg_name(name, gens[i]);
            (void)unlinkat(store->ret_fd, name, 0);
        }
    }
    *word = best.len == 0 ? 0 : word_of(best.generation, best.len);
    pubsub__free(gens);
    return sys == 0 ? PUBSUB_OK : fail_retain(store, sys, err);
}
