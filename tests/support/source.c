/* SPDX-License-Identifier: MIT */
#include "support/source.h"

#include <stdio.h>
#include <stdlib.h>

enum { SETTINGS_MAX = 32, EVENTS_MAX = 200000 };

static char *copy(pubsub_bytes bytes)
{
    char *text = malloc(bytes.len + 1);
    if (text == NULL) {
        abort();
    }
    if (bytes.len > 0) {
        memcpy(text, bytes.data, bytes.len);
    }
    text[bytes.len] = '\0';
    return text;
}

static size_t model_index(kit_source *source, pubsub_bytes model)
{
    size_t at = 0;
    for (; at < 15 && source->models[at].model[0] != '\0'; at++) {
        if (strlen(source->models[at].model) == model.len &&
            memcmp(source->models[at].model, model.data, model.len) == 0) {
            return at;
        }
    }
    (void)snprintf(source->models[at].model, sizeof(source->models[at].model), "%.*s",
                   (int)model.len, (const char *)model.data);
    return at;
}

static void store(kit_source *source, pubsub_bytes model, pubsub_bytes position)
{
    size_t at = model_index(source, model);
    if (position.len > 0) {
        free(source->models[at].text);
        source->models[at].text = copy(position);
    }
}

static pubsub_err on_event(pubsub_emitter *emitter, const pubsub_source_event *event)
{
    kit_source *source = (kit_source *)(void *)emitter;
    if (source->room == 0) {
        source->refused++;
        return PUBSUB_EAGAIN;
    }
    source->room -= source->room == SIZE_MAX ? 0 : 1;
    if (source->count == EVENTS_MAX) {
        return PUBSUB_ENOMEM;
    }
    source->events[source->count++] =
        (kit_event_copy){copy(event->model), copy(event->id), copy(event->key),
                         copy(event->document), event->change};
    store(source, event->model, event->position);
    return PUBSUB_OK;
}

static void on_position(pubsub_emitter *emitter, pubsub_bytes model, pubsub_bytes position)
{
    kit_source *source = (kit_source *)(void *)emitter;
    source->positions++;
    store(source, model, position);
}

static pubsub_bytes on_stored(pubsub_emitter *emitter, pubsub_bytes model)
{
    kit_source *source = (kit_source *)(void *)emitter;
    return pubsub_bytes_of(source->models[model_index(source, model)].text);
}

static void on_state(pubsub_emitter *emitter, pubsub_bytes model, pubsub_source_state state)
{
    kit_source *source = (kit_source *)(void *)emitter;
    source->models[model_index(source, model)].state = state;
    if (source->seen_count < sizeof(source->seen) / sizeof(source->seen[0])) {
        source->seen[source->seen_count++] = state;
    }
}

static void note(kit_source *source, const pubsub_error *err)
{
    size_t used = strlen(source->errors);
    source->error_count++;
    source->last_error = *err;
    (void)snprintf(source->errors + used, sizeof(source->errors) - used, "%s %s\n",
                   pubsub_err_name(err->code), pubsub_error_text(err));
}

static void on_error(pubsub_emitter *emitter, pubsub_bytes model, const pubsub_error *error)
{
    (void)model;
    note((kit_source *)(void *)emitter, error);
}

static void on_alive(pubsub_emitter *emitter, pubsub_bytes model)
{
    kit_source *source = (kit_source *)(void *)emitter;
    (void)model;
    source->alives++;
}

void kit_source_init(kit_source *source, const char *connector)
{
    memset(source, 0, sizeof(*source));
    source->emitter = (pubsub_emitter){.abi = PUBSUB_CONNECTOR_ABI,
                                       .size = sizeof(pubsub_emitter),
                                       .event = on_event,
                                       .position = on_position,
                                       .stored = on_stored,
                                       .state = on_state,
                                       .error = on_error,
                                       .alive = on_alive};
    source->room = SIZE_MAX;
    source->events = calloc(EVENTS_MAX, sizeof(*source->events));
    assert_non_null(source->events);
    assert_int_equal(pubsub_host_new(&source->host, NULL), PUBSUB_OK);
    source->http = bridge_http_new(source->host);
    assert_non_null(source->http);
    source->connector = pubsub_connector_find(connector);
    assert_non_null(source->connector);
}

void kit_source_forget(kit_source *source)
{
    for (size_t i = 0; i < source->count; i++) {
        free(source->events[i].model);
        free(source->events[i].id);
        free(source->events[i].key);
        free(source->events[i].document);
    }
    source->count = source->refused = source->positions = source->seen_count = 0;
    source->error_count = 0;
    source->errors[0] = '\0';
}

void kit_source_fini(kit_source *source)
{
    if (source->instance != NULL) {
        kit_source_stop(source);
    }
    kit_source_forget(source);
    for (size_t i = 0; i < 16; i++) {
        free(source->models[i].text);
    }
    free(source->events);
    bridge_http_free(source->http);
    pubsub_host_free(source->host);
}

