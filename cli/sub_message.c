/* SPDX-License-Identifier: MIT */
#include "sub.h"

#include "exec.h"
#include "exit.h"
#include "say.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void fail(sub_run *run, int code)
{
    if (run->code == CLI_EXIT_OK) {
        run->code = code;
    }
    run->over = true;
}

/* ---- acknowledging ------------------------------------------------------------------------- */

static bool keep(sub_run *run, pubsub_message *message)
{
    if (run->pending_count == run->pending_capacity) {
        size_t capacity = run->pending_capacity == 0 ? 512 : run->pending_capacity * 2;
        pubsub_message **pending = pubsub__realloc(run->pending, capacity * sizeof(*run->pending));

        if (pending == NULL) {
            cli_error("out of memory");
            fail(run, CLI_EXIT_FAILED);
            pubsub_message_unref(message);
            return false;
        }
        run->pending = pending;
        run->pending_capacity = capacity;
    }
    run->pending[run->pending_count++] = message;
    return true;
}

static void drop_pending(sub_run *run)
{
    for (size_t i = 0; i < run->pending_count; i++) {
        pubsub_message_unref(run->pending[i]);
    }
    run->pending_count = 0;
}

bool sub_flush(sub_run *run)
{
    bool ok = cli_output_flush(&run->out);

    /* What was not written out is not acknowledged: it comes again. */
    if (ok && run->pending_count > 0) {
        (void)pubsub_message_ack_batch(run->pending, run->pending_count);
    }
    drop_pending(run);
    if (ok) {
        return true;
    }
    run->over = true;
    if (!cli_output_is_closed(&run->out) && run->out.error != EINTR && run->code == CLI_EXIT_OK) {
        cli_error("cannot write to stdout: %s", strerror(run->out.error));
        run->code = CLI_EXIT_FAILED;
    }
    return false;
}

/* ---- one message --------------------------------------------------------------------------- */

static bool is_excluded(const sub_run *run, pubsub_bytes topic)
{
    const char *pattern;

    for (size_t i = 0; (pattern = cli_at(run->args, "exclude", i)) != NULL; i++) {
        if (pubsub_topic_matches(pattern, strlen(pattern), topic.data, topic.len)) {
            return true;
        }
    }
    return false;
}

/* Whether the message is behind the point where to end. */
static bool is_behind_end(const sub_run *run, const cli_view *view)
{
    if (run->only_retained && !view->retained) {
        return true;
    }
    if (run->until_ns != 0 && view->ts_ns >= run->until_ns) {
        return true;
    }
    return run->at_end && !view->retained && view->ts_ns > run->started_ns;
}

static bool is_wanted(const sub_run *run, const cli_view *view)
{
    if (run->no_retained && view->retained) {
        return false;
    }
    if (is_excluded(run, view->topic)) {
        return false;
    }
    return run->sample >= 1 || pubsub__rand_unit() < run->sample;
}

static bool dump(sub_run *run, const cli_view *view)
{
    char path[PATH_MAX];
    const char *data = view->payload.data;
    size_t done = 0;
    int len = snprintf(path, sizeof(path), "%s/%08" PRIu64, run->dump, view->n);
    int fd = -1;

    if (len > 0 && (size_t)len < sizeof(path)) {
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (fd < 0) {
        cli_error("cannot write %s: %s%s", path, strerror(errno),
                  errno == EEXIST ? ", give an empty directory" : "");
        return false;
    }
    while (done < view->payload.len) {
        ssize_t n = write(fd, data + done, view->payload.len - done);

        if (n < 0 && errno != EINTR) {
            break;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (close(fd) != 0 || done < view->payload.len) {
        cli_error("cannot write %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

static void cannot_run(sub_run *run, int error)
{
    cli_error("cannot run %s: %s", run->exec, strerror(error));
    fail(run, CLI_EXIT_FAILED);
}

/* A message is settled by the result of its command. */
static void settle(sub_run *run, uint64_t n, int result, int error, pubsub_message *message)
{
    char reason[64];

    if (result < 0) {
        cannot_run(run, error);
    } else if (result == 0 || run->ack == SUB_ACK_AUTO) {
        (void)pubsub_message_ack(message);
    } else if (run->ack == SUB_ACK_EXEC) {
        (void)snprintf(reason, sizeof(reason), "the command ended with %d", result);
        cli_warn("message %" PRIu64 ": %s; it is not acknowledged", n, reason);
        (void)pubsub_message_nack(message, -1, reason);
    }
    pubsub_message_unref(message);
}

/* Run the command, or begin it beside others. */
static void exec(sub_run *run, const cli_view *view, pubsub_message *message)
{
    if (run->jobs == NULL) {
        int result = cli_exec(run->exec, view);

        settle(run, view->n, result, errno, message);
    } else if (!cli_jobs_begin(run->jobs, message, view->n)) {
        cannot_run(run, errno);
        pubsub_message_unref(message);
    }
}

/* What it wrote goes out as a whole; if that cannot be, its message comes again. */
static void end_job(sub_run *run, cli_job *job)
{
    if (job->out.len > 0 &&
        pubsub__buf_add(&run->out.buf, job->out.data, job->out.len) != PUBSUB__BUF_OK) {
        cli_error("out of memory");
        fail(run, CLI_EXIT_FAILED);
        pubsub_message_unref(job->message);
    } else if (!sub_flush(run)) {
        pubsub_message_unref(job->message);
    } else {
        settle(run, job->n, job->result, job->error, job->message);
    }
    run->active_ns = pubsub__clock_mono_ns();
    cli_job_free(job);
}

void sub_jobs(sub_run *run, bool all)
{
    cli_job *job = NULL;

    while (run->jobs != NULL &&
           (job = all ? cli_jobs_await(run->jobs) : cli_jobs_take(run->jobs)) != NULL) {
        end_job(run, job);
    }
}

/* Show a message that is wanted, and keep it until it is written out. */
static void show(sub_run *run, cli_view *view, pubsub_message *message)
{
    run->taken++;
    view->n = run->taken;
    if (run->taken >= run->limit) {
        run->over = true;
    }
    if (run->expect.on && !cli_expect_message(&run->expect, view->payload)) {
        fail(run, CLI_EXIT_VERIFY);
    }
    if (run->exec != NULL) {
        exec(run, view, message);
        return;
    }
    if (run->dump != NULL) {
        if (!dump(run, view)) {
            fail(run, CLI_EXIT_FAILED);
            pubsub_message_unref(message);
            return;
        }
    } else if (!cli_printer_add(&run->printer, &run->out.buf, view)) {
        cli_error("out of memory");
        fail(run, CLI_EXIT_FAILED);
        pubsub_message_unref(message);
        return;
    }
    if (run->ack == SUB_ACK_NONE) {
        pubsub_message_unref(message);
        return;
    }
    (void)keep(run, message);
}

void sub_message(sub_run *run, pubsub_message *message)
{
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    char position[PUBSUB_POSITION_TEXT_MAX];
    cli_view view = {.broker = run->setup.scheme};

    if (run->over) {
        pubsub_message_unref(message);
        return;
    }
    cli_view_fill(&view, message, run->needs, headers, position);
    if (is_behind_end(run, &view)) {
        run->over = true;
        pubsub_message_unref(message);
        return;
    }
    if (!is_wanted(run, &view)) {
        (void)keep(run, message); /* dealt with, so acknowledged */
        return;
    }
    show(run, &view, message);
}
