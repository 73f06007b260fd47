/* SPDX-License-Identifier: MIT */
#include "config/schema.h"

#define TEXT PUBSUB_SETTING_TEXT
#define INT PUBSUB_SETTING_INT
#define DURATION PUBSUB_SETTING_DURATION
#define SIZE PUBSUB_SETTING_SIZE
#define BOOL PUBSUB_SETTING_BOOL
#define CHOICE PUBSUB_SETTING_CHOICE
#define PART PUBSUB_SETTING_JSON
#define REQUIRED PUBSUB_SETTING_REQUIRED
#define SECRET PUBSUB_SETTING_SECRET
#define LIST PUBSUB_SETTING_LIST

#define SCHEMA(variable, title, what, table)                                                       \
    const bridge_schema variable = {title, what, table, sizeof(table) / sizeof((table)[0])};

static const pubsub_setting top[] = {
    [BRIDGE_ROW_TOP_STATE] = {"state", TEXT, 0, NULL, NULL, 0, 0,
                              "directory for positions and spools; else $STATE_DIRECTORY, "
                              "$XDG_STATE_HOME/pubsub-bridge, ~/.local/state/pubsub-bridge"},
    [BRIDGE_ROW_TOP_LISTEN] =
        {"listen", TEXT, 0, NULL, NULL, 0, 0,
         "host:port of /live, /ready and /metrics; a port alone is 127.0.0.1; "
         "none when left out"},
    [BRIDGE_ROW_TOP_LOG] = {"log", PART, 0, NULL, NULL, 0, 0, "what is logged, and how"},
    [BRIDGE_ROW_TOP_DRAIN] = {"drain", DURATION, 0, "10s", NULL, 0, 3600000,
                              "how long SIGTERM waits for what is in flight"},
    [BRIDGE_ROW_TOP_BROKERS] = {"brokers", PART, 0, NULL, NULL, 0, 0, "name: broker, one or more"},
    [BRIDGE_ROW_TOP_SOURCES] = {"sources", PART, REQUIRED, NULL, NULL, 0, 0,
                                "name: source, one or more"},
    [BRIDGE_ROW_TOP_ROUTES] = {"routes", PART, REQUIRED, NULL, NULL, 0, 0, "list of routes"},
};
SCHEMA(bridge_schema_top, "the file", "the file", top)

static const pubsub_setting log_rows[] = {
    [BRIDGE_ROW_LOG_LEVEL] = {"level", CHOICE, 0, "info", "off|error|warn|info|debug|trace", 0, 0,
                              "how much is logged"},
    [BRIDGE_ROW_LOG_FORMAT] = {"format", CHOICE, 0, "text", "text|json", 0, 0,
                               "lines for people or for programs"},
};
SCHEMA(bridge_schema_log, "log", "`log`", log_rows)

static const pubsub_setting broker[] = {
    [BRIDGE_ROW_BROKER_URL] = {"url", TEXT, REQUIRED | SECRET, NULL, NULL, 0, 0,
                               "broker URL; every option of a client may stand beside it"},
};
SCHEMA(bridge_schema_broker, "brokers.NAME", "a broker", broker)

static const pubsub_setting source[] = {
    [BRIDGE_ROW_SOURCE_CONNECTOR] =
        {"connector", TEXT, REQUIRED, NULL, NULL, 0, 0,
         "name of a connector, or a file that ends in .so; its settings "
         "stand beside it"},
    [BRIDGE_ROW_SOURCE_SPOOL] = {"spool", CHOICE, 0, "auto", "auto|yes|no", 0, 0,
                                 "write events to disk before the source is answered; auto = where "
                                 "it cannot be read again"},
    [BRIDGE_ROW_SOURCE_SPOOL_SIZE] =
        {"spool_size", SIZE, 0, "1G", NULL, 1024 * 1024, 0,
         "how big the spool may get; when it is full the source waits"},
};
SCHEMA(bridge_schema_source, "sources.NAME", "a source", source)

