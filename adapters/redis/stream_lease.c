/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What is pending in a group. The server notes since when each message is idle; a member that lives sets its own
 * back to zero every third of redis.lease, so that what is older belongs to one that is dead, and the others
 * take it over. One that was stopped for longer than the lease does not trust what it holds any more. */

enum { PENDING_MAX = 1000, TAKE_MAX = 100 };
#define MS UINT64_C(1000000)

static redis_op *op_on(redis_sub *sub, uint32_t topic,
                       void (*fn)(redis_op *op, const redis_reply *reply), redis_conn **conn)
{
    *conn = pubsub__redis_main(sub->self);
    redis_op *op = *conn == NULL ? NULL : pubsub__redis_op_new(sub->self, sub, fn);
    if (op != NULL) {
        op->topic = topic;
    }
    return op;
}

static bool say(redis_conn *conn, redis_op *op, const pubsub_bytes *words, size_t count)
{
    bool ok = pubsub__redis_conn_command(conn, pubsub__redis_on_op, op, words, count);
    if (!ok) {
        pubsub__redis_op_free(op);
    }
    return ok;
}

/* ---- taking over ---------------------------------------------------------------------------------------- */

/* The counts of the entries that are asked for, in their order; freed with the op's data. */
typedef struct claim {
    size_t count;
    struct {
        uint64_t id[2];
        uint32_t attempt;
    } one[];
} claim;

static uint32_t attempt_of(const claim *wanted, const uint64_t id[2], size_t guess, size_t *at)
{
    for (size_t n = 0; n < wanted->count; n++) {
        size_t i = (guess + n) % wanted->count;
        if (pubsub__redis_id_compare(wanted->one[i].id, id) == 0) {
            *at = i + 1;
            return wanted->one[i].attempt;
        }
    }
    return 2;
}

/* A page of our own is through. */
static void recovered(redis_sub *sub, size_t got, size_t wanted)
{
    sub->recovering = false;
    if (got < wanted) {
        sub->recover_topic = sub->surplus ? SIZE_MAX : sub->recover_topic + 1;
        sub->recover_at[0] = sub->recover_at[1] = 0;
        sub->surplus = false;
    }
    pubsub__redis_stream_read(sub);
}

static const char *const trimmed = "the stream was trimmed before this was handled";

/* Servers before version 7 put a nil where an entry is gone. */
static size_t entries_of(const redis_reply *reply)
{
    size_t count = 0;
    for (size_t i = 0; i < pubsub__redis_count(reply); i++) {
        count += pubsub__redis_at(reply, i)->type == REDIS_ARRAY ? 1 : 0;
    }
    return count;
}

static void on_claimed(redis_op *op, const redis_reply *reply)
{
    redis_sub *sub = op->sub;
    claim *wanted = op->data;
    size_t count = pubsub__redis_count(reply);
    uint32_t attempts[PENDING_MAX];
    size_t guess = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (sub != NULL && reply != NULL && pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        if (op->mine) { /* nobody else would give them to us */
            pubsub__redis_stream_again(sub, &err);
        } else {
            pubsub_sink_error(sub->self->sink, sub->spi, &err);
        }
        return;
    }
    for (size_t i = 0; i < count && i < PENDING_MAX; i++) {
        pubsub_bytes text = pubsub__redis_bytes(
            pubsub__redis_at(pubsub__redis_at(pubsub__redis_at(reply, i), 0), 0));
        if (text.data == NULL) {
            text = pubsub__redis_bytes(pubsub__redis_at(pubsub__redis_at(reply, i), 0));
        }
        uint64_t id[2] = {0, 0};
        if (text.data != NULL) {
            (void)pubsub__redis_id_parse(text.data, text.len, id);
        }
        attempts[i] = attempt_of(wanted, id, guess, &guess);
    }
    if (sub != NULL && count > 0 && count <= PENDING_MAX) {
        pubsub__redis_stream_give(sub, op->topic, reply, attempts, 0);
    }
    size_t there = entries_of(reply);
    if (sub != NULL && op->mine && there < wanted->count && reply != NULL) {
        pubsub__redis_stream_gap(sub, trimmed, wanted->count - there);
    }
    if (sub != NULL && op->mine && reply != NULL) { /* only now: what is new comes behind it */
        recovered(sub, wanted->count, op->read);
    }
}

static bool put_claim(pubsub__buf *out, const redis_sub *sub, uint32_t topic, uint64_t idle_ms,
                      size_t ids, size_t more)
{
    return pubsub__redis_put_array(out, 5 + ids + more) && pubsub__redis_put_text(out, "XCLAIM") &&
           pubsub__redis_put(out, sub->topics[topic].name, sub->topics[topic].len) &&
           pubsub__redis_put_text(out, sub->group) && pubsub__redis_put_text(out, sub->consumer) &&
           pubsub__redis_put_u64(out, idle_ms);
}

