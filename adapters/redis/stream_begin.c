/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The stages of a subscription of streams between the announcements and the first read. */

static redis_conn *reader(const redis_sub *sub)
{
    return sub->link->conn;
}

/* Every command here belongs to a stage; without memory the subscription is over. */
static void sent(redis_sub *sub, bool ok)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (!ok) {
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to subscribe");
        pubsub__redis_refuse(sub, &err);
    }
}

/* True when it was an error: the subscription is refused. One that was there before waits for what may pass
 * by itself, such as a server that is full. */
static bool is_refused(redis_sub *sub, const redis_reply *reply)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__redis_error(reply, &err) == PUBSUB_OK) {
        return false;
    }
    if (reply == &pubsub__redis_replica) {
        return true; /* its link is about to go to another host */
    }
    if (reply != NULL && sub->ever) { /* without a reply its link tells */
        pubsub__redis_stream_again(sub, &err);
    } else if (reply != NULL) {
        pubsub__redis_refuse(sub, &err);
    }
    return true;
}

/* ---- topics ------------------------------------------------------------------------------------------- */

redis_topic *pubsub__redis_topic_add(redis_sub *sub, const char *name, size_t len)
{
    if (sub->topic_count == sub->topic_cap) {
        size_t cap = sub->topic_cap == 0 ? 1 : sub->topic_cap * 2;
        redis_topic *topics = pubsub__realloc(sub->topics, cap * sizeof(*topics));
        if (topics == NULL) {
            return NULL;
        }
        sub->topics = topics;
        sub->topic_cap = cap;
    }
    redis_topic *topic = &sub->topics[sub->topic_count];
    memset(topic, 0, sizeof(*topic));
    topic->name = pubsub__strndup(name, len);
    topic->len = len;
    if (topic->name == NULL) {
        return NULL;
    }
    sub->topic_count++;
    return topic;
}

