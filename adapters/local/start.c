/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include "base/alloc.h"

static uint64_t first_pos(const local_store *store)
{
    return atomic_load_explicit(&store->ctl->first_base, memory_order_acquire) + SEG_HEAD;
}

static bool match_all(void *ctx, const char *topic, size_t len)
{
    (void)ctx;
    (void)topic;
    (void)len;
    return true;
}

/* The segment to look for a time in: the last that was created before it. */
static pubsub_err segment_before(local_store *store, uint64_t time_ns, uint64_t *base,
                                 pubsub_error *err)
{
    uint64_t *bases = NULL;
    size_t count = 0;
    int sys = pubsub__local_list(store->log_fd, &bases, &count);
    if (sys != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot list the log", sys, err);
    }
    uint64_t first = atomic_load(&store->ctl->first_base);
    uint64_t active = atomic_load(&store->ctl->active_base);
    *base = first;
    for (size_t i = 0; i < count && bases[i] <= active; i++) {
        local_seg_head head;
        if (bases[i] >= first && pubsub__local_seg_read_head(store, bases[i], &head) == PUBSUB_OK &&
            head.created_ns <= time_ns) {
            *base = bases[i];
        }
    }
    pubsub__free(bases);
    return PUBSUB_OK;
}

static pubsub_err start_at_time(local_store *store, uint64_t time_ns, uint64_t *pos,
                                uint64_t *last_seq, pubsub_error *err)
{
    uint64_t base = 0;
    pubsub_err rc = segment_before(store, time_ns, &base, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    local_walk walk;
    local_raw raw;
    local_gap gap;
    const local_filter all = {false, 0, match_all, NULL};
    pubsub__local_walk_init(&walk, store, base + SEG_HEAD, 0);
    for (;;) {
        int next = pubsub__local_walk_next(&walk, &all, &raw, &gap, err);
        if (next < 0) {
            rc = (pubsub_err)next;
            break;
        }
        if (next == LOCAL_NEXT_RECORD && raw.ts_ns >= time_ns) {
            *pos = walk.pos - raw.size;
            *last_seq = raw.seq - 1;
            break;
        }
        if (next == LOCAL_NEXT_EMPTY) {
            *pos = walk.pos;
            *last_seq = 0;
            break;
        }
    }
    pubsub__local_walk_fini(&walk);
    return rc;
}

/* Whether a record, a roll mark or the tail is at pos. */
static bool is_boundary(local_store *store, uint64_t pos, uint64_t tail)
{
    if (pos == tail) {
        return true;
    }
    uint64_t base;
    local_seg *seg = NULL;
    if (pubsub__local_seg_find(store, pos, &base, NULL) != PUBSUB_OK ||
        pubsub__local_seg_get(store, base, &seg, NULL) != PUBSUB_OK) {
        return false;
    }
    local_expect any = {0, 1, 1, UINT32_MAX};
    local_raw raw;
    bool sealed = base != atomic_load(&store->ctl->active_base);
    uint64_t room = sealed ? seg->head.size : tail - base;
    size_t usable = pubsub__local_seg_usable(seg, (size_t)room, sealed);
    bool ok = false;
    if (pos - base >= SEG_HEAD && pos - base < usable) {
        size_t at = (size_t)(pos - base);
        local_scan scan = pubsub__local_record_scan(seg->map + at, usable - at, &any, &raw);
        ok = scan == LOCAL_SCAN_RECORD || (scan == LOCAL_SCAN_ROLL && sealed);
    }
    pubsub__local_seg_put(store, seg);
    return ok;
}

static pubsub_err start_at_position(local_store *store, local_position position, uint64_t *pos,
                                    local_gap *gap, bool *has_gap, pubsub_error *err)
{
    uint32_t epoch = store->ctl->epoch;
    uint64_t tail = atomic_load_explicit(&store->ctl->tail, memory_order_acquire);
    uint64_t end = pubsub__local_epoch_end(store, position.epoch);
    uint64_t first = first_pos(store);
    *has_gap = false;
    *pos = position.offset;
    gap->from = position;
    gap->from_seq = 1;
    gap->to_seq = 0;
    if (position.epoch == 0 || position.epoch > epoch || position.offset % REC_ALIGN != 0) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "this position is not one of %s", store->dir);
    }
    if (position.offset > end) {
        *has_gap = true;
        gap->reason = LOCAL_GAP_TRUNCATED;
        *pos = end > first ? end : first;
    } else if (position.offset < first) {
        *has_gap = true;
        gap->reason = LOCAL_GAP_RETENTION;
        *pos = first;
    } else if (position.offset > tail || !is_boundary(store, position.offset, tail)) {
        return pubsub__local_fail(err, PUBSUB_EINVAL, "this position is not one of %s", store->dir);
    }
    gap->to = (local_position){epoch, *pos};
    return PUBSUB_OK;
}

pubsub_err pubsub__local_start(local_store *store, const local_from *from, uint64_t *pos,
                               uint64_t *last_seq, local_gap *gap, bool *has_gap, pubsub_error *err)
{
    *last_seq = 0;
    *has_gap = false;
    switch (from->kind) {
    case LOCAL_FROM_EARLIEST:
        *pos = first_pos(store);
        return PUBSUB_OK;
    case LOCAL_FROM_TIME:
        return start_at_time(store, from->time_ns, pos, last_seq, err);
    case LOCAL_FROM_POSITION:
        return start_at_position(store, from->position, pos, gap, has_gap, err);
    case LOCAL_FROM_NEW:
    case LOCAL_FROM_LAST:
        break;
    }
    *pos = atomic_load_explicit(&store->ctl->tail, memory_order_acquire);
    return PUBSUB_OK;
}
