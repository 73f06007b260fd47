/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_OPTIONS_KNOWN_H
#define PUBSUB_OPTIONS_KNOWN_H

/* What the option table asks the registry of adapters. The registry defines both functions; the
 * table needs nothing else from it, and a test may put its own pair in their place. */

#include <pubsub/spi/option.h>

/* The rows of an adapter, ended by name == NULL. NULL when the adapter is not built in or brings no
 * rows. *known tells whether the name is that of an adapter at all, built or not. */
const pubsub_option_row *pubsub__registry_option_rows(const char *adapter, bool *known);

/* The index-th known adapter name, built or not; NULL after the last. */
const char *pubsub__registry_adapter_name(size_t index);

#endif
