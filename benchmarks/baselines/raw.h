/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BENCH_RAW_H
#define PUBSUB_BENCH_RAW_H

/* What the raw baselines share: two processes with a piece of memory between them, what is counted there, and
 * the line of JSON for each figure. What a baseline does between is its library's business.
 *
 *   {"name":"end_to_end_throughput","value":...,"p99":...,"count":...,"missing":...,"bad":...,"failed":...,
 *    "nudges":...,"publisher_cpu_ns":...,"subscriber_cpu_ns":...}
 */

#include "bench_track.h"

#include "base/hist.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RAW_MS UINT64_C(1000000)

/* Between publisher and subscriber; each writes its own. */
typedef struct raw_shared {
    _Atomic uint32_t ready, over;
    _Atomic uint64_t sent, received;
    uint32_t run;
    char topic[40];
    /* the publisher's */
    uint64_t measured_from, first_ns, last_ns, measured_sent, failed, nudges, pub_cpu_ns;
    /* the subscriber's */
    uint64_t measured, last_arrival_ns, bad, missing, sub_cpu_ns;
    pubsub__hist latency; /* cells behind this struct */
} raw_shared;

/* open: on a schedule, the latency counts. alone: without a subscriber. */
typedef struct raw_program {
    const char *name; /* in messages: "mqtt_raw" */
    const void *with; /* its settings, for the functions */
    void (*publish)(const void *with, raw_shared *mem, bool open, bool alone);
    void (*subscribe)(const void *with, raw_shared *mem, bool open);
    void (*after)(const void *with, const raw_shared *mem); /* NULL = nothing */
    bool no_latency;                                        /* has no open figures */
} raw_program;

/* Of this process, in nanoseconds. */
uint64_t raw_cpu_ns(void);
/* A message has arrived: check it, account for it. */
void raw_arrived(raw_shared *mem, bench_track *track, const void *payload, size_t len, bool open);
/* An argument, or else. */
uint64_t raw_number(int argc, char **argv, int index, uint64_t otherwise);
/* The figures that `word` names: pub, latency, e2e, e2e-latency, all. The exit code. */
int raw_figures(const raw_program *program, const char *word);

#endif
