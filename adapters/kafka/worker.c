/* SPDX-License-Identifier: MIT */
#include "kafka/worker.h"

#include "base/alloc.h"

#include <pthread.h>
#include <signal.h>

typedef struct job_list {
    kaf_job *head;
    kaf_job **end;
} job_list;

struct kaf_worker {
    pubsub_sink *sink;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    job_list wanted; /* under the lock, as everything below */
    job_list finished;
    bool stopping;
};

static void push(job_list *list, kaf_job *job)
{
    job->next = NULL;
    *list->end = job;
    list->end = &job->next;
}

static kaf_job *pop(job_list *list)
{
    kaf_job *job = list->head;
    if (job != NULL) {
        list->head = job->next;
        list->end = job->next == NULL ? &list->head : list->end;
    }
    return job;
}

/* Those right behind a job that can be run with it, as a list. */
static void take_together(kaf_worker *worker, kaf_job *job)
{
    kaf_job *last = job;
    job->next = NULL;
    for (int count = 1; job->run_all != NULL && count < KAF_TOGETHER_MAX &&
                        worker->wanted.head != NULL && worker->wanted.head->run_all == job->run_all;
         count++) {
        last->next = pop(&worker->wanted);
        last = last->next;
        last->next = NULL;
    }
}

static void *work(void *ctx)
{
    kaf_worker *worker = ctx;
    pthread_mutex_lock(&worker->lock);
    while (!worker->stopping) {
        kaf_job *job = pop(&worker->wanted);
        if (job == NULL) {
            pthread_cond_wait(&worker->cond, &worker->lock);
            continue;
        }
        take_together(worker, job);
        pthread_mutex_unlock(&worker->lock);
        if (job->run_all != NULL) {
            job->run_all(job);
        } else {
            job->run(job);
        }
        pthread_mutex_lock(&worker->lock);
        while (job != NULL) {
            kaf_job *next = job->next;
            push(&worker->finished, job);
            job = next;
        }
        pubsub_sink_wake(worker->sink);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

/* Signals are the application's threads' business. */
static int start(kaf_worker *worker)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

kaf_worker *pubsub__kafka_worker_new(pubsub_sink *sink)
{
    kaf_worker *worker = pubsub__calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return NULL;
    }
    worker->sink = sink;
    worker->wanted.end = &worker->wanted.head;
    worker->finished.end = &worker->finished.head;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->cond, NULL);
    if (start(worker) != 0) {
        pthread_cond_destroy(&worker->cond);
        pthread_mutex_destroy(&worker->lock);
        pubsub__free(worker);
        return NULL;
    }
    return worker;
}

void pubsub__kafka_worker_do(kaf_worker *worker, kaf_job *job)
{
    pthread_mutex_lock(&worker->lock);
    push(&worker->wanted, job);
    pthread_cond_signal(&worker->cond);
    pthread_mutex_unlock(&worker->lock);
}

void pubsub__kafka_worker_serve(kaf_worker *worker)
{
    kaf_job *job = NULL;
    do {
        pthread_mutex_lock(&worker->lock);
        job = pop(&worker->finished);
        pthread_mutex_unlock(&worker->lock);
        if (job != NULL) {
            job->done(job, false);
        }
    } while (job != NULL);
}

void pubsub__kafka_worker_free(kaf_worker *worker, bool forked)
{
    kaf_job *job = NULL;
    if (worker == NULL || forked) {
        return; /* in the child its thread is missing and the job that ran is half done: it is left as it is */
    }
    pthread_mutex_lock(&worker->lock);
    worker->stopping = true;
    pthread_cond_signal(&worker->cond);
    pthread_mutex_unlock(&worker->lock);
    (void)pthread_join(worker->thread, NULL);
    pubsub__kafka_worker_serve(worker);
    while ((job = pop(&worker->wanted)) != NULL) {
        job->done(job, true);
    }
    pthread_cond_destroy(&worker->cond);
    pthread_mutex_destroy(&worker->lock);
    pubsub__free(worker);
}
