/* SPDX-License-Identifier: MIT */
#include "redis/resp.h"

#include "base/alloc.h"

#include <hiredis/hiredis.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ARENA_CHUNK = 64 * 1024, DEPTH_MAX = 7, PUSH_PARTS = 4, DIGITS_MAX = 9 };

typedef struct chunk {
    struct chunk *next;
    size_t size, used;
    _Alignas(16) char bytes[];
} chunk;

struct redis_parser {
    redisReader *reader;
    chunk *chunks; /* the newest first */
    bool broken;
    bool foreign; /* a type that RESP2 does not have */
    redis_reply push, parts[PUSH_PARTS];
};

/* ---- memory of one reply ------------------------------------------------------------------------- */

static void *take(redis_parser *parser, size_t len)
{
    chunk *at = parser->chunks;
    len = (len + 15) & ~(size_t)15;
    if (at == NULL || at->size - at->used < len) {
        size_t size = len > ARENA_CHUNK ? len : ARENA_CHUNK;
        at = pubsub__alloc(sizeof(*at) + size);
        if (at == NULL) {
            return NULL;
        }
        at->next = parser->chunks;
        at->size = size;
        at->used = 0;
        parser->chunks = at;
    }
    void *place = at->bytes + at->used;
    at->used += len;
    return place;
}

/* One chunk of the usual size is kept. */
static void reset(redis_parser *parser)
{
    chunk *kept = NULL;
    while (parser->chunks != NULL) {
        chunk *at = parser->chunks;
        parser->chunks = at->next;
        if (kept == NULL && at->size == ARENA_CHUNK) {
            kept = at;
        } else {
            pubsub__free(at);
        }
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = 0;
    }
    parser->chunks = kept;
}

/* ---- what hiredis calls -------------------------------------------------------------------------- */

/* Elements lie side by side in their array, so nothing has to be linked. hiredis 0.14 counts them as int
 * here and wider inside, so the index is held against our own count. */
static redis_reply *place(const redisReadTask *task)
{
    if (task->parent != NULL) {
        redis_reply *array = task->parent->obj;
        size_t index = (size_t)task->idx;
        return array != NULL && index < array->len ? &array->as.elements[index] : NULL;
    }
    return take(task->privdata, sizeof(redis_reply));
}

/* hiredis 1.x also reads RESP3, which we have not asked for. */
static void *refuse(const redisReadTask *task)
{
    redis_parser *parser = task->privdata;
    parser->foreign = true;
    return NULL;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS &&
        task->type != REDIS_REPLY_ERROR) {
        return refuse(task);
    }
    redis_reply *reply = place(task);
    char *copy = take(task->privdata, len + 1);
    if (reply == NULL || copy == NULL) {
        return NULL;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    reply->type = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                  : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                     : REDIS_STRING;
    reply->len = len;
    reply->as.text = copy;
    return reply;
}

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;

/* Without these the reader would return numbers as if they were pointers. */
static void *create_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)value;
    (void)text;
    (void)len;
    return refuse(task);
}

static void *create_bool(const redisReadTask *task, int value)
{
    (void)value;
    return refuse(task);
}
#else
typedef int array_count;
#endif

static void *create_array(const redisReadTask *task, array_count elements)
{
    const redis_parser *parser = task->privdata;
    size_t count = (size_t)elements;
    if (task->type != REDIS_REPLY_ARRAY) {
        return refuse(task);
    }
    redis_reply *reply = place(task);
    if (reply == NULL || count > REDIS_ELEMENTS_MAX || parser->reader->ridx >= DEPTH_MAX) {
        return NULL;
    }
    reply->type = REDIS_ARRAY;
    reply->len = count;
    reply->as.elements = take(task->privdata, (count + 1) * sizeof(redis_reply));
    if (reply->as.elements == NULL) {
        reply->len = 0;
        return NULL;
    }
    memset(reply->as.elements, 0, count * sizeof(redis_reply));
    return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    redis_reply *reply = place(task);
    if (reply != NULL) {
        reply->type = REDIS_INTEGER;
        reply->len = 0;
        reply->as.integer = value;
    }
    return reply;
}

