/* SPDX-License-Identifier: MIT */
/* The top level of the file, and what holds for the whole process. */
#include "config/reader.h"

#include "base/alloc.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- state --------------------------------------------------------------------------------- */

static char *join(bridge_reader *reader, const char *directory, const char *rest)
{
    pubsub__buf path;
    pubsub__buf_init(&path, BRIDGE_FILE_MAX);
    /* systemd gives a list when it was told of several. */
    int rc = pubsub__buf_add(&path, directory, strcspn(directory, ":"));
    if (rc == PUBSUB__BUF_OK) {
        rc = pubsub__buf_add_text(&path, rest);
    }
    char *taken = rc == PUBSUB__BUF_OK ? pubsub__buf_take(&path) : NULL;
    pubsub__buf_fini(&path);
    if (taken == NULL) {
        (void)bridge_no_memory(reader);
    }
    return taken;
}

static char *default_state(bridge_reader *reader)
{
    static const char *const places[][2] = {
        {"STATE_DIRECTORY", ""},
        {"XDG_STATE_HOME", "/pubsub-bridge"},
        {"HOME", "/.local/state/pubsub-bridge"},
    };
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        const char *value = getenv(places[i][0]);
        if (value != NULL && value[0] == '/') { /* relative ones are to be ignored */
            return join(reader, value, places[i][1]);
        }
    }
    bridge_findings_add(reader->findings, reader->root->mark, "state",
                        "is missing: positions need a directory, and neither STATE_DIRECTORY, "
                        "XDG_STATE_HOME nor HOME is set");
    return NULL;
}

static void read_state(bridge_reader *reader, const bridge_field *field)
{
    if (field->node == NULL) {
        reader->config->state = default_state(reader);
    } else if (field->text != NULL && field->text[0] != '\0') {
        reader->config->state = bridge_beside_file(reader, field->text);
    } else if (field->text != NULL) {
        bridge_findings_add(reader->findings, field->node->mark, "state", "must not be empty");
    }
}

/* ---- listen -------------------------------------------------------------------------------- */

/* The host's part of "host:port"; NULL when it is none. The host of a port alone is empty. */
static const char *port_of(const char *text, size_t *host_len)
{
    const char *colon = strrchr(text, ':');
    *host_len = colon != NULL ? (size_t)(colon - text) : 0;
    bool bracketed = *host_len > 2 && text[0] == '[' && text[*host_len - 1] == ']';
    if (!bracketed && colon != NULL && strcspn(text, ":[] /") < *host_len) {
        return NULL;
    }
    return colon != NULL ? colon + 1 : text;
}

static void read_listen(bridge_reader *reader, const bridge_field *field)
{
    char address[300];
    size_t host_len = 0;
    int64_t number = -1;
    if (field->text == NULL) {
        return;
    }
    const char *port = port_of(field->text, &host_len);
    if (port == NULL || host_len > 255 || pubsub__parse_int(port, &number) != PUBSUB__UNITS_OK ||
        number < 0 || number > 65535) {
        bridge_findings_add(reader->findings, field->node->mark, "listen",
                            "write host:port, such as 127.0.0.1:9100 or [::1]:9100, or a port");
        return;
    }
    /* Nobody else sees it unless told so. */
    (void)snprintf(address, sizeof(address), "%.*s:%d", host_len > 0 ? (int)host_len : 9,
                   host_len > 0 ? field->text : "127.0.0.1", (int)number);
    reader->config->listen = bridge_keep(reader, address);
}

/* ---- all of it ----------------------------------------------------------------------------- */

static void read_log(bridge_reader *reader, const bridge_field *field)
{
    const bridge_path path = {"log"};
    const bridge_node empty = {.type = BRIDGE_NODE_MAP};
    bridge_field fields[BRIDGE_ROW_LOG_COUNT];
    const bridge_node *map = field->node != NULL ? field->node : &empty;
    if (bridge_read_section(reader, map, &path, &bridge_schema_log, false, fields)) {
        reader->config->log_level = (int)fields[BRIDGE_ROW_LOG_LEVEL].number; /* in their order */
        reader->config->log_json = fields[BRIDGE_ROW_LOG_FORMAT].number == 1;
    }
}

void bridge_read_top(bridge_reader *reader)
{
    const bridge_path top = {""};
    bridge_field fields[BRIDGE_ROW_TOP_COUNT];
    if (!bridge_read_section(reader, reader->root, &top, &bridge_schema_top, false, fields)) {
        return;
    }
    read_state(reader, &fields[BRIDGE_ROW_TOP_STATE]);
    read_listen(reader, &fields[BRIDGE_ROW_TOP_LISTEN]);
    read_log(reader, &fields[BRIDGE_ROW_TOP_LOG]);
    reader->config->drain = fields[BRIDGE_ROW_TOP_DRAIN].number;
    bridge_read_brokers(reader, fields[BRIDGE_ROW_TOP_BROKERS].node);
    bridge_read_sources(reader, fields[BRIDGE_ROW_TOP_SOURCES].node);
    bridge_read_routes(reader, fields[BRIDGE_ROW_TOP_ROUTES].node);
}