static bool put_id(pubsub__buf *out, const uint64_t id[2])
{
    char text[REDIS_ID_TEXT];
    size_t len = pubsub__redis_id_text(id, text);
    return pubsub__redis_put(out, text, len);
}

static void take(redis_sub *sub, uint32_t topic, claim *wanted, bool mine, uint64_t page)
{
    redis_conn *conn = NULL;
    redis_op *op = op_on(sub, topic, on_claimed, &conn);
    if (op == NULL) {
        pubsub__free(wanted);
        return;
    }
    op->data = wanted;
    op->mine = mine;
    op->read = page;
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool unseen = mine && sub->surplus; /* they were delivered once, so that is their count */
    bool ok = put_claim(out, sub, topic, mine ? 0 : (uint64_t)sub->self->lease, wanted->count,
                        unseen ? 2 : 0);
    for (size_t i = 0; ok && i < wanted->count; i++) {
        ok = put_id(out, wanted->one[i].id);
    }
    if (unseen) {
        ok = ok && pubsub__redis_put_text(out, "RETRYCOUNT") && pubsub__redis_put_text(out, "1");
    }
    if (!pubsub__redis_conn_done(conn, ok, pubsub__redis_on_op, op)) {
        pubsub__redis_op_free(op);
    }
}

/* XPENDING: [id, consumer, idle, deliveries] each. */
static void on_pending(redis_op *op, const redis_reply *reply)
{
    redis_sub *sub = op->sub;
    size_t count = pubsub__redis_count(reply);
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (sub == NULL || reply == NULL) {
        return;
    }
    if (pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        pubsub__redis_stream_again(sub, &err);
        return;
    }
    claim *wanted = pubsub__alloc(sizeof(*wanted) + count * sizeof(wanted->one[0]));
    if (wanted == NULL) {
        return;
    }
    wanted->count = 0;
    for (size_t i = 0; i < count && wanted->count < PENDING_MAX; i++) {
        const redis_reply *one = pubsub__redis_at(reply, i);
        pubsub_bytes id = pubsub__redis_bytes(pubsub__redis_at(one, 0));
        bool own = pubsub__redis_is_text(pubsub__redis_at(one, 1), sub->consumer);
        if ((op->mine || !own) && id.data != NULL &&
            pubsub__redis_id_parse(id.data, id.len, wanted->one[wanted->count].id)) {
            int64_t deliveries = pubsub__redis_int(pubsub__redis_at(one, 3), 1);
            bool counts = !op->mine || !sub->surplus;
            wanted->one[wanted->count++].attempt = (uint32_t)(deliveries + (counts ? 1 : 0));
        }
    }
    if (wanted->count > 0 && op->mine) {
        memcpy(sub->recover_at, wanted->one[wanted->count - 1].id, sizeof(sub->recover_at));
    }
    if (wanted->count > 0) {
        take(sub, op->topic, wanted, op->mine, op->read);
        return;
    }
    pubsub__free(wanted);
    if (op->mine) {
        recovered(sub, 0, op->read);
    }
}

bool pubsub__redis_stream_recover(redis_sub *sub, uint32_t credit)
{
    redis_conn *conn = NULL;
    char most[24];
    char start[REDIS_ID_TEXT + 1] = "(";
    if (sub->group == NULL || sub->recover_topic >= sub->topic_count) {
        return false;
    }
    redis_op *op =
        sub->recovering ? NULL : op_on(sub, (uint32_t)sub->recover_topic, on_pending, &conn);
    if (op == NULL) {
        return true;
    }
    op->mine = true;
    op->read = credit < PENDING_MAX ? credit : PENDING_MAX;
    (void)snprintf(most, sizeof(most), "%u", (unsigned)op->read);
    (void)pubsub__redis_id_text(sub->recover_at, start + 1);
    /* Whoever holds the lock is alone: all that is pending is his. */
    bool all = sub->lock != NULL && !sub->surplus;
    const char *whose = sub->surplus || sub->former == NULL ? sub->consumer : sub->former;
    pubsub_bytes words[7] = {
        pubsub_bytes_of("XPENDING"), pubsub__redis_topic_key(&sub->topics[sub->recover_topic]),
        pubsub_bytes_of(sub->group), pubsub_bytes_of(start),
        pubsub_bytes_of("+"),        pubsub_bytes_of(most),
        pubsub_bytes_of(whose)};
    sub->recovering = say(conn, op, words, all ? 6 : 7);
    pubsub__redis_conn_flush(conn);
    return true;
}

