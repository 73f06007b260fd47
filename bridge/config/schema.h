/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SCHEMA_H
#define PUBSUB_BRIDGE_SCHEMA_H

/* What may stand in the file: one table for each part of it, of the same rows that connectors have. The
 * tables are what is checked, and what the reference prints. A row of type JSON is a structure that its
 * part reads by itself. */

#include <pubsub/connector.h>

/* What names of sources, brokers and routes are made of. */
#define BRIDGE_NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

typedef struct bridge_schema {
    const char *name; /* "routes[]" */
    const char *what; /* "a route" */
    const pubsub_setting *rows;
    size_t count;
} bridge_schema;

/* The indexes of the rows, in the order of the tables. */
enum {
    BRIDGE_ROW_TOP_STATE,
    BRIDGE_ROW_TOP_LISTEN,
    BRIDGE_ROW_TOP_LOG,
    BRIDGE_ROW_TOP_DRAIN,
    BRIDGE_ROW_TOP_BROKERS,
    BRIDGE_ROW_TOP_SOURCES,
    BRIDGE_ROW_TOP_ROUTES,
    BRIDGE_ROW_TOP_COUNT
};
enum { BRIDGE_ROW_LOG_LEVEL, BRIDGE_ROW_LOG_FORMAT, BRIDGE_ROW_LOG_COUNT };
enum { BRIDGE_ROW_BROKER_URL, BRIDGE_ROW_BROKER_COUNT };
enum {
    BRIDGE_ROW_SOURCE_CONNECTOR,
    BRIDGE_ROW_SOURCE_SPOOL,
    BRIDGE_ROW_SOURCE_SPOOL_SIZE,
    BRIDGE_ROW_SOURCE_COUNT
};
enum {
    BRIDGE_ROW_ROUTE_NAME,
    BRIDGE_ROW_ROUTE_SOURCE,
    BRIDGE_ROW_ROUTE_MODEL,
    BRIDGE_ROW_ROUTE_MODELS,
    BRIDGE_ROW_ROUTE_BROKER,
    BRIDGE_ROW_ROUTE_TOPIC,
    BRIDGE_ROW_ROUTE_FORMAT,
    BRIDGE_ROW_ROUTE_CHANGES,
    BRIDGE_ROW_ROUTE_WHERE,
    BRIDGE_ROW_ROUTE_QOS,
    BRIDGE_ROW_ROUTE_RETAIN,
    BRIDGE_ROW_ROUTE_KEY,
    BRIDGE_ROW_ROUTE_DEGRADE,
    BRIDGE_ROW_ROUTE_EXPIRY,
    BRIDGE_ROW_ROUTE_IN_FLIGHT,
    BRIDGE_ROW_ROUTE_IN_FLIGHT_BYTES,
    BRIDGE_ROW_ROUTE_ORDER,
    BRIDGE_ROW_ROUTE_ON_REJECT,
    BRIDGE_ROW_ROUTE_DEAD_LETTER,
    BRIDGE_ROW_ROUTE_STALL,
    BRIDGE_ROW_ROUTE_COUNT
};

extern const bridge_schema bridge_schema_top;
extern const bridge_schema bridge_schema_log;
extern const bridge_schema bridge_schema_broker;
extern const bridge_schema bridge_schema_source;
extern const bridge_schema bridge_schema_route;

#endif
