/* SPDX-License-Identifier: MIT */
#include "config/reader.h"
#include "json/slice.h"

#include <string.h>

static pubsub_bytes bytes_of(const char *text)
{
    return (pubsub_bytes){text, strlen(text)};
}

/* Without quotes: true, false, null and numbers are what they are in JSON; all else is text. */
static int add_scalar(const bridge_node *node, pubsub__buf *out)
{
    pubsub_bytes text = bytes_of(node->text);
    if (bridge_node_is_null(node)) {
        return pubsub__buf_add_text(out, "null");
    }
    bridge_json_type type = node->plain ? bridge_json_type_of(text) : BRIDGE_JSON_NONE;
    bool bare = type == BRIDGE_JSON_NUMBER || type == BRIDGE_JSON_TRUE || type == BRIDGE_JSON_FALSE;
    if (bare && bridge_json_check(text, NULL) == NULL) {
        return pubsub__buf_add_text(out, node->text);
    }
    return bridge_json_quote(text, out);
}

static int add_node(const bridge_node *node, pubsub__buf *out)
{
    if (node->type == BRIDGE_NODE_SCALAR) {
        return add_scalar(node, out);
    }
    bool map = node->type == BRIDGE_NODE_MAP;
    int rc = pubsub__buf_add_byte(out, map ? '{' : '[');
    for (size_t i = 0; rc == PUBSUB__BUF_OK && i < node->count; i++) {
        if (i > 0) {
            rc = pubsub__buf_add_byte(out, ',');
        }
        if (rc == PUBSUB__BUF_OK && map) {
            rc = bridge_json_quote(bytes_of(node->items[i]->key), out);
        }
        if (rc == PUBSUB__BUF_OK && map) {
            rc = pubsub__buf_add_byte(out, ':');
        }
        if (rc == PUBSUB__BUF_OK) {
            rc = add_node(node->items[i], out); /* the tree's depth is bounded */
        }
    }
    return rc == PUBSUB__BUF_OK ? pubsub__buf_add_byte(out, map ? '}' : ']') : rc;
}

bool bridge_node_to_json(const bridge_node *node, pubsub__buf *out)
{
    /* JSON in a text is JSON, but not what came in from outside: a value must not become a structure. */
    if (node->type == BRIDGE_NODE_SCALAR && !node->hidden) {
        pubsub_bytes text = bytes_of(node->text);
        bridge_json_type type = bridge_json_type_of(text);
        if ((type == BRIDGE_JSON_OBJECT || type == BRIDGE_JSON_ARRAY) &&
            bridge_json_check(text, NULL) == NULL) {
            return pubsub__buf_add_text(out, node->text) == PUBSUB__BUF_OK;
        }
    }
    return add_node(node, out) == PUBSUB__BUF_OK;
}
