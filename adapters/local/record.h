/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_LOCAL_RECORD_H
#define PUBSUB_LOCAL_RECORD_H

/* The bytes of a record and of a segment's head, and nothing else: no files, no memory, no clock.
 * Everything is little-endian. A record is 8-byte aligned:
 *
 *    0 u32 body_len      0 = end of the log, 0xffffffff = go on in the next segment
 *    4 u32 crc32c        of: body_len, bytes 20 to the end of the body, bytes 8..19
 *    8 u64 seq           1, 2, 3 ... in the log
 *   16 u32 epoch
 *   20 u32 topic_hash
 *   24 u64 ts_ns
 *   32 u16 topic_len
 *   34 u16 flags
 *   36 u16 key_len
 *   38 u16 header_count
 *   40 u32 props_len
 *   44 u32 key_hash      0 without a key
 *   48 body: [u64 expiry_ns] [u64 origin offset] topic key props payload, then zeros to a multiple of 8
 *
 * seq and epoch come last in the checksum, because they are only known under the append lock. */

#include <pubsub/types.h>

#define REC_HEAD 48u
#define REC_ALIGN 8u
#define REC_END 0u
#define REC_ROLL 0xffffffffu
#define REC_MARK 8u /* bytes of an end or roll mark */

#define REC_F_QOS 0x0003u
#define REC_F_RETAIN 0x0004u
#define REC_F_TOMBSTONE 0x0008u
#define REC_F_MORE 0x0010u    /* the batch goes on with the next record */
#define REC_F_EXPIRES 0x0020u /* body begins with the expiry */
#define REC_F_ORIGIN 0x0040u  /* a copy among the retained values: offset of the original follows */
#define REC_F_KEY 0x0080u     /* has a key, maybe an empty one */
#define REC_F_ALL 0x00ffu

#define SEG_HEAD 64u
#define SEG_VERSION 1u
#define SEG_MIN_BYTES 65536u
#define SEG_MAX_BYTES (1u << 30)

/* A record taken apart. Pointers go into the buffer it was parsed from. */
typedef struct local_raw {
    uint32_t body_len;
    uint32_t size; /* with head and padding */
    uint32_t epoch;
    uint32_t topic_hash;
    uint32_t key_hash;
    uint64_t seq;
    uint64_t ts_ns;
    uint64_t expiry_ns;
    uint64_t origin;
    uint16_t flags;
    uint16_t header_count;
    pubsub_bytes topic;
    pubsub_bytes key;
    pubsub_bytes props;
    pubsub_bytes payload;
} local_raw;

typedef enum local_scan {
    LOCAL_SCAN_RECORD = 0,
    LOCAL_SCAN_END, /* end mark, or fewer bytes left than a mark has */
    LOCAL_SCAN_ROLL,
    LOCAL_SCAN_BAD
} local_scan;

/* What the next record must be like. */
typedef struct local_expect {
    uint64_t seq;       /* 0 = any */
    uint64_t seq_min;   /* when seq is 0 */
    uint32_t epoch_min; /* 0 = any */
    uint32_t epoch_max;
} local_expect;

typedef struct local_seg_head {
    uint64_t base; /* position of byte 0 of the file */
    uint64_t size; /* the next segment begins at base + size */
    uint64_t first_seq;
    uint64_t created_ns; /* wall clock */
    uint32_t epoch;
    uint8_t uuid[8]; /* first half of the bus's */
} local_seg_head;

static inline uint16_t local_get16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] | (unsigned)p[1] << 8);
}

static inline uint32_t local_get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t local_get64(const uint8_t *p)
{
    return (uint64_t)local_get32(p) | (uint64_t)local_get32(p + 4) << 32;
}

static inline void local_put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v & 0xffu);
    p[1] = (uint8_t)(v >> 8);
}

static inline void local_put32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v & 0xffu);
    p[1] = (uint8_t)((v >> 8) & 0xffu);
    p[2] = (uint8_t)((v >> 16) & 0xffu);
    p[3] = (uint8_t)(v >> 24);
}

static inline void local_put64(uint8_t *p, uint64_t v)
{
    local_put32(p, (uint32_t)(v & 0xffffffffu));
    local_put32(p + 4, (uint32_t)(v >> 32));
}

/* Head and padding included. */
static inline uint64_t local_record_size(uint64_t body_len)
{
    return (REC_HEAD + body_len + (REC_ALIGN - 1)) & ~(uint64_t)(REC_ALIGN - 1);
}

/* Take apart the record at buf, of which avail bytes may be read. Checks every length, not the
 * checksum. */
local_scan pubsub__local_record_parse(const uint8_t *buf, size_t avail, local_raw *out);
/* Whether the checksum of a parsed record is right. */
bool pubsub__local_record_crc_ok(const uint8_t *buf, const local_raw *raw);
/* Both, and the expectations: what recovery and a careful reader want. */
local_scan pubsub__local_record_scan(const uint8_t *buf, size_t avail, const local_expect *expect,
                                     local_raw *out);
/* The first offset in [from, len), 8-byte aligned, at which a record as expected begins; len when
 * there is none. For reading on behind a damaged place. */
size_t pubsub__local_record_resync(const uint8_t *buf, size_t len, size_t from,
                                   const local_expect *expect);

/* Write the record described by raw (whose pointers say what to copy; size and hashes are inputs
 * too) without seq and epoch. buf has room for local_record_size(raw->body_len). */
void pubsub__local_record_build(uint8_t *buf, const local_raw *raw);
/* Add seq and epoch and complete the checksum. */
void pubsub__local_record_seal(uint8_t *buf, uint64_t seq, uint32_t epoch);

void pubsub__local_seg_head_encode(uint8_t buf[SEG_HEAD], const local_seg_head *head);
/* False when it is not the head of a segment of this version with this base and bus. */
bool pubsub__local_seg_head_decode(const uint8_t buf[SEG_HEAD], uint64_t base,
                                   const uint8_t uuid[8], local_seg_head *out);

#endif
