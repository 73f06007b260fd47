/* SPDX-License-Identifier: MIT */
#include "support/wait.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *watched = "";

static double slow_factor(void)
{
    const char *text = getenv("PUBSUB_TEST_SLOW");
    double factor = text != NULL ? strtod(text, NULL) : 1.0;
    return factor >= 1.0 && factor <= 1000.0 ? factor : 1.0;
}

int64_t kit_ms(int64_t ms)
{
    return (int64_t)((double)ms * slow_factor());
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t kit_now(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t kit_wall(void)
{
    return clock_ns(CLOCK_REALTIME);
}

kit_deadline kit_in(int64_t ms)
{
    return (kit_deadline){kit_now() + (uint64_t)kit_ms(ms) * 1000000u};
}

bool kit_over(kit_deadline deadline)
{
    return kit_now() >= deadline.at_ns;
}

int64_t kit_left(kit_deadline deadline)
{
    uint64_t now = kit_now();
    return now >= deadline.at_ns ? 0 : (int64_t)((deadline.at_ns - now) / 1000000u);
}

void kit_breathe(void)
{
    struct timespec pause = {0, 1000000};
    (void)nanosleep(&pause, NULL);
}

static void say(const char *text)
{
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
    say("\ntime is over in ");
    say(watched);
    say("\n");
    abort();
}

void kit_watchdog(const char *name, int64_t ms)
{
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_alarm;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGALRM, &action, NULL);
    watched = name;
    (void)alarm((unsigned)((kit_ms(ms) + 999) / 1000));
}
