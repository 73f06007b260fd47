/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_MESSAGE_FLAGS_H
#define PUBSUB_CLI_MESSAGE_FLAGS_H

/* Flags that several commands share because they make a message: -H, and for those with one body the
 * body itself. Errors have been printed; exit codes are returned. */

#include "input.h"
#include "opt.h"

#include <pubsub/message.h>

/* All -H of the command line into headers, which has room for PUBSUB_HEADERS_MAX. */
int cli_headers_read(const cli_args *args, pubsub_header *headers, size_t *count);

/* One body. */
typedef struct cli_body {
    pubsub_bytes bytes;
    cli_input in; /* holds what was read */
    bool reading;
} cli_body;

/* TOPIC of -t or the first word, and the word behind it or NULL. */
int cli_words_read(const cli_args *args, const char **topic, const char **body);
/* The body: word, -m, -n, -f FILE or stdin. *given is false when there is none of them, which is no
 * error; stdin counts when it is no terminal and stdin_too. cli_body_fini is fine in all cases. */
int cli_body_read(cli_body *body, const cli_args *args, const char *word, bool stdin_too,
                  bool *given);
void cli_body_fini(cli_body *body);

/* A pipe, a file or a socket; not a terminal, and not /dev/null, which is what programs without a
 * terminal are started with. */
bool cli_stdin_is_given(void);

#endif
