/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_EXEC_CHILD_H
#define PUBSUB_BRIDGE_EXEC_CHILD_H

/* A program of a process group of its own, with its output and its end. Its standard input is a pipe that
 * ends when this process does; on Linux the program is killed then, and already when the thread that
 * started it ends. */

#include "base/buf.h"

#include <pubsub/connector.h>

typedef struct exec_child exec_child;

typedef struct exec_child_events {
    /* Bytes of its standard output. Returns how many were taken; the rest is offered again with more. */
    size_t (*on_output)(void *ctx, const char *data, size_t len);
    /* One line of its standard error, a C string without line end. */
    void (*on_complaint)(void *ctx, const char *line);
    /* It has ended, and all its output was taken. status as from waitpid. The child is gone. */
    void (*on_end)(void *ctx, int status);
} exec_child_events;

/* The descriptor of a file it is given. */
#define EXEC_GIVEN_FD 3

typedef struct exec_child_options {
    char *const *argv;
    char *const *env;
    const char *dir;          /* NULL = this process's */
    size_t max_line;          /* of what is kept when output is not taken */
    const pubsub__buf *given; /* what it finds in the file EXEC_GIVEN_FD */
} exec_child_options;

exec_child *exec_child_new(pubsub_host *host, const exec_child_options *options,
                           const exec_child_events *events, void *ctx, pubsub_error *err);
/* Read no more for now; its end is not told either. */
void exec_child_pause(exec_child *child);
/* Offer again what was not taken, and read on. */
void exec_child_resume(exec_child *child);
/* End it: its group is asked to, and killed after a time. Output is thrown away from now on. */
void exec_child_stop(exec_child *child, pubsub_duration_ms patience);

#endif
