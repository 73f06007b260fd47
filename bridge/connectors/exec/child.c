/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2, dup3, execvpe, closefrom, memfd_create, syscall */
#endif
#include "connectors/exec/child.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    READ_AT_ONCE = 64 * 1024,
    COMPLAINT_MAX = 2048,
    LOOK_MS = 50, /* for its end, where the kernel does not tell */
};

struct exec_child {
    pubsub_host *host;
    exec_child_events events;
    void *ctx;
    pid_t pid;
    int end_fd; /* readable once it has ended; -1 = looked at from time to time */
    int in_fd;
    int out_fd; /* -1 = at its end */
    int err_fd;
    pubsub_host_watch *end_watch;
    pubsub_host_watch *out_watch;
    pubsub_host_watch *err_watch;
    pubsub_host_timer *look;
    pubsub_host_timer *kill;
    pubsub__buf out;
    pubsub__buf complaint;
    int status;
    size_t out_left; /* once it has ended: what is in the pipes is read, and no more */
    size_t err_left;
    bool ended;    /* the process */
    bool waiting;  /* for resume */
    bool offering; /* inside on_output, which may stop it */
    bool stopping; /* output goes nowhere */
};

static void complain(exec_child *child);

/* ---- the end ------------------------------------------------------------------------------- */

static void close_fd(pubsub_host *host, pubsub_host_watch **watch, int *fd)
{
    if (*watch != NULL) {
        host->watch_free(*watch);
        *watch = NULL;
    }
    if (*fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
}

static void child_free(exec_child *child)
{
    pubsub_host *host = child->host;
    pubsub_host_watch *none = NULL;
    close_fd(host, &child->end_watch, &child->end_fd);
    close_fd(host, &child->out_watch, &child->out_fd);
    close_fd(host, &child->err_watch, &child->err_fd);
    close_fd(host, &none, &child->in_fd);
    host->timer_free(child->look);
    host->timer_free(child->kill);
    pubsub__buf_fini(&child->out);
    pubsub__buf_fini(&child->complaint);
    pubsub__free(child);
}

static void over_when_all_is_read(exec_child *child)
{
    exec_child_events events = child->events;
    void *ctx = child->ctx;
    int status = child->status;
    if (child->ended && child->err_fd < 0 && child->out_fd < 0 && !child->waiting &&
        !child->offering) {
        child_free(child);
        events.on_end(ctx, status);
    }
}

static size_t in_pipe(int fd)
{
    int count = 0;
    return fd >= 0 && ioctl(fd, FIONREAD, &count) == 0 && count > 0 ? (size_t)count : 0;
}

/* Whoever left the group may hold the pipes open for as long as it likes: it is not waited for. */
static void close_what_is_empty(exec_child *child)
{
    if (child->out_left == 0) {
        close_fd(child->host, &child->out_watch, &child->out_fd);
    }
    if (child->err_left == 0) {
        complain(child);
        close_fd(child->host, &child->err_watch, &child->err_fd);
    }
}

/* The group is swept before its leader is reaped: its number cannot be another's until then. */
static void look_for_end(void *ctx)
{
    exec_child *child = ctx;
    siginfo_t info;
    memset(&info, 0, sizeof(info));
    if (child->ended) {
        return;
    }
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        info.si_pid == 0) {
        if (child->end_fd < 0) {
            child->host->timer_start(child->look, LOOK_MS);
        }
        return;
    }
    (void)kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &child->status, 0) < 0 && errno == EINTR) {
    }
    child->ended = true;
    child->host->timer_stop(child->kill);
    close_fd(child->host, &child->end_watch, &child->end_fd);
    child->out_left = in_pipe(child->out_fd);
    child->err_left = in_pipe(child->err_fd);
    close_what_is_empty(child);
    over_when_all_is_read(child);
}

static void on_end_fd(void *ctx, uint32_t bits)
{
    (void)bits;
    look_for_end(ctx);
}

static void kill_now(void *ctx)
{
    exec_child *child = ctx;
    if (!child->ended) {
        (void)kill(-child->pid, SIGKILL);
    }
}

/* ---- output -------------------------------------------------------------------------------- */

static void offer(exec_child *child)
{
    size_t taken = child->out.len;
    if (child->offering) {
        return;
    }
    if (!child->stopping && child->out.len > 0) {
        child->offering = true;
        taken = child->events.on_output(child->ctx, child->out.data, child->out.len);
        child->offering = false;
    }
    taken = child->stopping ? child->out.len : taken;
    pubsub__buf_drop(&child->out, taken < child->out.len ? taken : child->out.len);
}