size_t pubsub__redis_topic_find(const redis_sub *sub, const char *name, size_t len, size_t guess)
{
    for (size_t n = 0; n < sub->topic_count; n++) {
        size_t i = (guess + n) % sub->topic_count;
        if (sub->topics[i].len == len && memcmp(sub->topics[i].name, name, len) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

pubsub_bytes pubsub__redis_topic_key(const redis_topic *topic)
{
    return (pubsub_bytes){topic->name, topic->len};
}

bool pubsub__redis_stream_wants(const redis_sub *sub, pubsub_bytes topic)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    for (size_t i = 0; i < request->pattern_count; i++) {
        if (pubsub_topic_matches(request->patterns[i].data, request->patterns[i].len, topic.data,
                                 topic.len)) {
            return true;
        }
    }
    return false;
}

/* ---- the end of it ------------------------------------------------------------------------------------- */

static void answer(redis_sub *sub)
{
    pubsub_spi_subscribed granted = {sub->resumed, sub->spi->request.qos,
                                     sub->has_gap ? &sub->gap : NULL, 0};
    bool recover = (sub->lock != NULL && (sub->resumed || sub->ever)) ||
                   (sub->group != NULL && sub->former != NULL);
    sub->answered = sub->ever = sub->used = true;
    sub->stage = REDIS_STAGE_READING;
    sub->renewed_ns = pubsub__clock_mono_ns();
    sub->tick_ns = 0;
    for (size_t i = 0; i < sub->topic_count; i++) {
        sub->topics[i].ready = true;
    }
    pubsub_sink_subscribed(sub->self->sink, sub->spi, &granted, NULL);
    sub->has_gap = false; /* only now: a beginning that was cut off has told nobody */
    sub->recover_topic = recover ? 0 : SIZE_MAX;
    sub->recover_at[0] = sub->recover_at[1] = 0;
    sub->recovering = sub->surplus = false;
    pubsub__redis_stream_check(sub, true);
    pubsub__redis_stream_timer_set(sub);
    pubsub__redis_stream_read(sub);
}

static void begin_next(redis_sub *sub);

static void one_begun(redis_sub *sub)
{
    sub->begun++;
    if (sub->begun == sub->begin_at && sub->begin_at == sub->topic_count) {
        answer(sub);
    } else {
        begin_next(sub); /* also what was announced meanwhile */
    }
}

/* ---- where a plain reader begins ------------------------------------------------------------------------ */

static void set_start(redis_topic *topic, const redis_reply *info, const pubsub_from *from)
{
    uint64_t last[2] = {0, 0};
    uint64_t added = (uint64_t)pubsub__redis_int(pubsub__redis_find(info, "entries-added"), -1);
    uint64_t length = (uint64_t)pubsub__redis_int(pubsub__redis_find(info, "length"), 0);
    pubsub_bytes id = pubsub__redis_bytes(pubsub__redis_find(info, "last-generated-id"));
    topic->exists = pubsub__redis_count(info) > 0;
    topic->counted = !topic->exists || added != UINT64_MAX;
    topic->added = topic->exists && topic->counted ? added - length : 0;
    if (id.data != NULL) {
        (void)pubsub__redis_id_parse(id.data, id.len, last);
    }
    if (topic->late || from->kind == PUBSUB_FROM_EARLIEST) {
        topic->last[0] = topic->last[1] = 0;
    } else if (from->kind == PUBSUB_FROM_TIME) {
        uint64_t ms = (from->time_ns + 999999) / 1000000;
        topic->last[0] = ms > 0 ? ms - 1 : 0;
        topic->last[1] = ms > 0 ? UINT64_MAX : 0;
        topic->counted = false;
    } else if (from->kind == PUBSUB_FROM_POSITION) {
        topic->last[0] = from->position.word[0];
        topic->last[1] = from->position.word[1];
        topic->counted = false;
    } else {
        topic->last[0] = last[0];
        topic->last[1] = last[1];
        topic->added = topic->exists && topic->counted ? added : 0;
    }
}

static void on_start(void *ctx, const redis_reply *reply, bool was_sent)
{
    redis_sub *sub = ctx;
    redis_topic *topic = &sub->topics[sub->begun];
    (void)was_sent;
    const redis_reply *info = sub->retained ? pubsub__redis_at(reply, 0) : reply;
    const redis_reply *value = sub->retained ? pubsub__redis_at(reply, 1) : NULL;
    bool missing = info != NULL && info->type == REDIS_ERROR && info->len >= 15 &&
                   memcmp(info->as.text, "ERR no such key", 15) == 0;
    if (reply == NULL || (!missing && is_refused(sub, info != NULL ? info : reply))) {
        return;
    }
    if (!sub->ever) {
        set_start(topic, missing ? NULL : info, &sub->spi->request.from);
    }
    if (pubsub__redis_count(value) > 0 && !topic->late && !sub->ever) {
        pubsub__redis_stream_give(sub, (uint32_t)sub->begun, value, NULL, PUBSUB_SPI_RETAINED);
    }
    one_begun(sub);
}

static bool begin_plain(redis_sub *sub, const redis_topic *topic)
{
    char last[sizeof(REDIS_KEY_LAST) + 1 + PUBSUB_TOPIC_MAX + 1];
    redis_conn *conn = reader(sub);
    pubsub_bytes info[3] = {pubsub_bytes_of("XINFO"), pubsub_bytes_of("STREAM"),
                            pubsub__redis_topic_key(topic)};
    if (!sub->retained) {
        return pubsub__redis_conn_command(conn, on_start, sub, info, 3);
    }
    /* Both at one moment: then no message is between the last value and the first one that is read. */
    (void)snprintf(last, sizeof(last), REDIS_KEY_LAST ":%s", topic->name);
    return pubsub__redis_conn_say(conn, NULL, NULL, "MULTI", NULL) &&
           pubsub__redis_conn_command(conn, NULL, NULL, info, 3) &&
           pubsub__redis_conn_say(conn, NULL, NULL, "XREVRANGE", last, "+", "-", "COUNT", "1",
                                  NULL) &&
           pubsub__redis_conn_say(conn, on_start, sub, "EXEC", NULL);
}

/* ---- making a group ---------------------------------------------------------------------------------- */

/* A new group is told how many entries were before it, so that the server counts what it has read: that is
 * how trimming is noticed. Servers before version 7 cannot. Members that are gone and have left nothing are
 * removed on the occasion. */
static const char create_script[] =
    "local k, g, from = KEYS[1], ARGV[1], ARGV[2]\n"
    "local ok, all = pcall(redis.call, 'XINFO', 'CONSUMERS', k, g)\n"
    "if not ok or all.err then all = {} end\n"
    "for _, c in ipairs(all) do\n"
    "  if c[4] == 0 and c[6] > tonumber(ARGV[3]) then\n"
    "    redis.pcall('XGROUP', 'DELCONSUMER', k, g, c[2])\n"
    "  end\n"
    "end\n"
    "local info, i = redis.pcall('XINFO', 'STREAM', k), {}\n"
    "for n = 1, #info, 2 do i[info[n]] = info[n + 1] end\n"
    "local added, len = i['entries-added'] or (info.err and 0), i['length'] or 0\n"
    "local read = (from == '$' and added) or (from == '0-0' and added and added - len)\n"
    "if read then\n"
    "  local r = redis.pcall('XGROUP', 'CREATE', k, g, from, 'MKSTREAM', 'ENTRIESREAD', read)\n"
    "  if not r.err or string.sub(r.err, 1, 9) == 'BUSYGROUP' then return r end\n"
    "end\n"
    "return redis.pcall('XGROUP', 'CREATE', k, g, from, 'MKSTREAM')\n";

static bool create(redis_sub *sub, redis_conn *conn, const redis_topic *topic, const char *start,
                   redis_reply_fn fn, void *ctx)
{
    char idle[24];
    (void)snprintf(idle, sizeof(idle), "%" PRId64, 4 * sub->self->lease + 10000);
    pubsub_bytes words[7] = {pubsub_bytes_of("EVAL"),     pubsub_bytes_of(create_script),
                             pubsub_bytes_of("1"),        pubsub__redis_topic_key(topic),
                             pubsub_bytes_of(sub->group), pubsub_bytes_of(start),
                             pubsub_bytes_of(idle)};
    return pubsub__redis_conn_command(conn, fn, ctx, words, 7);
}

/* ---- where a group begins -------------------------------------------------------------------------------- */

static void start_text(const redis_sub *sub, const redis_topic *topic, char *text)
{
    const pubsub_from *from = &sub->spi->request.from;
    redis_topic start = *topic;
    bool fresh = !sub->resumed || (sub->spi->request.reset && !sub->ever);
    if (!sub->ever && fresh && !topic->late && from->kind == PUBSUB_FROM_NEW) {
        memcpy(text, "$", 2);
        return;
    }
    if (!sub->ever && (!fresh || from->kind == PUBSUB_FROM_NEW)) {
        start.last[0] = start.last[1] = 0; /* it appeared while nobody was there */
    } else if (!sub->ever) {
        set_start(&start, NULL, from);
    }
    (void)pubsub__redis_id_text(start.last, text);
}

static void on_group(void *ctx, const redis_reply *reply, bool was_sent)
{
    redis_sub *sub = ctx;
    redis_topic *topic = &sub->topics[sub->begun];
    bool there = reply != NULL && reply->type == REDIS_ERROR && reply->len >= 9 &&
                 memcmp(reply->as.text, "BUSYGROUP", 9) == 0;
    (void)was_sent;
    if (reply == NULL || (!there && is_refused(sub, reply))) {
        return;
    }
    if (there && !sub->wild) {
        sub->resumed = sub->resumed || !sub->spi->request.reset || sub->ever;
    } else if (!there && sub->ever && topic->ready) {
        pubsub__redis_stream_gap(sub, "the stream or its group was deleted", 0);
    } else if (!there && !sub->wild) {
        sub->resumed = false;
    }
    topic->fresh = !there && !topic->ready;
    topic->exists = true;
    one_begun(sub);
}

static bool begin_group(redis_sub *sub, const redis_topic *topic)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    char start[REDIS_ID_TEXT];
    redis_conn *conn = reader(sub);
    bool reset = request->reset && !sub->ever;
    start_text(sub, topic, start);
    pubsub_bytes words[5] = {pubsub_bytes_of("XGROUP"), pubsub_bytes_of("DESTROY"),
                             pubsub__redis_topic_key(topic), pubsub_bytes_of(sub->group),
                             pubsub_bytes_of(start)};
    bool ok = true;
    if (reset && request->group[0] == '\0') {
        ok = pubsub__redis_conn_command(conn, NULL, NULL, words, 4);
    } else if (reset) {
        words[1] = pubsub_bytes_of("SETID");
        ok = pubsub__redis_conn_command(conn, NULL, NULL, words, 5);
    }
    return ok && create(sub, conn, topic, start, on_group, sub);
}

/* All of them in one go. */
static void begin_next(redis_sub *sub)
{
    bool ok = true;
    while (ok && sub->begin_at < sub->topic_count) {
        const redis_topic *topic = &sub->topics[sub->begin_at];
        ok = sub->group != NULL ? begin_group(sub, topic) : begin_plain(sub, topic);
        sub->begin_at += ok ? 1 : 0;
    }
    sent(sub, ok);
    pubsub__redis_conn_flush(reader(sub));
}

static void begin_all(redis_sub *sub)
{
    sub->stage = REDIS_STAGE_BEGIN;
    sub->begin_at = sub->begun = 0;
    if (sub->topic_count == 0) {
        answer(sub);
    } else {
        begin_next(sub);
    }
}

/* ---- the registry of topics -------------------------------------------------------------------------------- */

static void on_list(void *ctx, const redis_reply *reply, bool was_sent)
{
    redis_sub *sub = ctx;
    (void)was_sent;
    if (reply == NULL || is_refused(sub, reply)) {
        return;
    }
    for (size_t i = 0; i < pubsub__redis_count(reply); i++) {
        pubsub_bytes topic = pubsub__redis_bytes(pubsub__redis_at(reply, i));
        if (topic.data == NULL || topic.len == 0 || topic.len > PUBSUB_TOPIC_MAX ||
            !pubsub__redis_stream_wants(sub, topic)) {
            continue;
        }
        size_t at = pubsub__redis_topic_find(sub, topic.data, topic.len, 0);
        if (at != SIZE_MAX) { /* announced a moment ago, and perhaps not new at all */
            sub->topics[at].late = sub->topics[at].late && sub->ever;
            continue;
        }
        redis_topic *added = pubsub__redis_topic_add(sub, topic.data, topic.len);
        if (added == NULL) {
            sent(sub, false);
            return;
        }
        added->late = sub->ever;
    }
    begin_all(sub);
}

void pubsub__redis_stream_list(redis_sub *sub)
{
    sub->stage = REDIS_STAGE_LIST;
    if (!sub->wild) {
        begin_all(sub);
        return;
    }
    sent(sub,
         pubsub__redis_conn_say(reader(sub), on_list, sub, "SMEMBERS", REDIS_KEY_TOPICS, NULL));
    pubsub__redis_conn_flush(reader(sub));
}

static void on_relist(redis_op *op, const redis_reply *reply)
{
    for (size_t i = 0; op->sub != NULL && i < pubsub__redis_count(reply); i++) {
        pubsub__redis_stream_announced(op->sub, pubsub__redis_bytes(pubsub__redis_at(reply, i)));
    }
}

void pubsub__redis_stream_relist(redis_sub *sub)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    redis_op *op = conn == NULL ? NULL : pubsub__redis_op_new(sub->self, sub, on_relist);
    if (op != NULL && !pubsub__redis_conn_say(conn, pubsub__redis_on_op, op, "SMEMBERS",
                                              REDIS_KEY_TOPICS, NULL)) {
        pubsub__redis_op_free(op);
    }
}

