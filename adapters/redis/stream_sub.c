/* SPDX-License-Identifier: MIT */
#include "redis/adapter.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A subscription of streams goes through stages until it reads: announcements of topics (patterns only), the
 * lock of a durable name, what is known of its group, the list of topics, where each begins. All of it
 * runs on its own connection, before that blocks in reading. */

/* ---- what it is ------------------------------------------------------------------------------------- */

static char *joined(const char *prefix, const char *text)
{
    size_t a = strlen(prefix);
    size_t b = strlen(text);
    char *out = pubsub__alloc(a + b + 1);
    if (out != NULL) {
        memcpy(out, prefix, a);
        memcpy(out + a, text, b + 1);
    }
    return out;
}

static bool init_group(redis_sub *sub)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    bool shared = request->group[0] != '\0';
    const char *name = shared ? request->group : request->durable;
    char random[13];
    char token[64];
    if (name[0] == '\0') {
        return true;
    }
    pubsub__rand_name(random, sizeof(random) - 1);
    (void)snprintf(token, sizeof(token), "%s.%s", sub->self->tag, random);
    sub->group = pubsub__strdup(name);
    sub->meta = joined(REDIS_KEY_GROUP, name);
    sub->token = pubsub__strdup(token);
    sub->lock = shared ? NULL : joined(REDIS_KEY_HOLDER, name);
    return sub->group != NULL && sub->meta != NULL && sub->token != NULL &&
           (shared || sub->lock != NULL);
}

/* A connection that was lost may go on reading at the server for a while. What that read gets has to belong to
 * somebody else, or it would stay pending for us, unseen. */
static bool rename_consumer(redis_sub *sub)
{
    char name[96];
    if (sub->group == NULL || (sub->consumer != NULL && !sub->used)) {
        return true;
    }
    (void)snprintf(name, sizeof(name), "%s.%u", sub->token, ++sub->names);
    char *fresh = pubsub__strdup(name);
    if (fresh != NULL) {
        pubsub__free(sub->former);
        sub->former = sub->consumer;
        sub->consumer = fresh;
        sub->used = false;
    }
    return fresh != NULL;
}

static bool init(redis_sub *sub)
{
    const pubsub_subscribe_request *request = &sub->spi->request;
    sub->retained = request->from.kind == PUBSUB_FROM_LAST;
    sub->lock_ttl = -1;
    sub->average = (size_t)(request->prefetch_bytes / 64) + 1;
    sub->timer = pubsub_timer_new(sub->self->sink, pubsub__redis_stream_on_timer, sub);
    sub->link = pubsub__redis_link_new(sub->self, REDIS_LINK_READER, sub);
    if (sub->timer == NULL || sub->link == NULL || !init_group(sub)) {
        return false;
    }
    for (size_t i = 0; i < request->pattern_count; i++) {
        const char *pattern = request->patterns[i].data;
        size_t len = request->patterns[i].len;
        if (!pubsub_pattern_is_literal(pattern, len)) {
            sub->wild = true;
        } else if (pubsub__redis_topic_find(sub, pattern, len, 0) == SIZE_MAX &&
                   pubsub__redis_topic_add(sub, pattern, len) == NULL) {
            return false;
        }
    }
    return true;
}

/* ---- beginning -------------------------------------------------------------------------------------- */

static void after_hub(redis_sub *sub)
{
    if (sub->lock != NULL || sub->group != NULL) {
        pubsub__redis_stream_hold(sub);
    } else {
        pubsub__redis_stream_list(sub);
    }
}

static bool listen(redis_sub *sub)
{
    redis_self *self = sub->self;
    if (!pubsub__redis_hub_open(self)) {
        return false;
    }
    if (!sub->listening) {
        self->announcements = pubsub__redis_channel_join(self, false, REDIS_KEY_TOPICS,
                                                         strlen(REDIS_KEY_TOPICS), NULL);
        sub->listening = self->announcements != NULL;
    }
    return sub->listening;
}

