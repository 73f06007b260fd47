/* SPDX-License-Identifier: MIT */
/* One request for changes and the rows of its answer. */
#include "connectors/couchdb/couch.h"
#include "connectors/couchdb/position.h"
#include "json/slice.h"

#include <string.h>

#define NS_PER_MS 1000000u
/* What an answer may take beyond what we asked the server to wait. */
#define MARGIN_MS 15000
#define HEAD_MS 30000
/* A body that cannot be understood is read again so often: it may have been damaged on its way. */
#define MALFORMED_MAX 3
/* The database behind a name is looked at again after so long. */
#define DESCRIBE_AGAIN_MS 60000

/* ---- the rows ---------------------------------------------------------------------------------- */

static bool has_escape(pubsub_bytes string)
{
    return memchr(string.data, '\\', string.len) != NULL;
}

/* What the string means; a slice where it has no escapes. */
static bool meaning(pubsub_bytes string, pubsub__buf *buf, pubsub_bytes *out)
{
    if (!has_escape(string)) {
        *out = (pubsub_bytes){(const char *)string.data + 1, string.len - 2};
        return true;
    }
    pubsub__buf_reset(buf);
    if (!bridge_json_unescape(string, buf)) {
        return false;
    }
    *out = couch_bytes(buf);
    return true;
}

static void malformed(couch_feed *feed, pubsub_bytes raw, const char *what)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes seq = bridge_json_member(raw, "seq");
    pubsub_bytes id = bridge_json_member(raw, "id");
    if (++feed->malformed < MALFORMED_MAX) {
        (void)pubsub_error_set(&err, PUBSUB_EPROTO, "%s: the answer cannot be understood (%s)",
                               feed->model, what);
        couch_feed_fail(feed, &err, -1);
        return;
    }
    (void)pubsub_error_set(
        &err, PUBSUB_EPROTO,
        "%s: the change at sequence %.*s of document %.*s cannot be passed on: %s. "
        "Repair or delete the document on the server, then start again",
        feed->model, seq.len < 40 ? (int)seq.len : 40, seq.len > 0 ? (const char *)seq.data : "",
        id.len < 40 ? (int)id.len : 40, id.len > 0 ? (const char *)id.data : "", what);
    couch_feed_over(feed, &err);
}

static bool describe_event(couch_feed *feed, const couch_row *row, pubsub_source_event *event)
{
    bool whole = !feed->couch->set.include_docs || row->doc.len == 0;
    event->model = pubsub_bytes_of(feed->model);
    event->document = whole ? row->raw : row->doc;
    event->change = row->deleted ? PUBSUB_CHANGE_DELETE
                    : row->rev.len > 2 && memcmp(row->rev.data, "1-", 2) == 0
                        ? PUBSUB_CHANGE_CREATE
                        : PUBSUB_CHANGE_UPDATE;
    if (!meaning(row->id, &feed->key, &event->key)) {
        return false;
    }
    pubsub__buf_reset(&feed->id);
    if (pubsub__buf_add(&feed->id, event->model.data, event->model.len) != PUBSUB__BUF_OK ||
        pubsub__buf_add_byte(&feed->id, '/') != PUBSUB__BUF_OK ||
        pubsub__buf_add(&feed->id, event->key.data, event->key.len) != PUBSUB__BUF_OK ||
        pubsub__buf_add_byte(&feed->id, '/') != PUBSUB__BUF_OK ||
        pubsub__buf_add(&feed->id, row->rev.data, row->rev.len) != PUBSUB__BUF_OK) {
        return false;
    }
    event->id = couch_bytes(&feed->id);
    if (row->seq.len > 0 &&
        couch_position_write(&feed->position, couch_bytes(&feed->instance), row->seq)) {
        event->position = couch_bytes(&feed->position);
    }
    return true;
}

