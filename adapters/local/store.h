/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOCAL_STORE_H
#define PUBSUB_LOCAL_STORE_H

/* The store under `local:`: one append-only log in a directory, shared by all processes of a
 * machine without a daemon. It knows bytes, topics as opaque text, and positions; it knows no
 * patterns (a filter function decides) and no clients.
 *
 * Threads: append, sync, wait, wake and info may be called from any thread at the same time. A
 * cursor and a group belong to one thread at a time. Close cursors and groups before the store.
 * Fork: in a child every handle is dead (calls give PUBSUB_ESTATE) and may only be closed.
 * Errors: codes of <pubsub/error.h>; the text names the directory and what to do. */

#include <pubsub/error.h>
#include <pubsub/types.h>

#define LOCAL_TOPIC_MAX 1024u
#define LOCAL_KEY_MAX 65535u
#define LOCAL_GROUP_NAME_MAX 255u
#define LOCAL_PATTERNS_MAX 12288u /* bytes of a group's pattern text */
#define LOCAL_POSITION_TEXT 48u   /* buffer size that fits every position text with its NUL */

typedef struct local_store local_store;
typedef struct local_cursor local_cursor;
typedef struct local_group local_group;

/* ---- Opening ------------------------------------------------------------------------------- */

/* What happens when max_bytes is reached: the oldest segments go, or the append fails with EFULL
 * unless every durable group has consumed them. */
typedef enum local_full {
    LOCAL_FULL_KEEP = 0,
    LOCAL_FULL_DROP = 1,
    LOCAL_FULL_REJECT = 2
} local_full;

typedef enum local_access {
    LOCAL_ACCESS_AUTO = 0, /* read and write; read only where writing is not permitted */
    LOCAL_ACCESS_READ = 1, /* never write; the bus must exist */
    LOCAL_ACCESS_WRITE = 2 /* PUBSUB_EDENIED where writing is not permitted */
} local_access;

typedef struct local_options {
    const char *dir; /* NULL: the default bus */
    local_access access;
    bool must_exist; /* do not create: PUBSUB_ENOTFOUND */
    bool repair; /* re-verify the log like after a restart; needs the bus to itself: PUBSUB_EBUSY */
    /* Settings of the bus. 0 = keep what the bus has (a new bus: the default); others are stored
     * and count for every process from then on. */
    uint64_t max_bytes;     /* default 1 GiB, at least 4 MiB */
    int64_t max_age_s;      /* default 7 days; -1 = no limit */
    uint64_t max_record;    /* default 16 MiB; never more than a segment less 1 KiB */
    uint64_t segment_bytes; /* default the smaller of 64 MiB and max_bytes / 8, at least 64 KiB */
    local_full full;        /* default drop */
} local_options;

/* Write the directory of a bus by its name: $XDG_STATE_HOME/pubsub/NAME, else
 * $HOME/.local/state/pubsub/NAME. NULL is the default bus: $PUBSUB_BUS, else the bus "default".
 * PUBSUB_EINVAL when no variable is set, it does not fit, or the name has a slash or begins with a
 * dot. */
pubsub_err pubsub__local_default_dir(const char *name, char *buf, size_t cap, pubsub_error *err);

/* Open a bus, creating it (0700, parents too) when it is missing. PUBSUB_EINVAL (a directory that
 * is not a bus), PUBSUB_EVERSION, PUBSUB_ECORRUPT, PUBSUB_ENOTSUP (network file system),
 * PUBSUB_EDENIED, PUBSUB_ENOTFOUND, PUBSUB_EBUSY (needs recovery and is in use by another kernel,
 * or read only), PUBSUB_ENOSPC, PUBSUB_ENOMEM, PUBSUB_EIO, PUBSUB_ESYSTEM. */
pubsub_err pubsub__local_open(local_store **out, const local_options *options, pubsub_error *err);
void pubsub__local_close(local_store *store); /* NULL is a no-op */

