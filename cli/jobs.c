/* SPDX-License-Identifier: MIT */
#include "jobs.h"

#include "exec.h"
#include "printer.h"

#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

struct cli_jobs {
    const char *command;
    const char *broker;
    size_t most;
    size_t open;
    size_t out_max;
    int ended_fd[2]; /* a byte for each that has ended */
    pthread_mutex_t lock;
    cli_job *ended, *ended_last; /* guarded by lock */
};

cli_jobs *cli_jobs_new(size_t most, const char *command, const char *broker, size_t out_max)
{
    cli_jobs *jobs = pubsub__calloc(1, sizeof(*jobs));

    if (jobs == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (pipe(jobs->ended_fd) != 0) {
        pubsub__free(jobs);
        return NULL;
    }
    for (int i = 0; i < 2; i++) {
        (void)fcntl(jobs->ended_fd[i], F_SETFD, FD_CLOEXEC);
    }
    (void)fcntl(jobs->ended_fd[0], F_SETFL, O_NONBLOCK);
    (void)pthread_mutex_init(&jobs->lock, NULL);
    jobs->command = command;
    jobs->broker = broker;
    jobs->most = most;
    jobs->out_max = out_max;
    return jobs;
}

void cli_jobs_free(cli_jobs *jobs)
{
    if (jobs != NULL) {
        (void)close(jobs->ended_fd[0]);
        (void)close(jobs->ended_fd[1]);
        (void)pthread_mutex_destroy(&jobs->lock);
        pubsub__free(jobs);
    }
}

int cli_jobs_fd(const cli_jobs *jobs)
{
    return jobs->ended_fd[0];
}

size_t cli_jobs_open(const cli_jobs *jobs)
{
    return jobs == NULL ? 0 : jobs->open;
}

bool cli_jobs_full(const cli_jobs *jobs)
{
    return jobs->open >= jobs->most;
}

static void *run_job(void *arg)
{
    cli_job *job = arg;
    cli_jobs *jobs = job->jobs;
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    char position[PUBSUB_POSITION_TEXT_MAX];
    cli_view view = {.broker = jobs->broker, .n = job->n};

    cli_view_fill(&view, job->message, CLI_NEEDS_ALL, headers, position);
    job->result = cli_exec_capture(jobs->command, &view, &job->out);
    job->error = errno;
    (void)pthread_mutex_lock(&jobs->lock);
    if (jobs->ended_last == NULL) {
        jobs->ended = job;
    } else {
        jobs->ended_last->next = job;
    }
    jobs->ended_last = job;
    (void)pthread_mutex_unlock(&jobs->lock);
    while (write(jobs->ended_fd[1], "", 1) < 0 && errno == EINTR) {
    }
    return NULL;
}

bool cli_jobs_begin(cli_jobs *jobs, pubsub_message *message, uint64_t n)
{
    cli_job *job = pubsub__calloc(1, sizeof(*job));
    int rc = ENOMEM;

    if (job != NULL) {
        job->jobs = jobs;
        job->message = message;
        job->n = n;
        pubsub__buf_init(&job->out, jobs->out_max);
        rc = pthread_create(&job->thread, NULL, run_job, job);
    }
    if (rc != 0) {
        pubsub__free(job);
        errno = rc;
        return false;
    }
    jobs->open++;
    return true;
}

cli_job *cli_jobs_take(cli_jobs *jobs)
{
    cli_job *job;
    char byte;

    if (jobs->open == 0 || read(jobs->ended_fd[0], &byte, 1) != 1) {
        return NULL;
    }
    (void)pthread_mutex_lock(&jobs->lock);
    job = jobs->ended;
    jobs->ended = job->next;
    if (jobs->ended == NULL) {
        jobs->ended_last = NULL;
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    (void)pthread_join(job->thread, NULL);
    jobs->open--;
    return job;
}

cli_job *cli_jobs_await(cli_jobs *jobs)
{
    cli_job *job = NULL;

    while (cli_jobs_open(jobs) > 0 && (job = cli_jobs_take(jobs)) == NULL) {
        struct pollfd poller = {.fd = jobs->ended_fd[0], .events = POLLIN};

        (void)poll(&poller, 1, -1);
    }
    return job;
}

void cli_job_free(cli_job *job)
{
    pubsub__buf_fini(&job->out);
    pubsub__free(job);
}