static void not_taken(couch_feed *feed, pubsub_err code)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(&err, code, "%s: an event was not taken: %s", feed->model,
                           pubsub_strerror(code));
    if (pubsub_err_is_retryable(code)) {
        couch_feed_fail(feed, &err, -1);
    } else {
        couch_feed_over(feed, &err);
    }
}

/* Hand a row to the emitter. PUBSUB_OK: taken. PUBSUB_EAGAIN: not yet. Else the feed has failed. */
static pubsub_err emit(couch_feed *feed, pubsub_bytes raw)
{
    pubsub_emitter *emitter = feed->couch->emitter;
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    couch_row row;
    pubsub_err result = PUBSUB_OK;
    const char *wrong = couch_row_parse(raw, &row);
    if (wrong == NULL && !describe_event(feed, &row, &event)) {
        wrong = "its id is too long or is no text";
    }
    if (wrong != NULL) {
        malformed(feed, raw, wrong);
        return PUBSUB_EPROTO;
    }
    if (!couch_feed_seq_fits(feed, row.seq)) {
        return PUBSUB_ETOOBIG;
    }
    result = emitter->event(emitter, &event);
    if (feed->couch->emitter == NULL || result == PUBSUB_ECLOSED) {
        couch_feed_close(feed);
        return PUBSUB_ECLOSED;
    }
    if (result == PUBSUB_OK) {
        feed->rows_in_call++;
        feed->empties = 0;
        if (row.seq.len > 0) { /* only that gets us further: others would come again */
            feed->failures = feed->malformed = 0;
            (void)couch_keep(&feed->seq, row.seq);
        }
    } else if (result != PUBSUB_EAGAIN) {
        not_taken(feed, result);
    }
    return result;
}

bool couch_changes_held(couch_feed *feed)
{
    pubsub_err result = emit(feed, couch_bytes(&feed->held));
    if (result == PUBSUB_EAGAIN) {
        return false;
    }
    feed->has_held = false;
    pubsub__buf_reset(&feed->held);
    return result == PUBSUB_OK;
}

/* False when the feed has failed. */
static bool row_found(couch_feed *feed, pubsub_bytes raw)
{
    pubsub_err result = emit(feed, raw);
    if (result != PUBSUB_EAGAIN) {
        return result == PUBSUB_OK;
    }
    feed->has_held = couch_keep(&feed->held, raw);
    if (!feed->has_held) {
        not_taken(feed, PUBSUB_EAGAIN);
    }
    return feed->has_held;
}

static void too_big(couch_feed *feed)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)pubsub_error_set(
        &err, PUBSUB_ETOOBIG,
        "%s: the document behind sequence %.60s is larger than max_document (%zu "
        "bytes); raise it and start again",
        feed->model, pubsub__buf_text(&feed->seq), feed->couch->set.max_document);
    couch_feed_over(feed, &err);
}

static void body_broken(couch_feed *feed)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (feed->rows.trouble[0] != '\0') {
        (void)pubsub_error_set(&err, PUBSUB_EIO, "%s: the server has a problem: %s", feed->model,
                               feed->rows.trouble);
    } else {
        (void)pubsub_error_set(&err, PUBSUB_EPROTO,
                               "%s: the answer behind sequence %.60s is no feed of changes",
                               feed->model, pubsub__buf_text(&feed->seq));
    }
    couch_feed_fail(feed, &err, -1);
}

/* ---- the answer ---------------------------------------------------------------------------------- */

static void on_head(void *ctx, int status)
{
    couch_feed *feed = ctx;
    feed->status = status;
    if (status == 200) {
        feed->denied = 0;
        feed->was_live = true;
        couch_feed_state(feed, PUBSUB_SOURCE_ACTIVE);
    }
}

static void on_header(void *ctx, pubsub_bytes name, pubsub_bytes value)
{
    couch_feed *feed = ctx;
    couch_login_header(feed->couch, name, value);
}