static const pubsub_setting route[] = {
    [BRIDGE_ROW_ROUTE_NAME] = {"name", TEXT, 0, NULL, NULL, 0, 0,
                               "letters, digits, . _ -, up to 64; else made of source, models and "
                               "broker. Positions are stored under it"},
    [BRIDGE_ROW_ROUTE_SOURCE] = {"source", TEXT, 0, NULL, NULL, 0, 0,
                                 "name of a source; may be left out when there is one"},
    [BRIDGE_ROW_ROUTE_MODEL] = {"model", TEXT, 0, NULL, NULL, 0, 0,
                                "what of the source, such as a database; or `models`"},
    [BRIDGE_ROW_ROUTE_MODELS] = {"models", TEXT, LIST, NULL, NULL, 0, 0,
                                 "several, or patterns; what a pattern is says the connector"},
    [BRIDGE_ROW_ROUTE_BROKER] = {"broker", TEXT, 0, NULL, NULL, 0, 0,
                                 "name of a broker; may be left out when there is one"},
    [BRIDGE_ROW_ROUTE_TOPIC] = {"topic", TEXT, REQUIRED, NULL, NULL, 0, 0, "topic template"},
    [BRIDGE_ROW_ROUTE_FORMAT] = {"format", CHOICE, 0, "event",
                                 "event|changestream|cloudevents|cloudevents-binary|raw", 0, 0,
                                 "what a message looks like"},
    [BRIDGE_ROW_ROUTE_CHANGES] = {"changes", CHOICE, LIST, NULL, "unknown|create|update|delete", 0,
                                  0, "which changes are let through; all when left out"},
    [BRIDGE_ROW_ROUTE_WHERE] =
        {"where", PART, 0, NULL, NULL, 0, 0,
         "field or /json/pointer: value; all must hold for an event to be let "
         "through"},
    [BRIDGE_ROW_ROUTE_QOS] =
        {"qos", CHOICE, 0, NULL, "0|1|2", 0, 0,
         "0 at most, 1 at least, 2 exactly once; else 1, or 0 where the broker "
         "has no more and `degrade` allows it"},
    [BRIDGE_ROW_ROUTE_RETAIN] = {"retain", BOOL, 0, "no", NULL, 0, 0,
                                 "keep each topic's last message for later subscribers"},
    [BRIDGE_ROW_ROUTE_KEY] = {"key", BOOL, 0, "yes", NULL, 0, 0,
                              "messages carry the event's key where the broker has keys"},
    [BRIDGE_ROW_ROUTE_DEGRADE] = {"degrade", CHOICE, 0, "refuse", "refuse|allow", 0, 0,
                                  "what happens when the broker lacks what the route needs"},
    [BRIDGE_ROW_ROUTE_EXPIRY] = {"expiry", DURATION, 0, "0", NULL, 0, INT64_C(31622400000),
                                 "messages are worthless after this time; 0 = never"},
    [BRIDGE_ROW_ROUTE_IN_FLIGHT] = {"in_flight", INT, 0, "1000", NULL, 1, 1000000,
                                    "events taken from the source but not confirmed by the broker; "
                                    "at most so many come twice after a crash"},
    [BRIDGE_ROW_ROUTE_IN_FLIGHT_BYTES] = {"in_flight_bytes", SIZE, 0, "8M", NULL, 4096,
                                          INT64_C(1) << 40, "the same in bytes"},
    [BRIDGE_ROW_ROUTE_ORDER] =
        {"order", CHOICE, 0, "key", "none|key", 0, 0,
         "key: of the events of one key one is under way at a time, so that they keep their order "
         "also where a broker asks for patience; none: they may overtake each other then"},
    [BRIDGE_ROW_ROUTE_ON_REJECT] = {"on_reject", CHOICE, 0, "dead_letter", "dead_letter|stop|skip",
                                    0, 0, "what happens to a message the broker will never take"},
    [BRIDGE_ROW_ROUTE_DEAD_LETTER] = {"dead_letter", TEXT, 0, "$dead/{source}/{model}", NULL, 0, 0,
                                      "topic template of dead letters"},
    [BRIDGE_ROW_ROUTE_STALL] = {"stall", DURATION, 0, NULL, NULL, 0, 0,
                                "silence after which the source counts as stalled; 0 = never; else "
                                "three times the connector's `heartbeat`"},
};
SCHEMA(bridge_schema_route, "routes[]", "a route", route)
