/* SPDX-License-Identifier: MIT */
#include "client_setup.h"
#include "cmd.h"
#include "message_flags.h"
#include "output.h"
#include "pub_source.h"
#include "say.h"
#include "sender.h"
#include "signals.h"
#include "template.h"

#include "base/clock.h"
#include "base/rand.h"
#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PUB_BATCH 256

typedef struct pub_run {
    const cli_args *args;
    cli_setup setup;
    cli_sender sender;
    pub_source source;
    cli_output tee;
    pubsub_publication base;
    pubsub_header headers[PUBSUB_HEADERS_MAX];
    pubsub_publication batch[PUB_BATCH];
    pubsub__buf expanded[3]; /* topic, key, body of --template */
    uint64_t sent;
    uint64_t limit; /* messages, UINT64_MAX = as many as there are */
    uint64_t start_ns;
    uint64_t end_ns;  /* --duration; UINT64_MAX = none */
    double period_ns; /* from one message to the next; 0 = as fast as possible */
    size_t batch_max;
    bool repeat; /* begin again when the source is at its end */
    bool tee_on;
    bool template_on;
} pub_run;

/* ---- what the flags say -------------------------------------------------------------------- */

static int read_headers(pub_run *run)
{
    if (cli_count(run->args, "header") > 0 && cli_flag(run->args, "jsonl")) {
        return cli_usage("-H cannot be added to --jsonl: the lines bring their headers");
    }
    run->base.headers = run->headers;
    return cli_headers_read(run->args, run->headers, &run->base.header_count);
}

/* "100", "100/s", "6000/m", "1.5/h". */
static int read_rate(pub_run *run, const char *text)
{
    char *end = NULL;
    double rate = strtod(text, &end);
    double seconds = 1;

    if (strcmp(end, "/m") == 0) {
        seconds = 60;
    } else if (strcmp(end, "/h") == 0) {
        seconds = 3600;
    } else if (*end != '\0' && strcmp(end, "/s") != 0) {
        rate = 0;
    }
    if (end == text || !(rate > 0) || rate > 1e9) {
        return cli_usage("--rate %s: write a number above 0 and /s, /m or /h", text);
    }
    run->period_ns = seconds * 1e9 / rate;
    return CLI_EXIT_OK;
}

static int read_pace(pub_run *run)
{
    const char *rate = cli_text(run->args, "rate");
    int64_t interval = cli_int(run->args, "interval", -1);
    int64_t duration = cli_int(run->args, "duration", -1);

    if (rate != NULL && interval >= 0) {
        return cli_usage("--rate and --interval say the same thing: give one");
    }
    if (rate != NULL && read_rate(run, rate) != CLI_EXIT_OK) {
        return CLI_EXIT_USAGE;
    }
    if (interval > 0) {
        run->period_ns = (double)interval * 1e6;
    }
    run->end_ns = UINT64_MAX;
    if (duration > 0) {
        run->end_ns = (uint64_t)duration * 1000000; /* from the start, which is added later */
    }
    run->limit = UINT64_MAX;
    if (cli_given_any(run->args, "count")) {
        run->limit = (uint64_t)cli_int(run->args, "count", 1);
    }
    run->repeat = cli_given_any(run->args, "count") || duration > 0;
    return CLI_EXIT_OK;
}

/* What -X and the configuration file say for publishes, then the flags. */
static void read_publish(pub_run *run, bool confirm)
{
    const pubsub_options *set = run->setup.publish;
    int64_t number;
    bool on;

    if (pubsub_options_int(set, "qos", &number) == PUBSUB_OK) {
        run->base.qos = (pubsub_qos)number;
    }
    if (pubsub_options_int(set, "expiry", &number) == PUBSUB_OK) {
        run->base.expiry = number;
    }
    if (pubsub_options_bool(set, "retain", &on) == PUBSUB_OK && on) {
        run->base.flags |= PUBSUB_PUBLISH_RETAIN;
    }
    if (cli_flag(run->args, "retain")) {
        run->base.flags |= PUBSUB_PUBLISH_RETAIN;
    }
    run->base.expiry = cli_int(run->args, "expiry", run->base.expiry);
    if (!confirm) {
        run->base.qos = PUBSUB_AT_MOST_ONCE;
        run->base.flags |= PUBSUB_PUBLISH_NO_REPORT;
    }
    run->base.qos = (pubsub_qos)cli_int(run->args, "qos", run->base.qos);
}

/* -n is a tombstone where the broker has that idea, an empty body elsewhere. */
static void read_null(pub_run *run)
{
    pubsub_caps caps = {.size = sizeof(caps)};

    if (cli_flag(run->args, "null") &&
        pubsub_caps_offline(run->setup.url, run->setup.client, &caps, NULL) == PUBSUB_OK &&
        caps.features[PUBSUB_FEATURE_TOMBSTONE].support != PUBSUB_REFUSED) {
        run->base.flags |= PUBSUB_PUBLISH_TOMBSTONE;
    }
}

