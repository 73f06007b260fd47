/* SPDX-License-Identifier: MIT */
#include "exec.h"

#include "base/alloc.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Variables one after the other, each ended by a NUL. */
typedef struct exec_env {
    pubsub__buf text;
    size_t count;
    bool failed;
} exec_env;

static void put(exec_env *env, const char *name, pubsub_bytes value)
{
    if (value.len > 0 && memchr(value.data, '\0', value.len) != NULL) {
        return;
    }
    if (pubsub__buf_add_text(&env->text, name) != PUBSUB__BUF_OK ||
        pubsub__buf_add_byte(&env->text, '=') != PUBSUB__BUF_OK ||
        (value.len > 0 && pubsub__buf_add(&env->text, value.data, value.len) != PUBSUB__BUF_OK) ||
        pubsub__buf_add_byte(&env->text, '\0') != PUBSUB__BUF_OK) {
        env->failed = true;
    }
    env->count++;
}

static void put_optional(exec_env *env, const char *name, pubsub_bytes value)
{
    if (value.len > 0) {
        put(env, name, value);
    }
}

/* "trace-id" -> PUBSUB_H_TRACE_ID */
static void put_header(exec_env *env, const pubsub_header *header)
{
    char name[PUBSUB_HEADER_NAME_MAX + 16] = "PUBSUB_H_";
    const unsigned char *data = header->name.data;
    size_t at = strlen(name);

    for (size_t i = 0; i < header->name.len && at + 1 < sizeof(name); i++) {
        name[at++] = isalnum(data[i]) ? (char)toupper(data[i]) : '_';
    }
    name[at] = '\0';
    put(env, name, header->value);
}

static void put_message(exec_env *env, const cli_view *view)
{
    char number[32];

    put(env, "PUBSUB_TOPIC", view->topic);
    if (view->has_key) {
        put(env, "PUBSUB_KEY", view->key);
    }
    put_optional(env, "PUBSUB_CONTENT_TYPE", view->content_type);
    put_optional(env, "PUBSUB_REPLY_TO", view->reply_to);
    put_optional(env, "PUBSUB_CORRELATION", view->correlation);
    put_optional(env, "PUBSUB_POSITION", pubsub_bytes_of(view->position));
    (void)snprintf(number, sizeof(number), "%" PRIu64, view->n);
    put(env, "PUBSUB_N", pubsub_bytes_of(number));
    (void)snprintf(number, sizeof(number), "%" PRIu32, view->attempt);
    put(env, "PUBSUB_ATTEMPT", pubsub_bytes_of(number));
    for (size_t i = 0; i < view->header_count; i++) {
        put_header(env, &view->headers[i]);
    }
}

