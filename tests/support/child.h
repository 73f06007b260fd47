/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CHILD_H
#define PUBSUB_TESTS_CHILD_H

/* Child processes: the test program runs itself again with a role. Parent and child talk in lines
 * over the child's standard input and output. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct kit_role {
    const char *name;
    int (*run)(int argc, char **argv); /* argv: the arguments after the role; result: exit code */
} kit_role;

typedef struct kit_child {
    pid_t pid; /* 0 = none or ended */
    int to;    /* its standard input */
    int from;  /* its standard output */
    char buffer[4096];
    size_t used;
} kit_child;

/* First thing in main: when this process was started for a role, run it and exit. The list ends with
 * a name NULL. */
void kit_roles(int argc, char **argv, const kit_role *roles);

/* Start the program again as role with arguments (ended by NULL). Fails the test when it cannot. */
void kit_child_start(kit_child *child, const char *role, const char *const *arguments);
/* The next line of its output without the newline; false when there is none within ms (scaled). */
bool kit_child_line(kit_child *child, char *line, size_t size, int64_t ms);
/* Read lines until one equals text; false when it ends or ms (scaled) are over. */
bool kit_child_expect(kit_child *child, const char *text, int64_t ms);
/* Write a line to its input. */
void kit_child_tell(kit_child *child, const char *line);
/* Send a signal. */
void kit_child_signal(kit_child *child, int signal_number);
/* Wait for its end: its exit code, 128 + signal, or -1 when it does not end within ms (scaled). */
int kit_child_wait(kit_child *child, int64_t ms);
/* Kill it if it still runs, and release everything. */
void kit_child_end(kit_child *child);

/* In the child: say a line at once; read one, false at the end of input. */
void kit_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool kit_hear(char *line, size_t size);

#endif
