/* SPDX-License-Identifier: MIT */
#include "config/reader.h"

#include "base/alloc.h"
#include "connectors/settings.h"

#include <pubsub/caps.h>

#include <string.h>

/* The library's words; not for what came from the environment or a file, because they may show it. */
static void tell_error(bridge_reader *reader, const bridge_node *node, const bridge_path *path,
                       const pubsub_error *err)
{
    bridge_findings_add(reader->findings, node->mark, path->text, "%s%s",
                        node->hidden ? "this value (not shown) is refused: " : "",
                        node->hidden ? pubsub_strerror(err->code) : pubsub_error_text(err));
}

static void read_option(bridge_reader *reader, bridge_broker *broker, bridge_node *node,
                        const bridge_path *path)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *nearest = NULL;
    const pubsub_option_row *row = pubsub_option_find(node->key, &err);
    if (row == NULL) {
        (void)bridge_setting_row(bridge_schema_broker.rows, bridge_schema_broker.count, node->key,
                                 &nearest);
        bridge_findings_add(reader->findings, node->key_mark, path->text, "%s%s%s",
                            nearest != NULL ? "did you mean '" : pubsub_error_text(&err),
                            nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
        return;
    }
    if ((row->scopes & PUBSUB_SCOPE_CLIENT) == 0) {
        bridge_findings_add(reader->findings, node->key_mark, path->text,
                            "this is no option of a client");
        return;
    }
    if (strcmp(node->key, "io") == 0 || strcmp(node->key, "dispatch") == 0) {
        bridge_findings_add(reader->findings, node->key_mark, path->text,
                            "this is not for the file: the bridge has one way to run its clients");
        return;
    }
    const char *text = bridge_read_scalar(reader, node, path, row->secret);
    if (text != NULL && pubsub_options_set(broker->options, node->key, text, &err) != PUBSUB_OK) {
        tell_error(reader, node, path, &err);
    }
}

static void read_options(bridge_reader *reader, bridge_broker *broker, const bridge_node *map,
                         const bridge_path *path)
{
    if (map->count == 1 && bridge_node_find(map, "url") != NULL) {
        return;
    }
    if (pubsub_options_new(&broker->options) != PUBSUB_OK) {
        (void)bridge_no_memory(reader);
        return;
    }
    for (size_t i = 0; i < map->count; i++) {
        bridge_path at = bridge_path_key(path, map->items[i]->key);
        if (bridge_setting_row(bridge_schema_broker.rows, bridge_schema_broker.count,
                               map->items[i]->key, NULL) == NULL) {
            read_option(reader, broker, map->items[i], &at);
        }
    }
}

/* The URL by itself and together with the options, as a client would see them. */
static void check_broker(bridge_reader *reader, const bridge_broker *broker,
                         const bridge_node *node, const bridge_path *path)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_caps caps = {.size = sizeof(caps)};
    if (pubsub_caps_offline(broker->url, broker->options, &caps, &err) != PUBSUB_OK) {
        tell_error(reader, node, path, &err);
    }
}

static void read_broker(bridge_reader *reader, bridge_broker *broker, bridge_node *node,
                        const bridge_path *path)
{
    bridge_field url = {0};
    bridge_path url_path = *path;
    size_t before = bridge_found(reader);
    bool reference =
        node->type == BRIDGE_NODE_MAP && node->count == 1 &&
        bridge_node_find(node, "url") == NULL &&
        (bridge_node_find(node, "file") != NULL || bridge_node_find(node, "env") != NULL);
    if (node->type != BRIDGE_NODE_MAP || reference) {
        (void)bridge_read_value(reader, &bridge_schema_broker.rows[BRIDGE_ROW_BROKER_URL], node,
                                path, &url);
    } else if (bridge_read_section(reader, node, path, &bridge_schema_broker, true, &url)) {
        url_path = bridge_path_key(path, "url");
        read_options(reader, broker, node, path);
    }
    if (url.text != NULL) {
        broker->url = bridge_keep(reader, url.text);
    }
    if (broker->url != NULL && bridge_found(reader) == before) {
        check_broker(reader, broker, url.node, &url_path);
    }
}

static void add_flag(bridge_reader *reader)
{
    bridge_config *config = reader->config;
    bridge_broker *broker = &config->brokers[config->broker_count];
    const bridge_path path = {"--broker"};
    bridge_node node = {.text = bridge_keep(reader, reader->broker)};
    broker->name = bridge_keep(reader, "--broker");
    broker->url = bridge_keep(reader, reader->broker);
    if (broker->url != NULL && node.text != NULL) {
        check_broker(reader, broker, &node, &path);
    }
    pubsub__free(node.text);
    config->broker_count++;
}

void bridge_read_brokers(bridge_reader *reader, bridge_node *node)
{
    bridge_config *config = reader->config;
    const bridge_path path = {"brokers"};
    bool there = node != NULL && bridge_expect_map(reader, node, &path, "`brokers`");
    size_t count = there ? node->count : 0;
    if (count == 0 && reader->broker == NULL) {
        if (node == NULL || there) {
            bridge_findings_add(reader->findings, node != NULL ? node->mark : reader->root->mark,
                                path.text, "there is no broker: write `name: URL`");
        }
        return;
    }
    config->brokers = pubsub__calloc(count + 1, sizeof(*config->brokers));
    if (config->brokers == NULL) {
        (void)bridge_no_memory(reader);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        bridge_broker *broker = &config->brokers[i];
        bridge_path at = bridge_path_key(&path, node->items[i]->key);
        bridge_check_name(reader, node->items[i]->key_mark, &at, node->items[i]->key);
        broker->name = bridge_keep(reader, node->items[i]->key);
        broker->mark = node->items[i]->key_mark;
        config->broker_count = i + 1;
        read_broker(reader, broker, node->items[i], &at);
    }
    if (reader->broker != NULL) {
        add_flag(reader);
    }
}
