/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_BENCH_FRAME_H
#define PUBSUB_CLI_BENCH_FRAME_H

/* The first 32 bytes of every benchmark message. They are in the payload, so that every broker
 * carries them:
 *
 *   0  u32 magic      4  u32 run       8  u16 producer   10  u8 phase   11  u8 flags
 *  12  u64 sequence  20  u64 due (monotonic ns)          28  u32 crc32c
 *
 * little-endian. The checksum covers bytes 0..27, the payload's length and, with the full flag, the
 * rest of the payload. */

#include <stddef.h>
#include <stdint.h>

#define BENCH_FRAME_SIZE 32u

typedef enum bench_phase {
    BENCH_PROBE = 0,  /* proves that the path works; not counted */
    BENCH_WARMUP = 1, /* accounted for, but not timed */
    BENCH_MEASURED = 2
} bench_phase;

#define BENCH_FRAME_FULL 1u /* flag: the checksum covers the whole payload */

typedef struct bench_frame {
    uint32_t run;
    uint16_t producer;
    uint8_t phase; /* bench_phase */
    uint8_t flags;
    uint64_t sequence;
    uint64_t due_ns;
} bench_frame;

typedef enum bench_frame_state {
    BENCH_FRAME_OK = 0,
    BENCH_FRAME_FOREIGN = 1, /* not a benchmark's message, or of another run */
    BENCH_FRAME_CORRUPT = 2  /* was one, and its bytes have changed */
} bench_frame_state;

/* Write the header to the front of a payload of len >= BENCH_FRAME_SIZE bytes. With checksum false
 * that field is left zero. */
void bench_frame_write(const bench_frame *frame, int checksum, void *payload, size_t len);

/* Read a payload back. With checksum false the sum is not looked at. */
bench_frame_state bench_frame_read(const void *payload, size_t len, uint32_t run, int checksum,
                                   bench_frame *out);

#endif