/* ---- a topic that appears while it reads -------------------------------------------------------------------- */

/* The read that is blocked does not have it. Without the permission it ends by itself soon. */
static void unblock(redis_sub *sub)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    char id[24];
    uint64_t number = pubsub__redis_conn_id(reader(sub));
    if (sub->reading && conn != NULL && number != 0) {
        (void)snprintf(id, sizeof(id), "%" PRIu64, number);
        (void)pubsub__redis_conn_say(conn, NULL, NULL, "CLIENT", "UNBLOCK", id, NULL);
    } else {
        pubsub__redis_stream_read(sub);
    }
}

static void on_late(redis_op *op, const redis_reply *reply)
{
    redis_sub *sub = op->sub;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (sub == NULL || reply == NULL) {
        return;
    }
    bool there = reply->type == REDIS_ERROR && reply->len >= 9 &&
                 memcmp(reply->as.text, "BUSYGROUP", 9) == 0;
    redis_topic *topic = &sub->topics[op->topic];
    if (!there && pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        if (!topic->told) { /* once; the timer tries again */
            pubsub_sink_error(sub->self->sink, sub->spi, &err);
        }
        topic->told = true;
        return;
    }
    topic->told = false;
    if (!topic->ready) {
        topic->ready = topic->exists = true;
        unblock(sub);
    }
}

