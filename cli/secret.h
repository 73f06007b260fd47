/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SECRET_H
#define PUBSUB_CLI_SECRET_H

#include "opt.h"

#include <stddef.h>

#define CLI_SECRET_MAX 4096

/* The password from --askpass, --password-file or --password, in this order; "" when none of them is
 * given. Errors have been printed; returns CLI_EXIT_OK or an exit code. Wipe out after use. */
int cli_secret_read(const cli_args *args, char *out, size_t size);

/* The first line of a file. */
int cli_secret_file(const char *path, char *out, size_t size);

#endif
