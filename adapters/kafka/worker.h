/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_KAFKA_WORKER_H
#define PUBSUB_KAFKA_WORKER_H

/* One thread that makes the calls of librdkafka that block, one job after the other, so that the I/O thread never
 * waits. A job is a struct of the caller that begins with kaf_job. */

#include <pubsub/spi/sink.h>

#include <stdbool.h>

/* So many at most are run together. */
enum { KAF_TOGETHER_MAX = 64 };

typedef struct kaf_worker kaf_worker;
typedef struct kaf_job kaf_job;

struct kaf_job {
    kaf_job *next;
    void (*run)(
        kaf_job *job); /* on the worker's thread: calls the library, writes results into the job */
    /* Instead of `run`, for those that can do it together: the job and, linked by `next`, those behind it that have the
     * same; NULL = one by one. */
    void (*run_all)(kaf_job *first);
    /* on the I/O thread afterwards; `dropped`: the worker ends and `run` was not called. Frees the job. */
    void (*done)(kaf_job *job, bool dropped);
};

/* NULL when a thread cannot be had. `sink` is woken when a job is done. */
kaf_worker *pubsub__kafka_worker_new(pubsub_sink *sink);
/* Thread: I/O. */
void pubsub__kafka_worker_do(kaf_worker *worker, kaf_job *job);
/* Call `done` of finished jobs; from the adapter's `wake`. Thread: I/O. */
void pubsub__kafka_worker_serve(kaf_worker *worker);
/* Waits for the job that runs (its library call has a timeout), then drops the others. In a forked child nothing
 * but memory is freed. NULL is fine. */
void pubsub__kafka_worker_free(kaf_worker *worker, bool forked);

#endif
