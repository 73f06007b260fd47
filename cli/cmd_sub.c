/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "say.h"
#include "signals.h"
#include "sub.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* ---- taking messages ----------------------------------------------------------------------- */

/* A batch of one topic. Returns how many were taken. */
static size_t take_from(sub_run *run, sub_topic *topic)
{
    pubsub_message *batch[SUB_BATCH];
    uint64_t left = run->limit - run->taken;
    size_t capacity = left < SUB_BATCH ? (size_t)left : SUB_BATCH;
    size_t count = 0;

    if (run->exec != NULL) {
        capacity = 1; /* a signal ends between two commands, and nothing else is held back */
    }
    if (run->jobs != NULL && cli_jobs_full(run->jobs)) {
        return 0;
    }
    if (topic->refused || capacity == 0 ||
        pubsub_subscription_next_batch(topic->handle, 0, batch, capacity, &count, NULL) !=
            PUBSUB_OK) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        sub_message(run, batch[i]);
    }
    return count;
}

/* One batch of each topic in turn. Returns how many messages were taken. */
static size_t take(sub_run *run)
{
    size_t count = 0;

    for (size_t i = 0; i < run->topic_count && !run->over; i++) {
        size_t at =
            run->turn + i < run->topic_count ? run->turn + i : run->turn + i - run->topic_count;

        count += take_from(run, &run->topics[at]);
        if (cli_output_is_due(&run->out, pubsub__clock_mono_ns()) && !sub_flush(run)) {
            break;
        }
    }
    run->turn = run->turn + 1 < run->topic_count ? run->turn + 1 : 0;
    if (count > 0) {
        run->active_ns = pubsub__clock_mono_ns();
    }
    return count;
}

/* ---- waiting ------------------------------------------------------------------------------- */

static bool is_subscribed(const sub_run *run)
{
    return run->subscribed > 0 && run->subscribed + run->refused == run->topic_count;
}

static uint64_t after_ms(uint64_t since_ns, int64_t ms)
{
    return since_ns + (uint64_t)ms * 1000000;
}

/* Whether silence means that everything stored has been read. */
static bool ends_in_silence(const sub_run *run)
{
    return run->at_end || run->only_retained ||
           (run->until_ns != 0 && pubsub__clock_wall_ns() >= run->until_ns);
}

/* When to look again at the latest, monotonic. */
static uint64_t next_deadline(const sub_run *run)
{
    uint64_t at = run->end_ns;

    if (is_subscribed(run)) {
        uint64_t others[4] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};

        if (run->idle_ms >= 0) {
            others[0] = after_ms(run->active_ns, run->idle_ms);
        }
        if (ends_in_silence(run)) {
            others[1] = after_ms(run->active_ns, SUB_END_MS);
        }
        if (run->expect.on) {
            others[2] = run->within_ns;
        }
        if (run->until_ns != 0 && !ends_in_silence(run)) {
            others[3] = pubsub__clock_mono_ns() + (run->until_ns - pubsub__clock_wall_ns());
        }
        for (int i = 0; i < 4; i++) {
            at = others[i] < at ? others[i] : at;
        }
    }
    return at;
}

/* Time-outs, and what they mean for the exit code. */
static void check_time(sub_run *run)
{
    uint64_t now = pubsub__clock_mono_ns();

    if (now >= run->end_ns) {
        run->over = true;
    }
    if (!is_subscribed(run)) {
        return;
    }
    if (cli_jobs_open(run->jobs) > 0) {
        run->active_ns = now; /* a command that runs is no silence */
    }
    if (run->expect.on && now >= run->within_ns) {
        run->over = true;
    }
    if ((run->idle_ms >= 0 && now >= after_ms(run->active_ns, run->idle_ms)) ||
        (ends_in_silence(run) && now >= after_ms(run->active_ns, SUB_END_MS))) {
        run->over = true;
    }
}

/* With --idle a check goes on until it is silent, to find what is too much; and that nothing comes
 * can only be known in the end. */
static bool is_check_done(const sub_run *run)
{
    return run->expect.on && cli_expect_is_met(&run->expect) && run->idle_ms < 0 &&
           run->expect.count > 0;
}

/* Wait for something to do. */
static void wait(sub_run *run)
{
    uint64_t deadline = next_deadline(run);
    uint64_t now = pubsub__clock_mono_ns();
    int ms = -1;
    /* A reader that went away shows as an error of a descriptor nobody waits to write to. */
    bool full = run->jobs != NULL && cli_jobs_full(run->jobs);
    struct pollfd fds[4] = {
        {.fd = cli_signals_fd(), .events = POLLIN},
        {.fd = full ? -1 : pubsub_client_fd(run->client), .events = POLLIN},
        {.fd = STDOUT_FILENO, .events = 0},
        {.fd = run->jobs != NULL ? cli_jobs_fd(run->jobs) : -1, .events = POLLIN}};

    if (deadline != UINT64_MAX) {
        uint64_t left = deadline > now ? (deadline - now + 999999) / 1000000 : 0;

        ms = left > INT_MAX ? INT_MAX : (int)left;
    }
    if (poll(fds, 4, ms) > 0 && (fds[2].revents & POLLERR) != 0 && run->exec == NULL &&
        run->dump == NULL) {
        run->over = true;
    }
}

