/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_HEAD_H
#define PUBSUB_BRIDGE_HEAD_H

/* HTTP/1.1 as bytes (RFC 9112): the head of a request, chunked bodies, escapes. Strict where leniency
 * lets two readers of one stream see different requests. No memory, no I/O. */

#include "base/buf.h"

#include <pubsub/types.h>

#define BRIDGE_HEAD_FIELDS_MAX 100

typedef struct bridge_field {
    pubsub_bytes name;
    pubsub_bytes value; /* without white space around it */
} bridge_field;

typedef struct bridge_head {
    pubsub_bytes method;
    pubsub_bytes path;
    pubsub_bytes query;
    size_t field_count;
    int64_t length; /* -1 = not told */
    bool chunked;
    bool keep_alive;
    bool expects; /* "100-continue" */
    bridge_field
        fields[BRIDGE_HEAD_FIELDS_MAX]; /* last: those behind field_count are never touched */
} bridge_head;

/* The length of the complete head at the start of the data with its empty line, 0 = more is needed.
 * *seen is where to go on looking; 0 at first. */
size_t bridge_head_end(const char *data, size_t len, size_t *seen);

/* Take a complete head apart; what is in *out points into it. 0, or the status to answer with and in
 * *why a line that says what is wrong. */
int bridge_head_parse(bridge_head *out, pubsub_bytes head, const char **why);

/* The first header of a name, any case; {NULL,0} when there is none. *count may be NULL. */
pubsub_bytes bridge_head_find(const bridge_head *head, const char *name, size_t *count);

typedef enum bridge_chunk_result {
    BRIDGE_CHUNK_MORE, /* everything was taken */
    BRIDGE_CHUNK_PIECE,
    BRIDGE_CHUNK_END, /* the body is complete; what follows belongs to the next request */
    BRIDGE_CHUNK_BAD,
} bridge_chunk_result;

/* A chunked body; start zeroed. */
typedef struct bridge_chunks {
    int state;
    int digits;
    uint64_t left;
    size_t extra; /* bytes that are no content so far in this line or trailer */
} bridge_chunks;

/* Take from *data what belongs together; a piece of content is in *piece. */
bridge_chunk_result bridge_chunks_take(bridge_chunks *chunks, pubsub_bytes *data,
                                       pubsub_bytes *piece);

/* %XX undone, appended; false when an escape is broken, gives NUL, or it does not fit. */
bool bridge_percent_decode(pubsub_bytes text, bool plus_is_blank, pubsub__buf *out);
/* The first parameter of a name in a query, decoded and appended. False when there is none or it is
 * broken. */
bool bridge_query_find(pubsub_bytes query, const char *name, pubsub__buf *out);

/* -1 = it is none. */
int bridge_hex_digit(char c);

/* Whether bytes are this text, in any case. */
bool bridge_bytes_are(pubsub_bytes bytes, const char *text);

#endif
