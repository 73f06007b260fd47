/* SPDX-License-Identifier: MIT */
#include "unit/bridge/scripted.h"

#include "base/alloc.h"
#include "support/cmocka.h"
#include "support/wait.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

scripted_source scripted;

/* ---- the connector ---- */

typedef struct feed {
    pubsub_host *host;
    pubsub_emitter *emitter;
    pubsub_host_timer *timer;
    char models[4][64];
    uint64_t next[4];
    size_t count;
    bool replays;
    bool settles;
    bool over;
} feed;

static pubsub_err tell(feed *self, size_t model, uint64_t number)
{
    static char pad[1u << 20];
    char position[24];
    char key[24];
    static char document[(1u << 20) + 64];
    if (pad[0] == '\0') {
        memset(pad, 'x', sizeof pad);
    }
    (void)snprintf(position, sizeof position, "%" PRIu64, number);
    (void)snprintf(key, sizeof key, "k%" PRIu64, number % 7);
    int len = snprintf(document, sizeof document, "{\"n\":%" PRIu64 ",\"pad\":\"%.*s\"}", number,
                       (int)scripted.pad, pad);
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    event.model = pubsub_bytes_of(self->models[model]);
    event.document = (pubsub_bytes){document, (size_t)len};
    event.key = pubsub_bytes_of(key);
    event.change = PUBSUB_CHANGE_CREATE;
    event.timestamp_ns = kit_wall();
    if (self->replays) {
        event.position = pubsub_bytes_of(position);
    }
    if (self->settles) {
        event.token = self;
    }
    return self->emitter->event(self->emitter, &event);
}

static void pump(void *ctx)
{
    feed *self = ctx;
    uint64_t last = scripted.held_from != 0 ? scripted.held_from - 1 : scripted.last;
    for (size_t m = 0; m < self->count && !scripted.silent; m++) {
        while (self->next[m] <= last) {
            pubsub_err rc = tell(self, m, self->next[m]);
            if (rc == PUBSUB_EAGAIN) {
                scripted.again++;
                return;
            }
            if (rc != PUBSUB_OK) {
                return;
            }
            self->next[m]++;
            scripted.told++;
        }
    }
    if (!scripted.endless && last == scripted.last && !self->over) {
        self->over = true;
        for (size_t m = 0; m < self->count; m++) {
            self->emitter->state(self->emitter, pubsub_bytes_of(self->models[m]),
                                 PUBSUB_SOURCE_ENDED);
        }
    }
}

static pubsub_err make(void **out, const pubsub_connector_init *init, bool replays, bool settles)
{
    feed *self = pubsub__calloc(1, sizeof *self);
    assert_non_null(self);
    self->host = init->host;
    self->replays = replays;
    self->settles = settles;
    self->count = init->model_count < 4 ? init->model_count : 4;
    for (size_t i = 0; i < self->count; i++) {
        (void)snprintf(self->models[i], sizeof self->models[i], "%s", init->models[i]);
    }
    self->timer = init->host->timer_new(init->host, pump, self);
    *out = self;
    scripted.self = self;
    return PUBSUB_OK;
}

static pubsub_err make_replays(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    (void)err;
    return make(out, init, true, false);
}

static pubsub_err make_settles(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    (void)err;
    return make(out, init, false, true);
}

static pubsub_err make_plain(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    (void)err;
    return make(out, init, false, false);
}

static pubsub_err start(void *ctx, pubsub_emitter *emitter, pubsub_error *err)
{
    feed *self = ctx;
    scripted.starts++;
    if (scripted.starts <= scripted.fail_starts) {
        return pubsub_error_set(err, PUBSUB_ECONNECT, "not yet");
    }
    self->emitter = emitter;
    for (size_t m = 0; m < self->count; m++) {
        pubsub_bytes model = pubsub_bytes_of(self->models[m]);
        pubsub_bytes stored =
            self->replays ? emitter->stored(emitter, model) : (pubsub_bytes){NULL, 0};
        char text[32];
        (void)snprintf(text, sizeof text, "%" PRIu64, scripted.done_before);
        if (stored.len > 0 && stored.len < sizeof text) {
            memcpy(text, stored.data, stored.len);
            text[stored.len] = '\0';
        }
        self->next[m] = strtoull(text, NULL, 10) + 1;
        scripted.begun_at = self->next[m];
        if (!scripted.stay_starting) {
            emitter->state(emitter, model, PUBSUB_SOURCE_ACTIVE);
        }
    }
    self->host->timer_start(self->timer, 0);
    return PUBSUB_OK;
}