/* Of the others no more than there is credit for; the rest with the next tick. */
static void take_over(redis_sub *sub, uint32_t topic)
{
    redis_conn *conn = NULL;
    char idle[24];
    char most[24];
    uint32_t room = 0;
    uint64_t bytes = 0;
    if (!pubsub_sink_credit(sub->self->sink, sub->spi, &room, &bytes)) {
        return;
    }
    redis_op *op = op_on(sub, topic, on_pending, &conn);
    if (op == NULL) {
        return;
    }
    (void)snprintf(idle, sizeof(idle), "%lld", (long long)sub->self->lease);
    (void)snprintf(most, sizeof(most), "%u", room < TAKE_MAX ? (unsigned)room : (unsigned)TAKE_MAX);
    pubsub_bytes words[8] = {
        pubsub_bytes_of("XPENDING"), pubsub__redis_topic_key(&sub->topics[topic]),
        pubsub_bytes_of(sub->group), pubsub_bytes_of("IDLE"),
        pubsub_bytes_of(idle),       pubsub_bytes_of("-"),
        pubsub_bytes_of("+"),        pubsub_bytes_of(most)};
    (void)say(conn, op, words, 8);
}

/* ---- the lease -------------------------------------------------------------------------------------------- */

static void on_renewed(redis_op *op, const redis_reply *reply)
{
    if (op->sub != NULL && reply != NULL && reply->type == REDIS_ARRAY) {
        op->sub->renewed_ns = pubsub__clock_mono_ns();
    }
}

static void on_own(redis_op *op, const redis_reply *reply)
{
    redis_sub *sub = op->sub;
    size_t count = pubsub__redis_count(reply);
    redis_conn *conn = NULL;
    if (sub == NULL || count == 0) {
        on_renewed(op, reply);
        return;
    }
    redis_op *next = op_on(sub, op->topic, on_renewed, &conn);
    if (next == NULL) {
        return;
    }
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = put_claim(out, sub, op->topic, 0, count, 1);
    for (size_t i = 0; ok && i < count; i++) {
        pubsub_bytes id = pubsub__redis_bytes(pubsub__redis_at(pubsub__redis_at(reply, i), 0));
        ok = pubsub__redis_put(out, id.data, id.len);
    }
    ok = ok && pubsub__redis_put_text(out, "JUSTID");
    if (!pubsub__redis_conn_done(conn, ok, pubsub__redis_on_op, next)) {
        pubsub__redis_op_free(next);
    }
}

static void renew(redis_sub *sub, uint32_t topic)
{
    redis_conn *conn = NULL;
    redis_op *op = op_on(sub, topic, on_own, &conn);
    char most[24];
    if (op == NULL) {
        return;
    }
    uint32_t all = sub->spi->request.prefetch + PENDING_MAX;
    (void)snprintf(most, sizeof(most), "%u", all);
    pubsub_bytes words[7] = {
        pubsub_bytes_of("XPENDING"),   pubsub__redis_topic_key(&sub->topics[topic]),
        pubsub_bytes_of(sub->group),   pubsub_bytes_of("-"),
        pubsub_bytes_of("+"),          pubsub_bytes_of(most),
        pubsub_bytes_of(sub->consumer)};
    (void)say(conn, op, words, 7);
}

static void on_lock(redis_op *op, const redis_reply *reply)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (op->sub != NULL && reply != NULL && pubsub__redis_int(reply, 1) == 0) {
        pubsub_error_set(&err, PUBSUB_ETAKEN,
                         "the durable name '%.80s' was taken by another subscription while this "
                         "one was silent for longer than redis.lease",
                         op->sub->group);
        pubsub_sink_lost(op->self->sink, op->sub->spi, &err);
    }
}

static void keep_lock(redis_sub *sub)
{
    static const char script[] = "local v = redis.call('GET', KEYS[1])\n"
                                 "if v and v ~= ARGV[1] then return 0 end\n"
                                 "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                                 "return 1\n";
    redis_conn *conn = NULL;
    redis_op *op = op_on(sub, 0, on_lock, &conn);
    char ms[24];
    if (op == NULL) {
        return;
    }
    (void)snprintf(ms, sizeof(ms), "%lld", (long long)sub->self->lease);
    pubsub_bytes words[6] = {pubsub_bytes_of("EVAL"),     pubsub_bytes_of(script),
                             pubsub_bytes_of("1"),        pubsub_bytes_of(sub->lock),
                             pubsub_bytes_of(sub->token), pubsub_bytes_of(ms)};
    (void)say(conn, op, words, 6);
}