void pubsub__redis_stream_begin(redis_sub *sub)
{
    redis_self *self = sub->self;
    bool ok = sub->link != NULL || init(sub);
    if (ok) {
        pubsub_sink_bind(self->sink, sub->spi, sub->link->number);
        if (!pubsub__redis_conn_is_up(sub->link->conn)) {
            return; /* called again when it is */
        }
        ok = (!sub->wild || listen(sub)) && rename_consumer(sub);
    }
    if (!ok) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory to subscribe");
        pubsub__redis_refuse(sub, &err);
        return;
    }
    sub->stage = REDIS_STAGE_HUB;
    if (!sub->wild || self->announcements->confirmed) {
        after_hub(sub);
    }
}

void pubsub__redis_stream_hub(redis_sub *sub)
{
    if (sub->stage == REDIS_STAGE_HUB && sub->wild) {
        after_hub(sub);
    } else if (sub->stage == REDIS_STAGE_READING && sub->wild) {
        pubsub__redis_stream_relist(sub); /* announcements may have been missed */
    }
}

void pubsub__redis_stream_announced(redis_sub *sub, pubsub_bytes topic)
{
    bool known = !sub->wild || sub->stage < REDIS_STAGE_LIST || topic.data == NULL ||
                 !pubsub__redis_stream_wants(sub, topic) ||
                 pubsub__redis_topic_find(sub, topic.data, topic.len, 0) != SIZE_MAX;
    redis_topic *added = known ? NULL : pubsub__redis_topic_add(sub, topic.data, topic.len);
    if (added == NULL) {
        return;
    }
    added->late = true;
    if (sub->stage == REDIS_STAGE_READING) {
        pubsub__redis_topic_late(sub, (uint32_t)(added - sub->topics));
    }
}

/* ---- ending ----------------------------------------------------------------------------------------- */

void pubsub__redis_stream_lost(redis_sub *sub)
{
    sub->stage = REDIS_STAGE_IDLE;
    sub->reading = false;
    sub->answered = false;
    sub->again_count = 0;
    sub->recovering = false;
    sub->open = 0;
    sub->lock_ttl = -1;
    if (sub->timer != NULL) {
        pubsub_timer_stop(sub->timer);
    }
    pubsub__redis_ops_leave(sub);
}

void pubsub__redis_stream_again(redis_sub *sub, const pubsub_error *err)
{
    pubsub_error why = *err;
    if (!pubsub_err_is_retryable(why.code)) {
        pubsub__redis_refuse(sub, &why);
        return;
    }
    pubsub__redis_conn_forget(sub->link->conn); /* nothing of this time comes into the next */
    pubsub__redis_stream_lost(sub);
    pubsub_sink_lost(sub->self->sink, sub->spi, &why);
}

/* What a member leaves, under all names it had, goes to the others at once (what nobody has seen, because it was
 * still on its way, without counting the attempt: then no handed out message is open), the group of the last one
 * is deleted unless it is durable, and the lock is opened if it is ours. */
static const char leave_script[] =
    "local g, token, how = ARGV[1], ARGV[2], ARGV[3]\n"
    "for i = 3, #KEYS do\n"
    "  local k, others, empty = KEYS[i], 0, {}\n"
    "  local ok, all = pcall(redis.call, 'XINFO', 'CONSUMERS', k, g)\n"
    "  if not ok or all.err then all = {} else ok = 'there' end\n"
    "  for _, c in ipairs(all) do\n"
    "    if string.sub(c[2], 1, #token) == token then\n"
    "      local mine = redis.call('XPENDING', k, g, '-', '+', 10000, c[2])\n"
    "      for _, p in ipairs(mine) do\n"
    "        local n = p[4]\n"
    "        if ARGV[5] == '1' and p[3] < 80000000 then n = n - 1 end\n"
    "        redis.call('XCLAIM', k, g, c[2], 0, p[1], 'IDLE', 86400000, 'RETRYCOUNT', n, "
    "'JUSTID')\n"
    "      end\n"
    "      if #mine == 0 then empty[#empty + 1] = c[2] end\n"
    "    elseif tonumber(c[6]) < tonumber(ARGV[4]) then\n"
    "      others = others + 1\n"
    "    end\n"
    "  end\n"
    "  if ok == 'there' and (how == '1' or (how == '0' and others == 0)) then\n"
    "    redis.call('XGROUP', 'DESTROY', k, g)\n"
    "    redis.call('DEL', KEYS[1])\n"
    "  else\n"
    "    for _, c in ipairs(empty) do redis.call('XGROUP', 'DELCONSUMER', k, g, c) end\n"
    "  end\n"
    "end\n"
    "if redis.call('GET', KEYS[2]) == token then redis.call('DEL', KEYS[2]) end\n"
    "return 0\n";