static void resume(void *ctx)
{
    scripted.resumed++;
    pump(ctx);
}

static void settled(void *ctx, const pubsub_settled *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(list[i].token, ctx);
        *(list[i].result == PUBSUB_OK ? &scripted.settled_ok : &scripted.settled_bad) += 1;
    }
}

static void stop(void *ctx, void (*done)(void *ctx), void *done_ctx)
{
    feed *self = ctx;
    scripted.stops++;
    self->host->timer_stop(self->timer);
    self->emitter = NULL;
    done(done_ctx);
}

static void fini(void *ctx)
{
    feed *self = ctx;
    self->host->timer_free(self->timer);
    pubsub__free(self);
    scripted.self = NULL;
}

#define TABLE(name_, flags_, make_, settled_)                                                      \
    {                                                                                              \
        .abi = PUBSUB_CONNECTOR_ABI, .size = sizeof(pubsub_connector), .name = (name_),            \
        .summary = "for tests", .flags = (flags_), .initialize = (make_), .start = start,          \
        .resume = resume, .settled = (settled_), .stop = stop, .fini = fini                        \
    }
const pubsub_connector scripted_replays =
    TABLE("replays", PUBSUB_CONNECTOR_REPLAYS, make_replays, NULL);
const pubsub_connector scripted_settles =
    TABLE("settles", PUBSUB_CONNECTOR_SETTLES, make_settles, settled);
const pubsub_connector scripted_plain = TABLE("plain", 0, make_plain, NULL);

void scripted_reset(void)
{
    scripted = (scripted_source){.last = 0};
}

void scripted_go_on(void)
{
    feed *self = scripted.self;
    self->host->timer_start(self->timer, 0);
}

/* ---- the bridge ---- */

void scripted_bridge_init(scripted_bridge *b, const pubsub_connector *connector)
{
    char dir[KIT_PATH_MAX];
    kit_dir_new(dir);
    scripted_bridge_at(b, dir, connector);
}

void scripted_bridge_at(scripted_bridge *b, const char *dir, const pubsub_connector *connector)
{
    static char name[] = "r1", model[] = "accounts", topic[] = "t/{model}", broker[] = "bus",
                source[] = "script", dead[] = "dead/{model}";
    memset(b, 0, sizeof *b);
    scripted_reset();
    (void)snprintf(b->dir, sizeof b->dir, "%s", dir);
    (void)snprintf(b->state, sizeof b->state, "%s/state", b->dir);
    (void)snprintf(b->url, sizeof b->url, "local:%s/bus", b->dir);
    b->models[0] = model;
    b->broker = (bridge_broker){.name = broker, .url = b->url};
    b->source = (bridge_source){
        .name = source, .connector = connector, .spool = -1, .spool_size = 16 << 20};
    b->route[0] = (bridge_route){.name = name,
                                 .models = b->models,
                                 .model_count = 1,
                                 .topic = topic,
                                 .changes = ~0u,
                                 .qos = PUBSUB_QOS_UNSET,
                                 .key = true,
                                 .in_flight = 50,
                                 .in_flight_bytes = 1u << 20,
                                 .dead_letter = dead};
    b->config = (bridge_config){.state = b->state,
                                .drain = 5000,
                                .brokers = &b->broker,
                                .broker_count = 1,
                                .sources = &b->source,
                                .source_count = 1,
                                .routes = b->route,
                                .route_count = 1};
}

void scripted_bridge_fini(scripted_bridge *b)
{
    kit_dir_remove(b->dir);
}

static void on_note(void *ctx, bridge_note_kind kind, const char *route, pubsub_bytes model,
                    pubsub_bytes text)
{
    scripted_bridge *b = ctx;
    (void)route;
    switch (kind) {
    case BRIDGE_NOTE_STATE:
        b->states++;
        (void)snprintf(b->last_state, sizeof b->last_state, "%.*s: %.*s", (int)model.len,
                       (const char *)model.data, (int)text.len, (const char *)text.data);
        break;
    case BRIDGE_NOTE_ERROR:
        b->errors++;
        (void)snprintf(b->last_error, sizeof b->last_error, "%.*s", (int)text.len,
                       (const char *)text.data);
        break;
    case BRIDGE_NOTE_EVENT:
        b->events++;
        break;
    }
}

