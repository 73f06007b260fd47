/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include "base/clock.h"

#include <stdio.h>
#include <string.h>

/* Looking for containers and making them, on the worker's thread.
 *
 * A producer of librdkafka must not get a message for a topic without a known leader: it looks again only after a
 * second. And nothing here may ask for a topic in a way that has the broker make it, with one partition. */

#define ANSWER_MS 10000
#define STEP_MS 3000
#define SLICE_MS 200
#define AGAIN_NS UINT64_C(20000000)
#define MS_PER_HOUR "3600000"

/* The client ends, and waits for this thread. */
static bool stopped(const kaf_making *how)
{
    return how->stop != NULL && atomic_load(how->stop);
}

typedef enum found { FOUND, MISSING, PENDING, FAILED } found;

static int32_t leaders(const rd_kafka_metadata_topic_t *topic)
{
    int32_t count = 0;
    for (int i = 0; i < topic->partition_cnt; i++) {
        count += topic->partitions[i].leader >= 0 ? 1 : 0;
    }
    return count;
}

static found look(rd_kafka_t *rk, rd_kafka_topic_t *rkt, int *patience_ms, int32_t *partitions,
                  bool *replicated, pubsub_error *err)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t rc = rd_kafka_metadata(rk, 0, rkt, &metadata, *patience_ms);
    found result = PENDING;
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt != 1) {
        rc = RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc = metadata->topics[0].err;
        *partitions = metadata->topics[0].partition_cnt;
        *replicated = *partitions > 0 && metadata->topics[0].partitions[0].replica_cnt > 1;
    }
    if (rc == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || rc == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        result = MISSING;
    } else if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result = *partitions > 0 && leaders(&metadata->topics[0]) == *partitions ? FOUND : PENDING;
    } else if (rc != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE && rc != RD_KAFKA_RESP_ERR__TIMED_OUT &&
               rc != RD_KAFKA_RESP_ERR__TRANSPORT) {
        pubsub__kafka_explain(err, rc, rd_kafka_topic_name(rkt));
        result = FAILED;
    }
    if (result == PENDING) {
        bool silent = metadata == NULL;
        *patience_ms = silent && *patience_ms < STEP_MS ? *patience_ms * 2 : *patience_ms;
        pubsub_error_set(err, PUBSUB_ETIMEDOUT, "%s '%s'",
                         silent ? "the cluster does not answer about the topic"
                                : "there is a partition without a leader in the topic",
                         rd_kafka_topic_name(rkt));
    }
    if (metadata != NULL) {
        rd_kafka_metadata_destroy(metadata);
    }
    return result;
}

/* What the broker says of a topic it does not make. */
static pubsub_err refused(const char *name, rd_kafka_resp_err_t code, const char *text,
                          pubsub_error *err)
{
    pubsub_err as = pubsub__kafka_code(code);
    const char *hint = as == PUBSUB_EDENIED ? "; who may publish need not create: make it before, "
                                              "or set kafka.create=no"
                                            : "";
    pubsub_error_set(err, as, "Kafka does not make the topic '%.80s': %.120s%s", name,
                     text != NULL && text[0] != '\0' ? text : rd_kafka_err2str(code), hint);
    if (err != NULL) {
        err->native_code = code;
    }
    return as;
}

static rd_kafka_NewTopic_t *describe(const kaf_making *how, const char *name, pubsub_error *err)
{
    char text[160] = "";
    bool announcements = strcmp(name, KAF_CONTAINER_TOPICS) == 0;
    rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, announcements ? 1 : how->partitions,
                                                       how->replication, text, sizeof(text));
    if (topic == NULL) {
        pubsub_error_set(err, PUBSUB_ETOPIC, "%s", text);
        return NULL;
    }
    if (announcements) {
        (void)rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact");
    }
    if (strcmp(name, KAF_CONTAINER_INBOX) == 0) {
        (void)rd_kafka_NewTopic_set_config(topic, "retention.ms", MS_PER_HOUR);
    }
    return topic;
}

