/* SPDX-License-Identifier: MIT */
#include "client_setup.h"
#include "cmd.h"
#include "exec.h"
#include "message_flags.h"
#include "printer.h"
#include "say.h"
#include "signals.h"
#include "template.h"

#include "base/clock.h"
#include "base/rand.h"

#include <pubsub/request.h>

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* `reply`: a service made of a text, of the request itself, or of a command. */

/* The longest answer of a command. */
#define REPLY_MAX ((size_t)64 * 1024 * 1024)

const char *const cli_reply_description =
    "Subscribes to TOPIC, which may be a pattern, and answers every request: with a fixed BODY, "
    "with the request's own body (--echo), or with what a shell command writes (--exec). Runs "
    "until "
    "it is stopped, or until -c requests are answered.\n\n"
    "The command gets the request's body on stdin and its properties in the environment, as with "
    "pubsub sub --exec; what it writes to stdout is the answer. When it does not end with 0, the "
    "answer carries the header pubsub-error that says so. Requests are answered one after the "
    "other; to answer several at a time start several with the same --group.\n\n"
    "A request is acknowledged when its answer is confirmed. Messages that ask for no answer are "
    "acknowledged and told on stderr.";

const cli_option cli_reply_options[] = {
    {.name = "topic",
     .letter = 't',
     .kind = CLI_TEXT,
     .arg = "PATTERN",
     .heading = "Requests",
     .help = "which requests to answer; the first word when not given"},
    {.name = "group",
     .letter = 'g',
     .kind = CLI_TEXT,
     .arg = "NAME",
     .help = "share the requests with the other members of a group"},
    {.name = "prefetch",
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .def_note = "1000; 1 with --group and --exec, so that nothing waits behind a slow command",
     .help = "requests in flight to this program"},

    {.name = "message",
     .letter = 'm',
     .kind = CLI_TEXT,
     .arg = "BODY",
     .heading = "Answer",
     .help = "the body; the word after the topic when not given"},
    {.name = "file",
     .letter = 'f',
     .kind = CLI_TEXT,
     .flags = CLI_FILE,
     .arg = "FILE",
     .help = "the file is the body, read once; - is stdin"},
    {.name = "null", .letter = 'n', .help = "answer without a body"},
    {.name = "echo", .help = "answer with the request's body, headers and content type"},
    {.name = "exec",
     .kind = CLI_TEXT,
     .arg = "COMMAND",
     .help = "answer with what a shell command writes to stdout"},
    {.name = "template",
     .help = "replace {{Count}}, {{Time}}, {{ID}} and {{Random MIN MAX}} in the body given"},
    {.name = "header",
     .letter = 'H',
     .kind = CLI_LIST,
     .arg = "'NAME: VALUE'",
     .help = "header of each answer, also NAME=VALUE; may be repeated, order is kept"},
    {.name = "content-type", .kind = CLI_TEXT, .arg = "TYPE", .help = "media type of the answers"},
    {.name = "qos",
     .letter = 'Q',
     .kind = CLI_CHOICE,
     .arg = "0|1|2",
     .choices = "0|1|2",
     .def_note = "the stronger of 1 and 0 that the broker has",
     .help = "of the answers: 0 at most once, 1 at least once, 2 exactly once"},

    {.name = "count",
     .letter = 'c',
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .def_note = "unlimited",
     .heading = "End",
     .help = "end after N requests were answered"},
    {.name = "wait",
     .letter = 'W',
     .kind = CLI_DURATION,
     .arg = "D",
     .min = 0,
     .def_note = "unlimited",
     .help = "end after this long in all; with -c it is exit code 6 when requests are missing"},
    {.name = NULL},
};

const cli_example cli_reply_examples[] = {
    {"pubsub reply --exec date time/now", "the time, for who asks"},
    {"pubsub reply --echo 'test/#'", "what comes goes back"},
    {"pubsub reply -g resize --exec './resize' images", "one of several workers"},
    {"pubsub reply --template ticket '{\"number\":{{Count}}}'", "a number for each request"},
    {NULL, NULL},
};