void scripted_run(scripted_bridge *b)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub_host_new(&b->host, &err) != PUBSUB_OK) {
        fail_msg("%s", err.text);
    }
    b->engine = bridge_engine_new(b->host, &b->config, on_note, b, &err);
    if (b->engine == NULL) {
        fail_msg("%s", err.text);
    }
}

static void on_stopped(void *ctx, bool clean)
{
    scripted_bridge *b = ctx;
    b->done = true;
    b->clean = clean;
}

static bool is_done(scripted_bridge *b)
{
    return b->done;
}

void scripted_stop(scripted_bridge *b)
{
    b->done = false;
    bridge_engine_stop(b->engine, kit_ms(b->config.drain), on_stopped, b);
    scripted_until(b, is_done);
    bridge_engine_free(b->engine);
    pubsub_host_free(b->host);
    b->engine = NULL;
    b->host = NULL;
}

void scripted_until(scripted_bridge *b, bool (*holds)(scripted_bridge *b))
{
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (!holds(b)) {
        if (kit_over(deadline)) {
            fail_msg("it did not come to that; last error: %s, last state: %s", b->last_error,
                     b->last_state);
        }
        (void)pubsub_host_run(b->host, 1);
    }
}

void scripted_for(scripted_bridge *b, int64_t ms)
{
    kit_deadline deadline = kit_in(ms);
    while (!kit_over(deadline)) {
        (void)pubsub_host_run(b->host, 1);
    }
}

bridge_route_view scripted_view(scripted_bridge *b)
{
    bridge_route_view view;
    bridge_engine_view(b->engine, 0, &view);
    return view;
}

bool scripted_is_ended(scripted_bridge *b)
{
    return scripted_view(b).state == BRIDGE_ROUTE_ENDED;
}

bool scripted_is_active(scripted_bridge *b)
{
    return scripted_view(b).state == BRIDGE_ROUTE_ACTIVE;
}

bool scripted_is_stopped(scripted_bridge *b)
{
    return scripted_view(b).state == BRIDGE_ROUTE_STOPPED;
}

bool scripted_is_waiting(scripted_bridge *b)
{
    return scripted_view(b).state == BRIDGE_ROUTE_WAITING;
}

/* ---- the bus ---- */

void scripted_read(const char *url, scripted_bus *bus)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_options *options = NULL;
    pubsub_subscription *subscription = NULL;
    bus->count = 0;
    assert_int_equal(pubsub_client_new(&bus->client, url, NULL, &err), PUBSUB_OK);
    assert_int_equal(pubsub_options_new(&options), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "from", "earliest", &err), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "prefetch", "100000", &err), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "prefetch_bytes", "1G", &err), PUBSUB_OK);
    assert_int_equal(
        pubsub_client_subscribe(bus->client, "#", options, NULL, NULL, &subscription, &err),
        PUBSUB_OK);
    pubsub_options_free(options);
    assert_int_equal(pubsub_subscription_wait(subscription, kit_ms(KIT_PATIENCE), NULL, &err),
                     PUBSUB_OK);
    /* Whatever is stored is there at once; then it is silent. */
    while (bus->count < sizeof bus->messages / sizeof bus->messages[0] &&
           pubsub_subscription_next(subscription, kit_ms(200), &bus->messages[bus->count], &err) ==
               PUBSUB_OK) {
        bus->count++;
    }
    pubsub_subscription_free(subscription);
}

void scripted_forget(scripted_bus *bus)
{
    while (bus->count > 0) {
        pubsub_message_unref(bus->messages[--bus->count]);
    }
    (void)pubsub_client_end(bus->client, 0, NULL);
    pubsub_client_free(bus->client);
}

uint64_t scripted_number(const pubsub_message *message)
{
    pubsub_bytes payload = pubsub_message_payload(message);
    static const char mark[] = "\"n\":";
    const char *data = payload.data;
    uint64_t number = 0;
    for (size_t i = 0; i + sizeof mark <= payload.len; i++) {
        if (memcmp(data + i, mark, sizeof mark - 1) != 0) {
            continue;
        }
        for (i += sizeof mark - 1; i < payload.len && data[i] >= '0' && data[i] <= '9'; i++) {
            number = number * 10 + (uint64_t)(data[i] - '0');
        }
        break;
    }
    return number;
}