void pubsub__redis_topic_late(redis_sub *sub, uint32_t index)
{
    redis_topic *topic = &sub->topics[index];
    redis_conn *conn = pubsub__redis_main(sub->self);
    if (sub->group == NULL) {
        topic->ready = topic->exists = topic->counted = true;
        unblock(sub);
        return;
    }
    redis_op *op = conn == NULL ? NULL : pubsub__redis_op_new(sub->self, sub, on_late);
    if (op == NULL) {
        return;
    }
    op->topic = index;
    if (!create(sub, conn, topic, "0-0", pubsub__redis_on_op, op)) {
        pubsub__redis_op_free(op);
    }
}

/* ---- what is known of its group -------------------------------------------------------------------------------- */

static int compare(const pubsub_bytes *a, const pubsub_bytes *b)
{
    size_t len = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->data, b->data, len);
    return order != 0 ? order : a->len < b->len ? -1 : a->len > b->len ? 1 : 0;
}

/* All patterns in one order, each before a NUL, which no topic can have. */
static bool put_patterns(pubsub__buf *out, const pubsub_subscribe_request *request)
{
    const pubsub_bytes *last = NULL;
    for (;;) {
        const pubsub_bytes *least = NULL;
        for (size_t i = 0; i < request->pattern_count; i++) {
            const pubsub_bytes *one = &request->patterns[i];
            if ((last == NULL || compare(one, last) > 0) &&
                (least == NULL || compare(one, least) < 0)) {
                least = one;
            }
        }
        if (least == NULL) {
            return true;
        }
        if (pubsub__buf_add(out, least->data, least->len) != PUBSUB__BUF_OK ||
            pubsub__buf_add_byte(out, '\0') != PUBSUB__BUF_OK) {
            return false;
        }
        last = least;
    }
}

