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
#include "raw.h"

#include "bench_frame.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS RAW_MS

typedef struct settings {
    bool streams;
    int port;
    uint64_t duration_ns, warmup_ns, size, backlog, window, batch;
} settings;

static void die(const char *what)
{
    (void)fprintf(stderr, "redis_raw: %s\n", what);
    exit(1);
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

static void take(raw_shared *mem, const redisReply *payload)
{
    bench_frame frame;
    if (bench_frame_read(payload->str, (size_t)payload->len, mem->run, 1, &frame) !=
            BENCH_FRAME_OK ||
        frame.sequence != mem->received) {
        mem->bad++;
    }
    if (frame.phase == BENCH_MEASURED) {
        mem->last_arrival_ns = pubsub__clock_mono_ns();
        mem->first_ns = mem->measured == 0 ? mem->last_arrival_ns : mem->first_ns;
        mem->measured++;
    }
    mem->received++;
}

static void read_channel(const settings *with, raw_shared *mem)
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

static void read_stream(const settings *with, raw_shared *mem)
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

static void subscribe(const void *settings_of, raw_shared *mem, bool open)
{
    const settings *with = settings_of;
    uint64_t began = raw_cpu_ns();
    (void)open;
    if (with->streams) {
        read_stream(with, mem);
    } else {
        read_channel(with, mem);
    }
    mem->sub_cpu_ns = raw_cpu_ns() - began;
    mem->missing = mem->sent > mem->received ? mem->sent - mem->received : 0;
}

/* ---- the publisher ------------------------------------------------------------------------------ */

static void append(redisContext *redis, const settings *with, const raw_shared *mem,
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

static void publish_all(const void *settings_of, raw_shared *mem, bool open, bool alone)
{
    const settings *with = settings_of;
    (void)open;
    redisContext *redis = open_connection(with);
    char *payload = pubsub__calloc(1, with->size);
    uint64_t in_flight = 0;
    uint64_t began = raw_cpu_ns();
    uint64_t start = pubsub__clock_mono_ns();
    uint64_t now = 0;
    while ((now = pubsub__clock_mono_ns()) < start + with->warmup_ns + with->duration_ns) {
        bool measured = now >= start + with->warmup_ns;
        if (measured && mem->measured_sent == 0) {
            mem->first_ns = now; /* end to end the subscriber's first one counts */
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
            mem->measured_sent += measured ? 1 : 0;
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
    mem->last_ns = pubsub__clock_mono_ns();
    mem->pub_cpu_ns = raw_cpu_ns() - began;
    mem->over = 1;
    if (!alone && !with->streams) {
        freeReplyObject(redisCommand(redis, "PUBLISH %s %s", mem->topic, ""));
    }
    redisFree(redis);
    pubsub__free(payload);
}

static void after(const void *settings_of, const raw_shared *mem)
{
    redisContext *redis = open_connection(settings_of);
    freeReplyObject(redisCommand(redis, "DEL %s", mem->topic));
    redisFree(redis);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage: pub|e2e|all pubsub|streams PORT [duration_ms warmup_ms size backlog window "
            "batch]");
    }
    settings with = {.streams = strcmp(argv[2], "streams") == 0,
                     .port = (int)raw_number(argc, argv, 3, 6379),
                     .duration_ns = raw_number(argc, argv, 4, 1000) * MS,
                     .warmup_ns = raw_number(argc, argv, 5, 300) * MS,
                     .size = raw_number(argc, argv, 6, 256),
                     .backlog = raw_number(argc, argv, 7, 10000),
                     .window = raw_number(argc, argv, 8, 4096),
                     .batch = raw_number(argc, argv, 9, 512)};
    if (with.size < BENCH_FRAME_SIZE || with.batch == 0 || with.window < with.batch) {
        die("size, window or batch too small");
    }
    raw_program program = {.name = "redis_raw",
                           .with = &with,
                           .publish = publish_all,
                           .subscribe = subscribe,
                           .after = after,
                           .no_latency = true};
    return raw_figures(&program, argv[1]);
}
