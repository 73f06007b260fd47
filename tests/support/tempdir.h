/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_TEMPDIR_H
#define PUBSUB_TESTS_TEMPDIR_H

#include <stddef.h>

/* Directories below $TMPDIR (else /tmp), mode 0700. What is left when the process that made them
 * exits is removed; a child process removes nothing of its parent's. */

#define KIT_PATH_MAX 256

/* Make a new directory; its path is stored in path. Fails the test when that does not work. */
void kit_dir_new(char path[KIT_PATH_MAX]);
/* Remove it with everything below. */
void kit_dir_remove(const char *path);

#endif
