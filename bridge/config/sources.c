/* SPDX-License-Identifier: MIT */
#include "config/reader.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "connectors/settings.h"

#include <string.h>

/* The settings of one source on their way to pubsub_settings_new(). */
typedef struct gathering {
    bridge_reader *reader;
    const pubsub_connector *connector;
    const char **names;
    const char **texts;
    size_t count;
} gathering;

static bool is_file(const char *name)
{
    size_t len = strlen(name);
    return strchr(name, '/') != NULL || (len > 3 && strcmp(name + len - 3, ".so") == 0);
}

static const pubsub_connector *load(bridge_reader *reader, const bridge_node *node,
                                    const bridge_path *path, const char *name)
{
    const pubsub_connector *connector = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    /* Without a slash the loader looks for it in its own places. */
    char *file =
        strchr(name, '/') != NULL ? bridge_beside_file(reader, name) : bridge_keep(reader, name);
    if (file != NULL && pubsub_connector_load(file, &connector, &err) != PUBSUB_OK) {
        bridge_findings_add(reader->findings, node->mark, path->text, "%s",
                            node->hidden ? "there is no such connector (its file is not shown, "
                                           "because its name comes from outside)"
                                         : pubsub_error_text(&err));
        connector = NULL;
    }
    pubsub__free(file);
    return connector;
}

static const pubsub_connector *find_connector(bridge_reader *reader, const bridge_field *field,
                                              const bridge_path *path)
{
    const pubsub_connector *connector = NULL;
    pubsub__nearest search;
    if (is_file(field->text)) {
        return load(reader, field->node, path, field->text);
    }
    pubsub__nearest_init(&search, field->text);
    for (size_t i = 0; (connector = pubsub_connector_at(i)) != NULL; i++) {
        if (strcmp(connector->name, field->text) == 0) {
            return connector;
        }
        pubsub__nearest_offer(&search, connector->name);
    }
    const char *nearest = pubsub__nearest_result(&search);
    bridge_findings_add(reader->findings, field->node->mark, path->text,
                        "there is no connector '%s'%s%s%s", bridge_shown(field->node),
                        nearest != NULL ? ", did you mean '" : "", nearest != NULL ? nearest : "",
                        nearest != NULL ? "'?" : "");
    return NULL;
}

/* ---- settings ------------------------------------------------------------------------------ */

static void add_text(gathering *gather, const pubsub_setting *row, const char *text)
{
    gather->names[gather->count] = row->name;
    gather->texts[gather->count++] = text;
}

/* A structure becomes the text that the connector gets. */
static bool make_json(bridge_reader *reader, bridge_node *node)
{
    pubsub__buf json;
    pubsub__buf_init(&json, BRIDGE_FILE_MAX * 2);
    bool ok = bridge_node_to_json(node, &json) &&
              bridge_node_set_text(node, pubsub__buf_text(&json), json.len);
    pubsub__buf_fini(&json);
    return ok || bridge_no_memory(reader);
}

static void read_value(gathering *gather, const pubsub_setting *row, bridge_node *node,
                       const bridge_path *path)
{
    bridge_field field = {0};
    if (row->type == PUBSUB_SETTING_JSON && !make_json(gather->reader, node)) {
        return;
    }
    node->plain = node->plain && row->type != PUBSUB_SETTING_JSON; /* null is a value in JSON */
    if (bridge_read_value(gather->reader, row, node, path, &field)) {
        add_text(gather, row, field.text);
    }
}

static void read_setting(gathering *gather, const pubsub_setting *row, bridge_node *node,
                         const bridge_path *path)
{
    if ((row->flags & PUBSUB_SETTING_LIST) == 0) {
        read_value(gather, row, node, path);
        return;
    }
    for (size_t i = 0; i < bridge_list_count(node); i++) {
        bridge_path at;
        bridge_node *entry = bridge_list_at(node, i, path, &at);
        read_value(gather, row, entry, &at);
    }
}

static void tell_unknown(const gathering *gather, const bridge_node *node, const bridge_path *path)
{
    const pubsub_connector *connector = gather->connector;
    const char *nearest = NULL;
    (void)bridge_setting_row(connector->settings, connector->setting_count, node->key, &nearest);
    if (nearest == NULL) {
        (void)bridge_setting_row(bridge_schema_source.rows, bridge_schema_source.count, node->key,
                                 &nearest);
    }
    bridge_findings_add(gather->reader->findings, node->key_mark, path->text,
                        "%s has no setting '%s'%s%s%s", connector->name, node->key,
                        nearest != NULL ? ", did you mean '" : "", nearest != NULL ? nearest : "",
                        nearest != NULL ? "'?" : "");
}

