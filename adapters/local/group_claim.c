/* SPDX-License-Identifier: MIT */
#include "local/group.h"

#include <string.h>

#define PROBE_NS (UINT64_C(20) * 1000 * 1000) /* how often others are asked whether they live */
#define LOOK_NS (UINT64_C(250) * 1000 * 1000) /* how long an idle member waits before it asks */
#define SKIP_MAX 1024u                        /* messages put aside for their key in one claim */

/* What one call of claim has collected. */
typedef struct taking {
    local_group *group;
    local_claim *out;
    size_t max, max_bytes;
    size_t count, bytes;
    uint64_t now_ns;
    local_claim_info *info;
} taking;

static bool satisfied(const taking *t)
{
    return t->count >= t->max || (t->count > 0 && t->bytes >= t->max_bytes);
}

static void sooner(local_claim_info *info, uint64_t at_ns)
{
    if (info->wake_at_ns == 0 || at_ns < info->wake_at_ns) {
        info->wake_at_ns = at_ns;
    }
}

/* ---- segments that views point into ------------------------------------------------------------------- */

static void release_held(local_group *group)
{
    for (uint32_t i = 0; i < group->held_count; i++) {
        pubsub__local_seg_put(group->store, group->held[i]);
    }
    group->held_count = 0;
}

static bool holds(const local_seg *seg, uint64_t offset)
{
    return seg != NULL && offset >= seg->head.base && offset - seg->head.base < seg->head.size;
}

/* Hold the segment of an offset until the next claim. PUBSUB_EAGAIN: no more can be held. */
static pubsub_err hold(local_group *group, uint64_t offset, local_seg **out)
{
    for (uint32_t i = 0; i < group->held_count; i++) {
        if (holds(group->held[i], offset)) {
            *out = group->held[i];
            return PUBSUB_OK;
        }
    }
    if (group->held_count == GRP_HELD) {
        return PUBSUB_EAGAIN;
    }
    uint64_t base = 0;
    pubsub_err rc = PUBSUB_OK;
    if (holds(group->walk.seg, offset)) {
        base = group->walk.seg->head.base; /* also when retention has unlinked it */
    } else {
        rc = pubsub__local_seg_find(group->store, offset, &base, NULL);
    }
    if (rc == PUBSUB_OK) {
        rc = pubsub__local_seg_get(group->store, base, out, NULL);
    }
    if (rc == PUBSUB_OK) {
        group->held[group->held_count++] = *out;
    }
    return rc;
}

/* ---- keys ------------------------------------------------------------------------------------------------- */

static bool key_known(const local_group *group, uint32_t hash, bool add)
{
    uint64_t wanted = (uint64_t)group->stamp << 32 | hash;
    size_t mask = GRP_RING * 2 - 1;
    size_t i = (hash * 2654435761u) & mask;
    while (group->keys[i] >> 32 == group->stamp) {
        if (group->keys[i] == wanted) {
            return true;
        }
        i = (i + 1) & mask;
    }
    if (add) {
        group->keys[i] = wanted;
    }
    return false;
}

/* Keyed groups: whether an older open message has the same key. Remembers this one's. */
static bool key_busy(const local_group *group, const grp_entry *entry)
{
    return group->keys != NULL && entry->has_key != 0 && key_known(group, entry->key_hash, true);
}

static void forget_keys(local_group *group)
{
    if (group->keys != NULL && ++group->stamp == 0) {
        memset(group->keys, 0, GRP_RING * 2 * sizeof(*group->keys));
        group->stamp = 1;
    }
}

/* ---- giving out --------------------------------------------------------------------------------------------- */

/* Between two steps of which a killed process may have done only the first. A counter is raised before
 * and lowered after the thing it counts: too high a count costs a look, too low a message. */
static void step(void)
{
    atomic_signal_fence(memory_order_seq_cst); /* the flock orders it for other processes */
}

static uint64_t lease_of(uint64_t index, uint32_t attempts)
{
    return index << 16 | (attempts & 0xffffu);
}

