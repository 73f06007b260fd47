/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_INPUT_H
#define PUBSUB_CLI_INPUT_H

/* Cuts what comes from a descriptor into records. Records point into the buffer: they are valid until
 * the next cli_input_fill. */

#include <pubsub/types.h>

#include <stdbool.h>

typedef enum cli_input_result {
    CLI_INPUT_RECORD = 0,
    CLI_INPUT_MORE = 1, /* nothing complete: fill, then ask again */
    CLI_INPUT_END = 2,
    CLI_INPUT_TOO_LONG = 3, /* a record longer than the maximum */
} cli_input_result;

typedef struct cli_input {
    int fd;
    char *data;
    size_t start;   /* of the record that is next */
    size_t end;     /* of what was read */
    size_t scanned; /* no delimiter begins between start and here */
    size_t capacity;
    size_t max;        /* longest record in bytes */
    const char *delim; /* borrowed; len 0 = everything is one record */
    size_t delim_len;
    uint64_t records; /* handed out so far */
    bool eof;
} cli_input;

/* False when memory is short. */
bool cli_input_init(cli_input *in, int fd, pubsub_bytes delim, size_t max);
void cli_input_fini(cli_input *in); /* does not close fd */

/* The next record, without its delimiter. The last one needs none; an empty rest is no record, but a
 * whole input (delim of length 0) is always exactly one, even when empty. */
cli_input_result cli_input_next(cli_input *in, pubsub_bytes *record);

/* One read(2). 1 = something or the end came, 0 = nothing now (EAGAIN, EINTR), -1 = failed, errno. */
int cli_input_fill(cli_input *in);

/* Cut a record at the first delim: head before, *rest behind it. False when it is not there. */
bool cli_input_cut(pubsub_bytes record, pubsub_bytes delim, pubsub_bytes *head, pubsub_bytes *rest);

#endif
