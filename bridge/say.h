/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SAY_H
#define PUBSUB_BRIDGE_SAY_H

/* What people and log collectors are told: always on stderr, always whole lines. Text lines read
 * "what: text"; JSON lines have time, level, and the same in fields. */

#include <pubsub/types.h>

/* level: PUBSUB_LOG_*; what is less important is not shown. */
void bridge_say_setup(int level, bool json);
int bridge_say_level(void);

/* One line. about: a route, a model, a part of the program; NULL = the program itself. */
void bridge_say(int level, const char *about, const char *format, ...) PUBSUB_PRINTF(3, 4);

/* The same about a model of a route, for `run -v`. */
void bridge_say_model(int level, const char *route, pubsub_bytes model, pubsub_bytes text);

/* "pubsub-bridge: text", whatever the level: for wrong usage. */
void bridge_error(const char *format, ...) PUBSUB_PRINTF(1, 2);

#endif
