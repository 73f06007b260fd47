/* SPDX-License-Identifier: MIT */
/* A connector of somebody else: tells the time in ticks, as one document for each. */
#include <pubsub/connector.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ticker {
    pubsub_host *host;
    pubsub_emitter *emitter;
    pubsub_host_timer *timer;
    char model[PUBSUB_MODEL_MAX + 1];
    pubsub_duration_ms interval;
    unsigned count;
} ticker;

static const pubsub_setting settings[] = {
    {"interval", PUBSUB_SETTING_DURATION, 0, "10ms", NULL, 1, 0, "between two ticks"},
};

static void on_tick(void *ctx)
{
    ticker *self = ctx;
    char document[64];
    char position[32];
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    (void)snprintf(document, sizeof(document), "{\"tick\":%u}", self->count + 1);
    (void)snprintf(position, sizeof(position), "%u", self->count + 1);
    event.model = pubsub_bytes_of(self->model);
    event.document = pubsub_bytes_of(document);
    event.position = pubsub_bytes_of(position);
    if (self->emitter->event(self->emitter, &event) == PUBSUB_OK) {
        self->count++;
        self->host->timer_start(self->timer, self->interval);
    } /* else `resume` comes */
}

static pubsub_err ticker_initialize(void **out, const pubsub_connector_init *init,
                                    pubsub_error *err)
{
    ticker *self = calloc(1, sizeof(*self));
    if (self == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    self->host = init->host;
    self->interval = pubsub_setting_find(init->settings, init->setting_count, "interval")->number;
    (void)snprintf(self->model, sizeof(self->model), "%s", init->models[0]);
    self->timer = init->host->timer_new(init->host, on_tick, self);
    *out = self;
    return PUBSUB_OK;
}

static pubsub_err ticker_start(void *ctx, pubsub_emitter *emitter, pubsub_error *err)
{
    ticker *self = ctx;
    pubsub_bytes stored = emitter->stored(emitter, pubsub_bytes_of(self->model));
    char text[32] = "";
    (void)err;
    memcpy(text, stored.data != NULL ? stored.data : "",
           stored.len < sizeof(text) ? stored.len : sizeof(text) - 1);
    self->count = (unsigned)strtoul(text, NULL, 10);
    self->emitter = emitter;
    emitter->state(emitter, pubsub_bytes_of(self->model), PUBSUB_SOURCE_ACTIVE);
    self->host->timer_start(self->timer, self->interval);
    return PUBSUB_OK;
}

static void ticker_resume(void *ctx)
{
    ticker *self = ctx;
    self->host->timer_start(self->timer, 0);
}

static void ticker_stop(void *ctx, void (*done)(void *ctx), void *done_ctx)
{
    ticker *self = ctx;
    self->host->timer_stop(self->timer);
    done(done_ctx);
}

static void ticker_fini(void *ctx)
{
    ticker *self = ctx;
    self->host->timer_free(self->timer);
    free(self);
}

extern PUBSUB_API const pubsub_connector pubsub_connector_v1;

/* The build may spoil one thing, to see that it is found. */
#ifndef TICKER_ABI
#define TICKER_ABI PUBSUB_CONNECTOR_ABI
#endif
#ifndef TICKER_SIZE
#define TICKER_SIZE sizeof(pubsub_connector)
#endif
#ifndef TICKER_FINI
#define TICKER_FINI ticker_fini
#endif

const pubsub_connector pubsub_connector_v1 = {
    .abi = TICKER_ABI,
    .size = TICKER_SIZE,
    .name = "ticker",
    .summary = "tells the time",
    .flags = PUBSUB_CONNECTOR_REPLAYS,
    .settings = settings,
    .setting_count = sizeof(settings) / sizeof(settings[0]),
    .initialize = ticker_initialize,
    .start = ticker_start,
    .resume = ticker_resume,
    .stop = ticker_stop,
    .fini = TICKER_FINI,
};