typedef struct reply_run {
    const cli_args *args;
    cli_setup setup;
    cli_events events;
    pubsub_client *client;
    pubsub_options *options;
    pubsub_subscription *handle;
    const char *pattern;
    const char *exec;
    bool echo;
    bool template_on;
    cli_body body;
    pubsub__buf text; /* the body of one answer */
    pubsub_publication base;
    pubsub_header headers[PUBSUB_HEADERS_MAX];

    uint64_t limit; /* requests; UINT64_MAX = no limit */
    uint64_t taken; /* requests that were taken to be answered */
    uint64_t open;  /* answers without an outcome */
    uint64_t end_ns;
    bool refused;
    bool over;
    int code; /* what is wrong, printed already */
} reply_run;

static void fail(reply_run *run, int code)
{
    run->code = run->code != CLI_EXIT_OK ? run->code : code;
    run->over = true;
}

/* ---- what the client tells ------------------------------------------------------------------ */

static void on_event(void *ctx, const pubsub_event *event)
{
    reply_run *run = ctx;

    cli_events_tell(&run->events, event);
    if (event->subscription != run->handle || event->subscription == NULL) {
        return;
    }
    if (event->type == PUBSUB_EVENT_SUBSCRIBED) {
        cli_verbose("subscribed to %s", run->pattern);
    } else if (event->type == PUBSUB_EVENT_REFUSED && event->error != NULL) {
        run->refused = true;
        if (run->events.connected) {
            fail(run, cli_fail(run->pattern, event->error));
        } else {
            fail(run, cli_fail_connect(&run->setup, event->error));
        }
    }
}

/* The request is dealt with when its answer is. */
static void on_report(void *ctx, const pubsub_report *report)
{
    reply_run *run = ctx;
    pubsub_message *request = report->token;
    /* It would be so each time, and the command would run each time. */
    bool for_good = report->outcome == PUBSUB_REJECTED && report->error != NULL &&
                    !pubsub_err_is_retryable(report->error->code);

    run->open--;
    if (report->outcome == PUBSUB_ACCEPTED) {
        (void)pubsub_message_ack(request);
    } else if (for_good) {
        cli_warn("an answer was refused, its request is done with: %s",
                 pubsub_error_text(report->error));
        (void)pubsub_message_ack(request);
    } else {
        cli_warn("an answer was not delivered: %s",
                 report->error != NULL ? pubsub_error_text(report->error) : "no reason given");
        (void)pubsub_message_nack(request, -1, "its answer was not delivered");
    }
    pubsub_message_unref(request);
}

/* ---- one request ---------------------------------------------------------------------------- */

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

/* Room for one more is there: the command line takes at most PUBSUB_HEADERS_MAX - 1. */
static bool run_command(reply_run *run, const pubsub_message *request, pubsub_publication *answer,
                        char *failure, size_t size)
{
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    char position[PUBSUB_POSITION_TEXT_MAX];
    cli_view view = {.broker = run->setup.scheme, .n = run->taken};
    int result;

    cli_view_fill(&view, request, CLI_NEEDS_ALL, headers, position);
    result = cli_exec_capture(run->exec, &view, &run->text);
    if (result < 0) {
        cli_error("cannot run %s: %s", run->exec, strerror(errno));
        return false;
    }
    answer->payload = (pubsub_bytes){run->text.data, run->text.len};
    if (result != 0) {
        (void)snprintf(failure, size, "the command ended with %d", result);
        cli_warn("request %" PRIu64 ": %s", run->taken, failure);
        run->headers[run->base.header_count] =
            (pubsub_header){pubsub_bytes_of("pubsub-error"), pubsub_bytes_of(failure)};
        answer->header_count = run->base.header_count + 1;
    }
    return true;
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
                        pubsub_publication *answer, char *failure, size_t size)
{
    pubsub__buf_reset(&run->text);
    *answer = run->base;
    answer->payload = run->body.bytes;
    if (run->exec != NULL) {
        return run_command(run, request, answer, failure, size);
    }
    if (run->echo) {
        echo(run, request, headers, answer);
        return true;
    }
    return !run->template_on || expand(run, answer);
}

/* Publish it. What is too big is replaced by saying so: a request that is delivered again and again
 * does not get smaller answers. */
static pubsub_err send_answer(reply_run *run, const pubsub_message *request,
                              pubsub_publication *answer, pubsub_error *err)
{
    pubsub_err rc = pubsub_message_reply(request, answer, run->setup.timeout_ms, err);

    if (rc == PUBSUB_ETOOBIG) {
        cli_warn("request %" PRIu64 ": %s", run->taken, pubsub_error_text(err));
        run->headers[run->base.header_count] = (pubsub_header){
            pubsub_bytes_of("pubsub-error"), pubsub_bytes_of("the answer is too big")};
        answer->headers = run->headers;
        answer->header_count = run->base.header_count + 1;
        answer->payload = (pubsub_bytes){NULL, 0};
        rc = pubsub_message_reply(request, answer, run->setup.timeout_ms, err);
    }
    return rc;
}

