/* SPDX-License-Identifier: MIT */
/* Apache CouchDB, IBM Cloudant, and what speaks like them: the changes feed of each database. */
#include "base/alloc.h"
#include "connectors/couchdb/couch.h"
#include "connectors/table.h"

#include <string.h>

/* ---- an instance ------------------------------------------------------------------------------- */

static void fini(void *instance)
{
    couch *self = instance;
    if (self == NULL) {
        return;
    }
    couch_check_close(self);
    while (self->feeds != NULL) {
        couch_feed_close(self->feeds);
        couch_feed_free(self->feeds);
    }
    couch_discovery_close(self);
    couch_login_reset(self);
    bridge_http_free(self->http);
    self->host->timer_free(self->stopper);
    for (size_t i = 0; self->models != NULL && i < self->model_count; i++) {
        pubsub__free(self->models[i]);
    }
    pubsub__free(self->models);
    pubsub__buf_fini(&self->login.secret);
    pubsub__buf_fini(&self->login.form);
    pubsub__buf_fini(&self->login.answer);
    pubsub__buf_fini(&self->discovery.answer);
    couch_settings_fini(&self->set);
    pubsub__free(self);
}

static bool keep_models(couch *self, const pubsub_connector_init *init)
{
    self->models = pubsub__calloc(init->model_count, sizeof(*self->models));
    if (self->models == NULL) {
        return false;
    }
    self->model_count = init->model_count;
    for (size_t i = 0; i < init->model_count; i++) {
        self->models[i] = pubsub__strdup(init->models[i]);
        if (self->models[i] == NULL) {
            return false;
        }
    }
    return true;
}

/* Stopping is complete in a turn of its own, when none of our functions is on the stack. */
static void stopped(void *ctx)
{
    couch *self = ctx;
    while (self->feeds != NULL) {
        couch_feed_free(self->feeds);
    }
    if (self->done != NULL) {
        void (*done)(void *) = self->done;
        self->done = NULL;
        done(self->done_ctx);
    }
}

static pubsub_err initialize(void **out, const pubsub_connector_init *init, pubsub_error *err)
{
    couch *self = pubsub__calloc(1, sizeof(*self));
    pubsub_err result = PUBSUB_OK;
    *out = NULL;
    if (self == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    self->host = init->host;
    pubsub__buf_init(&self->login.secret, COUCH_ANSWER_MAX);
    pubsub__buf_init(&self->login.form, COUCH_ANSWER_MAX);
    pubsub__buf_init(&self->login.answer, COUCH_ANSWER_MAX);
    pubsub__buf_init(&self->discovery.answer, COUCH_LIST_MAX);
    result = couch_settings_read(&self->set, init, err);
    if (result == PUBSUB_OK) {
        self->http = bridge_http_new(init->host);
        self->stopper = init->host->timer_new(init->host, stopped, self);
        if (self->http == NULL || self->stopper == NULL || !keep_models(self, init)) {
            result = pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        }
    }
    if (result != PUBSUB_OK) {
        fini(self);
        return result;
    }
    *out = self;
    return PUBSUB_OK;
}

static pubsub_err start(void *instance, pubsub_emitter *emitter, pubsub_error *err)
{
    couch *self = instance;
    bool patterns = false;
    if (self->emitter != NULL || self->done != NULL) {
        return pubsub_error_set(err, PUBSUB_ESTATE, "the connector runs already");
    }
    for (size_t i = 0; i < self->model_count; i++) {
        const char *model = self->models[i];
        couch_feed *feed = NULL;
        if (couch_is_pattern(model)) {
            patterns = true;
            continue;
        }
        feed = couch_feed_new(self, model, strlen(model));
        if (feed == NULL) {
            while (self->feeds != NULL) {
                couch_feed_free(self->feeds);
            }
            return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        }
        /* From inside a later turn, as the interface promises. */
        feed->step = COUCH_STEP_WAIT;
        self->host->timer_start(feed->timer, 0);
    }
    self->emitter = emitter;
    if (patterns) {
        couch_discovery_start(self);
    }
    return PUBSUB_OK;
}

static void resume(void *instance)
{
    couch *self = instance;
    for (couch_feed *feed = self->feeds; feed != NULL && self->emitter != NULL;) {
        couch_feed *next = feed->next;
        couch_feed_resume(feed);
        feed = next;
    }
}

static void stop(void *instance, void (*done)(void *ctx), void *ctx)
{
    couch *self = instance;
    self->emitter = NULL;
    self->done = done;
    self->done_ctx = ctx;
    for (couch_feed *feed = self->feeds; feed != NULL; feed = feed->next) {
        couch_feed_close(feed);
    }
    couch_discovery_close(self);
    couch_login_reset(self);
    self->host->timer_start(self->stopper, 0);
}

const pubsub_connector bridge_connector_couchdb = {
    .abi = PUBSUB_CONNECTOR_ABI,
    .size = sizeof(pubsub_connector),
    .name = "couchdb",
    .summary = "changes of Apache CouchDB and IBM Cloudant databases",
    .flags = PUBSUB_CONNECTOR_REPLAYS,
    .settings = couch_setting_table,
    .setting_count = COUCH_SETTING_COUNT,
    .initialize = initialize,
    .start = start,
    .resume = resume,
    .stop = stop,
    .fini = fini,
    .check = couch_check,
};
