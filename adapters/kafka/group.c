/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

/* A subscription of a group. The library tells of a rebalance inside of its poll; there it is only noted.
 *
 *   assigned: a job looks where each partition begins, then it is assigned with offsets, and where the group had none
 *             they are committed before the subscription counts as subscribed
 *   revoked:  what no handler has seen is taken back from the core, handlers get some time, what is settled is
 *             committed, then it is given up */

#define SESSION_MS 10000
#define AGAIN_NS UINT64_C(100000000)
#define LOOK_NS UINT64_C(600000000)

/* ---- the beginning ------------------------------------------------------------------------------------ */

static void refuse(kaf_sub *sub, const pubsub_error *err)
{
    pubsub__kafka_sub_lost(sub, err);
}

static bool subscribe(kaf_consumer *consumer, const kaf_sub *sub, pubsub_error *err)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    for (size_t i = 0; i < sub->name_count; i++) {
        rd_kafka_topic_partition_list_add(topics, sub->names[i], RD_KAFKA_PARTITION_UA);
    }
    for (size_t i = 0; i < sub->expr_count; i++) {
        rd_kafka_topic_partition_list_add(topics, sub->texts[i], RD_KAFKA_PARTITION_UA);
    }
    rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        pubsub__kafka_explain(err, code, "subscribing");
    }
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

void pubsub__kafka_group_subscribed(kaf_consumer *consumer)
{
    kaf_sub *sub = consumer->subs;
    consumer->starts_due = false;
    if (sub == NULL || sub->answered) {
        return;
    }
    pubsub_spi_subscribed answer = {
        .resumed = sub->resumed, .qos = sub->no_ack ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE};
    sub->answered = true;
    pubsub_sink_subscribed(sub->self->sink, sub->spi, &answer, NULL);
    sub->resumed = true;
}

static void on_group(kaf_look *look, bool dropped)
{
    kaf_sub *sub = look->sub;
    kaf_consumer *consumer = look->consumer;
    pubsub_error err = look->err;
    if (dropped || sub->spi == NULL || sub->consumer != consumer) {
        return;
    }
    if (err.code != PUBSUB_OK || !subscribe(consumer, sub, &err)) {
        refuse(sub, &err);
        return;
    }
    if (!sub->begun) {
        sub->fresh = !look->resumed;
        sub->resumed = look->resumed;
        if (sub->known != NULL) {
            rd_kafka_topic_partition_list_destroy(sub->known);
        }
        /* Not the list itself: what the library filled in would keep it from being destroyed. */
        sub->known = rd_kafka_topic_partition_list_new(16);
        for (int i = 0; i < look->list->cnt; i++) {
            rd_kafka_topic_partition_list_add(sub->known, look->list->elems[i].topic,
                                              look->list->elems[i].partition);
        }
    }
    if (sub->known->cnt == 0) { /* no topic yet; each that comes is read from its first message */
        pubsub__kafka_group_subscribed(consumer);
    }
}

void pubsub__kafka_group_begin(kaf_sub *sub)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub__kafka_consumer_leave(sub, false);
    kaf_consumer *consumer = pubsub__kafka_consumer_new(sub, &err);
    if (consumer != NULL) {
        pubsub__kafka_consumer_join(consumer, sub);
    }
    if (consumer != NULL && sub->expr_count > 0) {
        sub->watcher = pubsub__kafka_consumer_shared(sub, &err);
        if (sub->watcher != NULL) {
            sub->watcher->watchers++;
            pubsub__kafka_assign_watch(sub->watcher, sub);
        }
    }
    kaf_look *look = consumer == NULL ? NULL
                                      : pubsub__kafka_look_new(KAF_LOOK_GROUP, sub->self, sub,
                                                               consumer, on_group);
    if (look == NULL) {
        if (err.code == PUBSUB_OK) {
            pubsub_error_set(&err, PUBSUB_ENOMEM, "no memory for a subscription");
        }
        refuse(sub, &err);
        return;
    }
    look->ever = sub->begun;
    pubsub__kafka_look_do(look);
}