/* Messages that nobody else may have: in handlers, or waiting to come again. */
static bool holds(const redis_sub *sub)
{
    return sub->open > 0 || sub->again_count > 0;
}

static void tick(redis_sub *sub)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    pubsub_error err = PUBSUB_ERROR_INIT;
    uint64_t silent = pubsub__clock_mono_ns() - sub->renewed_ns;
    bool mute = conn != NULL && pubsub__redis_conn_waiting(conn) > REDIS_IN_FLIGHT_MAX;
    if (!mute) {
        pubsub__redis_stream_check(sub, false);
    }
    if (!mute && sub->ticks++ % 4 == 3) {
        pubsub__redis_stream_check(sub, true);
    }
    if (sub->group == NULL) {
        return;
    }
    if (holds(sub) && silent > (uint64_t)sub->self->lease * MS) {
        pubsub_error_set(&err, PUBSUB_EBUSY,
                         "nothing was heard for longer than redis.lease: others may have taken "
                         "over what is pending");
        pubsub__redis_stream_again(sub, &err);
        return;
    }
    if (mute) { /* it answers nothing, so asking more only piles up */
        return;
    }
    if (sub->lock != NULL) {
        keep_lock(sub);
    }
    if (conn != NULL && sub->spi->request.durable[0] == '\0') {
        char life[24];
        (void)snprintf(life, sizeof(life), "%" PRId64, 4 * sub->self->lease + 10000);
        (void)pubsub__redis_conn_say(conn, NULL, NULL, "PEXPIRE", sub->meta, life, NULL);
    }
    for (uint32_t i = 0; i < sub->topic_count; i++) {
        if (!sub->topics[i].ready) {
            pubsub__redis_topic_late(sub, i);
            continue;
        }
        if (holds(sub)) {
            renew(sub, i);
        }
        take_over(sub, i);
    }
    if (!holds(sub)) {
        sub->renewed_ns = pubsub__clock_mono_ns();
    }
}

/* ---- the timer ---------------------------------------------------------------------------------------------- */

static void on_once_more(redis_op *op, const redis_reply *reply)
{
    uint32_t attempt = op->attempt + 1;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (op->sub == NULL || reply == NULL) {
        return;
    }
    if (pubsub__redis_error(reply, &err) !=
        PUBSUB_OK) { /* it is pending: found at the next beginning */
        pubsub__redis_stream_again(op->sub, &err);
    } else if (entries_of(reply) == 1) {
        pubsub__redis_stream_give(op->sub, op->topic, reply, &attempt, 0);
    } else {
        pubsub__redis_stream_gap(op->sub, trimmed, 1);
    }
}

static void once_more(redis_sub *sub, const redis_again *again)
{
    redis_conn *conn = NULL;
    redis_op *op = op_on(sub, again->topic, on_once_more, &conn);
    if (op == NULL) {
        return;
    }
    op->attempt = again->attempt;
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = put_claim(out, sub, again->topic, 0, 1, 0) && put_id(out, again->position);
    if (!pubsub__redis_conn_done(conn, ok, pubsub__redis_on_op, op)) {
        pubsub__redis_op_free(op);
    }
}

void pubsub__redis_stream_timer_set(redis_sub *sub)
{
    uint64_t now = pubsub__clock_mono_ns();
    if (sub->stage != REDIS_STAGE_READING) {
        return;
    }
    if (sub->tick_ns == 0) {
        sub->tick_ns = now + (uint64_t)sub->self->lease * MS / 3;
    }
    uint64_t due = sub->tick_ns;
    for (size_t i = 0; i < sub->again_count; i++) {
        due = sub->again[i].due_ns < due ? sub->again[i].due_ns : due;
    }
    pubsub_timer_start(sub->timer, due > now ? (pubsub_duration_ms)((due - now + MS - 1) / MS) : 0);
}

void pubsub__redis_stream_on_timer(void *ctx)
{
    redis_sub *sub = ctx;
    uint64_t now = pubsub__clock_mono_ns();
    if (sub->stage == REDIS_STAGE_HOLD) {
        pubsub__redis_stream_hold(sub);
        return;
    }
    if (sub->stage != REDIS_STAGE_READING) {
        return;
    }
    for (size_t i = 0; i < sub->again_count;) {
        if (sub->again[i].due_ns <= now) {
            once_more(sub, &sub->again[i]);
            sub->again[i] = sub->again[--sub->again_count];
        } else {
            i++;
        }
    }
    if (sub->tick_ns <= now) {
        sub->tick_ns = 0;
        tick(sub);
    }
    pubsub__redis_stream_timer_set(sub);
    pubsub__redis_conn_flush(pubsub__redis_main(sub->self));
}

