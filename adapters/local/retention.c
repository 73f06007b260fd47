/* SPDX-License-Identifier: MIT */
#include "local/internal.h"

#include <errno.h>
#include <unistd.h>

#include "base/alloc.h"

/* Segments are removed whole, the oldest first, never the active one, and only by unlinking: who has
 * one mapped reads on undisturbed, and room comes back even on a full disk. */

typedef struct keep_rules {
    uint64_t max_bytes;
    uint64_t oldest_needed; /* by a durable group; UINT64_MAX = none */
    bool reject;
    bool any_group;
    int64_t max_age_s;
    uint64_t now_ns;
} keep_rules;

static bool aged(const keep_rules *rules, local_store *store, uint64_t next_base)
{
    local_seg_head next;
    /* The next one's creation is when this one got its last record. */
    return rules->max_age_s > 0 &&
           pubsub__local_seg_read_head(store, next_base, &next) == PUBSUB_OK &&
           rules->now_ns > next.created_ns &&
           rules->now_ns - next.created_ns > (uint64_t)rules->max_age_s * LOCAL_NS_PER_S;
}

/* Whether the segment [base, next_base) goes, with `bytes` of log and what is to be added. */
static bool may_go(const keep_rules *rules, local_store *store, uint64_t next_base, uint64_t bytes)
{
    bool over = bytes > rules->max_bytes;
    bool needed = rules->oldest_needed < next_base;
    if (rules->reject) {
        return !needed && ((over && rules->any_group) || aged(rules, store, next_base));
    }
    return over || (!needed && aged(rules, store, next_base));
}

static void remove_oldest(local_store *store, uint64_t base, uint64_t next_base)
{
    local_seg_head next;
    char name[32];
    if (pubsub__local_seg_read_head(store, next_base, &next) == PUBSUB_OK) {
        atomic_store(&store->ctl->first_seq, next.first_seq);
    }
    atomic_store(&store->ctl->first_base, next_base);
    pubsub__local_seg_name(name, base);
    (void)unlinkat(store->log_fd, name, 0);
}

pubsub_err pubsub__local_retention(local_store *store, uint64_t extra_bytes, pubsub_error *err)
{
    local_ctl *ctl = store->ctl;
    uint64_t *bases = NULL;
    size_t count = 0;
    int sys = pubsub__local_list(store->log_fd, &bases, &count);
    if (sys != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot list the log", sys, err);
    }
    keep_rules rules = {.max_bytes = atomic_load(&ctl->max_bytes),
                        .oldest_needed = UINT64_MAX,
                        .reject = atomic_load(&ctl->full) == LOCAL_FULL_REJECT,
                        .max_age_s = atomic_load(&ctl->max_age_s),
                        .now_ns = pubsub__local_wall_ns()};
    rules.oldest_needed = pubsub__local_groups_oldest(store, &rules.any_group);
    uint64_t active = atomic_load(&ctl->active_base), first = atomic_load(&ctl->first_base);
    local_seg_head head;
    uint64_t end = pubsub__local_seg_read_head(store, active, &head) == PUBSUB_OK
                       ? active + head.size
                       : active;
    for (size_t i = 0; i < count && bases[i] < active; i++) {
        if (bases[i] < first) { /* its remover was killed half-way */
            remove_oldest(store, bases[i], first);
            continue;
        }
        if (!may_go(&rules, store, bases[i + 1], end - bases[i] + extra_bytes)) {
            break;
        }
        remove_oldest(store, bases[i], bases[i + 1]);
    }
    pubsub__free(bases);
    uint64_t bytes = end - atomic_load(&ctl->first_base) + extra_bytes;
    if (rules.reject && extra_bytes > 0 && bytes > rules.max_bytes) {
        return pubsub__local_fail(err, PUBSUB_EFULL,
                                  "%s is full (max_bytes %llu) and set to reject: consume what is "
                                  "there or raise the limit",
                                  store->dir, (unsigned long long)rules.max_bytes);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__local_gc(local_store *store, pubsub_error *err)
{
    pubsub_err rc = pubsub__local_usable(store, true, err);
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_append_lock(store, err);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_retention(store, 0, err);
        pubsub__local_append_unlock(store);
    }
    return rc;
}

pubsub_err pubsub__local_info(local_store *store, local_info *out, pubsub_error *err)
{
    const local_ctl *ctl = store->ctl;
    uint64_t *bases = NULL;
    size_t count = 0;
    pubsub_err rc = pubsub__local_usable(store, false, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    int sys = pubsub__local_list(store->log_fd, &bases, &count);
    if (sys != 0) {
        return pubsub__local_fail_errno(store->dir, "cannot list the log", sys, err);
    }
    pubsub__free(bases);
    local_seg_head head = {0};
    uint64_t active = atomic_load(&ctl->active_base), first = atomic_load(&ctl->first_base);
    (void)pubsub__local_seg_read_head(store, active, &head);
    *out = (local_info){
        .bytes = active + head.size - first,
        .segments = (uint32_t)count,
        .first = {ctl->epoch, first + SEG_HEAD},
        .tail = {ctl->epoch, atomic_load(&ctl->tail)},
        .synced = {ctl->epoch, atomic_load(&ctl->synced)},
        .next_seq = atomic_load(&ctl->seq),
        .retained_bytes = atomic_load(&ctl->ret_word) & ((UINT64_C(1) << 40) - 1),
        .max_bytes = atomic_load(&ctl->max_bytes),
        .max_record = pubsub__local_max_record(store),
        .segment_bytes = atomic_load(&ctl->segment_bytes),
        .max_age_s = atomic_load(&ctl->max_age_s),
        .full = (local_full)atomic_load(&ctl->full),
        .failed = atomic_load(&ctl->failed) != 0,
    };
    return PUBSUB_OK;
}
