/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/clock.h"

#include <string.h>

/* What is settled becomes committed: some time after the first ack, and before partitions go. */

static const char g_mark[] = "pubsub:group";

void pubsub__kafka_commit_soon(kaf_consumer *consumer)
{
    if (!consumer->dirty) {
        consumer->dirty = true;
        consumer->commit_due_ns = pubsub__clock_mono_ns() + KAF_COMMIT_MS * UINT64_C(1000000);
        pubsub__kafka_tick_at(consumer->self, consumer->commit_due_ns);
    }
}

/* What a group that is not durable commits says so, for who comes first the next time. The library frees it. */
static void mark(const kaf_consumer *consumer, rd_kafka_topic_partition_t *of)
{
    const kaf_sub *sub = consumer->subs;
    if (sub != NULL && !sub->durable) {
        of->metadata = rd_kafka_mem_malloc(consumer->rk, sizeof(g_mark) - 1);
        if (of->metadata != NULL) {
            memcpy(of->metadata, g_mark, sizeof(g_mark) - 1);
            of->metadata_size = sizeof(g_mark) - 1;
        }
    }
}

rd_kafka_topic_partition_list_t *pubsub__kafka_commit_list(kaf_consumer *consumer, bool all)
{
    rd_kafka_topic_partition_list_t *list = NULL;
    for (size_t i = 0; i < consumer->part_count; i++) {
        kaf_part *part = consumer->parts[i];
        int64_t position = pubsub__kafka_window_position(&part->window);
        if (!part->live || position <= (all ? part->committed : part->asked)) {
            continue;
        }
        if (list == NULL) {
            list = rd_kafka_topic_partition_list_new(16);
        }
        rd_kafka_topic_partition_t *one =
            rd_kafka_topic_partition_list_add(list, part->topic, part->number);
        one->offset = position;
        mark(consumer, one);
        part->asked = position;
    }
    return list;
}

bool pubsub__kafka_commit_now(kaf_consumer *consumer)
{
    if (consumer->committing) {
        return true;
    }
    consumer->dirty = false;
    rd_kafka_topic_partition_list_t *list = pubsub__kafka_commit_list(consumer, false);
    if (list == NULL) {
        return false;
    }
    rd_kafka_resp_err_t code =
        rd_kafka_commit_queue(consumer->rk, list, consumer->commits, NULL, NULL);
    rd_kafka_topic_partition_list_destroy(list);
    consumer->committing = code == RD_KAFKA_RESP_ERR_NO_ERROR;
    return consumer->committing;
}

bool pubsub__kafka_commit_done(const kaf_consumer *consumer)
{
    if (consumer->stage != KAF_STAGE_READING) {
        return consumer->stage == KAF_STAGE_IDLE || consumer->stage == KAF_STAGE_LOOKING;
    }
    for (size_t i = 0; i < consumer->part_count; i++) {
        const kaf_part *part = consumer->parts[i];
        if (part->live && pubsub__kafka_window_position(&part->window) > part->committed) {
            return false;
        }
    }
    return !consumer->committing;
}

static bool is_passing(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
           code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION || code == RD_KAFKA_RESP_ERR__NO_OFFSET ||
           code == RD_KAFKA_RESP_ERR__STATE || code == RD_KAFKA_RESP_ERR__DESTROY ||
           code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
}

static void failed(kaf_consumer *consumer, rd_kafka_resp_err_t code)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    for (size_t i = 0; i < consumer->part_count; i++) {
        consumer->parts[i]->asked = consumer->parts[i]->committed;
    }
    consumer->dirty = false;
    pubsub__kafka_commit_soon(consumer);
    pubsub__kafka_explain(&err, code, "the commit");
    if (is_passing(code) || pubsub_err_is_retryable(err.code)) {
        pubsub_sink_log(consumer->self->sink, PUBSUB_LOG_DEBUG, "%s", pubsub_error_text(&err));
    } else if (consumer->subs != NULL && consumer->subs->spi != NULL) {
        pubsub_sink_error(consumer->self->sink, consumer->subs->spi, &err);
    }
}

static void answered(kaf_consumer *consumer, rd_kafka_event_t *event)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    rd_kafka_topic_partition_list_t *list = rd_kafka_event_topic_partition_list(event);
    for (int i = 0; list != NULL && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *one = &list->elems[i];
        kaf_part *part = pubsub__kafka_part(consumer, one->topic, one->partition);
        if (one->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
            code = one->err;
        } else if (part != NULL && code == RD_KAFKA_RESP_ERR_NO_ERROR && part->live) {
            part->committed = one->offset;
        }
    }
    consumer->committing = false;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
        failed(consumer, code);
    } else if (consumer->starts_due && !pubsub__kafka_commit_now(consumer)) {
        pubsub__kafka_group_subscribed(consumer);
    }
    if (consumer->self->flush_asked && consumer->stage == KAF_STAGE_READING) {
        (void)pubsub__kafka_commit_now(consumer);
    }
    pubsub__kafka_flushed(consumer->self);
}

void pubsub__kafka_commits_serve(kaf_consumer *consumer)
{
    rd_kafka_event_t *event = NULL;
    while ((event = rd_kafka_queue_poll(consumer->commits, 0)) != NULL) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_OFFSET_COMMIT) {
            answered(consumer, event);
        }
        rd_kafka_event_destroy(event);
    }
}
