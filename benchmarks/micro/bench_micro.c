/* SPDX-License-Identifier: MIT */
/* What the hot paths cost, each alone, in nanoseconds: the best of several short rounds, because
 * everything that disturbs a round only makes it longer.
 *
 *   bench_micro [--json] [NAME-PART]
 */
#include <pubsub/client.h>
#include <pubsub/topic.h>
#include <pubsub/url.h>

#include "topic/index.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/hist.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_NS UINT64_C(20000000)
#define ROUNDS 7

/* Keeps the compiler from leaving out work whose result nobody looks at. */
static volatile uint64_t sink;

typedef struct micro {
    const char *name;
    void (*run)(void *ctx, uint64_t times);
    void *ctx;
} micro;

/* ---- topics -------------------------------------------------------------------------------- */

typedef struct match_case {
    const char *pattern, *topic;
} match_case;

static void run_match(void *ctx, uint64_t times)
{
    const match_case *with = ctx;
    size_t plen = strlen(with->pattern);
    size_t tlen = strlen(with->topic);
    for (uint64_t i = 0; i < times; i++) {
        sink += pubsub_topic_matches(with->pattern, plen, with->topic, tlen) ? 1 : 0;
    }
}

static void run_topic_check(void *ctx, uint64_t times)
{
    const char *topic = ctx;
    size_t len = strlen(topic);
    for (uint64_t i = 0; i < times; i++) {
        sink += pubsub_topic_check(topic, len, NULL) == PUBSUB_OK ? 1 : 0;
    }
}

static void run_url(void *ctx, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        pubsub_url *url = NULL;
        sink += pubsub_url_parse(&url, ctx, NULL) == PUBSUB_OK ? 1 : 0;
        pubsub_url_free(url);
    }
}

static void run_index(void *ctx, uint64_t times)
{
    const char *topic = "plant/7/line/3/temperature";
    uint64_t hits = 0;
    for (uint64_t i = 0; i < times; i++) {
        hits += pubsub__topic_index_match(ctx, topic, strlen(topic), NULL, NULL);
    }
    sink += hits;
}

/* ---- base ---------------------------------------------------------------------------------- */

static void run_hist(void *ctx, uint64_t times)
{
    uint64_t value = 1;
    for (uint64_t i = 0; i < times; i++) {
        value = value * UINT64_C(6364136223846793005) + 1442695040888963407u;
        pubsub__hist_record(ctx, value >> 36);
    }
}

typedef struct block {
    uint8_t bytes[4096];
    size_t len;
} block;

static void run_crc(void *ctx, uint64_t times)
{
    const block *with = ctx;
    uint32_t sum = 0;
    for (uint64_t i = 0; i < times; i++) {
        sum = pubsub__crc32c(sum, with->bytes, with->len);
    }
    sink += sum;
}

static void run_utf8(void *ctx, uint64_t times)
{
    const char *text = ctx;
    size_t len = strlen(text);
    for (uint64_t i = 0; i < times; i++) {
        sink += pubsub__utf8_check(text, len) ? 1 : 0;
    }
}

static void run_clock(void *ctx, uint64_t times)
{
    (void)ctx;
    for (uint64_t i = 0; i < times; i++) {
        sink += pubsub__clock_mono_ns();
    }
}

/* ---- measuring ----------------------------------------------------------------------------- */

static double best_of(const micro *what)
{
    uint64_t times = 1;
    double best = 1e300;
    for (int round = 0; round < ROUNDS;) {
        uint64_t begin = pubsub__clock_mono_ns();
        what->run(what->ctx, times);
        uint64_t took = pubsub__clock_mono_ns() - begin;
        if (took < ROUND_NS / 2) {
            times *= 2;
            continue;
        }
        double each = (double)took / (double)times;
        best = each < best ? each : best;
        round++;
    }
    return best;
}

typedef struct output {
    bool json;
    bool comma;
    const char *part;
} output;

static void report(output *out, const char *name, double ns)
{
    if (out->json) {
        printf("%s\n {\"name\":\"%s\",\"ns\":%.2f}", out->comma ? "," : "", name, ns);
        out->comma = true;
    } else {
        printf("%-44s %10.1f ns %14.0f /s\n", name, ns, 1e9 / ns);
        fflush(stdout);
    }
}

static bool wanted(const output *out, const char *name)
{
    return out->part == NULL || strstr(name, out->part) != NULL;
}

static void run_table(output *out, const micro *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (wanted(out, table[i].name)) {
            report(out, table[i].name, best_of(&table[i]));
        }
    }
}

/* ---- the publish call ---------------------------------------------------------------------- */

/* The time that a caller spends in publish, as long as the queue has room: what the I/O thread does
 * meanwhile is waited for between the rounds and not counted. */
