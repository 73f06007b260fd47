/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include "bench_env.h"

#include "base/utf8.h"

#include <pubsub/version.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The writer: values are put in order, commas by depth. */
typedef struct writer {
    bool comma;
} writer;

static void put_text(const char *text)
{
    size_t len = strlen(text);
    putchar('"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void key(writer *out, const char *name)
{
    if (out->comma) {
        putchar(',');
    }
    out->comma = true;
    if (name != NULL) {
        put_text(name);
        putchar(':');
    }
}

static void open_part(writer *out, const char *name, char bracket)
{
    key(out, name);
    putchar(bracket);
    out->comma = false;
}

static void close_part(writer *out, char bracket)
{
    putchar(bracket);
    out->comma = true;
}

static void text(writer *out, const char *name, const char *value)
{
    key(out, name);
    if (value == NULL) {
        fputs("null", stdout);
    } else if (pubsub__utf8_check(value, strlen(value))) {
        put_text(value);
    } else {
        put_text("not UTF-8");
    }
}

static void number(writer *out, const char *name, uint64_t value)
{
    key(out, name);
    printf("%" PRIu64, value);
}

static void decimal(writer *out, const char *name, double value)
{
    key(out, name);
    printf("%.3f", value);
}

static void truth(writer *out, const char *name, bool value)
{
    key(out, name);
    fputs(value ? "true" : "false", stdout);
}

/* ---- parts --------------------------------------------------------------------------------- */

static void put_hist(writer *out, const char *name, const pubsub__hist *hist)
{
    static const struct {
        const char *name;
        double q;
    } rows[] = {{"p50", 0.5},  {"p75", 0.75},    {"p90", 0.9},      {"p95", 0.95},
                {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};
    open_part(out, name, '{');
    number(out, "count", hist->count);
    number(out, "min", pubsub__hist_min(hist));
    decimal(out, "mean", pubsub__hist_mean(hist));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (pubsub__hist_percentile_is_sound(hist, rows[i].q)) {
            number(out, rows[i].name, pubsub__hist_percentile(hist, rows[i].q));
        } else {
            text(out, rows[i].name, NULL); /* fewer than 10 samples above */
        }
    }
    number(out, "max", hist->max);
    close_part(out, '}');
}

static void put_usage(writer *out, const bench_usage *usage)
{
    open_part(out, "usage", '{');
    number(out, "user_ns", usage->user_ns);
    number(out, "system_ns", usage->system_ns);
    number(out, "wall_ns", usage->wall_ns);
    number(out, "voluntary_switches", usage->voluntary);
    number(out, "involuntary_switches", usage->involuntary);
    number(out, "max_rss_kib", usage->max_rss_kib);
    close_part(out, '}');
}

static void put_publisher(writer *out, const bench_publisher *from)
{
    open_part(out, NULL, '{');
    number(out, "sent", atomic_load(&from->sent));
    number(out, "accepted", from->outcomes[PUBSUB_ACCEPTED]);
    number(out, "rejected", from->outcomes[PUBSUB_REJECTED]);
    number(out, "not_sent", from->outcomes[PUBSUB_NOT_SENT]);
    number(out, "unknown", from->outcomes[PUBSUB_UNKNOWN]);
    number(out, "dropped", from->outcomes[PUBSUB_DROPPED]);
    number(out, "unconfirmed", from->unconfirmed);
    number(out, "measured_sent", from->measured_sent);
    number(out, "measured_confirmed", from->measured_confirmed);
    number(out, "schedule_not_reached", from->unsent);
    number(out, "queue_full", from->blocked);
    number(out, "qos", from->qos < 0 ? 0 : (uint64_t)from->qos);
    number(out, "confirm", (uint64_t)from->confirm);
    if (from->last_failure.code != PUBSUB_OK) {
        text(out, "last_failure", pubsub_error_text(&from->last_failure));
    }
    put_usage(out, &from->usage);
    close_part(out, '}');
}

static void put_subscriber(writer *out, const bench_subscriber *to)
{
    open_part(out, NULL, '{');
    number(out, "received", to->unique);
    number(out, "measured", to->measured);
    number(out, "lost", to->lost);
    number(out, "missing_unconfirmed", to->missing_failed);
    number(out, "duplicates", to->duplicates);
    number(out, "reordered", to->reordered);
    number(out, "max_displacement", to->max_displaced);
    number(out, "corrupt", to->corrupt);
    number(out, "foreign", to->foreign);
    number(out, "gaps", to->gaps);
    number(out, "gap_missed", to->gap_missed);
    number(out, "negative_latencies", to->negative);
    number(out, "qos", to->qos < 0 ? 0 : (uint64_t)to->qos);
    put_usage(out, &to->usage);
    close_part(out, '}');
}

static void put_latencies(writer *out, const bench_config *config, const bench_result *result)
{
    number(out, "rate", config->rate);
    decimal(out, "rate_held", result->held_rate);
    put_hist(out, "latency_ns", &result->hist);
    put_hist(out, "send_delay_ns", &result->send_delay);
    put_hist(out, "call_to_confirmation_ns", &result->confirm_sent);
}

static void put_run(writer *out, const bench_config *config, const bench_result *result)
{
    open_part(out, NULL, '{');
    number(out, "run", result->run);
    truth(out, "failed", result->failed);
    if (result->failed) {
        text(out, "error", pubsub_error_text(&result->error));
        text(out, "error_name", pubsub_err_name(result->error.code));
    } else {
        truth(out, "valid", result->rate_held);
        truth(out, "verified", !result->lossy);
        truth(out, "interrupted", result->interrupted);
        decimal(out, "value", result->value);
        if (result->hist.cells != NULL) {
            put_latencies(out, config, result);
        }
    }
    open_part(out, "publishers", '[');
    for (uint32_t i = 0; i < result->publishers; i++) {
        put_publisher(out, &result->shared->publishers[i]);
    }
    close_part(out, ']');
    open_part(out, "subscribers", '[');
    for (uint32_t i = 0; i < result->subscribers; i++) {
        put_subscriber(out, &result->shared->subscribers[i]);
    }
    close_part(out, ']');
    open_part(out, "series", '[');
    for (size_t i = 0; i < result->nseries; i++) {
        const bench_sample *at = &result->series[i];
        open_part(out, NULL, '{');
        number(out, "at_ns", at->at_ns);
        number(out, "sent", at->sent);
        number(out, "confirmed", at->confirmed);
        number(out, "received", at->received);
        close_part(out, '}');
    }
    close_part(out, ']');
    close_part(out, '}');
}

static void put_settings(writer *out, const bench_config *config)
{
    static const char *const verify[] = {"none", "seq", "full"};
    open_part(out, "settings", '{');
    text(out, "url", config->shown_url);
    truth(out, "private_bus", config->private_bus);
    text(out, "topic", config->topic);
    text(out, "figures", config->word);
    number(out, "size", config->size);
    number(out, "rate", config->rate);
    number(out, "duration_ns", config->duration_ns);
    number(out, "warmup_ns", config->warmup_ns);
    number(out, "count", config->count);
    number(out, "inflight", config->window);
    number(out, "backlog", config->backlog);
    number(out, "batch", config->batch);
    number(out, "producers", config->publishers);
    number(out, "consumers", config->subscribers);
    number(out, "runs", config->runs);
    text(out, "verify", verify[config->verify]);
    text(out, "qos", config->qos == PUBSUB_QOS_UNSET ? "unset" : NULL);
    if (config->qos != PUBSUB_QOS_UNSET) {
        number(out, "qos_asked", (uint64_t)config->qos);
    }
    number(out, "seed", config->seed);
    truth(out, "one_process", config->one_process);
    truth(out, "spin", config->spin);
    close_part(out, '}');
}

/* The command line as it was understood, without what may be secret. */
static void put_arguments(writer *out, const bench_config *config, const cli_args *args)
{
    open_part(out, "arguments", '[');
    for (size_t i = 0; i < args->given_count; i++) {
        const cli_given *given = &args->given[i];
        const char *name = given->option->name;
        const char *value = given->text;
        char line[1024];
        if (strcmp(name, "broker") == 0) {
            value = config->shown_url;
        } else if (strcmp(name, "password") == 0 || strcmp(name, "option") == 0) {
            value = "***";
        }
        snprintf(line, sizeof(line), "--%s%s%s", name, value == NULL ? "" : "=",
                 value == NULL ? "" : value);
        text(out, NULL, line);
    }
    for (size_t i = 0; i < args->word_count; i++) {
        text(out, NULL, args->words[i]);
    }
    close_part(out, ']');
}

static void put_environment(writer *out, const bench_config *config, const cli_args *args)
{
    bench_env env;
    bench_env_read(&env);
    open_part(out, "environment", '{');
    text(out, "pubsub", pubsub_version());
#if defined(__VERSION__)
    text(out, "compiler", __VERSION__);
#endif
    text(out, "time", env.time);
    text(out, "cpu", env.cpu);
    text(out, "governor", env.governor[0] == '\0' ? NULL : env.governor);
    number(out, "cores", (uint64_t)env.cores);
    number(out, "memory_mib", (uint64_t)env.memory_mib);
    text(out, "kernel", env.kernel);
    text(out, "cgroup_cpu_max", env.cgroup_cpu[0] == '\0' ? NULL : env.cgroup_cpu);
    text(out, "load", env.load);
    number(out, "clock_read_ns", env.clock_ns);
    number(out, "timer_wake_ns", env.wake_ns);
    put_arguments(out, config, args);
    close_part(out, '}');
}

/* ---- the whole ----------------------------------------------------------------------------- */

void bench_print_json(const bench_config *config, const bench_result *results, size_t count,
                      const cli_args *args)
{
    writer out = {false};
    open_part(&out, NULL, '{');
    text(&out, "schema", "pubsub-bench/1");
    put_environment(&out, config, args);
    put_settings(&out, config);
    open_part(&out, "figures", '[');
    for (int f = 0; f < BENCH_FIGURES; f++) {
        if (!config->figures[f]) {
            continue;
        }
        double lowest = 0;
        double highest = 0;
        const bench_result *median =
            bench_median(results, count, (bench_figure)f, &lowest, &highest);
        open_part(&out, NULL, '{');
        text(&out, "name", bench_figure_ident((bench_figure)f));
        text(&out, "unit", bench_figure_is_open((bench_figure)f) ? "ns" : "messages/s");
        decimal(&out, "median", median == NULL ? 0 : median->value);
        decimal(&out, "lowest", lowest);
        decimal(&out, "highest", highest);
        open_part(&out, "runs", '[');
        for (size_t i = 0; i < count; i++) {
            if ((int)results[i].figure == f) {
                put_run(&out, config, &results[i]);
            }
        }
        close_part(&out, ']');
        close_part(&out, '}');
    }
    close_part(&out, ']');
    close_part(&out, '}');
    putchar('\n');
}
