/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_SECRET_H
#define PUBSUB_CLI_SECRET_H

#include "opt.h"

#include <stddef.h>

#define CLI_SECRET_MAX 4096

/* The password from --askpass, --password-file or --password, in this order; *flag is the one that
 * gave it, NULL when none of them is there. Errors have been printed; returns CLI_EXIT_OK or an exit
 * code. Wipe out after use. */
int cli_secret_read(const cli_args *args, const char **flag, char *out, size_t size);

/* Say that a password on the command line can be seen. */
void cli_secret_warn(const char *flag);

/* The first line of a file, which must not be empty. who is for messages: "--password-file". */
int cli_secret_file(const char *path, const char *who, char *out, size_t size);

#endif
