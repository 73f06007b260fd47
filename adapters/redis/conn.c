/* SPDX-License-Identifier: MIT */
#include "redis/conn.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* hiredis moves what is left of its buffer forward for each KiB of replies, so it gets a read in slices:
 * with 64 KiB at once half of the parser's time was that. */
enum { PORT = 6379, WRITE_MAX = 4 * 1024 * 1024, SLICE = 4 * 1024 };

/* A command that waits for its reply. */
typedef struct waiting {
    redis_reply_fn fn; /* NULL = nobody cares */
    void *ctx;
    uint64_t begin; /* where it begins in the stream of bytes */
} waiting;

struct redis_conn {
    redis_conn_setup setup;
    pubsub_transport *transport;
    redis_parser *parser;
    pubsub_timer *timer;
    pubsub__buf out;
    size_t mark;      /* where the command that is being written begins in out */
    uint64_t written; /* bytes the transport has taken, ever */
    waiting *ring;
    size_t ring_at, ring_count, ring_cap;
    uint64_t id;
    uint64_t heard_ns;
    uint64_t pinged_ns; /* 0 = no PING is on its way */
    pubsub_duration_ms patience;
    bool up, subscriber, ending, over;
    bool is_master; /* as it says itself */
    bool leaving;   /* a replica, to be left as soon as it has answered what it owes */
    size_t owed;
    unsigned depth; /* inside its own handlers: freed behind them */
    bool freed;
};

/* ---- what waits ---------------------------------------------------------------------------------- */

static bool push(redis_conn *conn, redis_reply_fn fn, void *ctx, uint64_t begin)
{
    if (conn->ring_count == conn->ring_cap) {
        size_t cap = conn->ring_cap == 0 ? 64 : conn->ring_cap * 2;
        waiting *ring = pubsub__alloc(cap * sizeof(*ring));
        if (ring == NULL) {
            return false;
        }
        for (size_t i = 0; i < conn->ring_count; i++) {
            ring[i] = conn->ring[(conn->ring_at + i) & (conn->ring_cap - 1)];
        }
        pubsub__free(conn->ring);
        conn->ring = ring;
        conn->ring_cap = cap;
        conn->ring_at = 0;
    }
    conn->ring[(conn->ring_at + conn->ring_count++) & (conn->ring_cap - 1)] =
        (waiting){fn, ctx, begin};
    return true;
}

static bool pop(redis_conn *conn, waiting *out)
{
    if (conn->ring_count == 0) {
        return false;
    }
    *out = conn->ring[conn->ring_at];
    conn->ring_at = (conn->ring_at + 1) & (conn->ring_cap - 1);
    conn->ring_count--;
    return true;
}

/* ---- the end ------------------------------------------------------------------------------------- */

static void release(redis_conn *conn)
{
    pubsub_transport_free(conn->transport);
    pubsub_timer_free(conn->timer);
    pubsub__redis_parser_free(conn->parser);
    pubsub__buf_fini(&conn->out);
    pubsub__free(conn->ring);
    pubsub__free(conn);
}

/* Close, and tell whoever waits that no answer comes. */
static void shut(redis_conn *conn, bool silent)
{
    uint64_t sent = conn->written;
    waiting one;
    if (conn->over) {
        return;
    }
    conn->over = true;
    conn->up = false;
    if (conn->transport != NULL) {
        uint64_t queued = pubsub_transport_queued(conn->transport);
        sent -= queued < sent ? queued : sent;
    }
    pubsub_transport_free(conn->transport);
    conn->transport = NULL;
    pubsub_timer_free(conn->timer);
    conn->timer = NULL;
    conn->depth++;
    while (pop(conn, &one)) {
        if (!silent && one.fn != NULL) {
            one.fn(one.ctx, NULL, one.begin < sent);
        }
    }
    conn->depth--;
}

void pubsub__redis_conn_free(redis_conn *conn, bool silent)
{
    if (conn == NULL || conn->freed) {
        return;
    }
    conn->freed = true;
    shut(conn, silent);
    if (conn->depth == 0) {
        release(conn);
    }
}

static void leave(redis_conn *conn)
{
    if (--conn->depth == 0 && conn->freed) {
        release(conn);
    }
}

static void fail(redis_conn *conn, const pubsub_error *err)
{
    if (conn->over) {
        return;
    }
    conn->depth++;
    shut(conn, false);
    if (!conn->freed) {
        conn->setup.events->down(conn->setup.ctx, err);
    }
    leave(conn);
}

/* ---- greeting ------------------------------------------------------------------------------------ */

static void on_greeting(void *ctx, const redis_reply *reply, bool sent)
{
    redis_conn *conn = ctx;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)sent;
    if (reply != NULL && pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        fail(conn, &err);
    }
}

