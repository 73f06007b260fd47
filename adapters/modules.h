/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_ADAPTERS_MODULES_H
#define PUBSUB_ADAPTERS_MODULES_H

/* Finding and opening adapters that are shared objects. Knows files; which adapters there are is the
 * registry's. */

#include <pubsub/spi/adapter.h>

/* The longest path of a module with its NUL. */
#define PUBSUB__MODULE_PATH 4096

/* Find NAME.so: in the directories of PUBSUB_ADAPTER_PATH, then where the library's own modules are. False
 * when there is none, or the name is none for a file. path has PUBSUB__MODULE_PATH bytes; tried, when not
 * NULL, gets the directory that was looked in last. */
bool pubsub__module_find(const char *name, char *path, char *tried);

/* Open a file and look at its table, without registering it. *object is for pubsub__module_close.
 * `package` is what may be missing when a library behind it is, or NULL. PUBSUB_ENOTFOUND, PUBSUB_EVERSION. */
pubsub_err pubsub__module_open(const char *path, const char *package, void **object,
                               const pubsub_adapter **out, pubsub_error *err);
/* Close one that was refused. */
void pubsub__module_close(void *object);

#endif