/* ---- rebalances --------------------------------------------------------------------------------------------- */

void pubsub__kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                             rd_kafka_topic_partition_list_t *list, void *opaque)
{
    kaf_self *self = opaque;
    kaf_consumer *consumer = NULL;
    if (!pubsub__kafka_look_closes()) {
        for (consumer = self->consumers; consumer != NULL && consumer->rk != rk;) {
            consumer = consumer->next;
        }
    }
    if (consumer == NULL || (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS &&
                             code != RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)) {
        (void)rd_kafka_assign(rk, NULL); /* it ends */
        return;
    }
    if (consumer->assigned != NULL) {
        rd_kafka_topic_partition_list_destroy(consumer->assigned);
        consumer->assigned = NULL;
    }
    if (code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        consumer->assigned = rd_kafka_topic_partition_list_copy(list);
    } else {
        consumer->revoked = true;
        consumer->lost = rd_kafka_assignment_lost(rk) != 0;
    }
}

static void begin_part(kaf_part *part, const rd_kafka_topic_partition_t *from, int64_t end,
                       uint32_t epoch)
{
    /* It came back, and nobody else went on in it: what is settled beyond a hole stays so. */
    if (part->epoch == 0 || pubsub__kafka_window_position(&part->window) != from->offset) {
        pubsub__kafka_window_begin(&part->window, from->offset);
    }
    part->epoch = epoch;
    part->position = from->offset;
    part->committed = part->asked = from->opaque != NULL ? -1 : from->offset;
    part->unsure = from->opaque != NULL ? 0 : end;
    part->live = true;
    part->paused = part->reset = false;
}

static void assign(kaf_consumer *consumer, rd_kafka_topic_partition_list_t *list,
                   const rd_kafka_topic_partition_list_t *ends)
{
    uint32_t epoch = ++consumer->epochs;
    bool ok = true;
    for (int i = 0; i < list->cnt; i++) {
        kaf_part *part =
            pubsub__kafka_part_add(consumer, list->elems[i].topic, list->elems[i].partition);
        if (part == NULL) {
            ok = false;
            break;
        }
        begin_part(part, &list->elems[i], ends->elems[i].offset, epoch);
        list->elems[i].opaque = NULL;
    }
    rd_kafka_resp_err_t code = rd_kafka_assign(consumer->rk, list);
    /* That a partition was paused outlives its assignment. */
    (void)rd_kafka_resume_partitions(consumer->rk, list);
    consumer->stage = KAF_STAGE_READING;
    consumer->paused = false;
    consumer->dry_ns = 0;
    pubsub__kafka_tick_at(consumer->self, 1);
    consumer->starts_due = true;
    if (!ok || code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub_error_set(&err, ok ? PUBSUB_ELOST : PUBSUB_ENOMEM, "partitions not assigned: %s",
                         ok ? rd_kafka_err2str(code) : "no memory");
        refuse(consumer->subs, &err);
    } else if (!pubsub__kafka_commit_now(consumer)) {
        pubsub__kafka_group_subscribed(consumer);
    }
}

static void on_starts(kaf_look *look, bool dropped)
{
    kaf_consumer *consumer = look->consumer;
    kaf_sub *sub = look->sub;
    if (dropped || consumer->stage != KAF_STAGE_LOOKING) {
        return;
    }
    consumer->stage = KAF_STAGE_IDLE;
    if (consumer->revoked || consumer->assigned != NULL) {
        pubsub__kafka_group_step(consumer); /* it went on meanwhile */
    } else if (look->err.code == PUBSUB_OK) {
        sub->begun = true;
        assign(consumer, look->list, look->ends);
    } else if (pubsub_err_is_retryable(look->err.code)) {
        consumer->assigned = look->list;
        look->list = NULL;
        consumer->again_ns = pubsub__clock_mono_ns() + AGAIN_NS;
        pubsub__kafka_tick_at(consumer->self, consumer->again_ns);
    } else {
        refuse(sub, &look->err);
    }
}