/* ---- settling ----------------------------------------------------------------------------------------------- */

void pubsub__redis_ack_done(redis_self *self)
{
    if (self->acks > 0 && --self->acks == 0 && self->flush_asked) {
        self->flush_asked = false;
        pubsub_sink_flushed(self->sink);
    }
}

static void on_acked(redis_op *op, const redis_reply *reply)
{
    redis_self *self = op->self;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bool told = reply == NULL || reply == &pubsub__redis_replica; /* by its link */
    if (!told && op->sub != NULL && pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        pubsub_sink_error(self->sink, op->sub->spi, &err);
    }
    if (reply != NULL) {
        pubsub__redis_ack_done(self);
    }
}

static uint32_t topic_of(const pubsub_spi_ack *ack)
{
    return (uint32_t)ack->token;
}

static void send_acks(redis_sub *sub, const pubsub_spi_ack *acks, size_t count)
{
    redis_conn *conn = NULL;
    uint32_t topic = topic_of(acks);
    redis_op *op = op_on(sub, topic, on_acked, &conn);
    if (op == NULL) {
        return;
    }
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = pubsub__redis_put_array(out, 3 + count) && pubsub__redis_put_text(out, "XACK") &&
              pubsub__redis_put(out, sub->topics[topic].name, sub->topics[topic].len) &&
              pubsub__redis_put_text(out, sub->group);
    for (size_t i = 0; ok && i < count; i++) {
        ok = put_id(out, acks[i].position);
    }
    if (pubsub__redis_conn_done(conn, ok, pubsub__redis_on_op, op)) {
        sub->self->acks++;
    } else {
        pubsub__redis_op_free(op);
    }
}

static void nack(redis_sub *sub, const pubsub_spi_ack *ack)
{
    if (sub->again_count == sub->again_cap) {
        size_t cap = sub->again_cap == 0 ? 16 : sub->again_cap * 2;
        redis_again *more = pubsub__realloc(sub->again, cap * sizeof(*more));
        if (more == NULL) {
            return; /* stays pending: comes again with the next connection */
        }
        sub->again = more;
        sub->again_cap = cap;
    }
    redis_again *again = &sub->again[sub->again_count++];
    again->due_ns =
        pubsub__clock_mono_ns() + (uint64_t)(ack->delay_ms < 0 ? 0 : ack->delay_ms) * MS;
    again->topic = topic_of(ack);
    again->attempt = (uint32_t)(ack->token >> 32);
    memcpy(again->position, ack->position, sizeof(again->position));
}

/* Nobody has seen it: at once for the others, and the attempt does not count. */
static void hand_back(redis_sub *sub, const pubsub_spi_ack *ack)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    uint32_t attempt = (uint32_t)(ack->token >> 32);
    if (conn == NULL) {
        return;
    }
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = put_claim(out, sub, topic_of(ack), 0, 1, 5) && put_id(out, ack->position) &&
              pubsub__redis_put_text(out, "IDLE") && pubsub__redis_put_text(out, "86400000") &&
              pubsub__redis_put_text(out, "RETRYCOUNT") &&
              pubsub__redis_put_u64(out, attempt > 0 ? attempt - 1 : 0) &&
              pubsub__redis_put_text(out, "JUSTID");
    (void)pubsub__redis_conn_done(conn, ok, NULL, NULL);
}

void pubsub__redis_stream_ack(redis_sub *sub, const pubsub_spi_ack *acks, size_t count)
{
    bool refused = false;
    for (size_t at = 0; at < count;) {
        size_t n = 1;
        if (topic_of(&acks[at]) >= sub->topic_count) {
            at++;
            continue;
        }
        switch (acks[at].settle) {
        case PUBSUB_SPI_ACK:
            while (at + n < count && acks[at + n].settle == PUBSUB_SPI_ACK &&
                   topic_of(&acks[at + n]) == topic_of(&acks[at])) {
                n++;
            }
            send_acks(sub, acks + at, n);
            break;
        case PUBSUB_SPI_NACK:
            nack(sub, &acks[at]);
            refused = true;
            break;
        case PUBSUB_SPI_RELEASE:
            hand_back(sub, &acks[at]);
            break;
        }
        sub->open -= n < sub->open ? n : sub->open;
        at += n;
    }
    if (refused) { /* once for all: it looks at each that waits */
        pubsub__redis_stream_timer_set(sub);
    }
}
