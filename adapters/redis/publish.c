/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <string.h>

#define FULL_PAUSE_MS 500
#define REGISTER_AGAIN_NS (UINT64_C(60) * 1000000000u)

/* A server closes the connection of one who sends more than it takes, and may do so without a word. What was
 * lost with the connection this often goes alone, so that nothing innocent is lost with it, and at last no
 * more. */
enum { SUSPECT_SENDS = 3, POISON_SENDS = 8 };
enum { OUTCOMES = 256, KNOWN = 4096, QUEUED_MAX = 1024 * 1024 };

/* ---- the registry of topics ------------------------------------------------------------------------ */

static uint64_t hash(pubsub_bytes bytes)
{
    uint64_t value = UINT64_C(14695981039346656037); /* FNV-1a */
    const unsigned char *at = bytes.data;
    for (size_t i = 0; i < bytes.len; i++) {
        value = (value ^ at[i]) * UINT64_C(1099511628211);
    }
    return value ^ value >> 32;
}

/* Whether subscribers to patterns have to be told of the topic: at its first message, and again after a
 * while, because somebody may have emptied the server. */
static bool has_to_register(redis_self *self, pubsub_bytes topic)
{
    if (self->known == NULL) {
        self->known = pubsub__calloc(KNOWN, sizeof(*self->known));
        if (self->known == NULL) {
            return true;
        }
    }
    uint64_t value = hash(topic);
    uint64_t now = pubsub_sink_now_ns(self->sink);
    redis_known *known = &self->known[value % KNOWN];
    if (known->hash == value && now - known->at_ns < REGISTER_AGAIN_NS) {
        return false;
    }
    known->hash = value;
    known->at_ns = now;
    return true;
}

/* What was to enter it there may not have arrived. */
static void unregister(redis_self *self, pubsub_bytes topic)
{
    uint64_t value = hash(topic);
    if (self->known != NULL && self->known[value % KNOWN].hash == value) {
        self->known[value % KNOWN].hash = 0;
    }
}

void pubsub__redis_forget_topics(redis_self *self)
{
    pubsub__free(self->known);
    self->known = NULL;
}

/* ---- outcomes ------------------------------------------------------------------------------------ */

void pubsub__redis_outcomes(redis_self *self)
{
    if (self->outcome_count > 0) {
        size_t count = self->outcome_count;
        self->outcome_count = 0;
        pubsub_sink_outcomes(self->sink, self->outcomes, count);
    }
}

static pubsub_spi_outcome *outcome_of(redis_self *self, pubsub_spi_publish *publish)
{
    if (self->outcome_count == OUTCOMES) {
        pubsub__redis_outcomes(self);
    }
    size_t i = self->outcome_count++;
    pubsub_spi_outcome *out = &self->outcomes[i];
    memset(out, 0, sizeof(*out));
    out->publish = publish;
    return out;
}

static void failed(redis_self *self, pubsub_spi_publish *publish, pubsub_outcome outcome,
                   const pubsub_error *why)
{
    unregister(self, publish->pub.topic);
    pubsub_spi_outcome *out = outcome_of(self, publish);
    pubsub_error *error = &self->errors[out - self->outcomes];
    *error = *why;
    out->outcome = outcome;
    out->error = error;
}

/* A server that is full may have room later; one that became a replica has a master somewhere else. */
static void refused(redis_self *self, pubsub_spi_publish *publish, const pubsub_error *why)
{
    bool later = pubsub_err_is_retryable(why->code);
    if (later && self->retry_ns == 0) {
        self->retry_ns = pubsub_sink_now_ns(self->sink) + FULL_PAUSE_MS * UINT64_C(1000000);
        pubsub_timer_start(self->timer, FULL_PAUSE_MS);
    }
    failed(self, publish, later ? PUBSUB_NOT_SENT : PUBSUB_REJECTED, why);
}

void pubsub__redis_on_timer(void *ctx)
{
    redis_self *self = ctx;
    self->retry_ns = 0;
    pubsub_sink_writable(self->sink);
}

static void accepted(redis_self *self, pubsub_spi_publish *publish, const redis_reply *reply)
{
    extern const pubsub_adapter pubsub__adapter_redis;
    pubsub_spi_outcome *out = outcome_of(self, publish);
    pubsub_bytes id = pubsub__redis_bytes(reply);
    out->outcome = PUBSUB_ACCEPTED;
    out->confirm = publish->pub.qos > 0 ? self->confirm : PUBSUB_CONFIRM_NONE;
    if (id.len > 0 && pubsub__redis_id_parse(id.data, id.len, out->position.word)) {
        out->position.adapter = &pubsub__adapter_redis;
    }
    if (pubsub__redis_int(reply, -1) == 0) { /* how many have got it */
        out->flags = PUBSUB_REPORT_NO_SUBSCRIBER;
    }
}

