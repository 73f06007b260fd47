/* SPDX-License-Identifier: MIT */
#include "bench.h"
#include "client_setup.h"
#include "cmd.h"
#include "say.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

const char *const cli_bench_synopsis = "[pub|latency|e2e|e2e-latency|all] [TOPIC]";

const char *const cli_bench_description =
    "Measures four figures, always in this order: publish throughput (messages confirmed per "
    "second), publish latency (from the time a message was due to its confirmation), end-to-end "
    "throughput and end-to-end latency (from the time it was due to its handler).\n\n"
    "Throughput is measured with as many messages in flight as --inflight allows. Latency is "
    "measured at a fixed rate by a schedule that never waits for answers: a message that is sent "
    "late because the system stalled counts from the time it was due.\n\n"
    "Every message carries a sequence number and a checksum; what was lost, came twice, out of "
    "order or damaged is counted in every run. Exit code 8 means that confirmed messages were "
    "lost or damaged, 9 that the rate was not held, so that the latency is not valid.\n\n"
    "The word local: alone, also as the default broker, measures a bus of its own that is removed "
    "afterwards, so that nobody's messages are pushed out; local:NAME measures that bus.";

const cli_option cli_bench_options[] = {
    {.name = "rate",
     .letter = 'r',
     .kind = CLI_INT,
     .arg = "N",
     .def = "5000",
     .min = 1,
     .max = 1000000000,
     .heading = "Load",
     .help = "messages per second of the latency figures, all publishers together"},
    {.name = "duration",
     .letter = 'z',
     .kind = CLI_DURATION,
     .arg = "D",
     .def = "2s",
     .min = 1,
     .max = 86400000,
     .help = "how long each figure is measured"},
    {.name = "count",
     .letter = 'c',
     .kind = CLI_INT,
     .arg = "N",
     .min = 1,
     .max = INT64_C(1) << 34,
     .help = "measure N messages per figure instead of --duration"},
    {.name = "warmup",
     .kind = CLI_DURATION,
     .arg = "D",
     .def = "300ms",
     .min = 0,
     .max = 3600000,
     .help = "load before each measurement; accounted for, not timed"},
    {.name = "size",
     .letter = 's',
     .kind = CLI_SIZE,
     .arg = "B",
     .def = "256",
     .min = 32,
     .max = 64 * 1024 * 1024,
     .help = "payload bytes, at least 32"},
    {.name = "inflight",
     .kind = CLI_INT,
     .arg = "N",
     .def = "1000",
     .min = 1,
     .max = 1000000,
     .help = "unconfirmed messages of one publisher in the throughput figures"},
    {.name = "backlog",
     .kind = CLI_INT,
     .arg = "N",
     .def = "10000",
     .min = 1,
     .max = 1000000000,
     .help =
         "messages a publisher may be ahead of the slowest subscriber in end-to-end throughput"},
    {.name = "batch",
     .kind = CLI_INT,
     .arg = "N",
     .def = "256",
     .min = 1,
     .max = BENCH_BATCH_MAX,
     .help = "messages in one call at most"},
    {.name = "producers",
     .letter = 'x',
     .kind = CLI_INT,
     .arg = "N",
     .def = "1",
     .min = 1,
     .max = BENCH_ROLES_MAX,
     .help = "publishers, a process each"},
    {.name = "consumers",
     .letter = 'y',
     .kind = CLI_INT,
     .arg = "N",
     .def = "1",
     .min = 1,
     .max = BENCH_ROLES_MAX,
     .help = "subscribers, a process each; every one gets every message"},
    {.name = "one-process",
     .help = "publishers and subscribers are threads of one process, a client each"},
    {.name = "qos",
     .letter = 'Q',
     .kind = CLI_CHOICE,
     .arg = "0|1|2",
     .choices = "0|1|2",
     .def_note = "the stronger of 1 and 0 that the broker has",
     .help = "0 at most once, 1 at least once, 2 exactly once"},

    {.name = "runs",
     .kind = CLI_INT,
     .arg = "N",
     .def = "1",
     .min = 1,
     .max = BENCH_RUNS_MAX,
     .heading = "Method",
     .help = "repeat all figures N times in turn and report the median run"},
    {.name = "verify",
     .kind = CLI_CHOICE,
     .arg = "WHAT",
     .choices = "none|seq|full",
     .def = "seq",
     .help = "seq: every sequence number and header; full: every byte of the payload too; none: "
             "count only"},
    {.name = "drain",
     .kind = CLI_DURATION,
     .arg = "D",
     .def = "5s",
     .min = 1,
     .max = 3600000,
     .help = "how long to wait for the rest when nothing arrives any more"},
    {.name = "spin",
     .flags = CLI_NEGATABLE,
     .def_note = "off below 4 cores",
     .help = "wait for the next message's time on the processor, not asleep: more exact, and takes "
             "a core"},
    {.name = "seed",
     .kind = CLI_INT,
     .arg = "N",
     .def = "1",
     .min = 0,
     .help = "for the payloads' bytes"},
    {.name = "drop-for-test",
     .kind = CLI_INT,
     .flags = CLI_HIDDEN,
     .arg = "N",
     .min = 1,
     .help = "do not publish every Nth message, though it counts as confirmed"},

    {.name = "report",
     .kind = CLI_CHOICE,
     .arg = "FORMAT",
     .choices = "text|json",
     .def = "text",
     .heading = "Output",
     .help = "json has every run, the accounting, samples of each second and the environment"},
    {.name = NULL},
};