static void read_texts(pub_run *run)
{
    run->base.key = pubsub_bytes_of(cli_text(run->args, "key"));
    run->base.content_type = pubsub_bytes_of(cli_text(run->args, "content-type"));
    run->base.reply_to = pubsub_bytes_of(cli_text(run->args, "reply-to"));
    run->base.correlation = pubsub_bytes_of(cli_text(run->args, "correlation"));
}

/* TOPIC and BODY from words and -t. */
static int read_words(pub_run *run, const char **topic, const char **body)
{
    const cli_args *args = run->args;
    size_t used = 0;

    *topic = cli_text(args, "topic");
    if (*topic == NULL && used < args->word_count) {
        *topic = args->words[used++];
    }
    *body = used < args->word_count ? args->words[used++] : NULL;
    if (used < args->word_count) {
        return cli_usage("too many words, from '%s' on: quote a body that has blanks",
                         args->words[used]);
    }
    if (*topic == NULL && !cli_flag(args, "jsonl") && !cli_given_any(args, "topic-delim")) {
        return cli_usage("no topic: pubsub pub TOPIC BODY");
    }
    return CLI_EXIT_OK;
}

static int read_topic(pub_run *run, const char *topic)
{
    pubsub_error err = PUBSUB_ERROR_INIT;

    if (topic == NULL) {
        return CLI_EXIT_OK;
    }
    run->base.topic = pubsub_bytes_of(topic);
    if (!run->template_on && pubsub_topic_check(topic, strlen(topic), &err) != PUBSUB_OK) {
        return cli_fail("wrong topic", &err);
    }
    return CLI_EXIT_OK;
}

/* ---- sending ------------------------------------------------------------------------------- */

static bool expand(pub_run *run, pubsub_publication *slot)
{
    pubsub_bytes *parts[] = {&slot->topic, &slot->key, &slot->payload};
    char id[21];

    pubsub__rand_name(id, sizeof(id) - 1);
    for (int i = 0; i < 3; i++) {
        pubsub__buf_reset(&run->expanded[i]);
        if (parts[i]->len == 0) {
            continue;
        }
        if (!cli_template_add(&run->expanded[i], *parts[i], run->sent + 1, pubsub__clock_wall_ns(),
                              id)) {
            return false;
        }
        *parts[i] = (pubsub_bytes){run->expanded[i].data, run->expanded[i].len};
    }
    return true;
}

static bool tee(pub_run *run, size_t count)
{
    for (size_t i = 0; i < count && run->tee_on; i++) {
        pubsub_bytes body = run->batch[i].payload;

        if ((body.len > 0 &&
             pubsub__buf_add(&run->tee.buf, body.data, body.len) != PUBSUB__BUF_OK) ||
            pubsub__buf_add_byte(&run->tee.buf, '\n') != PUBSUB__BUF_OK) {
            return false;
        }
        if (cli_output_is_due(&run->tee, pubsub__clock_mono_ns()) && !cli_output_flush(&run->tee)) {
            return false;
        }
    }
    return true;
}

/* A closed stdout ends only the copying; a full one is an error. */
static bool tee_failed(pub_run *run)
{
    if (cli_output_is_closed(&run->tee)) {
        run->tee_on = false;
        return false;
    }
    cli_error("cannot write to stdout: %s",
              strerror(run->tee.error != 0 ? run->tee.error : ENOMEM));
    run->sender.code = CLI_EXIT_FAILED;
    return true;
}

static bool send_batch(pub_run *run, size_t count)
{
    if (run->template_on && !expand(run, &run->batch[0])) {
        cli_error("out of memory");
        run->sender.code = CLI_EXIT_FAILED;
        return false;
    }
    if (!cli_sender_send(&run->sender, run->batch, count, run->sent + 1)) {
        return false;
    }
    run->sent += count;
    if (run->tee_on && !tee(run, count) && tee_failed(run)) {
        return false;
    }
    pub_source_release(&run->source);
    if (run->source.kind == PUB_JSONL || run->template_on) {
        for (size_t i = 0; i < count; i++) {
            run->batch[i] = run->base;
        }
    }
    return true;
}

/* How many messages may go now; 0 with the milliseconds to wait. */
static size_t due(const pub_run *run, int64_t *wait_ms)
{
    uint64_t now = pubsub__clock_mono_ns() - run->start_ns;
    uint64_t left = run->limit - run->sent;
    size_t most = left < run->batch_max ? (size_t)left : run->batch_max;
    double allowed;
    double wait;

    *wait_ms = 0;
    if (run->period_ns <= 0) {
        return most;
    }
    allowed = (double)now / run->period_ns + 1 - (double)run->sent;
    if (allowed >= 1) {
        return allowed < (double)most ? (size_t)allowed : most;
    }
    wait = ((double)run->sent * run->period_ns - (double)now) / 1e6;
    *wait_ms = (int64_t)wait + 1;
    if (run->end_ns != UINT64_MAX &&
        now<run->end_ns && * wait_ms>(int64_t)((run->end_ns - now) / 1000000) + 1) {
        *wait_ms = (int64_t)((run->end_ns - now) / 1000000) + 1;
    }
    return 0;
}

