/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Subscriptions of pub/sub. With from=last, one MULTI on main reads the stored values and publishes to a
 * channel of this subscription's own: what the hub receives before that is in the values, or older. */

enum { BLOCK_BYTES = 64 * 1024, FIRST_MESSAGES = 4, FIRST_BYTES = 1024 };

static const pubsub_gap gap_lost = {"reconnected: pub/sub keeps nothing for those who are away",
                                    PUBSUB_POSITION_NONE, PUBSUB_POSITION_NONE, 0};

/* ---- beginning ------------------------------------------------------------------------------------- */

static bool join_patterns(redis_sub *sub)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    char glob[2 * PUBSUB_TOPIC_MAX + 2];
    sub->channels = pubsub__calloc(request->pattern_count, sizeof(redis_channel *));
    for (size_t i = 0; sub->channels != NULL && i < request->pattern_count; i++) {
        const char *pattern = request->patterns[i].data;
        size_t len = request->patterns[i].len;
        bool literal = pubsub_pattern_is_literal(pattern, len);
        size_t n = literal ? 0 : pubsub__redis_glob(pattern, len, glob);
        sub->superset = sub->superset || !literal;
        sub->channels[i] = pubsub__redis_channel_join(sub->self, !literal, literal ? pattern : glob,
                                                      literal ? len : n, sub);
        if (sub->channels[i] == NULL) {
            return false;
        }
    }
    return sub->channels != NULL;
}

static bool join_sync(redis_sub *sub)
{
    char name[64];
    int len = snprintf(name, sizeof(name), REDIS_KEY_SYNC "%s.%" PRIu64, sub->self->tag,
                       ++sub->self->next_number);
    sub->sync = pubsub__redis_channel_join(sub->self, false, name, (size_t)len, sub);
    sub->dropping = sub->early = true;
    return sub->sync != NULL;
}

void pubsub__redis_pubsub_begin(redis_sub *sub)
{
    redis_self *self = sub->self;
    bool ok = pubsub__redis_hub_open(self);
    if (ok) {
        pubsub_sink_bind(self->sink, sub->spi, self->hub->number);
        if (!pubsub__redis_conn_is_up(self->hub->conn)) {
            return; /* called again when it is */
        }
        if (sub->channels == NULL) {
            ok = join_patterns(sub);
            if (ok && sub->spi->request.from.kind == PUBSUB_FROM_LAST) {
                ok = join_sync(sub);
            }
        }
    }
    if (!ok) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to subscribe");
        pubsub__redis_refuse(sub, &err);
        return;
    }
    pubsub__redis_pubsub_confirmed(sub, NULL);
}

static void answer(redis_sub *sub)
{
    pubsub_spi_subscribed granted = {false, PUBSUB_AT_MOST_ONCE, sub->ever ? &gap_lost : NULL, 0};
    sub->answered = sub->ever = true;
    pubsub_sink_subscribed(sub->self->sink, sub->spi, &granted, NULL);
}

void pubsub__redis_pubsub_end(redis_sub *sub)
{
    for (size_t i = 0; sub->channels != NULL && i < sub->spi->request.pattern_count; i++) {
        if (sub->channels[i] != NULL) {
            pubsub__redis_channel_leave(sub->self, sub->channels[i], sub);
        }
    }
    if (sub->sync != NULL) {
        pubsub__redis_channel_leave(sub->self, sub->sync, sub);
    }
}

/* ---- messages -------------------------------------------------------------------------------------- */

