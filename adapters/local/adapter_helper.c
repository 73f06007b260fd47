/* SPDX-License-Identifier: MIT */
#include "local/adapter.h"

#include <signal.h>

/* The kernel's wait on a shared word cannot be polled, so a helper thread waits and wakes the loop. It
 * waits only while it is armed: the I/O thread arms it when it has read everything, and a log that
 * grows meanwhile does not wake anybody twice. */

static void *helper_main(void *ctx)
{
    local_self *self = ctx;
    pthread_mutex_lock(&self->mu);
    while (!self->stop) {
        if (!self->armed) {
            pthread_cond_wait(&self->cond, &self->mu);
            continue;
        }
        uint32_t generation = self->armed_generation, bits = self->armed_bits;
        pubsub__local_wake_clear(self->store);
        pthread_mutex_unlock(&self->mu);
        /* The limit is a safety net for wake-ups lost to something we do not know of. */
        bool look = pubsub__local_wait(self->store, generation, bits, 5000);
        pthread_mutex_lock(&self->mu);
        if (self->stop ||
            (self->armed && (self->armed_generation != generation || self->armed_bits != bits))) {
            continue; /* armed anew meanwhile */
        }
        if (look || pubsub__local_generation(self->store) != generation) {
            self->armed = false;
            pubsub_sink_wake(self->sink);
        }
    }
    pthread_mutex_unlock(&self->mu);
    return NULL;
}

static void start(local_self *self)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the program's own threads */
    self->stop = false;
    if (pthread_create(&self->helper, NULL, helper_main, self) == 0) {
        self->helper_runs = true;
    } else {
        pubsub_sink_log(self->sink, PUBSUB_LOG_ERROR, "cannot start a thread; polling instead");
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void pubsub__local_helper_arm(local_self *self, uint32_t generation, uint32_t bits)
{
    if (!self->helper_runs) {
        start(self);
    }
    if (!self->helper_runs) {
        pubsub_timer_start(self->timer, 10);
        return;
    }
    pthread_mutex_lock(&self->mu);
    if (!self->armed) {
        pthread_cond_signal(&self->cond);
    } else if (self->armed_bits != bits) {
        pubsub__local_wake_self(self->store); /* it waits for less than it should */
    }
    self->armed = true;
    self->armed_generation = generation;
    self->armed_bits = bits;
    pthread_mutex_unlock(&self->mu);
}

void pubsub__local_helper_stop(local_self *self)
{
    if (!self->helper_runs) {
        return;
    }
    pthread_mutex_lock(&self->mu);
    self->stop = true;
    self->armed = false;
    pthread_cond_signal(&self->cond);
    pubsub__local_wake_self(self->store);
    pthread_mutex_unlock(&self->mu);
    pthread_join(self->helper, NULL);
    self->helper_runs = false;
    pubsub__local_wake_clear(self->store);
}