static void on_id(void *ctx, const redis_reply *reply, bool sent)
{
    redis_conn *conn = ctx;
    (void)sent;
    conn->id = (uint64_t)pubsub__redis_int(reply, 0);
}

static void no_use(const redis_conn *conn, pubsub_error *err)
{
    pubsub_error_set(err, PUBSUB_ECONNECT,
                     "%.100s is a replica and takes no changes: the next host is asked",
                     pubsub_transport_peer(conn->transport));
}

/* What it is, of HELLO. Where that is not allowed, or the server older than version 6, the first change tells;
 * then the next connection begins with the next host, because nobody called this one good. */
static void on_role(void *ctx, const redis_reply *reply, bool sent)
{
    redis_conn *conn = ctx;
    const redis_reply *role = pubsub__redis_find(reply, "role");
    (void)sent;
    conn->is_master = pubsub__redis_is_text(role, "master");
    if (pubsub__redis_is_text(role, "replica") || pubsub__redis_is_text(role, "slave")) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        no_use(conn, &err);
        fail(conn, &err);
    }
}

static void on_ready(void *ctx, const redis_reply *reply, bool sent)
{
    redis_conn *conn = ctx;
    on_greeting(ctx, reply, sent);
    if (reply != NULL && !conn->over) {
        conn->up = true;
        if (!conn->setup.master || conn->is_master) {
            pubsub_transport_good(conn->transport);
        }
        conn->setup.events->up(conn->setup.ctx);
    }
}

static void on_opened(void *ctx)
{
    redis_conn *conn = ctx;
    const redis_conn_setup *setup = &conn->setup;
    char database[24];
    bool ok = true;
    (void)snprintf(database, sizeof(database), "%" PRIu64, setup->database);
    if (setup->password != NULL && setup->user != NULL) {
        ok = pubsub__redis_conn_say(conn, on_greeting, conn, "AUTH", setup->user, setup->password,
                                    NULL);
    } else if (setup->password != NULL) {
        ok = pubsub__redis_conn_say(conn, on_greeting, conn, "AUTH", setup->password, NULL);
    }
    if (ok && setup->database != 0) {
        ok = pubsub__redis_conn_say(conn, on_greeting, conn, "SELECT", database, NULL);
    }
    if (ok && setup->master) {
        ok = pubsub__redis_conn_say(conn, on_role, conn, "HELLO", "2", NULL);
    }
    ok = ok && pubsub__redis_conn_say(conn, NULL, NULL, "CLIENT", "SETNAME", setup->name, NULL) &&
         pubsub__redis_conn_say(conn, on_id, conn, "CLIENT", "ID", NULL) &&
         pubsub__redis_conn_say(conn, on_ready, conn, "PING", NULL);
    if (!ok) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to greet the server");
        fail(conn, &err);
        return;
    }
    pubsub__redis_conn_flush(conn);
}

/* ---- bytes --------------------------------------------------------------------------------------- */

/* In subscriber mode messages come between the answers. The server leaves that mode with the last channel,
 * and then answers PING as it does anybody. */
static bool is_push(const redis_reply *reply)
{
    const redis_reply *kind = pubsub__redis_at(reply, 0);
    return pubsub__redis_is_text(kind, "message") || pubsub__redis_is_text(kind, "pmessage") ||
           pubsub__redis_is_text(kind, "pong") || pubsub__redis_is_text(reply, "PONG");
}

const redis_reply pubsub__redis_replica = {REDIS_ERROR, 8, {.text = "READONLY"}};

static bool is_readonly(const redis_reply *reply)
{
    static const char word[] = "READONLY";
    if (reply->type != REDIS_ERROR) {
        return false;
    }
    const char *text = reply->as.text; /* alone, of an EXEC, of a script before version 7 */
    bool inside =
        strncmp(text, "EXECABORT ", 10) == 0 || strncmp(text, "ERR Error running", 17) == 0;
    return strncmp(text, word, sizeof(word) - 1) == 0 || (inside && strstr(text, word) != NULL);
}

/* What was sent before a server turned out to be a replica is refused or answered like the rest, so that
 * nothing is unknown that need not be; then it is left. */
static void answer_one(redis_conn *conn, const waiting *one, const redis_reply *reply)
{
    conn->owed -= conn->owed > 0 ? 1 : 0;
    if (conn->setup.movable && is_readonly(reply)) {
        conn->owed = conn->leaving ? conn->owed : conn->ring_count;
        conn->leaving = true;
        reply = &pubsub__redis_replica;
    }
    if (one->fn != NULL) {
        one->fn(one->ctx, reply, true);
    }
    if (conn->leaving && conn->owed == 0 && !conn->over) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        no_use(conn, &err);
        conn->setup.events->replica(conn->setup.ctx, &err);
    }
}