static void hand_over(redis_sub *sub)
{
    pubsub_block *block = sub->block;
    sub->block = NULL;
    if (block == NULL) {
        return;
    }
    sub->expect_messages = (uint32_t)pubsub_block_count(block);
    sub->expect_bytes = sub->got_bytes;
    sub->got_bytes = 0;
    pubsub_sink_messages(sub->self->sink, sub->spi, block);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Room for what one read brings, as far as the last one tells, and no more than there is credit for.
 * False: there is none. */
static bool new_block(redis_sub *sub, size_t need)
{
    size_t messages = larger(FIRST_MESSAGES, 2 * (size_t)sub->expect_messages);
    size_t bytes = larger(FIRST_BYTES, 2 * sub->expect_bytes);
    uint64_t credit = 0;
    if (!pubsub_sink_credit(sub->self->sink, sub->spi, &sub->room, &credit)) {
        return false;
    }
    messages = messages < PUBSUB_BLOCK_MESSAGES ? messages : PUBSUB_BLOCK_MESSAGES;
    bytes = bytes < BLOCK_BYTES ? bytes : BLOCK_BYTES;
    sub->block = pubsub_sink_block(sub->self->sink, messages, larger(need, bytes));
    return sub->block != NULL;
}

typedef struct kept {
    size_t topic_len, payload_len;
    uint32_t flags;
} kept;

/* Without credit, and until the stored values are there, messages wait here, because the server would otherwise close the connection of a slow
 * reader and all subscriptions would lose. */
static void backlog_put(redis_sub *sub, pubsub_bytes topic, pubsub_bytes payload, uint32_t flags)
{
    pubsub_gap gap = {"overflow: handlers are slower than the messages", PUBSUB_POSITION_NONE,
                      PUBSUB_POSITION_NONE, 0};
    kept head = {topic.len, payload.len, flags};
    size_t need = sizeof(head) + topic.len + payload.len;
    if (sub->backlog_max == 0) {
        int64_t max = 0;
        (void)pubsub_options_int(sub->spi->request.options, "redis.backlog", &max);
        sub->backlog_max = (uint64_t)max + 1;
    }
    bool fits = sub->backlog.len - sub->backlog_at + need < sub->backlog_max;
    if (!fits || pubsub__buf_reserve(&sub->backlog, need) != PUBSUB__BUF_OK) {
        if (sub->dropped++ == 0) { /* once for each episode */
            pubsub_sink_gap(sub->self->sink, sub->spi, &gap);
        }
        return;
    }
    (void)pubsub__buf_add(&sub->backlog, &head, sizeof(head));
    (void)pubsub__buf_add(&sub->backlog, topic.data, topic.len);
    (void)pubsub__buf_add(&sub->backlog, payload.data, payload.len);
}

static bool add_now(redis_sub *sub, pubsub_bytes topic, pubsub_bytes payload, uint32_t flags)
{
    size_t need = topic.len + payload.len + 32;
    if (sub->block != NULL && (sub->room == 0 || pubsub_block_room(sub->block) < need)) {
        hand_over(sub);
    }
    if (sub->block == NULL && !new_block(sub, need)) {
        return false;
    }
    pubsub_spi_message *out = pubsub_block_message(sub->block);
    if (out == NULL) {
        return false;
    }
    out->topic = pubsub_block_copy(sub->block, topic);
    out->payload = pubsub_block_copy(sub->block, payload);
    out->qos = PUBSUB_AT_MOST_ONCE;
    out->flags = flags | PUBSUB_SPI_NO_ACK;
    out->position[0] = out->position[1] = UINT64_MAX;
    sub->got_bytes += need;
    sub->room--;
    return true;
}

static void add_message(redis_sub *sub, pubsub_bytes topic, pubsub_bytes payload, uint32_t flags)
{
    if (sub->early || sub->backlog.len > 0 || !add_now(sub, topic, payload, flags)) {
        backlog_put(sub, topic, payload, flags);
    }
}

/* The message that backlog_put has written at `at`; returns where the next one is. */
static size_t read_kept(const pubsub__buf *from, size_t at, pubsub_bytes *topic,
                        pubsub_bytes *payload, uint32_t *flags)
{
    const char *data = from->data + at;
    kept head;
    memcpy(&head, data, sizeof(head));
    data += sizeof(head);
    *topic = (pubsub_bytes){data, head.topic_len};
    *payload = (pubsub_bytes){data + head.topic_len, head.payload_len};
    *flags = head.flags;
    return at + sizeof(head) + head.topic_len + head.payload_len;
}

void pubsub__redis_pubsub_credit(redis_sub *sub)
{
    pubsub_bytes topic;
    pubsub_bytes payload;
    uint32_t flags = 0;
    if (sub->early) {
        return;
    }
    while (sub->backlog_at < sub->backlog.len) {
        size_t next = read_kept(&sub->backlog, sub->backlog_at, &topic, &payload, &flags);
        if (!add_now(sub, topic, payload, flags)) {
            break;
        }
        sub->backlog_at = next;
    }
    hand_over(sub);
    if (sub->backlog_at == sub->backlog.len) {
        uint64_t max = sub->backlog.max;
        pubsub__buf_fini(&sub->backlog);
        pubsub__buf_init(&sub->backlog, (size_t)max);
        sub->backlog_at = 0;
        if (sub->dropped > 0) {
            pubsub_sink_log(sub->self->sink, PUBSUB_LOG_WARN, "'%s': %" PRIu64 " messages dropped",
                            (const char *)sub->spi->request.patterns[0].data, sub->dropped);
            sub->dropped = 0;
        }
    } else if (sub->backlog_at > sub->backlog.len / 2) {
        pubsub__buf_drop(&sub->backlog, sub->backlog_at);
        sub->backlog_at = 0;
    }
}

/* The first of its patterns that matches; pattern_count when none does. */
static size_t first_match(const redis_sub *sub, pubsub_bytes topic)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    size_t i = 0;
    while (i < request->pattern_count &&
           !pubsub_topic_matches(request->patterns[i].data, request->patterns[i].len, topic.data,
                                 topic.len)) {
        i++;
    }
    return i;
}

/* The server sends a copy for the channel and for each pattern that matches; of several that lead to one
 * subscription only one counts. */
void pubsub__redis_pubsub_message(redis_sub *sub, const redis_channel *channel, pubsub_bytes topic,
                                  pubsub_bytes payload)
{
    size_t count = sub->spi->request.pattern_count;
    if (channel == sub->sync) {
        sub->dropping = false;
        return;
    }
    if (sub->dropping || topic.data == NULL ||
        (channel->glob && pubsub__redis_is_internal(topic))) {
        return;
    }
    if (count > 1) {
        size_t first = first_match(sub, topic);
        if (first == count || sub->channels[first] != channel) {
            return;
        }
    }
    add_message(sub, topic, payload, channel->glob && count == 1 ? PUBSUB_SPI_FILTER : 0);
}

