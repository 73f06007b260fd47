/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_BENCH_ENV_H
#define PUBSUB_CLI_BENCH_ENV_H

/* Where a benchmark ran: without it a number means nothing. */

#include <stdint.h>

typedef struct bench_env {
    char cpu[128];
    char governor[32]; /* "" where there is none, as in virtual machines */
    char kernel[192];
    char cgroup_cpu[64]; /* cpu.max of the own group, "" when not limited or unknown */
    char load[64];
    char time[32]; /* UTC */
    long cores;    /* that this process may use */
    long memory_mib;
    uint64_t clock_ns; /* cost of reading the clock */
    uint64_t wake_ns;  /* how late a timer of 200 us wakes, median of 31 */
} bench_env;

void bench_env_read(bench_env *env);

#endif
