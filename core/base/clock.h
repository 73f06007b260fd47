/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_CLOCK_H
#define PUBSUB_BASE_CLOCK_H

#include <stdint.h>

/* Monotonic nanoseconds, shared by all processes of one boot; never goes back. */
uint64_t pubsub__clock_mono_ns(void);
/* The same of the last tick, some milliseconds ago, for a fraction of the cost. */
uint64_t pubsub__clock_coarse_ns(void);
/* Wall-clock nanoseconds since 1970-01-01 UTC; may jump. */
uint64_t pubsub__clock_wall_ns(void);
/* Sleep until the monotonic time given; returns early never, also not on signals. */
void pubsub__clock_sleep_until(uint64_t mono_ns);

#endif
