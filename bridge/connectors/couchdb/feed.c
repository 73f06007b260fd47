/* SPDX-License-Identifier: MIT */
/* The life of one database's feed: credentials, which database it is, changes, and what goes wrong. */
#include "base/alloc.h"
#include "connectors/couchdb/couch.h"
#include "connectors/couchdb/position.h"
#include "json/slice.h"

#include <string.h>

#define DESCRIBE_MS 30000
/* Logging in, or being refused, is tried again once. */
#define DENIED_MAX 2

static void on_timer(void *ctx)
{
    couch_feed_go(ctx);
}

couch_feed *couch_feed_new(couch *self, const char *model, size_t len)
{
    couch_feed *feed = pubsub__calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return NULL;
    }
    feed->couch = self;
    feed->describe = true;
    feed->model = pubsub__strndup(model, len);
    feed->timer = self->host->timer_new(self->host, on_timer, feed);
    couch_rows_init(&feed->rows, self->set.max_document + COUCH_ROW_EXTRA);
    pubsub__buf_init(&feed->seq, COUCH_SEQ_MAX);
    pubsub__buf_init(&feed->instance, COUCH_INSTANCE_MAX);
    pubsub__buf_init(&feed->held, self->set.max_document + COUCH_ROW_EXTRA);
    pubsub__buf_init(&feed->position, PUBSUB_POSITION_BYTES_MAX);
    pubsub__buf_init(&feed->id, COUCH_ANSWER_MAX);
    pubsub__buf_init(&feed->key, COUCH_ANSWER_MAX);
    pubsub__buf_init(&feed->answer, COUCH_ANSWER_MAX);
    pubsub__buf_init(&feed->url, (size_t)4 * COUCH_ANSWER_MAX);
    if (feed->model == NULL || feed->timer == NULL) {
        couch_feed_free(feed);
        return NULL;
    }
    feed->next = self->feeds;
    self->feeds = feed;
    return feed;
}

void couch_feed_close(couch_feed *feed)
{
    if (feed->call != NULL) {
        bridge_http_cancel(feed->call);
        feed->call = NULL;
    }
    feed->couch->host->timer_stop(feed->timer);
    feed->step = COUCH_STEP_OVER;
}

void couch_feed_free(couch_feed *feed)
{
    pubsub__buf *const bufs[] = {&feed->seq, &feed->instance, &feed->held,   &feed->position,
                                 &feed->id,  &feed->key,      &feed->answer, &feed->url};
    for (couch_feed **at = &feed->couch->feeds; *at != NULL; at = &(*at)->next) {
        if (*at == feed) {
            *at = feed->next;
            break;
        }
    }
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        pubsub__buf_fini(bufs[i]);
    }
    couch_rows_fini(&feed->rows);
    feed->couch->host->timer_free(feed->timer);
    pubsub__free(feed->model);
    pubsub__free(feed);
}

bool couch_keep(pubsub__buf *buf, pubsub_bytes bytes)
{
    if (bytes.len > buf->max ||
        (bytes.len > buf->len &&
         pubsub__buf_reserve(buf, bytes.len - buf->len) != PUBSUB__BUF_OK)) {
        return false;
    }
    pubsub__buf_reset(buf);
    return pubsub__buf_add(buf, bytes.data, bytes.len) == PUBSUB__BUF_OK;
}

/* ---- what is told ---------------------------------------------------------------------------- */

void couch_feed_state(couch_feed *feed, pubsub_source_state state)
{
    pubsub_emitter *emitter = feed->couch->emitter;
    if (emitter != NULL && feed->state != state) {
        feed->state = state;
        emitter->state(emitter, pubsub_bytes_of(feed->model), state);
    }
}

void couch_feed_error(couch_feed *feed, const pubsub_error *err)
{
    pubsub_emitter *emitter = feed->couch->emitter;
    if (emitter != NULL) {
        emitter->error(emitter, pubsub_bytes_of(feed->model), err);
    }
}

static void let_go(couch_feed *feed)
{
    if (feed->call != NULL) {
        bridge_http_cancel(feed->call);
        feed->call = NULL;
    }
}