static void on_meta(void *ctx, const redis_reply *reply, bool was_sent)
{
    redis_sub *sub = ctx;
    pubsub__buf mine;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)was_sent;
    if (reply == NULL || sub->stage != REDIS_STAGE_GROUP || is_refused(sub, reply)) {
        return;
    }
    pubsub__buf_init(&mine, SIZE_MAX / 4);
    bool ok = put_patterns(&mine, &sub->spi->request);
    pubsub_bytes theirs = pubsub__redis_bytes(pubsub__redis_find(reply, "patterns"));
    bool same = ok && theirs.len == mine.len && memcmp(theirs.data, mine.data, mine.len) == 0;
    pubsub__buf_fini(&mine);
    if (!same) {
        pubsub_error_set(&err, PUBSUB_EINVAL,
                         "the members of '%.80s' have other patterns than this; another name, or "
                         "unsubscribe with FORGET, or DEL %.80s",
                         sub->group, sub->meta);
        pubsub__redis_refuse(sub, &err);
        return;
    }
    pubsub__redis_stream_list(sub);
}

static void on_first(void *ctx, const redis_reply *reply, bool was_sent)
{
    redis_sub *sub = ctx;
    (void)was_sent;
    if (reply != NULL && is_refused(sub, reply)) {
        sub->stage = REDIS_STAGE_IDLE;
    }
    sub->resumed = sub->resumed || (sub->wild && pubsub__redis_int(reply, 1) == 0);
}