static void gather_settings(gathering *gather, const bridge_node *map, const bridge_path *path)
{
    const pubsub_connector *connector = gather->connector;
    for (size_t i = 0; i < map->count; i++) {
        bridge_node *item = map->items[i];
        bridge_path at = bridge_path_key(path, item->key);
        if (bridge_setting_row(bridge_schema_source.rows, bridge_schema_source.count, item->key,
                               NULL) != NULL) {
            continue;
        }
        const pubsub_setting *row =
            bridge_setting_row(connector->settings, connector->setting_count, item->key, NULL);
        if (row == NULL) {
            tell_unknown(gather, item, &at);
        } else {
            read_setting(gather, row, item, &at);
        }
    }
    for (size_t i = 0; i < connector->setting_count; i++) {
        const pubsub_setting *row = &connector->settings[i];
        if ((row->flags & PUBSUB_SETTING_REQUIRED) != 0 && row->def == NULL &&
            bridge_node_find(map, row->name) == NULL) {
            bridge_path at = bridge_path_key(path, row->name);
            bridge_findings_add(gather->reader->findings, map->mark, at.text, "is missing: %s",
                                row->help != NULL ? row->help : "the connector needs it");
        }
    }
}

static size_t count_values(const bridge_node *map)
{
    size_t count = 1;
    for (size_t i = 0; i < map->count; i++) {
        count += bridge_list_count(map->items[i]);
    }
    return count;
}

static void read_settings(bridge_reader *reader, bridge_source *source, const bridge_node *map,
                          const bridge_path *path)
{
    gathering gather = {.reader = reader, .connector = source->connector};
    pubsub_error err = PUBSUB_ERROR_INIT;
    size_t before = bridge_found(reader);
    size_t room = count_values(map);
    gather.names = pubsub__calloc(room, sizeof(*gather.names));
    gather.texts = pubsub__calloc(room, sizeof(*gather.texts));
    if (gather.names == NULL || gather.texts == NULL) {
        (void)bridge_no_memory(reader);
        goto out;
    }
    gather_settings(&gather, map, path);
    if (bridge_found(reader) == before &&
        pubsub_settings_new(source->connector, gather.names, gather.texts, gather.count,
                            &source->settings, &source->setting_count, &err) != PUBSUB_OK) {
        bridge_findings_add(reader->findings, map->mark, path->text, "%s", pubsub_error_text(&err));
    }
out:
    pubsub__free(gather.names);
    pubsub__free(gather.texts);
}

static void read_source(bridge_reader *reader, bridge_source *source, const bridge_node *node,
                        const bridge_path *path)
{
    static const int spool[] = {-1, 1, 0}; /* auto, yes, no */
    bridge_field fields[BRIDGE_ROW_SOURCE_COUNT];
    if (!bridge_read_section(reader, node, path, &bridge_schema_source, true, fields)) {
        return;
    }
    source->spool = spool[fields[BRIDGE_ROW_SOURCE_SPOOL].number];
    source->spool_size = fields[BRIDGE_ROW_SOURCE_SPOOL_SIZE].number;
    const bridge_field *connector = &fields[BRIDGE_ROW_SOURCE_CONNECTOR];
    if (connector->text != NULL) {
        bridge_path at = bridge_path_key(path, "connector");
        source->connector = find_connector(reader, connector, &at);
    }
    if (source->connector != NULL) {
        read_settings(reader, source, node, path);
    }
}

void bridge_read_sources(bridge_reader *reader, bridge_node *node)
{
    bridge_config *config = reader->config;
    const bridge_path path = {"sources"};
    if (node == NULL || !bridge_expect_map(reader, node, &path, "`sources`")) {
        return; /* that it is missing was told */
    }
    if (node->count == 0) {
        bridge_findings_add(reader->findings, node->mark, path.text, "there is no source in it");
        return;
    }
    config->sources = pubsub__calloc(node->count, sizeof(*config->sources));
    if (config->sources == NULL) {
        (void)bridge_no_memory(reader);
        return;
    }
    for (size_t i = 0; i < node->count; i++) {
        bridge_source *source = &config->sources[i];
        bridge_path at = bridge_path_key(&path, node->items[i]->key);
        bridge_check_name(reader, node->items[i]->key_mark, &at, node->items[i]->key);
        source->name = bridge_keep(reader, node->items[i]->key);
        source->mark = node->items[i]->key_mark;
        config->source_count = i + 1;
        read_source(reader, source, node->items[i], &at);
    }
}
