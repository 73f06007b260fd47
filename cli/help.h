/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_HELP_H
#define PUBSUB_CLI_HELP_H

/* What is generated from the table of commands. Everything goes to the stream given. */

#include "cmd.h"

#include <stdio.h>

/* How durations and sizes are written. */
extern const char cli_help_units[];

/* All commands. */
void cli_help_overview(FILE *out);
/* One command with every option. */
void cli_help_command(FILE *out, const cli_command *command);

/* Manual pages in mdoc(7); command NULL gives pubsub(1). */
void cli_man_page(FILE *out, const cli_command *command);

/* Completion scripts; false when the shell is not known. */
bool cli_complete_script(FILE *out, const char *shell);

/* "N", "D (default 5s)", ... what help and manual say about values. Returns buf. */
const char *cli_option_default(const cli_option *row, char *buf, size_t size);
/* The letter, 0 when it has none or another option of the command took it. */
char cli_option_letter(const cli_command *command, const cli_option *row);

#endif
