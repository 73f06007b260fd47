/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, getrusage */
#endif
#include "raw.h"

#include "bench_frame.h"

#include "base/clock.h"
#include "base/rand.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LATENCY_MAX_NS (UINT64_C(3600) * 1000 * RAW_MS)

uint64_t raw_cpu_ns(void)
{
    struct rusage now;
    getrusage(RUSAGE_SELF, &now);
    return (uint64_t)(now.ru_utime.tv_sec + now.ru_stime.tv_sec) * 1000 * RAW_MS +
           (uint64_t)(now.ru_utime.tv_usec + now.ru_stime.tv_usec) * 1000;
}

uint64_t raw_number(int argc, char **argv, int index, uint64_t otherwise)
{
    return argc > index ? strtoull(argv[index], NULL, 10) : otherwise;
}

void raw_arrived(raw_shared *mem, bench_track *track, const void *payload, size_t len, bool open)
{
    bench_frame frame;
    bench_frame_state state = bench_frame_read(payload, len, mem->run, 1, &frame);
    if (state != BENCH_FRAME_OK || bench_track_add(track, frame.sequence) != BENCH_TRACK_NEW) {
        mem->bad++;
        return;
    }
    if (frame.phase == BENCH_MEASURED) {
        mem->measured++;
        mem->last_arrival_ns = pubsub__clock_mono_ns();
        if (open) {
            pubsub__hist_record(&mem->latency, mem->last_arrival_ns - frame.due_ns);
        }
    }
    /* Release: who waits for the last message reads the rest. */
    atomic_store_explicit(&mem->received, track->unique, memory_order_release);
}

/* ---- one figure ------------------------------------------------------------------------------ */

static size_t size_of_shared(size_t *ncells)
{
    *ncells = pubsub__hist_cell_of(LATENCY_MAX_NS) + 1;
    return sizeof(raw_shared) + *ncells * sizeof(uint64_t);
}

static raw_shared *make_shared(void)
{
    size_t ncells = 0;
    size_t size = size_of_shared(&ncells);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_FAILURE);
    }
    raw_shared *mem = memory;
    mem->run = (uint32_t)pubsub__rand_u64();
    snprintf(mem->topic, sizeof(mem->topic), "pubsub-bench/%08" PRIx32, mem->run);
    mem->latency = (pubsub__hist){.cells = (uint64_t *)(void *)(mem + 1),
                                  .ncells = ncells,
                                  .highest = LATENCY_MAX_NS,
                                  .min = UINT64_MAX};
    return mem;
}

static pid_t start(const raw_program *program, raw_shared *mem, bool publishes, bool open,
                   bool alone)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL, 0UL, 0UL, 0UL);
        prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
        if (publishes) {
            program->publish(program->with, mem, open, alone);
        } else {
            program->subscribe(program->with, mem, open);
        }
        exit(EXIT_SUCCESS);
    }
    if (pid < 0) {
        perror("fork");
        exit(EXIT_FAILURE);
    }
    return pid;
}

static bool ended_well(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void report(const char *name, const raw_shared *mem, bool open, bool alone)
{
    uint64_t count = alone ? mem->measured_sent : mem->measured;
    uint64_t last = alone ? mem->last_ns : mem->last_arrival_ns;
    uint64_t sent = atomic_load(&mem->sent);
    double each = sent > 0 ? 1.0 / (double)sent : 0;
    double value = open ? (double)pubsub__hist_percentile(&mem->latency, 0.5)
                        : (double)count * 1e9 / (double)(last - mem->first_ns);
    printf("{\"name\":\"%s\",\"value\":%.1f,\"p99\":%" PRIu64 ",\"count\":%" PRIu64
           ",\"missing\":%" PRIu64 ",\"bad\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"nudges\":%" PRIu64
           ",\"publisher_cpu_ns\":%.0f,\"subscriber_cpu_ns\":%.0f}\n",
           name, value, pubsub__hist_percentile(&mem->latency, 0.99), count, mem->missing, mem->bad,
           mem->failed, mem->nudges, (double)mem->pub_cpu_ns * each,
           (double)mem->sub_cpu_ns * each);
    fflush(stdout);
}

/* Returns whether everything that was sent was confirmed and arrived. */
static bool run_figure(const raw_program *program, const char *name, bool open, bool alone)
{
    size_t ncells = 0;
    raw_shared *mem = make_shared();
    pid_t to = alone ? 0 : start(program, mem, false, open, alone);
    while (to > 0 && atomic_load(&mem->ready) == 0) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + RAW_MS);
        if (waitpid(to, NULL, WNOHANG) == to) {
            exit(EXIT_FAILURE);
        }
    }
    bool fine = ended_well(start(program, mem, true, open, alone));
    atomic_store(&mem->over, 1);
    fine = (to == 0 || ended_well(to)) && fine;
    if (fine) {
        report(name, mem, open, alone);
    }
    if (program->after != NULL) {
        program->after(program->with, mem);
    }
    if (mem->missing > 0 || mem->bad > 0 || mem->failed > 0) {
        fprintf(stderr, "%s: %s: %" PRIu64 " missing, %" PRIu64 " bad, %" PRIu64 " not confirmed\n",
                program->name, name, mem->missing, mem->bad, mem->failed);
        fine = false;
    }
    munmap(mem, size_of_shared(&ncells));
    return fine;
}

int raw_figures(const raw_program *program, const char *word)
{
    static const char *const words[] = {"pub", "latency", "e2e", "e2e-latency"};
    static const char *const names[] = {"publish_throughput", "publish_latency",
                                        "end_to_end_throughput", "end_to_end_latency"};
    bool fine = true;
    for (int i = 0; i < 4; i++) {
        bool open = (i & 1) != 0;
        if ((strcmp(word, words[i]) == 0 || strcmp(word, "all") == 0) &&
            !(open && program->no_latency)) {
            fine = run_figure(program, names[i], open, i < 2) && fine;
        }
    }
    return fine ? 0 : 8;
}
