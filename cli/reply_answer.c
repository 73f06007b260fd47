/* SPDX-License-Identifier: MIT */
#include "reply.h"

#include "exec.h"
#include "exit.h"
#include "printer.h"
#include "say.h"
#include "template.h"

#include "base/clock.h"
#include "base/rand.h"

#include <pubsub/request.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One request of `reply`: making its answer, by a text, an echo or a command, and sending it. */

void reply_fail(reply_run *run, int code)
{
    run->code = run->code != CLI_EXIT_OK ? run->code : code;
    run->over = true;
}

static bool expand(reply_run *run, pubsub_publication *answer)
{
    char id[21];

    pubsub__rand_name(id, sizeof(id) - 1);
    if (!cli_template_add(&run->text, answer->payload, run->taken, pubsub__clock_wall_ns(), id)) {
        cli_error("out of memory");
        return false;
    }
    answer->payload = (pubsub_bytes){run->text.data, run->text.len};
    return true;
}

/* How a command ended. */
typedef struct outcome {
    uint64_t n;
    int result;
    int error;
    char failure[64];
} outcome;

/* Room for one header more is there: the command line takes at most PUBSUB_HEADERS_MAX - 1. */
static bool use_outcome(reply_run *run, outcome *how, const pubsub__buf *text,
                        pubsub_publication *answer)
{
    if (how->result < 0) {
        cli_error("cannot run %s: %s", run->exec, strerror(how->error));
        return false;
    }
    answer->payload = (pubsub_bytes){text->data, text->len};
    if (how->result != 0) {
        (void)snprintf(how->failure, sizeof(how->failure), "the command ended with %d",
                       how->result);
        cli_warn("request %" PRIu64 ": %s", how->n, how->failure);
        run->headers[run->base.header_count] =
            (pubsub_header){pubsub_bytes_of("pubsub-error"), pubsub_bytes_of(how->failure)};
        answer->header_count = run->base.header_count + 1;
    }
    return true;
}

static bool run_command(reply_run *run, const pubsub_message *request, pubsub_publication *answer,
                        outcome *how)
{
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    char position[PUBSUB_POSITION_TEXT_MAX];
    cli_view view = {.broker = run->setup.scheme, .n = run->taken};

    cli_view_fill(&view, request, CLI_NEEDS_ALL, headers, position);
    how->n = run->taken;
    how->result = cli_exec_capture(run->exec, &view, &run->text);
    how->error = errno;
    return use_outcome(run, how, &run->text, answer);
}

/* An echo brings back what came, and our -H behind it. */
static void echo(const reply_run *run, const pubsub_message *request, pubsub_header *headers,
                 pubsub_publication *answer)
{
    size_t count = pubsub_message_header_count(request);

    answer->payload = pubsub_message_payload(request);
    if (answer->content_type.len == 0) {
        answer->content_type = pubsub_message_content_type(request);
    }
    answer->headers = headers;
    answer->header_count = 0;
    for (size_t i = 0; i < count && i + run->base.header_count < PUBSUB_HEADERS_MAX; i++) {
        headers[answer->header_count++] = pubsub_message_header(request, i);
    }
    memcpy(headers + answer->header_count, run->headers, run->base.header_count * sizeof(*headers));
    answer->header_count += run->base.header_count;
}

static bool make_answer(reply_run *run, const pubsub_message *request, pubsub_header *headers,
                        pubsub_publication *answer, outcome *how)
{
    pubsub__buf_reset(&run->text);
    *answer = run->base;
    answer->payload = run->body.bytes;
    if (run->exec != NULL) {
        return run_command(run, request, answer, how);
    }
    if (run->echo) {
        echo(run, request, headers, answer);
        return true;
    }
    return !run->template_on || expand(run, answer);
}

/* Publish it. What is too big is replaced by saying so: a request that is delivered again and again
 * does not get smaller answers. */
static pubsub_err send_answer(reply_run *run, uint64_t n, const pubsub_message *request,
                              pubsub_publication *answer, pubsub_error *err)
{
    pubsub_err rc = pubsub_message_reply(request, answer, run->setup.timeout_ms, err);

    if (rc == PUBSUB_ETOOBIG) {
        cli_warn("request %" PRIu64 ": %s", n, pubsub_error_text(err));
        run->headers[run->base.header_count] = (pubsub_header){
            pubsub_bytes_of("pubsub-error"), pubsub_bytes_of("the answer is too big")};
        answer->headers = run->headers;
        answer->header_count = run->base.header_count + 1;
        answer->payload = (pubsub_bytes){NULL, 0};
        rc = pubsub_message_reply(request, answer, run->setup.timeout_ms, err);
    }
    return rc;
}

/* Send it; takes over the reference of the request. */
static void answer_with(reply_run *run, uint64_t n, pubsub_message *request,
                        pubsub_publication *answer)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    answer->token = request;
    if (send_answer(run, n, request, answer, &err) == PUBSUB_OK) {
        run->open++;
        cli_verbose("request %" PRIu64 ": answered with %zu bytes", n, answer->payload.len);
        return;
    }
    cli_warn("request %" PRIu64 " cannot be answered: %s", n, pubsub_error_text(&err));
    if (pubsub_err_is_retryable(err.code)) {
        (void)pubsub_message_nack(request, -1, pubsub_error_text(&err));
    } else {
        (void)pubsub_message_ack(request); /* coming again would not help it */
    }
    pubsub_message_unref(request);
}

static void give_up(reply_run *run, pubsub_message *request)
{
    pubsub_message_unref(request);
    reply_fail(run, CLI_EXIT_FAILED);
}

void reply_serve(reply_run *run, pubsub_message *request)
{
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    pubsub_publication answer;
    outcome how;

    if (pubsub_message_reply_to(request).len == 0) {
        pubsub_bytes topic = pubsub_message_topic(request);

        cli_warn("a message to %.*s asks for no answer", (int)topic.len, (const char *)topic.data);
        (void)pubsub_message_ack(request);
        pubsub_message_unref(request);
        return;
    }
    run->taken++;
    if (run->jobs != NULL) {
        if (!cli_jobs_begin(run->jobs, request, run->taken)) {
            cli_error("cannot run %s: %s", run->exec, strerror(errno));
            give_up(run, request);
        }
        return;
    }
    if (!make_answer(run, request, headers, &answer, &how)) {
        give_up(run, request);
        return;
    }
    answer_with(run, run->taken, request, &answer);
}

bool reply_jobs(reply_run *run, bool all)
{
    cli_job *job = NULL;
    bool some = false;

    while (run->jobs != NULL &&
           (job = all ? cli_jobs_await(run->jobs) : cli_jobs_take(run->jobs)) != NULL) {
        pubsub_publication answer = run->base;
        outcome how = {.n = job->n, .result = job->result, .error = job->error};

        if (use_outcome(run, &how, &job->out, &answer)) {
            answer_with(run, job->n, job->message, &answer);
        } else {
            give_up(run, job->message);
        }
        cli_job_free(job);
        some = true;
    }
    return some;
}