static bool is_over(const pub_run *run)
{
    return cli_signals_got() != 0 || run->sender.events.closed || run->sent >= run->limit ||
           (run->end_ns != UINT64_MAX && pubsub__clock_mono_ns() - run->start_ns >= run->end_ns);
}

/* Wait for input, no longer than --duration allows. False when reading failed. */
static bool wait_for_input(pub_run *run)
{
    int64_t ms = -1;

    if (run->tee_on && !cli_output_flush(&run->tee) && tee_failed(run)) {
        return false;
    }
    if (run->end_ns != UINT64_MAX) {
        uint64_t now = pubsub__clock_mono_ns() - run->start_ns;

        ms = now < run->end_ns ? (int64_t)((run->end_ns - now) / 1000000) + 1 : 0;
    }
    if (cli_sender_wait(&run->sender, pub_source_fd(&run->source), ms) &&
        !pub_source_fill(&run->source)) {
        run->sender.code = CLI_EXIT_FAILED;
        return false;
    }
    return true;
}

/* Gather and send one batch. False when there is no more. */
static bool step(pub_run *run)
{
    pub_source_result result = PUB_SOURCE_RECORD;
    int64_t wait_ms;
    size_t most = due(run, &wait_ms);
    size_t count = 0;
    int code = CLI_EXIT_OK;

    if (most == 0) {
        if (run->tee_on && !cli_output_flush(&run->tee) && tee_failed(run)) {
            return false;
        }
        (void)cli_sender_wait(&run->sender, -1, wait_ms);
        return true;
    }
    while (count < most && result == PUB_SOURCE_RECORD) {
        result = pub_source_next(&run->source, &run->base, &run->batch[count], &code);
        count += result == PUB_SOURCE_RECORD;
    }
    if (count > 0 && !send_batch(run, count)) {
        return false;
    }
    switch (result) {
    case PUB_SOURCE_RECORD:
        return true;
    case PUB_SOURCE_WAIT:
        return wait_for_input(run);
    case PUB_SOURCE_END:
        return run->repeat && run->sent > 0 && pub_source_rewind(&run->source);
    default:
        run->sender.code = code;
        return false;
    }
}

/* Whether everything asked for was sent before a signal came. */
static int finish(pub_run *run)
{
    bool cut = cli_signals_got() != 0;
    int code;

    code = cli_sender_finish(&run->sender);
    if (run->tee_on && !cli_output_flush(&run->tee) && tee_failed(run) && code == CLI_EXIT_OK) {
        code = CLI_EXIT_FAILED;
    }
    if (code == CLI_EXIT_OK && cli_say_verbosity() > 0) {
        cli_verbose("%" PRIu64 " messages published%s", run->sent,
                    run->sender.confirm ? " and confirmed" : "");
    }
    return cut && code == CLI_EXIT_OK ? cli_signals_exit(code) : code;
}

static int prepare(pub_run *run, bool *done)
{
    static const pubsub_publication empty = PUBSUB_PUBLICATION_INIT;
    bool confirm = cli_flag(run->args, "confirm");
    const char *topic;
    const char *body;
    int code;

    run->base = empty;
    run->template_on = cli_flag(run->args, "template");
    run->tee_on = cli_flag(run->args, "tee");
    code = cli_setup_init(&run->setup, run->args, NULL, done);
    if (code != CLI_EXIT_OK || *done) {
        return code;
    }
    code = read_words(run, &topic, &body);
    if (code == CLI_EXIT_OK) {
        code = read_topic(run, topic);
    }
    if (code == CLI_EXIT_OK) {
        code = read_headers(run);
    }
    if (code == CLI_EXIT_OK) {
        code = read_pace(run);
    }
    if (code == CLI_EXIT_OK) {
        read_publish(run, confirm);
        read_null(run);
        read_texts(run);
        code = pub_source_init(&run->source, run->args, body, topic != NULL);
    }
    if (code == CLI_EXIT_OK) {
        code = cli_sender_init(&run->sender, &run->setup, confirm);
    }
    return code;
}

static int publish_all(pub_run *run)
{
    run->batch_max = run->template_on || pub_source_is_single(&run->source) ? 1 : PUB_BATCH;
    for (size_t i = 0; i < run->batch_max; i++) {
        run->batch[i] = run->base;
    }
    run->start_ns = pubsub__clock_mono_ns();
    while (!is_over(run) && step(run)) {
    }
    return finish(run);
}

int cmd_pub(const cli_args *args)
{
    /* Too big for the stack of a program that may run in a small container. */
    static pub_run run;
    bool done = false;
    int code;

    run.args = args;
    cli_output_init(&run.tee, STDOUT_FILENO);
    for (int i = 0; i < 3; i++) {
        pubsub__buf_init(&run.expanded[i], SIZE_MAX / 4);
    }
    code = prepare(&run, &done);
    if (code == CLI_EXIT_OK && !done) {
        code = publish_all(&run);
    }
    cli_sender_fini(&run.sender);
    pub_source_fini(&run.source);
    cli_output_fini(&run.tee);
    for (int i = 0; i < 3; i++) {
        pubsub__buf_fini(&run.expanded[i]);
    }
    cli_setup_fini(&run.setup);
    return code;
}