static void hand_out(taking *t, grp_entry *entry, uint64_t index, const local_raw *raw)
{
    local_group *group = t->group;
    group->table->members[group->slot].leased++;
    step();
    entry->attempts++;
    entry->member = (uint16_t)group->slot;
    entry->member_gen = group->gen;
    entry->state = GRP_LEASED;
    local_claim *claim = &t->out[t->count++];
    pubsub__local_view_fill(&claim->view, raw, entry->offset, entry->end);
    claim->lease = lease_of(index, entry->attempts);
    claim->attempt = entry->attempts;
    claim->redelivered = entry->attempts > 1 || entry->offset < group->table->again_until;
    t->bytes += raw->payload.len;
}

typedef enum fetched { FETCH_OK, FETCH_GONE, FETCH_LATER } fetched;

/* Read the record of an entry again. */
static fetched fetch(taking *t, const grp_entry *entry, local_raw *raw)
{
    local_seg *seg = NULL;
    pubsub_err rc = hold(t->group, entry->offset, &seg);
    if (rc != PUBSUB_OK && rc != PUBSUB_ENOTFOUND) {
        return FETCH_LATER;
    }
    if (seg != NULL) {
        size_t at = (size_t)(entry->offset - seg->head.base);
        size_t end = (size_t)(entry->end - seg->head.base);
        local_expect expect = {entry->seq, 0, 0, UINT32_MAX};
        if (entry->end - seg->head.base <= seg->head.size && at >= SEG_HEAD && at < end &&
            pubsub__local_seg_usable(seg, end, false) >= end &&
            pubsub__local_record_scan(seg->map + at, end - at, &expect, raw) == LOCAL_SCAN_RECORD) {
            return FETCH_OK;
        }
    }
    local_gap *gap = &t->info->gap;
    if (!t->info->has_gap) {
        uint32_t epoch = t->group->table->epoch;
        gap->reason = seg == NULL ? LOCAL_GAP_RETENTION : LOCAL_GAP_CORRUPT;
        gap->from_seq = gap->to_seq = entry->seq;
        gap->from = (local_position){epoch, entry->offset};
        t->info->has_gap = true;
    }
    gap->to_seq = entry->seq;
    gap->to = (local_position){t->group->table->epoch, entry->end};
    return FETCH_GONE;
}

/* Members that died or did not renew give back what they hold. */
static void look_after_others(taking *t)
{
    local_group *group = t->group;
    grp_table *table = group->table;
    bool probe = t->now_ns - group->probed_ns >= PROBE_NS;
    for (uint32_t i = 0; i < GRP_MEMBERS; i++) {
        grp_member *member = &table->members[i];
        if (member->used == 0 || member->leased == 0 || i == group->slot) {
            continue;
        }
        if (probe && !pubsub__group_slot_live(group, i)) {
            pubsub__group_give_back(group, i);
            member->used = 0;
        } else if (member->until_ns <= t->now_ns) {
            pubsub__group_give_back(group, i);
        } else {
            uint64_t look = t->now_ns + (probe ? LOOK_NS : PROBE_NS);
            sooner(t->info, member->until_ns < look ? member->until_ns : look);
        }
    }
    if (probe) {
        group->probed_ns = t->now_ns;
    }
}

/* What comes again. Also lets the keyed groups learn which keys are busy. */
static void take_again(taking *t)
{
    grp_table *table = t->group->table;
    forget_keys(t->group);
    if (table->ready_count == 0 && t->group->keys == NULL) {
        return;
    }
    uint32_t ready = 0;
    bool dropped = false;
    for (uint64_t i = table->ring_head; i < table->ring_tail; i++) {
        grp_entry *entry = grp_at(table, i);
        local_raw raw;
        if (entry->state == GRP_DONE) {
            continue;
        }
        bool busy = key_busy(t->group, entry);
        if (entry->state != GRP_READY) {
            continue;
        }
        ready++;
        if (busy) {
            continue; /* the ack that frees it wakes us */
        }
        if (entry->ready_ns > t->now_ns) {
            sooner(t->info, entry->ready_ns);
            continue;
        }
        if (satisfied(t)) {
            t->info->more = true;
            continue;
        }
        switch (fetch(t, entry, &raw)) {
        case FETCH_OK:
            ready--;
            if (pubsub__local_expired(&raw)) {
                entry->state = GRP_DONE;
                dropped = true;
            } else {
                hand_out(t, entry, i, &raw);
            }
            break;
        case FETCH_GONE:
            ready--;
            entry->state = GRP_DONE;
            dropped = true;
            break;
        case FETCH_LATER:
            t->info->more = true;
            break;
        }
    }
    table->ready_count = ready;
    if (dropped && t->group->keys != NULL) {
        t->info->more = true; /* their keys are free now */
    }
}

