/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/nearest.h"
#include "cmd.h"
#include "exit.h"
#include "say.h"
#include "json/slice.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {"text",   "number", "duration", "size",
                                         "yes|no", "",       "structure"};

static const char *type_name(const pubsub_setting *setting)
{
    return setting->type == PUBSUB_SETTING_CHOICE ? setting->choices : type_names[setting->type];
}

static void list_text(void)
{
    const pubsub_connector *connector;
    for (size_t i = 0; (connector = pubsub_connector_at(i)) != NULL; i++) {
        printf("%-12s %s\n", connector->name, connector->summary);
    }
}

static void settings_text(const pubsub_connector *connector)
{
    printf("%s: %s\n\n", connector->name, connector->summary);
    for (size_t i = 0; i < connector->setting_count; i++) {
        const pubsub_setting *setting = &connector->settings[i];
        printf("  %-18s %s\n  %-18s (%s%s%s%s%s%s)\n", setting->name, setting->help, "",
               type_name(setting), (setting->flags & PUBSUB_SETTING_LIST) != 0 ? ", or a list" : "",
               (setting->flags & PUBSUB_SETTING_REQUIRED) != 0 ? ", required" : "",
               (setting->flags & PUBSUB_SETTING_SECRET) != 0 ? ", secret" : "",
               setting->def != NULL ? ", default " : "", setting->def != NULL ? setting->def : "");
    }
}

static void add_member(pubsub__buf *out, const char *name, const char *value)
{
    if (value != NULL) {
        (void)pubsub__buf_printf(out, ",\"%s\":", name);
        (void)bridge_json_quote(pubsub_bytes_of(value), out);
    }
}

static void add_connector(pubsub__buf *out, const pubsub_connector *connector)
{
    (void)pubsub__buf_add_text(out, "{\"name\":");
    (void)bridge_json_quote(pubsub_bytes_of(connector->name), out);
    add_member(out, "summary", connector->summary);
    (void)pubsub__buf_add_text(out, ",\"settings\":[");
    for (size_t i = 0; i < connector->setting_count; i++) {
        const pubsub_setting *setting = &connector->settings[i];
        (void)pubsub__buf_add_text(out, i > 0 ? ",{\"name\":" : "{\"name\":");
        (void)bridge_json_quote(pubsub_bytes_of(setting->name), out);
        add_member(out, "type", type_name(setting));
        add_member(out, "default", setting->def);
        add_member(out, "help", setting->help);
        (void)pubsub__buf_printf(out, ",\"required\":%s,\"secret\":%s,\"list\":%s}",
                                 (setting->flags & PUBSUB_SETTING_REQUIRED) != 0 ? "true" : "false",
                                 (setting->flags & PUBSUB_SETTING_SECRET) != 0 ? "true" : "false",
                                 (setting->flags & PUBSUB_SETTING_LIST) != 0 ? "true" : "false");
    }
    (void)pubsub__buf_add_text(out, "]}");
}

static void print_json(const pubsub_connector *only)
{
    pubsub__buf out;
    const pubsub_connector *connector;
    pubsub__buf_init(&out, (size_t)1 << 20);
    if (only != NULL) {
        add_connector(&out, only);
    } else {
        (void)pubsub__buf_add_byte(&out, '[');
        for (size_t i = 0; (connector = pubsub_connector_at(i)) != NULL; i++) {
            (void)pubsub__buf_add_text(&out, i > 0 ? "," : "");
            add_connector(&out, connector);
        }
        (void)pubsub__buf_add_byte(&out, ']');
    }
    printf("%s\n", pubsub__buf_text(&out));
    pubsub__buf_fini(&out);
}

static int unknown(const char *word)
{
    const pubsub_connector *connector;
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, word);
    for (size_t i = 0; (connector = pubsub_connector_at(i)) != NULL; i++) {
        pubsub__nearest_offer(&nearest, connector->name);
    }
    const char *meant = pubsub__nearest_result(&nearest);
    bridge_error("there is no connector \"%s\"%s%s%s; see pubsub-bridge connectors", word,
                 meant != NULL ? "; did you mean \"" : "", meant != NULL ? meant : "",
                 meant != NULL ? "\"?" : "");
    return BRIDGE_EXIT_USAGE;
}

int bridge_cmd_connectors(const bridge_args *args)
{
    const pubsub_connector *connector = NULL;
    if (args->word_count > 0) {
        connector =
            strchr(args->words[0], '/') == NULL ? pubsub_connector_find(args->words[0]) : NULL;
        pubsub_error err = PUBSUB_ERROR_INIT;
        if (connector == NULL && strchr(args->words[0], '/') != NULL &&
            pubsub_connector_load(args->words[0], &connector, &err) != PUBSUB_OK) {
            bridge_error("%s", pubsub_error_text(&err));
            return BRIDGE_EXIT_USAGE;
        }
        if (connector == NULL) {
            return unknown(args->words[0]);
        }
    }
    if (args->json) {
        print_json(connector);
    } else if (connector != NULL) {
        settings_text(connector);
    } else {
        list_text();
    }
    return BRIDGE_EXIT_OK;
}
