/* SPDX-License-Identifier: MIT */
#include "engine/pipe.h"

#include "base/alloc.h"
#include "base/text.h"
#include "engine/topic.h"

#include <stdio.h>
#include <string.h>

/* What becomes of a message: confirmed, tried again, refused and then dead-lettered, skipped, or the
 * end of the route. */

#define REASON_MAX 256
#define SETTLE_MS 1
#define DEAD_TOPIC "$dead/{source}/{model}"

/* ---- settling ---- */

void bridge_pipe_settle_flush(bridge_pipe *pipe)
{
    size_t count = pipe->settled_count;
    pipe->settled_count = 0;
    if (count > 0 && pipe->self_running && pipe->init.connector->settled != NULL) {
        pipe->init.connector->settled(pipe->self, pipe->settled, count);
    }
}

/* As long as much is under way, what is done is told in bulk: each telling wakes the source's client, and
 * what it reads next is as much as it was told. Whoever waits for an answer is told at once. */
static size_t settle_bulk(const bridge_pipe *pipe)
{
    size_t quarter = pipe->init.route->in_flight / 4;
    if ((pipe->init.connector->flags & PUBSUB_CONNECTOR_HURRIES) != 0 || pipe->flights <= quarter) {
        return 0;
    }
    return quarter < PIPE_SETTLE_MAX ? quarter : PIPE_SETTLE_MAX;
}

void bridge_pipe_settle(bridge_pipe *pipe, void *token, pubsub_err result)
{
    if (token == NULL) {
        return;
    }
    size_t bulk = settle_bulk(pipe);
    if (pipe->settled_count == PIPE_SETTLE_MAX || (bulk > 0 && pipe->settled_count >= bulk)) {
        bridge_pipe_settle_flush(pipe);
    }
    if (pipe->settled_count == 0) {
        pipe->init.host->timer_start(pipe->later, bulk > 0 ? SETTLE_MS : 0);
    }
    pipe->settled[pipe->settled_count++] = (pubsub_settled){token, result};
}

/* ---- the ways to end ---- */

/* The room of a flight is free. The one that stands behind it, or NULL. */
static bridge_flight *let_go(bridge_pipe *pipe, bridge_flight *flight)
{
    bridge_flight *next = bridge_lanes_leave(&pipe->lanes, flight);
    pipe->flights--;
    pipe->flight_bytes -= flight->counted;
    bridge_target_flight_free(flight);
    return next;
}

/* The flight has come back: the next one of its key may go. A route that is at its end lets go of those that
 * never went: their places stay open, and they come again. */
static void land(bridge_pipe *pipe, bridge_flight *flight)
{
    bridge_flight *next = let_go(pipe, flight);
    bool over = pipe->failed || pipe->fail_soon || pipe->phase > PIPE_DRAINING;
    while (next != NULL && over) {
        bridge_pipe_settle(pipe, next->token, PUBSUB_ECLOSED);
        next = let_go(pipe, next);
    }
    if (next != NULL) {
        bridge_target_submit(next);
    }
}

static void finish(bridge_pipe *pipe, bridge_flight *flight)
{
    bridge_model *model = flight->model;
    if (flight->timestamp_ns != 0) {
        pipe->last_timestamp_ns = flight->timestamp_ns;
    }
    if (model != NULL) {
        (void)bridge_window_done(&model->window, flight->number);
        bridge_pipe_dirty(pipe, model);
    } else {
        pipe->last_commit_ns = bridge_pipe_now(pipe);
    }
    bridge_pipe_settle(pipe, flight->token, PUBSUB_OK);
    land(pipe, flight);
}

/* Its place in the window stays open, so that no position behind it is ever stored. */
static void leave_open(bridge_pipe *pipe, bridge_flight *flight, const pubsub_error *error)
{
    /* Not the error: the event is to come again when the route goes on. */
    bridge_pipe_settle(pipe, flight->token, PUBSUB_ECLOSED);
    bridge_pipe_fail(pipe, error);
    land(pipe, flight);
}

/* ---- dead letters ---- */

static bool add_dead_text(bridge_flight *flight, size_t *at, pubsub_bytes text)
{
    *at = flight->data.len;
    return pubsub__buf_add(&flight->data, text.data, text.len) == PUBSUB__BUF_OK;
}

