/* SPDX-License-Identifier: MIT */
#include "sub.h"

#include "base/when.h"
#include "exit.h"
#include "say.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* How many commands run at a time: only then is the order of keys a question. */
static int set_workers(sub_run *run)
{
    char text[32];
    int64_t workers = 1;

    if (run->exec != NULL && run->ack != SUB_ACK_NONE) {
        (void)pubsub_options_int(run->setup.client, "workers", &workers);
        workers = cli_int(run->args, "workers", workers);
    }
    run->workers = (size_t)workers;
    (void)snprintf(text, sizeof(text), "%" PRId64, workers);
    return cli_setup_option(run->options, "workers", text);
}

/* Flags that are options of a subscription. */
static const struct {
    const char *flag;
    const char *option;
} text_flags[] = {
    {"group", "group"},
    {"durable", "durable"},
    {"from", "from"},
    {"qos", "qos"},
    {"prefetch", "prefetch"},
    {"max-attempts", "max_attempts"},
    {"nack-delay", "nack_delay"},
    {"dead-letter", "dead_letter"},
};

static int set_from(sub_run *run)
{
    int64_t since = cli_int(run->args, "since", -1);
    char text[32];

    if (since >= 0 && cli_given_any(run->args, "from")) {
        return cli_usage("--since and --from both say where to begin: give one");
    }
    if (since >= 0) {
        (void)snprintf(text, sizeof(text), "-%" PRId64 "ms", since);
        return cli_setup_option(run->options, "from", text);
    }
    if (cli_flag(run->args, "only-retained") && !cli_given_any(run->args, "from")) {
        return cli_setup_option(run->options, "from", "last");
    }
    return CLI_EXIT_OK;
}

static int set_options(sub_run *run)
{
    int code = set_from(run);

    for (size_t i = 0; i < sizeof(text_flags) / sizeof(text_flags[0]) && code == CLI_EXIT_OK; i++) {
        /* Unset flags leave -X and the configuration file their say. */
        if (cli_given_any(run->args, text_flags[i].flag)) {
            code = cli_setup_option(run->options, text_flags[i].option,
                                    cli_text(run->args, text_flags[i].flag));
        }
    }
    if (code == CLI_EXIT_OK && cli_flag(run->args, "reset")) {
        code = cli_setup_option(run->options, "reset", "yes");
    }
    if (code == CLI_EXIT_OK && cli_flag(run->args, "order-key")) {
        code = cli_setup_option(run->options, "order", "key");
    }
    return code;
}

static int read_topics(sub_run *run)
{
    size_t flags = cli_count(run->args, "topic");

    run->topic_count = flags + run->args->word_count;
    if (run->topic_count == 0) {
        return cli_usage("no topic: pubsub sub PATTERN..., for example pubsub sub 'a/#'");
    }
    run->topics = pubsub__calloc(run->topic_count, sizeof(*run->topics));
    if (run->topics == NULL) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    for (size_t i = 0; i < run->topic_count; i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        const char *pattern =
            i < flags ? cli_at(run->args, "topic", i) : run->args->words[i - flags];

        run->topics[i].pattern = pattern;
        if (pubsub_pattern_check(pattern, strlen(pattern), &err) != PUBSUB_OK) {
            return cli_fail("wrong topic", &err);
        }
    }
    return CLI_EXIT_OK;
}

static int read_selection(sub_run *run)
{
    const char *sample = cli_text(run->args, "sample");
    const char *pattern;
    char *end = NULL;

    run->only_retained = cli_flag(run->args, "only-retained");
    run->no_retained = cli_flag(run->args, "no-retained");
    if (run->only_retained && run->no_retained) {
        return cli_usage("--only-retained and --no-retained leave nothing: give one");
    }
    for (size_t i = 0; (pattern = cli_at(run->args, "exclude", i)) != NULL; i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;

        if (pubsub_pattern_check(pattern, strlen(pattern), &err) != PUBSUB_OK) {
            return cli_fail("wrong --exclude", &err);
        }
    }
    run->sample = 1;
    if (sample != NULL) {
        run->sample = strtod(sample, &end) / 100;
        if (end == sample || (*end != '\0' && strcmp(end, "%") != 0) || !(run->sample > 0) ||
            run->sample > 1) {
            return cli_usage("--sample %s: write a percentage above 0, at most 100", sample);
        }
    }
    return CLI_EXIT_OK;
}

