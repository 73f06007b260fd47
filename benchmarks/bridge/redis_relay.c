/* SPDX-License-Identifier: MIT */
/* A relay from one Redis stream to another as one writes it by hand on hiredis: a consumer group on this
 * side, a thousand entries a read, all of them appended to the other side in one pipeline, acknowledged once
 * all are confirmed, the acknowledgement and the next read in one write. Fields go along as they are; with `id`
 * each message gets the two the bridge writes, so that a reader knows one that came twice.
 *
 *   bench_redis_relay fill PORT STREAM COUNT [size]     append so many entries
 *   bench_redis_relay relay PORT FROM TO COUNT [id]     relay so many, print JSON
 *   bench_redis_relay count PORT STREAM                 print XLEN
 */
#include "base/alloc.h"
#include "base/clock.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BATCH 1000u
#define FIELDS_MAX 128

static void die(const char *what)
{
    (void)fprintf(stderr, "redis_relay: %s\n", what);
    exit(EXIT_FAILURE);
}

static double cpu_us(void)
{
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e6 +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

static redisReply *next_reply(redisContext *redis)
{
    void *reply = NULL;
    if (redisGetReply(redis, &reply) != REDIS_OK) {
        die(redis->errstr);
    }
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR) {
        die(((redisReply *)reply)->str);
    }
    return reply;
}

static void fill(redisContext *redis, const char *stream, uint64_t count, size_t size)
{
    char *payload = pubsub__calloc(1, size);
    const char *argv[5] = {"XADD", stream, "*", "payload", payload};
    size_t lens[5] = {4, strlen(stream), 1, 7, size};
    if (payload == NULL) {
        die("out of memory");
    }
    memset(payload, 'x', size);
    payload[0] = payload[size - 1] = '"';
    while (count > 0) {
        uint64_t batch = count < BATCH ? count : BATCH;
        for (uint64_t i = 0; i < batch; i++) {
            (void)redisAppendCommandArgv(redis, 5, argv, lens);
        }
        for (uint64_t i = 0; i < batch; i++) {
            freeReplyObject(next_reply(redis));
        }
        count -= batch;
    }
    pubsub__free(payload);
}

/* XADD of one entry with the fields it has. */
static void copy(redisContext *redis, const char *from, const char *to, bool id,
                 const redisReply *entry)
{
    char text[256];
    const char *argv[7 + FIELDS_MAX] = {"XADD", to, "*"};
    size_t lens[7 + FIELDS_MAX] = {4, strlen(to), 1};
    const redisReply *fields = entry->element[1];
    if (fields->elements > FIELDS_MAX) {
        die("too many fields");
    }
    for (size_t i = 0; i < fields->elements; i++) {
        argv[3 + i] = fields->element[i]->str;
        lens[3 + i] = fields->element[i]->len;
    }
    size_t count = 3 + fields->elements;
    if (id) {
        const char *more[4] = {"pubsub-id", text, "pubsub-event", "unknown"};
        (void)snprintf(text, sizeof text, "%s@%s", from, entry->element[0]->str);
        for (size_t i = 0; i < 4; i++) {
            argv[count] = more[i];
            lens[count++] = strlen(more[i]);
        }
    }
    (void)redisAppendCommandArgv(redis, (int)count, argv, lens);
}

static void relay(redisContext *redis, const char *from, const char *to, uint64_t count, bool id)
{
    const char *ack[3 + BATCH] = {"XACK", from, "relay"};
    size_t ack_lens[3 + BATCH] = {4, strlen(from), 5};
    freeReplyObject(redisCommand(redis, "XGROUP CREATE %s relay 0", from));
    double cpu = cpu_us();
    uint64_t begin = pubsub__clock_mono_ns();
    uint64_t done = 0;
    (void)redisAppendCommand(redis, "XREADGROUP GROUP relay one COUNT %u BLOCK 1000 STREAMS %s >",
                             BATCH, from);
    while (done < count) {
        redisReply *reply = next_reply(redis);
        if (reply->type != REDIS_REPLY_ARRAY) {
            die("nothing more to read");
        }
        const redisReply *entries = reply->element[0]->element[1];
        for (size_t i = 0; i < entries->elements; i++) {
            copy(redis, from, to, id, entries->element[i]);
        }
        for (size_t i = 0; i < entries->elements; i++) {
            freeReplyObject(next_reply(redis));
            ack[3 + i] = entries->element[i]->element[0]->str;
            ack_lens[3 + i] = entries->element[i]->element[0]->len;
        }
        done += entries->elements;
        (void)redisAppendCommandArgv(redis, (int)(3 + entries->elements), ack, ack_lens);
        if (done < count) {
            (void)redisAppendCommand(
                redis, "XREADGROUP GROUP relay one COUNT %u BLOCK 1000 STREAMS %s >", BATCH, from);
        }
        freeReplyObject(next_reply(redis));
        freeReplyObject(reply);
    }
    double seconds = (double)(pubsub__clock_mono_ns() - begin) / 1e9;
    (void)printf("{\"messages\": %" PRIu64
                 ", \"seconds\": %.4f, \"rate\": %.0f, \"cpu_us\": %.3f}\n",
                 done, seconds, (double)done / seconds, (cpu_us() - cpu) / (double)done);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        die("usage: fill PORT STREAM COUNT [size] | relay PORT FROM TO COUNT | count PORT STREAM");
    }
    redisContext *redis = redisConnect("127.0.0.1", (int)strtol(argv[2], NULL, 10));
    if (redis == NULL || redis->err != 0) {
        die("cannot connect");
    }
    if (strcmp(argv[1], "fill") == 0 && argc > 4) {
        size_t size = argc > 5 ? strtoull(argv[5], NULL, 10) : 256;
        fill(redis, argv[3], strtoull(argv[4], NULL, 10), size < 2 ? 2 : size);
    } else if (strcmp(argv[1], "relay") == 0 && argc > 5) {
        relay(redis, argv[3], argv[4], strtoull(argv[5], NULL, 10), argc > 6);
    } else if (strcmp(argv[1], "count") == 0) {
        redisReply *reply = redisCommand(redis, "XLEN %s", argv[3]);
        (void)printf("%lld\n", reply != NULL ? reply->integer : -1);
        freeReplyObject(reply);
    } else {
        die("usage: see the head of the source");
    }
    redisFree(redis);
    return 0;
}
