/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "bench_env.h"

#include "base/clock.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* The first line of a file without its newline, "" when it cannot be read. */
static void first_line(const char *path, char *out, size_t size)
{
    out[0] = '\0';
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    if (fgets(out, (int)size, file) == NULL) {
        out[0] = '\0';
    }
    out[strcspn(out, "\n")] = '\0';
    fclose(file);
}

static void read_cpu(bench_env *env)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(env->cpu, sizeof(env->cpu), "unknown");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        char *value = strchr(line, ':');
        if (value != NULL && strncmp(line, "model name", 10) == 0) {
            value[1 + strcspn(value + 1, "\n")] = '\0';
            snprintf(env->cpu, sizeof(env->cpu), "%.*s", (int)sizeof(env->cpu) - 1, value + 2);
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", env->governor,
               sizeof(env->governor));
    cpu_set_t allowed;
    env->cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
        env->cores = CPU_COUNT(&allowed);
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure_clock(bench_env *env)
{
    enum { reads = 1000, sleeps = 31 };
    uint64_t begin = pubsub__clock_mono_ns();
    for (int i = 0; i < reads; i++) {
        pubsub__clock_mono_ns();
    }
    env->clock_ns = (pubsub__clock_mono_ns() - begin) / reads;
    uint64_t late[sleeps];
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    for (int i = 0; i < sleeps; i++) {
        uint64_t due = pubsub__clock_mono_ns() + 200000;
        pubsub__clock_sleep_until(due);
        late[i] = pubsub__clock_mono_ns() - due;
    }
    prctl(PR_SET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL); /* back to the default */
    qsort(late, sleeps, sizeof(late[0]), compare);
    env->wake_ns = late[sleeps / 2];
}

void bench_env_read(bench_env *env)
{
    memset(env, 0, sizeof(*env));
    read_cpu(env);
    struct utsname names;
    if (uname(&names) == 0) {
        snprintf(env->kernel, sizeof(env->kernel), "%.60s %.60s %.60s", names.sysname,
                 names.release, names.machine);
    }
    first_line("/sys/fs/cgroup/cpu.max", env->cgroup_cpu, sizeof(env->cgroup_cpu));
    first_line("/proc/loadavg", env->load, sizeof(env->load));
    env->memory_mib = (long)((long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 1048576);
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL) {
        strftime(env->time, sizeof(env->time), "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    measure_clock(env);
}