/* The buffer may have moved: what points into it goes along. */
static void move_piece(pubsub_bytes *piece, const char *from, const char *to)
{
    if (piece->len > 0) {
        piece->data = to + ((const char *)piece->data - from);
    }
}

static void move_pieces(bridge_flight *flight, const char *from)
{
    pubsub_publication *pub = &flight->publication;
    const char *to = flight->data.data;
    pubsub_bytes *pieces[] = {
        &pub->payload,     &pub->key,          &pub->content_type,  &pub->reply_to,
        &pub->correlation, &pub->topic,        &flight->model_name, &flight->source_topic,
        &flight->key,      &flight->dead_topic};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        move_piece(pieces[i], from, to);
    }
    for (size_t i = 0; i < pub->header_count; i++) {
        move_piece(&flight->headers[i].name, from, to);
        move_piece(&flight->headers[i].value, from, to);
    }
}

/* The topic of the dead letter, behind all that the flight has. */
static pubsub_err add_dead_topic(bridge_pipe *pipe, bridge_flight *flight, size_t *at,
                                 pubsub_error *err)
{
    const bridge_route *route = pipe->init.route;
    const bridge_topic_names names = {pipe->init.source, pipe->init.name,
                                      flight->headers[0].value}; /* pubsub-id */
    bool usable = route->dead_letter != NULL && strstr(route->dead_letter, "{/") == NULL;
    const char *template_text = usable ? route->dead_letter : DEAD_TOPIC;
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    pubsub__buf topic;
    pubsub__buf_init(&topic, PUBSUB_TOPIC_MAX * 2);
    event.model = flight->model_name;
    event.topic = flight->source_topic;
    event.key = flight->key;
    event.change = flight->change;
    pubsub_err rc = PUBSUB_OK;
    if (flight->dead_topic.len > 0) {
        rc = pubsub__buf_add(&topic, flight->dead_topic.data, flight->dead_topic.len) == 0
                 ? PUBSUB_OK
                 : pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a dead letter");
    } else {
        rc = bridge_topic_make(template_text, &names, &event, &topic, err);
    }
    if (rc == PUBSUB_OK && !add_dead_text(flight, at, (pubsub_bytes){topic.data, topic.len})) {
        rc = pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a dead letter");
    }
    pubsub__buf_fini(&topic);
    return rc;
}

static pubsub_err make_dead(bridge_pipe *pipe, bridge_flight *flight, const pubsub_error *why,
                            pubsub_error *err)
{
    pubsub_publication *pub = &flight->publication;
    const char *from = flight->data.data;
    char reason[REASON_MAX];
    size_t at[3] = {0, 0, 0};
    (void)snprintf(reason, sizeof reason, "%s", pubsub_error_text(why));
    pubsub__text_oneline(reason);
    size_t capacity = pub->header_count + 3;
    pubsub_header *headers = pubsub__realloc(flight->headers, capacity * sizeof *headers);
    if (headers == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a dead letter");
    }
    flight->headers = headers;
    flight->header_capacity = capacity;
    pub->headers = headers;
    if (!add_dead_text(flight, &at[1], pubsub_bytes_of(reason)) ||
        !add_dead_text(flight, &at[2], pubsub_bytes_of(pipe->init.name))) {
        move_pieces(flight, from);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a dead letter");
    }
    move_pieces(flight, from);
    from = flight->data.data;
    pubsub_err rc = add_dead_topic(pipe, flight, &at[0], err);
    move_pieces(flight, from);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    const char *data = flight->data.data;
    pubsub_header dead[3] = {
        {pubsub_bytes_of("pubsub-dead-reason"), {data + at[1], strlen(reason)}},
        {pubsub_bytes_of("pubsub-dead-topic"), pub->topic},
        {pubsub_bytes_of("pubsub-dead-route"), {data + at[2], strlen(pipe->init.name)}}};
    memcpy(&headers[pub->header_count], dead, sizeof dead);
    pub->header_count += 3;
    pub->topic = (pubsub_bytes){data + at[0], flight->data.len - at[0]};
    pub->flags &= ~PUBSUB_PUBLISH_RETAIN; /* it is no value of a topic */
    pub->expiry = 0;
    return PUBSUB_OK;
}

