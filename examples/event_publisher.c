/* SPDX-License-Identifier: MIT */
/* Changes of CouchDB databases, published as events: what pubsub-bridge does, as a program of one's own.
 * ./event_publisher http://localhost:5984 accounts mqtt://localhost
 * COUCHDB_USER and COUCHDB_PASSWORD are used when they are set. */
#include <pubsub/connector.h>
#include <pubsub/pubsub.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC "/v1/subutest"

/* Our emitter: the connector calls it, the client publishes. */
typedef struct publisher {
    pubsub_emitter emitter; /* first */
    pubsub_client *client;
    void *source;
    char position[PUBSUB_POSITION_BYTES_MAX]; /* a real program keeps it in a file */
} publisher;

static pubsub_host *running;

/* {"model":"accounts","message":{...}}. The connector gives the document as the server sent it. */
static pubsub_err event_message(pubsub_emitter *emitter, const pubsub_source_event *event)
{
    publisher *self = (publisher *)(void *)emitter;
    size_t size = event->model.len + event->document.len + 32;
    char *json = malloc(size);
    pubsub_publication message = PUBSUB_PUBLICATION_INIT;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err result = PUBSUB_ENOMEM;
    if (json != NULL) {
        int len = snprintf(json, size, "{\"model\":\"%.*s\",\"message\":%.*s}",
                           (int)event->model.len, (const char *)event->model.data,
                           (int)event->document.len, (const char *)event->document.data);
        message.topic = pubsub_bytes_of(TOPIC);
        message.payload = (pubsub_bytes){json, (size_t)len};
        result = pubsub_client_publish(self->client, &message, 0, &err);
    }
    free(json);
    return result; /* PUBSUB_EAGAIN: the connector waits until we call resume() */
}

static void on_position(pubsub_emitter *emitter, pubsub_bytes model, pubsub_bytes position)
{
    char *mine = ((publisher *)(void *)emitter)->position;
    (void)model;
    snprintf(mine, PUBSUB_POSITION_BYTES_MAX, "%.*s", (int)position.len,
             (const char *)position.data);
}

static pubsub_bytes on_stored(pubsub_emitter *emitter, pubsub_bytes model)
{
    (void)model;
    return pubsub_bytes_of(((publisher *)(void *)emitter)->position);
}

static void on_state(pubsub_emitter *emitter, pubsub_bytes model, pubsub_source_state state)
{
    (void)emitter;
    fprintf(stderr, "%.*s: %s\n", (int)model.len, (const char *)model.data,
            pubsub_source_state_name(state));
    if (state == PUBSUB_SOURCE_STOPPED) {
        pubsub_host_stop(running);
    }
}

static void on_error(pubsub_emitter *emitter, pubsub_bytes model, const pubsub_error *error)
{
    (void)emitter, (void)model; /* the text names it */
    fprintf(stderr, "%s\n", pubsub_error_text(error));
}

static void on_alive(pubsub_emitter *emitter, pubsub_bytes model)
{
    (void)emitter, (void)model;
}

static void on_signal(int number)
{
    (void)number;
    /* NOLINTNEXTLINE(bugprone-signal-handler): its header says that it may be called here */
    pubsub_host_stop(running);
}

static void on_stopped(void *ctx)
{
    pubsub_host_stop(ctx);
}

static pubsub_err open_source(publisher *self, const pubsub_connector *couchdb, pubsub_host *host,
                              const char *url, const char *const *models, pubsub_error *err)
{
    const char *names[] = {"url", "user", "password"};
    const char *texts[] = {url, getenv("COUCHDB_USER"), getenv("COUCHDB_PASSWORD")};
    pubsub_setting_value *values = NULL;
    pubsub_connector_init init = {.size = sizeof(init),
                                  .host = host,
                                  .name = "couchdb",
                                  .reader = "event_publisher",
                                  .models = models,
                                  .model_count = 1,
                                  .in_flight = 1000};
    pubsub_err result = pubsub_settings_new(couchdb, names, texts, texts[1] != NULL ? 3 : 1,
                                            &values, &init.setting_count, err);
    if (result == PUBSUB_OK) {
        init.settings = values;
        result = couchdb->initialize(&self->source, &init, err);
        pubsub_settings_free(values, init.setting_count);
    }
    return result;
}

int main(int argc, char **argv)
{
    static publisher self = {.emitter = {.abi = PUBSUB_CONNECTOR_ABI,
                                         .size = sizeof(pubsub_emitter),
                                         .event = event_message,
                                         .position = on_position,
                                         .stored = on_stored,
                                         .state = on_state,
                                         .error = on_error,
                                         .alive = on_alive}};
    const char *models[] = {argc > 2 ? argv[2] : NULL};
    const pubsub_connector *couchdb = pubsub_connector_find("couchdb");
    pubsub_error err = PUBSUB_ERROR_INIT;
    int code = 1;
    if (argc != 4 || couchdb == NULL) {
        return fprintf(stderr, "usage: event_publisher COUCHDB-URL DATABASE BROKER-URL\n"), 2;
    }
    if (pubsub_host_new(&running, &err) == PUBSUB_OK &&
        pubsub_client_new(&self.client, argv[3], NULL, &err) == PUBSUB_OK &&
        open_source(&self, couchdb, running, argv[1], models, &err) == PUBSUB_OK &&
        couchdb->start(self.source, &self.emitter, &err) == PUBSUB_OK) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        while (pubsub_host_run(running, 100) == PUBSUB_ETIMEDOUT) {
            couchdb->resume(self.source); /* there may be room again */
        }
        couchdb->stop(self.source, on_stopped, running);
        pubsub_host_run(running, PUBSUB_FOREVER);
        code = pubsub_client_end(self.client, 5000, &err) == PUBSUB_OK ? 0 : 1;
    }
    if (code != 0) {
        fprintf(stderr, "event_publisher: %s\n", pubsub_error_text(&err));
    }
    if (self.source != NULL) {
        couchdb->fini(self.source);
    }
    pubsub_client_free(self.client);
    pubsub_host_free(running);
    return code;
}