static void on_out(void *ctx, uint32_t bits)
{
    exec_child *child = ctx;
    size_t room = child->out.max - child->out.len;
    ssize_t got = 0;
    (void)bits;
    if (room == 0 || pubsub__buf_reserve(&child->out, room < READ_AT_ONCE ? room : READ_AT_ONCE) !=
                         PUBSUB__BUF_OK) {
        child->waiting = true; /* nothing more fits until some is taken */
        child->host->watch_set(child->out_watch, 0);
        return;
    }
    got = read(child->out_fd, child->out.data + child->out.len,
               room < READ_AT_ONCE ? room : READ_AT_ONCE);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        close_fd(child->host, &child->out_watch, &child->out_fd);
        over_when_all_is_read(child);
        return;
    }
    child->out.len += (size_t)got;
    child->out.data[child->out.len] = '\0';
    offer(child);
    if (child->ended) {
        child->out_left -= (size_t)got < child->out_left ? (size_t)got : child->out_left;
        close_what_is_empty(child);
        over_when_all_is_read(child);
    }
}

void exec_child_pause(exec_child *child)
{
    child->waiting = true;
    if (child->out_watch != NULL) {
        child->host->watch_set(child->out_watch, 0);
    }
}

void exec_child_resume(exec_child *child)
{
    child->waiting = false;
    offer(child);
    if (child->out_fd >= 0) {
        child->host->watch_set(child->out_watch, child->waiting ? 0 : PUBSUB_HOST_READ);
    } else {
        over_when_all_is_read(child);
    }
}

static void complain(exec_child *child)
{
    if (child->complaint.len > 0) {
        pubsub__text_oneline(child->complaint.data);
        child->events.on_complaint(child->ctx, child->complaint.data);
    }
    pubsub__buf_reset(&child->complaint);
}

static void on_err(void *ctx, uint32_t bits)
{
    exec_child *child = ctx;
    char data[4096];
    ssize_t got = read(child->err_fd, data, sizeof(data));
    (void)bits;
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    for (ssize_t i = 0; i < got; i++) {
        if (data[i] == '\n') {
            complain(child);
        } else if (data[i] != '\0') {
            (void)pubsub__buf_add_byte(&child->complaint, data[i]); /* longer lines are cut */
        }
    }
    if (got <= 0) {
        complain(child);
        close_fd(child->host, &child->err_watch, &child->err_fd);
        over_when_all_is_read(child);
    } else if (child->ended) {
        child->err_left -= (size_t)got < child->err_left ? (size_t)got : child->err_left;
        close_what_is_empty(child);
        over_when_all_is_read(child);
    }
}

void exec_child_stop(exec_child *child, pubsub_duration_ms patience)
{
    child->stopping = true;
    if (!child->ended) {
        (void)kill(-child->pid, patience > 0 ? SIGTERM : SIGKILL);
        (void)kill(-child->pid, SIGCONT); /* a stopped one could not hear it */
        child->host->timer_start(child->kill, patience);
    }
    exec_child_resume(child);
}

/* ---- the beginning ------------------------------------------------------------------------- */

enum { REPORT_FD = EXEC_GIVEN_FD + 1 };

/* Between fork and exec only calls that are safe in a signal handler. Everything that can go wrong gives an
 * errno. */
static int become(const exec_child_options *options, const int *fds, int given, int *report,
                  pid_t parent)
{
    const int from[] = {fds[0], fds[1], fds[2], given, *report};
    int ends[5] = {-1, -1, -1, -1, -1};
    struct sigaction plain;
    sigset_t none;
    memset(&plain, 0, sizeof(plain));
    plain.sa_handler = SIG_DFL;
    /* What this process ignores or holds back is not the program's business. */
    for (int number = 1; number < NSIG; number++) {
        (void)sigaction(number, &plain, NULL);
    }
#ifdef PR_SET_PDEATHSIG
    /* A bridge that was killed cannot end it any more; one that is gone already was another parent. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) {
        return ECHILD;
    }
#else
    (void)parent;
#endif
    if (setpgid(0, 0) != 0) {
        return errno;
    }
    for (int i = 0; i <= REPORT_FD; i++) { /* out of the way of the numbers they are to have */
        ends[i] = fcntl(from[i], F_DUPFD_CLOEXEC, REPORT_FD + 1);
        if (ends[i] < 0) {
            return errno;
        }
    }
    for (int i = 0; i <= EXEC_GIVEN_FD; i++) {
        if (dup2(ends[i], i) < 0) {
            return errno;
        }
    }
    if (dup3(ends[REPORT_FD], REPORT_FD, O_CLOEXEC) < 0) {
        return errno;
    }
    *report = REPORT_FD;
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 34)
    closefrom(REPORT_FD + 1); /* libraries open descriptors that they do not mark */
#endif
    if (options->dir != NULL && chdir(options->dir) != 0) {
        return errno;
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)execvpe(options->argv[0], options->argv, options->env);
    return errno;
}