void couch_feed_fail(couch_feed *feed, const pubsub_error *err, int64_t retry_after_ms)
{
    couch *self = feed->couch;
    let_go(feed);
    feed->step = COUCH_STEP_WAIT;
    feed->describe = true;
    feed->proved = false;
    feed->failures++;
    self->host->timer_start(feed->timer,
                            couch_backoff(feed->failures, retry_after_ms, self->set.retry_max));
    couch_feed_error(feed, err);
    couch_feed_state(feed, PUBSUB_SOURCE_WAITING);
}

void couch_feed_over(couch_feed *feed, const pubsub_error *err)
{
    let_go(feed);
    feed->step = COUCH_STEP_OVER;
    couch_feed_error(feed, err);
    couch_feed_state(feed, PUBSUB_SOURCE_STOPPED);
}

bool couch_feed_seq_fits(couch_feed *feed, pubsub_bytes seq)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (seq.len <= COUCH_SEQ_MAX) {
        return true;
    }
    (void)pubsub_error_set(
        &err, PUBSUB_ETOOBIG,
        "%s: the server's sequence %.40s... has %zu bytes, and a position has room for %u: it "
        "could not be gone on from. A database with fewer shards has shorter ones",
        feed->model, (const char *)seq.data, seq.len, COUCH_SEQ_MAX);
    couch_feed_over(feed, &err);
    return false;
}

void couch_feed_refused(couch_feed *feed, int status, pubsub_bytes answer, int64_t retry_after_ms)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    switch (couch_status(status, answer, feed->model, feed->was_live, &err)) {
    case COUCH_RETRY:
        couch_feed_fail(feed, &err, retry_after_ms);
        break;
    case COUCH_DENIED:
        if (++feed->denied < DENIED_MAX) {
            /* A session or a token may have run out: once more with new ones. */
            couch_login_expire(feed->couch, feed->generation);
            feed->step = COUCH_STEP_WAIT;
            feed->describe = true;
            feed->couch->host->timer_start(feed->timer, 0);
            break;
        }
        couch_feed_over(feed, &err);
        break;
    case COUCH_STOP:
        couch_feed_over(feed, &err);
        if (status == 404 && feed->by_pattern && feed->was_live) {
            /* A database that a pattern found may go; if it comes again, it is found again. */
            couch_feed_state(feed, PUBSUB_SOURCE_ENDED);
        }
        break;
    }
}

static void out_of_memory(couch_feed *feed)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&err, PUBSUB_ENOMEM, "%s: out of memory", feed->model);
    couch_feed_fail(feed, &err, -1);
}

/* ---- which database it is ------------------------------------------------------------------- */

static bool unknown(pubsub_bytes instance)
{
    return instance.len == 0 || (instance.len == 1 && *(const char *)instance.data == '0');
}

