/* SPDX-License-Identifier: MIT */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE /* madvise */
#endif
#include "local/internal.h"

#include "base/alloc.h"

#include <string.h>
#include <sys/mman.h>

/* Divides the sizes of pages and, nearly always, of segments. */
#define READ_BLOCK ((size_t)4 << 20)

#define WALK_BUDGET 65536u

void pubsub__local_walk_init(local_walk *walk, local_store *store, uint64_t pos, uint64_t last_seq)
{
    memset(walk, 0, sizeof(*walk));
    walk->store = store;
    walk->pos = pos;
    walk->last_seq = last_seq;
}

void pubsub__local_walk_fini(local_walk *walk)
{
    pubsub__local_seg_put(walk->store, walk->seg);
    walk->seg = NULL;
}

static int report_gap(local_walk *walk, local_gap_reason reason, uint64_t from, uint64_t next_seq,
                      local_gap *gap)
{
    uint32_t epoch = walk->store->ctl->epoch;
    gap->reason = reason;
    bool known = walk->last_seq != 0 && next_seq != 0;
    gap->from_seq = known ? walk->last_seq + 1 : 1;
    gap->to_seq = known ? next_seq - 1 : 0;
    gap->from = (local_position){epoch, from};
    gap->to = (local_position){epoch, walk->pos};
    walk->last_seq = next_seq == 0 ? 0 : next_seq - 1;
    return LOCAL_NEXT_GAP;
}

/* The place to read was removed: go on at the first segment. */
static int jump_to_first(local_walk *walk, local_gap *gap)
{
    local_ctl *ctl = walk->store->ctl;
    uint64_t from = walk->pos;
    /* seq belongs to base only when base is the same before and after. */
    uint64_t base, seq;
    do {
        base = atomic_load(&ctl->first_base);
        seq = atomic_load(&ctl->first_seq);
    } while (base != atomic_load(&ctl->first_base));
    local_seg_head head;
    if (pubsub__local_seg_read_head(walk->store, base, &head) == PUBSUB_OK) {
        seq = head.first_seq;
    }
    pubsub__local_seg_put(walk->store, walk->seg);
    walk->seg = NULL;
    walk->pos = base + SEG_HEAD;
    return report_gap(walk, LOCAL_GAP_RETENTION, from, seq, gap);
}

/* The segment of walk->pos is lost or its head unreadable, which only damage from outside does: go on
 * at the next one, and say so. */
static int jump_over(local_walk *walk, local_gap *gap, pubsub_error *err)
{
    uint64_t *bases = NULL;
    size_t count = 0;
    uint64_t from = walk->pos;
    uint64_t next = UINT64_MAX;
    int sys = pubsub__local_list(walk->store->log_fd, &bases, &count);
    if (sys != 0) {
        return pubsub__local_fail_errno(walk->store->dir, "cannot list the log", sys, err);
    }
    for (size_t i = 0; i < count; i++) {
        next = bases[i] > from && bases[i] < next ? bases[i] : next;
    }
    pubsub__free(bases);
    if (next == UINT64_MAX) {
        return pubsub__local_fail(err, PUBSUB_ECORRUPT,
                                  "the last segment of %s is missing or damaged", walk->store->dir);
    }
    local_seg_head head;
    bool known = pubsub__local_seg_read_head(walk->store, next, &head) == PUBSUB_OK;
    pubsub__local_seg_put(walk->store, walk->seg);
    walk->seg = NULL;
    walk->pos = next + SEG_HEAD;
    return report_gap(walk, LOCAL_GAP_CORRUPT, from, known ? head.first_seq : 0, gap);
}

/* Have the segment of walk->pos mapped. Returns LOCAL_NEXT_RECORD, LOCAL_NEXT_GAP or an error. */
static int enter_segment(local_walk *walk, local_gap *gap, pubsub_error *err)
{
    local_seg *old = walk->seg;
    uint64_t base;
    if (old != NULL && walk->pos - old->head.base < old->head.size) {
        return LOCAL_NEXT_RECORD;
    }
    pubsub_err rc = PUBSUB_OK;
    if (old != NULL && walk->pos == old->head.base + old->head.size + SEG_HEAD) {
        base = old->head.base + old->head.size;
    } else {
        rc = pubsub__local_seg_find(walk->store, walk->pos, &base, err);
    }
    local_seg *seg = NULL;
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_seg_get(walk->store, base, &seg, err);
    }
    if (rc == PUBSUB_ENOTFOUND) {
        /* Removed, or a hole that only tampering leaves; either way the first is the next. */
        if (atomic_load(&walk->store->ctl->first_base) + SEG_HEAD <= walk->pos) {
            return jump_over(walk, gap, err);
        }
        return jump_to_first(walk, gap);
    }
    if (rc == PUBSUB_ECORRUPT) {
        return jump_over(walk, gap, err);
    }
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__local_seg_put(walk->store, old);
    walk->seg = seg;
    if (walk->last_seq == 0 && walk->pos == base + SEG_HEAD) {
        walk->last_seq = seg->head.first_seq - 1;
    }
    return LOCAL_NEXT_RECORD;
}