static void answer(redis_conn *conn, const redis_reply *reply)
{
    waiting one;
    if (conn->subscriber && is_push(reply)) {
        conn->setup.events->push(conn->setup.ctx, reply);
    } else if (pop(conn, &one)) {
        answer_one(conn, &one, reply);
    } else {
        pubsub_error err = PUBSUB_ERROR_INIT;
        if (pubsub__redis_error(reply, &err) == PUBSUB_OK) { /* "too many clients" comes unasked */
            pubsub_error_set(&err, PUBSUB_EPROTO, "the server answered without being asked");
        }
        fail(conn, &err);
    }
}

/* Returns how much of it was used: a subscriber gets the rest of what hiredis has read back behind each reply,
 * because messages need no hiredis. */
static size_t take_slice(redis_conn *conn, const char *bytes, size_t len)
{
    const char *bad = NULL;
    const redis_reply *reply = NULL;
    size_t unread = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!pubsub__redis_parser_feed(conn->parser, bytes, len)) {
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory for a reply");
        fail(conn, &err);
    }
    while (!conn->over && unread == 0 &&
           (reply = pubsub__redis_parser_next(conn->parser, &bad)) != NULL) {
        answer(conn, reply);
        unread = conn->over || !conn->subscriber ? 0 : pubsub__redis_parser_unread(conn->parser);
    }
    if (!conn->over && bad != NULL) {
        pubsub_error_set(&err, PUBSUB_EPROTO,
                         "this is no Redis server, or it does not speak RESP2: %s", bad);
        fail(conn, &err);
    }
    return len - unread;
}

static size_t take(redis_conn *conn, const char *bytes, size_t len)
{
    size_t used = 0;
    const redis_reply *push =
        conn->subscriber ? pubsub__redis_parser_push(conn->parser, bytes, len, &used) : NULL;
    if (push == NULL) {
        return take_slice(conn, bytes, len < SLICE ? len : SLICE);
    }
    conn->setup.events->push(conn->setup.ctx, push);
    return used;
}

static void on_data(void *ctx, void *bytes, size_t len)
{
    redis_conn *conn = ctx;
    conn->depth++;
    conn->heard_ns = pubsub_sink_now_ns(conn->setup.sink);
    conn->pinged_ns = 0;
    for (size_t at = 0; !conn->over && at < len;) {
        at += take(conn, (const char *)bytes + at, len - at);
    }
    if (!conn->over) {
        conn->setup.events->idle(conn->setup.ctx);
    }
    if (!conn->over && conn->ending && conn->ring_count == 0) {
        conn->setup.events->ended(conn->setup.ctx);
    }
    leave(conn);
}

static void on_writable(void *ctx)
{
    pubsub__redis_conn_flush(ctx);
}

static void on_closed(void *ctx, const pubsub_error *err)
{
    redis_conn *conn = ctx;
    pubsub_error lost = PUBSUB_ERROR_INIT;
    pubsub_error_set(&lost, PUBSUB_ELOST, "the server closed the connection");
    fail(conn, err != NULL ? err : &lost);
}

static const pubsub_transport_handlers handlers = {
    .opened = on_opened, .data = on_data, .writable = on_writable, .closed = on_closed};

/* ---- silence ------------------------------------------------------------------------------------- */

static void on_timer(void *ctx)
{
    redis_conn *conn = ctx;
    uint64_t now = pubsub__clock_mono_ns();
    uint64_t limit = (uint64_t)conn->setup.keep_alive * 1000000u;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool asked = conn->pinged_ns != 0 || conn->ring_count > 0;
    uint64_t more =
        conn->ring_count > 0 && conn->pinged_ns == 0 ? (uint64_t)conn->patience * 1000000u : 0;
    uint64_t since = conn->pinged_ns > conn->heard_ns ? conn->pinged_ns : conn->heard_ns;
    if (asked && now - since > limit + more) {
        pubsub_error_set(&err, PUBSUB_ELOST,
                         "the server was silent for %" PRIu64 " ms (redis.keep_alive)",
                         (now - since) / 1000000u);
        fail(conn, &err);
        return;
    }
    if (conn->up && !asked && now - conn->heard_ns >= limit / 2) {
        pubsub__buf *out = pubsub__redis_conn_begin(conn);
        bool ok = pubsub__redis_put_array(out, 1) && pubsub__redis_put_text(out, "PING");
        if (conn->subscriber) { /* its answer is a push, too */
            if (!ok) {
                out->len = conn->mark;
            }
        } else {
            (void)pubsub__redis_conn_done(conn, ok, NULL, NULL);
        }
        conn->pinged_ns = now;
        pubsub__redis_conn_flush(conn);
    }
    if (!conn->over) {
        pubsub_timer_start(conn->timer, conn->setup.keep_alive / 4 + 1);
    }
}