static void ask_meta(redis_sub *sub)
{
    redis_conn *conn = reader(sub);
    pubsub__buf mine;
    bool durable = sub->spi->request.durable[0] != '\0';
    char life[24];
    pubsub__buf_init(&mine, SIZE_MAX / 4);
    bool ok = put_patterns(&mine, &sub->spi->request);
    pubsub_bytes words[4] = {pubsub_bytes_of("HSETNX"),
                             pubsub_bytes_of(sub->meta),
                             pubsub_bytes_of("patterns"),
                             {mine.data, mine.len}};
    (void)snprintf(life, sizeof(life), "%" PRId64, 4 * sub->self->lease + 10000);
    sub->stage = REDIS_STAGE_GROUP;
    ok = ok && pubsub__redis_conn_command(conn, on_first, sub, words, 4) &&
         (durable || pubsub__redis_conn_say(conn, NULL, NULL, "PEXPIRE", sub->meta, life, NULL)) &&
         pubsub__redis_conn_say(conn, on_meta, sub, "HGETALL", sub->meta, NULL);
    pubsub__buf_fini(&mine);
    sent(sub, ok);
    pubsub__redis_conn_flush(conn);
}

/* ---- the lock of a durable name -------------------------------------------------------------------------------- */

/* {1} = it is ours; {0, ms} = somebody else has it for so long unless he renews it. */
static const char hold_script[] = "local v = redis.call('GET', KEYS[1])\n"
                                  "if not v or v == ARGV[1] then\n"
                                  "  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])\n"
                                  "  return {1, 0}\n"
                                  "end\n"
                                  "return {0, redis.call('PTTL', KEYS[1])}\n";

static void on_hold(void *ctx, const redis_reply *reply, bool was_sent)
{
    redis_sub *sub = ctx;
    pubsub_error err = PUBSUB_ERROR_INIT;
    (void)was_sent;
    if (reply == NULL || is_refused(sub, reply)) {
        return;
    }
    int64_t ttl = pubsub__redis_int(pubsub__redis_at(reply, 1), 0);
    if (pubsub__redis_int(pubsub__redis_at(reply, 0), 0) == 1) {
        ask_meta(sub);
    } else if (sub->lock_ttl >= 0 && ttl > sub->lock_ttl) { /* he lives */
        pubsub_error_set(&err, PUBSUB_EBUSY,
                         "the durable name '%.80s' is in use by another subscription", sub->group);
        pubsub__redis_refuse(sub, &err);
    } else {
        sub->lock_ttl = ttl > 0 ? ttl : 0;
        pubsub_timer_start(sub->timer, 100);
    }
}

void pubsub__redis_stream_hold(redis_sub *sub)
{
    char ms[24];
    sub->stage = REDIS_STAGE_HOLD;
    if (sub->lock == NULL) {
        ask_meta(sub);
        return;
    }
    (void)snprintf(ms, sizeof(ms), "%lld", (long long)sub->self->lease);
    sent(sub, pubsub__redis_conn_say(reader(sub), on_hold, sub, "EVAL", hold_script, "1", sub->lock,
                                     sub->token, ms, NULL));
    pubsub__redis_conn_flush(reader(sub));
}