/* The bytes at pos are not the record that should be there: find the next good one. */
static int skip_damage(local_walk *walk, size_t limit, local_gap *gap)
{
    local_seg *seg = walk->seg;
    uint64_t from = walk->pos;
    size_t at = (size_t)(from - seg->head.base);
    local_expect expect = {0, walk->last_seq + 1, 0, UINT32_MAX};
    bool sealed = walk->limit >= seg->head.base + seg->head.size;
    size_t usable = pubsub__local_seg_usable(seg, limit, sealed);
    size_t next = at < usable ? pubsub__local_record_resync(seg->map, usable, at, &expect) : usable;
    walk->pos = seg->head.base + (next < usable ? next : limit);
    if (next < usable) {
        return report_gap(walk, LOCAL_GAP_CORRUPT, from, local_get64(seg->map + next + 8), gap);
    }
    if (!sealed) { /* up to the tail there is nothing */
        return report_gap(walk, LOCAL_GAP_CORRUPT, from, 0, gap);
    }
    walk->pos = seg->head.base + seg->head.size + SEG_HEAD;
    local_seg_head head;
    bool known = pubsub__local_seg_read_head(walk->store, seg->head.base + seg->head.size, &head) ==
                 PUBSUB_OK;
    return report_gap(walk, LOCAL_GAP_CORRUPT, from, known ? head.first_seq : 0, gap);
}

static bool wanted(const local_filter *filter, const local_raw *raw)
{
    if (filter->exact && raw->topic_hash != filter->topic_hash) {
        return false;
    }
    return filter->match == NULL || filter->match(filter->ctx, raw->topic.data, raw->topic.len);
}

/* Behind a record. What has been read would else stay in this process's resident memory, a whole segment for each
 * reader; the kernel keeps it in its cache, and what still points into it is mapped again. */
static void pass(local_walk *walk, const local_raw *raw)
{
    size_t at = (size_t)(walk->pos - walk->seg->head.base);
    size_t block = at / READ_BLOCK;
    walk->pos += raw->size;
    walk->last_seq = raw->seq;
    if ((at + raw->size) / READ_BLOCK != block) {
        /* Not written to: the map is shared, and only its pages are let go of. */
        union {
            const uint8_t *in;
            void *out;
        } map = {walk->seg->map + block * READ_BLOCK};
        (void)madvise(map.out, READ_BLOCK, MADV_DONTNEED);
    }
}

int pubsub__local_walk_next(local_walk *walk, const local_filter *filter, local_raw *raw,
                            local_gap *gap, pubsub_error *err)
{
    for (uint32_t budget = WALK_BUDGET; budget > 0;) {
        if (walk->pos >= walk->limit) {
            walk->limit = atomic_load_explicit(&walk->store->ctl->tail, memory_order_acquire);
            if (walk->pos >= walk->limit) {
                return LOCAL_NEXT_EMPTY;
            }
        }
        int rc = enter_segment(walk, gap, err);
        if (rc != LOCAL_NEXT_RECORD) {
            return rc;
        }
        local_seg *seg = walk->seg;
        size_t at = (size_t)(walk->pos - seg->head.base);
        uint64_t seg_end = seg->head.base + seg->head.size;
        size_t limit = (size_t)((walk->limit < seg_end ? walk->limit : seg_end) - seg->head.base);
        size_t usable = pubsub__local_seg_usable(seg, limit, walk->limit >= seg_end);
        local_scan scan = at < usable ? pubsub__local_record_parse(seg->map + at, usable - at, raw)
                                      : LOCAL_SCAN_BAD;
        if (scan == LOCAL_SCAN_ROLL && walk->limit >= seg_end) {
            walk->pos = seg_end + SEG_HEAD;
            continue;
        }
        if (scan != LOCAL_SCAN_RECORD || (walk->last_seq != 0 && raw->seq != walk->last_seq + 1)) {
            return skip_damage(walk, limit, gap);
        }
        if (wanted(filter, raw)) {
            if (!pubsub__local_record_crc_ok(seg->map + at, raw)) {
                return skip_damage(walk, limit, gap);
            }
            pass(walk, raw);
            return LOCAL_NEXT_RECORD;
        }
        pass(walk, raw);
        budget--;
    }
    return LOCAL_NEXT_MORE;
}

bool pubsub__local_expired(const local_raw *raw)
{
    return raw->expiry_ns != 0 && raw->expiry_ns <= pubsub__local_wall_ns();
}

void pubsub__local_view_fill(local_view *view, const local_raw *raw, uint64_t at, uint64_t end)
{
    view->topic = raw->topic;
    view->key = raw->key;
    view->payload = raw->payload;
    view->props = raw->props;
    view->header_count = raw->header_count;
    view->flags = raw->flags & (LOCAL_FLAG_RETAIN | LOCAL_FLAG_TOMBSTONE);
    view->qos = (uint8_t)(raw->flags & REC_F_QOS);
    view->seq = raw->seq;
    view->ts_ns = raw->ts_ns;
    view->expiry_ns = raw->expiry_ns;
    view->position = (local_position){raw->epoch, at};
    view->next = (local_position){raw->epoch, end};
}