static double publish_cost(pubsub_client *client, size_t batch)
{
    enum { per_round = 512, rounds = 200 };
    static uint8_t payload[256];
    static pubsub_publication messages[per_round];
    double best = 1e300;
    for (size_t i = 0; i < per_round; i++) {
        messages[i] = (pubsub_publication)PUBSUB_PUBLICATION_INIT;
        messages[i].topic = pubsub_bytes_of("bench/micro");
        messages[i].payload = (pubsub_bytes){payload, sizeof(payload)};
    }
    for (int round = 0; round < rounds; round++) {
        uint64_t begin = pubsub__clock_mono_ns();
        for (size_t at = 0; at < per_round; at += batch) {
            pubsub_err code = batch == 1 ? pubsub_client_publish(client, &messages[at], 0, NULL)
                                         : pubsub_client_publish_batch(client, messages + at, batch,
                                                                       0, NULL, NULL);
            if (code != PUBSUB_OK) {
                return -1;
            }
        }
        double each = (double)(pubsub__clock_mono_ns() - begin) / per_round;
        best = each < best ? each : best;
        if (pubsub_client_flush(client, 10000, NULL) != PUBSUB_OK) {
            return -1;
        }
    }
    return best;
}

static void run_publish(output *out, const char *url)
{
    static const char one[] = "publish, 256 B, one call each";
    static const char many[] = "publish_batch, 256 B, by 256, per message";
    pubsub_client *client = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!wanted(out, one) && !wanted(out, many)) {
        return;
    }
    if (pubsub_client_new(&client, url, NULL, &err) != PUBSUB_OK ||
        pubsub_client_ready(client, 5000, &err) != PUBSUB_OK) {
        fprintf(stderr, "bench_micro: %s\n", pubsub_error_text(&err));
    } else {
        report(out, one, publish_cost(client, 1));
        report(out, many, publish_cost(client, 256));
    }
    pubsub_client_free(client);
}

/* ---- pattern index ------------------------------------------------------------------------- */

/* count patterns of which two match. */
static pubsub__topic_index *index_with(size_t count)
{
    pubsub__topic_index *index = NULL;
    static int value;
    if (pubsub__topic_index_new(&index, count + 2) != PUBSUB_OK) {
        exit(EXIT_FAILURE);
    }
    for (size_t i = 0; i < count; i++) {
        char pattern[64];
        int len = snprintf(pattern, sizeof(pattern), "plant/%zu/line/+/pressure", i);
        if (pubsub__topic_index_add(index, pattern, (size_t)len, &value) != PUBSUB_OK) {
            exit(EXIT_FAILURE);
        }
    }
    static const char *const hits[] = {"plant/+/line/#", "plant/7/line/3/temperature"};
    for (size_t i = 0; i < 2; i++) {
        if (pubsub__topic_index_add(index, hits[i], strlen(hits[i]), &value) != PUBSUB_OK) {
            exit(EXIT_FAILURE);
        }
    }
    return index;
}

static void run_indexes(output *out)
{
    static const size_t sizes[] = {10, 1000, 100000};
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof(name), "index match, %zu patterns, 2 match", sizes[i]);
        if (wanted(out, name)) {
            pubsub__topic_index *index = index_with(sizes[i]);
            micro what = {name, run_index, index};
            report(out, name, best_of(&what));
            pubsub__topic_index_free(index);
        }
    }
}

int main(int argc, char **argv)
{
    static match_case literal = {"plant/7/line/3/temperature", "plant/7/line/3/temperature"};
    static match_case single = {"plant/+/line/+/temperature", "plant/7/line/3/temperature"};
    static match_case rest = {"plant/#", "plant/7/line/3/temperature"};
    static match_case inner = {"plant/#/temperature", "plant/7/line/3/temperature"};
    static match_case none = {"plant/+/line/+/pressure", "plant/7/line/3/temperature"};
    static char topic[] = "plant/7/line/3/temperature";
    static char short_url[] = "local:name";
    static char long_url[] = "mqtts://user:p%40ss@broker.example:8883,other.example/path?a=1&b=2";
    static block small = {.len = 256};
    static block big = {.len = 4096};
    output out = {.json = argc > 1 && strcmp(argv[1], "--json") == 0};
    int at = out.json ? 2 : 1;
    out.part = argc > at ? argv[at] : NULL;
    const char *url = getenv("BENCH_URL");
    pubsub__hist hist;
    if (!pubsub__hist_init(&hist, UINT64_C(3600000000000))) {
        return EXIT_FAILURE;
    }
    const micro table[] = {
        {"clock read", run_clock, NULL},
        {"histogram record", run_hist, &hist},
        {"crc32c, 256 B", run_crc, &small},
        {"crc32c, 4 KiB", run_crc, &big},
        {"utf8 check, 26 B", run_utf8, topic},
        {"topic check, 26 B, 5 levels", run_topic_check, topic},
        {"topic match, literal", run_match, &literal},
        {"topic match, two +", run_match, &single},
        {"topic match, # at the end", run_match, &rest},
        {"topic match, # inside", run_match, &inner},
        {"topic match, none", run_match, &none},
        {"url parse and free, local:name", run_url, short_url},
        {"url parse and free, all parts", run_url, long_url},
    };
    if (out.json) {
        printf("[");
    }
    run_table(&out, table, sizeof(table) / sizeof(table[0]));
    run_indexes(&out);
    if (url != NULL) {
        run_publish(&out, url);
    }
    if (out.json) {
        printf("\n]\n");
    }
    pubsub__hist_fini(&hist);
    return 0;
}
