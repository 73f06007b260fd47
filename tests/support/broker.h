/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_BROKER_H
#define PUBSUB_TESTS_BROKER_H

/* Real brokers for tests, started by tests/brokers/broker.py on free loopback ports. They end with the
 * test program, however it ends. docs/brokers.md lists kinds, variants and what a broker tells.
 *
 * A broker that is not installed skips the test; it fails it when PUBSUB_TEST_REQUIRE_BROKERS is 1. One
 * that the run is not about (PUBSUB_TEST_BROKERS lists the kinds it is about) skips it always.
 * Call these inside tests, not in set-up functions: cmocka cannot skip there. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct kit_broker kit_broker;

/* Start one and wait until it is ready. kind: "mosquitto", "redis", "rabbitmq", "kafka",
 * "couchdb3", "pouchdb"; variants: "auth,tls", NULL = stock. Skips or fails the test when that does not
 * work. */
kit_broker *kit_broker_start(const char *kind, const char *variants);
/* The same with lines for its configuration file, ended by NULL, that win over ours. */
kit_broker *kit_broker_start_with(const char *kind, const char *variants,
                                  const char *const *settings);
/* End it and remove its data. NULL is allowed. */
void kit_broker_stop(kit_broker *broker);

/* kill -9. */
void kit_broker_kill(kit_broker *broker);
/* SIGSTOP and SIGCONT: it accepts connections and answers nothing. */
void kit_broker_pause(kit_broker *broker);
void kit_broker_resume(kit_broker *broker);
/* End it in order if it runs, start it again: same ports, same data. */
void kit_broker_restart(kit_broker *broker);
/* The same for one process of a cluster: "kafka-2". */
void kit_broker_kill_node(kit_broker *broker, const char *node);
void kit_broker_restart_node(kit_broker *broker, const char *node);

/* What it told: "url", "url_tls", "user", "password_file", "ca", "wrong_ca", "cert", "key", "dir", "log",
 * "port_plain" ...; NULL = it has no such thing. Valid until the next restart or stop. */
const char *kit_broker_get(const kit_broker *broker, const char *name);
/* The same, but it has to be there. */
const char *kit_broker_need(const kit_broker *broker, const char *name);
const char *kit_broker_url(const kit_broker *broker);
/* The password of "user", or of "limited_user" with limited. */
const char *kit_broker_password(const kit_broker *broker, bool limited);
/* 0 while it does not run. */
pid_t kit_broker_pid(const kit_broker *broker);

/* The URL of the instance that all tests share: from PUBSUB_TEST_MQTT_URL, PUBSUB_TEST_REDIS_URL,
 * PUBSUB_TEST_AMQP_URL or PUBSUB_TEST_KAFKA_URL, which scripts/test sets; else one is started for this
 * program. It is generous, keeps
 * confirmed messages on disk, and is not to be disturbed. */
const char *kit_broker_shared(const char *kind);
/* Whether a kind is installed and asked for, without skipping anything. */
bool kit_broker_installed(const char *kind);
/* Whether the run is about this kind at all. */
bool kit_broker_asked(const char *kind);
/* The shared URL that the environment gives, NULL = it gives none. */
const char *kit_broker_given(const char *kind);

#endif
