/* SPDX-License-Identifier: MIT */
/* Models that are patterns: the server's list of databases is read again and again, and each database
 * that matches gets a feed. */
#include "connectors/couchdb/couch.h"
#include "json/slice.h"

#include <string.h>

#define LIST_MS 60000
#define DENIED_MAX 2

static void each_pattern(couch *self, const pubsub_error *err, pubsub_source_state state)
{
    couch_discovery *discovery = &self->discovery;
    bool changed = discovery->state != state;
    discovery->state = state;
    for (size_t i = 0; i < self->model_count && self->emitter != NULL; i++) {
        if (!couch_is_pattern(self->models[i])) {
            continue;
        }
        if (err != NULL) {
            self->emitter->error(self->emitter, pubsub_bytes_of(self->models[i]), err);
        }
        if (changed && self->emitter != NULL) {
            self->emitter->state(self->emitter, pubsub_bytes_of(self->models[i]), state);
        }
    }
}

static void later(couch *self, const pubsub_error *err, int64_t retry_after_ms)
{
    couch_discovery *discovery = &self->discovery;
    discovery->failures++;
    self->host->timer_start(
        discovery->timer, couch_backoff(discovery->failures, retry_after_ms, self->set.retry_max));
    each_pattern(self, err, PUBSUB_SOURCE_WAITING);
}

static bool wanted(const couch *self, pubsub_bytes name)
{
    for (size_t i = 0; i < self->model_count; i++) {
        if (couch_is_pattern(self->models[i]) && couch_matches(self->models[i], name)) {
            return true;
        }
    }
    return false;
}

static couch_feed *find(const couch *self, pubsub_bytes name)
{
    couch_feed *feed = self->feeds;
    while (feed != NULL &&
           (strlen(feed->model) != name.len || memcmp(feed->model, name.data, name.len) != 0)) {
        feed = feed->next;
    }
    return feed;
}

static void found(couch *self, pubsub_bytes name)
{
    couch_feed *feed = find(self, name);
    if (feed != NULL && feed->step == COUCH_STEP_OVER && feed->state == PUBSUB_SOURCE_ENDED) {
        couch_feed_free(feed); /* it was deleted and is there again */
        feed = NULL;
    }
    if (feed != NULL || name.len == 0 || name.len > PUBSUB_MODEL_MAX) {
        return;
    }
    feed = couch_feed_new(self, name.data, name.len);
    if (feed != NULL) {
        feed->by_pattern = true;
        feed->from_start = self->discovery.complete;
        couch_feed_go(feed);
    }
}

static void look_at_list(couch *self, pubsub_bytes list)
{
    bridge_json_walk walk = {0};
    while (self->emitter != NULL && bridge_json_next(&walk, list)) {
        pubsub__buf name;
        pubsub__buf_init(&name, PUBSUB_MODEL_MAX);
        if (bridge_json_unescape(walk.value, &name) && wanted(self, couch_bytes(&name))) {
            found(self, couch_bytes(&name));
        }
        pubsub__buf_fini(&name);
    }
    self->discovery.complete = true;
}

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    couch *self = ctx;
    /* A list that is too long is no JSON then, and told as such. */
    (void)pubsub__buf_add(&self->discovery.answer, bytes.data, bytes.len);
    return bytes.len;
}

static void on_header(void *ctx, pubsub_bytes name, pubsub_bytes value)
{
    couch_login_header(ctx, name, value);
}

static void refused(couch *self, const bridge_http_end *end)
{
    couch_discovery *discovery = &self->discovery;
    pubsub_error err = PUBSUB_ERROR_INIT;
    couch_verdict verdict = couch_status(end->status, couch_bytes(&discovery->answer),
                                         "the list of databases", false, &err);
    if (verdict == COUCH_RETRY) {
        later(self, &err, end->retry_after_ms);
    } else if (verdict == COUCH_DENIED && ++discovery->denied < DENIED_MAX) {
        couch_login_expire(self, discovery->generation);
        self->host->timer_start(discovery->timer, 0);
    } else {
        each_pattern(self, &err, PUBSUB_SOURCE_STOPPED);
    }
}

