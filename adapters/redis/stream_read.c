/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Reading: one blocking read at a time, never more than there is credit for (with patterns, one message of
 * each stream at least, because COUNT is for each). */

enum { BLOCK_BYTES = 128 * 1024, COUNT_MAX = 1000, BLOCK_MS = 5000, BLOCK_WILD_MS = 500 };

/* ---- entries become messages ---------------------------------------------------------------------------- */

static void fill(redis_sub *sub, pubsub_spi_message *out, uint32_t topic, const uint64_t id[2],
                 uint32_t attempt, uint32_t flags)
{
    bool qos0 = sub->spi->request.qos == PUBSUB_AT_MOST_ONCE && sub->group == NULL;
    out->qos = sub->spi->request.qos;
    out->timestamp_ns = id[0] * UINT64_C(1000000);
    out->position[0] = id[0];
    out->position[1] = id[1];
    out->attempt = attempt;
    out->token = (uint64_t)attempt << 32 | topic;
    out->flags |=
        flags | (qos0 ? PUBSUB_SPI_NO_ACK : 0u) | (attempt > 1 ? PUBSUB_SPI_REDELIVERED : 0u);
}

/* How many entries from `at` on go into one block, and its size. */
static size_t measure(const redis_topic *topic, const redis_reply *entries, size_t at,
                      size_t *bytes)
{
    size_t count = 0;
    *bytes = 0;
    while (at + count < pubsub__redis_count(entries) && count < PUBSUB_BLOCK_MESSAGES) {
        const redis_reply *entry = pubsub__redis_at(entries, at + count);
        size_t need = pubsub__redis_fields_need(pubsub__redis_at(entry, 1), topic->len);
        if (count > 0 && *bytes + need > BLOCK_BYTES) {
            break;
        }
        *bytes += need;
        count++;
    }
    return count;
}

static bool is_cleared(const redis_reply *fields, uint32_t flags)
{
    pubsub_bytes payload = pubsub__redis_bytes(pubsub__redis_at(fields, 1));
    return (flags & PUBSUB_SPI_RETAINED) != 0 && payload.len == 0;
}

static void give_block(redis_sub *sub, uint32_t index, const redis_reply *entries, size_t at,
                       size_t count, size_t bytes, const uint32_t *attempts, uint32_t flags)
{
    redis_topic *topic = &sub->topics[index];
    pubsub_block *block = pubsub_sink_block(sub->self->sink, count, bytes);
    bool is_new = attempts == NULL && (flags & PUBSUB_SPI_RETAINED) == 0;
    if (block == NULL) {
        pubsub__redis_stream_gap(sub, "no memory for messages", count);
    }
    for (size_t i = 0; i < count; i++) {
        const redis_reply *entry = pubsub__redis_at(entries, at + i);
        const redis_reply *fields = pubsub__redis_at(entry, 1);
        pubsub_bytes text = pubsub__redis_bytes(pubsub__redis_at(entry, 0));
        uint64_t id[2] = {0, 0};
        if (text.data == NULL || !pubsub__redis_id_parse(text.data, text.len, id)) {
            continue;
        }
        if (is_new) {
            topic->last[0] = id[0];
            topic->last[1] = id[1];
            topic->added++;
            topic->exists = true;
        }
        if (block == NULL || fields == NULL || fields->type != REDIS_ARRAY ||
            is_cleared(fields, flags)) {
            continue;
        }
        pubsub_spi_message *out = pubsub_block_message(block);
        if (out != NULL) {
            pubsub__redis_fields_get(fields, pubsub__redis_topic_key(topic), block, out);
            fill(sub, out, index, id, attempts == NULL ? 1 : attempts[at + i], flags);
            sub->open++;
        }
    }
    size_t size = bytes / (count > 0 ? count : 1);
    sub->average = size > sub->average ? size : (3 * sub->average + size) / 4 + 1;
    pubsub_sink_messages(sub->self->sink, sub->spi, block);
}

/* A read brought more bytes than there is credit for. A plain reader reads them again later; in a group they
 * are pending for us by now, and are fetched from there. */
static bool is_surplus(redis_sub *sub, uint32_t topic, const redis_reply *entries, size_t at,
                       size_t bytes)
{
    uint32_t messages = 0;
    uint64_t credit = 0;
    bool some = pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &credit);
    if (at == 0 || sub->wild || sub->topic_count > 1 || (some && bytes <= credit)) {
        return false;
    }
    if (sub->group != NULL) {
        pubsub_bytes last =
            pubsub__redis_bytes(pubsub__redis_at(pubsub__redis_at(entries, at - 1), 0));
        sub->surplus = true;
        sub->recover_topic = topic;
        (void)pubsub__redis_id_parse(last.data, last.len, sub->recover_at);
    }
    return true;
}

