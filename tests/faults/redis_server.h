/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_REDIS_SERVER_H
#define PUBSUB_TESTS_REDIS_SERVER_H

/* What a person would say to a Redis server while programs use it. */

#include "support/broker.h"

/* Say a command; an error fails the test. */
void redis_say(kit_broker *broker, const char *command);
/* The same, with what came of the answer in one read. */
void redis_ask(kit_broker *broker, const char *command, char *reply, size_t size);
/* "REPLICAOF 127.0.0.1 PORT"; master NULL = it is its own master again. */
void redis_replica_of(kit_broker *broker, kit_broker *master);

#endif
