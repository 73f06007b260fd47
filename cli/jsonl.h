/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_JSONL_H
#define PUBSUB_CLI_JSONL_H

/* One message as one line of JSON, and back, for any bytes.
 *
 * {"n":1,"recv":"<ns>","ts":"<ns>","broker":"local","topic":"a/b","key":"k","headers":[["k","v"]],
 *  "content_type":"..","reply_to":"..","correlation":"..","offset":"<position>","qos":1,
 *  "retain":false,"redelivered":true,"expires":"<ns>","payload":"..","encoding":"utf8"}
 *
 * Absent properties are left out. A payload that is not UTF-8 is base64 and says so in "encoding"; a
 * message without a value has "payload":null. Wherever else bytes are not UTF-8, an object
 * {"base64":".."} stands in place of the string. Times are strings, because they do not fit the
 * numbers of many readers. */

#include "view.h"

#include "base/buf.h"

#include <stdbool.h>

/* Add one line with its newline. False when memory is short. */
bool cli_jsonl_add(pubsub__buf *out, const cli_view *view);

/* Reads lines one after the other, keeping its memory. */
typedef struct cli_jsonl_reader cli_jsonl_reader;

typedef struct cli_jsonl_error {
    size_t column; /* from 1, in bytes; 0 = the whole line */
    char text[200];
} cli_jsonl_error;

cli_jsonl_reader *cli_jsonl_reader_new(void); /* NULL when memory is short */
void cli_jsonl_reader_free(cli_jsonl_reader *reader);

/* Read one line (without its newline) into a publication, whose parts live until the next reset.
 * Several lines may be read before it. Unknown members are passed over; qos is not taken over, since
 * what one broker delivered with says nothing about another; "retain" is. topic may be absent:
 * then it stays empty. now_ns is for "expires". */
bool cli_jsonl_read(cli_jsonl_reader *reader, pubsub_bytes line, uint64_t now_ns,
                    pubsub_publication *out, cli_jsonl_error *err);

/* Give back the memory of all lines read so far. */
void cli_jsonl_reset(cli_jsonl_reader *reader);

#endif