static void lost(redis_self *self, pubsub_spi_publish *publish, bool sent)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (!sent || publish->sends + 1 < POISON_SENDS) {
        pubsub_error_set(&error, PUBSUB_ELOST, "the connection was lost before %s",
                         sent ? "the server answered" : "it was sent");
        failed(self, publish, sent ? PUBSUB_UNKNOWN : PUBSUB_NOT_SENT, &error);
        return;
    }
    pubsub_error_set(&error, PUBSUB_EREJECTED,
                     "the connection was lost each of the %" PRIu32
                     " times it was sent: this server seems not to take it",
                     publish->sends + 1);
    failed(self, publish, PUBSUB_UNKNOWN, &error);
    self->outcomes[self->outcome_count - 1].flags = PUBSUB_OUTCOME_FINAL;
}

static void settle(redis_self *self, pubsub_spi_publish *publish, const redis_reply *reply,
                   bool sent)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    if (reply == NULL) {
        lost(self, publish, sent);
    } else if (pubsub__redis_error(reply, &error) != PUBSUB_OK) {
        refused(self, publish, &error);
    } else {
        accepted(self, publish, reply);
    }
}

static void on_published(void *ctx, const redis_reply *reply, bool sent)
{
    pubsub_spi_publish *publish = ctx;
    redis_self *self = publish->data;
    self->in_flight--;
    settle(self, publish, reply, sent);
}

/* ---- several commands for one message ------------------------------------------------------------- */

/* The self of a command that the server only queues. */
static void on_queued(void *ctx, const redis_reply *reply, bool sent)
{
    redis_self *self = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    self->begun = self->begun || sent;
    if (reply != NULL && self->queued.code == PUBSUB_OK &&
        pubsub__redis_error(reply, &error) != PUBSUB_OK) {
        self->queued = error; /* EXEC will only say that there was one */
    }
}

static void on_exec(void *ctx, const redis_reply *reply, bool sent)
{
    pubsub_spi_publish *publish = ctx;
    redis_self *self = publish->data;
    pubsub_error why = self->queued;
    /* Without its EXEC nothing of it happened, but it has to count as sent, or nothing would end it. */
    sent = sent || self->begun;
    self->begun = false;
    self->queued.code = PUBSUB_OK;
    self->in_flight--;
    if (reply != NULL && reply->type == REDIS_ERROR && why.code != PUBSUB_OK) {
        refused(self, publish, &why);
        return;
    }
    size_t count = pubsub__redis_count(reply);
    const redis_reply *answer =
        self->streams ? pubsub__redis_at(reply, 0) : pubsub__redis_at(reply, count - 1);
    for (size_t i = 0; i < count; i++) {
        const redis_reply *one = pubsub__redis_at(reply, i);
        answer = one->type == REDIS_ERROR ? one : answer;
    }
    settle(self, publish, answer != NULL ? answer : reply, sent);
}

typedef struct writer {
    redis_self *self;
    redis_conn *conn;
    pubsub_spi_publish *publish;
    bool ok;
} writer;

static pubsub__buf *begin(writer *w, size_t words, const char *command)
{
    pubsub__buf *out = pubsub__redis_conn_begin(w->conn);
    w->ok = w->ok && pubsub__redis_put_array(out, words) && pubsub__redis_put_text(out, command);
    return out;
}

static void done(writer *w, redis_reply_fn fn, void *ctx)
{
    w->ok = pubsub__redis_conn_done(w->conn, w->ok, fn, ctx);
}

static void queue(writer *w)
{
    done(w, on_queued, w->self);
}

static bool word(pubsub__buf *out, pubsub_bytes bytes)
{
    return pubsub__redis_put(out, bytes.data, bytes.len);
}

static void put_command(writer *w, const char *command, const char *key, pubsub_bytes member)
{
    pubsub__buf *out = begin(w, 3, command);
    w->ok = w->ok && pubsub__redis_put_text(out, key) && word(out, member);
}

static void put_publish(writer *w)
{
    const pubsub_publication *pub = &w->publish->pub;
    pubsub__buf *out = begin(w, 3, "PUBLISH");
    w->ok = w->ok && word(out, pub->topic) && word(out, pub->payload);
}

/* prefix NULL: the stream of the topic; else that of its last value, which has one entry. */
static void put_xadd(writer *w, const char *prefix)
{
    const pubsub_publication *pub = &w->publish->pub;
    uint64_t expires = w->publish->expires_ns;
    uint64_t max_len = prefix != NULL ? 1 : w->self->max_len;
    size_t words = 3 + pubsub__redis_fields_count(pub, expires) + (max_len > 0 ? 3 : 0);
    char key[sizeof(REDIS_KEY_LAST) + 1 + PUBSUB_TOPIC_MAX];
    pubsub_bytes name = pub->topic;
    if (prefix != NULL) {
        size_t at = strlen(prefix);
        memcpy(key, prefix, at);
        key[at++] = ':';
        memcpy(key + at, pub->topic.data, pub->topic.len);
        name = (pubsub_bytes){key, at + pub->topic.len};
    }
    pubsub__buf *out = begin(w, words, "XADD");
    w->ok = w->ok && word(out, name);
    if (max_len > 0) {
        w->ok = w->ok && pubsub__redis_put_text(out, "MAXLEN") &&
                pubsub__redis_put_text(out, prefix != NULL ? "=" : "~") &&
                pubsub__redis_put_u64(out, max_len);
    }
    w->ok =
        w->ok && pubsub__redis_put_text(out, "*") && pubsub__redis_fields_put(out, pub, expires);
}