const char *pubsub__local_dir(const local_store *store);
bool pubsub__local_is_readonly(const local_store *store);
uint64_t pubsub__local_max_record(const local_store *store);
/* The largest sum of payload, key and encoded properties that fits with any topic. */
#define LOCAL_MAX_PAYLOAD_DEFAULT ((16u << 20) - 1152u)
uint64_t pubsub__local_max_payload(const local_store *store);
const char *
pubsub__local_uuid(const local_store *store); /* 32 hex digits, the bus's name for life */

/* ---- Positions ----------------------------------------------------------------------------- */

/* Names one record: its byte offset in the log's life, and the epoch that tells reused offsets
 * apart after a power failure. Text form "e<epoch>-<offset>". */
typedef struct local_position {
    uint32_t epoch; /* 0 = no position */
    uint64_t offset;
} local_position;

/* buf gets at most LOCAL_POSITION_TEXT bytes with the NUL; returns the length without it. */
size_t pubsub__local_position_format(local_position pos, char buf[LOCAL_POSITION_TEXT]);
/* False for anything but exactly the text form. */
bool pubsub__local_position_parse(const char *text, size_t len, local_position *out);

/* ---- Properties: everything of a message beside topic, key and payload ----------------------- */

/* Encoded one after the other: u8 kind, u8 zero, u16 name length, u32 value length (little-endian),
 * name, value. Only headers have names; a header's name has 1..65535 bytes. */
typedef enum local_prop_kind {
    LOCAL_PROP_HEADER = 0,
    LOCAL_PROP_CONTENT_TYPE = 1,
    LOCAL_PROP_REPLY_TO = 2,
    LOCAL_PROP_CORRELATION = 3 /* readers skip kinds they do not know */
} local_prop_kind;

typedef struct local_prop {
    local_prop_kind kind;
    pubsub_bytes name;
    pubsub_bytes value;
} local_prop;

/* Bytes the encoding takes; SIZE_MAX when a length is out of range. */
size_t pubsub__local_props_size(const local_prop *props, size_t count);
/* Encode into buf of at least pubsub__local_props_size bytes; returns the bytes written. */
size_t pubsub__local_props_encode(const local_prop *props, size_t count, uint8_t *buf);
/* Take the next property off the front of *blob. 1 = one was read, 0 = the end, -1 = malformed.
 * The property points into the blob. Bounded by the blob's length whatever the bytes are. */
int pubsub__local_props_next(pubsub_bytes *blob, local_prop *out);

/* ---- Append -------------------------------------------------------------------------------- */

typedef struct local_record {
    pubsub_bytes topic; /* 1..LOCAL_TOPIC_MAX bytes; not checked for wildcards */
    pubsub_bytes key;   /* at most LOCAL_KEY_MAX bytes; data NULL = no key */
    pubsub_bytes payload;
    const local_prop *props; /* encoded into the record; may be NULL when prop_count is 0 */
    size_t prop_count;
    pubsub_bytes props_blob; /* used instead when prop_count is 0: already encoded */
    uint64_t ts_ns;          /* wall clock; 0 = now */
    uint64_t expiry_ns;      /* wall clock after which nobody gets it; 0 = never */
    uint8_t qos;             /* 0..2, kept for the reader */
    bool retain;             /* also becomes the topic's retained value; empty payload clears it */
    bool tombstone;          /* a message without a value, kept for the reader */
    /* Written by append for records that were stored: */
    uint64_t offset; /* where it begins */
    uint64_t end;    /* where the next one begins */
    uint64_t seq;    /* counts records of the bus from 1 without holes */
} local_record;

