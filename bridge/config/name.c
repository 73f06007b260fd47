/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/crc32c.h"
#include "config/node.h"
#include "config/schema.h"

#include <stdio.h>
#include <string.h>

static void add_part(pubsub__buf *name, const char *part)
{
    if (name->len > 0) {
        (void)pubsub__buf_add_byte(name, '.');
    }
    (void)pubsub__buf_add_text(name, part);
}

static void add_scalars(pubsub__buf *name, const bridge_node *node)
{
    if (node == NULL) {
        return;
    }
    if (node->type == BRIDGE_NODE_SCALAR) {
        add_part(name, node->text);
    }
    for (size_t i = 0; node->type == BRIDGE_NODE_LIST && i < node->count; i++) {
        if (node->items[i]->type == BRIDGE_NODE_SCALAR) {
            add_part(name, node->items[i]->text);
        }
    }
}

/* The name of a source or broker: the route's word, or the only one there is. */
static void add_choice(pubsub__buf *name, const bridge_node *chosen, const bridge_node *all)
{
    if (chosen != NULL) {
        add_scalars(name, chosen);
    } else if (all != NULL && all->type == BRIDGE_NODE_MAP && all->count == 1) {
        add_part(name, all->items[0]->key);
    }
}

/* What is not a word for a file is replaced; the sum keeps apart what became equal. */
static void make_safe(const pubsub__buf *name, char out[BRIDGE_ROUTE_NAME_MAX + 1])
{
    const char *text = pubsub__buf_text(name);
    size_t keep = BRIDGE_ROUTE_NAME_MAX;
    bool changed = name->len > keep || strspn(text, BRIDGE_NAME_BYTES) < name->len;
    uint32_t sum = pubsub__crc32c(0, text, name->len);
    if (changed) {
        keep -= 9;
    }
    size_t len = 0;
    for (; len < keep && len < name->len; len++) {
        out[len] = strchr(BRIDGE_NAME_BYTES, text[len]) != NULL ? text[len] : '_';
    }
    out[len] = '\0';
    if (changed) {
        (void)snprintf(out + len, 10, "-%08x", (unsigned)sum);
    }
}

void bridge_route_name(const bridge_node *root, const bridge_node *route,
                       char out[BRIDGE_ROUTE_NAME_MAX + 1])
{
    const bridge_node *given = bridge_node_find(route, "name");
    pubsub__buf name;
    if (given != NULL && given->type == BRIDGE_NODE_SCALAR) {
        (void)snprintf(out, BRIDGE_ROUTE_NAME_MAX + 1, "%s", given->text);
        return;
    }
    pubsub__buf_init(&name, BRIDGE_FILE_MAX);
    add_choice(&name, bridge_node_find(route, "source"), bridge_node_find(root, "sources"));
    add_scalars(&name, bridge_node_find(route, "model"));
    add_scalars(&name, bridge_node_find(route, "models"));
    add_choice(&name, bridge_node_find(route, "broker"), bridge_node_find(root, "brokers"));
    make_safe(&name, out);
    pubsub__buf_fini(&name);
}