void pubsub__redis_conn_fail(redis_conn *conn, const pubsub_error *err)
{
    fail(conn, err);
}

/* ---- for the others ------------------------------------------------------------------------------ */

redis_conn *pubsub__redis_conn_open(const redis_conn_setup *setup, pubsub_error *err)
{
    pubsub_transport_request request = {.port = PORT, .tls_port = PORT, .write_max = WRITE_MAX};
    redis_conn *conn = pubsub__calloc(1, sizeof(*conn));
    if (conn == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
        return NULL;
    }
    conn->setup = *setup;
    pubsub__buf_init(&conn->out, SIZE_MAX / 4);
    conn->parser = pubsub__redis_parser_new();
    conn->timer = pubsub_timer_new(setup->sink, on_timer, conn);
    if (conn->parser == NULL || conn->timer == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a connection");
        release(conn);
        return NULL;
    }
    conn->heard_ns = pubsub__clock_mono_ns();
    conn->transport = pubsub_sink_transport_open(setup->sink, &request, &handlers, conn, err);
    if (conn->transport == NULL) {
        release(conn);
        return NULL;
    }
    if (setup->keep_alive > 0) {
        pubsub_timer_start(conn->timer, setup->keep_alive / 4 + 1);
    }
    return conn;
}

void pubsub__redis_conn_end(redis_conn *conn)
{
    conn->ending = true;
    pubsub__redis_conn_flush(conn);
    if (!conn->over && (conn->ring_count == 0 || !conn->up)) {
        conn->depth++;
        conn->setup.events->ended(conn->setup.ctx);
        leave(conn);
    }
}

bool pubsub__redis_conn_is_up(const redis_conn *conn)
{
    return conn != NULL && conn->up;
}

uint64_t pubsub__redis_conn_id(const redis_conn *conn)
{
    return conn == NULL ? 0 : conn->id;
}

void pubsub__redis_conn_subscriber(redis_conn *conn)
{
    conn->subscriber = true;
}

void pubsub__redis_conn_patience(redis_conn *conn, pubsub_duration_ms more)
{
    conn->patience = more;
}

pubsub__buf *pubsub__redis_conn_begin(redis_conn *conn)
{
    conn->mark = conn->out.len;
    return &conn->out;
}

bool pubsub__redis_conn_done(redis_conn *conn, bool ok, redis_reply_fn fn, void *ctx)
{
    if (conn->over || !ok || !push(conn, fn, ctx, conn->written + conn->mark)) {
        conn->out.len = conn->mark;
        return false;
    }
    if (conn->ring_count == 1) { /* silence counts from now */
        uint64_t now = pubsub_sink_now_ns(conn->setup.sink);
        conn->heard_ns = now > conn->heard_ns ? now : conn->heard_ns;
    }
    return true;
}

bool pubsub__redis_conn_command(redis_conn *conn, redis_reply_fn fn, void *ctx,
                                const pubsub_bytes *words, size_t count)
{
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = pubsub__redis_put_array(out, count);
    for (size_t i = 0; ok && i < count; i++) {
        ok = pubsub__redis_put(out, words[i].data, words[i].len);
    }
    return pubsub__redis_conn_done(conn, ok, fn, ctx);
}

bool pubsub__redis_conn_say(redis_conn *conn, redis_reply_fn fn, void *ctx, ...)
{
    enum { WORDS = 16 };
    pubsub_bytes words[WORDS];
    size_t count = 0;
    const char *word = NULL;
    va_list args;
    va_start(args, ctx);
    while (count < WORDS && (word = va_arg(args, const char *)) != NULL) {
        words[count++] = (pubsub_bytes){word, strlen(word)};
    }
    va_end(args);
    return pubsub__redis_conn_command(conn, fn, ctx, words, count);
}

void pubsub__redis_conn_forget(redis_conn *conn)
{
    for (size_t i = 0; conn != NULL && i < conn->ring_count; i++) {
        conn->ring[(conn->ring_at + i) & (conn->ring_cap - 1)].fn = NULL;
    }
}

size_t pubsub__redis_conn_waiting(const redis_conn *conn)
{
    return conn->ring_count;
}

size_t pubsub__redis_conn_queued(const redis_conn *conn)
{
    return conn->out.len;
}

void pubsub__redis_conn_flush(redis_conn *conn)
{
    if (conn == NULL || conn->over || conn->out.len == 0) {
        return;
    }
    pubsub_bytes slice = {conn->out.data, conn->out.len};
    size_t taken = pubsub_transport_write(conn->transport, &slice, 1);
    conn->written += taken;
    if (taken == conn->out.len) {
        pubsub__buf_reset(&conn->out);
    } else if (taken > 0) {
        pubsub__buf_drop(&conn->out, taken);
    }
    pubsub_transport_flush(conn->transport);
}
