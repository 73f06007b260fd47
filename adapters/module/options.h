/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_ADAPTERS_MODULE_OPTIONS_H
#define PUBSUB_ADAPTERS_MODULE_OPTIONS_H

/* For the option rows of an adapter that may be a module. Its file of rows is then compiled twice: into the
 * module, and into the library, which shows and checks options without opening it. A row whose check needs
 * the adapter's own code says .check = PUBSUB__MODULE_CHECK(its_check). */

#include <pubsub/spi/option.h>

/* In the shared library: opens the module of row->adapter and asks its row of the same name. Where there is no
 * such module the value passes: it is not for this machine. */
pubsub_err pubsub__module_check(const pubsub_option_row *row, const char *name, const char *value,
                                pubsub_error *err);

#ifdef PUBSUB_MODULE_ROWS
#define PUBSUB__MODULE_CHECK(check) pubsub__module_check
#else
#define PUBSUB__MODULE_CHECK(check) check
#endif

#endif
