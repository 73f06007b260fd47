/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_STATE_DIR_H
#define PUBSUB_BRIDGE_STATE_DIR_H

#include <pubsub/error.h>

/* Make a directory and what is missing above it, mode 0700. */
pubsub_err bridge_state_dir_make(const char *path, pubsub_error *err);

/* Make the state directory and take it for this process: *lock is a descriptor to be closed at the end.
 * PUBSUB_EBUSY when another one has it. */
pubsub_err bridge_state_dir_take(const char *path, int *lock, pubsub_error *err);

#endif