static void look_for_starts(kaf_consumer *consumer)
{
    kaf_sub *sub = consumer->subs;
    kaf_look *look =
        pubsub__kafka_look_new(KAF_LOOK_STARTS, consumer->self, sub, consumer, on_starts);
    consumer->again_ns = 0;
    if (look == NULL) {
        consumer->again_ns = pubsub__clock_mono_ns() + AGAIN_NS;
        pubsub__kafka_tick_at(consumer->self, consumer->again_ns);
        return;
    }
    look->list = consumer->assigned;
    consumer->assigned = NULL;
    look->known = rd_kafka_topic_partition_list_copy(sub->known);
    look->old = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < consumer->part_count; i++) {
        rd_kafka_topic_partition_list_add(look->old, consumer->parts[i]->topic,
                                          consumer->parts[i]->number);
    }
    look->from = sub->spi->request.from;
    look->fresh = sub->fresh;
    look->reset = sub->spi->request.reset;
    consumer->stage = KAF_STAGE_LOOKING;
    pubsub__kafka_look_do(look);
}

/* ---- partitions go ------------------------------------------------------------------------------------------- */

static void unassign(kaf_consumer *consumer)
{
    (void)rd_kafka_assign(consumer->rk, NULL);
    for (size_t i = 0; i < consumer->part_count; i++) {
        kaf_part *part = consumer->parts[i];
        if (part->live) {
            part->live = false;
            part->epoch = ++consumer->epochs; /* later acks are dropped */
        }
    }
    consumer->stage = KAF_STAGE_IDLE;
    consumer->dirty = false;
    consumer->left = 0;
    consumer->lost = false;
    pubsub__kafka_flushed(consumer->self);
    pubsub__kafka_group_step(consumer);
}

static void on_last_commit(kaf_look *look, bool dropped)
{
    kaf_consumer *consumer = look->consumer;
    if (dropped || consumer->stage != KAF_STAGE_COMMITTING) {
        return;
    }
    if (look->err.code != PUBSUB_OK) {
        pubsub_sink_log(consumer->self->sink, PUBSUB_LOG_INFO, "%s", pubsub_error_text(&look->err));
    }
    unassign(consumer);
}

static void last_commit(kaf_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list =
        consumer->lost ? NULL : pubsub__kafka_commit_list(consumer, true);
    kaf_look *look = list == NULL
                         ? NULL
                         : pubsub__kafka_look_new(KAF_LOOK_COMMIT, consumer->self, consumer->subs,
                                                  consumer, on_last_commit);
    if (look == NULL) {
        if (list != NULL) {
            rd_kafka_topic_partition_list_destroy(list);
        }
        unassign(consumer);
        return;
    }
    look->list = list;
    consumer->stage = KAF_STAGE_COMMITTING;
    pubsub__kafka_look_do(look);
}

static bool is_current(void *ctx, uint64_t token, const uint64_t position[2])
{
    const kaf_consumer *consumer = ctx;
    uint32_t slot = (uint32_t)token;
    (void)position;
    return slot < consumer->part_count && consumer->parts[slot]->live &&
           consumer->parts[slot]->epoch == token >> 32;
}

static int64_t session_ms(const kaf_sub *sub)
{
    int64_t value = 0;
    const char *text = pubsub_options_get(sub->spi->request.options, "kafka.session.timeout.ms");
    for (; text != NULL && *text >= '0' && *text <= '9' && value < SESSION_MS * 1000; text++) {
        value = value * 10 + (*text - '0');
    }
    return value > 0 ? value : SESSION_MS;
}

