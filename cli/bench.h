/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_BENCH_H
#define PUBSUB_CLI_BENCH_H

/* What the parts of `pubsub bench` share.
 *
 * The command's own process never makes a client. For each figure it forks the publishers and
 * subscribers ("roles"), watches them through shared memory, and prints. A role writes only its own
 * struct; the atomics are what others look at while it runs, everything else is read after it is
 * done. */

#include "opt.h"

#include <pubsub/caps.h>
#include <pubsub/client.h>

#include "base/hist.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_ROLES_MAX 16u    /* publishers, and subscribers, of one figure */
#define BENCH_BATCH_MAX 1024u  /* messages in one publish_batch call */
#define BENCH_FAILED_MAX 8192u /* sequence numbers of failed publishes that are remembered */
#define BENCH_SERIES_MAX 1024u /* samples of progress */
#define BENCH_OPEN_MAX 65536u  /* messages without outcome in an open-loop figure; a power of two */
#define BENCH_RUNS_MAX 100u
#define BENCH_LATENCY_MAX_NS UINT64_C(3600000000000)

/* Always reported in this order. */
typedef enum bench_figure {
    BENCH_PUB_RATE = 0,
    BENCH_PUB_LATENCY = 1,
    BENCH_E2E_RATE = 2,
    BENCH_E2E_LATENCY = 3,
    BENCH_FIGURES = 4
} bench_figure;

typedef enum bench_verify {
    BENCH_VERIFY_NONE = 0, /* count only */
    BENCH_VERIFY_SEQ = 1,  /* sequence numbers and headers */
    BENCH_VERIFY_FULL = 2  /* and every byte of the payload */
} bench_verify;

typedef struct bench_config {
    const char *url;       /* for pubsub_client_new */
    const char *shown_url; /* without secrets */
    const char *scheme;
    const pubsub_options *options;   /* client options */
    const pubsub_options *subscribe; /* subscription options, may be NULL */
    const char *topic;               /* NULL = a fresh one for each figure */
    const char *word;                /* "pub", "latency", ... which figures */
    bool private_bus;                /* the URL names a directory made for this run */
    bool figures[BENCH_FIGURES];
    bool one_process;
    bool spin; /* wait for the next due time on the processor */
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint64_t count;   /* measured messages of a figure; 0 = by duration */
    uint64_t rate;    /* of the open-loop figures, all publishers together, per second */
    uint64_t size;    /* payload bytes */
    uint64_t window;  /* --inflight: unconfirmed messages of one publisher */
    uint64_t backlog; /* messages that a publisher may be ahead of the slowest subscriber */
    uint64_t batch;
    uint64_t drop_every; /* for tests: every n-th message is not published */
    uint64_t seed;
    int64_t drain_ms;
    int64_t timeout_ms;
    uint32_t runs;
    uint32_t publishers;
    uint32_t subscribers;
    pubsub_qos qos;
    bench_verify verify;
} bench_config;

typedef enum bench_state {
    BENCH_STARTING = 0,
    BENCH_READY = 1,
    BENCH_DONE = 2,
    BENCH_FAILED = 3 /* role.error says why */
} bench_state;

/* What a process used; of a role that shares its process with others, only the first is filled. */
typedef struct bench_usage {
    uint64_t user_ns, system_ns; /* from the start of the figure to its end */
    uint64_t wall_ns;
    uint64_t voluntary, involuntary; /* context switches */
    uint64_t max_rss_kib;
} bench_usage;

typedef struct bench_publisher {
    _Atomic uint32_t state;
    _Atomic uint64_t progress; /* messages confirmed */
    _Atomic uint64_t sent;     /* sequence numbers used so far: 0 .. sent-1 */
    pubsub_error error;        /* why the role failed */
    pubsub_error last_failure; /* of the last message that was not accepted */
    uint64_t measured_from;    /* first sequence number that is timed */
    uint64_t measured_sent;
    uint64_t measured_confirmed;
    uint64_t first_ns, last_sent_ns, last_confirmed_ns; /* of the measured messages */
    uint64_t unsent;       /* slots of the schedule that were not reached in time */
    uint64_t blocked;      /* times the library's queue, or our window, was full */
    uint64_t outcomes[5];  /* by pubsub_outcome, warm-up included */
    uint64_t unconfirmed;  /* no outcome when the drain was over */
    uint64_t failed_count; /* publishes not accepted; their numbers: */
    uint64_t failed[BENCH_FAILED_MAX];
    pubsub_qos qos;
    pubsub_confirm confirm;
    bench_usage usage;
    pubsub__hist confirm_due;  /* due -> confirmation */
    pubsub__hist confirm_sent; /* call -> confirmation */
    pubsub__hist send_delay;   /* due -> call */
} bench_publisher;