void pubsub__redis_pubsub_idle(redis_sub *sub)
{
    hand_over(sub);
}

/* ---- the stored values ------------------------------------------------------------------------------ */

static void add_value(redis_sub *sub, size_t pattern, pubsub_bytes topic, pubsub_bytes payload)
{
    if (topic.data != NULL && payload.data != NULL && first_match(sub, topic) == pattern) {
        add_message(sub, topic, payload, PUBSUB_SPI_RETAINED);
    }
}

static void give_values(redis_sub *sub, const redis_reply *reply)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    pubsub__buf live = sub->backlog; /* what came meanwhile comes after */
    pubsub_bytes topic;
    pubsub_bytes payload;
    uint32_t flags = 0;
    pubsub__buf_init(&sub->backlog, live.max);
    sub->early = false;
    for (size_t i = 0; i < request->pattern_count; i++) {
        const redis_reply *one = pubsub__redis_at(reply, i);
        if (one == NULL || one->type != REDIS_ARRAY) {
            add_value(sub, i, request->patterns[i], pubsub__redis_bytes(one));
        }
        for (size_t k = 0; k + 1 < pubsub__redis_count(one); k += 2) {
            add_value(sub, i, pubsub__redis_bytes(pubsub__redis_at(one, k)),
                      pubsub__redis_bytes(pubsub__redis_at(one, k + 1)));
        }
    }
    for (size_t at = 0; at < live.len;) {
        at = read_kept(&live, at, &topic, &payload, &flags);
        add_message(sub, topic, payload, flags);
    }
    pubsub__buf_fini(&live);
    hand_over(sub);
}

static void on_values(redis_op *op, const redis_reply *reply)
{
    redis_sub *sub = op->sub;
    pubsub_error err = PUBSUB_ERROR_INIT;
    const redis_reply *bad = reply;
    if (sub == NULL) {
        return;
    }
    for (size_t i = 0; i < pubsub__redis_count(reply); i++) {
        const redis_reply *one = pubsub__redis_at(reply, i);
        bad = one->type == REDIS_ERROR ? one : bad;
    }
    if (reply == NULL) {
        pubsub__redis_error(reply, &err);
        pubsub__buf_reset(&sub->backlog); /* asked again, so are the values */
        pubsub_sink_lost(op->self->sink, sub->spi, &err);
    } else if (pubsub__redis_error(bad, &err) != PUBSUB_OK) {
        pubsub__redis_refuse(sub, &err);
    } else {
        give_values(sub, reply);
        answer(sub);
    }
}

static void ask_values(redis_sub *sub)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    redis_conn *conn = pubsub__redis_main(sub->self);
    redis_op *op = conn == NULL ? NULL : pubsub__redis_op_new(sub->self, sub, on_values);
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (op == NULL) {
        pubsub_error_set(&err, PUBSUB_ELOST,
                         "the connection was lost before the stored values came");
        pubsub_sink_lost(sub->self->sink, sub->spi, &err);
        return;
    }
    sub->dropping = sub->early = true;
    bool ok = pubsub__redis_conn_say(conn, NULL, NULL, "MULTI", NULL);
    for (size_t i = 0; ok && i < request->pattern_count; i++) {
        bool literal =
            pubsub_pattern_is_literal(request->patterns[i].data, request->patterns[i].len);
        pubsub_bytes words[3] = {pubsub_bytes_of(literal ? "HGET" : "HGETALL"),
                                 pubsub_bytes_of(REDIS_KEY_RETAINED), request->patterns[i]};
        ok = pubsub__redis_conn_command(conn, NULL, NULL, words, literal ? 3 : 2);
    }
    ok = ok && pubsub__redis_conn_say(conn, NULL, NULL, "PUBLISH", sub->sync->name, "", NULL) &&
         pubsub__redis_conn_say(conn, pubsub__redis_on_op, op, "EXEC", NULL);
    if (!ok) {
        pubsub__redis_op_free(op);
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to ask for the stored values");
        pubsub__redis_refuse(sub, &err);
    }
    pubsub__redis_conn_flush(conn);
}

void pubsub__redis_pubsub_confirmed(redis_sub *sub, const pubsub_error *err)
{
    if (sub->answered || sub->channels == NULL) {
        return;
    }
    if (err != NULL) {
        pubsub__redis_refuse(sub, err);
        return;
    }
    for (size_t i = 0; i < sub->spi->request.pattern_count; i++) {
        if (sub->channels[i] == NULL || !sub->channels[i]->confirmed) {
            return;
        }
    }
    if (sub->sync != NULL && !sub->ever) {
        if (sub->sync->confirmed) {
            ask_values(sub);
        }
        return;
    }
    sub->dropping = sub->early = false;
    answer(sub);
}
