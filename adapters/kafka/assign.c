/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "topic/container.h"

#include <string.h>

/* Subscriptions without a group: all partitions, each from an explicit offset, nothing committed. */

typedef rd_kafka_topic_partition_list_t list;

static void put(list *to, const kaf_part *part)
{
    rd_kafka_topic_partition_list_add(to, part->topic, part->number)->offset = part->position;
}

static void add_parts(kaf_consumer *consumer, list *parts)
{
    rd_kafka_error_t *error =
        parts->cnt > 0 ? rd_kafka_incremental_assign(consumer->rk, parts) : NULL;
    if (error != NULL) {
        pubsub_sink_log(consumer->self->sink, PUBSUB_LOG_WARN, "partitions not assigned: %s",
                        rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    if (parts->cnt > 0) { /* that a partition was paused outlives its assignment */
        (void)(consumer->paused ? rd_kafka_pause_partitions(consumer->rk, parts)
                                : rd_kafka_resume_partitions(consumer->rk, parts));
    }
    rd_kafka_topic_partition_list_destroy(parts);
}

static void remove_parts(kaf_consumer *consumer, list *parts)
{
    rd_kafka_error_t *error =
        parts->cnt > 0 ? rd_kafka_incremental_unassign(consumer->rk, parts) : NULL;
    if (error != NULL) {
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(parts);
}

void pubsub__kafka_assign_prune(kaf_consumer *consumer)
{
    list *gone = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < consumer->part_count; i++) {
        kaf_part *part = consumer->parts[i];
        if (part->live && part->taker_count == 0) {
            rd_kafka_topic_partition_list_add(gone, part->topic, part->number);
            part->live = part->reset = false;
        }
    }
    remove_parts(consumer, gone);
}

/* ---- the beginning ------------------------------------------------------------------------------------ */

/* One that is read already goes on where it is: what was accepted up to there came before the answer. */
static bool take(kaf_sub *sub, const rd_kafka_topic_partition_t *from, list *fresh)
{
    kaf_part *part = pubsub__kafka_part_add(sub->consumer, from->topic, from->partition);
    if (part == NULL) {
        return false;
    }
    int64_t offset = from->offset;
    if (!part->live) {
        part->live = true;
        part->position = offset;
        put(fresh, part);
    } else if (part->position > offset) {
        offset = part->position;
    }
    return pubsub__kafka_part_take(part, sub, offset);
}

static void grow_later(kaf_consumer *consumer)
{
    if (consumer->grow_due_ns == 0) {
        consumer->grow_due_ns =
            pubsub__clock_mono_ns() + (uint64_t)KAF_REFRESH_MS * UINT64_C(1000000);
    }
    pubsub__kafka_tick_at(consumer->self, consumer->grow_due_ns);
}

static void answer(kaf_sub *sub)
{
    pubsub_spi_subscribed granted = {
        .resumed = sub->resumed, .qos = sub->no_ack ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE};
    sub->answered = sub->resumed = true;
    pubsub_sink_subscribed(sub->self->sink, sub->spi, &granted, NULL);
}

static void on_begin(kaf_look *look, bool dropped)
{
    kaf_sub *sub = look->sub;
    bool ok = true;
    if (dropped || sub->spi == NULL || sub->consumer != look->consumer) {
        return;
    }
    if (look->err.code != PUBSUB_OK) {
        pubsub__kafka_sub_lost(sub, &look->err);
        return;
    }
    list *fresh = rd_kafka_topic_partition_list_new(16);
    for (int i = 0; ok && i < look->list->cnt; i++) {
        ok = take(sub, &look->list->elems[i], fresh);
    }
    add_parts(sub->consumer, fresh);
    if (!ok) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory for partitions");
        pubsub__kafka_sub_lost(sub, &err);
        return;
    }
    sub->begun = true;
    grow_later(sub->consumer);
    answer(sub);
}

void pubsub__kafka_assign_begin(kaf_sub *sub)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (sub->begun && sub->consumer != NULL) {
        answer(sub); /* it was read all the time */
        return;
    }
    pubsub__kafka_consumer_leave(sub, false);
    bool plain = sub->spi->request.from.kind == PUBSUB_FROM_NEW;
    kaf_consumer *consumer =
        plain ? pubsub__kafka_consumer_shared(sub, &err) : pubsub__kafka_consumer_new(sub, &err);
    if (consumer != NULL) {
        pubsub__kafka_consumer_join(consumer, sub);
        if (sub->expr_count > 0) {
            pubsub__kafka_assign_watch(consumer, sub);
        }
    }
    kaf_look *look = consumer == NULL ? NULL
                                      : pubsub__kafka_look_new(KAF_LOOK_BEGIN, sub->self, sub,
                                                               consumer, on_begin);
    if (look == NULL) {
        if (err.code == PUBSUB_OK) {
            pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory for a subscription");
        }
        pubsub__kafka_sub_lost(sub, &err);
        return;
    }
    look->from = sub->spi->request.from;
    pubsub__kafka_look_do(look);
}

