/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_ADAPTERS_REGISTRY_H
#define PUBSUB_ADAPTERS_REGISTRY_H

#include <pubsub/spi/adapter.h>

/* The adapter of a scheme; NULL with PUBSUB_ESCHEME or PUBSUB_ENOTBUILT in err. */
const pubsub_adapter *pubsub__registry_find(const char *scheme, pubsub_error *err);
/* Whether the scheme itself asks for TLS, as mqtts does. */
bool pubsub__registry_implies_tls(const char *scheme);

#endif
