/* SPDX-License-Identifier: MIT */
#include "engine/committer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "engine/checkpoint.h"

#include <pthread.h>
#include <signal.h>

struct bridge_committer {
    pubsub_host *host;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bridge_commit_job *first;
    bridge_commit_job *last;
    bool stop;
};

static void on_done(void *ctx)
{
    bridge_commit_job *job = ctx;
    job->done(job);
}

/* The owner waits for this; it must not get lost when memory is short for a moment. */
static void post(bridge_committer *committer, bridge_commit_job *job)
{
    while (committer->host->post(committer->host, on_done, job) == PUBSUB_ENOMEM) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + 1000000u);
    }
}

static void *run(void *ctx)
{
    bridge_committer *committer = ctx;
    pthread_mutex_lock(&committer->lock);
    while (!committer->stop || committer->first != NULL) {
        bridge_commit_job *job = committer->first;
        if (job == NULL) {
            pthread_cond_wait(&committer->wake, &committer->lock);
            continue;
        }
        committer->first = job->next;
        pthread_mutex_unlock(&committer->lock);
        job->rc = bridge_checkpoint_write(job->directory, job->route, job->model,
                                          (pubsub_bytes){job->position.data, job->position.len},
                                          &job->error);
        post(committer, job);
        pthread_mutex_lock(&committer->lock);
    }
    pthread_mutex_unlock(&committer->lock);
    return NULL;
}

bridge_committer *bridge_committer_new(pubsub_host *host)
{
    bridge_committer *committer = pubsub__calloc(1, sizeof *committer);
    sigset_t all;
    sigset_t old;
    if (committer == NULL) {
        return NULL;
    }
    committer->host = host;
    (void)pthread_mutex_init(&committer->lock, NULL);
    (void)pthread_cond_init(&committer->wake, NULL);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the loop's thread */
    int sys = pthread_create(&committer->thread, NULL, run, committer);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (sys != 0) {
        pubsub__free(committer);
        return NULL;
    }
    return committer;
}

void bridge_committer_free(bridge_committer *committer)
{
    if (committer == NULL) {
        return;
    }
    pthread_mutex_lock(&committer->lock);
    committer->stop = true;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
    (void)pthread_join(committer->thread, NULL);
    (void)pthread_mutex_destroy(&committer->lock);
    (void)pthread_cond_destroy(&committer->wake);
    pubsub__free(committer);
}

void bridge_committer_submit(bridge_committer *committer, bridge_commit_job *job)
{
    job->committer = committer;
    job->next = NULL;
    pthread_mutex_lock(&committer->lock);
    if (committer->first == NULL) {
        committer->first = job;
    } else {
        committer->last->next = job;
    }
    committer->last = job;
    pthread_cond_signal(&committer->wake);
    pthread_mutex_unlock(&committer->lock);
}