static void *create_nil(const redisReadTask *task)
{
    redis_reply *reply = place(task);
    if (reply != NULL) {
        reply->type = REDIS_NIL;
        reply->len = 0;
        reply->as.integer = 0;
    }
    return reply;
}

static void free_object(void *object)
{
    (void)object; /* with the arena */
}

/* ---- the parser ---------------------------------------------------------------------------------- */

redis_parser *pubsub__redis_parser_new(void)
{
    static redisReplyObjectFunctions builders = {
        .createString = create_string,
        .createArray = create_array,
        .createInteger = create_integer,
        .createNil = create_nil,
#if HIREDIS_MAJOR >= 1
        .createDouble = create_double,
        .createBool = create_bool,
#endif
        .freeObject = free_object
    };
    redis_parser *parser = pubsub__calloc(1, sizeof(*parser));
    if (parser == NULL) {
        return NULL;
    }
    parser->reader = redisReaderCreateWithFunctions(&builders);
    if (parser->reader == NULL) {
        pubsub__free(parser);
        return NULL;
    }
    parser->reader->privdata = parser;
    /* Its buffer is kept from read to read instead of being freed whenever it is empty. */
    parser->reader->maxbuf = 0;
    return parser;
}

void pubsub__redis_parser_free(redis_parser *parser)
{
    if (parser == NULL) {
        return;
    }
    redisReaderFree(parser->reader);
    while (parser->chunks != NULL) {
        chunk *at = parser->chunks;
        parser->chunks = at->next;
        pubsub__free(at);
    }
    pubsub__free(parser);
}

bool pubsub__redis_parser_feed(redis_parser *parser, const void *bytes, size_t len)
{
    return !parser->broken && redisReaderFeed(parser->reader, bytes, len) == REDIS_OK;
}

const redis_reply *pubsub__redis_parser_next(redis_parser *parser, const char **bad)
{
    void *reply = NULL;
    *bad = NULL;
    if (parser->broken) {
        *bad = "broken before";
        return NULL;
    }
    if (parser->reader->ridx == -1) { /* not inside a reply that came in part */
        reset(parser);
    }
    if (redisReaderGetReply(parser->reader, &reply) != REDIS_OK) {
        parser->broken = true;
        *bad = parser->foreign ? "a type of RESP3" : parser->reader->errstr;
        return NULL;
    }
    return reply;
}

/* ---- messages, past hiredis ------------------------------------------------------------------------ */

/* "<mark><number>\r\n"; false: something else, or not all of it. */
static bool read_length(const char **at, const char *end, char mark, size_t *out)
{
    const char *c = *at;
    const char *first = c + 1;
    size_t number = 0;
    if (c == end || *c++ != mark) {
        return false;
    }
    while (c < end && *c >= '0' && *c <= '9' && c - first < DIGITS_MAX) {
        number = number * 10 + (size_t)(*c++ - '0');
    }
    bool padded = c - first > 1 && *first == '0'; /* hiredis refuses that */
    if (c == first || padded || end - c < 2 || c[0] != '\r' || c[1] != '\n') {
        return false;
    }
    *at = c + 2;
    *out = number;
    return true;
}

static bool read_text(const char **at, const char *end, redis_reply *out)
{
    size_t len = 0;
    if (!read_length(at, end, '$', &len)) {
        return false;
    }
    const char *text = *at;
    if ((size_t)(end - text) < len + 2 || text[len] != '\r' || text[len + 1] != '\n') {
        return false;
    }
    out->type = REDIS_STRING;
    out->len = len;
    out->as.text = text;
    *at = text + len + 2;
    return true;
}

/* By far most of what a subscriber reads: three or four texts in an array. Anything else, malformed or not, is
 * hiredis' matter. */
