/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_CMD_H
#define PUBSUB_BRIDGE_CMD_H

/* One function for each command; all return an exit code (exit.h). */

#include "args.h"
#include "config/config.h"

int bridge_cmd_run(const bridge_args *args);
int bridge_cmd_check(const bridge_args *args);
int bridge_cmd_status(const bridge_args *args);
int bridge_cmd_spool(const bridge_args *args);
int bridge_cmd_connectors(const bridge_args *args);

/* The file of the command line, with what the command line says over it. NULL when something is wrong;
 * it has been said. */
bridge_config *bridge_load(const bridge_args *args, const char *file);

#endif
