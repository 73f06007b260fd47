/* SPDX-License-Identifier: MIT */
/* The raw baseline of `redis://` and `redis+streams://`: the work of `pubsub bench` done straight on hiredis, by one
 * publisher and one subscriber process. Same payloads, same checks per message, same backlog; what differs is
 * the library between.
 *
 * It uses hiredis as one does who knows it: blocking connections, commands appended to a pipeline and sent in
 * one write for each batch, replies read in batches, no command formatted by printf. The reader of a stream
 * asks for a thousand entries at a time.
 *
 * Prints one line of JSON per figure.
 *
 *   redis_raw pub|e2e|all pubsub|streams PORT [duration_ms warmup_ms size backlog window batch]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* MAP_ANONYMOUS, getrusage */
#endif
#include "bench_frame.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

typedef struct settings {
    bool streams;
    int port;
    uint64_t duration_ns, warmup_ns, size, backlog, window, batch;
} settings;

typedef struct shared {
    _Atomic uint32_t ready, over;
    _Atomic uint64_t sent, received, wrong;
    uint32_t run;
    char topic[40];
    uint64_t from_ns, to_ns, pub_sent, pub_cpu_ns;
    uint64_t got_from, got_to, got, sub_cpu_ns;
} shared;

static void die(const char *what)
{
    (void)fprintf(stderr, "redis_raw: %s\n", what);
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (uint64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * UINT64_C(1000000000) +
           (uint64_t)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1000u;
}

static redisContext *open_connection(const settings *with)
{
    redisContext *redis = redisConnect("127.0.0.1", with->port);
    if (redis == NULL || redis->err != 0) {
        die("cannot connect");
    }
    return redis;
}

static redisReply *next_reply(redisContext *redis)
{
    void *reply = NULL;
    if (redisGetReply(redis, &reply) != REDIS_OK) {
        die(redis->errstr);
    }
    return reply;
}

/* ---- the subscriber --------------------------------------------------------------------------- */

static void take(shared *mem, const redisReply *payload)
{
    bench_frame frame;
    if (bench_frame_read(payload->str, (size_t)payload->len, mem->run, 1, &frame) !=
            BENCH_FRAME_OK ||
        frame.sequence != mem->received) {
        mem->wrong++;
    }
    if (frame.phase == BENCH_MEASURED) {
        mem->got_to = pubsub__clock_mono_ns();
        mem->got_from = mem->got == 0 ? mem->got_to : mem->got_from;
        mem->got++;
    }
    mem->received++;
}

static void read_channel(const settings *with, shared *mem)
{
    redisContext *redis = open_connection(with);
    freeReplyObject(redisCommand(redis, "SUBSCRIBE %s", mem->topic));
    mem->ready = 1;
    while (!mem->over || mem->received < mem->sent) {
        redisReply *reply = next_reply(redis);
        if (reply->element[2]->len > 0) { /* what is empty only wakes us at the end */
            take(mem, reply->element[2]);
        }
        freeReplyObject(reply);
    }
}

static void read_stream(const settings *with, shared *mem)
{
    redisContext *redis = open_connection(with);
    char last[64] = "0-0";
    mem->ready = 1;
    while (!mem->over || mem->received < mem->sent) {
        redisReply *reply =
            redisCommand(redis, "XREAD COUNT 1000 BLOCK 200 STREAMS %s %s", mem->topic, last);
        if (reply == NULL) {
            die(redis->errstr);
        }
        if (reply->type == REDIS_REPLY_ARRAY) {
            const redisReply *entries = reply->element[0]->element[1];
            for (size_t i = 0; i < entries->elements; i++) {
                const redisReply *entry = entries->element[i];
                take(mem, entry->element[1]->element[1]);
                (void)snprintf(last, sizeof(last), "%s", entry->element[0]->str);
            }
        }
        freeReplyObject(reply);
    }
}

/* ---- the publisher ------------------------------------------------------------------------------ */

static void append(redisContext *redis, const settings *with, const shared *mem,
                   const char *payload)
{
    const char *xadd[5] = {"XADD", mem->topic, "*", "payload", payload};
    size_t xadd_len[5] = {4, strlen(mem->topic), 1, 7, with->size};
    const char *publish[3] = {"PUBLISH", mem->topic, payload};
    size_t publish_len[3] = {7, strlen(mem->topic), with->size};
    if (with->streams) {
        (void)redisAppendCommandArgv(redis, 5, xadd, xadd_len);
    } else {
        (void)redisAppendCommandArgv(redis, 3, publish, publish_len);
    }
}

static void publish_all(const settings *with, shared *mem, bool alone)
{
    redisContext *redis = open_connection(with);
    char *payload = pubsub__calloc(1, with->size);
    uint64_t in_flight = 0;
    uint64_t cpu = 0;
    uint64_t start = pubsub__clock_mono_ns();
    uint64_t now = 0;
    while ((now = pubsub__clock_mono_ns()) < start + with->warmup_ns + with->duration_ns) {
        bool measured = now >= start + with->warmup_ns;
        if (measured && mem->from_ns == 0) {
            mem->from_ns = now;
            cpu = cpu_ns();
        }
        if (!alone && mem->sent - mem->received + with->batch > with->backlog) {
            (void)usleep(20);
            continue;
        }
        for (uint64_t i = 0; i < with->batch; i++) {
            bench_frame frame = {mem->run, 0,         measured ? BENCH_MEASURED : BENCH_WARMUP,
                                 0,        mem->sent, now};
            bench_frame_write(&frame, 1, payload, with->size);
            append(redis, with, mem, payload);
            mem->sent++;
            mem->pub_sent += measured ? 1 : 0;
        }
        in_flight += with->batch;
        while (in_flight + with->batch > with->window) {
            freeReplyObject(next_reply(redis));
            in_flight--;
        }
    }
    for (; in_flight > 0; in_flight--) {
        freeReplyObject(next_reply(redis));
    }
    mem->to_ns = pubsub__clock_mono_ns();
    mem->pub_cpu_ns = cpu_ns() - cpu;
    mem->over = 1;
    if (!alone && !with->streams) {
        freeReplyObject(redisCommand(redis, "PUBLISH %s %s", mem->topic, ""));
    }
    redisFree(redis);
    pubsub__free(payload);
}

/* ---- figures -------------------------------------------------------------------------------------- */

static void figure(const settings *with, const char *name, bool alone)
{
    shared *mem =
        mmap(NULL, sizeof(*mem), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED) {
        die("no shared memory");
    }
    mem->run = (uint32_t)pubsub__clock_mono_ns();
    (void)snprintf(mem->topic, sizeof(mem->topic), "bench/%08" PRIx32 "/0", mem->run);
    pid_t child = alone ? 0 : fork();
    if (!alone && child == 0) {
        uint64_t cpu = cpu_ns();
        if (with->streams) {
            read_stream(with, mem);
        } else {
            read_channel(with, mem);
        }
        mem->sub_cpu_ns = cpu_ns() - cpu;
        _exit(0);
    }
    while (!alone && !mem->ready) {
        (void)usleep(1000);
    }
    publish_all(with, mem, alone);
    if (!alone && waitpid(child, NULL, 0) != child) {
        die("the subscriber is gone");
    }
    double seconds = alone ? (double)(mem->to_ns - mem->from_ns) / 1e9
                           : (double)(mem->got_to - mem->got_from) / 1e9;
    double value = (double)(alone ? mem->pub_sent : mem->got) / seconds;
    (void)printf("{\"name\": \"%s\", \"value\": %.0f, \"p99\": 0, \"publisher_cpu_ns\": %.0f, "
                 "\"subscriber_cpu_ns\": %.0f, \"wrong\": %" PRIu64 "}\n",
                 name, value, (double)mem->pub_cpu_ns / (double)(mem->pub_sent + 1),
                 (double)mem->sub_cpu_ns / (double)(mem->received + 1), (uint64_t)mem->wrong);
    (void)fflush(stdout);
    redisContext *redis = open_connection(with);
    freeReplyObject(redisCommand(redis, "DEL %s", mem->topic));
    redisFree(redis);
    (void)munmap(mem, sizeof(*mem));
}

static uint64_t number(int argc, char **argv, int index, uint64_t otherwise)
{
    return index < argc ? strtoull(argv[index], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage: pub|e2e|all pubsub|streams PORT [duration_ms warmup_ms size backlog window "
            "batch]");
    }
    settings with = {.streams = strcmp(argv[2], "streams") == 0,
                     .port = (int)number(argc, argv, 3, 6379),
                     .duration_ns = number(argc, argv, 4, 1000) * MS,
                     .warmup_ns = number(argc, argv, 5, 300) * MS,
                     .size = number(argc, argv, 6, 256),
                     .backlog = number(argc, argv, 7, 10000),
                     .window = number(argc, argv, 8, 4096),
                     .batch = number(argc, argv, 9, 512)};
    if (with.size < BENCH_FRAME_SIZE || with.batch == 0 || with.window < with.batch) {
        die("size, window or batch too small");
    }
    if (strcmp(argv[1], "e2e") != 0) {
        figure(&with, "publish_throughput", true);
    }
    if (strcmp(argv[1], "pub") != 0) {
        figure(&with, "end_to_end_throughput", false);
    }
    return 0;
}