typedef struct bench_subscriber {
    _Atomic uint32_t state;
    _Atomic uint64_t progress; /* messages received, warm-up included */
    _Atomic uint64_t probed;   /* bit p: a probe of publisher p arrived */
    pubsub_error error;
    uint64_t measured;
    uint64_t first_ns, last_ns; /* of the measured messages */
    uint64_t unique;
    uint64_t lost;           /* confirmed, but never arrived */
    uint64_t missing_failed; /* never arrived, and were not confirmed either */
    uint64_t duplicates, reordered, max_displaced;
    uint64_t corrupt, foreign;
    uint64_t gaps, gap_missed;
    uint64_t negative; /* arrived before they were due: a broken clock */
    pubsub_qos qos;
    bench_usage usage;
    pubsub__hist latency; /* due -> handler */
} bench_subscriber;

/* The memory that command and roles share during one figure. */
typedef struct bench_shared {
    _Atomic uint32_t go;   /* t0_ns is valid */
    _Atomic uint32_t stop; /* end early: 1 = finish, what is in flight counts */
    _Atomic uint64_t t0_ns;
    uint32_t run_id;
    char topic[PUBSUB_TOPIC_MAX + 1];
    bench_publisher publishers[BENCH_ROLES_MAX];
    bench_subscriber subscribers[BENCH_ROLES_MAX];
} bench_shared;

typedef struct bench_sample {
    uint64_t at_ns; /* since t0 */
    uint64_t confirmed, received;
    uint64_t sent;
} bench_sample;

/* One run of one figure. */
typedef struct bench_result {
    bench_figure figure;
    uint32_t run;
    bench_shared *shared;
    size_t shared_bytes;
    uint32_t publishers, subscribers; /* 0 subscribers in the publish figures */
    bool failed;                      /* a role failed; error says why */
    bool interrupted;                 /* by a signal: */
    int signal;                       /* which */
    pubsub_error error;
    double value;      /* messages/s, or nanoseconds at the median */
    bool value_sound;  /* false: too little was measured for a value */
    double held_rate;  /* open loop: messages/s that were really sent */
    bool rate_held;    /* at least 99 % of what was asked for */
    bool lossy;        /* verification failed */
    pubsub__hist hist; /* latency of all roles together; cells NULL in throughput figures */
    pubsub__hist send_delay;
    pubsub__hist confirm_sent;
    size_t nseries;
    bench_sample series[BENCH_SERIES_MAX];
} bench_result;

const char *bench_figure_name(bench_figure figure);  /* "publish throughput" */
const char *bench_figure_ident(bench_figure figure); /* "publish_throughput" */
bool bench_figure_is_open(bench_figure figure);      /* open loop: a latency */
bool bench_figure_is_end_to_end(bench_figure figure);

/* bench_schedule.c: the time at which slot `slot` of `rate` per second is due. Exact: the schedule
 * does not drift. */
uint64_t bench_due_ns(uint64_t t0_ns, uint64_t slot, uint64_t rate);

/* bench_pub.c, bench_sub.c: a role from its beginning to its end. */
void bench_publisher_run(const bench_config *config, bench_figure figure, bench_shared *shared,
                         uint32_t index, uint32_t subscribers);
void bench_subscriber_run(const bench_config *config, bench_figure figure, bench_shared *shared,
                          uint32_t index);
void bench_usage_begin(bench_usage *usage);
void bench_usage_end(bench_usage *usage);

/* bench_run.c: run one figure once. False when it could not even be started. */
bool bench_run_figure(const bench_config *config, bench_figure figure, uint32_t run,
                      bench_result *result);
void bench_result_fini(bench_result *result);

/* bench_result.c: from the roles' counters to the value and its validity. */
void bench_result_finish(const bench_config *config, bench_result *result);
/* The run whose value is the median of a figure's runs, and their range; NULL when none came to a
 * value. */
const bench_result *bench_median(const bench_result *results, size_t count, bench_figure figure,
                                 double *lowest, double *highest);

/* bench_bus.c: a directory of its own for `local:` without a path, so that a benchmark never pushes
 * messages out of the user's bus. *url is to be freed with pubsub__free; NULL = memory is short. */
char *bench_bus_make(const char *url, char *dir, size_t dir_size, pubsub_error *err);
void bench_bus_remove(const char *dir);

/* bench_text.c, bench_json.c */
void bench_print_text(const bench_config *config, const bench_result *results, size_t count);
void bench_print_json(const bench_config *config, const bench_result *results, size_t count,
                      const cli_args *args);

#endif
