/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_EXEC_LINE_H
#define PUBSUB_BRIDGE_EXEC_LINE_H

/* One line of a program that is a connector: JSON, an object. Members that are not known are passed
 * over, so that programs may say more to later versions. */

#include "base/buf.h"

#include <pubsub/connector.h>

typedef enum exec_line_kind {
    EXEC_LINE_EMPTY = 0,
    EXEC_LINE_EVENT, /* {"model":..,"document":..,"id":..,"key":..,"event":..,"position":..,"time":..} */
    EXEC_LINE_POSITION, /* {"position":..} */
    EXEC_LINE_ERROR,    /* {"error":".."} */
    EXEC_LINE_STATE,    /* {"state":"active"} */
    EXEC_LINE_BAD,      /* `why` says what is wrong with it */
} exec_line_kind;

typedef struct exec_line {
    exec_line_kind kind;
    const char *why;
    pubsub__buf model; /* "" = not told */
    pubsub__buf id;
    pubsub__buf key;
    pubsub__buf position;
    pubsub__buf text;      /* of an error */
    pubsub_bytes document; /* inside the line */
    pubsub_change change;
    pubsub_source_state state;
    uint64_t time_ns;
} exec_line;

void exec_line_init(exec_line *line);
void exec_line_fini(exec_line *line);
/* Take a line without its end apart; what was in *out before is gone. */
void exec_line_parse(exec_line *out, pubsub_bytes line);

#endif
