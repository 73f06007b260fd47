/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_EXPECT_H
#define PUBSUB_CLI_EXPECT_H

/* `sub --expect` and `--expect-count`: whether what arrives is what should. */

#include "opt.h"

#include <pubsub/types.h>

typedef struct cli_expect_line {
    pubsub_bytes body;
    size_t number; /* from 1 */
    size_t used;   /* of the first of equal ones: how many have arrived */
} cli_expect_line;

typedef struct cli_expect {
    bool on;
    bool any_order;
    char *text;             /* the file */
    cli_expect_line *lines; /* NULL = only the number counts */
    uint64_t count;         /* how many are to arrive */
    uint64_t arrived;
} cli_expect;

/* Returns an exit code; errors have been printed. */
int cli_expect_init(cli_expect *expect, const cli_args *args);
void cli_expect_fini(cli_expect *expect);

/* A message arrived. False when it is wrong; it has been printed. */
bool cli_expect_message(cli_expect *expect, pubsub_bytes body);
/* Whether everything has arrived. */
bool cli_expect_is_met(const cli_expect *expect);

#endif
