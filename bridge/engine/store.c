/* SPDX-License-Identifier: MIT */
#include "engine/pipe.h"

#include "base/alloc.h"
#include "engine/checkpoint.h"

#include <string.h>

/* Models and their positions. Writing is lazy: at most every STORE_MS for a model, but at once when so
 * much is confirmed and not stored that the source has to wait for it. */

#define STORE_MS 100
#define STORE_EVENTS 1000
#define STORE_AGAIN_MS 1000

/* ---- the table ---- */

static size_t bucket_of(const bridge_pipe *pipe, pubsub_bytes name)
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a; the names are the operator's */
    for (size_t i = 0; i < name.len; i++) {
        hash = (hash ^ ((const unsigned char *)name.data)[i]) * UINT64_C(1099511628211);
    }
    return (size_t)(hash % pipe->bucket_count);
}

static bool is_named(const bridge_model *model, pubsub_bytes name)
{
    return model->name_len == name.len && memcmp(model->name, name.data, name.len) == 0;
}

static bool grow(bridge_pipe *pipe)
{
    bridge_pipe bigger = {.bucket_count = pipe->bucket_count == 0 ? 16 : pipe->bucket_count * 4};
    bigger.buckets = pubsub__calloc(bigger.bucket_count, sizeof(bridge_model *));
    if (bigger.buckets == NULL) {
        return pipe->bucket_count > 0;
    }
    for (size_t i = 0; i < pipe->bucket_count; i++) {
        bridge_model *next = NULL;
        for (bridge_model *m = pipe->buckets[i]; m != NULL; m = next) {
            size_t to = bucket_of(&bigger, (pubsub_bytes){m->name, m->name_len});
            next = m->next;
            m->next = bigger.buckets[to];
            bigger.buckets[to] = m;
        }
    }
    pubsub__free(pipe->buckets);
    pipe->buckets = bigger.buckets;
    pipe->bucket_count = bigger.bucket_count;
    return true;
}

static void on_stored(bridge_commit_job *job);

static bridge_model *make_model(bridge_pipe *pipe, pubsub_bytes name)
{
    if (pipe->model_count >= PIPE_MODELS_MAX ||
        (pipe->model_count >= pipe->bucket_count * 2 && !grow(pipe))) {
        return NULL;
    }
    bridge_model *model = pubsub__calloc(1, sizeof *model + name.len + 1);
    if (model == NULL) {
        return NULL;
    }
    size_t bucket = bucket_of(pipe, name);
    model->pipe = pipe;
    model->name_len = name.len;
    memcpy(model->name, name.data, name.len);
    bridge_window_init(&model->window, pipe->init.route->in_flight);
    pubsub__buf_init(&model->stored, PUBSUB_POSITION_BYTES_MAX);
    pubsub__buf_init(&model->job.position, PUBSUB_POSITION_BYTES_MAX);
    model->job.done = on_stored;
    model->job.owner = model;
    model->alive_ns = bridge_pipe_now(pipe);
    model->next = pipe->buckets[bucket];
    pipe->buckets[bucket] = model;
    pipe->model_count++;
    return model;
}

bridge_model *bridge_pipe_model(bridge_pipe *pipe, pubsub_bytes name, bool make)
{
    if (pipe->last_model != NULL && is_named(pipe->last_model, name)) {
        return pipe->last_model;
    }
    if (name.len == 0 || name.len > PUBSUB_MODEL_MAX) {
        return NULL;
    }
    bridge_model *model = pipe->bucket_count > 0 ? pipe->buckets[bucket_of(pipe, name)] : NULL;
    while (model != NULL && !is_named(model, name)) {
        model = model->next;
    }
    if (model == NULL && make) {
        model = make_model(pipe, name);
    }
    pipe->last_model = model != NULL ? model : pipe->last_model;
    return model;
}

bridge_model *bridge_pipe_model_next(const bridge_pipe *pipe, const bridge_model *after)
{
    size_t bucket = 0;
    if (after != NULL) {
        if (after->next != NULL) {
            return after->next;
        }
        bucket = bucket_of(pipe, (pubsub_bytes){after->name, after->name_len}) + 1;
    }
    while (bucket < pipe->bucket_count && pipe->buckets[bucket] == NULL) {
        bucket++;
    }
    return bucket < pipe->bucket_count ? pipe->buckets[bucket] : NULL;
}

