/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_COUCHDB_ROWS_H
#define PUBSUB_COUCHDB_ROWS_H

/* Rows out of the body of a `_changes` answer, in whatever pieces it comes. A row that lies in one piece
 * is given as a slice of it; only one that is spread over pieces is copied. */

#include "base/buf.h"

#include <pubsub/types.h>

typedef enum couch_found {
    COUCH_MORE = 0, /* all bytes are used up */
    COUCH_ROW,
    COUCH_END,     /* a feed of lines has told its last_seq */
    COUCH_BROKEN,  /* this is no such body */
    COUCH_TOO_BIG, /* a row is longer than the maximum */
    COUCH_NOMEM,
} couch_found;

typedef enum couch_stage {
    COUCH_STAGE_BEGIN = 0, /* before the page's object */
    COUCH_STAGE_NAME,
    COUCH_STAGE_COLON,
    COUCH_STAGE_VALUE,
    COUCH_STAGE_ROWS,  /* between the rows of a page */
    COUCH_STAGE_LINES, /* between the rows of a feed */
    COUCH_STAGE_OVER,
} couch_stage;

/* The value being collected. */
typedef enum couch_token {
    COUCH_TOKEN_NONE = 0,
    COUCH_TOKEN_STRING,
    COUCH_TOKEN_NESTED, /* an object or an array */
    COUCH_TOKEN_BARE,   /* a number, true, false, null */
} couch_token;

typedef struct couch_rows {
    couch_stage stage;
    couch_token token;
    bool in_row;
    bool in_string;
    bool escaped;
    bool nameless; /* the value's name is none of ours */
    bool is_results;
    bool is_last_seq;
    size_t depth;
    pubsub__buf carry;    /* the beginning of a token that goes on in the next piece */
    pubsub__buf last_seq; /* its JSON; empty = not told */
    char trouble[160];    /* what the server says instead: an error in the middle of a body */
} couch_rows;

/* row_max: bytes of the longest row. */
void couch_rows_init(couch_rows *rows, size_t row_max);
void couch_rows_fini(couch_rows *rows);
/* A new body; lines: a continuous feed. */
void couch_rows_start(couch_rows *rows, bool lines);
/* The next thing in `in`, whose front is cut off by what was used. *row lives as long as the piece and
 * until the next call. After anything but a row or more there is nothing more to come. */
couch_found couch_rows_next(couch_rows *rows, pubsub_bytes *in, pubsub_bytes *row);
/* Whether the body may end here. */
bool couch_rows_whole(const couch_rows *rows);

/* One row, sliced. */
typedef struct couch_row {
    pubsub_bytes raw;
    pubsub_bytes seq; /* JSON; empty when null or not there */
    pubsub_bytes id;  /* JSON string */
    pubsub_bytes rev; /* without quotes */
    pubsub_bytes doc; /* JSON object; empty when not there */
    bool deleted;
} couch_row;

/* NULL, or what is wrong with it. */
const char *couch_row_parse(pubsub_bytes raw, couch_row *out);

#endif