static void on_end(void *ctx, const bridge_http_end *end)
{
    couch *self = ctx;
    couch_discovery *discovery = &self->discovery;
    pubsub_bytes list = couch_bytes(&discovery->answer);
    pubsub_error err = PUBSUB_ERROR_INIT;
    discovery->call = NULL;
    if (self->emitter == NULL) {
        return;
    }
    if (end->error != NULL) {
        later(self, end->error, end->retry_after_ms);
    } else if (end->status != 200) {
        refused(self, end);
    } else if (bridge_json_type_of(list) != BRIDGE_JSON_ARRAY || bridge_json_check(list, NULL)) {
        (void)pubsub_error_set(&err, PUBSUB_EPROTO,
                               "the server's list of databases cannot be understood");
        later(self, &err, -1);
    } else {
        discovery->failures = discovery->denied = 0;
        self->host->timer_start(discovery->timer, self->set.discover);
        each_pattern(self, NULL, PUBSUB_SOURCE_ACTIVE);
        if (self->emitter != NULL) {
            look_at_list(self, list);
        }
    }
    pubsub__buf_reset(&discovery->answer);
}

static void go(void *ctx)
{
    couch *self = ctx;
    couch_discovery *discovery = &self->discovery;
    const char *headers[4];
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__buf url;
    bridge_http_request request = {.total_ms = LIST_MS,
                                   .on_header = on_header,
                                   .on_body = on_body,
                                   .on_end = on_end,
                                   .ctx = self};
    if (self->emitter == NULL || discovery->call != NULL) {
        return;
    }
    discovery->waiting = !couch_login_ready(self);
    if (discovery->waiting) {
        couch_login_start(self);
        return;
    }
    discovery->generation = self->login.generation;
    pubsub__buf_reset(&discovery->answer);
    pubsub__buf_init(&url, COUCH_ANSWER_MAX);
    if (pubsub__buf_printf(&url, "%s/_all_dbs", self->set.url) == PUBSUB__BUF_OK) {
        couch_request(self, &request, pubsub__buf_text(&url), headers);
        discovery->call = bridge_http_start(self->http, &request, &err);
    }
    pubsub__buf_fini(&url);
    if (discovery->call == NULL) {
        if (err.code == PUBSUB_OK || err.code == PUBSUB_ENOMEM) {
            (void)pubsub_error_set(&err, PUBSUB_ENOMEM, "out of memory");
            later(self, &err, -1);
        } else {
            each_pattern(self, &err, PUBSUB_SOURCE_STOPPED);
        }
    }
}

void couch_discovery_start(couch *self)
{
    self->discovery.failures = self->discovery.denied = 0;
    self->discovery.complete = false;
    self->discovery.state = PUBSUB_SOURCE_STARTING;
    if (self->discovery.timer == NULL) {
        self->discovery.timer = self->host->timer_new(self->host, go, self);
    }
    if (self->discovery.timer != NULL) {
        self->host->timer_start(self->discovery.timer, 0);
    }
}

void couch_discovery_login(couch *self, const pubsub_error *err, bool for_good,
                           int64_t retry_after_ms)
{
    if (!self->discovery.waiting || self->emitter == NULL) {
        return;
    }
    self->discovery.waiting = false;
    if (err == NULL) {
        go(self);
    } else if (for_good) {
        each_pattern(self, err, PUBSUB_SOURCE_STOPPED);
    } else {
        later(self, err, retry_after_ms);
    }
}

void couch_discovery_close(couch *self)
{
    couch_discovery *discovery = &self->discovery;
    if (discovery->call != NULL) {
        bridge_http_cancel(discovery->call);
        discovery->call = NULL;
    }
    discovery->waiting = false;
    if (discovery->timer != NULL) {
        self->host->timer_free(discovery->timer);
        discovery->timer = NULL;
    }
    pubsub__buf_fini(&discovery->answer);
    pubsub__buf_init(&discovery->answer, COUCH_LIST_MAX);
}