static void loop(sub_run *run)
{
    while (!run->over) {
        int events = pubsub_client_poll(run->client, 0, NULL);

        sub_jobs(run, false);
        if (cli_signals_got() != 0 || run->events.closed) {
            break;
        }
        if (run->over || take(run) > 0 || events > 0) {
            run->over = run->over || is_check_done(run);
            continue;
        }
        /* Nothing more is ready. */
        if (!sub_flush(run) || (check_time(run), run->over)) {
            break;
        }
        wait(run);
    }
}

/* ---- from begin to end --------------------------------------------------------------------- */

/* A group or a durable name has one set of patterns: several topics are one subscription then. */
static int start_set(sub_run *run)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char **patterns = pubsub__calloc(run->topic_count, sizeof(*patterns));

    if (patterns == NULL) {
        cli_error("no memory");
        return CLI_EXIT_FAILED;
    }
    for (size_t i = 0; i < run->topic_count; i++) {
        patterns[i] = run->topics[i].pattern;
    }
    pubsub_err rc =
        pubsub_client_subscribe_set(run->client, patterns, run->topic_count, run->options, NULL,
                                    NULL, &run->topics[0].handle, &err);
    pubsub__free(patterns);
    run->topic_count = 1;
    return rc == PUBSUB_OK ? CLI_EXIT_OK : cli_fail(run->topics[0].pattern, &err);
}

static int start(sub_run *run)
{
    int code = cli_setup_client(&run->setup, &run->client);

    if (code != CLI_EXIT_OK) {
        return code;
    }
    if (run->workers > 1) {
        run->jobs = cli_jobs_new(run->workers, run->exec, run->setup.scheme, SUB_OUTPUT_MAX);
        if (run->jobs == NULL) {
            cli_error("cannot run %zu commands: %s", run->workers, strerror(errno));
            return CLI_EXIT_FAILED;
        }
    }
    if (pubsub_client_on_event(run->client, sub_on_event, run) != PUBSUB_OK) {
        cli_error("cannot set up the client");
        return CLI_EXIT_FAILED;
    }
    if (run->topic_count > 1 && run->options != NULL &&
        (pubsub_options_is_set(run->options, "group") ||
         pubsub_options_is_set(run->options, "durable"))) {
        return start_set(run);
    }
    for (size_t i = 0; i < run->topic_count; i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        sub_topic *topic = &run->topics[i];

        if (pubsub_client_subscribe(run->client, topic->pattern, run->options, NULL, NULL,
                                    &topic->handle, &err) != PUBSUB_OK) {
            return cli_fail(topic->pattern, &err);
        }
    }
    return CLI_EXIT_OK;
}

/* What the number of messages says. */
static int judge(const sub_run *run)
{
    if (run->expect.on && !cli_expect_is_met(&run->expect)) {
        cli_error("%" PRIu64 " of %" PRIu64 " messages arrived", run->expect.arrived,
                  run->expect.count);
        return cli_signals_exit(CLI_EXIT_VERIFY);
    }
    if (run->limit != UINT64_MAX && run->taken < run->limit) {
        if (cli_output_is_closed(&run->out)) {
            return CLI_EXIT_OK;
        }
        if (cli_signals_got() == 0) {
            cli_error("%" PRIu64 " of %" PRIu64 " messages arrived", run->taken, run->limit);
        }
        return cli_signals_exit(CLI_EXIT_TIMEOUT);
    }
    if (cli_given_any(run->args, "wait") && run->end_ns > pubsub__clock_mono_ns() &&
        cli_signals_got() != 0) {
        return cli_signals_exit(CLI_EXIT_OK); /* before the duration asked for */
    }
    return CLI_EXIT_OK;
}

static int finish(sub_run *run)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool flushed = sub_flush(run);
    int64_t timeout = run->setup.timeout_ms;

    if (run->events.closed && !run->events.connected) {
        return run->code != CLI_EXIT_OK ? run->code
                                        : cli_fail_connect(&run->setup, &run->events.last);
    }
    if (run->events.closed && run->code == CLI_EXIT_OK) {
        cli_error("%s: the connection is lost: %s", run->setup.shown,
                  pubsub_error_text(&run->events.last));
        run->code = CLI_EXIT_CONNECT;
    }
    if (pubsub_client_end(run->client, timeout, &err) != PUBSUB_OK && run->code == CLI_EXIT_OK) {
        run->code = cli_fail("at the end", &err);
    }
    if (run->code != CLI_EXIT_OK) {
        return run->code;
    }
    if (!flushed && cli_output_is_closed(&run->out) && !run->expect.on) {
        return CLI_EXIT_OK;
    }
    return judge(run);
}

int cmd_sub(const cli_args *args)
{
    sub_run run;
    bool done = false;
    int code;

    memset(&run, 0, sizeof(run));
    run.args = args;
    cli_output_init(&run.out, STDOUT_FILENO);
    code = sub_plan(&run, &done);
    run.events.setup = &run.setup;
    if (code == CLI_EXIT_OK && !done) {
        code = start(&run);
        if (code == CLI_EXIT_OK) {
            loop(&run);
            sub_jobs(&run, true);
            code = finish(&run);
        }
    }
    for (size_t i = 0; i < run.topic_count && run.topics != NULL; i++) {
        pubsub_subscription_free(run.topics[i].handle);
    }
    pubsub_client_free(run.client);
    cli_jobs_free(run.jobs);
    cli_output_fini(&run.out);
    cli_printer_fini(&run.printer);
    cli_expect_fini(&run.expect);
    pubsub_options_free(run.options);
    pubsub__free(run.topics);
    pubsub__free(run.pending);
    cli_setup_fini(&run.setup);
    return code;
}