const redis_reply *pubsub__redis_parser_push(redis_parser *parser, const char *bytes, size_t len,
                                             size_t *used)
{
    const redisReader *reader = parser->reader;
    const char *at = bytes;
    const char *end = bytes + len;
    size_t count = 0;
    bool idle = !parser->broken && reader->ridx == -1 && reader->pos == reader->len;
    if (!idle || !read_length(&at, end, '*', &count) || count < 3 || count > PUSH_PARTS ||
        !read_text(&at, end, &parser->parts[0]) ||
        !pubsub__redis_is_text(&parser->parts[0], count == 3 ? "message" : "pmessage")) {
        return NULL;
    }
    for (size_t i = 1; i < count; i++) {
        if (!read_text(&at, end, &parser->parts[i])) {
            return NULL;
        }
    }
    parser->push.type = REDIS_ARRAY;
    parser->push.len = count;
    parser->push.as.elements = parser->parts;
    *used = (size_t)(at - bytes);
    return &parser->push;
}

size_t pubsub__redis_parser_unread(redis_parser *parser)
{
    redisReader *reader = parser->reader;
    size_t left = reader->len - reader->pos;
    if (parser->broken || reader->ridx != -1) {
        return 0;
    }
    reader->pos = reader->len;
    return left;
}

/* ---- reading ------------------------------------------------------------------------------------- */

bool pubsub__redis_is_text(const redis_reply *reply, const char *text)
{
    pubsub_bytes bytes = pubsub__redis_bytes(reply);
    return bytes.data != NULL && bytes.len == strlen(text) &&
           memcmp(bytes.data, text, bytes.len) == 0;
}

pubsub_bytes pubsub__redis_bytes(const redis_reply *reply)
{
    bool text = reply != NULL && (reply->type == REDIS_STRING || reply->type == REDIS_STATUS);
    return text ? (pubsub_bytes){reply->as.text, reply->len} : (pubsub_bytes){NULL, 0};
}

const redis_reply *pubsub__redis_at(const redis_reply *reply, size_t index)
{
    return index < pubsub__redis_count(reply) ? &reply->as.elements[index] : NULL;
}

size_t pubsub__redis_count(const redis_reply *reply)
{
    return reply != NULL && reply->type == REDIS_ARRAY ? reply->len : 0;
}

int64_t pubsub__redis_int(const redis_reply *reply, int64_t otherwise)
{
    return reply != NULL && reply->type == REDIS_INTEGER ? reply->as.integer : otherwise;
}

const redis_reply *pubsub__redis_find(const redis_reply *reply, const char *name)
{
    size_t count = pubsub__redis_count(reply);
    for (size_t i = 0; i + 1 < count; i += 2) {
        if (pubsub__redis_is_text(&reply->as.elements[i], name)) {
            return &reply->as.elements[i + 1];
        }
    }
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------------- */

/* "<mark><number>\r\n"; written backwards, because this runs for each part of each message. */
static bool put_length(pubsub__buf *out, char mark, uint64_t number)
{
    char text[24];
    char *at = text + sizeof(text);
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *--at = mark;
    return pubsub__buf_add(out, at, (size_t)(text + sizeof(text) - at)) == PUBSUB__BUF_OK;
}

bool pubsub__redis_put_array(pubsub__buf *out, size_t count)
{
    return put_length(out, '*', count);
}

bool pubsub__redis_put(pubsub__buf *out, const void *bytes, size_t len)
{
    return put_length(out, '$', len) &&
           (len == 0 || pubsub__buf_add(out, bytes, len) == PUBSUB__BUF_OK) &&
           pubsub__buf_add(out, "\r\n", 2) == PUBSUB__BUF_OK;
}

bool pubsub__redis_put_text(pubsub__buf *out, const char *text)
{
    return pubsub__redis_put(out, text, strlen(text));
}

bool pubsub__redis_put_u64(pubsub__buf *out, uint64_t number)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return pubsub__redis_put(out, text, (size_t)len);
}