static bool same(pubsub_bytes a, pubsub_bytes b)
{
    return unknown(a) || unknown(b) || (a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
}

static void tell_position(couch_feed *feed)
{
    pubsub_emitter *emitter = feed->couch->emitter;
    if (emitter != NULL && couch_position_write(&feed->position, couch_bytes(&feed->instance),
                                                couch_bytes(&feed->seq))) {
        emitter->position(emitter, pubsub_bytes_of(feed->model), couch_bytes(&feed->position));
    }
}

/* Where to begin: what was stored, else what the settings say. False when the feed is over. */
static bool first_seq(couch_feed *feed, pubsub_bytes update_seq, pubsub_bytes instance)
{
    const char *since = feed->from_start ? "0" : feed->couch->set.since;
    pubsub_emitter *emitter = feed->couch->emitter;
    pubsub_bytes stored = emitter->stored(emitter, pubsub_bytes_of(feed->model));
    pubsub_bytes seq = update_seq;
    bool good = true;
    if (stored.len > 0) {
        if (!couch_position_read(stored, &instance, &seq)) {
            pubsub_error err = PUBSUB_ERROR_INIT;
            (void)pubsub_error_set(
                &err, PUBSUB_ECORRUPT,
                "%s: the stored position is none of this connector; remove it to "
                "begin as the settings say",
                feed->model);
            couch_feed_over(feed, &err);
            return false;
        }
        good = couch_keep(&feed->seq, seq);
    } else if (strcmp(since, "now") == 0) {
        if (!couch_feed_seq_fits(feed, update_seq)) {
            return false;
        }
        good = update_seq.len > 0 && couch_keep(&feed->seq, update_seq);
    } else if (strcmp(since, "0") == 0) {
        good = couch_keep(&feed->seq, pubsub_bytes_of("0"));
    } else {
        pubsub__buf_reset(&feed->seq);
        good = bridge_json_quote(pubsub_bytes_of(since), &feed->seq) == PUBSUB__BUF_OK;
    }
    if (!good || !couch_keep(&feed->instance, instance)) {
        pubsub__buf_reset(&feed->seq);
        out_of_memory(feed);
        return false;
    }
    if (stored.len == 0) {
        tell_position(feed);
    }
    return true;
}

/* A sequence that is a plain number can be compared; one that is text cannot. */
static bool went_back(pubsub_bytes update_seq, pubsub_bytes seq)
{
    uint64_t now = 0;
    uint64_t then = 0;
    return bridge_json_u64(update_seq, &now) && bridge_json_u64(seq, &then) && now < then;
}

/* What a sequence that is text begins with: how many changes there were, about. */
static bool count_of(pubsub_bytes seq, uint64_t *count)
{
    const char *text = seq.data;
    const char *dash = seq.len > 2 ? memchr(text, '-', seq.len) : NULL;
    return dash != NULL && *text == '"' &&
           bridge_json_u64((pubsub_bytes){text + 1, (size_t)(dash - text) - 1}, count);
}

/* A server that does not know when a database was created. It goes back to the start of each shard that it
 * does not know again, so nothing is missed; but a person should hear of it. The copies of a shard are not
 * at the same count, so that a little less means nothing. */
static void look_at_count(couch_feed *feed, pubsub_bytes update_seq)
{
    uint64_t now = 0;
    uint64_t then = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!count_of(update_seq, &now) || !count_of(couch_bytes(&feed->seq), &then) ||
        now >= then / 2) {
        return;
    }
    (void)pubsub_error_set(
        &err, PUBSUB_ELOST,
        "%s: the database has %llu changes and was read to change %llu: it was created anew, "
        "or brought back from a copy; the server tells what it has from the start",
        feed->model, (unsigned long long)now, (unsigned long long)then);
    couch_feed_error(feed, &err);
}

/* Another database of the same name: its changes are read from the start, so that none is missed. */
static void created_anew(couch_feed *feed, pubsub_bytes instance)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(
        &err, PUBSUB_ELOST,
        "%s: the database was created anew since its position was stored (it is %.*s, "
        "was %.*s); everything in it is read from the start",
        feed->model, instance.len < 40 ? (int)instance.len : 40,
        instance.len > 0 ? (const char *)instance.data : "",
        feed->instance.len < 40 ? (int)feed->instance.len : 40, pubsub__buf_text(&feed->instance));
    if (!couch_keep(&feed->seq, pubsub_bytes_of("0")) || !couch_keep(&feed->instance, instance)) {
        out_of_memory(feed);
        return;
    }
    couch_feed_error(feed, &err);
    tell_position(feed);
}

static void described(couch_feed *feed, pubsub_bytes answer)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes update_seq = bridge_json_member(answer, "update_seq");
    pubsub_bytes instance = bridge_json_member(answer, "instance_start_time");
    if (bridge_json_check(answer, NULL) != NULL || update_seq.len == 0) {
        (void)pubsub_error_set(&err, PUBSUB_EPROTO,
                               "%s: the server's description of the database "
                               "cannot be understood",
                               feed->model);
        couch_feed_fail(feed, &err, -1);
        return;
    }
    /* Servers that count with numbers have no time of creation: theirs is when they were started. */
    if (instance.len < 2 || bridge_json_type_of(instance) != BRIDGE_JSON_STRING ||
        bridge_json_type_of(update_seq) == BRIDGE_JSON_NUMBER) {
        instance = (pubsub_bytes){NULL, 0};
    } else {
        instance = (pubsub_bytes){(const char *)instance.data + 1, instance.len - 2};
    }
    if (feed->seq.len == 0 && !first_seq(feed, update_seq, instance)) {
        return;
    }
    if (!same(couch_bytes(&feed->instance), instance) ||
        went_back(update_seq, couch_bytes(&feed->seq))) {
        created_anew(feed, instance);
    } else if (!unknown(instance)) {
        (void)couch_keep(&feed->instance, instance);
    } else {
        look_at_count(feed, update_seq);
    }
    if (feed->step != COUCH_STEP_DESCRIBE || feed->couch->emitter == NULL) {
        return;
    }
    feed->describe = false;
    feed->described_ns = feed->couch->host->now_ns(feed->couch->host);
    couch_feed_go(feed);
}

