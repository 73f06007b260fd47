/* SPDX-License-Identifier: MIT */
#include "support/child.h"

#include "support/cmocka.h"
#include "support/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 16 };

static const char role_flag[] = "--test-role";

void kit_roles(int argc, char **argv, const kit_role *roles)
{
    if (argc < 3 || strcmp(argv[1], role_flag) != 0) {
        return;
    }
    for (; roles->name != NULL; roles++) {
        if (strcmp(roles->name, argv[2]) == 0) {
            exit(roles->run(argc - 3, argv + 3));
        }
    }
    (void)fprintf(stderr, "no role %s\n", argv[2]);
    exit(99);
}

/* The new program's arguments, made before the fork: afterwards only plain system calls are safe. */
static void make_arguments(char **argv, char *program, const char *role,
                           const char *const *arguments)
{
    size_t n = 0;
    argv[n++] = program;
    argv[n++] = strdup(role_flag);
    argv[n++] = strdup(role);
    for (size_t i = 0; arguments[i] != NULL; i++) {
        assert_true(i < ARGUMENTS_MAX);
        argv[n++] = strdup(arguments[i]);
    }
    argv[n] = NULL;
}

static void become(char **argv, const int to[2], const int from[2])
{
    (void)dup2(to[0], STDIN_FILENO);
    (void)dup2(from[1], STDOUT_FILENO);
    for (int i = 0; i < 2; i++) {
        (void)close(to[i]);
        (void)close(from[i]);
    }
    (void)execv(argv[0], argv);
    _exit(98);
}

void kit_child_start(kit_child *child, const char *role, const char *const *arguments)
{
    static char program[] = "/proc/self/exe";
    char *argv[ARGUMENTS_MAX + 4];
    int to[2];
    int from[2];
    memset(child, 0, sizeof(*child));
    make_arguments(argv, program, role, arguments);
    assert_int_equal(pipe(to), 0);
    assert_int_equal(pipe(from), 0);
    /* Later children must not hold this one's pipes open. */
    (void)fcntl(to[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(from[0], F_SETFD, FD_CLOEXEC);
    (void)fflush(NULL);
    child->pid = fork();
    if (child->pid == 0) {
        become(argv, to, from);
    }
    for (size_t i = 1; argv[i] != NULL; i++) {
        free(argv[i]);
    }
    (void)close(to[0]);
    (void)close(from[1]);
    child->to = to[1];
    child->from = from[0];
    assert_true(child->pid > 0);
}

static bool take_line(kit_child *child, char *line, size_t size)
{
    char *end = memchr(child->buffer, '\n', child->used);
    size_t len = 0;
    if (end == NULL) {
        return false;
    }
    len = (size_t)(end - child->buffer);
    (void)snprintf(line, size, "%.*s", (int)len, child->buffer);
    child->used -= len + 1;
    memmove(child->buffer, end + 1, child->used);
    return true;
}

bool kit_child_line(kit_child *child, char *line, size_t size, int64_t ms)
{
    kit_deadline deadline = kit_in(ms);
    while (!take_line(child, line, size)) {
        struct pollfd wait = {child->from, POLLIN, 0};
        ssize_t got = 0;
        if (child->used == sizeof(child->buffer) || poll(&wait, 1, (int)kit_left(deadline)) <= 0) {
            return false;
        }
        got = read(child->from, child->buffer + child->used, sizeof(child->buffer) - child->used);
        if (got <= 0) {
            return false;
        }
        child->used += (size_t)got;
    }
    return true;
}

bool kit_child_expect(kit_child *child, const char *text, int64_t ms)
{
    kit_deadline deadline = kit_in(ms);
    char line[1024];
    do {
        if (!kit_child_line(child, line, sizeof(line), ms)) {
            return false;
        }
        if (strcmp(line, text) == 0) {
            return true;
        }
    } while (!kit_over(deadline));
    return false;
}

void kit_child_tell(kit_child *child, const char *line)
{
    char text[1024];
    int len = snprintf(text, sizeof(text), "%s\n", line);
    assert_true(write(child->to, text, (size_t)len) == (ssize_t)len);
}

void kit_child_signal(kit_child *child, int signal_number)
{
    assert_true(child->pid > 0);
    assert_int_equal(kill(child->pid, signal_number), 0);
}

int kit_child_wait(kit_child *child, int64_t ms)
{
    kit_deadline deadline = kit_in(ms);
    int status = 0;
    while (child->pid > 0) {
        pid_t got = waitpid(child->pid, &status, WNOHANG);
        if (got == child->pid) {
            child->pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        if (kit_over(deadline)) {
            return -1;
        }
        kit_breathe();
    }
    return -1;
}

void kit_child_end(kit_child *child)
{
    if (child->pid > 0) {
        int status = 0;
        (void)kill(child->pid, SIGKILL);
        while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR) {
        }
        child->pid = 0;
    }
    if (child->to > 0) {
        (void)close(child->to);
        (void)close(child->from);
    }
    child->to = child->from = 0;
}

void kit_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}

bool kit_hear(char *line, size_t size)
{
    if (fgets(line, (int)size, stdin) == NULL) {
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return true;
}
