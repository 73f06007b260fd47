/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct word {
    char text[48];
} word;

/* 1234567 -> "1,234,567" */
static word grouped(uint64_t value)
{
    word out = {""};
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out.text[at++] = ',';
        }
        out.text[at++] = digits[i];
    }
    out.text[at] = '\0';
    return out;
}

/* Nanoseconds with three digits that matter and a unit. */
static word duration(double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    word out;
    size_t unit = 0;
    while (ns >= 999.5 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    int decimals = ns < 9.995 ? 2 : ns < 99.95 ? 1 : 0;
    snprintf(out.text, sizeof(out.text), "%.*f %s", unit == 0 ? 0 : decimals, ns, units[unit]);
    return out;
}

static word percentile(const pubsub__hist *hist, double q)
{
    if (!pubsub__hist_percentile_is_sound(hist, q)) {
        return (word){"-"};
    }
    return duration((double)pubsub__hist_percentile(hist, q));
}

static const char *verdict(const bench_result *result)
{
    if (result->interrupted) {
        return "   INTERRUPTED";
    }
    if (result->lossy) {
        return "   LOSSY";
    }
    return result->rate_held ? "" : "   INVALID";
}

static void print_throughput(const bench_config *config, const bench_result *result)
{
    double mib = result->value * (double)config->size / 1048576;
    if (!result->value_sound) {
        printf("%14s msg/s", "-");
        return;
    }
    printf("%14s msg/s  %8.1f MiB/s", grouped((uint64_t)(result->value + 0.5)).text, mib);
    if (result->subscribers > 1) {
        printf("  sum of %" PRIu32 " subscribers", result->subscribers);
    }
}

static void print_latency(const bench_config *config, const bench_result *result)
{
    const pubsub__hist *hist = &result->hist;
    printf("  p50 %-8s p90 %-8s p99 %-8s p99.9 %-8s max %-8s at %s/s", percentile(hist, 0.5).text,
           percentile(hist, 0.9).text, percentile(hist, 0.99).text, percentile(hist, 0.999).text,
           hist->count == 0 ? "-" : duration((double)hist->max).text, grouped(config->rate).text);
}

static void print_range(const bench_config *config, bench_figure figure, double lowest,
                        double highest)
{
    if (config->runs < 2) {
        return;
    }
    if (bench_figure_is_open(figure)) {
        printf("  (p50 %s .. %s)", duration(lowest).text, duration(highest).text);
    } else {
        printf("  (%s .. %s)", grouped((uint64_t)lowest).text, grouped((uint64_t)highest).text);
    }
}

static void print_heading(const bench_config *config, const bench_result *any)
{
    static const char *const levels[] = {"nothing confirmed", "received", "written", "durable",
                                         "replicated"};
    printf("%s%s  %s B, %" PRIu32 " publisher%s, %" PRIu32 " subscriber%s, %s", config->shown_url,
           config->private_bus ? " (a bus of its own)" : "", grouped(config->size).text,
           config->publishers, config->publishers == 1 ? "" : "s", config->subscribers,
           config->subscribers == 1 ? "" : "s",
           config->one_process ? "one process" : "a process each");
    const bench_publisher *first = &any->shared->publishers[0];
    printf(", qos %d (%s)", (int)first->qos, levels[first->confirm]);
    if (config->runs > 1) {
        printf(", median of %" PRIu32 " runs", config->runs);
    }
    printf("\n\n");
}

/* ---- accounting ---------------------------------------------------------------------------- */

typedef struct totals {
    uint64_t sent, outcomes[5], unconfirmed, unsent, blocked;
    uint64_t received, lost, missing, duplicates, reordered, displaced, corrupt, foreign, gaps;
    uint64_t negative;
    uint64_t publisher_cpu, subscriber_cpu;
} totals;

static totals add_up(const bench_result *result)
{
    totals sum = {0};
    for (uint32_t i = 0; i < result->publishers; i++) {
        const bench_publisher *from = &result->shared->publishers[i];
        sum.sent += atomic_load(&from->sent);
        for (size_t o = 0; o < 5; o++) {
            sum.outcomes[o] += from->outcomes[o];
        }
        sum.unconfirmed += from->unconfirmed;
        sum.unsent += from->unsent;
        sum.blocked += from->blocked;
        sum.publisher_cpu += from->usage.user_ns + from->usage.system_ns;
    }
    for (uint32_t i = 0; i < result->subscribers; i++) {
        const bench_subscriber *to = &result->shared->subscribers[i];
        sum.received += to->unique;
        sum.lost += to->lost;
        sum.missing += to->missing_failed;
        sum.duplicates += to->duplicates;
        sum.reordered += to->reordered;
        sum.displaced = to->max_displaced > sum.displaced ? to->max_displaced : sum.displaced;
        sum.corrupt += to->corrupt;
        sum.foreign += to->foreign;
        sum.gaps += to->gaps;
        sum.negative += to->negative;
        sum.subscriber_cpu += to->usage.user_ns + to->usage.system_ns;
    }
    return sum;
}

static void print_if(const char *what, uint64_t value)
{
    if (value != 0) {
        printf(", %s %s", what, grouped(value).text);
    }
}

/* The second line of a figure's accounting: what the processes used, and how exact the generator
 * was. */
static void print_effort(const bench_config *config, const bench_result *result, const totals *sum)
{
    if (sum->sent == 0) {
        return;
    }
    double publisher = (double)sum->publisher_cpu / (double)sum->sent;
    printf("  %-22s cpu per message: %s %s", "", config->one_process ? "process" : "publisher",
           duration(publisher).text);
    if (!config->one_process && sum->received > 0) {
        printf(", subscriber %s",
               duration((double)sum->subscriber_cpu / (double)sum->received).text);
    }
    if (bench_figure_is_open(result->figure)) {
        printf("; sent late by p50 %s, p99 %s", percentile(&result->send_delay, 0.5).text,
               percentile(&result->send_delay, 0.99).text);
    }
    printf("\n");
}

static void print_accounting(const bench_config *config, const bench_result *result)
{
    totals sum = add_up(result);
    printf("  %-22s sent %s, confirmed %s", bench_figure_name(result->figure),
           grouped(sum.sent).text, grouped(sum.outcomes[PUBSUB_ACCEPTED]).text);
    print_if("rejected", sum.outcomes[PUBSUB_REJECTED]);
    print_if("not sent", sum.outcomes[PUBSUB_NOT_SENT]);
    print_if("unknown", sum.outcomes[PUBSUB_UNKNOWN]);
    print_if("dropped", sum.outcomes[PUBSUB_DROPPED]);
    print_if("without outcome", sum.unconfirmed);
    print_if("of the schedule not reached", sum.unsent);
    if (result->subscribers > 0) {
        printf(", received %s, lost %s, duplicates %s, reordered %s, corrupt %s",
               grouped(sum.received).text, grouped(sum.lost).text, grouped(sum.duplicates).text,
               grouped(sum.reordered).text, grouped(sum.corrupt).text);
        print_if("most places out of order", sum.displaced);
        print_if("foreign", sum.foreign);
        print_if("unconfirmed and not received", sum.missing);
        print_if("gaps", sum.gaps);
        print_if("before they were due", sum.negative);
    }
    printf("\n");
    print_effort(config, result, &sum);
}

/* One line of the table. */
static void print_figure(const bench_config *config, const bench_result *results, size_t count,
                         bench_figure figure)
{
    double lowest = 0;
    double highest = 0;
    const bench_result *result = bench_median(results, count, figure, &lowest, &highest);
    printf("%-22s", bench_figure_name(figure));
    if (result == NULL) {
        printf("%14s\n", "-");
        return;
    }
    if (bench_figure_is_open(figure)) {
        print_latency(config, result);
    } else {
        print_throughput(config, result);
    }
    print_range(config, figure, lowest, highest);
    printf("%s\n", verdict(result));
}

void bench_print_text(const bench_config *config, const bench_result *results, size_t count)
{
    double lowest = 0;
    double highest = 0;
    const bench_result *shown[BENCH_FIGURES] = {NULL};
    const bench_result *any = NULL;
    for (int f = 0; f < BENCH_FIGURES; f++) {
        shown[f] = bench_median(results, count, (bench_figure)f, &lowest, &highest);
        any = any == NULL ? shown[f] : any;
    }
    if (any == NULL) {
        return;
    }
    print_heading(config, any);
    for (int f = 0; f < BENCH_FIGURES; f++) {
        if (config->figures[f]) {
            print_figure(config, results, count, (bench_figure)f);
        }
    }
    printf("\naccounting, warm-up included\n");
    for (int f = 0; f < BENCH_FIGURES; f++) {
        if (shown[f] != NULL) {
            print_accounting(config, shown[f]);
        }
    }
}