static void child_main(const exec_child_options *options, const int *fds, int given, int report,
                       pid_t parent)
{
    int code = become(options, fds, given, &report, parent);
    while (write(report, &code, sizeof(code)) < 0 && errno == EINTR) {
    }
    _exit(127);
}

/* A file without a name, at its beginning; -1 with errno. */
static int file_of(const pubsub__buf *content)
{
    int fd = memfd_create("positions", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < content->len) {
        ssize_t put = write(fd, content->data + done, content->len - done);
        if (put < 0 && errno != EINTR) {
            int code = errno;
            (void)close(fd);
            errno = code;
            return -1;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    (void)lseek(fd, 0, SEEK_SET);
    return fd;
}

/* posix_spawn() knows no signal for a parent's death. */
static int spawn(pid_t *pid, const exec_child_options *options, const int *fds)
{
    int ends[2] = {-1, -1};
    int code = 0;
    ssize_t got = 0;
    sigset_t all;
    sigset_t before;
    pid_t parent = getpid();
    int given = file_of(options->given);
    if (given < 0) {
        return errno;
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        code = errno;
        (void)close(given);
        return code;
    }
    /* A handler of ours must not run in the child. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    *pid = fork();
    if (*pid == 0) {
        child_main(options, fds, given, ends[1], parent);
    }
    code = *pid < 0 ? errno : 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)close(given);
    (void)close(ends[1]);
    if (code == 0) {
        do {
            got = read(ends[0], &code, sizeof(code)); /* nothing: it runs */
        } while (got < 0 && errno == EINTR);
        code = got == sizeof(code) ? code : 0;
    }
    if (code != 0 && *pid > 0) {
        while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    (void)close(ends[0]);
    return code;
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

/* fds: 0-2 the program's ends, 3-5 ours. */
static int open_pipes(int *fds)
{
    for (int i = 0; i < 3; i++) {
        int ends[2] = {-1, -1};
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return errno;
        }
        fds[i] = i == 0 ? ends[0] : ends[1];
        fds[i + 3] = i == 0 ? ends[1] : ends[0];
        (void)fcntl(fds[i + 3], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static bool watch_child(exec_child *child)
{
    pubsub_host *host = child->host;
#ifdef SYS_pidfd_open
    child->end_fd = (int)syscall(SYS_pidfd_open, child->pid, 0);
#endif
    if (child->end_fd >= 0) {
        (void)fcntl(child->end_fd, F_SETFD, FD_CLOEXEC);
        child->end_watch = host->watch_new(host, child->end_fd, on_end_fd, child);
    }
    child->out_watch = host->watch_new(host, child->out_fd, on_out, child);
    child->err_watch = host->watch_new(host, child->err_fd, on_err, child);
    if (child->out_watch == NULL || child->err_watch == NULL) {
        return false;
    }
    host->watch_set(child->out_watch, PUBSUB_HOST_READ);
    host->watch_set(child->err_watch, PUBSUB_HOST_READ);
    if (child->end_watch != NULL) {
        host->watch_set(child->end_watch, PUBSUB_HOST_READ);
    } else {
        pubsub_host_watch *none = NULL;
        close_fd(host, &none, &child->end_fd);
        host->timer_start(child->look, LOOK_MS);
    }
    return true;
}

exec_child *exec_child_new(pubsub_host *host, const exec_child_options *options,
                           const exec_child_events *events, void *ctx, pubsub_error *err)
{
    int fds[6] = {-1, -1, -1, -1, -1, -1};
    int code = 0;
    exec_child *child = pubsub__calloc(1, sizeof(*child));
    if (child == NULL) {
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    child->host = host;
    child->events = *events;
    child->ctx = ctx;
    child->end_fd = child->in_fd = child->out_fd = child->err_fd = -1;
    pubsub__buf_init(&child->out, options->max_line + READ_AT_ONCE);
    pubsub__buf_init(&child->complaint, COMPLAINT_MAX);
    child->look = host->timer_new(host, look_for_end, child);
    child->kill = host->timer_new(host, kill_now, child);
    code = child->look == NULL || child->kill == NULL ? ENOMEM : open_pipes(fds);
    if (code == 0) {
        code = spawn(&child->pid, options, fds);
    }
    close_all(fds, 3);
    child->in_fd = fds[3];
    child->out_fd = fds[4];
    child->err_fd = fds[5];
    if (code != 0) {
        (void)pubsub_error_set_errno(err, PUBSUB_ESYSTEM, code, "cannot start %s",
                                     options->argv[0]);
        child_free(child);
        return NULL;
    }
    if (!watch_child(child)) {
        (void)kill(-child->pid, SIGKILL);
        (void)waitpid(child->pid, NULL, 0);
        (void)pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        child_free(child);
        return NULL;
    }
    return child;
}