/* ---- announcements -------------------------------------------------------------------------------------- */

static void on_topics(kaf_look *look, bool dropped)
{
    kaf_consumer *consumer = look->consumer;
    consumer->topics_asked = false;
    if (dropped || consumer->stage == KAF_STAGE_CLOSING) {
        return;
    }
    if (look->err.code != PUBSUB_OK) {
        pubsub_sink_log(consumer->self->sink, PUBSUB_LOG_INFO,
                        "no announcements, new topics are found every %d s: %s",
                        KAF_REFRESH_MS / 1000, pubsub_error_text(&look->err));
        return;
    }
    kaf_part *part = pubsub__kafka_part_add(consumer, KAF_CONTAINER_TOPICS, 0);
    list *fresh = rd_kafka_topic_partition_list_new(1);
    if (part != NULL && pubsub__kafka_part_take(part, NULL, 0)) {
        part->live = consumer->reads_topics = true;
        part->position = look->list->elems[0].offset;
        put(fresh, part);
    }
    add_parts(consumer, fresh);
}

void pubsub__kafka_assign_watch(kaf_consumer *consumer, kaf_sub *sub)
{
    grow_later(consumer);
    if (consumer->reads_topics || consumer->topics_asked) {
        return;
    }
    kaf_look *look =
        pubsub__kafka_look_new(KAF_LOOK_TOPICS, consumer->self, sub, consumer, on_topics);
    if (look != NULL) {
        consumer->topics_asked = true;
        pubsub__kafka_look_do(look);
    }
}

/* ---- partitions that come later --------------------------------------------------------------------------- */

static bool has_taker(const kaf_part *part, const kaf_sub *sub)
{
    for (size_t i = 0; part != NULL && i < part->taker_count; i++) {
        if (part->takers[i].sub == sub) {
            return true;
        }
    }
    return false;
}

/* It is read from its first message. Where others have read it already it begins again, and they skip what they
 * had. */
static void take_late(kaf_sub *sub, const rd_kafka_topic_partition_t *found, list *fresh,
                      list *again)
{
    kaf_consumer *consumer = sub->consumer;
    if (has_taker(pubsub__kafka_part(consumer, found->topic, found->partition), sub)) {
        return;
    }
    kaf_part *part = pubsub__kafka_part_add(consumer, found->topic, found->partition);
    if (part == NULL) {
        return; /* the next look finds it again */
    }
    bool behind = part->live && part->position > 0;
    for (size_t i = 0; behind && i < part->taker_count; i++) {
        kaf_taker *taker = &part->takers[i];
        taker->from = taker->from > part->position ? taker->from : part->position;
    }
    if (!pubsub__kafka_part_take(part, sub, 0)) {
        return;
    }
    if (behind) {
        rd_kafka_topic_partition_list_add(again, part->topic, part->number);
    }
    if (!part->live || behind) {
        part->live = true;
        part->position = RD_KAFKA_OFFSET_BEGINNING;
        put(fresh, part);
    }
}

static void on_grow(kaf_look *look, bool dropped)
{
    kaf_consumer *consumer = look->consumer;
    consumer->growing = false;
    if (dropped || consumer->stage == KAF_STAGE_CLOSING) {
        return;
    }
    list *fresh = rd_kafka_topic_partition_list_new(16);
    list *again = rd_kafka_topic_partition_list_new(16);
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        for (int i = 0; sub->begun && !sub->inbox && i < look->list->cnt; i++) {
            if (pubsub__kafka_sub_wants(sub, look->list->elems[i].topic)) {
                take_late(sub, &look->list->elems[i], fresh, again);
            }
        }
    }
    remove_parts(consumer, again);
    add_parts(consumer, fresh);
    if (look->err.code != PUBSUB_OK) {
        pubsub_sink_log(consumer->self->sink, PUBSUB_LOG_INFO, "looking for partitions: %s",
                        pubsub_error_text(&look->err));
    }
    if (consumer->announced != NULL) {
        pubsub__kafka_tick_at(consumer->self, 1);
    }
}

