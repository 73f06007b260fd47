/* SPDX-License-Identifier: MIT */
/* Touch the server without following anything: one model after the other. */
#include "base/alloc.h"
#include "connectors/couchdb/couch.h"
#include "connectors/couchdb/position.h"
#include "json/slice.h"

#include <string.h>

#define CHECK_MS 15000

typedef struct check {
    couch *self;
    void (*say)(void *ctx, const pubsub_error *finding);
    void (*done)(void *ctx);
    void *ctx;
    bridge_http_call *call;
    pubsub_host_timer *timer; /* moves on, so that no call starts the next inside its own end */
    pubsub__buf answer;
    size_t at; /* index of the model */
    bool waiting;
} check;

static void say(check *checking, pubsub_err code, const char *model, const char *text)
{
    pubsub_error finding = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&finding, code, "%s: %s", model, text);
    checking->say(checking->ctx, &finding);
}

void couch_check_close(couch *self)
{
    check *checking = self->check;
    if (checking == NULL) {
        return;
    }
    self->check = NULL;
    if (checking->call != NULL) {
        bridge_http_cancel(checking->call);
    }
    self->host->timer_free(checking->timer);
    pubsub__buf_fini(&checking->answer);
    pubsub__free(checking);
}

static void finish(check *checking)
{
    couch *self = checking->self;
    void (*done)(void *) = checking->done;
    void *ctx = checking->ctx;
    couch_check_close(self);
    done(ctx);
}

static void next(check *checking)
{
    checking->at++;
    checking->self->host->timer_start(checking->timer, 0);
}

static void say_matches(check *checking, const char *pattern, pubsub_bytes list)
{
    bridge_json_walk walk = {0};
    size_t count = 0;
    pubsub_error finding = PUBSUB_ERROR_INIT;
    while (bridge_json_next(&walk, list)) {
        pubsub__buf name;
        pubsub__buf_init(&name, PUBSUB_MODEL_MAX);
        count +=
            bridge_json_unescape(walk.value, &name) && couch_matches(pattern, couch_bytes(&name));
        pubsub__buf_fini(&name);
    }
    (void)pubsub_error_set(&finding, PUBSUB_OK, "%s: %zu databases match now", pattern, count);
    checking->say(checking->ctx, &finding);
}

static void on_header(void *ctx, pubsub_bytes name, pubsub_bytes value)
{
    check *checking = ctx;
    couch_login_header(checking->self, name, value);
}

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    check *checking = ctx;
    (void)pubsub__buf_add(&checking->answer, bytes.data, bytes.len);
    return bytes.len;
}

static void on_end(void *ctx, const bridge_http_end *end)
{
    check *checking = ctx;
    const char *model = checking->self->models[checking->at];
    pubsub_bytes answer = couch_bytes(&checking->answer);
    pubsub_error err = PUBSUB_ERROR_INIT;
    checking->call = NULL;
    if (end->error != NULL) {
        say(checking, end->error->code, model, pubsub_error_text(end->error));
    } else if (end->status != 200) {
        (void)couch_status(end->status, answer, model, false, &err);
        checking->say(checking->ctx, &err);
    } else if (couch_is_pattern(model)) {
        say_matches(checking, model, answer);
    } else if (bridge_json_member(answer, "update_seq").len == 0) {
        say(checking, PUBSUB_EPROTO, model, "what answers there is no CouchDB");
    } else {
        say(checking, PUBSUB_OK, model, "the database is there");
    }
    next(checking);
}

static void remark(check *checking)
{
    const couch_settings *set = &checking->self->set;
    say(checking, PUBSUB_OK, "couchdb",
        "revisions between two looks at the feed, and purges, are not seen: only the latest change "
        "of a document is told");
    if (set->insecure) {
        say(checking, PUBSUB_OK, "couchdb", "tls_verify: no trusts any server");
    }
    if (strncmp(set->url, "http://", 7) == 0 && (set->user != NULL || set->token != NULL)) {
        say(checking, PUBSUB_OK, "couchdb", "http:// sends the credentials unprotected");
    }
}

static void go(void *ctx)
{
    check *checking = ctx;
    couch *self = checking->self;
    const char *headers[4];
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__buf url;
    bridge_http_request request = {.total_ms = CHECK_MS,
                                   .on_header = on_header,
                                   .on_body = on_body,
                                   .on_end = on_end,
                                   .ctx = ctx};
    if (checking->at == self->model_count) {
        remark(checking);
        finish(checking);
        return;
    }
    checking->waiting = !couch_login_ready(self);
    if (checking->waiting) {
        couch_login_start(self);
        return;
    }
    pubsub__buf_reset(&checking->answer);
    pubsub__buf_init(&url, COUCH_ANSWER_MAX);
    (void)pubsub__buf_printf(&url, "%s/", self->set.url);
    if (couch_is_pattern(self->models[checking->at])) {
        (void)pubsub__buf_add_text(&url, "_all_dbs");
    } else {
        (void)couch_url_add(&url, pubsub_bytes_of(self->models[checking->at]));
    }
    couch_request(self, &request, pubsub__buf_text(&url), headers);
    checking->call = bridge_http_start(self->http, &request, &err);
    pubsub__buf_fini(&url);
    if (checking->call == NULL) {
        checking->say(checking->ctx, &err);
        next(checking);
    }
}

void couch_check_login(couch *self, const pubsub_error *err)
{
    check *checking = self->check;
    if (checking == NULL || !checking->waiting) {
        return;
    }
    checking->waiting = false;
    if (err != NULL) { /* nothing else can be looked at */
        checking->say(checking->ctx, err);
        checking->at = self->model_count;
    }
    self->host->timer_start(checking->timer, 0);
}

void couch_check(void *instance, void (*tell)(void *ctx, const pubsub_error *finding),
                 void (*done)(void *ctx), void *ctx)
{
    couch *self = instance;
    check *checking = NULL;
    couch_check_close(self);
    checking = pubsub__calloc(1, sizeof(*checking));
    if (checking != NULL) {
        checking->timer = self->host->timer_new(self->host, go, checking);
    }
    if (checking == NULL || checking->timer == NULL) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        (void)pubsub_error_set(&err, PUBSUB_ENOMEM, "out of memory");
        pubsub__free(checking);
        tell(ctx, &err);
        done(ctx);
        return;
    }
    checking->self = self;
    checking->say = tell;
    checking->done = done;
    checking->ctx = ctx;
    pubsub__buf_init(&checking->answer, COUCH_LIST_MAX);
    self->check = checking;
    self->host->timer_start(checking->timer, 0);
}
