/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "reply.h"
#include "say.h"
#include "signals.h"

#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* `reply`: a service made of a text, of the request itself, or of a command. */

const char *const cli_reply_description =
    "Subscribes to TOPIC, which may be a pattern, and answers every request: with a fixed BODY, "
    "with the request's own body (--echo), or with what a shell command writes (--exec). Runs "
    "until "
    "it is stopped, or until -c requests are answered.\n\n"
    "The command gets the request's body on stdin and its properties in the environment, as with "
    "pubsub sub --exec; what it writes to stdout is the answer. When it does not end with 0, the "
    "answer carries the header pubsub-error that says so. Requests are answered one after the "
    "other, with --exec and --workers several at a time; a group of programs shares them, too.\n\n"
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
     .def_note = "1000; that of --workers with --group and --exec, so that nothing waits behind a "
                 "slow command",
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
    {.name = "workers",
     .kind = CLI_INT,
     .arg = "N",
     .def = "1",
     .min = 1,
     .max = 256,
     .help = "with --exec: run so many commands at a time, those for requests of one key one after "
             "the other"},
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
            reply_fail(run, cli_fail(run->pattern, event->error));
        } else {
            reply_fail(run, cli_fail_connect(&run->setup, event->error));
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

/* ---- waiting -------------------------------------------------------------------------------- */

static void wait(const reply_run *run)
{
    /* While no command more may run, or be begun, what the client has can wait for one to end. */
    bool full = run->jobs != NULL && (cli_jobs_full(run->jobs) ||
                                      (run->taken >= run->limit && cli_jobs_open(run->jobs) > 0));
    struct pollfd fds[3] = {
        {.fd = cli_signals_fd(), .events = POLLIN},
        {.fd = full ? -1 : pubsub_client_fd(run->client), .events = POLLIN},
        {.fd = run->jobs != NULL ? cli_jobs_fd(run->jobs) : -1, .events = POLLIN}};
    uint64_t now = pubsub__clock_mono_ns();
    int ms = -1;

    if (run->end_ns != UINT64_MAX) {
        uint64_t left = run->end_ns > now ? (run->end_ns - now + 999999) / 1000000 : 0;

        ms = left > INT_MAX ? INT_MAX : (int)left;
    }
    (void)poll(fds, 3, ms);
}

static bool take(reply_run *run)
{
    pubsub_message *request = NULL;

    if (run->taken >= run->limit || (run->jobs != NULL && cli_jobs_full(run->jobs)) ||
        pubsub_subscription_next(run->handle, 0, &request, NULL) != PUBSUB_OK) {
        return false;
    }
    reply_serve(run, request);
    return true;
}

static void loop(reply_run *run)
{
    while (!run->over && cli_signals_got() == 0 && !run->events.closed) {
        bool some = pubsub_client_poll(run->client, 0, NULL) > 0;

        some = reply_jobs(run, false) || some;
        if (run->over || take(run) || some) {
            continue;
        }
        if ((run->taken >= run->limit && run->open == 0 && cli_jobs_open(run->jobs) == 0) ||
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
    if (cli_given_any(run->args, "workers") && run->exec == NULL) {
        return cli_usage("--workers needs --exec COMMAND: it is how many of them run at a time");
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
    int64_t number = 1;
    char workers[32];
    int code = CLI_EXIT_OK;

    if (run->exec != NULL) {
        (void)pubsub_options_int(run->setup.client, "workers", &number);
        number = cli_int(run->args, "workers", number);
    }
    run->workers = (size_t)number;
    (void)snprintf(workers, sizeof(workers), "%zu", run->workers);

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
        code = cli_setup_option(run->options, "prefetch", workers);
    }
    if (code == CLI_EXIT_OK) {
        code = cli_setup_option(run->options, "workers", workers);
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
    if (run->workers > 1) {
        run->jobs = cli_jobs_new(run->workers, run->exec, run->setup.scheme, REPLY_MAX);
        if (run->jobs == NULL) {
            cli_error("cannot run %zu commands: %s", run->workers, strerror(errno));
            return CLI_EXIT_FAILED;
        }
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
            (void)reply_jobs(&run, true);
            code = finish(&run);
        }
    }
    pubsub_subscription_free(run.handle);
    pubsub_client_free(run.client);
    pubsub_options_free(run.options);
    cli_jobs_free(run.jobs);
    cli_body_fini(&run.body);
    pubsub__buf_fini(&run.text);
    cli_setup_fini(&run.setup);
    return code;
}
