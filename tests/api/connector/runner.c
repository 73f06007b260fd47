/* SPDX-License-Identifier: MIT */
/* A program of somebody else that runs a connector with an emitter of its own: runner OBJECT. */
#include <pubsub/connector.h>

#include <stdio.h>
#include <string.h>

typedef struct runner {
    pubsub_emitter emitter;
    pubsub_host *host;
    unsigned events;
} runner;

static pubsub_err on_event(pubsub_emitter *emitter, const pubsub_source_event *event)
{
    runner *self = (runner *)(void *)emitter;
    printf("%.*s: %.*s\n", (int)event->model.len, (const char *)event->model.data,
           (int)event->document.len, (const char *)event->document.data);
    if (++self->events == 3) {
        pubsub_host_stop(self->host);
    }
    return PUBSUB_OK;
}

static void on_position(pubsub_emitter *emitter, pubsub_bytes model, pubsub_bytes position)
{
    (void)emitter;
    (void)model;
    (void)position;
}

static pubsub_bytes on_stored(pubsub_emitter *emitter, pubsub_bytes model)
{
    (void)emitter;
    (void)model;
    return pubsub_bytes_of("40");
}

static void on_state(pubsub_emitter *emitter, pubsub_bytes model, pubsub_source_state state)
{
    (void)emitter;
    printf("%.*s: %s\n", (int)model.len, (const char *)model.data, pubsub_source_state_name(state));
}

static void on_error(pubsub_emitter *emitter, pubsub_bytes model, const pubsub_error *error)
{
    (void)emitter;
    (void)model;
    printf("error: %s\n", pubsub_error_text(error));
}

static void on_alive(pubsub_emitter *emitter, pubsub_bytes model)
{
    (void)emitter;
    (void)model;
}

static void done(void *ctx)
{
    printf("stopped\n");
    (void)ctx;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"interval"};
    static const char *const texts[] = {"1ms"};
    static const char *const models[] = {"clock"};
    const pubsub_connector *connector = NULL;
    pubsub_connector_init init;
    pubsub_setting_value *values = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    void *self = NULL;
    runner r = {{.abi = PUBSUB_CONNECTOR_ABI,
                 .size = sizeof(pubsub_emitter),
                 .event = on_event,
                 .position = on_position,
                 .stored = on_stored,
                 .state = on_state,
                 .error = on_error,
                 .alive = on_alive},
                NULL,
                0};
    memset(&init, 0, sizeof(init));
    if (pubsub_connector_find("webhook") == NULL || argc != 2 ||
        pubsub_connector_load(argv[1], &connector, &err) != PUBSUB_OK) {
        printf("%s\n", pubsub_error_text(&err));
        return 1;
    }
    init.size = sizeof(init);
    init.name = "source";
    init.reader = "reader";
    init.models = models;
    init.model_count = 1;
    if (pubsub_host_new(&r.host, &err) != PUBSUB_OK ||
        pubsub_settings_new(connector, names, texts, 1, &values, &init.setting_count, &err) !=
            PUBSUB_OK) {
        printf("%s\n", pubsub_error_text(&err));
        return 1;
    }
    init.host = r.host;
    init.settings = values;
    if (connector->initialize(&self, &init, &err) != PUBSUB_OK ||
        connector->start(self, &r.emitter, &err) != PUBSUB_OK) {
        printf("%s\n", pubsub_error_text(&err));
        return 1;
    }
    pubsub_settings_free(values, init.setting_count);
    if (pubsub_host_run(r.host, 10000) != PUBSUB_OK) {
        printf("no events\n");
        return 1;
    }
    connector->stop(self, done, NULL);
    connector->fini(self);
    pubsub_host_free(r.host);
    return 0;
}
