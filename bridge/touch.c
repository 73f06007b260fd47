/* SPDX-License-Identifier: MIT */
#include "touch.h"

#include "base/alloc.h"
#include "engine/needs.h"
#include "exit.h"

#include <pubsub/client.h>
#include <pubsub/url.h>

#include <stdio.h>

enum { SOURCE_TIMEOUT = 30000, BROKER_TIMEOUT = 15000 };

static int code_of(pubsub_err code)
{
    if (pubsub_err_class_of(code) == PUBSUB_CLASS_DENIED) {
        return BRIDGE_EXIT_DENIED;
    }
    return code == PUBSUB_ENOTSUP ? BRIDGE_EXIT_UNSUPPORTED : BRIDGE_EXIT_CONNECT;
}

/* One route's source while it is being looked at. */
typedef struct touch_source {
    const bridge_route *route;
    char path[128];
    bridge_findings *findings;
    bridge_findings *remarks;
    pubsub_host *host;
    bool connect; /* else only what the settings say */
    void *self;   /* until all are looked at: some see what does not go with the others */
    int code;
} touch_source;

static void on_finding(void *ctx, const pubsub_error *finding)
{
    touch_source *touch = ctx;
    bool wrong = finding->code != PUBSUB_OK;
    bridge_findings_add(wrong ? touch->findings : touch->remarks, touch->route->mark, touch->path,
                        "%s", pubsub_error_text(finding));
    if (wrong && touch->code == BRIDGE_EXIT_OK) {
        touch->code = code_of(finding->code);
    }
}

static void on_checked(void *ctx)
{
    touch_source *touch = ctx;
    pubsub_host_stop(touch->host);
}

static int touch_one_source(const bridge_config *config, const bridge_route *route,
                            touch_source *touch)
{
    const bridge_source *source = &config->sources[route->source];
    const pubsub_connector *connector = source->connector;
    pubsub_connector_init init = {sizeof(init),
                                  touch->host,
                                  source->name,
                                  route->name,
                                  (const char *const *)route->models,
                                  route->model_count,
                                  source->settings,
                                  source->setting_count,
                                  route->in_flight};
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)snprintf(touch->path, sizeof(touch->path), "sources.%s", source->name);
    if (connector->initialize(&touch->self, &init, &err) != PUBSUB_OK) {
        on_finding(touch, &err);
        touch->code = err.code == PUBSUB_EOPTION ? BRIDGE_EXIT_USAGE : touch->code;
        touch->self = NULL;
        return touch->code;
    }
    if (!touch->connect) {
        return touch->code;
    }
    if (connector->check == NULL) {
        (void)pubsub_error_set(
            &err, PUBSUB_OK, "connector %s cannot be checked without starting it", connector->name);
        on_finding(touch, &err);
    } else {
        connector->check(touch->self, on_finding, on_checked, touch);
        if (pubsub_host_run(touch->host, SOURCE_TIMEOUT) == PUBSUB_ETIMEDOUT) {
            (void)pubsub_error_set(&err, PUBSUB_ETIMEDOUT, "did not answer within %d s",
                                   SOURCE_TIMEOUT / 1000);
            on_finding(touch, &err);
            connector->fini(touch->self); /* else it would go on while the next one is asked */
            touch->self = NULL;
        }
    }
    return touch->code;
}

static void let_go(const bridge_config *config, const touch_source *touch)
{
    if (touch->self != NULL) {
        config->sources[touch->route->source].connector->fini(touch->self);
    }
}

static int touch_one_broker(const bridge_config *config, const bridge_route *route,
                            bridge_findings *findings, bridge_findings *remarks)
{
    const bridge_broker *broker = &config->brokers[route->broker];
    pubsub_client *client = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_caps caps;
    char path[128];
    char text[320];
    int code = BRIDGE_EXIT_OK;
    (void)snprintf(path, sizeof(path), "brokers.%s", broker->name);
    pubsub_err rc = pubsub_client_new(&client, broker->url, broker->options, &err);
    rc = rc == PUBSUB_OK ? pubsub_client_ready(client, BROKER_TIMEOUT, &err) : rc;
    rc = rc == PUBSUB_OK ? pubsub_client_caps(client, &caps) : rc;
    if (rc != PUBSUB_OK) {
        bridge_findings_add(findings, broker->mark, path, "%s", pubsub_error_text(&err));
        code = code_of(rc);
    } else if (!bridge_needs_met(route, broker->name, &caps, text, sizeof(text))) {
        bridge_findings_add(findings, route->mark, path, "%s", text);
        code = BRIDGE_EXIT_UNSUPPORTED;
    } else if (text[0] != '\0') {
        bridge_findings_add(remarks, route->mark, path, "%s", text);
    }
    (void)pubsub_client_end(client, BROKER_TIMEOUT, NULL);
    pubsub_client_free(client);
    return code;
}

int bridge_touch(const bridge_config *config, bool connect, bridge_findings *findings,
                 bridge_findings *remarks)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_host *host = NULL;
    int code = BRIDGE_EXIT_OK;
    bridge_mark nowhere = {0, 0};
    touch_source *touches = pubsub__calloc(config->route_count + 1, sizeof *touches);
    if (touches == NULL) {
        (void)pubsub_error_set(&err, PUBSUB_ENOMEM, "out of memory");
    }
    if (touches == NULL || pubsub_host_new(&host, &err) != PUBSUB_OK) {
        bridge_findings_add(findings, nowhere, "", "%s", pubsub_error_text(&err));
        pubsub__free(touches);
        return BRIDGE_EXIT_FAILED;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        touches[i] = (touch_source){&config->routes[i], "", findings, remarks, host, connect, NULL,
                                    BRIDGE_EXIT_OK};
        int source = touch_one_source(config, &config->routes[i], &touches[i]);
        int broker = connect ? touch_one_broker(config, &config->routes[i], findings, remarks)
                             : BRIDGE_EXIT_OK;
        code = code != BRIDGE_EXIT_OK ? code : source != BRIDGE_EXIT_OK ? source : broker;
    }
    for (size_t i = 0; i < config->route_count; i++) {
        let_go(config, &touches[i]);
    }
    pubsub__free(touches);
    pubsub_host_free(host);
    return code;
}
