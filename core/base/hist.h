/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_HIST_H
#define PUBSUB_BASE_HIST_H

/* A log-linear histogram: values below 2048 have a cell each; above, every power of two is cut into
 * 1024 equal cells, so a cell is at most 0.098 % wide. Recording is one count of leading zeros, one
 * shift and one add, without allocation or lock: keep one per thread and merge. Minimum, maximum,
 * count and sum are exact beside the cells. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PUBSUB__HIST_BITS 11

typedef struct pubsub__hist {
    uint64_t *cells;
    size_t ncells;
    uint64_t highest; /* larger values go to the last cell, with exact max and sum */
    uint64_t count;
    uint64_t min; /* UINT64_MAX while empty */
    uint64_t max;
    uint64_t sum_low; /* the sum in 128 bits */
    uint64_t sum_high;
} pubsub__hist;

/* One hour in nanoseconds needs 33,421 cells, 261 KiB. False when memory is short; fini is then
 * fine. */
bool pubsub__hist_init(pubsub__hist *hist, uint64_t highest);
void pubsub__hist_fini(pubsub__hist *hist);
void pubsub__hist_reset(pubsub__hist *hist);

void pubsub__hist_record(pubsub__hist *hist, uint64_t value);
void pubsub__hist_record_n(pubsub__hist *hist, uint64_t value, uint64_t times);

/* Add everything from `from`. False, and nothing changed, when the two have different cells. */
bool pubsub__hist_merge(pubsub__hist *hist, const pubsub__hist *from);

/* The value that a share 0 <= q <= 1 of all values is not above: the upper edge of the cell that
 * holds rank ceil(q * count), never more than the exact maximum; 0 while empty. */
uint64_t pubsub__hist_percentile(const pubsub__hist *hist, double q);
/* Whether at least 10 values lie above that rank, so that the percentile is worth printing. */
bool pubsub__hist_percentile_is_sound(const pubsub__hist *hist, double q);

double pubsub__hist_mean(const pubsub__hist *hist);   /* exact sum / count; 0 while empty */
double pubsub__hist_stddev(const pubsub__hist *hist); /* from the middles of the cells */
uint64_t pubsub__hist_min(const pubsub__hist *hist);  /* 0 while empty */

/* The layout, for printing distributions: cell of a value, lowest and highest value of a cell. */
size_t pubsub__hist_cell_of(uint64_t value);
uint64_t pubsub__hist_cell_low(size_t cell);
uint64_t pubsub__hist_cell_high(size_t cell);

#endif
