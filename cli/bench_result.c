/* SPDX-License-Identifier: MIT */
#include "bench.h"

/* Merge one histogram of every role into a private one. */
static void merge_latencies(bench_result *result)
{
    bool end_to_end = bench_figure_is_end_to_end(result->figure);
    const bench_shared *shared = result->shared;
    if (!pubsub__hist_init(&result->hist, BENCH_LATENCY_MAX_NS) ||
        !pubsub__hist_init(&result->send_delay, BENCH_LATENCY_MAX_NS) ||
        !pubsub__hist_init(&result->confirm_sent, BENCH_LATENCY_MAX_NS)) {
        result->failed = true;
        pubsub_error_set(&result->error, PUBSUB_ENOMEM, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < result->publishers; i++) {
        const bench_publisher *from = &shared->publishers[i];
        pubsub__hist_merge(&result->send_delay, &from->send_delay);
        pubsub__hist_merge(&result->confirm_sent, &from->confirm_sent);
        if (!end_to_end) {
            pubsub__hist_merge(&result->hist, &from->confirm_due);
        }
    }
    for (uint32_t i = 0; i < result->subscribers; i++) {
        pubsub__hist_merge(&result->hist, &shared->subscribers[i].latency);
    }
}

static double per_second(uint64_t count, uint64_t first_ns, uint64_t last_ns)
{
    return last_ns > first_ns ? (double)count * 1e9 / (double)(last_ns - first_ns) : 0;
}

/* Messages divided by the time from the first measured call to the last confirmation or arrival. */
static void finish_throughput(bench_result *result)
{
    const bench_shared *shared = result->shared;
    uint64_t count = 0;
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    for (uint32_t i = 0; i < result->publishers; i++) {
        const bench_publisher *from = &shared->publishers[i];
        first = from->first_ns != 0 && from->first_ns < first ? from->first_ns : first;
        if (result->subscribers == 0) {
            count += from->measured_confirmed;
            last = from->last_confirmed_ns > last ? from->last_confirmed_ns : last;
        }
    }
    for (uint32_t i = 0; i < result->subscribers; i++) {
        count += shared->subscribers[i].measured;
        last = shared->subscribers[i].last_ns > last ? shared->subscribers[i].last_ns : last;
    }
    result->value = per_second(count, first, last);
    result->value_sound = result->value > 0;
    result->rate_held = result->value_sound;
}

static void finish_latency(const bench_config *config, bench_result *result)
{
    const bench_shared *shared = result->shared;
    uint64_t sent = 0;
    uint64_t unsent = 0;
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;
    merge_latencies(result);
    if (result->failed) {
        return;
    }
    for (uint32_t i = 0; i < result->publishers; i++) {
        const bench_publisher *from = &shared->publishers[i];
        sent += from->measured_sent;
        unsent += from->unsent;
        first = from->first_ns != 0 && from->first_ns < first ? from->first_ns : first;
        last = from->last_sent_ns > last ? from->last_sent_ns : last;
    }
    /* The last message occupies one interval, as all others do. */
    result->held_rate = per_second(sent, first, last + UINT64_C(1000000000) / config->rate);
    result->rate_held = unsent == 0 && result->held_rate >= 0.99 * (double)config->rate;
    result->value = (double)pubsub__hist_percentile(&result->hist, 0.5);
    result->value_sound = pubsub__hist_percentile_is_sound(&result->hist, 0.5);
}

static void verify(bench_result *result)
{
    const bench_shared *shared = result->shared;
    bool promised = true;
    bool once = true;
    for (uint32_t i = 0; i < result->publishers; i++) {
        promised = promised && shared->publishers[i].qos >= PUBSUB_AT_LEAST_ONCE;
        once = once && shared->publishers[i].qos == PUBSUB_EXACTLY_ONCE;
    }
    for (uint32_t i = 0; i < result->subscribers; i++) {
        const bench_subscriber *to = &shared->subscribers[i];
        bool lost = to->lost > 0 && promised && to->qos >= PUBSUB_AT_LEAST_ONCE;
        bool twice = to->duplicates > 0 && once && to->qos == PUBSUB_EXACTLY_ONCE;
        result->lossy = result->lossy || lost || twice || to->corrupt > 0;
    }
}

void bench_result_finish(const bench_config *config, bench_result *result)
{
    if (result->failed || result->shared == NULL) {
        return;
    }
    if (bench_figure_is_open(result->figure)) {
        finish_latency(config, result);
    } else {
        finish_throughput(result);
    }
    verify(result);
}

const bench_result *bench_median(const bench_result *results, size_t count, bench_figure figure,
                                 double *lowest, double *highest)
{
    const bench_result *sorted[BENCH_RUNS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (results[i].figure != figure || results[i].failed) {
            continue;
        }
        size_t at = n++;
        for (; at > 0 && sorted[at - 1]->value > results[i].value; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = &results[i];
    }
    if (n == 0) {
        return NULL;
    }
    *lowest = sorted[0]->value;
    *highest = sorted[n - 1]->value;
    return sorted[(n - 1) / 2];
}
