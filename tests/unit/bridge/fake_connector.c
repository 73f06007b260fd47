/* SPDX-License-Identifier: MIT */
/* A connector in a shared object, with a setting of each kind, that does nothing. */
#include <pubsub/connector.h>

static pubsub_err initialize(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    (void)init;
    (void)err;
    *out = NULL;
    return PUBSUB_OK;
}

static pubsub_err start(void *self, pubsub_emitter *emitter, pubsub_error *err)
{
    (void)self;
    (void)emitter;
    (void)err;
    return PUBSUB_OK;
}

static void resume(void *self)
{
    (void)self;
}

static void stop(void *self, void (*done)(void *ctx), void *ctx)
{
    (void)self;
    done(ctx);
}

static void fini(void *self)
{
    (void)self;
}

static const pubsub_setting settings[] = {
    {"url", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_REQUIRED, NULL, NULL, 0, 0, "URL of the server"},
    {"user", PUBSUB_SETTING_TEXT, 0, NULL, NULL, 0, 0, "who"},
    {"password", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0, "password"},
    {"pin", PUBSUB_SETTING_INT, PUBSUB_SETTING_SECRET, NULL, NULL, 0, 9999, "number"},
    {"secret", PUBSUB_SETTING_TEXT, PUBSUB_SETTING_LIST | PUBSUB_SETTING_SECRET, NULL, NULL, 0, 0,
     "one or more"},
    {"limit", PUBSUB_SETTING_INT, 0, "100", NULL, 1, 10000, "rows of a page"},
    {"heartbeat", PUBSUB_SETTING_DURATION, 0, "30s", NULL, 0, 0, "sign of life"},
    {"feed", PUBSUB_SETTING_CHOICE, 0, "longpoll", "longpoll|continuous", 0, 0, "kind"},
    {"selector", PUBSUB_SETTING_JSON, 0, NULL, NULL, 0, 0, "filter"},
};

#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
extern const pubsub_connector pubsub_connector_v1;
const pubsub_connector pubsub_connector_v1 = {
    .abi = PUBSUB_CONNECTOR_ABI,
    .size = sizeof(pubsub_connector),
    .name = "fake",
    .summary = "for tests",
    .flags = PUBSUB_CONNECTOR_REPLAYS,
    .settings = settings,
    .setting_count = sizeof(settings) / sizeof(settings[0]),
    .initialize = initialize,
    .start = start,
    .resume = resume,
    .stop = stop,
    .fini = fini,
};
