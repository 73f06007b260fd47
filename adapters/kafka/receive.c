/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/clock.h"

#include <string.h>

/* From the library's queue to the core: as much as all subscriptions of a consumer have credit for.
 *
 * A consumer without credit is not polled; what the library fetches meanwhile is bounded by
 * queued.max.messages.kbytes. That of a group has to hear of rebalances behind these messages, so it is paused when
 * that lasts. Pausing throws away what was fetched, and it takes up to a second until messages come again, so it is
 * done rarely. A subscription that shares a consumer and has no credit gets its own. */

#define MS UINT64_C(1000000)

/* ---- pausing -------------------------------------------------------------------------------------------- */

void pubsub__kafka_pause(kaf_consumer *consumer, kaf_part *part, bool on)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, part->topic, part->number);
    part->paused = on;
    if (on) {
        (void)rd_kafka_pause_partitions(consumer->rk, list);
    } else if (!consumer->paused) {
        (void)rd_kafka_resume_partitions(consumer->rk, list);
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void pause_all(kaf_consumer *consumer, bool on)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < consumer->part_count; i++) {
        const kaf_part *part = consumer->parts[i];
        if (part->live && !part->paused) {
            rd_kafka_topic_partition_list_add(list, part->topic, part->number);
        }
    }
    consumer->paused = on;
    if (list->cnt > 0) {
        (void)(on ? rd_kafka_pause_partitions(consumer->rk, list)
                  : rd_kafka_resume_partitions(consumer->rk, list));
    }
    rd_kafka_topic_partition_list_destroy(list);
}

/* ---- errors ---------------------------------------------------------------------------------------------- */

void pubsub__kafka_sub_lost(kaf_sub *sub, const pubsub_error *err)
{
    if (sub->spi == NULL || sub->lost) {
        return;
    }
    sub->lost = true;
    if (sub->answered || pubsub_err_is_retryable(err->code)) {
        pubsub_sink_lost(sub->self->sink, sub->spi, err);
    } else {
        pubsub_sink_subscribed(sub->self->sink, sub->spi, NULL, err);
    }
}

static void lose(kaf_consumer *consumer, const char *topic, rd_kafka_resp_err_t code)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    const char *what = topic;
    if (what == NULL) {
        what = consumer->grouped && consumer->subs != NULL ? consumer->subs->group : "the consumer";
    }
    pubsub__kafka_explain(&err, code, what);
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        if (topic == NULL || pubsub__kafka_sub_wants(sub, topic)) {
            pubsub__kafka_sub_lost(sub, &err);
        }
    }
}

void pubsub__kafka_consumer_says(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    kaf_self *self = opaque;
    if (pubsub__kafka_look_closes()) {
        return; /* on the worker's thread, at its end */
    }
    for (kaf_consumer *one = self->consumers; one != NULL; one = one->next) {
        if (one->rk == rk &&
            (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)) {
            one->cut_ns = pubsub__clock_mono_ns();
        }
    }
    pubsub_sink_log(self->sink, PUBSUB_LOG_INFO, "%s: %s", rd_kafka_name(rk), reason);
}

/* A durable name joins again after a cut, and when the answer to that is lost, once more: then the broker takes its
 * earlier self for another holder. A consumer that is made anew has seen no cut, so that two real holders do
 * not throw each other out for ever. */
static bool was_cut(const kaf_consumer *consumer)
{
    return consumer->cut_ns != 0 && pubsub__clock_mono_ns() - consumer->cut_ns < KAF_CUT_MS * MS;
}

static void fatal(kaf_consumer *consumer)
{
    char text[200] = "";
    pubsub_error err = PUBSUB_ERROR_INIT;
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(consumer->rk, text, sizeof(text));
    if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && consumer->subs != NULL &&
        !was_cut(consumer)) {
        pubsub_error_set(&err, PUBSUB_ETAKEN, "'%.64s' was taken over by another holder",
                         consumer->subs->group);
    } else {
        pubsub_error_set(&err, PUBSUB_ELOST, "the consumer failed: %s", text);
    }
    err.native_code = code;
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        pubsub__kafka_sub_lost(sub, &err);
    }
}

static void on_error(kaf_consumer *consumer, const rd_kafka_message_t *message)
{
    const char *topic = message->rkt == NULL ? NULL : rd_kafka_topic_name(message->rkt);
    kaf_part *part = topic == NULL ? NULL : pubsub__kafka_part(consumer, topic, message->partition);
    pubsub_log_level level = PUBSUB_LOG_INFO;
    switch (message->err) {
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        if (part != NULL && part->live) {
            pubsub__kafka_reset(consumer, part);
        }
        break;
    case RD_KAFKA_RESP_ERR__FATAL:
        fatal(consumer);
        break;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        lose(consumer, consumer->grouped ? NULL : topic, message->err);
        break;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_MAX_SIZE_REACHED:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
        if (consumer->grouped) {
            lose(consumer, NULL, message->err);
        }
        break;
    default:
        level = PUBSUB_LOG_DEBUG; /* what passes, or is told by the producer's side */
        break;
    }
    pubsub_sink_log(consumer->self->sink, level, "%s: %s", rd_kafka_name(consumer->rk),
                    rd_kafka_message_errstr(message));
}