/* Answer it; takes over the reference. */
static void serve(reply_run *run, pubsub_message *request)
{
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    pubsub_publication answer;
    pubsub_error err = PUBSUB_ERROR_INIT;
    char failure[64];

    if (pubsub_message_reply_to(request).len == 0) {
        pubsub_bytes topic = pubsub_message_topic(request);

        cli_warn("a message to %.*s asks for no answer", (int)topic.len, (const char *)topic.data);
        (void)pubsub_message_ack(request);
        pubsub_message_unref(request);
        return;
    }
    run->taken++;
    if (!make_answer(run, request, headers, &answer, failure, sizeof(failure))) {
        pubsub_message_unref(request);
        fail(run, CLI_EXIT_FAILED);
        return;
    }
    answer.token = request;
    if (send_answer(run, request, &answer, &err) != PUBSUB_OK) {
        cli_warn("request %" PRIu64 " cannot be answered: %s", run->taken, pubsub_error_text(&err));
        if (pubsub_err_is_retryable(err.code)) {
            (void)pubsub_message_nack(request, -1, pubsub_error_text(&err));
        } else {
            (void)pubsub_message_ack(request); /* coming again would not help it */
        }
        pubsub_message_unref(request);
        return;
    }
    run->open++;
    cli_verbose("request %" PRIu64 ": answered with %zu bytes", run->taken, answer.payload.len);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void wait(const reply_run *run)
{
    struct pollfd fds[2] = {{.fd = cli_signals_fd(), .events = POLLIN},
                            {.fd = pubsub_client_fd(run->client), .events = POLLIN}};
    uint64_t now = pubsub__clock_mono_ns();
    int ms = -1;

    if (run->end_ns != UINT64_MAX) {
        uint64_t left = run->end_ns > now ? (run->end_ns - now + 999999) / 1000000 : 0;

        ms = left > INT_MAX ? INT_MAX : (int)left;
    }
    (void)poll(fds, 2, ms);
}

static bool take(reply_run *run)
{
    pubsub_message *request = NULL;

    if (run->taken >= run->limit ||
        pubsub_subscription_next(run->handle, 0, &request, NULL) != PUBSUB_OK) {
        return false;
    }
    serve(run, request);
    return true;
}

static void loop(reply_run *run)
{
    while (!run->over && cli_signals_got() == 0 && !run->events.closed) {
        bool some = pubsub_client_poll(run->client, 0, NULL) > 0;

        if (run->over || take(run) || some) {
            continue;
        }
        if ((run->taken >= run->limit && run->open == 0) ||
            pubsub__clock_mono_ns() >= run->end_ns) {
            break;
        }
        wait(run);
    }
}

/* ---- from begin to end ---------------------------------------------------------------------- */

/* Exactly one kind of answer. */
static int read_answer(reply_run *run, const char *word)
{
    bool given = false;
    int code = cli_body_read(&run->body, run->args, word, false, &given);

    run->exec = cli_text(run->args, "exec");
    run->echo = cli_flag(run->args, "echo");
    run->template_on = cli_flag(run->args, "template");
    if (code != CLI_EXIT_OK) {
        return code;
    }
    switch (given + (run->exec != NULL) + run->echo) {
    case 0:
        return cli_usage("no answer: write it after the topic, or use -m, -f, -n, --echo or "
                         "--exec COMMAND");
    case 1:
        break;
    default:
        return cli_usage("a body, --echo and --exec each say what to answer: give one");
    }
    if (run->template_on && !given) {
        return cli_usage("--template needs a body to replace something in");
    }
    run->base.content_type = pubsub_bytes_of(cli_text(run->args, "content-type"));
    run->base.headers = run->headers;
    code = cli_headers_read(run->args, run->headers, &run->base.header_count);
    if (code == CLI_EXIT_OK && run->base.header_count == PUBSUB_HEADERS_MAX) {
        return cli_usage("more than %d headers", PUBSUB_HEADERS_MAX - 1);
    }
    return code;
}

static int read_options(reply_run *run)
{
    static const char *const flags[] = {"group", "prefetch"};
    int64_t number;
    int code = CLI_EXIT_OK;

    if (pubsub_options_copy(&run->options, run->setup.subscribe) != PUBSUB_OK) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && code == CLI_EXIT_OK; i++) {
        if (cli_given_any(run->args, flags[i])) {
            code = cli_setup_option(run->options, flags[i], cli_text(run->args, flags[i]));
        }
    }
    if (code == CLI_EXIT_OK && run->exec != NULL && pubsub_options_is_set(run->options, "group") &&
        !pubsub_options_is_set(run->options, "prefetch")) {
        code = cli_setup_option(run->options, "prefetch", "1");
    }
    if (pubsub_options_int(run->setup.publish, "qos", &number) == PUBSUB_OK) {
        run->base.qos = (pubsub_qos)number;
    }
    run->base.qos = (pubsub_qos)cli_int(run->args, "qos", run->base.qos);
    return code;
}

