/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOCAL_GROUP_H
#define PUBSUB_LOCAL_GROUP_H

/* groups/<kind>-<name>.grp, mapped by every member and changed only under its flock:
 *
 *       0  head: who it is; never changes, has a checksum
 *   16384  two slots of the committed position, written in turn, each with a checksum
 *   20480  table: what is open; means something in one boot only
 *
 * A member may be killed between any two stores. Each change is ordered so that what it leaves is either
 * the old or the new state, or is put right by group_settle: an entry is complete before ring_tail takes
 * it in, and `next` follows after that. Forgetting a step costs a duplicate, never a loss.
 *
 * Who is a member: the process that holds the lock of byte LIVE_BASE + slot of the file (an open file
 * description lock, which the kernel drops when the process dies, whatever its namespace). */

#include <stdatomic.h>

#include "local/internal.h"

#define GRP_MAGIC "PSUBGRP1"
#define GRP_VERSION 1u
#define GRP_SLOTS_AT 16384u
#define GRP_SLOT_BYTES 512u
#define GRP_TABLE_AT 20480u
#define GRP_MEMBERS 256u
#define GRP_RING 8192u /* open messages of a group; power of two */
#define GRP_HELD 16u   /* segments one claim may point into */
#define GRP_LIVE_BASE (UINT64_C(1) << 40)
#define GRP_FLAGS (LOCAL_GROUP_DURABLE | LOCAL_GROUP_SINGLE | LOCAL_GROUP_KEYED)

typedef struct grp_head {
    char magic[8];
    uint32_t version;
    uint32_t flags;
    uint8_t uuid[16]; /* of the bus */
    uint32_t name_len;
    uint32_t patterns_len;
    uint32_t crc; /* of everything else in the head and the texts */
    uint32_t zero;
    char texts[GRP_SLOTS_AT - 48]; /* name, patterns */
} grp_head;

typedef struct grp_slot {
    uint64_t counter;
    uint64_t offset;
    uint64_t seq; /* of the last record before offset; 0 = not known */
    uint32_t epoch;
    uint32_t crc;
} grp_slot;

typedef enum grp_state {
    GRP_DONE = 0,
    GRP_LEASED = 1,
    GRP_READY = 2 /* nacked, given up by its owner, or waits for its key */
} grp_state;

typedef struct grp_entry {
    uint64_t offset, end;
    uint64_t seq;
    uint64_t ready_ns; /* READY: not before; monotonic */
    uint32_t key_hash;
    uint32_t attempts;
    uint32_t member_gen;
    uint16_t member;
    uint8_t has_key;
    uint8_t state;
    uint64_t unused[2];
} grp_entry;

typedef struct grp_member {
    uint32_t used;
    uint32_t gen; /* tells successive holders of the slot apart */
    uint32_t leased;
    uint32_t zero;
    uint64_t until_ns; /* its leases are good until then; monotonic */
} grp_member;

typedef struct grp_table {
    char boot_id[40];
    uint32_t epoch;
    _Atomic uint32_t ready; /* 0: to be made from the slots */
    uint64_t next;          /* where scanning goes on */
    uint64_t next_seq;      /* of the last record before it; 0 = not known */
    uint64_t ring_head;     /* oldest entry that is not done; counts up for ever */
    uint64_t ring_tail;
    uint64_t slot_counter;
    uint64_t again_until; /* before a restart the group may have got as far as this */
    uint32_t ready_count; /* entries in state READY */
    uint32_t wanted;      /* a member waits for room in the ring */
    grp_member members[GRP_MEMBERS];
    grp_entry ring[GRP_RING];
} grp_table;

#define GRP_BYTES (GRP_TABLE_AT + sizeof(grp_table))

_Static_assert(sizeof(grp_head) == GRP_SLOTS_AT, "head and slots");
_Static_assert(sizeof(grp_entry) == 64, "one line each");
_Static_assert(LOCAL_PATTERNS_MAX + LOCAL_GROUP_NAME_MAX <= GRP_SLOTS_AT - 48, "texts fit");

struct local_group {
    local_store *store;
    int fd;
    local_group *fork_link;
    uint8_t *map;
    grp_head *head;
    grp_table *table;
    char file[256];
    local_filter filter;
    uint64_t lease_ns;
    uint32_t bit;
    uint32_t slot, gen; /* of this member */
    uint64_t waiting;   /* when it joined */
    uint64_t probed_ns; /* when the others were last seen alive */
    local_walk walk;
    local_seg *held[GRP_HELD];
    uint32_t held_count;
    bool has_gap; /* for the next claim to tell */
    local_gap gap;
    uint64_t *keys; /* KEYED: a set of key hashes, stamped */
    uint32_t stamp;
};

/* group_file.c */
pubsub_err pubsub__group_file_name(char buf[256], const char *name, bool single, pubsub_error *err);
/* Create with this position; PUBSUB_EBUSY when it exists already. */
pubsub_err pubsub__group_create(local_store *store, const char *file,
                                const local_group_options *options, local_position start,
                                uint64_t start_seq, pubsub_error *err);
/* Open, lock and map an existing one. PUBSUB_ENOTFOUND. On success the flock is held. */
pubsub_err pubsub__group_attach(local_group *group, const char *name, bool single,
                                pubsub_error *err);
void pubsub__group_detach(local_group *group); /* drops the locks too */
pubsub_err pubsub__group_lock(local_group *group, pubsub_error *err);
void pubsub__group_unlock(local_group *group);
/* Put right what a killed member left half-done. */
void pubsub__group_settle(local_group *group);
void pubsub__group_commit(local_group *group);
bool pubsub__group_read_slots(const uint8_t bytes[2 * GRP_SLOT_BYTES], grp_slot *out);
bool pubsub__group_take_slot(const local_group *group, uint32_t slot); /* become its holder */
bool pubsub__group_slot_live(const local_group *group, uint32_t slot);
uint32_t pubsub__group_live(const local_group *group); /* others */
/* Give everything the holder of a slot has leased back to the group. */
void pubsub__group_give_back(local_group *group, uint32_t slot);

static inline grp_entry *grp_at(grp_table *table, uint64_t index)
{
    return &table->ring[index & (GRP_RING - 1)];
}

#endif
