/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_TABLE_H
#define PUBSUB_BRIDGE_TABLE_H

/* The connectors that are built in; each is declared here and listed in table.c. */

#include <pubsub/connector.h>

extern const pubsub_connector bridge_connector_broker;
extern const pubsub_connector bridge_connector_couchdb;
extern const pubsub_connector bridge_connector_exec;
extern const pubsub_connector bridge_connector_webhook;

#endif
