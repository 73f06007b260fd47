/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, MAP_NORESERVE, getrusage's fields */
#endif
#include "bench.h"

#include "base/clock.h"
#include "base/rand.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)
#define PROCESSES_MAX (2 * BENCH_ROLES_MAX)

typedef struct run {
    const bench_config *config;
    bench_result *result;
    bench_shared *shared;
    pid_t pids[PROCESSES_MAX]; /* 0 = gone */
    uint32_t npids;            /* publishers first; one for all with --one-process */
    uint64_t deadline_ns;
    uint64_t sampled_ns;
    bool show; /* progress on stderr */
} run;

/* ---- usage --------------------------------------------------------------------------------- */

static uint64_t time_ns(struct timeval at)
{
    return (uint64_t)at.tv_sec * 1000 * MS + (uint64_t)at.tv_usec * 1000;
}

void bench_usage_begin(bench_usage *usage)
{
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    usage->wall_ns = pubsub__clock_mono_ns();
    usage->user_ns = time_ns(now.ru_utime);
    usage->system_ns = time_ns(now.ru_stime);
    usage->voluntary = (uint64_t)now.ru_nvcsw;
    usage->involuntary = (uint64_t)now.ru_nivcsw;
}

void bench_usage_end(bench_usage *usage)
{
    bench_usage begin = *usage;
    bench_usage_begin(usage);
    usage->wall_ns -= begin.wall_ns;
    usage->user_ns -= begin.user_ns;
    usage->system_ns -= begin.system_ns;
    usage->voluntary -= begin.voluntary;
    usage->involuntary -= begin.involuntary;
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    usage->max_rss_kib = (uint64_t)now.ru_maxrss;
}

/* ---- shared memory ------------------------------------------------------------------------- */

/* Histograms live in the shared memory too: it has the same address in every role. */
static size_t place(pubsub__hist *hist, uint64_t *cells, size_t at)
{
    size_t ncells = pubsub__hist_cell_of(BENCH_LATENCY_MAX_NS) + 1;
    *hist = (pubsub__hist){
        .cells = cells + at, .ncells = ncells, .highest = BENCH_LATENCY_MAX_NS, .min = UINT64_MAX};
    return at + ncells;
}

static void place_all(bench_shared *shared, uint64_t *cells)
{
    size_t at = 0;
    for (uint32_t i = 0; i < BENCH_ROLES_MAX; i++) {
        at = place(&shared->publishers[i].confirm_due, cells, at);
        at = place(&shared->publishers[i].confirm_sent, cells, at);
        at = place(&shared->publishers[i].send_delay, cells, at);
        at = place(&shared->subscribers[i].latency, cells, at);
    }
}

static bool share(run *self)
{
    size_t ncells = (pubsub__hist_cell_of(BENCH_LATENCY_MAX_NS) + 1) * 4 * BENCH_ROLES_MAX;
    size_t head = (sizeof(bench_shared) + 63) & ~(size_t)63;
    size_t bytes = head + ncells * sizeof(uint64_t);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || memory == NULL) {
        pubsub_error_set_errno(&self->result->error, PUBSUB_ENOMEM, errno,
                               "cannot map shared memory");
        return false;
    }
    self->shared = memory;
    self->result->shared = memory;
    self->result->shared_bytes = bytes;
    place_all(self->shared, (uint64_t *)(void *)((char *)memory + head));
    self->shared->run_id = (uint32_t)pubsub__rand_u64();
    if (self->config->topic != NULL) {
        snprintf(self->shared->topic, sizeof(self->shared->topic), "%s", self->config->topic);
    } else {
        snprintf(self->shared->topic, sizeof(self->shared->topic), "pubsub-bench/%08x",
                 (unsigned)self->shared->run_id);
    }
    return true;
}

/* ---- roles --------------------------------------------------------------------------------- */

typedef struct role {
    const run *run;
    bool publishes;
    uint32_t index;
} role;

static void *role_main(void *arg)
{
    const role *self = arg;
    const run *in = self->run;
    const bench_result *result = in->result;
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (self->publishes) {
        bench_publisher_run(in->config, result->figure, in->shared, self->index,
                            result->subscribers);
    } else {
        bench_subscriber_run(in->config, result->figure, in->shared, self->index);
    }
    return NULL;
}