/* ---- taking --------------------------------------------------------------------------------------------------- */

/* Whether it is to be passed on. */
static bool is_wanted(kaf_consumer *consumer, const rd_kafka_message_t *message, kaf_part *part)
{
    if (part == NULL || !part->live || message->offset < part->position || part->reset) {
        return false; /* from before a change of the assignment */
    }
    if (consumer->grouped) {
        kaf_seen seen = pubsub__kafka_window_add(&part->window, message->offset);
        if (seen == KAF_SEEN_FULL) { /* no memory: it comes again */
            pubsub__kafka_group_reassign(consumer);
            return false;
        }
        part->position = message->offset + 1;
        if (pubsub__kafka_window_is_full(&part->window)) {
            pubsub__kafka_pause(consumer, part, true);
        }
        return seen != KAF_SEEN_SETTLED;
    }
    part->position = message->offset + 1;
    if (consumer->reads_topics && strcmp(part->topic, KAF_CONTAINER_TOPICS) == 0) {
        pubsub__kafka_announced(consumer, message->key, message->key_len);
        return false;
    }
    return part->taker_count > 0;
}

static bool take(kaf_consumer *consumer, uint32_t room, uint64_t bytes)
{
    uint64_t size = 0;
    size_t polls = 0;
    rd_kafka_message_t *message = NULL;
    while (consumer->held_count < room && size < bytes && ++polls < 4 * KAF_BATCH &&
           !consumer->revoked) {
        message = rd_kafka_consumer_poll(consumer->rk, 0);
        if (message == NULL) {
            return false;
        }
        kaf_part *part = message->err != RD_KAFKA_RESP_ERR_NO_ERROR
                             ? NULL
                             : pubsub__kafka_part(consumer, rd_kafka_topic_name(message->rkt),
                                                  message->partition);
        if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            on_error(consumer, message);
            rd_kafka_message_destroy(message);
        } else if (!is_wanted(consumer, message, part)) {
            rd_kafka_message_destroy(message);
        } else {
            size += message->len + message->key_len;
            consumer->held[consumer->held_count] = message;
            consumer->held_parts[consumer->held_count++] = part;
        }
    }
    return true;
}

/* ---- giving ---------------------------------------------------------------------------------------------------- */

static bool is_for(const kaf_sub *sub, const kaf_part *part, const rd_kafka_message_t *message)
{
    if (sub->grouped) {
        return true;
    }
    if (sub->inbox && (message->key_len != sub->literal.len ||
                       memcmp(message->key, sub->literal.data, sub->literal.len) != 0)) {
        return false; /* of another client */
    }
    for (size_t i = 0; i < part->taker_count; i++) {
        if (part->takers[i].sub == sub) {
            return message->offset >= part->takers[i].from;
        }
    }
    return false;
}

static bool same(pubsub_bytes a, pubsub_bytes b)
{
    return a.len == b.len && a.data != NULL && b.data != NULL && memcmp(a.data, b.data, a.len) == 0;
}

/* Messages come in runs of one topic: those of a block share its name. */
typedef struct run {
    const rd_kafka_topic_t *rkt;
    pubsub_bytes topic;
} run;

static void give_one(kaf_sub *sub, kaf_part *part, rd_kafka_message_t *message, pubsub_block *block,
                     run *last)
{
    pubsub_spi_message *out = pubsub_block_message(block);
    kaf_record record = pubsub__kafka_record(message);
    if (last->rkt == message->rkt) {
        record.known = last->topic;
    }
    if (out == NULL ||
        !pubsub__kafka_decode(&record, &sub->self->naming, sub->literal, block, out)) {
        return; /* there is room: it was counted */
    }
    if (record.headers == NULL) { /* none that names another one */
        *last = (run){message->rkt, out->topic};
    }
    out->token = (uint64_t)part->epoch << 32 | part->slot;
    out->position[0] = (uint64_t)part->number;
    out->position[1] = (uint64_t)message->offset;
    if (sub->grouped && message->offset < part->unsure) {
        out->attempt = 0;
    }
    if (!same(out->topic, sub->literal)) {
        out->flags |= PUBSUB_SPI_FILTER;
    }
    if (sub->no_ack) {
        out->flags |= PUBSUB_SPI_NO_ACK;
        out->qos = 0;
    }
    if (sub->no_ack && sub->grouped &&
        pubsub__kafka_window_settle(&part->window, message->offset)) {
        pubsub__kafka_commit_soon(sub->consumer);
    }
}

