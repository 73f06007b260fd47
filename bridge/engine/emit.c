/* SPDX-License-Identifier: MIT */
#include "engine/pipe.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "engine/filter.h"
#include "engine/format.h"
#include "engine/hash.h"
#include "engine/topic.h"
#include "engine/unwrap.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The way of an event: is there room, is it wanted, what is its payload, its topic, its id. */

#define OWN_HEADERS (2 + BRIDGE_CE_MAX + 3)
#define DEAD_HEADERS 3
#define HEADERS_TAKEN ((size_t)(PUBSUB_HEADERS_MAX - OWN_HEADERS - DEAD_HEADERS))
#define ID_MAX 1024
#define AGAIN_MS 100

/* ---- bounds ---- */

bool bridge_pipe_room(const bridge_pipe *pipe, size_t bytes)
{
    const bridge_route *route = pipe->init.route;
    if (pipe->flights >= route->in_flight ||
        (pipe->flights > 0 && pipe->flight_bytes + bytes > route->in_flight_bytes)) {
        return false;
    }
    /* What a crash would bring again is bounded too, as long as waiting for the disk can change it. */
    return pipe->unstored < route->in_flight || (pipe->dirty == NULL && pipe->writing == 0);
}

static pubsub_err check_event(const bridge_pipe *pipe, const pubsub_source_event *event,
                              pubsub_error *err)
{
    if (event->model.len == 0 || event->model.len > PUBSUB_MODEL_MAX ||
        !pubsub__utf8_check(event->model.data, event->model.len)) {
        return pubsub_error_set(err, PUBSUB_EINVAL,
                                "an event's model is not 1 to %d bytes of UTF-8", PUBSUB_MODEL_MAX);
    }
    if (event->position.len > PUBSUB_POSITION_BYTES_MAX) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "a position of %zu bytes is too long",
                                event->position.len);
    }
    /* A spool has no way around what it cannot keep: whoever sends it is told. */
    if (pipe->init.to_spool && event->header_count > HEADERS_TAKEN) {
        return pubsub_error_set(err, PUBSUB_ETOOBIG, "an event with %zu headers has too many",
                                event->header_count);
    }
    return PUBSUB_OK;
}

/* ---- putting the message together ---- */

/* Everything is appended to the flight's buffer, which moves while it grows: pieces are kept as
 * offsets, and become pointers at the end. */
static const void *offset(size_t at)
{
    return (const void *)(uintptr_t)at;
}

static bool keep(bridge_flight *flight, pubsub_bytes bytes, pubsub_bytes *piece)
{
    *piece = (pubsub_bytes){NULL, bytes.len};
    if (bytes.len == 0) {
        return true;
    }
    size_t at = flight->data.len;
    if (pubsub__buf_add(&flight->data, bytes.data, bytes.len) != PUBSUB__BUF_OK) {
        return false;
    }
    piece->data = offset(at);
    return true;
}

static void settle_piece(const bridge_flight *flight, pubsub_bytes *piece)
{
    piece->data = piece->len == 0 ? NULL : flight->data.data + (uintptr_t)piece->data;
}

static bool add_header(bridge_flight *flight, pubsub_bytes name, pubsub_bytes value)
{
    pubsub_publication *pub = &flight->publication;
    if (pub->header_count == flight->header_capacity) {
        size_t capacity = flight->header_capacity == 0 ? 8 : flight->header_capacity * 2;
        pubsub_header *headers = pubsub__realloc(flight->headers, capacity * sizeof *headers);
        if (headers == NULL) {
            return false;
        }
        flight->headers = headers;
        flight->header_capacity = capacity;
    }
    pubsub_header *header = &flight->headers[pub->header_count];
    if (!keep(flight, name, &header->name) || !keep(flight, value, &header->value)) {
        return false;
    }
    pub->header_count++;
    return true;
}