/* All roles as threads of this process. */
static void run_threads(const run *self)
{
    role roles[PROCESSES_MAX];
    pthread_t threads[PROCESSES_MAX];
    uint32_t count = 0;
    uint32_t all = self->result->publishers + self->result->subscribers;
    for (; count < all; count++) {
        bool publishes = count < self->result->publishers;
        roles[count] = (role){.run = self,
                              .publishes = publishes,
                              .index = publishes ? count : count - self->result->publishers};
        if (pthread_create(&threads[count], NULL, role_main, &roles[count]) != 0) {
            exit(EXIT_FAILURE);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* In the child. SIGINT goes to the whole terminal; only the command's process acts on it. */
static void child_main(const run *self, uint32_t process, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL);
    if (getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    if (self->config->one_process) {
        run_threads(self);
    } else {
        bool publishes = process < self->result->publishers;
        role only = {.run = self,
                     .publishes = publishes,
                     .index = publishes ? process : process - self->result->publishers};
        role_main(&only);
    }
    exit(EXIT_SUCCESS);
}

static bool start(run *self)
{
    uint32_t all = self->result->publishers + self->result->subscribers;
    uint32_t processes = self->config->one_process ? 1 : all;
    pid_t parent = getpid();
    fflush(NULL); /* else children would write it once more */
    for (; self->npids < processes; self->npids++) {
        pid_t pid = fork();
        if (pid == 0) {
            child_main(self, self->npids, parent);
        }
        if (pid < 0) {
            pubsub_error_set_errno(&self->result->error, PUBSUB_ESYSTEM, errno, "cannot fork");
            return false;
        }
        self->pids[self->npids] = pid;
    }
    return true;
}

/* ---- watching ------------------------------------------------------------------------------ */

static _Atomic uint32_t *state_of(const run *self, uint32_t role_index)
{
    uint32_t publishers = self->result->publishers;
    return role_index < publishers ? &self->shared->publishers[role_index].state
                                   : &self->shared->subscribers[role_index - publishers].state;
}

static const pubsub_error *error_of(const run *self, uint32_t role_index)
{
    uint32_t publishers = self->result->publishers;
    return role_index < publishers ? &self->shared->publishers[role_index].error
                                   : &self->shared->subscribers[role_index - publishers].error;
}

static bool all_are(const run *self, uint32_t state)
{
    for (uint32_t i = 0; i < self->result->publishers + self->result->subscribers; i++) {
        if (atomic_load(state_of(self, i)) != state) {
            return false;
        }
    }
    return true;
}

static void kill_all(const run *self)
{
    for (uint32_t i = 0; i < self->npids; i++) {
        if (self->pids[i] > 0) {
            kill(self->pids[i], SIGKILL);
        }
    }
}

static void fail(run *self, const pubsub_error *error)
{
    if (!self->result->failed) {
        self->result->failed = true;
        self->result->error = *error;
    }
    atomic_store(&self->shared->stop, 1);
}

/* A process is gone: its roles must be done. */
static void reaped(run *self, uint32_t process, int status)
{
    uint32_t first = self->config->one_process ? 0 : process;
    uint32_t all = self->result->publishers + self->result->subscribers;
    uint32_t end = self->config->one_process ? all : process + 1;
    for (uint32_t i = first; i < end; i++) {
        uint32_t state = atomic_load(state_of(self, i));
        pubsub_error error = *error_of(self, i);
        bool clean = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
        if (state == BENCH_DONE && clean) {
            continue;
        }
        if (state != BENCH_FAILED) { /* also one that crashed after its work was done */
            const char *what = i < self->result->publishers ? "publisher" : "subscriber";
            if (WIFSIGNALED(status)) {
                pubsub_error_set(&error, PUBSUB_EINTERNAL, "a %s process was ended by signal %d",
                                 what, WTERMSIG(status));
            } else {
                pubsub_error_set(&error, PUBSUB_EINTERNAL, "a %s process ended with status %d",
                                 what, WEXITSTATUS(status));
            }
            atomic_store(state_of(self, i), BENCH_FAILED);
        } else if (error.code == PUBSUB_OK) {
            pubsub_error_set(&error, PUBSUB_EINTERNAL, "a role failed without saying why");
        }
        fail(self, &error);
    }
}

/* False when nobody is left. */
static bool reap(run *self)
{
    bool left = false;
    for (uint32_t i = 0; i < self->npids; i++) {
        int status = 0;
        if (self->pids[i] > 0 && waitpid(self->pids[i], &status, WNOHANG) == self->pids[i]) {
            self->pids[i] = 0;
            reaped(self, i, status);
        }
        left = left || self->pids[i] > 0;
    }
    return left;
}

/* A role that failed while its process waits for others. */
static void look_for_failures(run *self)
{
    for (uint32_t i = 0; i < self->result->publishers + self->result->subscribers; i++) {
        if (atomic_load(state_of(self, i)) == BENCH_FAILED) {
            fail(self, error_of(self, i));
        }
    }
}

static void sample(run *self, uint64_t now)
{
    bench_result *result = self->result;
    bench_sample at = {.at_ns = now - atomic_load(&self->shared->t0_ns)};
    for (uint32_t i = 0; i < result->publishers; i++) {
        at.sent += atomic_load(&self->shared->publishers[i].sent);
        at.confirmed += atomic_load(&self->shared->publishers[i].progress);
    }
    for (uint32_t i = 0; i < result->subscribers; i++) {
        at.received += atomic_load(&self->shared->subscribers[i].progress);
    }
    if (self->show) {
        fprintf(stderr, "\r%-22s %5.1f s  sent %llu  confirmed %llu",
                bench_figure_name(result->figure), (double)at.at_ns / 1e9,
                (unsigned long long)at.sent, (unsigned long long)at.confirmed);
        if (result->subscribers > 0) {
            fprintf(stderr, "  received %llu", (unsigned long long)at.received);
        }
    }
    uint64_t every = 1000 * MS;
    if (now - self->sampled_ns >= every && result->nseries < BENCH_SERIES_MAX) {
        result->series[result->nseries++] = at;
        self->sampled_ns += every;
    }
}

static void begin_when_ready(run *self, uint64_t now)
{
    if (!all_are(self, BENCH_READY)) {
        return;
    }
    const bench_config *config = self->config;
    uint64_t t0 = now + 2 * MS;
    atomic_store(&self->shared->t0_ns, t0);
    atomic_store(&self->shared->go, 1);
    self->sampled_ns = t0;
    uint64_t measured = config->duration_ns;
    if (config->count != 0) {
        /* By count it takes as long as it takes; by schedule that is known. */
        bool open = bench_figure_is_open(self->result->figure);
        measured = open ? config->count / config->rate * 1000 * MS + 1000 * MS : 86400000 * MS;
    }
    uint64_t grace = (uint64_t)(2 * config->drain_ms + config->timeout_ms + 5000) * MS;
    self->deadline_ns = t0 + config->warmup_ns + measured + measured / 20 + grace;
}

static void on_signal(run *self, int signal)
{
    if (signal != SIGINT && signal != SIGTERM) {
        return;
    }
    if (self->result->interrupted) {
        kill_all(self);
    }
    self->result->interrupted = true;
    self->result->signal = signal;
    atomic_store(&self->shared->stop, 1);
}

static void watch(run *self, const sigset_t *signals)
{
    const bench_config *config = self->config;
    self->deadline_ns = pubsub__clock_mono_ns() + (uint64_t)(2 * config->timeout_ms + 5000) * MS;
    while (reap(self)) {
        bool going = atomic_load(&self->shared->go) != 0;
        long wait_ns = (long)(going ? 100 * MS : 2 * MS);
        struct timespec timeout = {0, wait_ns};
        on_signal(self, sigtimedwait(signals, NULL, &timeout));
        uint64_t now = pubsub__clock_mono_ns();
        look_for_failures(self);
        if (!going) {
            begin_when_ready(self, now);
        } else if (now > atomic_load(&self->shared->t0_ns)) {
            sample(self, now);
        }
        if (now > self->deadline_ns) {
            pubsub_error error = PUBSUB_ERROR_INIT;
            pubsub_error_set(&error, PUBSUB_ETIMEDOUT, "%s did not come to an end",
                             bench_figure_name(self->result->figure));
            fail(self, &error);
            kill_all(self);
            self->deadline_ns = UINT64_MAX;
        }
    }
}

bool bench_run_figure(const bench_config *config, bench_figure figure, uint32_t number,
                      bench_result *result)
{
    *result = (bench_result){.figure = figure, .run = number, .publishers = config->publishers};
    result->subscribers = bench_figure_is_end_to_end(figure) ? config->subscribers : 0;
    run self = {.config = config, .result = result, .show = isatty(STDERR_FILENO) != 0};
    if (!share(&self)) {
        return false;
    }
    sigset_t signals;
    sigset_t before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &before);
    bool started = start(&self);
    if (!started) {
        kill_all(&self);
    }
    watch(&self, &signals);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (self.show) {
        fprintf(stderr, "\r%79s\r", "");
    }
    return started;
}

void bench_result_fini(bench_result *result)
{
    pubsub__hist_fini(&result->hist);
    pubsub__hist_fini(&result->send_delay);
    pubsub__hist_fini(&result->confirm_sent);
    if (result->shared != NULL) {
        munmap(result->shared, result->shared_bytes);
        result->shared = NULL;
    }
}