const cli_example cli_bench_examples[] = {
    {"pubsub bench", "all four figures on this machine, in about ten seconds"},
    {"pubsub bench -b mqtt://localhost e2e-latency -r 1000 -z 30s", "one figure, longer"},
    {"pubsub bench --runs 5 --report json > bench.json", "for keeping"},
    {NULL, NULL},
};

/* Which figures a word asks for; false when it is none of the words. */
static bool choose_figures(bench_config *config, const char *word)
{
    static const char *const words[] = {"pub", "latency", "e2e", "e2e-latency", "all"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(word, words[i]) == 0) {
            for (int f = 0; f < BENCH_FIGURES; f++) {
                config->figures[f] = i == BENCH_FIGURES || f == i;
            }
            config->word = words[i];
            return true;
        }
    }
    return false;
}

static int read_words(bench_config *config, const cli_args *args)
{
    size_t at = 0;
    choose_figures(config, "all");
    if (at < args->word_count && choose_figures(config, args->words[at])) {
        at++;
    }
    if (at < args->word_count) {
        config->topic = args->words[at++];
    }
    if (at < args->word_count) {
        return cli_usage("bench takes one topic, and \"%s\" is one word too many", args->words[at]);
    }
    if (config->topic == NULL) {
        return CLI_EXIT_OK;
    }
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (pubsub_topic_check(config->topic, strlen(config->topic), &error) != PUBSUB_OK) {
        return cli_usage("%s", pubsub_error_text(&error));
    }
    return CLI_EXIT_OK;
}

static int read_numbers(bench_config *config, const cli_args *args)
{
    config->rate = (uint64_t)cli_int(args, "rate", 5000);
    config->duration_ns = (uint64_t)cli_int(args, "duration", 2000) * MS;
    config->warmup_ns = (uint64_t)cli_int(args, "warmup", 300) * MS;
    config->count = (uint64_t)cli_int(args, "count", 0);
    config->size = (uint64_t)cli_int(args, "size", 256);
    config->window = (uint64_t)cli_int(args, "inflight", 1000);
    config->backlog = (uint64_t)cli_int(args, "backlog", 10000);
    config->batch = (uint64_t)cli_int(args, "batch", 256);
    config->publishers = (uint32_t)cli_int(args, "producers", 1);
    config->subscribers = (uint32_t)cli_int(args, "consumers", 1);
    config->runs = (uint32_t)cli_int(args, "runs", 1);
    config->seed = (uint64_t)cli_int(args, "seed", 1);
    config->drain_ms = cli_int(args, "drain", 5000);
    config->drop_every = (uint64_t)cli_int(args, "drop-for-test", 0);
    config->verify = (bench_verify)cli_int(args, "verify", BENCH_VERIFY_SEQ);
    config->qos = (pubsub_qos)cli_int(args, "qos", PUBSUB_QOS_UNSET);
    config->one_process = cli_flag(args, "one-process");
    config->spin =
        cli_given_any(args, "spin") ? cli_flag(args, "spin") : sysconf(_SC_NPROCESSORS_ONLN) >= 4;
    if (config->count != 0 && config->count < config->publishers) {
        return cli_usage("--count is less than one message for each of the producers");
    }
    uint64_t memory = config->batch * config->size;
    if (memory > UINT64_C(256) << 20) {
        return cli_usage("--batch times --size is more than 256 MiB");
    }
    return CLI_EXIT_OK;
}