/* What another pub or sub around us has set says nothing about this message. */
static bool is_ours(const char *variable)
{
    static const char *const names[] = {
        "PUBSUB_TOPIC=",    "PUBSUB_KEY=",         "PUBSUB_CONTENT_TYPE=",
        "PUBSUB_REPLY_TO=", "PUBSUB_CORRELATION=", "PUBSUB_POSITION=",
        "PUBSUB_N=",        "PUBSUB_ATTEMPT=",     "PUBSUB_H_"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* An environment: ours without old message variables, then those of env. To be freed. */
static char **make_environ(exec_env *env)
{
    size_t inherited = 0;
    size_t at = 0;
    char *text = env->text.data;
    char **out;

    while (environ[inherited] != NULL) {
        inherited++;
    }
    out = pubsub__calloc(inherited + env->count + 1, sizeof(*out));
    if (out == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < inherited; i++) {
        if (!is_ours(environ[i])) {
            out[at++] = environ[i];
        }
    }
    for (size_t i = 0; i < env->count; i++) {
        out[at++] = text;
        text += strlen(text) + 1;
    }
    return out;
}

/* The two ends of a pipe; a command inherits neither but as its stdin or stdout. */
typedef struct exec_pipe {
    int read;
    int write;
} exec_pipe;

static bool open_pipe(exec_pipe *out)
{
    int fds[2];

    if (pipe(fds) != 0) {
        return false;
    }
    (void)fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(fds[1], F_SETFD, FD_CLOEXEC);
    out->read = fds[0];
    out->write = fds[1];
    return true;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

/* Write what fits; the descriptor is closed when all is written or nobody reads. */
static void feed(int *fd, pubsub_bytes *body)
{
    ssize_t n = body->len > 0 ? write(*fd, body->data, body->len) : 0;

    if (n > 0) {
        body->data = (const char *)body->data + n;
        body->len -= (size_t)n;
    }
    if (body->len == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
        shut(fd); /* a command need not read its body: EPIPE */
    }
}

/* Read some; closed at the end, and when it is too much: the command then ends by SIGPIPE. */
static void drain(int *fd, pubsub__buf *out, bool *too_much)
{
    char chunk[65536];
    ssize_t n = read(*fd, chunk, sizeof(chunk));

    if (n > 0 && pubsub__buf_add(out, chunk, (size_t)n) != PUBSUB__BUF_OK) {
        *too_much = true;
        n = 0;
    }
    if (n == 0 || (n < 0 && errno != EINTR)) {
        shut(fd);
    }
}

/* Both at the same time: a command may write before it has read all. */
static void pump(int in, pubsub_bytes body, int from, pubsub__buf *out, bool *too_much)
{
    (void)fcntl(in, F_SETFL, O_NONBLOCK);
    while (in >= 0 || from >= 0) {
        struct pollfd fds[2] = {{.fd = in, .events = POLLOUT}, {.fd = from, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0) {
            continue; /* EINTR: a command that runs is waited for */
        }
        if (fds[0].revents != 0) {
            feed(&in, &body);
        }
        if (fds[1].revents != 0) {
            drain(&from, out, too_much);
        }
    }
}

static int spawn(const char *command, int read_fd, int write_fd, char **envp, pid_t *pid)
{
    char *argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command,
                    NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int rc;

    (void)sigemptyset(&defaults);
    (void)sigaddset(&defaults, SIGPIPE);
    (void)sigaddset(&defaults, SIGINT);
    (void)sigaddset(&defaults, SIGTERM);
    (void)posix_spawn_file_actions_init(&actions);
    (void)posix_spawnattr_init(&attributes);
    rc = posix_spawn_file_actions_adddup2(&actions, read_fd, STDIN_FILENO);
    if (write_fd >= 0) {
        rc = rc != 0 ? rc : posix_spawn_file_actions_adddup2(&actions, write_fd, STDOUT_FILENO);
    }
    rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(&attributes, &defaults);
    rc = rc != 0 ? rc : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    rc = rc != 0 ? rc : posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, envp);
    (void)posix_spawn_file_actions_destroy(&actions);
    (void)posix_spawnattr_destroy(&attributes);
    return rc;
}

/* Where commands run at the same time, none may inherit the pipe of another before that is marked. */
static pthread_mutex_t spawn_lock = PTHREAD_MUTEX_INITIALIZER;

/* Begin a command; the ends that are ours are left open in `in` and `answer`. Returns an errno. */
static int begin(const char *command, char **envp, bool capture, exec_pipe *in, exec_pipe *answer,
                 pid_t *pid)
{
    int rc;

    (void)pthread_mutex_lock(&spawn_lock);
    if (!open_pipe(in) || (capture && !open_pipe(answer))) {
        rc = errno;
    } else {
        rc = spawn(command, in->read, answer->write, envp, pid);
    }
    shut(&in->read);
    shut(&answer->write);
    (void)pthread_mutex_unlock(&spawn_lock);
    if (rc != 0) {
        shut(&in->write);
        shut(&answer->read);
    }
    return rc;
}

/* out NULL: the command writes to our stdout. */
static int run(const char *command, pubsub_bytes body, char **envp, pubsub__buf *out)
{
    exec_pipe in = {-1, -1};
    exec_pipe answer = {-1, -1};
    bool too_much = false;
    int status = 0;
    pid_t pid = -1;
    int rc = begin(command, envp, out != NULL, &in, &answer, &pid);

    if (rc != 0) {
        errno = rc;
        return -1;
    }
    pump(in.write, body, answer.read, out, &too_much);
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    if (too_much) {
        pubsub__buf_reset(out);
        return 128 + SIGPIPE;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int cli_exec_capture(const char *command, const cli_view *view, pubsub__buf *out)
{
    exec_env env = {.count = 0};
    char **envp;
    int result = -1;

    pubsub__buf_init(&env.text, SIZE_MAX / 4);
    put_message(&env, view);
    envp = env.failed ? NULL : make_environ(&env);
    if (envp == NULL) {
        errno = ENOMEM;
    } else {
        result = run(command, view->payload, envp, out);
    }
    pubsub__free(envp);
    pubsub__buf_fini(&env.text);
    return result;
}

int cli_exec(const char *command, const cli_view *view)
{
    return cli_exec_capture(command, view, NULL);
}