/* Put a record that was just read into the ring. */
static grp_entry *remember(grp_table *table, const local_raw *raw, uint64_t end)
{
    grp_entry *entry = grp_at(table, table->ring_tail);
    memset(entry, 0, sizeof(*entry));
    entry->offset = end - raw->size;
    entry->end = end;
    entry->seq = raw->seq;
    entry->key_hash = raw->key_hash;
    entry->has_key = (raw->flags & REC_F_KEY) != 0;
    entry->state = GRP_READY;
    return entry;
}

/* One record of the log that is new to the group. Returns false when no more can be taken now. */
static bool take_record(taking *t, const local_raw *raw, uint32_t *skipped)
{
    local_group *group = t->group;
    grp_table *table = group->table;
    local_seg *seg;
    uint64_t end = group->walk.pos;
    bool busy = false;
    if (!pubsub__local_expired(raw)) {
        if (hold(group, end - raw->size, &seg) != PUBSUB_OK) {
            t->info->more = true;
            return false;
        }
        grp_entry *entry = remember(table, raw, end);
        busy = key_busy(group, entry);
        if (busy) {
            table->ready_count++;
        } else {
            hand_out(t, entry, table->ring_tail, raw);
        }
        step(); /* the entry is whole before it counts */
        table->ring_tail++;
    }
    step();
    table->next = end;
    table->next_seq = raw->seq;
    *skipped += busy;
    return *skipped < SKIP_MAX;
}

/* What nobody has had yet. */
static int take_new(taking *t, pubsub_error *err)
{
    local_group *group = t->group;
    grp_table *table = group->table;
    uint32_t skipped = 0;
    if (group->walk.pos != table->next) {
        group->walk.pos = table->next;
        group->walk.last_seq = table->next_seq;
    }
    while (!satisfied(t)) {
        if (table->ring_tail - table->ring_head >= GRP_RING) {
            table->wanted = 1; /* whoever acks next wakes us */
            return PUBSUB_OK;
        }
        local_raw raw;
        local_gap gap;
        int next = pubsub__local_walk_next(&group->walk, &group->filter, &raw, &gap, err);
        if (next < 0) {
            return next;
        }
        if (next == LOCAL_NEXT_RECORD) {
            if (!take_record(t, &raw, &skipped)) {
                return PUBSUB_OK;
            }
            continue;
        }
        table->next = group->walk.pos;
        table->next_seq = group->walk.last_seq;
        if (next == LOCAL_NEXT_EMPTY) {
            return PUBSUB_OK;
        }
        if (next == LOCAL_NEXT_MORE) {
            t->info->more = true;
            return PUBSUB_OK;
        }
        if (t->info->has_gap) { /* one a call */
            group->gap = gap;
            group->has_gap = true;
            break;
        }
        t->info->gap = gap;
        t->info->has_gap = true;
    }
    t->info->more = true;
    return PUBSUB_OK;
}