static bool is_inbox(const redis_self *self, pubsub_bytes topic)
{
    const char *inbox = self->inbox;
    size_t len = inbox == NULL ? 0 : strlen(inbox);
    return len > 0 && topic.len > len && memcmp(topic.data, inbox, len) == 0 &&
           ((const char *)topic.data)[len] == '/';
}

/* ---- submitting ------------------------------------------------------------------------------------ */

static void write_multi(writer *w, bool registers)
{
    const pubsub_publication *pub = &w->publish->pub;
    bool retain = (pub->flags & PUBSUB_PUBLISH_RETAIN) != 0;
    bool clears = pub->payload.len == 0;
    (void)begin(w, 1, "MULTI");
    queue(w);
    if (w->self->streams) {
        put_xadd(w, NULL);
        queue(w);
    } else if (clears) {
        put_command(w, "HDEL", REDIS_KEY_RETAINED, pub->topic);
        queue(w);
    } else {
        pubsub__buf *out = begin(w, 4, "HSET");
        w->ok = w->ok && pubsub__redis_put_text(out, REDIS_KEY_RETAINED) && word(out, pub->topic) &&
                word(out, pub->payload);
        queue(w);
    }
    if (registers) {
        put_command(w, "SADD", REDIS_KEY_TOPICS, pub->topic);
        queue(w);
        put_command(w, "PUBLISH", REDIS_KEY_TOPICS, pub->topic);
        queue(w);
    }
    if (retain && w->self->streams) {
        put_command(w, clears ? "SREM" : "SADD", REDIS_KEY_LAST, pub->topic);
        queue(w);
        put_xadd(w, REDIS_KEY_LAST);
        queue(w);
    }
    if (!w->self->streams) {
        put_publish(w);
        queue(w);
    }
    (void)begin(w, 1, "EXEC");
    done(w, on_exec, w->publish);
}

static void write_one(writer *w)
{
    redis_self *self = w->self;
    const pubsub_publication *pub = &w->publish->pub;
    bool retain = (pub->flags & PUBSUB_PUBLISH_RETAIN) != 0;
    bool inbox = self->streams && is_inbox(self, pub->topic);
    bool registers = self->streams && has_to_register(self, pub->topic);
    if (retain || (registers && !inbox)) {
        write_multi(w, registers && !inbox);
        return;
    }
    if (self->streams) {
        put_xadd(w, NULL);
    } else {
        put_publish(w);
    }
    done(w, on_published, w->publish);
    if (registers) { /* nobody but its client reads it, and that may be gone */
        pubsub__buf *out = begin(w, 3, "EXPIRE");
        w->ok = w->ok && word(out, pub->topic) && pubsub__redis_put_u64(out, 3600);
        done(w, NULL, NULL);
        w->ok = true;
    }
}

/* Whether one of them has to wait for the other's answer. */
static bool has_company(const redis_self *self, const pubsub_spi_publish *publish)
{
    return self->in_flight > 0 && (self->alone || publish->sends >= SUSPECT_SENDS);
}

size_t pubsub__redis_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    redis_self *self = ctx;
    redis_conn *conn = pubsub__redis_main(self);
    size_t taken = 0;
    if (conn == NULL || self->retry_ns != 0) {
        return 0;
    }
    while (taken < count && pubsub__redis_conn_waiting(conn) < REDIS_IN_FLIGHT_MAX &&
           pubsub__redis_conn_queued(conn) < QUEUED_MAX && !has_company(self, publishes[taken])) {
        writer w = {self, conn, publishes[taken], true};
        publishes[taken]->data = self;
        self->in_flight++;
        self->alone = publishes[taken]->sends >= SUSPECT_SENDS;
        write_one(&w);
        if (!w.ok) { /* the core keeps this one; a MULTI may have begun that now has no end */
            pubsub_error err = PUBSUB_ERROR_INIT;
            self->in_flight--;
            pubsub_error_set(&err, PUBSUB_ELOST, "no memory for a command");
            pubsub__redis_conn_fail(conn, &err);
            break;
        }
        taken++;
    }
    self->held_back = taken < count;
    return taken;
}

/* What fills the connection may be acks and claims only. */
void pubsub__redis_go_on(redis_self *self)
{
    redis_conn *conn = pubsub__redis_main(self);
    if (self->held_back && self->in_flight == 0 && conn != NULL &&
        pubsub__redis_conn_waiting(conn) < REDIS_IN_FLIGHT_MAX &&
        pubsub__redis_conn_queued(conn) < QUEUED_MAX) {
        self->held_back = false;
        pubsub_sink_writable(self->sink);
    }
}