static void add_topic(list *to, const char *topic)
{
    if (rd_kafka_topic_partition_list_find(to, topic, 0) == NULL) {
        rd_kafka_topic_partition_list_add(to, topic, 0);
    }
}

static void grow(kaf_consumer *consumer, list *topics, bool all)
{
    kaf_look *look = pubsub__kafka_look_new(KAF_LOOK_GROW, consumer->self, NULL, consumer, on_grow);
    if (look == NULL) {
        rd_kafka_topic_partition_list_destroy(topics);
        return;
    }
    look->list = topics;
    look->all = all;
    consumer->growing = true;
    pubsub__kafka_look_do(look);
}

void pubsub__kafka_announced(kaf_consumer *consumer, const char *topic, size_t len)
{
    char name[KAF_NAME_MAX + 1];
    if (len == 0 || len > KAF_NAME_MAX || memchr(topic, '\0', len) != NULL) {
        return;
    }
    memcpy(name, topic, len);
    name[len] = '\0';
    if (pubsub__container_is_internal(name, len)) {
        return;
    }
    for (kaf_sub *sub = consumer->self->subs; sub != NULL; sub = sub->next) {
        if (sub->consumer != NULL && sub->watcher == consumer &&
            pubsub__kafka_sub_wants(sub, name)) {
            pubsub__kafka_group_look(sub->consumer);
        } else if (sub->consumer == consumer && sub->expr_count > 0 &&
                   pubsub__kafka_sub_wants(sub, name)) {
            if (consumer->announced == NULL) {
                consumer->announced = rd_kafka_topic_partition_list_new(1);
            }
            add_topic(consumer->announced, name);
            pubsub__kafka_tick_at(consumer->self, 1);
        }
    }
}

static void refresh(kaf_consumer *consumer)
{
    list *topics = rd_kafka_topic_partition_list_new(16);
    bool all = false;
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        all = all || sub->expr_count > 0;
        for (size_t i = 0; !sub->inbox && i < sub->name_count; i++) {
            add_topic(topics, sub->names[i]);
        }
        if (sub->expr_count > 0) {
            pubsub__kafka_assign_watch(consumer, sub); /* if that failed */
        }
    }
    if (all || topics->cnt > 0) {
        grow(consumer, topics, all);
    } else {
        rd_kafka_topic_partition_list_destroy(topics);
    }
}

void pubsub__kafka_assign_tick(kaf_consumer *consumer, uint64_t now)
{
    if (consumer->announced != NULL && !consumer->growing) {
        list *topics = consumer->announced;
        consumer->announced = NULL;
        grow(consumer, topics, false);
    }
    if (consumer->grow_due_ns != 0 && consumer->grow_due_ns <= now && !consumer->growing) {
        consumer->grow_due_ns = 0;
        refresh(consumer);
    }
    if (consumer->subs != NULL) {
        grow_later(consumer);
    }
}

/* ---- a consumer of its own ---------------------------------------------------------------------------------- */

void pubsub__kafka_assign_split(kaf_sub *sub)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    kaf_consumer *old = sub->consumer;
    kaf_consumer *own = pubsub__kafka_consumer_new(sub, &err);
    list *fresh = rd_kafka_topic_partition_list_new(16);
    bool ok = own != NULL;
    for (size_t i = 0; ok && i < old->part_count; i++) {
        const kaf_part *part = old->parts[i];
        for (size_t k = 0; ok && part->live && k < part->taker_count; k++) {
            const kaf_taker *taker = &part->takers[k];
            if (taker->sub != sub) {
                continue;
            }
            kaf_part *mine = pubsub__kafka_part_add(own, part->topic, part->number);
            ok = mine != NULL && pubsub__kafka_part_take(mine, sub, taker->from);
            if (ok) {
                mine->live = true;
                mine->position = part->position > taker->from ? part->position : taker->from;
                put(fresh, mine);
            }
        }
    }
    if (own == NULL || !ok) { /* later, perhaps */
        rd_kafka_topic_partition_list_destroy(fresh);
        if (own != NULL) {
            kaf_sub *peer = sub->peer;
            sub->consumer = NULL;
            pubsub__kafka_consumer_join(own, sub);
            pubsub__kafka_consumer_leave(sub, false);
            sub->consumer = old;
            sub->peer = peer;
        }
        return;
    }
    pubsub__kafka_consumer_leave(sub, false);
    pubsub__kafka_consumer_join(own, sub);
    add_parts(own, fresh);
    grow_later(own);
    if (sub->expr_count > 0) {
        pubsub__kafka_assign_watch(own, sub);
    }
}
