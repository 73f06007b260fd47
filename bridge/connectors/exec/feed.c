/* SPDX-License-Identifier: MIT */
#include "connectors/exec/feed.h"

#include "base/rand.h"
#include "connectors/exec/env.h"
#include "connectors/models.h"

#include <pubsub/log.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* ---- telling ------------------------------------------------------------------------------- */

static pubsub_bytes first_model(const exec_feed *feed)
{
    return pubsub_bytes_of(feed->models[0]);
}

static void tell_state(exec_feed *feed, pubsub_source_state state)
{
    for (size_t i = 0; feed->emitter != NULL && i < feed->model_count; i++) {
        feed->emitter->state(feed->emitter, pubsub_bytes_of(feed->models[i]), state);
    }
}

static void tell_error(exec_feed *feed, const pubsub_error *error)
{
    if (feed->emitter != NULL) {
        feed->emitter->error(feed->emitter, first_model(feed), error);
    }
}

static bool is_literal(const char *model)
{
    return strchr(model, '*') == NULL;
}

/* ---- lines --------------------------------------------------------------------------------- */

/* The model of a line; a feed of one model needs not name it. */
static bool model_of(const exec_feed *feed, pubsub_bytes *out)
{
    out->data = feed->line.model.data;
    out->len = feed->line.model.len;
    if (out->len == 0) {
        *out = first_model(feed);
        return feed->model_count == 1 && is_literal(feed->models[0]);
    }
    return true;
}

static bool is_wanted(const exec_feed *feed, pubsub_bytes model)
{
    for (size_t i = 0; i < feed->model_count; i++) {
        if (bridge_model_fits(feed->models[i], model)) {
            return true;
        }
    }
    return false;
}

static void bad_line(exec_feed *feed, const char *why)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&error, PUBSUB_EPROTO, "line %llu of %s: %s",
                           (unsigned long long)feed->line_number, feed->argv[0], why);
    tell_error(feed, &error);
    if (!feed->skip_bad) {
        feed->given_up = true;
        tell_state(feed, PUBSUB_SOURCE_STOPPED);
        exec_child_stop(feed->child, feed->patience);
    }
}

static void now_active(exec_feed *feed)
{
    if (!feed->told_active) {
        feed->told_active = true;
        feed->delay = feed->backoff;
        tell_state(feed, PUBSUB_SOURCE_ACTIVE);
    }
}

static pubsub_bytes bytes_of(const pubsub__buf *buf)
{
    pubsub_bytes bytes = {buf->data, buf->len};
    return bytes;
}

static pubsub_err take_event(exec_feed *feed, pubsub_bytes model)
{
    const exec_line *line = &feed->line;
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    char random[25];
    pubsub_err code = PUBSUB_OK;
    event.model = model;
    event.document = line->document;
    event.id = bytes_of(&line->id);
    event.key = bytes_of(&line->key);
    event.position = bytes_of(&line->position);
    event.change = line->change;
    event.timestamp_ns = line->time_ns;
    if (event.id.len == 0 && event.position.len == 0) {
        pubsub__rand_name(random, sizeof(random) - 1); /* nothing would tell it from the others */
        event.id = pubsub_bytes_of(random);
    }
    code = feed->emitter->event(feed->emitter, &event);
    if (code != PUBSUB_OK && code != PUBSUB_EAGAIN && code != PUBSUB_ECLOSED) {
        bad_line(feed, pubsub_strerror(code));
        return PUBSUB_OK;
    }
    return code;
}

/* PUBSUB_OK: done with; PUBSUB_EAGAIN: it must be offered again. */
static pubsub_err take_line(exec_feed *feed, pubsub_bytes text)
{
    exec_line *line = &feed->line;
    pubsub_bytes model = {NULL, 0};
    exec_line_parse(line, text);
    if (line->kind == EXEC_LINE_EMPTY) {
        feed->emitter->alive(feed->emitter, first_model(feed));
        return PUBSUB_OK;
    }
    if (line->kind == EXEC_LINE_BAD) {
        bad_line(feed, line->why);
        return PUBSUB_OK;
    }
    if (line->kind == EXEC_LINE_STATE && line->model.len == 0) {
        feed->told_active = line->state == PUBSUB_SOURCE_ACTIVE;
        feed->delay = feed->told_active ? feed->backoff : feed->delay;
        tell_state(feed, line->state);
        return PUBSUB_OK;
    }
    if (!model_of(feed, &model)) {
        if (line->kind != EXEC_LINE_ERROR) {
            bad_line(feed, "\"model\" is missing, and there are several");
            return PUBSUB_OK;
        }
        model = first_model(feed);
    }
    if (line->kind == EXEC_LINE_ERROR) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)pubsub_error_set(&error, PUBSUB_EIO, "%s", pubsub__buf_text(&line->text));
        feed->emitter->error(feed->emitter, model, &error);
        return PUBSUB_OK;
    }
    if (!is_wanted(feed, model)) {
        return PUBSUB_OK;
    }
    if (line->kind == EXEC_LINE_STATE) {
        feed->emitter->state(feed->emitter, model, line->state);
        return PUBSUB_OK;
    }
    now_active(feed);
    if (line->kind == EXEC_LINE_POSITION) {
        feed->emitter->position(feed->emitter, model, bytes_of(&line->position));
        return PUBSUB_OK;
    }
    return take_event(feed, model);
}