static pubsub_err answer_of(rd_kafka_event_t *event, const char *name, pubsub_error *err)
{
    const rd_kafka_CreateTopics_result_t *result =
        event == NULL ? NULL : rd_kafka_event_CreateTopics_result(event);
    size_t count = 0;
    if (result == NULL) {
        return pubsub_error_set(err, PUBSUB_ETIMEDOUT, "no answer to making the topic '%s'", name);
    }
    if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        pubsub__kafka_explain(err, rd_kafka_event_error(event), name);
        return pubsub__kafka_code(rd_kafka_event_error(event));
    }
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
    rd_kafka_resp_err_t code =
        count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
        return PUBSUB_OK;
    }
    return refused(name, code, count == 1 ? rd_kafka_topic_result_error_string(topics[0]) : NULL,
                   err);
}

static pubsub_err create(rd_kafka_t *rk, const kaf_making *how, const char *name, pubsub_error *err)
{
    rd_kafka_NewTopic_t *topic = describe(how, name, err);
    if (topic == NULL) {
        return PUBSUB_ETOPIC;
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, NULL, 0);
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, STEP_MS, NULL, 0);
    rd_kafka_CreateTopics(rk, &topic, 1, options, queue);
    rd_kafka_event_t *event = NULL;
    for (int waited = 0; event == NULL && waited < ANSWER_MS + STEP_MS && !stopped(how);
         waited += SLICE_MS) {
        event = rd_kafka_queue_poll(queue, SLICE_MS);
    }
    pubsub_err rc = answer_of(event, name, err);
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy(topic);
    return rc;
}

/* Tell those who subscribe by pattern, wherever they are. When it cannot be told they find it by themselves,
 * later. */
static void announce(rd_kafka_t *rk, const kaf_making *how, const char *name)
{
    rd_kafka_topic_t *rkt = NULL;
    int32_t partitions = 0;
    bool replicated = false;
    size_t len = strlen(name);
    if (pubsub__kafka_make(rk, how, KAF_CONTAINER_TOPICS, STEP_MS, &rkt, &partitions, &replicated,
                           NULL) == PUBSUB_OK) {
        (void)rd_kafka_produce(rkt, 0, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t) "", 0, name, len,
                               NULL);
    }
    if (rkt != NULL) {
        rd_kafka_topic_destroy(rkt);
    }
}

static bool is_ours(const char *name)
{
    return strcmp(name, KAF_CONTAINER_TOPICS) == 0 || strcmp(name, KAF_CONTAINER_INBOX) == 0;
}

pubsub_err pubsub__kafka_make(rd_kafka_t *rk, const kaf_making *how, const char *name,
                              pubsub_duration_ms timeout, rd_kafka_topic_t **out,
                              int32_t *partitions, bool *replicated, pubsub_error *err)
{
    pubsub_error why = PUBSUB_ERROR_INIT;
    uint64_t until = pubsub__clock_mono_ns() + (uint64_t)timeout * 1000000u;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, name, NULL);
    bool made = false;
    int patience_ms = SLICE_MS; /* longer where the way is long */
    *out = NULL;
    if (rkt == NULL) {
        pubsub__kafka_explain(err, rd_kafka_last_error(), name);
        return pubsub__kafka_code(rd_kafka_last_error());
    }
    found state = look(rk, rkt, &patience_ms, partitions, replicated, &why);
    if (state == MISSING && !how->create) {
        pubsub_error_set(&why, PUBSUB_ENOTFOUND,
                         "Kafka has no topic '%s', and kafka.create=no says not to make it", name);
    } else if (state == MISSING && create(rk, how, name, &why) == PUBSUB_OK) {
        made = true;
        state = PENDING;
    }
    while (state == PENDING && pubsub__clock_mono_ns() < until && !stopped(how)) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + AGAIN_NS);
        state = look(rk, rkt, &patience_ms, partitions, replicated, &why);
        state = state == MISSING && made ? PENDING : state;
    }
    if (state != FOUND && why.code == PUBSUB_OK) {
        pubsub_error_set(&why, PUBSUB_ETIMEDOUT, "the topic '%s' was made and cannot be seen yet",
                         name);
    }
    if (state != FOUND) {
        rd_kafka_topic_destroy(rkt);
        if (err != NULL) {
            *err = why;
        }
        return why.code;
    }
    if (made && !is_ours(name)) {
        announce(rk, how, name);
    }
    *out = rkt;
    return PUBSUB_OK;
}
