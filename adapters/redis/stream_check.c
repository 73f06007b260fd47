/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A server that trims or loses a stream tells no reader. It counts though: how many entries a stream ever had,
 * how many it has, and how many a group has read. What was removed and never read is a gap. Servers before
 * version 7 do not count; there only a stream that begins behind our position is noticed. */

enum { CHECK_TOPICS = 64 };

void pubsub__redis_stream_gap(redis_sub *sub, const char *reason, uint64_t missed)
{
    pubsub_gap gap = {reason, PUBSUB_POSITION_NONE, PUBSUB_POSITION_NONE, missed};
    if (sub->answered) {
        pubsub_sink_gap(sub->self->sink, sub->spi, &gap);
    } else { /* goes with the answer */
        sub->gap = gap;
        sub->has_gap = true;
    }
}

typedef struct snapshot {
    bool exists, counts;
    uint64_t added, length;
    uint64_t first[2], last[2]; /* of the stream */
    bool has_first;
} snapshot;

static void read_info(const redis_reply *info, snapshot *out)
{
    const redis_reply *first = pubsub__redis_find(info, "first-entry");
    int64_t added = pubsub__redis_int(pubsub__redis_find(info, "entries-added"), -1);
    pubsub_bytes id = pubsub__redis_bytes(pubsub__redis_at(first, 0));
    pubsub_bytes last = pubsub__redis_bytes(pubsub__redis_find(info, "last-generated-id"));
    memset(out, 0, sizeof(*out));
    out->exists = pubsub__redis_count(info) > 0;
    out->counts = added >= 0;
    out->added = (uint64_t)(added < 0 ? 0 : added);
    out->length = (uint64_t)pubsub__redis_int(pubsub__redis_find(info, "length"), 0);
    out->has_first = id.data != NULL && pubsub__redis_id_parse(id.data, id.len, out->first);
    if (last.data != NULL) {
        (void)pubsub__redis_id_parse(last.data, last.len, out->last);
    }
}

/* How many entries up to the reader's position and behind were never read: `read` were, the last of them at
 * `position`. UINT64_MAX: it cannot be told now. */
static uint64_t lost(const snapshot *now, uint64_t read, const uint64_t position[2])
{
    uint64_t removed = now->added - now->length;
    if (!now->has_first || pubsub__redis_id_compare(now->first, position) > 0) {
        return removed > read ? removed - read : 0;
    }
    if (pubsub__redis_id_compare(now->last, position) == 0) {
        return now->added > read ? now->added - read : 0;
    }
    return UINT64_MAX;
}

static const char *const trimmed = "the stream was trimmed before this was read";
static const char *const deleted = "the stream was deleted";

/* op->position and op->read hold what was read when the question was asked, so the server had that much. Of
 * what is removed by now more may have been read since, or told by an answer before this one. */
static void judge_plain(redis_op *op, redis_topic *topic, const snapshot *now)
{
    redis_sub *sub = op->sub;
    if (!now->exists || (now->counts && topic->counted && now->added < op->read)) {
        if (!op->existed || !topic->exists || topic->added < op->read) {
            return; /* it is only about to be made, or this was told */
        }
        pubsub__redis_stream_gap(sub, deleted, 0);
        topic->exists = now->exists;
        topic->added = 0;
        topic->counted = !now->exists;
        return;
    }
    topic->exists = true;
    bool same = pubsub__redis_id_compare(topic->last, op->position) == 0;
    if (!now->counts || !topic->counted) {
        if (now->counts && same && pubsub__redis_id_compare(now->last, topic->last) == 0) {
            topic->added = now->added;
            topic->counted = true;
        }
        return;
    }
    uint64_t missed = lost(now, topic->added, topic->last);
    if (missed != UINT64_MAX && missed > 0) {
        topic->added += missed;
        pubsub__redis_stream_gap(sub, trimmed, missed);
    }
    topic->behind = topic->behind && pubsub__redis_id_compare(now->last, op->position) > 0;
}

static void on_plain(redis_op *op, const redis_reply *reply)
{
    snapshot now;
    bool missing = reply != NULL && reply->type == REDIS_ERROR && reply->len >= 15 &&
                   memcmp(reply->as.text, "ERR no such key", 15) == 0;
    if (op->sub == NULL || (pubsub__redis_count(reply) == 0 && !missing)) {
        return;
    }
    read_info(missing ? NULL : reply, &now);
    judge_plain(op, &op->sub->topics[op->topic], &now);
}