/* Three of the calls that can stop a run, in the words of the exit codes. */
static int exit_code(const bench_config *config, const bench_result *results, size_t count)
{
    int code = CLI_EXIT_OK;
    for (size_t i = 0; i < count; i++) {
        const bench_result *result = &results[i];
        const char *name = bench_figure_name(result->figure);
        if (result->failed) {
            cli_error("%s: %s", name, pubsub_error_text(&result->error));
            return cli_exit_of(result->error.code);
        }
        if (result->lossy) {
            cli_error("%s: verification failed, confirmed messages were lost or damaged", name);
            code = CLI_EXIT_VERIFY;
        } else if (result->interrupted) {
            code = code == CLI_EXIT_OK ? 128 + result->signal : code;
        } else if (!result->rate_held && code != CLI_EXIT_VERIFY) {
            code = CLI_EXIT_INVALID;
            if (bench_figure_is_open(result->figure)) {
                cli_error("%s: not valid, %.0f of %" PRIu64 " messages per second were sent; try "
                          "a lower --rate",
                          name, result->held_rate, config->rate);
            } else {
                cli_error("%s: not valid, too little was measured", name);
            }
        }
    }
    return code;
}

/* All runs of all figures; returns how many results there are. */
static size_t run_all(const bench_config *config, bench_result *results)
{
    size_t count = 0;
    for (uint32_t run = 0; run < config->runs; run++) {
        for (int f = 0; f < BENCH_FIGURES; f++) {
            if (!config->figures[f]) {
                continue;
            }
            bench_result *result = &results[count++];
            if (!bench_run_figure(config, (bench_figure)f, run, result)) {
                result->failed = true;
            }
            bench_result_finish(config, result);
            if (result->failed || result->interrupted) {
                return count;
            }
        }
    }
    return count;
}

static int measure_and_report(const bench_config *config, const cli_args *args)
{
    size_t most = (size_t)config->runs * BENCH_FIGURES;
    bench_result *results = pubsub__calloc(most, sizeof(results[0]));
    if (results == NULL) {
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    size_t count = run_all(config, results);
    if (strcmp(cli_text(args, "report"), "json") == 0) {
        bench_print_json(config, results, count, args);
    } else {
        bench_print_text(config, results, count);
    }
    int code = exit_code(config, results, count);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        cli_error("cannot write the report");
        code = code == CLI_EXIT_OK ? CLI_EXIT_FAILED : code;
    }
    for (size_t i = 0; i < count; i++) {
        bench_result_fini(&results[i]);
    }
    pubsub__free(results);
    return code;
}

/* `local:` without a path is the bus that everybody uses. */
static bool is_default_bus(const char *url)
{
    return strcmp(url, "local:") == 0 || strncmp(url, "local:?", 7) == 0;
}

int cmd_bench(const cli_args *args)
{
    bench_config config = {.word = "all"};
    cli_setup setup;
    bool over = false;
    char *own_url = NULL;
    char dir[1024] = "";
    pubsub_error error = PUBSUB_ERROR_INIT;
    int code = cli_setup_init(&setup, args, NULL, &over);
    if (code != CLI_EXIT_OK || over) {
        goto out;
    }
    code = read_words(&config, args);
    code = code == CLI_EXIT_OK ? read_numbers(&config, args) : code;
    if (code != CLI_EXIT_OK) {
        goto out;
    }
    config.url = setup.url;
    config.shown_url = setup.shown;
    config.scheme = setup.scheme;
    config.options = setup.client;
    config.subscribe = setup.subscribe;
    config.timeout_ms = setup.timeout_ms < 0 ? 60000 : setup.timeout_ms;
    if (config.qos != PUBSUB_QOS_UNSET &&
        pubsub_options_set_int(setup.subscribe, "qos", (int64_t)config.qos, &error) != PUBSUB_OK) {
        cli_error("%s", pubsub_error_text(&error));
        code = cli_exit_of(error.code);
        goto out;
    }
    if (is_default_bus(setup.url)) {
        own_url = bench_bus_make(setup.url, dir, sizeof(dir), &error);
        if (own_url == NULL) {
            cli_error("%s", pubsub_error_text(&error));
            code = cli_exit_of(error.code);
            goto out;
        }
        config.url = own_url;
        config.private_bus = true;
    }
    code = measure_and_report(&config, args);

out:
    if (dir[0] != '\0') {
        bench_bus_remove(dir);
    }
    pubsub__free(own_url);
    cli_setup_fini(&setup);
    return code;
}
