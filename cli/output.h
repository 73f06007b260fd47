/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_OUTPUT_H
#define PUBSUB_CLI_OUTPUT_H

/* Buffered output that is written in whole messages: when nothing more is ready, at the latest after
 * 64 KiB or 5 ms. The caller acknowledges messages only after the flush that carried them. */

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define CLI_OUTPUT_BYTES ((size_t)64 * 1024)
#define CLI_OUTPUT_NS UINT64_C(5000000)

typedef struct cli_output {
    int fd;
    pubsub__buf buf;   /* add to it directly, then call cli_output_added */
    uint64_t first_ns; /* when the oldest byte was added; 0 = empty */
    int error;         /* errno of the first failed write; EINTR = a signal came while it blocked */
} cli_output;

void cli_output_init(cli_output *out, int fd);
void cli_output_fini(cli_output *out); /* does not flush */

/* Whether it is time to flush, now_ns by pubsub__clock_mono_ns(). */
bool cli_output_is_due(cli_output *out, uint64_t now_ns);
/* Write everything. False when that failed now or before; what was not written is then dropped. */
bool cli_output_flush(cli_output *out);
/* Whether the reader went away: not an error but the end. */
bool cli_output_is_closed(const cli_output *out);

#endif