/* Append records in order. All or a prefix is stored; *stored says how many (on success all). A
 * batch that fits one segment is stored whole or not at all, also across crashes. When it returns,
 * the stored records are visible to readers and survive kill -9 of everybody ("written"). *end gets
 * the position behind the last stored record, for pubsub__local_sync; may be NULL. PUBSUB_EINVAL,
 * PUBSUB_ETOPIC, PUBSUB_ETOOBIG (nothing stored), PUBSUB_EFULL, PUBSUB_ENOSPC, PUBSUB_EDENIED (read
 * only), PUBSUB_EIO, PUBSUB_ENOMEM, PUBSUB_ESTATE (after fork). */
pubsub_err pubsub__local_append(local_store *store, local_record *records, size_t count,
                                size_t *stored, local_position *end, pubsub_error *err);

/* Make everything before `upto` survive power loss ("durable"); processes share one disk flush.
 * Blocks for the disk. PUBSUB_EIO is for good: the bus refuses appends until it is repaired. */
pubsub_err pubsub__local_sync(local_store *store, local_position upto, pubsub_error *err);

/* ---- Reading ------------------------------------------------------------------------------- */

#define LOCAL_FLAG_RETAIN 0x0004u    /* was published as retained */
#define LOCAL_FLAG_TOMBSTONE 0x0008u /* a message without a value */
#define LOCAL_FLAG_STORED 0x8000u    /* view only: comes from the retained values, not live */

/* One record in place. Pointers live until the next call on the same cursor or group. */
typedef struct local_view {
    pubsub_bytes topic;
    pubsub_bytes key; /* data NULL = no key */
    pubsub_bytes payload;
    pubsub_bytes props; /* for pubsub__local_props_next */
    uint16_t header_count;
    uint16_t flags; /* LOCAL_FLAG_* */
    uint8_t qos;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t expiry_ns;
    local_position position; /* of this record: starting there gives it again */
    local_position next;     /* behind it: starting there gives what follows */
} local_view;

typedef enum local_gap_reason {
    LOCAL_GAP_RETENTION = 1, /* removed by size or age before it was read */
    LOCAL_GAP_TRUNCATED = 2, /* lost in a power failure after it was read or written */
    LOCAL_GAP_CORRUPT = 3    /* damaged on disk */
} local_gap_reason;

/* Records from_seq .. to_seq (inclusive) cannot be read any more. to_seq < from_seq: nothing is
 * known to be missing, but the place was. */
typedef struct local_gap {
    local_gap_reason reason;
    uint64_t from_seq, to_seq;
    local_position from, to; /* reading goes on at `to` */
} local_gap;

/* Which records a reader wants. With exact set, only records whose topic has this hash are looked
 * at; match (NULL = all) then decides. match must be pure: it is called with text of other
 * processes. */
typedef struct local_filter {
    bool exact;
    uint32_t topic_hash; /* pubsub__local_topic_hash of the one topic */
    bool (*match)(void *ctx, const char *topic, size_t len);
    void *ctx;
} local_filter;

uint32_t pubsub__local_topic_hash(const char *topic, size_t len);

typedef enum local_from_kind {
    LOCAL_FROM_NEW = 0,  /* what is appended from now on */
    LOCAL_FROM_EARLIEST, /* everything there is */
    LOCAL_FROM_LAST,     /* the retained values, then what is new; nothing between is lost */
    LOCAL_FROM_TIME,     /* the first record with ts_ns >= time_ns, and on */
    LOCAL_FROM_POSITION  /* the record at position, and on */
} local_from_kind;

typedef struct local_from {
    local_from_kind kind;
    uint64_t time_ns;
    local_position position;
} local_from;

/* Open a reader. It needs no write permission. A position that never was in this bus is
 * PUBSUB_EINVAL; one that is gone is reported by the first call of next as a gap. */
pubsub_err pubsub__local_cursor_open(local_cursor **out, local_store *store, const local_from *from,
                                     const local_filter *filter, pubsub_error *err);
void pubsub__local_cursor_close(local_cursor *cursor); /* NULL is a no-op */