static size_t on_body(void *ctx, pubsub_bytes bytes)
{
    couch_feed *feed = ctx;
    pubsub_emitter *emitter = feed->couch->emitter;
    pubsub_bytes rest = bytes;
    emitter->alive(emitter, pubsub_bytes_of(feed->model));
    if (feed->status != 200) {
        (void)pubsub__buf_add(&feed->answer, bytes.data, bytes.len);
        return bytes.len;
    }
    if (feed->has_held && !couch_changes_held(feed)) {
        return 0; /* or the feed has failed, and the call is canceled */
    }
    while (rest.len > 0 && feed->call != NULL && !feed->has_held) {
        pubsub_bytes row = {NULL, 0};
        switch (couch_rows_next(&feed->rows, &rest, &row)) {
        case COUCH_MORE:
            break;
        case COUCH_ROW:
            (void)row_found(feed, row);
            break;
        case COUCH_END:
            rest.len = 0;
            break;
        case COUCH_BROKEN:
            body_broken(feed);
            break;
        case COUCH_TOO_BIG:
            too_big(feed);
            break;
        case COUCH_NOMEM:
            not_taken(feed, PUBSUB_ENOMEM);
            break;
        }
    }
    return bytes.len - rest.len;
}

/* The server's last word about a page: from there on the next request asks. False when the feed is over. */
static bool take_last_seq(couch_feed *feed)
{
    pubsub_emitter *emitter = feed->couch->emitter;
    pubsub_bytes last = couch_bytes(&feed->rows.last_seq);
    pubsub_bytes seq = couch_bytes(&feed->seq);
    if (last.len == 0 || bridge_json_type_of(last) == BRIDGE_JSON_NULL ||
        (last.len == seq.len && memcmp(last.data, seq.data, seq.len) == 0)) {
        return true;
    }
    if (!couch_feed_seq_fits(feed, last)) {
        return false;
    }
    if (couch_keep(&feed->seq, last) &&
        couch_position_write(&feed->position, couch_bytes(&feed->instance), last)) {
        emitter->position(emitter, pubsub_bytes_of(feed->model), couch_bytes(&feed->position));
    }
    return feed->couch->emitter != NULL;
}

static uint64_t taken_ms(const couch_feed *feed)
{
    return (feed->couch->host->now_ns(feed->couch->host) - feed->asked_ns) / NS_PER_MS;
}

/* An answer that was complete. */
static void page_over(couch_feed *feed)
{
    couch *self = feed->couch;
    uint64_t now = self->host->now_ns(self->host);
    bool early = feed->asked_live && feed->rows_in_call == 0 &&
                 taken_ms(feed) + 50 < (uint64_t)self->set.timeout;
    if (feed->rows.trouble[0] != '\0' || !couch_rows_whole(&feed->rows)) {
        body_broken(feed);
        return;
    }
    if (!take_last_seq(feed)) {
        return;
    }
    feed->failures = feed->malformed = 0;
    feed->proved = true;
    /* An end before its time is how a server says that the database is gone, or that it will be away. */
    feed->describe = early || (self->set.continuous && feed->asked_live) ||
                     (now - feed->described_ns) / NS_PER_MS > DESCRIBE_AGAIN_MS;
    feed->step = COUCH_STEP_WAIT;
    feed->empties = early ? feed->empties + 1 : 0;
    if (feed->empties > 1) {
        self->host->timer_start(feed->timer, couch_backoff(feed->empties, -1, self->set.retry_max));
    } else {
        couch_feed_go(feed);
    }
}

static void on_end(void *ctx, const bridge_http_end *end)
{
    couch_feed *feed = ctx;
    feed->call = NULL;
    if (feed->couch->emitter == NULL) {
        return;
    }
    if (feed->has_held) {
        feed->step = COUCH_STEP_HELD; /* what comes behind it is asked for again */
        feed->describe = feed->describe || end->error != NULL;
        return;
    }
    if (end->error != NULL && end->error->code == PUBSUB_ETIMEDOUT && feed->asked_live &&
        feed->status == 200 && feed->couch->set.heartbeat == 0) {
        /* Some servers know no timeout. Silence alone is no failure if the server answers now. */
        feed->step = COUCH_STEP_WAIT;
        feed->describe = true;
        couch_feed_go(feed);
    } else if (end->error != NULL) {
        couch_feed_fail(feed, end->error, end->retry_after_ms);
    } else if (end->status == 200) {
        page_over(feed);
    } else {
        couch_feed_refused(feed, end->status, couch_bytes(&feed->answer), end->retry_after_ms);
    }
}

