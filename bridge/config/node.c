/* SPDX-License-Identifier: MIT */
#include "config/node.h"

#include "base/alloc.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

bridge_path bridge_path_key(const bridge_path *parent, const char *key)
{
    bridge_path path;
    (void)snprintf(path.text, sizeof(path.text), "%.80s%s%.40s", parent->text,
                   parent->text[0] != '\0' ? "." : "", key);
    return path;
}

bridge_path bridge_path_index(const bridge_path *parent, size_t index)
{
    bridge_path path = *parent;
    if (strlen(parent->text) > 100) {
        return path;
    }
    (void)snprintf(path.text, sizeof(path.text), "%.100s[%zu]", parent->text, index);
    return path;
}

bridge_node *bridge_node_new(bridge_node_type type, bridge_mark mark)
{
    bridge_node *node = pubsub__calloc(1, sizeof(*node));
    if (node != NULL) {
        node->type = type;
        node->mark = mark;
    }
    return node;
}

bridge_node *bridge_node_scalar(const char *text, size_t len, bridge_mark mark)
{
    bridge_node *node = bridge_node_new(BRIDGE_NODE_SCALAR, mark);
    if (node != NULL) {
        node->text = pubsub__strndup(text, len);
    }
    if (node != NULL && node->text == NULL) {
        bridge_node_free(node);
        node = NULL;
    }
    return node;
}

static void clear(bridge_node *node)
{
    if (node->text != NULL) {
        pubsub__wipe(node->text, strlen(node->text));
    }
    for (size_t i = 0; i < node->count; i++) {
        bridge_node_free(node->items[i]);
    }
    pubsub__free(node->text);
    pubsub__free(node->items);
    node->text = NULL;
    node->items = NULL;
    node->count = 0;
}

void bridge_node_free(bridge_node *node)
{
    if (node != NULL) {
        clear(node); /* calls this for the children; the depth is bounded */
        pubsub__free(node->key);
        pubsub__free(node);
    }
}

bool bridge_node_append(bridge_node *parent, bridge_node *child, const char *key)
{
    /* The room grows with each power of two. */
    if ((parent->count & (parent->count - 1)) == 0) {
        size_t room = parent->count == 0 ? 1 : parent->count * 2;
        bridge_node **items = pubsub__realloc(parent->items, room * sizeof(bridge_node *));
        if (items == NULL) {
            return false;
        }
        parent->items = items;
    }
    if (key != NULL) {
        child->key = pubsub__strdup(key);
        if (child->key == NULL) {
            return false;
        }
    }
    parent->items[parent->count++] = child;
    return true;
}

bridge_node *bridge_node_find(const bridge_node *map, const char *key)
{
    for (size_t i = 0; map != NULL && map->type == BRIDGE_NODE_MAP && i < map->count; i++) {
        if (strcmp(map->items[i]->key, key) == 0) {
            return map->items[i];
        }
    }
    return NULL;
}

bool bridge_node_set_text(bridge_node *node, const char *text, size_t len)
{
    char *copy = pubsub__strndup(text, len);
    if (copy == NULL) {
        return false;
    }
    clear(node);
    node->type = BRIDGE_NODE_SCALAR;
    node->text = copy;
    return true;
}

bool bridge_node_is_null(const bridge_node *node)
{
    if (node->type != BRIDGE_NODE_SCALAR || !node->plain) {
        return false;
    }
    return node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0;
}
