/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_PRINTER_H
#define PUBSUB_CLI_PRINTER_H

/* How `sub` prints one message: chosen once from the flags, then run for each. */

#include "format.h"
#include "opt.h"
#include "view.h"

#include "base/buf.h"

typedef enum printer_style {
    PRINTER_BODY = 0,
    PRINTER_HEX,
    PRINTER_FORMAT,
    PRINTER_JSON,
    PRINTER_CSV,
} printer_style;

typedef struct cli_printer {
    printer_style style;
    cli_format *format;
    unsigned needs; /* CLI_NEEDS_* */
    bool topic_first;
    int stamps;      /* 0 none, 1 rel, 2 iso, 3 ns */
    bool terminated; /* a byte behind each message */
    char terminator;
    const char *broker;
    uint64_t start_ns; /* for --timestamps=rel, wall clock */
} cli_printer;

/* Returns an exit code; errors have been printed. broker is the scheme. */
int cli_printer_init(cli_printer *printer, const cli_args *args, const char *broker);
void cli_printer_fini(cli_printer *printer);

/* Fill view from a message: only the parts in needs. headers has room for PUBSUB_HEADERS_MAX,
 * position for PUBSUB_POSITION_TEXT_MAX. */
void cli_view_fill(cli_view *view, const pubsub_message *message, unsigned needs,
                   pubsub_header *headers, char *position);

/* Add one message to out. False when memory is short. */
bool cli_printer_add(const cli_printer *printer, pubsub__buf *out, const cli_view *view);

#endif
