/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_WAIT_H
#define PUBSUB_TESTS_WAIT_H

/* Waiting with a deadline. Every time limit of a test is scaled by the environment variable
 * PUBSUB_TEST_SLOW (1 when unset), for sanitizers and slow machines. */

#include <stdbool.h>
#include <stdint.h>

/* How long a test waits for something that has to happen. */
#define KIT_PATIENCE 10000

typedef struct kit_deadline {
    uint64_t at_ns;
} kit_deadline;

/* ms times PUBSUB_TEST_SLOW. */
int64_t kit_ms(int64_t ms);
/* The moment kit_ms(ms) from now. */
kit_deadline kit_in(int64_t ms);
bool kit_over(kit_deadline deadline);
/* Milliseconds until then, at least 0. */
int64_t kit_left(kit_deadline deadline);
/* Monotonic nanoseconds. */
uint64_t kit_now(void);
/* Nanoseconds since 1970. */
uint64_t kit_wall(void);
/* The pause between two looks at a condition, a millisecond. */
void kit_breathe(void);
/* End the program with a message when a step takes longer than kit_ms(ms); 0 = call it off. The
 * name must live until then. */
void kit_watchdog(const char *name, int64_t ms);

#endif
