/* SPDX-License-Identifier: MIT */
#include "config/reader.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/text.h"
#include "connectors/settings.h"

#include <stdlib.h>
#include <string.h>

static const bridge_mark nowhere = {0, 0};

bool bridge_no_memory(bridge_reader *reader)
{
    bridge_findings_add(reader->findings, nowhere, "", "out of memory");
    return false;
}

char *bridge_keep(bridge_reader *reader, const char *text)
{
    char *copy = pubsub__strdup(text);
    if (copy == NULL) {
        (void)bridge_no_memory(reader);
    }
    return copy;
}

const char *bridge_shown(const bridge_node *node)
{
    return node->hidden ? "(not shown)" : node->text;
}

/* ---- scalars ------------------------------------------------------------------------------- */

/* {file: PATH} or {env: NAME} becomes the text it stands for. */
static const char *resolve(bridge_reader *reader, bridge_node *node, const bridge_path *path,
                           bool secret)
{
    const bridge_node *word = node->items[0];
    char *text = NULL;
    if (word->type != BRIDGE_NODE_SCALAR || word->text[0] == '\0') {
        bridge_findings_add(reader->findings, word->mark, path->text,
                            "write {file: PATH} or {env: NAME}");
        return NULL;
    }
    if (strcmp(word->key, "file") == 0) {
        text = bridge_read_secret_file(reader, word, path, word->text, secret);
    } else {
        const char *value = getenv(word->text);
        if (value == NULL || value[0] == '\0') {
            bridge_findings_add(reader->findings, word->mark, path->text,
                                "the environment has no %s", bridge_shown(word));
            return NULL;
        }
        text = bridge_keep(reader, value);
    }
    if (text == NULL) {
        return NULL;
    }
    bool ok = bridge_node_set_text(node, text, strlen(text));
    pubsub__wipe(text, strlen(text));
    pubsub__free(text);
    node->hidden = true;
    if (!ok) {
        (void)bridge_no_memory(reader);
    }
    return ok ? node->text : NULL;
}

const char *bridge_read_scalar(bridge_reader *reader, bridge_node *node, const bridge_path *path,
                               bool secret)
{
    if (node->type == BRIDGE_NODE_MAP && node->count == 1 &&
        (strcmp(node->items[0]->key, "file") == 0 || strcmp(node->items[0]->key, "env") == 0)) {
        return resolve(reader, node, path, secret);
    }
    if (node->type != BRIDGE_NODE_SCALAR) {
        bridge_findings_add(reader->findings, node->mark, path->text,
                            "one value is expected here, not a %s",
                            node->type == BRIDGE_NODE_LIST ? "list" : "mapping");
        return NULL;
    }
    if (node->wrong) {
        return NULL;
    }
    if (bridge_node_is_null(node)) {
        bridge_findings_add(reader->findings, node->mark, path->text,
                            "has no value; an empty text is written \"\"");
        return NULL;
    }
    return node->text;
}

bool bridge_read_value(bridge_reader *reader, const pubsub_setting *row, bridge_node *node,
                       const bridge_path *path, bridge_field *field)
{
    char why[256];
    bool secret = (row->flags & PUBSUB_SETTING_SECRET) != 0;
    const char *text = bridge_read_scalar(reader, node, path, secret);
    field->node = node;
    if (text == NULL) {
        return false;
    }
    if (!bridge_setting_check(row, text, node->hidden, &field->number, why, sizeof(why))) {
        bridge_findings_add(reader->findings, node->mark, path->text, "%s", why);
        return false;
    }
    field->text = text;
    return true;
}

/* ---- mappings ------------------------------------------------------------------------------ */

bool bridge_expect_map(bridge_reader *reader, const bridge_node *node, const bridge_path *path,
                       const char *what)
{
    if (node->type == BRIDGE_NODE_MAP) {
        return true;
    }
    bridge_findings_add(reader->findings, node->mark, path->text,
                        "%s is a mapping: lines of `name: value`", what);
    return false;
}

