/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_CLI_TEMPLATE_H
#define PUBSUB_CLI_TEMPLATE_H

/* `pub --template`: {{Count}} {{Time}} {{ID}} {{Random MIN MAX}}. Anything else in double braces stays
 * as it is. */

#include "base/buf.h"

#include <pubsub/types.h>

#include <stdbool.h>
#include <stdint.h>

/* Add text to out with its fields replaced. count is the number of the message; id is the same for
 * topic, key and body of one message. False when memory is short. */
bool cli_template_add(pubsub__buf *out, pubsub_bytes text, uint64_t count, uint64_t now_ns,
                      const char *id);

#endif