static int prepare(reply_run *run)
{
    static const pubsub_publication empty = PUBSUB_PUBLICATION_INIT;
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *word = NULL;
    int64_t wait_ms = cli_int(run->args, "wait", -1);
    int code = cli_words_read(run->args, &run->pattern, &word);

    run->base = empty;
    run->limit =
        cli_given_any(run->args, "count") ? (uint64_t)cli_int(run->args, "count", 1) : UINT64_MAX;
    run->end_ns = wait_ms < 0 ? UINT64_MAX : pubsub__clock_mono_ns() + (uint64_t)wait_ms * 1000000;
    if (code == CLI_EXIT_OK &&
        pubsub_pattern_check(run->pattern, strlen(run->pattern), &err) != PUBSUB_OK) {
        return cli_fail("wrong topic", &err);
    }
    if (code == CLI_EXIT_OK) {
        code = read_answer(run, word);
    }
    return code == CLI_EXIT_OK ? read_options(run) : code;
}

static int start(reply_run *run)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    int code = cli_setup_client(&run->setup, &run->client);

    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (pubsub_client_on_event(run->client, on_event, run) != PUBSUB_OK ||
        pubsub_client_on_delivery(run->client, on_report, run) != PUBSUB_OK) {
        cli_error("cannot set up the client");
        return CLI_EXIT_FAILED;
    }
    if (pubsub_client_subscribe(run->client, run->pattern, run->options, NULL, NULL, &run->handle,
                                &err) != PUBSUB_OK) {
        return cli_fail(run->pattern, &err);
    }
    return CLI_EXIT_OK;
}

static int finish(reply_run *run)
{
    bool cut = run->limit != UINT64_MAX && run->taken < run->limit;

    /* Outcomes first: the requests they belong to are acknowledged before the end. */
    (void)pubsub_client_flush(run->client, run->setup.timeout_ms, NULL);
    while (pubsub_client_poll(run->client, 0, NULL) > 0) {
    }
    if (run->events.closed && !run->refused) {
        return run->events.connected
                   ? (cli_error("%s: the connection is lost: %s", run->setup.shown,
                                pubsub_error_text(&run->events.last)),
                      CLI_EXIT_CONNECT)
                   : cli_fail_connect(&run->setup, &run->events.last);
    }
    (void)pubsub_client_end(run->client, run->setup.timeout_ms, NULL);
    if (run->code != CLI_EXIT_OK || !cut) {
        return run->code;
    }
    if (cli_signals_got() == 0) {
        cli_error("%" PRIu64 " of %" PRIu64 " requests came", run->taken, run->limit);
    }
    return cli_signals_exit(CLI_EXIT_TIMEOUT);
}

int cmd_reply(const cli_args *args)
{
    /* Too big for the stack of a program that may run in a small container. */
    static reply_run run;
    bool done = false;
    int code;

    run.args = args;
    run.events.setup = &run.setup;
    pubsub__buf_init(&run.text, REPLY_MAX);
    code = cli_setup_init(&run.setup, args, NULL, &done);
    if (code == CLI_EXIT_OK && !done) {
        code = prepare(&run);
        if (code == CLI_EXIT_OK) {
            code = start(&run);
        }
        if (code == CLI_EXIT_OK) {
            loop(&run);
            code = finish(&run);
        }
    }
    pubsub_subscription_free(run.handle);
    pubsub_client_free(run.client);
    pubsub_options_free(run.options);
    cli_body_fini(&run.body);
    pubsub__buf_fini(&run.text);
    cli_setup_fini(&run.setup);
    return code;
}
