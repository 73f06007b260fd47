/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_EXEC_ENV_H
#define PUBSUB_BRIDGE_EXEC_ENV_H

/* What a program finds in its environment. */

#include "base/buf.h"

#include <pubsub/connector.h>

#define EXEC_ENV_MAX 64

typedef struct exec_env {
    char *list[EXEC_ENV_MAX + 1]; /* NAME=value, NULL-terminated */
    size_t count;
    pubsub__buf given; /* content of the file it is given */
} exec_env;

/* The models with their stored positions, what programs need to run, and `more`; both lists end in NULL.
 * False: too many, too long, or memory is short. Release it in both cases. */
bool exec_env_fill(exec_env *env, pubsub_emitter *emitter, char *const *models, char *const *more);
void exec_env_fini(exec_env *env);

#endif
