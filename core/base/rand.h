/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_RAND_H
#define PUBSUB_BASE_RAND_H

/* Random numbers for names, jitter and sampling; seeded once per process by the kernel, again in a
 * child after fork. Not for keys or tokens, except rand_secure. Thread-safe, no lock. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint64_t pubsub__rand_u64(void);
/* 0 .. limit-1, every value equally likely; 0 when limit is 0. */
uint64_t pubsub__rand_below(uint64_t limit);
/* 0 <= x < 1 */
double pubsub__rand_unit(void);
/* len lower-case letters and digits and a NUL; out has len + 1 bytes. */
void pubsub__rand_name(char *out, size_t len);
/* Bytes from the kernel; false when it has none. */
bool pubsub__rand_secure(void *out, size_t len);

#endif
