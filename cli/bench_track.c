/* SPDX-License-Identifier: MIT */
#include "bench_track.h"

#include "base/alloc.h"

#include <string.h>

#define BLOCK_BITS 16u
#define BLOCK_NUMBERS (UINT32_C(1) << BLOCK_BITS)
#define BLOCK_WORDS (BLOCK_NUMBERS / 64)

void bench_track_init(bench_track *track)
{
    *track = (bench_track){.blocks = NULL};
}

void bench_track_fini(bench_track *track)
{
    for (size_t i = 0; i < track->nblocks; i++) {
        pubsub__free(track->blocks[i].bits);
    }
    pubsub__free(track->blocks);
    pubsub__free(track->spare);
    bench_track_init(track);
}

static bench_track_block *block_for(bench_track *track, size_t index)
{
    if (index < track->nblocks) {
        return &track->blocks[index];
    }
    size_t count = track->nblocks == 0 ? 64 : track->nblocks;
    while (count <= index) {
        count *= 2;
    }
    bench_track_block *blocks = pubsub__realloc(track->blocks, count * sizeof(blocks[0]));
    if (blocks == NULL) {
        return NULL;
    }
    memset(blocks + track->nblocks, 0, (count - track->nblocks) * sizeof(blocks[0]));
    track->blocks = blocks;
    track->nblocks = count;
    return &blocks[index];
}

static bool block_begin(bench_track *track, bench_track_block *block)
{
    block->bits = track->spare;
    track->spare = NULL;
    if (block->bits == NULL) {
        block->bits = pubsub__alloc(BLOCK_WORDS * sizeof(block->bits[0]));
    }
    if (block->bits == NULL) {
        return false;
    }
    memset(block->bits, 0, BLOCK_WORDS * sizeof(block->bits[0]));
    return true;
}

static void block_end(bench_track *track, bench_track_block *block)
{
    pubsub__free(track->spare);
    track->spare = block->bits;
    block->bits = NULL;
}

static void note_order(bench_track *track, uint64_t sequence)
{
    if (sequence >= track->highest_plus_1) {
        track->highest_plus_1 = sequence + 1;
        return;
    }
    uint64_t displaced = track->highest_plus_1 - 1 - sequence;
    track->reordered++;
    if (displaced > track->max_displaced) {
        track->max_displaced = displaced;
    }
}

bench_track_result bench_track_add(bench_track *track, uint64_t sequence)
{
    if (sequence >= BENCH_TRACK_LIMIT) {
        return BENCH_TRACK_BAD;
    }
    bench_track_block *block = block_for(track, (size_t)(sequence >> BLOCK_BITS));
    if (block == NULL) {
        return BENCH_TRACK_NOMEM;
    }
    if (block->count == BLOCK_NUMBERS) {
        track->duplicates++;
        return BENCH_TRACK_DUPLICATE;
    }
    if (block->bits == NULL && !block_begin(track, block)) {
        return BENCH_TRACK_NOMEM;
    }
    uint64_t *word = &block->bits[(sequence & (BLOCK_NUMBERS - 1)) / 64];
    uint64_t bit = UINT64_C(1) << (sequence % 64);
    if ((*word & bit) != 0) {
        track->duplicates++;
        return BENCH_TRACK_DUPLICATE;
    }
    *word |= bit;
    track->unique++;
    note_order(track, sequence);
    if (++block->count == BLOCK_NUMBERS) {
        block_end(track, block);
    }
    return BENCH_TRACK_NEW;
}

bool bench_track_has(const bench_track *track, uint64_t sequence)
{
    uint64_t index = sequence >> BLOCK_BITS;
    if (index >= track->nblocks) {
        return false;
    }
    const bench_track_block *block = &track->blocks[index];
    if (block->bits == NULL) {
        return block->count == BLOCK_NUMBERS;
    }
    uint64_t word = block->bits[(sequence & (BLOCK_NUMBERS - 1)) / 64];
    return (word >> (sequence % 64) & 1) != 0;
}

uint64_t bench_track_missing(const bench_track *track, uint64_t end)
{
    uint64_t arrived = 0;
    for (uint64_t index = 0; index < track->nblocks; index++) {
        uint64_t first = index << BLOCK_BITS;
        if (first >= end) {
            break;
        }
        if (end - first >= BLOCK_NUMBERS) {
            arrived += track->blocks[index].count;
            continue;
        }
        for (uint64_t at = first; at < end; at++) {
            arrived += bench_track_has(track, at) ? 1 : 0;
        }
    }
    return end - arrived;
}