static void revoke(kaf_consumer *consumer)
{
    kaf_sub *sub = consumer->subs;
    (void)pubsub_sink_recall(sub->self->sink, sub->spi, is_current, consumer, &consumer->left);
    consumer->starts_due = false;
    if (consumer->lost || consumer->left == 0) {
        last_commit(consumer);
        return;
    }
    consumer->stage = KAF_STAGE_REVOKED;
    consumer->revoke_until_ns =
        pubsub__clock_mono_ns() + (uint64_t)session_ms(sub) / 3 * UINT64_C(1000000);
    pubsub__kafka_tick_at(consumer->self, consumer->revoke_until_ns);
}

void pubsub__kafka_group_step(kaf_consumer *consumer)
{
    if (consumer->subs == NULL || consumer->stage == KAF_STAGE_CLOSING) {
        return;
    }
    if (consumer->revoked && consumer->stage == KAF_STAGE_READING) {
        consumer->revoked = false;
        revoke(consumer);
    } else if (consumer->revoked && consumer->stage == KAF_STAGE_IDLE) {
        consumer->revoked = false;
        (void)rd_kafka_assign(consumer->rk, NULL);
    }
    if (consumer->assigned != NULL && consumer->stage == KAF_STAGE_IDLE &&
        consumer->again_ns == 0) {
        look_for_starts(consumer);
    }
}

/* ---- later ----------------------------------------------------------------------------------------------------- */

void pubsub__kafka_group_reassign(kaf_consumer *consumer)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < consumer->part_count; i++) {
        const kaf_part *part = consumer->parts[i];
        if (part->live) {
            rd_kafka_topic_partition_list_add(list, part->topic, part->number)->offset =
                part->position;
        }
    }
    (void)rd_kafka_assign(consumer->rk, list);
    (void)rd_kafka_resume_partitions(consumer->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    consumer->paused = false;
    consumer->dry_ns = 0;
    pubsub__kafka_tick_at(consumer->self, 1);
}

static void on_look(kaf_look *look, bool dropped)
{
    (void)dropped;
    look->consumer->growing = false;
    pubsub__kafka_tick_at(look->self, 1);
}

/* Each new topic is a rebalance for all members, so some are collected. */
void pubsub__kafka_group_look(kaf_consumer *consumer)
{
    uint64_t now = pubsub__clock_mono_ns();
    if (consumer->growing || now < consumer->grow_due_ns) {
        consumer->wants_grow = true;
        pubsub__kafka_tick_at(consumer->self, consumer->grow_due_ns);
        return;
    }
    kaf_look *look =
        pubsub__kafka_look_new(KAF_LOOK_ALL, consumer->self, consumer->subs, consumer, on_look);
    consumer->grow_due_ns = now + LOOK_NS;
    consumer->wants_grow = false;
    if (look != NULL) {
        consumer->growing = true;
        pubsub__kafka_look_do(look);
    }
}

void pubsub__kafka_group_tick(kaf_consumer *consumer, uint64_t now)
{
    if (consumer->again_ns != 0 && consumer->again_ns <= now) {
        consumer->again_ns = 0;
        pubsub__kafka_group_step(consumer);
    }
    if (consumer->wants_grow && !consumer->growing) {
        pubsub__kafka_group_look(consumer);
    }
    if (consumer->stage == KAF_STAGE_REVOKED &&
        (consumer->left == 0 || consumer->revoke_until_ns <= now)) {
        last_commit(consumer);
    }
    if (consumer->dirty && consumer->commit_due_ns <= now && consumer->stage == KAF_STAGE_READING) {
        (void)pubsub__kafka_commit_now(consumer);
    }
    if (consumer->again_ns != 0) {
        pubsub__kafka_tick_at(consumer->self, consumer->again_ns);
    }
    if (consumer->stage == KAF_STAGE_REVOKED) {
        pubsub__kafka_tick_at(consumer->self, consumer->revoke_until_ns);
    }
    if (consumer->dirty && consumer->stage == KAF_STAGE_READING) {
        pubsub__kafka_tick_at(consumer->self, consumer->commit_due_ns > now
                                                  ? consumer->commit_due_ns
                                                  : now + KAF_COMMIT_MS * UINT64_C(1000000));
    }
}