typedef enum local_next {
    LOCAL_NEXT_EMPTY = 0,  /* caught up */
    LOCAL_NEXT_RECORD = 1, /* *view is filled */
    LOCAL_NEXT_GAP = 2,    /* *gap is filled; call again */
    LOCAL_NEXT_MORE = 3    /* budget used up without a match; call again when convenient */
} local_next;

/* The next wanted record; expired ones are skipped. At most about 64 Ki records are skipped a call.
 * Returns a local_next, or a negative pubsub_err. */
int pubsub__local_cursor_next(local_cursor *cursor, local_view *view, local_gap *gap,
                              pubsub_error *err);
/* Where the next call begins: a subscription that starts there misses nothing. */
local_position pubsub__local_cursor_position(const local_cursor *cursor);
/* Bytes of log between that place and the tail. */
uint64_t pubsub__local_cursor_behind(const local_cursor *cursor);
uint64_t pubsub__local_cursor_expired(const local_cursor *cursor); /* records skipped as expired */

/* ---- Waiting ------------------------------------------------------------------------------- */

#define LOCAL_BITS_ALL 0x7fffffffu

/* The wake bit of a topic, or of all topics under a literal first level. A reader with a wildcard
 * as first level waits for LOCAL_BITS_ALL. */
uint32_t pubsub__local_topic_bits(const char *topic, size_t len);
/* Read the generation BEFORE reading records; pass it to wait when there were none. */
uint32_t pubsub__local_generation(const local_store *store);
/* Sleep until something with one of these bits is appended after `generation` was read, wake_self
 * is called, or timeout_ms (-1 = none) is over. Several threads may wait. Returns true when it may
 * be worth looking, false on time-out. */
bool pubsub__local_wait(local_store *store, uint32_t generation, uint32_t bits, int64_t timeout_ms);
/* Make the waits of this store handle return now, also one that is about to begin. Waits return at
 * once until wake_clear. */
void pubsub__local_wake_self(local_store *store);
void pubsub__local_wake_clear(local_store *store);

/* ---- Groups and durable names ---------------------------------------------------------------- */

#define LOCAL_GROUP_DURABLE 0x1u /* keeps its position when nobody is there */
#define LOCAL_GROUP_SINGLE 0x2u  /* one live member: a durable name without a group */
#define LOCAL_GROUP_KEYED 0x4u   /* order=key: a key with an open message is not handed out */

typedef struct local_group_options {
    const char *name; /* 1..LOCAL_GROUP_NAME_MAX bytes; single and shared names do not clash */
    uint32_t flags;
    pubsub_bytes patterns; /* canonical text of all patterns; members must agree */
    local_filter filter;
    local_from from; /* where a new group begins; LAST begins like NEW */
    bool
        reset; /* begin at `from` again, forgetting what is open; PUBSUB_EBUSY with other members */
    uint32_t lease_ms; /* 0 = 30,000 */
} local_group_options;

/* Join, creating the group when it is new; *resumed (may be NULL) tells that it had a position.
 * PUBSUB_EBUSY (single and taken, or reset with members), PUBSUB_EINVAL (patterns or flags differ
 * from the group's), PUBSUB_EFULL (256 members), PUBSUB_EDENIED, PUBSUB_ENOSPC, ... */
pubsub_err pubsub__local_group_join(local_group **out, local_store *store,
                                    const local_group_options *options, bool *resumed,
                                    pubsub_error *err);
/* How many messages were stored for the group and not done when it was joined; those that its patterns do not
 * fit are counted too. */
uint64_t pubsub__local_group_waiting(const local_group *group);
/* Leave: open messages become available at once, the attempts of those never handed to anybody
 * should have been given back before (nack with count=false). The last member removes a group that
 * is not durable. NULL is a no-op. */
void pubsub__local_group_leave(local_group *group);