/* ---- the request ---------------------------------------------------------------------------------- */

static bool write_url(couch_feed *feed, bool live)
{
    const couch_settings *set = &feed->couch->set;
    pubsub__buf *url = &feed->url;
    const char *kind = !live ? "normal" : set->continuous ? "continuous" : "longpoll";
    bool good = false;
    pubsub__buf_reset(url);
    good = pubsub__buf_printf(url, "%s/", set->url) == PUBSUB__BUF_OK &&
           couch_url_add(url, pubsub_bytes_of(feed->model)) == PUBSUB__BUF_OK &&
           pubsub__buf_printf(url, "/_changes?feed=%s&since=", kind) == PUBSUB__BUF_OK &&
           couch_url_add_seq(url, couch_bytes(&feed->seq)) == PUBSUB__BUF_OK;
    if (good && set->include_docs) {
        good = pubsub__buf_add_text(url, "&include_docs=true") == PUBSUB__BUF_OK;
    }
    if (good && set->selector != NULL) {
        good = pubsub__buf_add_text(url, "&filter=_selector") == PUBSUB__BUF_OK;
    }
    if (good && !(live && set->continuous)) {
        good = pubsub__buf_printf(url, "&limit=%lld", (long long)set->limit) == PUBSUB__BUF_OK;
    }
    if (good && live && set->heartbeat > 0) {
        good =
            pubsub__buf_printf(url, "&heartbeat=%lld", (long long)set->heartbeat) == PUBSUB__BUF_OK;
    } else if (good && live) {
        good = pubsub__buf_printf(url, "&timeout=%lld", (long long)set->timeout) == PUBSUB__BUF_OK;
    }
    return good;
}

void couch_changes_start(couch_feed *feed)
{
    couch *self = feed->couch;
    const couch_settings *set = &self->set;
    /* The first answer must not wait, so that it is known at once whether the feed works. */
    bool live = feed->proved;
    const char *headers[4];
    const char *all[8];
    size_t count = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bridge_http_request request = {.head_ms = HEAD_MS + (live ? set->timeout : 0),
                                   .silence_ms = set->heartbeat > 0 && live
                                                     ? set->heartbeat * 5 / 2
                                                     : (live ? set->timeout : 0) + MARGIN_MS,
                                   .on_head = on_head,
                                   .on_header = on_header,
                                   .on_body = on_body,
                                   .on_end = on_end,
                                   .ctx = feed};
    feed->asked_live = live;
    feed->status = 0;
    feed->rows_in_call = 0;
    feed->asked_ns = self->host->now_ns(self->host);
    pubsub__buf_reset(&feed->answer);
    couch_rows_start(&feed->rows, live && set->continuous);
    couch_request(self, &request, write_url(feed, live) ? pubsub__buf_text(&feed->url) : "",
                  headers);
    while (headers[count] != NULL) {
        all[count] = headers[count];
        count++;
    }
    if (live) {
        /* Packing holds changes and heartbeats back until enough of them have come together. */
        all[count++] = "Accept-Encoding: identity";
    }
    if (set->selector != NULL) {
        all[count++] = "Content-Type: application/json";
        request.body = pubsub_bytes_of(set->selector);
    }
    all[count] = NULL;
    request.headers = all;
    feed->call = bridge_http_start(self->http, &request, &err);
    if (feed->call == NULL) {
        couch_feed_fail(feed, &err, -1);
    }
}
