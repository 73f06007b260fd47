/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_REDIS_RESP_H
#define PUBSUB_REDIS_RESP_H

/* RESP2, the protocol of Redis: commands are appended to a buffer, replies are parsed by hiredis' reader into
 * objects of our own, which live in an arena until the next reply. Source: redis.io, "RESP protocol
 * description". Nothing here does I/O. */

#include "base/buf.h"

#include <pubsub/error.h>
#include <pubsub/types.h>

/* More elements of one array than this are refused: 24 bytes are needed for each. */
#define REDIS_ELEMENTS_MAX (UINT32_C(1) << 20)

typedef enum redis_type {
    REDIS_NIL = 0,
    REDIS_STRING = 1,
    REDIS_STATUS = 2,
    REDIS_ERROR = 3,
    REDIS_INTEGER = 4,
    REDIS_ARRAY = 5
} redis_type;

/* A reply, or an element of one. Lives until the next call of pubsub__redis_parser_next. */
typedef struct redis_reply redis_reply;
struct redis_reply {
    redis_type type;
    size_t len; /* bytes of a text, elements of an array */
    union {
        const char *text; /* STRING, STATUS, ERROR; a NUL stands behind it */
        int64_t integer;
        redis_reply *elements;
    } as;
};

typedef struct redis_parser redis_parser;

redis_parser *pubsub__redis_parser_new(void); /* NULL: no memory */
void pubsub__redis_parser_free(redis_parser *parser);
/* Give it bytes as they come. False: no memory, or a reply before was malformed. */
bool pubsub__redis_parser_feed(redis_parser *parser, const void *bytes, size_t len);
/* The next complete reply, NULL when more bytes are needed or the bytes are no RESP2: then *bad says why. */
const redis_reply *pubsub__redis_parser_next(redis_parser *parser, const char **bad);
/* A message of a channel that lies whole at the beginning of `bytes`, which were not fed: read in place, so it
 * lives as long as they do, and no NUL stands behind its texts. NULL: they are something else or not all of it,
 * or the parser is inside a reply, so that they have to be fed. */
const redis_reply *pubsub__redis_parser_push(redis_parser *parser, const char *bytes, size_t len,
                                             size_t *used);
/* Behind a reply: how many bytes of the last feed are not used yet. They are forgotten; the caller goes on with
 * them. */
size_t pubsub__redis_parser_unread(redis_parser *parser);

/* ---- reading replies; all of them fit any reply, NULL too ---- */

bool pubsub__redis_is_text(const redis_reply *reply, const char *text);
/* STRING and STATUS; {NULL,0} otherwise. */
pubsub_bytes pubsub__redis_bytes(const redis_reply *reply);
/* The element of an array; NULL when there is none. */
const redis_reply *pubsub__redis_at(const redis_reply *reply, size_t index);
size_t pubsub__redis_count(const redis_reply *reply);
int64_t pubsub__redis_int(const redis_reply *reply, int64_t otherwise);
/* The value behind a name in a flat list of names and values; NULL when there is none. */
const redis_reply *pubsub__redis_find(const redis_reply *reply, const char *name);

/* ---- writing commands; false: no memory, what was written of the command has to be cut off ---- */

bool pubsub__redis_put_array(pubsub__buf *out, size_t count);
bool pubsub__redis_put(pubsub__buf *out, const void *bytes, size_t len);
bool pubsub__redis_put_text(pubsub__buf *out, const char *text);
bool pubsub__redis_put_u64(pubsub__buf *out, uint64_t number);

#endif
