/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_BENCH_TRACK_H
#define PUBSUB_CLI_BENCH_TRACK_H

/* Which sequence numbers of one producer arrived: every one of them, exactly. One bit each, in
 * blocks that are given back as soon as they are full, so that memory stays small as long as
 * nothing is missing. One thread at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sequence numbers end below this. */
#define BENCH_TRACK_LIMIT (UINT64_C(1) << 36)

typedef struct bench_track_block {
    uint64_t *bits; /* NULL: none of its numbers arrived, or all */
    uint32_t count; /* how many arrived */
} bench_track_block;

typedef struct bench_track {
    bench_track_block *blocks;
    size_t nblocks;
    uint64_t *spare;         /* a block's memory kept for the next one */
    uint64_t unique;         /* different numbers that arrived */
    uint64_t duplicates;     /* arrivals of a number that had arrived */
    uint64_t reordered;      /* first arrivals after one with a higher number */
    uint64_t max_displaced;  /* the most such an arrival was behind the highest number */
    uint64_t highest_plus_1; /* 0 while nothing arrived */
} bench_track;

typedef enum bench_track_result {
    BENCH_TRACK_NEW = 0,
    BENCH_TRACK_DUPLICATE = 1,
    BENCH_TRACK_BAD = 2,  /* not below the limit; not counted */
    BENCH_TRACK_NOMEM = 3 /* not counted */
} bench_track_result;

void bench_track_init(bench_track *track);
void bench_track_fini(bench_track *track);

bench_track_result bench_track_add(bench_track *track, uint64_t sequence);
bool bench_track_has(const bench_track *track, uint64_t sequence);

/* How many of the numbers 0 .. end-1 did not arrive. */
uint64_t bench_track_missing(const bench_track *track, uint64_t end);

#endif