static void dead_letter(bridge_pipe *pipe, bridge_flight *flight, const pubsub_error *why)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_error text = PUBSUB_ERROR_INIT;
    if (!flight->dead && make_dead(pipe, flight, why, &err) == PUBSUB_OK) {
        flight->dead = true;
        bridge_target_submit(flight);
        return;
    }
    (void)pubsub_error_set(&text, flight->dead ? why->code : err.code,
                           "a refused message could not be written to the dead-letter topic "
                           "either: %s",
                           flight->dead ? pubsub_error_text(why) : pubsub_error_text(&err));
    leave_open(pipe, flight, &text);
}

/* A sender that waits for our answer can be told that its event is not kept; one that sends too much must
 * not end the route for all. */
static bool can_be_told(const bridge_pipe *pipe, const bridge_flight *flight)
{
    return pipe->init.to_spool && (pipe->init.connector->flags & PUBSUB_CONNECTOR_HURRIES) != 0 &&
           flight->token != NULL && flight->model == NULL;
}

void bridge_pipe_refuse(bridge_flight *flight, const pubsub_error *error)
{
    bridge_pipe *pipe = flight->user->ctx;
    if (!flight->dead) {
        pipe->counts.rejected++;
        bridge_pipe_trouble(pipe, flight->model_name, error);
    }
    if (can_be_told(pipe, flight)) {
        bridge_pipe_settle(pipe, flight->token,
                           error->code == PUBSUB_OK ? PUBSUB_EREJECTED : error->code);
        land(pipe, flight);
        return;
    }
    switch (flight->dead ? BRIDGE_REJECT_DEAD_LETTER : pipe->init.route->on_reject) {
    case BRIDGE_REJECT_DEAD_LETTER:
        dead_letter(pipe, flight, error);
        break;
    case BRIDGE_REJECT_STOP:
        leave_open(pipe, flight, error);
        break;
    case BRIDGE_REJECT_SKIP:
        pipe->counts.skipped++;
        finish(pipe, flight);
        break;
    }
}

/* ---- reports ---- */

static void accepted(bridge_pipe *pipe, bridge_flight *flight)
{
    if (pipe->disk_full) {
        pipe->disk_full = false;
        pipe->init.host->timer_start(pipe->later, 0); /* it is told that this is over */
    }
    if (flight->dead) {
        pipe->counts.dead_lettered++;
    } else {
        pipe->counts.published++;
        pipe->counts.bytes += flight->payload;
    }
    finish(pipe, flight);
}

/* A disk that is full is emptied one day, and nothing is lost by waiting for that: a client gives up on
 * it, a bridge does not. */
static bool may_come_again(bridge_pipe *pipe, const pubsub_error *error)
{
    if (error->code == PUBSUB_ENOSPC && !pipe->disk_full) {
        pipe->disk_full = true;
        pipe->init.host->timer_start(pipe->later, 0);
    }
    return error->code == PUBSUB_ENOSPC || pubsub_err_is_retryable(error->code);
}

void bridge_pipe_report(bridge_flight *flight, const pubsub_report *report)
{
    bridge_pipe *pipe = flight->user->ctx;
    pubsub_error unknown = PUBSUB_ERROR_INIT;
    unknown.code = PUBSUB_EREJECTED;
    const pubsub_error *error = report->error != NULL ? report->error : &unknown;
    bool expired = report->outcome == PUBSUB_DROPPED;
    bool final = error->code == PUBSUB_ENOTSUP || bridge_target_failed(pipe->init.target);
    if (report->outcome == PUBSUB_ACCEPTED) {
        accepted(pipe, flight);
    } else if (!expired && !final && may_come_again(pipe, error)) {
        pipe->counts.retried++;
        bridge_pipe_trouble(pipe, flight->model_name, error);
        bridge_target_retry(flight);
    } else if (expired || (!final && report->outcome == PUBSUB_REJECTED)) {
        bridge_pipe_refuse(flight, error);
    } else {
        leave_open(pipe, flight, error);
    }
}