int pubsub__local_group_claim(local_group *group, local_claim *out, size_t max, size_t max_bytes,
                              local_claim_info *info, pubsub_error *err)
{
    memset(info, 0, sizeof(*info));
    info->has_gap = group->has_gap;
    info->gap = group->gap;
    group->has_gap = false;
    release_held(group);
    pubsub_err rc = pubsub__group_lock(group, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__group_settle(group);
    taking t = {group, out, max, max_bytes, 0, 0, pubsub__local_mono_ns(), info};
    group->table->members[group->slot].until_ns = t.now_ns + group->lease_ns;
    look_after_others(&t);
    take_again(&t);
    int failed = satisfied(&t) ? PUBSUB_OK : take_new(&t, err);
    if (satisfied(&t)) {
        info->more = true;
    }
    pubsub__group_commit(group);
    pubsub__group_unlock(group);
    return failed < 0 && t.count == 0 ? failed : (int)t.count;
}

/* ---- settling ------------------------------------------------------------------------------------------------ */

/* The entry of a lease that this member still has, or that nobody took since it ran out. */
static grp_entry *find(local_group *group, uint64_t token)
{
    grp_table *table = group->table;
    uint64_t index = token >> 16;
    if (index < table->ring_head || index >= table->ring_tail) {
        return NULL;
    }
    grp_entry *entry = grp_at(table, index);
    bool mine = entry->state != GRP_DONE && entry->member == group->slot &&
                entry->member_gen == group->gen && lease_of(index, entry->attempts) == token;
    return mine ? entry : NULL;
}

static void change_state(local_group *group, grp_entry *entry, grp_state state)
{
    grp_table *table = group->table;
    grp_member *member = &table->members[group->slot];
    bool was_leased = entry->state == GRP_LEASED, was_ready = entry->state == GRP_READY;
    table->ready_count += state == GRP_READY;
    step();
    entry->state = (uint8_t)state;
    step();
    table->ready_count -= was_ready && table->ready_count > 0;
    member->leased -= was_leased && member->leased > 0;
}

/* Others may be able to claim what they could not before. */
static bool others_wait(const local_group *group)
{
    grp_table *table = group->table;
    bool keyed = group->keys != NULL && table->ready_count > 0;
    bool wanted = table->wanted != 0 && table->ring_tail - table->ring_head < GRP_RING;
    if (wanted) {
        table->wanted = 0;
    }
    return keyed || wanted;
}

pubsub_err pubsub__local_group_ack(local_group *group, const uint64_t *leases, size_t count,
                                   size_t *acked, pubsub_error *err)
{
    size_t done = 0;
    pubsub_err rc = pubsub__group_lock(group, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__group_settle(group);
    for (size_t i = 0; i < count; i++) {
        grp_entry *entry = find(group, leases[i]);
        if (entry != NULL) {
            change_state(group, entry, GRP_DONE);
            done++;
        }
    }
    pubsub__group_commit(group);
    bool wake = others_wait(group);
    pubsub__group_unlock(group);
    if (wake) {
        pubsub__local_ring(group->store, group->bit);
    }
    if (acked != NULL) {
        *acked = done;
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__local_group_nack(local_group *group, uint64_t lease, uint64_t delay_ms,
                                    bool count, pubsub_error *err)
{
    pubsub_err rc = pubsub__group_lock(group, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pubsub__group_settle(group);
    grp_entry *entry = find(group, lease);
    if (entry != NULL) {
        entry->ready_ns = delay_ms == 0 ? 0 : pubsub__local_mono_ns() + delay_ms * 1000000u;
        entry->attempts -= !count && entry->attempts > 0;
        change_state(group, entry, GRP_READY);
        entry->member_gen = 0; /* a second word about this lease does not count */
        entry->member = UINT16_MAX;
    }
    pubsub__group_unlock(group);
    if (entry == NULL) {
        return pubsub__local_fail(err, PUBSUB_ENOTFOUND, "the lease was lost");
    }
    pubsub__local_ring(group->store, group->bit);
    return PUBSUB_OK;
}

pubsub_err pubsub__local_group_renew(local_group *group, pubsub_error *err)
{
    pubsub_err rc = pubsub__group_lock(group, err);
    if (rc == PUBSUB_OK) {
        pubsub__group_settle(group);
        group->table->members[group->slot].until_ns = pubsub__local_mono_ns() + group->lease_ns;
        pubsub__group_unlock(group);
    }
    return rc;
}

uint32_t pubsub__local_group_bits(const local_group *group, uint32_t topic_bits)
{
    return topic_bits | group->bit;
}

local_position pubsub__local_group_position(local_group *group)
{
    grp_slot slot = {0};
    if (pubsub__group_lock(group, NULL) == PUBSUB_OK) {
        pubsub__group_commit(group);
        (void)pubsub__group_read_slots(group->map + GRP_SLOTS_AT, &slot);
        pubsub__group_unlock(group);
    }
    return (local_position){slot.epoch, slot.offset};
}
