/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_MODELS_H
#define PUBSUB_BRIDGE_MODELS_H

#include <pubsub/connector.h>

/* Whether a model has the name, or the pattern's; `*` stands for any bytes. */
bool bridge_model_fits(const char *pattern, pubsub_bytes model);

#endif