typedef struct local_claim {
    local_view view;
    uint64_t lease;   /* for ack and nack; never 0 */
    uint32_t attempt; /* 1 = first delivery, as far as this boot knows */
    bool redelivered; /* may have been handed out before, also before a restart */
} local_claim;

typedef struct local_claim_info {
    uint64_t
        wake_at_ns; /* monotonic time when claiming again is worth it without a wake; 0 = never */
    bool more;      /* there may be more right now */
    bool has_gap;   /* the group lagged behind retention: gap is filled, once */
    local_gap gap;
} local_claim_info;

/* Take up to max messages (stopping after max_bytes of payload, but at least one): first those that
 * were nacked or whose owner died, then new ones. All views live until the next claim or leave.
 * Returns the number, or a negative pubsub_err. */
int pubsub__local_group_claim(local_group *group, local_claim *out, size_t max, size_t max_bytes,
                              local_claim_info *info, pubsub_error *err);
/* Done with them. Leases that were lost meanwhile are skipped; *acked (may be NULL) counts the
 * rest. */
pubsub_err pubsub__local_group_ack(local_group *group, const uint64_t *leases, size_t count,
                                   size_t *acked, pubsub_error *err);
/* Give one back, to come again to any member after delay_ms. count=false takes the attempt back: it
 * was never handed to the application. PUBSUB_ENOTFOUND when the lease was lost. */
pubsub_err pubsub__local_group_nack(local_group *group, uint64_t lease, uint64_t delay_ms,
                                    bool count, pubsub_error *err);
/* Keep all leases of this member for another lease time; call at least every third of it. */
pubsub_err pubsub__local_group_renew(local_group *group, pubsub_error *err);
/* The wake bits a member waits for: those of its topics (given) and the group's own. */
uint32_t pubsub__local_group_bits(const local_group *group, uint32_t topic_bits);
/* Where the group stands: everything before is finished. */
local_position pubsub__local_group_position(local_group *group);

/* Forget a group or durable name. PUBSUB_ENOTFOUND, PUBSUB_EBUSY (has live members). */
pubsub_err pubsub__local_group_remove(local_store *store, const char *name, bool single,
                                      pubsub_error *err);

/* ---- Looking at a bus ------------------------------------------------------------------------ */

typedef struct local_info {
    uint64_t bytes; /* of the log, in whole segments */
    uint32_t segments;
    local_position first, tail, synced;
    uint64_t next_seq;
    uint64_t retained_bytes;
    uint64_t max_bytes, max_record, segment_bytes;
    int64_t max_age_s;
    local_full full;
    bool failed; /* an fdatasync failed; needs repair */
} local_info;

typedef struct local_group_info {
    char name[LOCAL_GROUP_NAME_MAX + 1];
    uint32_t flags;
    local_position position;
    uint64_t open_messages; /* claimed or waiting to come again */
    uint32_t members;       /* alive now */
} local_group_info;

pubsub_err pubsub__local_info(local_store *store, local_info *out, pubsub_error *err);
/* Call fn for each group; a non-zero return ends the walk. */
pubsub_err pubsub__local_groups(local_store *store,
                                int (*fn)(void *ctx, const local_group_info *info), void *ctx,
                                pubsub_error *err);
/* Apply the size and age limits now, as an append that starts a segment does. */
pubsub_err pubsub__local_gc(local_store *store, pubsub_error *err);

/* ---- For tests ---------------------------------------------------------------------------------
 */

/* Replaced system behaviour; all zero in production. Not thread-safe to change while in use. */
typedef struct local_hooks {
    const char *boot_id;         /* pretend this boot id (36 characters) */
    int (*fdatasync_fn)(int fd); /* instead of fdatasync */
    int64_t fs_type;             /* pretend this statfs f_type */
    uint64_t mono_offset_ns;     /* added to the monotonic clock (leases) */
    uint64_t wall_offset_ns;     /* added to the wall clock (age) */
} local_hooks;
extern local_hooks pubsub__local_hooks;

#endif
