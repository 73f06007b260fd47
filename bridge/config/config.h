/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_CONFIG_H
#define PUBSUB_BRIDGE_CONFIG_H

/* The bridge's file, read and checked. All that is wrong with it is found in one reading; every finding
 * has its line and column. What is here is complete: defaults are filled in, ${NAME} is replaced,
 * secrets are read from their files. */

#include <pubsub/connector.h>

/* Where something stands in the file; 0 = not in the file (a flag, a default). */
typedef struct bridge_mark {
    unsigned line;
    unsigned column;
} bridge_mark;

/* One thing that is wrong. */
typedef struct bridge_finding {
    bridge_mark mark;
    char path[128]; /* "routes[0].topic" */
    char text[384]; /* one line, says what to do */
} bridge_finding;

typedef struct bridge_findings {
    bridge_finding *items;
    size_t count;
    size_t more; /* beyond the first 100, which are not kept */
} bridge_findings;

void bridge_findings_fini(bridge_findings *findings);
void bridge_findings_add(bridge_findings *findings, bridge_mark mark, const char *path,
                         const char *format, ...) PUBSUB_PRINTF(4, 5);

typedef enum bridge_format {
    BRIDGE_FORMAT_EVENT = 0,    /* {"model":"accounts","message":{...}} */
    BRIDGE_FORMAT_CHANGESTREAM, /* {"target":id,"data":{...},"type":"create|update|remove"} */
    BRIDGE_FORMAT_CLOUDEVENTS,  /* CloudEvents 1.0, structured mode */
    BRIDGE_FORMAT_CLOUDEVENTS_BINARY,
    BRIDGE_FORMAT_RAW, /* the document */
} bridge_format;

/* What to do with a message the broker will never take. */
typedef enum bridge_on_reject {
    BRIDGE_REJECT_DEAD_LETTER =
        0,              /* publish it to the dead-letter topic; stop when that fails too */
    BRIDGE_REJECT_STOP, /* stop the route */
    BRIDGE_REJECT_SKIP, /* count it, log it, go on */
} bridge_on_reject;

typedef struct bridge_broker {
    char *name;
    char *url;               /* may hold secrets: show with pubsub_url_redact or not at all */
    pubsub_options *options; /* client options given beside the URL; NULL = none */
    bridge_mark mark;
} bridge_broker;

typedef struct bridge_source {
    char *name;
    const pubsub_connector *connector;
    pubsub_setting_value *settings;
    size_t setting_count;
    int spool;          /* 1 = always, 0 = never, -1 = where the connector needs one */
    int64_t spool_size; /* bytes; a full spool makes the source wait */
    bridge_mark mark;
} bridge_source;

/* One condition of a filter: the value at a JSON pointer of the document equals this one. */
typedef struct bridge_condition {
    char *pointer; /* RFC 6901 */
    char *value; /* text compared with a string's meaning, or with a number's, true's, ... bytes */
} bridge_condition;

typedef struct bridge_route {
    char *name; /* unique; given, or made of source, models and broker */
    size_t source;
    size_t broker; /* indexes */
    char **models;
    size_t model_count;
    char *topic; /* template */
    bridge_format format;
    unsigned changes;        /* bit 1 << pubsub_change; what is let through */
    bridge_condition *where; /* all must hold */
    size_t where_count;
    pubsub_qos qos; /* unset = the stronger of 1 and 0 the broker has */
    bool retain;
    bool key;           /* messages carry the event's key where the broker has keys */
    bool ordered;       /* of one key one is under way at a time */
    bool degrade;       /* `degrade: allow` */
    int64_t expiry;     /* milliseconds, 0 = never */
    uint32_t in_flight; /* messages */
    uint64_t in_flight_bytes;
    bridge_on_reject on_reject;
    char *dead_letter; /* topic template */
    int64_t stall; /* milliseconds of silence after which the source counts as stalled, 0 = never */
    bridge_mark mark;
} bridge_route;

typedef struct bridge_config {
    char *file;
    char *state;  /* directory for positions and spools */
    char *listen; /* "host:port" of the operation endpoints; NULL = none */
    int log_level;
    bool log_json;
    int64_t drain; /* milliseconds SIGTERM waits for what is in flight */
    bridge_broker *brokers;
    size_t broker_count;
    bridge_source *sources;
    size_t source_count;
    bridge_route *routes;
    size_t route_count;
} bridge_config;

/* What the command line says over the file. */
typedef struct bridge_overrides {
    const char *broker;      /* URL that replaces every route's broker; NULL = none */
    const char *const *sets; /* "path=value", path as in bridge_finding */
    size_t set_count;
} bridge_overrides;

/* Read a file. NULL when something is wrong, then findings says what; *findings is to be released in
 * both cases. The longest file is 4 MiB. */
bridge_config *bridge_config_load(const char *file, const bridge_overrides *overrides,
                                  bridge_findings *findings);
void bridge_config_free(bridge_config *config);

/* Whether a route would run exactly as in another configuration: same source, broker and settings. */
bool bridge_config_same_route(const bridge_config *a, size_t route_a, const bridge_config *b,
                              size_t route_b);

#endif
