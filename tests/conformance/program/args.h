/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_PROGRAM_ARGS_H
#define PUBSUB_TESTS_PROGRAM_ARGS_H

/* The words pubsub-conformance is called with. */

#include "conformance/conf.h"

enum { EXIT_PASSED = 0, EXIT_NOT_PASSED = 1, EXIT_USAGE = 2 };

typedef struct program_args {
    const char *url; /* NULL only with `list` */
    const char *module;
    const char *dead_url;
    const char *only;
    bool list;
    bool json;
    conf_adapter adapter; /* what the quirks say of it */
} program_args;

/* -1 = go on; otherwise the program ends with this: --help was answered, or the words are wrong and it was
 * said. */
int args_read(program_args *args, int argc, char **argv);

#endif