void bridge_pipe_models_free(bridge_pipe *pipe)
{
    for (size_t i = 0; i < pipe->bucket_count; i++) {
        bridge_model *next = NULL;
        for (bridge_model *m = pipe->buckets[i]; m != NULL; m = next) {
            next = m->next;
            bridge_window_fini(&m->window);
            pubsub__buf_fini(&m->stored);
            pubsub__buf_fini(&m->job.position);
            pubsub__free(m);
        }
    }
    pubsub__free(pipe->buckets);
}

/* ---- reading ---- */

pubsub_bytes bridge_pipe_stored(pubsub_emitter *emitter, pubsub_bytes name)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    pubsub_bytes none = {NULL, 0};
    pubsub_error err = PUBSUB_ERROR_INIT;
    char *text = NULL;
    size_t len = 0;
    bridge_model *model = bridge_pipe_model(pipe, name, true);
    if (model == NULL) {
        if (pipe->model_count >= PIPE_MODELS_MAX) {
            (void)pubsub_error_set(
                &err, PUBSUB_ETOOBIG,
                "the source has more than %d models; share them out among several routes",
                PIPE_MODELS_MAX);
        } else {
            (void)pubsub_error_set(&err, PUBSUB_EINVAL,
                                   "a model's name is empty or too long, or memory is short");
        }
        bridge_pipe_fail(pipe, &err);
        return none;
    }
    if (!model->stored_known) {
        pubsub_err rc =
            bridge_checkpoint_read(pipe->init.directory, pipe->init.name, name, &text, &len, &err);
        pubsub__buf_reset(&model->stored);
        if (rc == PUBSUB_OK && len > 0) {
            rc = pubsub__buf_add(&model->stored, text, len) == PUBSUB__BUF_OK
                     ? PUBSUB_OK
                     : pubsub_error_set(&err, PUBSUB_ECORRUPT,
                                        "the stored position of '%s' is too long", model->name);
        }
        pubsub__free(text);
        if (rc != PUBSUB_OK) {
            /* It would begin anew; nothing that it tells from now on is taken. */
            bridge_pipe_fail(pipe, &err);
            return none;
        }
        model->stored_known = true;
    }
    return (pubsub_bytes){model->stored.data, model->stored.len};
}

typedef struct stored_walk {
    bridge_pipe *pipe;
    void (*each)(void *ctx, pubsub_bytes model, pubsub_bytes position);
    void *ctx;
} stored_walk;

static void each_stored(void *ctx, pubsub_bytes name)
{
    const stored_walk *walk = ctx;
    pubsub_bytes position = bridge_pipe_stored(&walk->pipe->emitter, name);
    if (position.len > 0) {
        walk->each(walk->ctx, name, position);
    }
}

void bridge_pipe_stored_each(pubsub_emitter *emitter,
                             void (*each)(void *ctx, pubsub_bytes model, pubsub_bytes position),
                             void *ctx)
{
    bridge_pipe *pipe = (bridge_pipe *)(void *)emitter;
    stored_walk walk = {pipe, each, ctx};
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (bridge_checkpoint_models(pipe->init.directory, pipe->init.name, each_stored, &walk, &err) !=
        PUBSUB_OK) {
        bridge_pipe_fail(pipe, &err);
    }
}

/* ---- writing ---- */

static void arm(bridge_pipe *pipe, pubsub_duration_ms delay)
{
    if (!pipe->store_armed) {
        pipe->store_armed = true;
        pipe->init.host->timer_start(pipe->store_timer, delay);
    }
}

static void mark(bridge_pipe *pipe, bridge_model *model)
{
    if (!model->dirty && model->window.fresh) {
        model->dirty = true;
        model->next_dirty = pipe->dirty;
        pipe->dirty = model;
    }
}

