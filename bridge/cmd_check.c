/* SPDX-License-Identifier: MIT */
#include "cmd.h"
#include "engine/needs.h"
#include "exit.h"
#include "report.h"
#include "touch.h"

#include <pubsub/caps.h>
#include <pubsub/url.h>

#include <stdio.h>

/* What went wrong decides the exit code; the first kind that was seen counts. */
static void note_code(int *code, int found)
{
    *code = *code == BRIDGE_EXIT_OK ? found : *code;
}

static void scheme_of(const char *url, char *out, size_t size)
{
    pubsub_url *parsed = NULL;
    out[0] = '\0';
    if (pubsub_url_parse(&parsed, url, NULL) == PUBSUB_OK) {
        (void)snprintf(out, size, "%s", pubsub_url_scheme(parsed));
    }
    pubsub_url_free(parsed);
}

/* Each route against what its broker can ever do. */
static void check_offline(const bridge_config *config, bridge_findings *findings,
                          bridge_findings *remarks, int *code)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const bridge_route *route = &config->routes[i];
        const bridge_broker *broker = &config->brokers[route->broker];
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_caps caps;
        char path[128];
        char scheme[32];
        char text[320];
        (void)snprintf(path, sizeof(path), "routes.%s", route->name);
        if (pubsub_caps_offline(broker->url, broker->options, &caps, &err) != PUBSUB_OK) {
            bridge_findings_add(findings, broker->mark, path, "%s", pubsub_error_text(&err));
            note_code(code, BRIDGE_EXIT_USAGE);
            continue;
        }
        scheme_of(broker->url, scheme, sizeof(scheme));
        if (!bridge_needs_met(route, scheme, &caps, text, sizeof(text))) {
            bridge_findings_add(findings, route->mark, path, "%s", text);
            note_code(code, BRIDGE_EXIT_UNSUPPORTED);
        } else if (text[0] != '\0') {
            bridge_findings_add(remarks, route->mark, path, "%s", text);
        }
    }
}

static void finish_text(const bridge_args *args, const bridge_config *config,
                        const bridge_findings *findings, const bridge_findings *remarks)
{
    bridge_report_text(args->words[0], findings);
    bridge_report_text(args->words[0], remarks);
    if (findings->count == 0) {
        printf("%s: %zu route%s, nothing wrong%s\n", args->words[0], config->route_count,
               config->route_count == 1 ? "" : "s",
               args->connect ? ", sources and brokers reached" : "");
    }
}

int bridge_cmd_check(const bridge_args *args)
{
    bridge_findings findings = {NULL, 0, 0};
    bridge_findings remarks = {NULL, 0, 0};
    bridge_overrides overrides = {args->broker, args->sets, args->set_count};
    int code = BRIDGE_EXIT_OK;
    bridge_config *config = bridge_config_load(args->words[0], &overrides, &findings);

    if (config == NULL) {
        code = BRIDGE_EXIT_USAGE;
    } else {
        check_offline(config, &findings, &remarks, &code);
        note_code(&code, bridge_touch(config, args->connect && code == BRIDGE_EXIT_OK, &findings,
                                      &remarks));
    }
    if (args->json) {
        bridge_report_json(args->words[0], &findings, code == BRIDGE_EXIT_OK);
    } else if (config == NULL) {
        bridge_report_text(args->words[0], &findings);
    } else {
        finish_text(args, config, &findings, &remarks);
    }
    bridge_findings_fini(&findings);
    bridge_findings_fini(&remarks);
    bridge_config_free(config);
    return code;
}