static void on_left(redis_op *op, const redis_reply *reply)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (reply != NULL && pubsub__redis_error(reply, &err) != PUBSUB_OK) {
        pubsub_sink_error(op->self->sink, NULL, &err);
    }
    if (reply != NULL) {
        pubsub__redis_ack_done(op->self);
    }
}

static void leave_group(redis_sub *sub, bool forget)
{
    redis_self *self = sub->self;
    redis_conn *conn = pubsub__redis_main(self);
    bool kept = sub->spi->request.durable[0] != '\0';
    char idle[24];
    redis_op *op = conn == NULL ? NULL : pubsub__redis_op_new(self, NULL, on_left);
    if (op == NULL) {
        return;
    }
    (void)snprintf(idle, sizeof(idle), "%" PRId64, 4 * self->lease + 10000);
    pubsub__buf *out = pubsub__redis_conn_begin(conn);
    bool ok = pubsub__redis_put_array(out, 3 + 2 + sub->topic_count + 5) &&
              pubsub__redis_put_text(out, "EVAL") && pubsub__redis_put_text(out, leave_script) &&
              pubsub__redis_put_u64(out, 2 + sub->topic_count) &&
              pubsub__redis_put_text(out, sub->meta) &&
              pubsub__redis_put_text(out, sub->lock != NULL ? sub->lock : REDIS_KEY_HOLDER);
    for (size_t i = 0; ok && i < sub->topic_count; i++) {
        ok = pubsub__redis_put(out, sub->topics[i].name, sub->topics[i].len);
    }
    ok = ok && pubsub__redis_put_text(out, sub->group) && pubsub__redis_put_text(out, sub->token) &&
         pubsub__redis_put_text(out, forget ? "1"
                                     : kept ? "2"
                                            : "0") &&
         pubsub__redis_put_text(out, idle) &&
         pubsub__redis_put_text(out, sub->open == 0 ? "1" : "0");
    if (pubsub__redis_conn_done(conn, ok, pubsub__redis_on_op, op)) {
        self->acks++;
    } else {
        pubsub__redis_op_free(op);
    }
}

/* Nobody reads the stream of an inbox any more. */
static void end_inbox(redis_sub *sub)
{
    redis_conn *conn = pubsub__redis_main(sub->self);
    const char *inbox = pubsub_options_get(sub->self->config->options, "inbox");
    size_t len = inbox == NULL ? 0 : strlen(inbox);
    for (size_t i = 0; conn != NULL && len > 0 && !sub->wild && i < sub->topic_count; i++) {
        const redis_topic *topic = &sub->topics[i];
        if (topic->len > len && memcmp(topic->name, inbox, len) == 0 && topic->name[len] == '/') {
            (void)pubsub__redis_conn_say(conn, NULL, NULL, "DEL", topic->name, NULL);
        }
    }
}

void pubsub__redis_stream_end(redis_sub *sub, bool forget)
{
    redis_self *self = sub->self;
    if (sub->group != NULL && sub->stage >= REDIS_STAGE_GROUP) {
        leave_group(sub, forget);
    }
    if (forget && pubsub__redis_main(self) == NULL) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ELOST,
                         "the server still keeps messages for '%.80s': there is no connection to "
                         "tell it to forget them",
                         sub->group != NULL ? sub->group : "");
        pubsub_sink_error(self->sink, NULL, &err);
    }
    if (sub->group == NULL) {
        end_inbox(sub);
    }
    if (sub->listening) {
        bool last = self->announcements->refs == 1;
        pubsub__redis_channel_leave(self, self->announcements, NULL);
        self->announcements = last ? NULL : self->announcements;
    }
    if (sub->link != NULL) {
        sub->link->sub = NULL;
        pubsub__redis_link_free(sub->link);
        sub->link = NULL;
    }
}