/* Whether waiting longer would make the source wait. */
static bool is_urgent(const bridge_pipe *pipe, const bridge_model *model)
{
    uint64_t done = model->window.covers - model->covered;
    return done >= STORE_EVENTS || done >= pipe->init.route->in_flight / 4 ||
           (pipe->wants_resume && pipe->unstored >= pipe->init.route->in_flight);
}

void bridge_pipe_dirty(bridge_pipe *pipe, bridge_model *model)
{
    mark(pipe, model);
    if (!model->dirty) {
        return;
    }
    if (!model->writing && !pipe->store_failing && is_urgent(pipe, model)) {
        bridge_pipe_store_now(pipe);
    } else {
        arm(pipe, STORE_MS);
    }
}

static void write_model(bridge_pipe *pipe, bridge_model *model)
{
    pubsub_bytes position;
    model->dirty = false;
    if (!bridge_window_commit(&model->window, &position)) {
        return;
    }
    pubsub__buf_reset(&model->job.position);
    if (pubsub__buf_add(&model->job.position, position.data, position.len) != PUBSUB__BUF_OK) {
        model->window.fresh = true; /* memory is short: later */
        return;
    }
    model->job.directory = pipe->init.directory;
    model->job.route = pipe->init.name;
    model->job.model = (pubsub_bytes){model->name, model->name_len};
    model->covering = model->window.covers;
    model->writing = true;
    pipe->writing++;
    bridge_committer_submit(pipe->init.committer, &model->job);
}

void bridge_pipe_store_now(bridge_pipe *pipe)
{
    bridge_model *kept = NULL;
    if (pipe->store_failing && pipe->store_armed) {
        return; /* tried again when its pause is over */
    }
    if (pipe->phase == PIPE_STOPPED) {
        return; /* it may be freed any moment, and a write under way would use it after that */
    }
    pipe->store_armed = false;
    pipe->init.host->timer_stop(pipe->store_timer);
    while (pipe->dirty != NULL) {
        bridge_model *model = pipe->dirty;
        pipe->dirty = model->next_dirty;
        if (model->writing) { /* one write at a time for a model */
            model->next_dirty = kept;
            kept = model;
        } else {
            write_model(pipe, model);
        }
    }
    pipe->dirty = kept;
}

static void stored(bridge_pipe *pipe, bridge_model *model)
{
    pipe->unstored -= model->covering - model->covered;
    model->covered = model->covering;
    pipe->last_commit_ns = bridge_pipe_now(pipe);
    /* Without memory for it the file is asked. */
    pubsub__buf_reset(&model->stored);
    model->stored_known = pubsub__buf_add(&model->stored, model->job.position.data,
                                          model->job.position.len) == PUBSUB__BUF_OK;
    if (pipe->store_failing) {
        pipe->store_failing = false;
        pipe->init.changed(pipe->init.changed_ctx);
    }
}

static void not_stored(bridge_pipe *pipe, bridge_model *model)
{
    model->window.fresh = true;
    bridge_pipe_error(pipe, (pubsub_bytes){model->name, model->name_len}, &model->job.error);
    if (!pipe->store_failing) {
        pipe->store_failing = true;
        pipe->init.changed(pipe->init.changed_ctx);
    }
}

static void on_stored(bridge_commit_job *job)
{
    bridge_model *model = job->owner;
    bridge_pipe *pipe = model->pipe;
    model->writing = false;
    pipe->writing--;
    if (job->rc == PUBSUB_OK) {
        stored(pipe, model);
    } else {
        not_stored(pipe, model);
    }
    mark(pipe, model);
    if (pipe->store_failing) {
        pipe->store_armed = false;
        arm(pipe, STORE_AGAIN_MS);
    } else if (pipe->dirty != NULL && (pipe->phase == PIPE_STORING || pipe->wants_resume ||
                                       is_urgent(pipe, pipe->dirty))) {
        bridge_pipe_store_now(pipe);
    } else if (pipe->dirty != NULL) {
        arm(pipe, STORE_MS);
    }
    bridge_pipe_look(pipe);
}

bool bridge_pipe_stored_all(const bridge_pipe *pipe)
{
    return pipe->writing == 0 && (pipe->dirty == NULL || pipe->store_failing);
}
