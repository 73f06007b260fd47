/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_FORMAT_H
#define PUBSUB_CLI_FORMAT_H

/* Format strings of `sub -F`: compiled once, then run for each message. */

#include "view.h"

#include "base/buf.h"

#include <stdbool.h>

#define CLI_FORMAT_MAX ((size_t)64 * 1024)

typedef struct cli_format cli_format;

/* Compile; NULL when it is wrong, with the reason and the position (from 1) in err. */
cli_format *cli_format_compile(const char *text, char *err, size_t err_size);
void cli_format_free(cli_format *format); /* NULL is a no-op */

/* Which parts of the view it reads: CLI_NEEDS_*. */
unsigned cli_format_needs(const cli_format *format);

/* Add one message to out. False when memory is short. */
bool cli_format_run(const cli_format *format, pubsub__buf *out, const cli_view *view);

/* One line of comma-separated values: number, time, topic, key, body. */
bool cli_csv_add(pubsub__buf *out, const cli_view *view);

#endif
