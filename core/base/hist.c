/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

#include "base/alloc.h"

#include <string.h>

#define HALF_BITS (PUBSUB__HIST_BITS - 1)
#define LINEAR ((UINT64_C(1) << PUBSUB__HIST_BITS) - 1)

static unsigned top_bit(uint64_t value)
{
    return 63u - (unsigned)__builtin_clzll(value);
}

size_t pubsub__hist_cell_of(uint64_t value)
{
    unsigned shift = top_bit(value | LINEAR) - HALF_BITS;
    return (size_t)(((uint64_t)shift << HALF_BITS) + (value >> shift));
}

uint64_t pubsub__hist_cell_low(size_t cell)
{
    uint64_t at = cell;
    if (at <= LINEAR) {
        return at;
    }
    /* Cells of one octave are numbered (shift << 10) + 1024 .. + 2047. */
    unsigned shift = (unsigned)(at >> HALF_BITS) - 1;
    return (at - ((uint64_t)shift << HALF_BITS)) << shift;
}

uint64_t pubsub__hist_cell_high(size_t cell)
{
    uint64_t at = cell;
    unsigned shift = at <= LINEAR ? 0 : (unsigned)(at >> HALF_BITS) - 1;
    return pubsub__hist_cell_low(cell) + ((UINT64_C(1) << shift) - 1);
}

bool pubsub__hist_init(pubsub__hist *hist, uint64_t highest)
{
    *hist = (pubsub__hist){.cells = NULL, .highest = highest, .min = UINT64_MAX};
    size_t ncells = pubsub__hist_cell_of(highest) + 1;
    hist->cells = pubsub__calloc(ncells, sizeof(hist->cells[0]));
    if (hist->cells == NULL) {
        return false;
    }
    hist->ncells = ncells;
    return true;
}

void pubsub__hist_fini(pubsub__hist *hist)
{
    pubsub__free(hist->cells);
    *hist = (pubsub__hist){.cells = NULL, .min = UINT64_MAX};
}

void pubsub__hist_reset(pubsub__hist *hist)
{
    memset(hist->cells, 0, hist->ncells * sizeof(hist->cells[0]));
    hist->count = 0;
    hist->min = UINT64_MAX;
    hist->max = 0;
    hist->sum_low = 0;
    hist->sum_high = 0;
}

static void add_sum(pubsub__hist *hist, uint64_t high, uint64_t low)
{
    uint64_t before = hist->sum_low;
    hist->sum_low += low;
    hist->sum_high += high + (hist->sum_low < before ? 1 : 0);
}

/* Fold value into min, max and its cell; the sum is left to the caller. */
static void add_value(pubsub__hist *hist, uint64_t value, uint64_t times)
{
    uint64_t capped = value < hist->highest ? value : hist->highest;
    hist->cells[pubsub__hist_cell_of(capped)] += times;
    hist->count += times;
    hist->min = value < hist->min ? value : hist->min;
    hist->max = value > hist->max ? value : hist->max;
}

void pubsub__hist_record(pubsub__hist *hist, uint64_t value)
{
    add_value(hist, value, 1);
    add_sum(hist, 0, value);
}

void pubsub__hist_record_n(pubsub__hist *hist, uint64_t value, uint64_t times)
{
    if (times == 0) {
        return;
    }
    add_value(hist, value, times);
    /* value * times in 128 bits, by halves. */
    uint64_t vl = value & UINT32_MAX;
    uint64_t vh = value >> 32;
    uint64_t tl = times & UINT32_MAX;
    uint64_t th = times >> 32;
    uint64_t mid = vh * tl + ((vl * tl) >> 32);
    uint64_t mid2 = vl * th + (mid & UINT32_MAX);
    add_sum(hist, vh * th + (mid >> 32) + (mid2 >> 32), value * times);
}

bool pubsub__hist_merge(pubsub__hist *hist, const pubsub__hist *from)
{
    if (hist->highest != from->highest || hist->ncells != from->ncells) {
        return false;
    }
    for (size_t i = 0; i < hist->ncells; i++) {
        hist->cells[i] += from->cells[i];
    }
    hist->count += from->count;
    hist->min = from->min < hist->min ? from->min : hist->min;
    hist->max = from->max > hist->max ? from->max : hist->max;
    add_sum(hist, from->sum_high, from->sum_low);
    return true;
}

static uint64_t rank_of(const pubsub__hist *hist, double q)
{
    if (q <= 0) {
        return 1;
    }
    if (q >= 1) {
        return hist->count;
    }
    /* 0.999 * 1000 is a little more than 999 in binary; that must not become rank 1000. */
    double exact = q * (double)hist->count;
    double slack = exact * 1e-12;
    uint64_t rank = (uint64_t)exact;
    if (exact - (double)rank > slack) {
        rank++;
    }
    rank = rank == 0 ? 1 : rank;
    return rank < hist->count ? rank : hist->count;
}

uint64_t pubsub__hist_percentile(const pubsub__hist *hist, double q)
{
    if (hist->count == 0) {
        return 0;
    }
    uint64_t rank = rank_of(hist, q);
    uint64_t seen = 0;
    for (size_t i = 0; i + 1 < hist->ncells; i++) {
        seen += hist->cells[i];
        if (seen >= rank) {
            uint64_t high = pubsub__hist_cell_high(i);
            return high < hist->max ? high : hist->max;
        }
    }
    return hist->max; /* the last cell also holds what was too large */
}

bool pubsub__hist_percentile_is_sound(const pubsub__hist *hist, double q)
{
    return hist->count > 0 && hist->count - rank_of(hist, q) >= 10;
}

double pubsub__hist_mean(const pubsub__hist *hist)
{
    if (hist->count == 0) {
        return 0;
    }
    double sum = (double)hist->sum_high * 0x1.0p64 + (double)hist->sum_low;
    return sum / (double)hist->count;
}

double pubsub__hist_stddev(const pubsub__hist *hist)
{
    if (hist->count == 0) {
        return 0;
    }
    double mean = pubsub__hist_mean(hist);
    double squares = 0;
    for (size_t i = 0; i < hist->ncells; i++) {
        if (hist->cells[i] > 0) {
            double low = (double)pubsub__hist_cell_low(i);
            double middle = low + ((double)pubsub__hist_cell_high(i) - low) / 2;
            squares += (middle - mean) * (middle - mean) * (double)hist->cells[i];
        }
    }
    /* Newton's steps instead of sqrt(), which would make every user link the mathematics library.
     */
    double variance = squares / (double)hist->count;
    double root = variance > 1 ? variance : 1;
    for (int i = 0; i < 1100; i++) {
        double next = (root + variance / root) / 2;
        if (next >= root) {
            break;
        }
        root = next;
    }
    return variance > 0 ? root : 0;
}

uint64_t pubsub__hist_min(const pubsub__hist *hist)
{
    return hist->count == 0 ? 0 : hist->min;
}
