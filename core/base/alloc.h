/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BASE_ALLOC_H
#define PUBSUB_BASE_ALLOC_H

/* The only place that calls malloc. Tests make the Nth allocation fail, and count what is alive. */

#include <stddef.h>
#include <stdint.h>

/* All return NULL when memory is short. */
void *pubsub__alloc(size_t size);
void *pubsub__calloc(size_t count, size_t size); /* zeroed, overflow checked */
void *pubsub__realloc(void *old, size_t size);
char *pubsub__strndup(const char *text, size_t len); /* adds a NUL */
char *pubsub__strdup(const char *text);              /* NULL gives NULL */
void pubsub__free(void *ptr);                        /* NULL is a no-op */

/* For tests: fail the nth allocation from now (1 = the next one), 0 = never. */
void pubsub__alloc_fail_at(uint64_t nth);
/* For tests: allocations made so far / still alive in this process. */
uint64_t pubsub__alloc_count(void);
int64_t pubsub__alloc_live(void);

#endif
