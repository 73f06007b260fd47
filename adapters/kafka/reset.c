/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/clock.h"

/* The next message of a partition is gone: expired, or its topic was deleted and made again. Reading goes on at the
 * first one that is there, and the subscriptions are told what they may have missed. */

#define AGAIN_NS UINT64_C(500000000)

extern const pubsub_adapter pubsub__adapter_kafka;

typedef rd_kafka_topic_partition_list_t list;

static void tell(kaf_consumer *consumer, const kaf_part *part, int64_t from, int64_t to)
{
    pubsub_gap gap = {to < from ? "the topic was deleted and made again"
                                : "expired before it was read",
                      {{(uint64_t)part->number, (uint64_t)from}, &pubsub__adapter_kafka},
                      {{(uint64_t)part->number, (uint64_t)to}, &pubsub__adapter_kafka},
                      to > from ? (uint64_t)(to - from) : 0};
    for (kaf_sub *sub = consumer->subs; sub != NULL; sub = sub->peer) {
        bool takes = consumer->grouped;
        for (size_t i = 0; !takes && i < part->taker_count; i++) {
            takes = part->takers[i].sub == sub;
        }
        if (takes && sub->spi != NULL) {
            pubsub_sink_gap(consumer->self->sink, sub->spi, &gap);
        }
    }
}

static void begin_again(kaf_consumer *consumer, kaf_part *part, int64_t offset)
{
    tell(consumer, part, part->position, offset);
    part->reset = false;
    part->position = offset;
    for (size_t i = 0; i < part->taker_count; i++) {
        part->takers[i].from = part->takers[i].from < offset ? part->takers[i].from : offset;
    }
    if (consumer->grouped) {
        pubsub__kafka_window_begin(&part->window, offset);
        part->epoch = ++consumer->epochs;
        part->asked = part->committed = -1;
        pubsub__kafka_commit_soon(consumer);
    }
}

static void on_earliest(kaf_look *look, bool dropped)
{
    kaf_consumer *consumer = look->consumer;
    size_t moved = 0;
    consumer->resetting = false;
    if (dropped || consumer->stage == KAF_STAGE_CLOSING) {
        return;
    }
    if (look->err.code != PUBSUB_OK) { /* no leader yet, or no topic: until it is there */
        consumer->resets = true;
        pubsub__kafka_tick_at(consumer->self, pubsub__clock_mono_ns() + AGAIN_NS);
        return;
    }
    list *again = rd_kafka_topic_partition_list_new(4);
    for (int i = 0; i < look->list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &look->list->elems[i];
        kaf_part *part = pubsub__kafka_part(consumer, one->topic, one->partition);
        if (part != NULL && part->live && part->reset) {
            begin_again(consumer, part, one->offset);
            rd_kafka_topic_partition_list_add(again, part->topic, part->number)->offset =
                one->offset;
            moved++;
        }
    }
    if (moved > 0 && consumer->grouped && consumer->stage == KAF_STAGE_READING) {
        pubsub__kafka_group_reassign(consumer);
    } else if (moved > 0 && !consumer->grouped) {
        rd_kafka_error_t *error = rd_kafka_incremental_unassign(consumer->rk, again);
        if (error != NULL) {
            rd_kafka_error_destroy(error);
        }
        error = rd_kafka_incremental_assign(consumer->rk, again);
        if (error != NULL) {
            rd_kafka_error_destroy(error);
        }
    }
    rd_kafka_topic_partition_list_destroy(again);
}

void pubsub__kafka_reset_tick(kaf_consumer *consumer)
{
    if (!consumer->resets || consumer->resetting) {
        return;
    }
    list *parts = rd_kafka_topic_partition_list_new(4);
    for (size_t i = 0; i < consumer->part_count; i++) {
        const kaf_part *part = consumer->parts[i];
        if (part->live && part->reset) {
            rd_kafka_topic_partition_list_add(parts, part->topic, part->number);
        }
    }
    kaf_look *look = parts->cnt == 0 ? NULL
                                     : pubsub__kafka_look_new(KAF_LOOK_EARLIEST, consumer->self,
                                                              NULL, consumer, on_earliest);
    consumer->resets = false;
    if (look == NULL) {
        rd_kafka_topic_partition_list_destroy(parts);
        return;
    }
    look->list = parts;
    consumer->resetting = true;
    pubsub__kafka_look_do(look);
}

void pubsub__kafka_reset(kaf_consumer *consumer, kaf_part *part)
{
    part->reset = consumer->resets = true;
    pubsub__kafka_tick_at(consumer->self, 1);
}
