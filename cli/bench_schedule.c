/* SPDX-License-Identifier: MIT */
#include "bench.h"

#define SECOND_NS UINT64_C(1000000000)

uint64_t bench_due_ns(uint64_t t0_ns, uint64_t slot, uint64_t rate)
{
    /* Seconds and rest apart, so that nothing overflows below 10^10 per second. */
    return t0_ns + slot / rate * SECOND_NS + slot % rate * SECOND_NS / rate;
}

const char *bench_figure_name(bench_figure figure)
{
    static const char *const names[BENCH_FIGURES] = {"publish throughput", "publish latency",
                                                     "end-to-end throughput", "end-to-end latency"};
    return names[figure];
}

const char *bench_figure_ident(bench_figure figure)
{
    static const char *const names[BENCH_FIGURES] = {"publish_throughput", "publish_latency",
                                                     "end_to_end_throughput", "end_to_end_latency"};
    return names[figure];
}

bool bench_figure_is_open(bench_figure figure)
{
    return figure == BENCH_PUB_LATENCY || figure == BENCH_E2E_LATENCY;
}

bool bench_figure_is_end_to_end(bench_figure figure)
{
    return figure == BENCH_E2E_RATE || figure == BENCH_E2E_LATENCY;
}
