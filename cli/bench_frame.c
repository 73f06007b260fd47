/* SPDX-License-Identifier: MIT */
#include "bench_frame.h"

#include "base/crc32c.h"

#include <string.h>

#define MAGIC 0x314e4250u /* "PBN1" */
#define SUM_AT 28u

/* Byte by byte, which compilers turn into one move on little-endian machines. */
static void put(uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get(const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static uint32_t checksum_of(const uint8_t *payload, size_t len, unsigned flags)
{
    uint8_t length[8];
    put(length, len, 8);
    uint32_t sum = pubsub__crc32c(0, payload, SUM_AT);
    sum = pubsub__crc32c(sum, length, sizeof(length));
    if ((flags & BENCH_FRAME_FULL) != 0) {
        sum = pubsub__crc32c(sum, payload + BENCH_FRAME_SIZE, len - BENCH_FRAME_SIZE);
    }
    return sum;
}

void bench_frame_write(const bench_frame *frame, int checksum, void *payload, size_t len)
{
    uint8_t *at = payload;
    put(at, MAGIC, 4);
    put(at + 4, frame->run, 4);
    put(at + 8, frame->producer, 2);
    at[10] = frame->phase;
    at[11] = frame->flags;
    put(at + 12, frame->sequence, 8);
    put(at + 20, frame->due_ns, 8);
    put(at + SUM_AT, checksum ? checksum_of(at, len, frame->flags) : 0, 4);
}

bench_frame_state bench_frame_read(const void *payload, size_t len, uint32_t run, int checksum,
                                   bench_frame *out)
{
    const uint8_t *at = payload;
    if (len < BENCH_FRAME_SIZE || get(at, 4) != MAGIC) {
        return BENCH_FRAME_FOREIGN;
    }
    *out = (bench_frame){.run = (uint32_t)get(at + 4, 4),
                         .producer = (uint16_t)get(at + 8, 2),
                         .phase = at[10],
                         .flags = at[11],
                         .sequence = get(at + 12, 8),
                         .due_ns = get(at + 20, 8)};
    if (checksum && get(at + SUM_AT, 4) != checksum_of(at, len, out->flags)) {
        return BENCH_FRAME_CORRUPT;
    }
    return out->run == run ? BENCH_FRAME_OK : BENCH_FRAME_FOREIGN;
}