static size_t on_output(void *ctx, const char *data, size_t len)
{
    exec_feed *feed = ctx;
    size_t used = 0;
    while (used < len && feed->emitter != NULL && !feed->given_up) {
        const char *end = memchr(data + used, '\n', len - used);
        size_t size = end != NULL ? (size_t)(end - data) - used : len - used;
        pubsub_bytes line = {data + used, size};
        if (size > feed->max_line || feed->skipping) {
            if (!feed->skipping) {
                feed->line_number++;
                bad_line(feed, "it is longer than max_line");
            }
            feed->skipping = end == NULL;
        } else if (end == NULL) {
            break;
        } else {
            feed->line_number++;
            if (take_line(feed, line) == PUBSUB_EAGAIN) {
                feed->line_number--;
                exec_child_pause(feed->child);
                break;
            }
        }
        used += size + (end != NULL ? 1 : 0);
    }
    return used;
}

static void on_complaint(void *ctx, const char *line)
{
    exec_feed *feed = ctx;
    char text[2400];
    (void)snprintf(text, sizeof(text), "%s: %s: %s", feed->name, feed->models[0], line);
    feed->host->log(feed->host, PUBSUB_LOG_WARN, text);
}

/* ---- the program --------------------------------------------------------------------------- */

static void on_end(void *ctx, int status);

pubsub_err exec_feed_launch(exec_feed *feed, pubsub_error *err)
{
    static const exec_child_events events = {on_output, on_complaint, on_end};
    exec_env env;
    exec_child_options options = {feed->argv, env.list, feed->dir, feed->max_line, &env.given};
    pubsub_error detail = PUBSUB_ERROR_INIT;
    feed->line_number = 0;
    feed->told_active = false;
    feed->skipping = false;
    if (exec_env_fill(&env, feed->emitter, feed->models, feed->env)) {
        feed->child = exec_child_new(feed->host, &options, &events, feed, &detail);
    } else {
        (void)pubsub_error_set(
            &detail, PUBSUB_EOPTION,
            "env: there are more than %d entries, or they are too long; or all positions "
            "together are",
            EXEC_ENV_MAX);
    }
    exec_env_fini(&env);
    if (feed->child == NULL) {
        return pubsub_error_set(err, detail.code, "%s", detail.text);
    }
    tell_state(feed, PUBSUB_SOURCE_STARTING);
    return PUBSUB_OK;
}

static void start_later(exec_feed *feed)
{
    pubsub_duration_ms delay = feed->delay;
    feed->delay = delay * 2 < feed->backoff_max ? delay * 2 : feed->backoff_max;
    tell_state(feed, PUBSUB_SOURCE_WAITING);
    feed->host->timer_start(feed->again, delay);
}

void exec_feed_again(void *ctx)
{
    exec_feed *feed = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (exec_feed_launch(feed, &error) != PUBSUB_OK) {
        tell_error(feed, &error);
        start_later(feed);
    }
}

static void on_end(void *ctx, int status)
{
    exec_feed *feed = ctx;
    bool is_success = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    pubsub_error error = PUBSUB_ERROR_INIT;
    feed->child = NULL;
    if (feed->done != NULL) {
        void (*done)(void *ctx) = feed->done;
        feed->done = NULL;
        done(feed->done_ctx);
        return;
    }
    if (feed->given_up) {
        return;
    }
    if (!is_success) {
        (void)pubsub_error_set(&error, PUBSUB_EIO, "%s ended %s %d", feed->argv[0],
                               WIFSIGNALED(status) ? "by signal" : "with status",
                               WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        tell_error(feed, &error);
    }
    if (feed->restart == 0 || (feed->restart == 1 && !is_success)) {
        start_later(feed);
    } else {
        tell_state(feed, is_success ? PUBSUB_SOURCE_ENDED : PUBSUB_SOURCE_STOPPED);
    }
}