static bool give(kaf_consumer *consumer, kaf_sub *sub)
{
    size_t need = 0;
    size_t count = 0;
    for (size_t i = 0; i < consumer->held_count; i++) {
        if (is_for(sub, consumer->held_parts[i], consumer->held[i])) {
            kaf_record record = pubsub__kafka_record(consumer->held[i]);
            need += pubsub__kafka_decode_need(&record, sub->literal);
            count++;
        }
    }
    if (count == 0 || sub->given) {
        return true;
    }
    pubsub_block *block = pubsub_sink_block(consumer->self->sink, count, need);
    if (block == NULL) {
        return false;
    }
    run last = {NULL, {NULL, 0}};
    for (size_t i = 0; i < consumer->held_count; i++) {
        if (is_for(sub, consumer->held_parts[i], consumer->held[i])) {
            give_one(sub, consumer->held_parts[i], consumer->held[i], block, &last);
        }
    }
    sub->given = true;
    pubsub_sink_messages(consumer->self->sink, sub->spi, block);
    return true;
}

static void give_all(kaf_consumer *consumer)
{
    bool ok = true;
    for (kaf_sub *sub = consumer->subs; ok && sub != NULL; sub = sub->peer) {
        ok = give(consumer, sub);
    }
    if (!ok) { /* no memory: they wait here */
        pubsub__kafka_tick_at(consumer->self, pubsub__clock_mono_ns() + KAF_AGAIN_MS * MS);
        return;
    }
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        sub->given = false;
    }
    for (size_t i = 0; i < consumer->held_count; i++) {
        rd_kafka_message_destroy(consumer->held[i]);
    }
    consumer->held_count = 0;
}

/* ---- credit ----------------------------------------------------------------------------------------------------- */

static bool has_credit(kaf_sub *sub, uint32_t *room, uint64_t *bytes)
{
    uint32_t messages = 0;
    uint64_t left = 0;
    if (sub->empty || !pubsub_sink_credit(sub->self->sink, sub->spi, &messages, &left)) {
        sub->empty = true;
        sub->dry_ns = sub->dry_ns != 0 ? sub->dry_ns : pubsub__clock_mono_ns();
        return false;
    }
    sub->dry_ns = 0;
    *room = messages < *room ? messages : *room;
    *bytes = left < *bytes ? left : *bytes;
    return true;
}

/* What all of them have room for; false when one has none. */
static bool credit(kaf_consumer *consumer, uint32_t *room, uint64_t *bytes)
{
    bool all = consumer->subs != NULL || consumer->watchers > 0;
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        all = has_credit(sub, room, bytes) && all;
    }
    return all;
}

/* Those without credit go their own way while others have some. */
static void split(kaf_consumer *consumer, uint64_t now)
{
    bool rich = consumer->watchers > 0; /* announcements are to be read */
    bool alone = !rich && (consumer->subs == NULL || consumer->subs->peer == NULL);
    kaf_sub *next = NULL;
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        rich = rich || !sub->empty;
    }
    if (alone || !rich || consumer->held_count > 0) {
        return;
    }
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = next) {
        next = sub->peer;
        if (sub->begun && sub->empty && now - sub->dry_ns >= KAF_LEAVE_MS * MS) {
            pubsub__kafka_assign_split(sub);
        }
    }
}

void pubsub__kafka_receive_tick(kaf_consumer *consumer, uint64_t now)
{
    pubsub__kafka_reset_tick(consumer);
    if (!consumer->grouped) {
        split(consumer, now);
    }
    if (consumer->dry_ns != 0 && !consumer->paused && consumer->grouped) {
        uint64_t due = consumer->dry_ns + KAF_DRY_MS * MS;
        if (due <= now) {
            pause_all(consumer, true);
        } else {
            pubsub__kafka_tick_at(consumer->self, due);
        }
    }
}

bool pubsub__kafka_receive(kaf_consumer *consumer)
{
    uint32_t room = KAF_BATCH;
    uint64_t bytes = UINT64_MAX;
    bool more = false;
    if (consumer->held_count > 0) {
        give_all(consumer);
        return false;
    }
    if (credit(consumer, &room, &bytes)) {
        consumer->dry_ns = 0;
        if (consumer->paused) {
            pause_all(consumer, false);
        }
    } else if (consumer->dry_ns == 0) {
        uint64_t now = pubsub__clock_mono_ns();
        consumer->dry_ns = now;
        pubsub__kafka_tick_at(consumer->self,
                              now + (consumer->shared ? KAF_LEAVE_MS : KAF_DRY_MS) * MS);
        return false;
    } else if (!consumer->paused) {
        return false;
    } else {
        room = 1; /* nothing comes but news */
    }
    more = take(consumer, room, bytes) && !consumer->paused;
    give_all(consumer);
    if (consumer->grouped) {
        pubsub__kafka_group_step(consumer);
    }
    return more;
}