static bool is_own_header(const bridge_pipe *pipe, pubsub_bytes name)
{
    static const char *const own[] = {"pubsub-id", "pubsub-event", SPOOL_MODEL,
                                      SPOOL_TOPIC, SPOOL_TIME,     SPOOL_RUN};
    /* In a spool nobody else may say what the model was. */
    for (size_t i = 0; i < (pipe->init.to_spool ? 6u : 2u); i++) {
        if (name.len == strlen(own[i]) && memcmp(name.data, own[i], name.len) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_ce_headers(bridge_pipe *pipe, bridge_flight *flight,
                           const bridge_format_names *names, const pubsub_source_event *event)
{
    bridge_ce_text text;
    bridge_ce attributes[BRIDGE_CE_MAX];
    size_t count = bridge_ce_attributes(names, event, &text, attributes);
    const char *prefix = bridge_ce_prefix(bridge_target_url(pipe->init.target));
    for (size_t i = 0; i < count; i++) {
        char name[40];
        (void)snprintf(name, sizeof name, "%s%s", prefix, attributes[i].name);
        if (!add_header(flight, pubsub_bytes_of(name), attributes[i].value)) {
            return false;
        }
    }
    return true;
}

static bool add_spool_headers(const bridge_pipe *pipe, bridge_flight *flight,
                              const pubsub_source_event *event)
{
    char time[24];
    (void)snprintf(time, sizeof time, "%" PRIu64, event->timestamp_ns);
    return add_header(flight, pubsub_bytes_of(SPOOL_MODEL), event->model) &&
           add_header(flight, pubsub_bytes_of(SPOOL_RUN), pubsub_bytes_of(pipe->instance)) &&
           (event->topic.len == 0 ||
            add_header(flight, pubsub_bytes_of(SPOOL_TOPIC), event->topic)) &&
           (event->timestamp_ns == 0 ||
            add_header(flight, pubsub_bytes_of(SPOOL_TIME), pubsub_bytes_of(time)));
}

static bool add_headers(bridge_pipe *pipe, bridge_flight *flight, const bridge_format_names *names,
                        const pubsub_source_event *event)
{
    const char *change = pubsub_change_name(event->change);
    bool ok = add_header(flight, pubsub_bytes_of("pubsub-id"), names->id) &&
              add_header(flight, pubsub_bytes_of("pubsub-event"), pubsub_bytes_of(change));
    if (ok && pipe->init.to_spool) {
        ok = add_spool_headers(pipe, flight, event);
    } else if (ok && pipe->init.route->format == BRIDGE_FORMAT_CLOUDEVENTS_BINARY) {
        ok = add_ce_headers(pipe, flight, names, event);
    }
    for (size_t i = 0; ok && i < event->header_count && i < HEADERS_TAKEN; i++) {
        const pubsub_header *header = &event->headers[i];
        ok = is_own_header(pipe, header->name) || add_header(flight, header->name, header->value);
    }
    return ok;
}

/* The event's own id, or a hash of one that is too long or no text; or one made from what stays the same
 * when it comes again; or, where nothing does, one that nothing else has. */
static pubsub_bytes make_id(bridge_pipe *pipe, const pubsub_source_event *event, char room[64])
{
    if (event->id.len > ID_MAX || !pubsub__utf8_check(event->id.data, event->id.len)) {
        bridge_hash hash;
        bridge_hash_init(&hash);
        bridge_hash_add(&hash, event->id);
        bridge_hash_text(&hash, room);
        return pubsub_bytes_of(room);
    }
    if (event->id.len > 0) {
        return event->id;
    }
    if (event->position.len > 0) {
        bridge_hash hash;
        bridge_hash_init(&hash);
        bridge_hash_add(&hash, pubsub_bytes_of(pipe->init.source));
        bridge_hash_add(&hash, event->model);
        bridge_hash_add(&hash, event->position);
        bridge_hash_text(&hash, room);
    } else {
        (void)snprintf(room, 64, "%s-%" PRIu64, pipe->instance, ++pipe->serial);
    }
    return pubsub_bytes_of(room);
}

/* The topic a dead letter would go to; it is made now where it is made of the document, which is not
 * kept. None when that does not work: then there is a topic for all cases. */
static bool keep_dead_topic(bridge_pipe *pipe, bridge_flight *flight,
                            const bridge_topic_names *names, const pubsub_source_event *event)
{
    const bridge_route *route = pipe->init.route;
    pubsub__buf topic;
    if (route->on_reject != BRIDGE_REJECT_DEAD_LETTER || route->dead_letter == NULL ||
        strstr(route->dead_letter, "{/") == NULL) {
        return keep(flight, (pubsub_bytes){NULL, 0}, &flight->dead_topic);
    }
    pubsub__buf_init(&topic, 2 * PUBSUB_TOPIC_MAX);
    bool made = bridge_topic_make(route->dead_letter, names, event, &topic, NULL) == PUBSUB_OK;
    bool kept = keep(flight, (pubsub_bytes){topic.data, made ? topic.len : 0}, &flight->dead_topic);
    pubsub__buf_fini(&topic);
    return kept;
}

/* What only a dead letter needs later. */
static bool keep_origin(bridge_flight *flight, const pubsub_source_event *event)
{
    flight->change = event->change;
    return keep(flight, event->model, &flight->model_name) &&
           keep(flight, event->topic, &flight->source_topic) &&
           keep(flight, event->key, &flight->key);
}

static bool keep_properties(bridge_pipe *pipe, bridge_flight *flight,
                            const pubsub_source_event *event)
{
    const bridge_route *route = pipe->init.route;
    bridge_target *target = pipe->init.target;
    pubsub_publication *pub = &flight->publication;
    bool key = route->key && event->key.len > 0 && bridge_target_has(target, PUBSUB_FEATURE_KEY);
    bool reply = bridge_target_has(target, PUBSUB_FEATURE_REPLY_TO);
    /* Unset means at least once here: less than that has to be asked for by qos 0 or by degrade. */
    pub->qos = route->qos == PUBSUB_QOS_UNSET ? PUBSUB_AT_LEAST_ONCE : route->qos;
    pub->flags =
        (route->retain ? PUBSUB_PUBLISH_RETAIN : 0) | (route->degrade ? PUBSUB_PUBLISH_DEGRADE : 0);
    pub->expiry = route->expiry;
    pubsub_bytes none = {NULL, 0};
    return keep(flight, key ? event->key : none, &pub->key) &&
           keep(flight, reply ? event->reply_to : none, &pub->reply_to) &&
           keep(flight, reply ? event->correlation : none, &pub->correlation);
}

static void settle_pieces(bridge_flight *flight)
{
    pubsub_publication *pub = &flight->publication;
    pubsub_bytes *pieces[] = {&pub->topic,         &pub->payload,         &pub->key,
                              &pub->content_type,  &pub->reply_to,        &pub->correlation,
                              &flight->model_name, &flight->source_topic, &flight->key,
                              &flight->dead_topic};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        settle_piece(flight, pieces[i]);
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        settle_piece(flight, &flight->headers[i].name);
        settle_piece(flight, &flight->headers[i].value);
    }
    pub->headers = flight->headers;
}

static pubsub_err add_payload(bridge_pipe *pipe, bridge_flight *flight,
                              const bridge_format_names *names, const pubsub_source_event *event,
                              pubsub_error *err)
{
    pubsub_publication *pub = &flight->publication;
    pubsub_bytes type;
    size_t at = flight->data.len;
    pubsub_err rc =
        bridge_format_payload(pipe->init.route->format, names, event, &flight->data, &type, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    pub->payload = (pubsub_bytes){offset(at), flight->data.len - at};
    flight->payload = pub->payload.len;
    if (!bridge_target_has(pipe->init.target, PUBSUB_FEATURE_CONTENT_TYPE)) {
        type.len = 0;
    }
    return keep(flight, type, &pub->content_type)
               ? PUBSUB_OK
               : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for an event");
}

/* PUBSUB_ENOMEM leaves nothing to use, other failures a flight that can be dead-lettered. */
static pubsub_err compose(bridge_pipe *pipe, bridge_flight *flight,
                          const pubsub_source_event *event, pubsub_error *err)
{
    char room[64];
    const bridge_format_names names = {pipe->init.source, make_id(pipe, event, room)};
    const bridge_topic_names topic_names = {pipe->init.source, pipe->init.name, names.id};
    pubsub_publication *pub = &flight->publication;
    *pub = (pubsub_publication)PUBSUB_PUBLICATION_INIT;
    flight->timestamp_ns = event->timestamp_ns;
    if (!keep_properties(pipe, flight, event) || !add_headers(pipe, flight, &names, event) ||
        !keep_origin(flight, event) || !keep_dead_topic(pipe, flight, &topic_names, event)) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for an event");
    }
    pubsub_err rc = add_payload(pipe, flight, &names, event, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    size_t at = flight->data.len;
    rc = bridge_topic_make(pipe->init.route->topic, &topic_names, event, &flight->data, err);
    pub->topic = (pubsub_bytes){offset(at), flight->data.len - at};
    settle_pieces(flight);
    if (rc == PUBSUB_OK && event->header_count > HEADERS_TAKEN) {
        rc = pubsub_error_set(err, PUBSUB_ETOOBIG, "an event with %zu headers has too many",
                              event->header_count);
    }
    return rc;
}

/* ---- the emitter ---- */

static void heard(bridge_pipe *pipe, bridge_model *model)
{
    pipe->alive_ns = bridge_pipe_now(pipe);
    if (model != NULL) {
        model->alive_ns = pipe->alive_ns;
    }
    bridge_pipe_heard(pipe);
}

static pubsub_err no_room(bridge_pipe *pipe)
{
    pipe->wants_resume = true;
    if (pipe->flights == 0 && pipe->dirty == NULL && pipe->writing == 0 &&
        pipe->settled_count == 0 && !pipe->fail_soon) {
        /* Memory is short, and nothing comes back that would make us look again. */
        pipe->init.host->timer_start(pipe->later, AGAIN_MS);
    }
    if (pipe->unstored >= pipe->init.route->in_flight) {
        bridge_pipe_store_now(pipe);
    }
    return PUBSUB_EAGAIN;
}

static pubsub_err pass_over(bridge_pipe *pipe, bridge_model *model,
                            const pubsub_source_event *event)
{
    pipe->counts.received++;
    pipe->counts.filtered++;
    if (model != NULL && bridge_window_pass(&model->window, event->position)) {
        bridge_pipe_dirty(pipe, model);
    }
    bridge_pipe_settle(pipe, event->token, PUBSUB_OK);
    return PUBSUB_OK;
}

static pubsub_err send_off(bridge_pipe *pipe, bridge_model *model, bridge_flight *flight,
                           const pubsub_source_event *event)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc = compose(pipe, flight, event, &err);
    if (rc == PUBSUB_ENOMEM) {
        bridge_pipe_error(pipe, event->model, &err);
        bridge_target_flight_free(flight);
        return no_room(pipe);
    }
    bool ordered = rc == PUBSUB_OK && pipe->init.route->ordered && event->key.len > 0;
    if (ordered && !bridge_lanes_ready(&pipe->lanes, pipe->init.route->in_flight)) {
        bridge_target_flight_free(flight);
        return no_room(pipe);
    }
    if (model != NULL && !bridge_window_add(&model->window, event->position, &flight->number)) {
        bridge_target_flight_free(flight);
        return no_room(pipe);
    }
    flight->model = model;
    flight->token = event->token;
    flight->counted = flight->data.len + event->position.len;
    pipe->flights++;
    pipe->flight_bytes += flight->counted;
    pipe->unstored += model != NULL ? 1 : 0;
    pipe->counts.received++;
    pipe->last_event_ns = pipe->alive_ns;
    if (rc != PUBSUB_OK) {
        bridge_pipe_refuse(flight, &err);
        return PUBSUB_OK;
    }
    bridge_pipe_note(pipe, BRIDGE_NOTE_EVENT, event->model, flight->publication.payload);
    if (!ordered || bridge_lanes_enter(&pipe->lanes, flight, event->model, event->key)) {
        bridge_target_submit(flight);
    }
    return PUBSUB_OK;
}

static pubsub_err too_many_models(bridge_pipe *pipe)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(
        &err, PUBSUB_ETOOBIG,
        "the source has more than %d models; share them out among several routes", PIPE_MODELS_MAX);
    bridge_pipe_fail(pipe, &err);
    return PUBSUB_ECLOSED;
}

static pubsub_err take(bridge_pipe *pipe, const pubsub_source_event *event)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc = check_event(pipe, event, &err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    bridge_model *model = pipe->replays ? bridge_pipe_model(pipe, event->model, true) : NULL;
    heard(pipe, model);
    if (pipe->replays && model == NULL) {
        return pipe->model_count < PIPE_MODELS_MAX ? no_room(pipe) : too_many_models(pipe);
    }
    if (!pipe->init.to_spool && !bridge_filter_passes(pipe->init.route, event)) {
        return pass_over(pipe, model, event);
    }
    size_t bytes = event->document.len + event->key.len + event->id.len + event->position.len;
    if (!bridge_pipe_room(pipe, bytes)) {
        return no_room(pipe);
    }
    bridge_flight *flight = bridge_target_flight(pipe->user);
    return flight != NULL ? send_off(pipe, model, flight, event) : no_room(pipe);
}

pubsub_err bridge_pipe_event(pubsub_emitter *emitter, const pubsub_source_event *event)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    if (pipe->failed || pipe->fail_soon || pipe->phase > PIPE_DRAINING) {
        return PUBSUB_ECLOSED;
    }
    if (pipe->phase == PIPE_DRAINING) {
        return PUBSUB_EAGAIN;
    }
    if (!pipe->init.from_spool) {
        return take(pipe, event);
    }
    bridge_unwrapped room;
    const pubsub_source_event *inside = bridge_unwrap(event, &room);
    if (pipe->writer != NULL && !pipe->met_writer && room.run.len == strlen(pipe->writer) &&
        memcmp(room.run.data, pipe->writer, room.run.len) == 0) {
        pipe->met_writer = true;
        pipe->older = pipe->counts.received;
    }
    return take(pipe, inside);
}

void bridge_pipe_passed(pubsub_emitter *emitter, pubsub_bytes name, pubsub_bytes position)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    if (pipe->failed || pipe->fail_soon || pipe->phase > PIPE_DRAINING || !pipe->replays) {
        return;
    }
    bridge_model *model = bridge_pipe_model(pipe, name, true);
    heard(pipe, model);
    if (model != NULL && bridge_window_pass(&model->window, position)) {
        bridge_pipe_dirty(pipe, model);
    }
}