static int read_ends(sub_run *run)
{
    const char *until = cli_text(run->args, "until");
    int64_t wait = cli_int(run->args, "wait", -1);

    run->limit =
        cli_given_any(run->args, "count") ? (uint64_t)cli_int(run->args, "count", 1) : UINT64_MAX;
    run->idle_ms = cli_int(run->args, "idle", -1);
    run->at_end = cli_flag(run->args, "exit-at-end");
    run->within_ms = cli_int(run->args, "within", 10000);
    run->started_ns = pubsub__clock_wall_ns();
    run->within_ns = UINT64_MAX;
    run->end_ns = wait < 0 ? UINT64_MAX : pubsub__clock_mono_ns() + (uint64_t)wait * 1000000;
    if (until != NULL && !pubsub__when_parse(until, run->started_ns, &run->until_ns)) {
        return cli_usage("--until %s: write a time such as 2026-02-14T08:00:00Z, @1771056000, -5m "
                         "or +5m",
                         until);
    }
    return CLI_EXIT_OK;
}

static int read_output(sub_run *run)
{
    run->exec = cli_text(run->args, "exec");
    run->dump = cli_text(run->args, "dump");
    run->ack = (sub_ack)cli_int(run->args, "ack", run->exec != NULL ? SUB_ACK_EXEC : SUB_ACK_AUTO);
    if (run->exec != NULL && run->dump != NULL) {
        return cli_usage("--exec and --dump both take the bodies: give one");
    }
    if (cli_given_any(run->args, "workers") && run->exec == NULL) {
        return cli_usage("--workers needs --exec COMMAND: it is how many of them run at a time");
    }
    if (cli_int(run->args, "workers", 1) > 1 && run->ack == SUB_ACK_NONE) {
        return cli_usage("--workers and --ack none: the next message of a key would wait for ever");
    }
    if (run->ack == SUB_ACK_EXEC && run->exec == NULL) {
        return cli_usage("--ack exec needs --exec COMMAND");
    }
    if (run->dump != NULL && mkdir(run->dump, 0777) != 0 && errno != EEXIST) {
        return cli_usage("--dump %s: %s", run->dump, strerror(errno));
    }
    return cli_printer_init(&run->printer, run->args, run->setup.scheme);
}

/* What of a message has to be looked up. */
static unsigned needs_of(const sub_run *run)
{
    unsigned needs = run->printer.needs;

    if (run->exec != NULL) {
        needs |= CLI_NEEDS_ALL;
    }
    if (run->at_end || run->until_ns != 0 || run->only_retained || run->no_retained) {
        needs |= CLI_NEEDS_META;
    }
    return needs;
}

int sub_plan(sub_run *run, bool *done)
{
    int code = cli_setup_init(&run->setup, run->args, NULL, done);

    if (code != CLI_EXIT_OK || *done) {
        return code;
    }
    code = read_topics(run);
    if (code == CLI_EXIT_OK) {
        code = read_selection(run);
    }
    if (code == CLI_EXIT_OK) {
        code = read_ends(run);
    }
    if (code == CLI_EXIT_OK) {
        code = read_output(run);
    }
    if (code == CLI_EXIT_OK) {
        code = cli_expect_init(&run->expect, run->args);
    }
    if (code == CLI_EXIT_OK &&
        pubsub_options_copy(&run->options, run->setup.subscribe) != PUBSUB_OK) {
        cli_error("out of memory");
        code = CLI_EXIT_FAILED;
    }
    if (code == CLI_EXIT_OK) {
        code = set_options(run);
    }
    if (code == CLI_EXIT_OK) {
        code = set_workers(run);
    }
    run->needs = needs_of(run);
    return code;
}
