/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CLIENTS_H
#define PUBSUB_TESTS_CLIENTS_H

/* For a program whose cases all begin in the same way: no clients yet, io=thread, the case polls. */

#include "support/net.h"

/* The clients of the case that runs. */
extern kit_net kit_clients;

int kit_clients_set_up(void **state);
int kit_clients_tear_down(void **state);

/* A line of cmocka's table. */
#define KIT_CLIENTS_CASE(fn)                                                                       \
    cmocka_unit_test_setup_teardown(fn, kit_clients_set_up, kit_clients_tear_down)

/* "name=value", in a buffer that the next call but three uses again. */
const char *kit_option(const char *name, const char *value);

/* Publish one byte with this QoS, or so many zeros; wait for the outcome. */
pubsub_err kit_publish_qos(kit_peer *peer, const char *topic, int qos, pubsub_receipt *receipt,
                           pubsub_error *error);
pubsub_err kit_publish_zeros(kit_peer *peer, const char *topic, size_t size,
                             pubsub_receipt *receipt, pubsub_error *error);

#endif