static void tell_group(redis_sub *sub, redis_topic *topic, uint64_t missed, uint64_t told)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    char name[PUBSUB_TOPIC_MAX + 8];
    char number[24];
    told = told > topic->missed_told ? told : topic->missed_told;
    if (missed == UINT64_MAX || missed <= told) {
        return;
    }
    topic->missed_told = missed;
    (void)snprintf(name, sizeof(name), "told:%s", topic->name);
    (void)snprintf(number, sizeof(number), "%" PRIu64, missed);
    if (conn != NULL) { /* once, also when it begins again */
        (void)pubsub__redis_conn_say(conn, NULL, NULL, "HSET", sub->meta, name, number, NULL);
    }
    if (!topic->fresh) {
        pubsub__redis_stream_gap(sub, trimmed, missed - told);
    }
}

static void on_grouped(redis_op *op, const redis_reply *reply)
{
    redis_sub *sub = op->sub;
    const redis_reply *groups = pubsub__redis_at(reply, 1);
    pubsub_bytes told_text = pubsub__redis_bytes(pubsub__redis_at(reply, 2));
    uint64_t told[2] = {0, 0};
    char id[32];
    snapshot now;
    if (sub == NULL || pubsub__redis_count(reply) < 3 || op->topic >= sub->topic_count) {
        return;
    }
    redis_topic *topic = &sub->topics[op->topic];
    read_info(pubsub__redis_at(reply, 0), &now);
    int len = snprintf(id, sizeof(id), "%.*s-0", (int)(told_text.len < 24 ? told_text.len : 0),
                       told_text.data != NULL ? (const char *)told_text.data : "");
    (void)pubsub__redis_id_parse(id, (size_t)len, told);
    for (size_t i = 0; i < pubsub__redis_count(groups); i++) {
        const redis_reply *one = pubsub__redis_at(groups, i);
        int64_t read = pubsub__redis_int(pubsub__redis_find(one, "entries-read"), -1);
        pubsub_bytes last = pubsub__redis_bytes(pubsub__redis_find(one, "last-delivered-id"));
        uint64_t position[2] = {0, 0};
        if (pubsub__redis_is_text(pubsub__redis_find(one, "name"), sub->group) && read >= 0 &&
            now.counts && last.data != NULL &&
            pubsub__redis_id_parse(last.data, last.len, position)) {
            /* A server that was killed forgets part of this count, so without trimming it proves nothing. */
            uint64_t removed = now.added - now.length;
            uint64_t missed = lost(&now, (uint64_t)read, position);
            tell_group(sub, topic, missed == UINT64_MAX || missed < removed ? missed : removed,
                       told[0]);
            topic->behind = topic->behind && pubsub__redis_id_compare(now.last, position) > 0;
        }
    }
    topic->fresh = false;
}

static bool ask(redis_sub *sub, uint32_t index, redis_conn *conn)
{
    redis_topic *topic = &sub->topics[index];
    bool grouped = sub->group != NULL;
    redis_op *op = pubsub__redis_op_new(sub->self, sub, grouped ? on_grouped : on_plain);
    char told[PUBSUB_TOPIC_MAX + 8];
    pubsub_bytes stream[3] = {pubsub_bytes_of("XINFO"), pubsub_bytes_of("STREAM"),
                              pubsub__redis_topic_key(topic)};
    pubsub_bytes groups[3] = {stream[0], pubsub_bytes_of("GROUPS"), stream[2]};
    if (op == NULL) {
        return false;
    }
    op->topic = index;
    op->read = topic->added;
    op->existed = topic->exists;
    memcpy(op->position, topic->last, sizeof(op->position));
    (void)snprintf(told, sizeof(told), "told:%s", topic->name);
    bool ok = grouped
                  ? pubsub__redis_conn_say(conn, NULL, NULL, "MULTI", NULL) &&
                        pubsub__redis_conn_command(conn, NULL, NULL, stream, 3) &&
                        pubsub__redis_conn_command(conn, NULL, NULL, groups, 3) &&
                        pubsub__redis_conn_say(conn, NULL, NULL, "HGET", sub->meta, told, NULL) &&
                        pubsub__redis_conn_say(conn, pubsub__redis_on_op, op, "EXEC", NULL)
                  : pubsub__redis_conn_command(conn, pubsub__redis_on_op, op, stream, 3);
    if (!ok) {
        pubsub__redis_op_free(op);
    }
    return ok;
}

void pubsub__redis_stream_check(redis_sub *sub, bool all)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    size_t asked = 0;
    for (size_t n = 0; conn != NULL && n < sub->topic_count && asked < CHECK_TOPICS; n++) {
        uint32_t index = (uint32_t)((sub->check_at + n) % sub->topic_count);
        if (sub->topics[index].ready && (all || sub->topics[index].behind)) {
            asked += ask(sub, index, conn) ? 1 : 0;
        }
    }
    sub->check_at += asked;
}
