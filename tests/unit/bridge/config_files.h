/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_BRIDGE_CONFIG_FILES_H
#define PUBSUB_TESTS_BRIDGE_CONFIG_FILES_H

/* What tests of configuration files share. */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The least a file holds. */
#define BROKERS "brokers: {main: 'local:/tmp/x'}\n"
#define SOURCES "sources: {db: {connector: '${FAKE_CONNECTOR}', url: 'http://h'}}\n"
#define ROUTES "routes: [{model: accounts, topic: /v1/subutest}]\n"

/* For all cases of a program: *state is a directory; the environment names a connector and two directories
 * for state. */
int config_set_up(void **state);
int config_tear_down(void **state);

#endif
