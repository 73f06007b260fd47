/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_OPTIONS_LIST_H
#define PUBSUB_CLI_OPTIONS_LIST_H

#include "client_setup.h"

/* `-X list`: every option there is. `-X dump`: what is set. Both return an exit code. */
int cli_options_list(void);
int cli_options_dump(const cli_setup *setup);

#endif