static void on_header(void *ctx, pubsub_bytes name, pubsub_bytes value)
{
    couch_feed *feed = ctx;
    couch_login_header(feed->couch, name, value);
}

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    couch_feed *feed = ctx;
    (void)pubsub__buf_add(&feed->answer, bytes.data, bytes.len);
    return bytes.len;
}

static void on_described(void *ctx, const bridge_http_end *end)
{
    couch_feed *feed = ctx;
    pubsub_emitter *emitter = feed->couch->emitter;
    feed->call = NULL;
    if (emitter == NULL) {
        return;
    }
    if (end->error != NULL) {
        couch_feed_fail(feed, end->error, end->retry_after_ms);
        return;
    }
    emitter->alive(emitter, pubsub_bytes_of(feed->model));
    if (end->status == 200) {
        described(feed, couch_bytes(&feed->answer));
    } else {
        couch_feed_refused(feed, end->status, couch_bytes(&feed->answer), end->retry_after_ms);
    }
}

static void describe(couch_feed *feed)
{
    couch *self = feed->couch;
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *headers[4];
    bridge_http_request request = {.total_ms = DESCRIBE_MS,
                                   .on_header = on_header,
                                   .on_body = on_body,
                                   .on_end = on_described,
                                   .ctx = feed};
    feed->step = COUCH_STEP_DESCRIBE;
    pubsub__buf_reset(&feed->answer);
    pubsub__buf_reset(&feed->url);
    if (pubsub__buf_printf(&feed->url, "%s/", self->set.url) != PUBSUB__BUF_OK ||
        couch_url_add(&feed->url, pubsub_bytes_of(feed->model)) != PUBSUB__BUF_OK) {
        out_of_memory(feed);
        return;
    }
    couch_request(self, &request, pubsub__buf_text(&feed->url), headers);
    feed->call = bridge_http_start(self->http, &request, &err);
    if (feed->call == NULL) {
        if (err.code == PUBSUB_ENOMEM) {
            couch_feed_fail(feed, &err, -1);
        } else {
            couch_feed_over(feed, &err);
        }
    }
}

/* ---- going on ---------------------------------------------------------------------------------- */

void couch_feed_go(couch_feed *feed)
{
    couch *self = feed->couch;
    if (self->emitter == NULL || feed->step == COUCH_STEP_OVER || feed->call != NULL) {
        return;
    }
    if (feed->has_held && !couch_changes_held(feed)) {
        feed->step = feed->has_held ? COUCH_STEP_HELD : feed->step; /* resume() goes on */
        return;
    }
    if (!couch_login_ready(self)) {
        feed->step = COUCH_STEP_LOGIN;
        couch_login_start(self);
        return;
    }
    feed->generation = self->login.generation;
    if (feed->describe) {
        describe(feed);
    } else {
        feed->step = COUCH_STEP_CHANGES;
        couch_changes_start(feed);
    }
}

void couch_feed_login(couch_feed *feed, const pubsub_error *err, bool for_good,
                      int64_t retry_after_ms)
{
    if (feed->step != COUCH_STEP_LOGIN || feed->couch->emitter == NULL) {
        return;
    }
    if (err == NULL) {
        couch_feed_go(feed);
    } else if (for_good) {
        couch_feed_over(feed, err);
    } else {
        couch_feed_fail(feed, err, retry_after_ms);
    }
}

void couch_feed_resume(couch_feed *feed)
{
    if (feed->has_held && couch_changes_held(feed) && feed->step == COUCH_STEP_HELD) {
        couch_feed_go(feed);
    }
    if (feed->call != NULL) {
        bridge_http_resume(feed->call);
    }
}