static void tell_unknown_key(bridge_reader *reader, const bridge_node *item,
                             const bridge_path *path, const bridge_schema *schema,
                             const char *nearest)
{
    bridge_path at = bridge_path_key(path, item->key);
    if (nearest != NULL) {
        bridge_findings_add(reader->findings, item->key_mark, at.text,
                            "%s has no '%s', did you mean '%s'?", schema->what, item->key, nearest);
    } else {
        bridge_findings_add(reader->findings, item->key_mark, at.text, "%s has no '%s'",
                            schema->what, item->key);
    }
}

static void fill_default(bridge_reader *reader, const bridge_node *map, const bridge_path *path,
                         const pubsub_setting *row, bridge_field *field)
{
    char why[256];
    if (row->def != NULL &&
        bridge_setting_check(row, row->def, false, &field->number, why, sizeof(why))) {
        field->text = row->def;
    }
    if ((row->flags & PUBSUB_SETTING_REQUIRED) != 0) {
        bridge_path at = bridge_path_key(path, row->name);
        bridge_findings_add(reader->findings, map->mark, at.text, "is missing: %s", row->help);
    }
}

bool bridge_read_section(bridge_reader *reader, const bridge_node *map, const bridge_path *path,
                         const bridge_schema *schema, bool others, bridge_field *fields)
{
    memset(fields, 0, schema->count * sizeof(*fields));
    if (!bridge_expect_map(reader, map, path, schema->what)) {
        return false;
    }
    for (size_t i = 0; !others && i < map->count; i++) {
        const char *nearest = NULL;
        if (bridge_setting_row(schema->rows, schema->count, map->items[i]->key, &nearest) == NULL) {
            tell_unknown_key(reader, map->items[i], path, schema, nearest);
        }
    }
    for (size_t i = 0; i < schema->count; i++) {
        const pubsub_setting *row = &schema->rows[i];
        bridge_field *field = &fields[i];
        bridge_path at = bridge_path_key(path, row->name);
        field->node = bridge_node_find(map, row->name);
        if (field->node == NULL) {
            fill_default(reader, map, path, row, field);
        } else if (row->type != PUBSUB_SETTING_JSON && (row->flags & PUBSUB_SETTING_LIST) == 0) {
            (void)bridge_read_value(reader, row, field->node, &at, field);
        }
    }
    return true;
}

size_t bridge_list_count(const bridge_node *node)
{
    return node->type == BRIDGE_NODE_LIST ? node->count : 1;
}

bridge_node *bridge_list_at(bridge_node *node, size_t index, const bridge_path *path,
                            bridge_path *at)
{
    if (node->type != BRIDGE_NODE_LIST) {
        *at = *path;
        return node;
    }
    *at = bridge_path_index(path, index);
    return node->items[index];
}

/* ---- names --------------------------------------------------------------------------------- */

void bridge_tell_unknown(bridge_reader *reader, const bridge_node *node, const bridge_path *path,
                         const char *kind, const char *name, const bridge_node *names)
{
    pubsub__nearest search;
    pubsub__nearest_init(&search, name);
    for (size_t i = 0; names != NULL && names->type == BRIDGE_NODE_MAP && i < names->count; i++) {
        pubsub__nearest_offer(&search, names->items[i]->key);
    }
    const char *nearest = pubsub__nearest_result(&search);
    name = bridge_shown(node);
    if (nearest != NULL) {
        bridge_findings_add(reader->findings, node->mark, path->text,
                            "there is no %s '%s', did you mean '%s'?", kind, name, nearest);
    } else {
        bridge_findings_add(reader->findings, node->mark, path->text, "there is no %s '%s'", kind,
                            name);
    }
}

void bridge_check_name(bridge_reader *reader, bridge_mark mark, const bridge_path *path,
                       const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > BRIDGE_ROUTE_NAME_MAX || strspn(name, BRIDGE_NAME_BYTES) < len ||
        name[0] == '.') {
        bridge_findings_add(reader->findings, mark, path->text,
                            "a name is made of 1 to %d letters, digits, '.', '_' and '-', and "
                            "does not begin with a dot",
                            BRIDGE_ROUTE_NAME_MAX);
    }
}