/* An instance, or NULL and what is wrong. */
static pubsub_err make(kit_source *source, const char *const *settings, const char *const *models,
                       void **out, pubsub_error *err)
{
    char names[SETTINGS_MAX][64];
    const char *name_list[SETTINGS_MAX];
    const char *texts[SETTINGS_MAX];
    size_t count = 0;
    pubsub_setting_value *values = NULL;
    size_t value_count = 0;
    pubsub_connector_init init = {.size = sizeof(init),
                                  .host = source->host,
                                  .name = "test",
                                  .reader = "test",
                                  .models = models,
                                  .in_flight = 1000};
    pubsub_err result = PUBSUB_OK;
    *out = NULL;
    for (; settings[count] != NULL && count < SETTINGS_MAX; count++) {
        const char *sign = strchr(settings[count], '=');
        assert_non_null(sign);
        (void)snprintf(names[count], sizeof(names[count]), "%.*s", (int)(sign - settings[count]),
                       settings[count]);
        name_list[count] = names[count];
        texts[count] = sign + 1;
    }
    while (models[init.model_count] != NULL) {
        init.model_count++;
    }
    result =
        pubsub_settings_new(source->connector, name_list, texts, count, &values, &value_count, err);
    if (result == PUBSUB_OK) {
        init.settings = values;
        init.setting_count = value_count;
        result = source->connector->initialize(out, &init, err);
        pubsub_settings_free(values, value_count);
    }
    return result;
}

pubsub_err kit_source_try(kit_source *source, const char *const *settings, pubsub_error *err)
{
    static const char *const models[] = {"model", NULL};
    void *instance = NULL;
    pubsub_err result = make(source, settings, models, &instance, err);
    if (instance != NULL) {
        source->connector->fini(instance);
    }
    return result;
}

void kit_source_start(kit_source *source, const char *const *settings, const char *const *models)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (make(source, settings, models, &source->instance, &err) != PUBSUB_OK ||
        source->connector->start(source->instance, &source->emitter, &err) != PUBSUB_OK) {
        fail_msg("cannot start: %s", err.text);
    }
}

static void on_done(void *ctx)
{
    kit_source *source = ctx;
    source->stopped = true;
}

void kit_source_halt(kit_source *source)
{
    size_t count = source->count;
    source->stopped = false;
    source->connector->stop(source->instance, on_done, source);
    KIT_SOURCE_AWAIT(source, source->stopped);
    assert_int_equal(source->count, count);
}

void kit_source_stop(kit_source *source)
{
    kit_source_halt(source);
    source->connector->fini(source->instance);
    source->instance = NULL;
}

static void on_finding(void *ctx, const pubsub_error *finding)
{
    note(ctx, finding);
}

void kit_source_check(kit_source *source, const char *const *settings, const char *const *models)
{
    void *instance = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (make(source, settings, models, &instance, &err) != PUBSUB_OK) {
        fail_msg("cannot check: %s", err.text);
    }
    source->stopped = false;
    source->connector->check(instance, on_finding, on_done, source);
    KIT_SOURCE_AWAIT(source, source->stopped);
    source->connector->fini(instance);
}

size_t kit_source_count(const kit_source *source, const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < source->count; i++) {
        count += id == NULL || strcmp(source->events[i].id, id) == 0;
    }
    return count;
}

const kit_event_copy *kit_source_last(const kit_source *source, const char *key)
{
    for (size_t i = source->count; i-- > 0;) {
        if (strcmp(source->events[i].key, key) == 0) {
            return &source->events[i];
        }
    }
    return NULL;
}

pubsub_source_state kit_source_state(const kit_source *source, const char *model)
{
    for (size_t i = 0; i < 16; i++) {
        if (strcmp(source->models[i].model, model) == 0) {
            return source->models[i].state;
        }
    }
    return PUBSUB_SOURCE_STARTING;
}

const char *kit_source_stored(const kit_source *source, const char *model)
{
    for (size_t i = 0; i < 16; i++) {
        if (strcmp(source->models[i].model, model) == 0) {
            return source->models[i].text;
        }
    }
    return NULL;
}

void kit_source_store(kit_source *source, const char *model, const char *position)
{
    size_t at = model_index(source, pubsub_bytes_of(model));
    free(source->models[at].text);
    source->models[at].text = position != NULL ? copy(pubsub_bytes_of(position)) : NULL;
    source->models[at].state = PUBSUB_SOURCE_STARTING;
}

static size_t take_answer(void *ctx, pubsub_bytes bytes)
{
    kit_source *source = ctx;
    size_t room = sizeof(source->answer) - 1 - source->answer_len;
    size_t part = bytes.len < room ? bytes.len : room;
    memcpy(source->answer + source->answer_len, bytes.data, part);
    source->answer_len += part;
    source->answer[source->answer_len] = '\0';
    return bytes.len;
}

static void end_answer(void *ctx, const bridge_http_end *end)
{
    kit_source *source = ctx;
    source->status = end->error != NULL ? -1 : end->status;
    source->answered = true;
}

int kit_source_ask(kit_source *source, const char *method, const char *url, const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    bridge_http_request request = {.method = method,
                                   .url = url,
                                   .headers = headers,
                                   .body = pubsub_bytes_of(body),
                                   .on_body = take_answer,
                                   .on_end = end_answer,
                                   .ctx = source};
    source->answer_len = 0;
    source->answer[0] = '\0';
    source->answered = false;
    assert_non_null(bridge_http_start(source->http, &request, NULL));
    KIT_SOURCE_AWAIT(source, source->answered);
    return source->status;
}
