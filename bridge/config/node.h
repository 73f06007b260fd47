/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_NODE_H
#define PUBSUB_BRIDGE_NODE_H

/* The file as a tree of its own: aliases are written out, ${NAME} is replaced, nothing is shared, so
 * that flags can change it and secrets can take the place of their references. */

#include "config/config.h"

#define BRIDGE_FILE_MAX ((size_t)4 * 1024 * 1024)
/* How many values a file may have, aliases written out, and how deep they may be nested. */
#define BRIDGE_NODES_MAX 200000
#define BRIDGE_NODE_DEPTH_MAX 64

typedef enum bridge_node_type {
    BRIDGE_NODE_SCALAR,
    BRIDGE_NODE_LIST,
    BRIDGE_NODE_MAP,
} bridge_node_type;

typedef struct bridge_node bridge_node;
struct bridge_node {
    bridge_node_type type;
    bridge_mark mark;
    bridge_mark key_mark; /* of the name, in a mapping */
    char *key;            /* NULL outside a mapping */
    char *text;           /* of a scalar; never NULL there */
    bool plain;           /* written without quotes */
    bool wrong;           /* a finding was told already */
    bool hidden;          /* from the environment or a file: may be secret, never shown */
    bridge_node **items;
    size_t count;
};

/* A place in the file as people write it, "routes[0].topic". Cut when too long. */
typedef struct bridge_path {
    char text[128];
} bridge_path;
bridge_path bridge_path_key(const bridge_path *parent, const char *key);
bridge_path bridge_path_index(const bridge_path *parent, size_t index);

bridge_node *bridge_node_new(bridge_node_type type, bridge_mark mark); /* NULL: no memory */
/* A scalar; text is copied. */
bridge_node *bridge_node_scalar(const char *text, size_t len, bridge_mark mark);
void bridge_node_free(bridge_node *node); /* wipes; NULL is fine */
/* Append; false when memory is short, then the child stays the caller's. key is copied. */
bool bridge_node_append(bridge_node *parent, bridge_node *child, const char *key);
/* The value of a key; NULL when the node is NULL, no mapping, or has no such key. */
bridge_node *bridge_node_find(const bridge_node *map, const char *key);
/* Make a scalar of what is there, its own mark kept. False when memory is short. */
bool bridge_node_set_text(bridge_node *node, const char *text, size_t len);
/* Nothing, `~` or `null` without quotes. */
bool bridge_node_is_null(const bridge_node *node);

/* Read YAML. NULL when there is no tree at all; findings says why, and what is wrong besides. */
bridge_node *bridge_document_read(const char *text, size_t len, bridge_findings *findings);

/* ${NAME}, ${NAME:-default} and $$ in a scalar that is from the file. False when there is a finding. */
bool bridge_expand(bridge_node *node, const char *path, bridge_findings *findings);

/* The longest name of a route, and of what its files are called. */
#define BRIDGE_ROUTE_NAME_MAX 64
/* What a route is called: its `name`, or made of its source, models and broker as they are in the file.
 * The same whatever the flags say, because positions are stored under it. */
void bridge_route_name(const bridge_node *root, const bridge_node *route,
                       char out[BRIDGE_ROUTE_NAME_MAX + 1]);

/* --set: change scalars of the tree. */
void bridge_overrides_apply(bridge_node *root, const bridge_overrides *overrides,
                            bridge_findings *findings);

#endif