void pubsub__redis_stream_give(redis_sub *sub, uint32_t topic, const redis_reply *entries,
                               const uint32_t *attempts, uint32_t flags)
{
    size_t total = pubsub__redis_count(entries);
    bool read = attempts == NULL && flags == 0;
    for (size_t at = 0; at < total;) {
        size_t bytes = 0;
        uint32_t messages = 0;
        uint64_t credit = 0;
        size_t count = measure(&sub->topics[topic], entries, at, &bytes);
        if (read && pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &credit)) {
            while (count > 1 && bytes > credit) { /* as far as it goes */
                count--;
                bytes -= pubsub__redis_fields_need(
                    pubsub__redis_at(pubsub__redis_at(entries, at + count), 1),
                    sub->topics[topic].len);
            }
        }
        if (read && is_surplus(sub, topic, entries, at, bytes)) {
            return;
        }
        give_block(sub, topic, entries, at, count, bytes, attempts, flags);
        at += count;
    }
}

/* ---- reading -------------------------------------------------------------------------------------------- */

static void on_read(void *ctx, const redis_reply *reply, bool sent)
{
    redis_sub *sub = ctx;
    pubsub_error err = PUBSUB_ERROR_INIT;
    size_t guess = 0;
    (void)sent;
    sub->reading = false;
    if (reply == NULL || sub->stage != REDIS_STAGE_READING) {
        return;
    }
    if (pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        pubsub__redis_stream_again(sub, &err);
        return;
    }
    for (size_t i = 0; i < pubsub__redis_count(reply); i++) {
        const redis_reply *stream = pubsub__redis_at(reply, i);
        pubsub_bytes key = pubsub__redis_bytes(pubsub__redis_at(stream, 0));
        const redis_reply *entries = pubsub__redis_at(stream, 1);
        size_t index =
            key.data == NULL ? SIZE_MAX : pubsub__redis_topic_find(sub, key.data, key.len, guess);
        if (index != SIZE_MAX) {
            sub->topics[index].behind =
                sub->topics[index].behind || pubsub__redis_count(entries) > 1;
            pubsub__redis_stream_give(sub, (uint32_t)index, entries, NULL, 0);
            guess = index + 1;
        }
    }
    pubsub__redis_stream_read(sub);
}

static size_t ready_count(const redis_sub *sub)
{
    size_t count = 0;
    for (size_t i = 0; i < sub->topic_count; i++) {
        count += sub->topics[i].ready ? 1 : 0;
    }
    return count;
}

static bool put_read(redis_sub *sub, pubsub__buf *out, size_t streams, size_t count, unsigned block)
{
    bool grouped = sub->group != NULL;
    char id[REDIS_ID_TEXT];
    bool ok = pubsub__redis_put_array(out, (grouped ? 4u : 1u) + 5u + 2 * streams) &&
              pubsub__redis_put_text(out, grouped ? "XREADGROUP" : "XREAD");
    if (grouped) {
        ok = ok && pubsub__redis_put_text(out, "GROUP") &&
             pubsub__redis_put_text(out, sub->group) && pubsub__redis_put_text(out, sub->consumer);
    }
    ok = ok && pubsub__redis_put_text(out, "COUNT") && pubsub__redis_put_u64(out, count) &&
         pubsub__redis_put_text(out, "BLOCK") && pubsub__redis_put_u64(out, block) &&
         pubsub__redis_put_text(out, "STREAMS");
    for (size_t i = 0; ok && i < sub->topic_count; i++) {
        if (sub->topics[i].ready) {
            ok = pubsub__redis_put(out, sub->topics[i].name, sub->topics[i].len);
        }
    }
    for (size_t i = 0; ok && i < sub->topic_count; i++) {
        if (sub->topics[i].ready && grouped) {
            ok = pubsub__redis_put(out, ">", 1);
        } else if (sub->topics[i].ready) {
            size_t len = pubsub__redis_id_text(sub->topics[i].last, id);
            ok = pubsub__redis_put(out, id, len);
        }
    }
    return ok;
}

void pubsub__redis_stream_read(redis_sub *sub)
{
    redis_conn *conn = sub->link == NULL ? NULL : sub->link->conn;
    uint32_t messages = 0;
    uint64_t bytes = 0;
    size_t streams = ready_count(sub);
    unsigned block = sub->wild ? BLOCK_WILD_MS : BLOCK_MS;
    if (sub->stage != REDIS_STAGE_READING || sub->reading || streams == 0 ||
        !pubsub__redis_conn_is_up(conn) ||
        !pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &bytes)) {
        return;
    }
    uint64_t by_size = bytes / sub->average + 1;
    size_t count = by_size < messages ? (size_t)by_size : messages;
    if (pubsub__redis_stream_recover(sub, (uint32_t)count)) {
        return;
    }
    count = count < streams ? 1 : count / streams > COUNT_MAX ? COUNT_MAX : count / streams;
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = put_read(sub, out, streams, count, block);
    sub->reading = pubsub__redis_conn_done(conn, ok, on_read, sub);
    if (!sub->reading) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to read");
        pubsub__redis_refuse(sub, &err);
        return;
    }
    pubsub__redis_conn_patience(conn, block);
    pubsub__redis_conn_flush(conn);
}
