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

static int32_t leaders(const rd_kafka_metadata_topic_t *topic)
{
    int32_t count = 0;
    for (int i = 0; i < topic->partition_cnt; i++) {
        count += topic->partitions[i].leader >= 0 ? 1 : 0;
    }
    return count;
}

static void look(rd_kafka_t *rk, kaf_wish *wish, int *patience_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t rc = rd_kafka_metadata(rk, 0, wish->rkt, &metadata, *patience_ms);
    kaf_found result = KAF_PENDING;
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt != 1) {
        rc = RD_KAFKA_RESP_ERR__BAD_MSG;
    }
    if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        rc = metadata->topics[0].err;
        wish->partitions = metadata->topics[0].partition_cnt;
        wish->replicated =
            wish->partitions > 0 && metadata->topics[0].partitions[0].replica_cnt > 1;
    }
    if (rc == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || rc == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
        result = wish->made ? KAF_PENDING : KAF_MISSING;
    } else if (rc == RD_KAFKA_RESP_ERR_NO_ERROR) {
        bool all = wish->partitions > 0 && leaders(&metadata->topics[0]) == wish->partitions;
        result = all ? KAF_FOUND : KAF_PENDING;
    } else if (rc != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE && rc != RD_KAFKA_RESP_ERR__TIMED_OUT &&
               rc != RD_KAFKA_RESP_ERR__TRANSPORT) {
        pubsub__kafka_explain(&wish->error, rc, wish->name);
        result = KAF_FAILED;
    }
    if (result == KAF_PENDING) {
        bool silent = metadata == NULL;
        *patience_ms = silent && *patience_ms < STEP_MS ? *patience_ms * 2 : *patience_ms;
        pubsub_error_set(&wish->error, PUBSUB_ETIMEDOUT, "%s '%s'",
                         silent ? "the cluster does not answer about the topic"
                                : "there is a partition without a leader in the topic",
                         wish->name);
    }
    wish->state = result;
    if (metadata != NULL) {
        rd_kafka_metadata_destroy(metadata);
    }
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

/* Whether a wish was answered with yes. */
static void answer_one(kaf_wish *wish, const rd_kafka_topic_result_t *result)
{
    rd_kafka_resp_err_t code =
        result != NULL ? rd_kafka_topic_result_error(result) : RD_KAFKA_RESP_ERR__BAD_MSG;
    wish->made =
        code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
    wish->state = wish->made ? KAF_PENDING : KAF_FAILED;
    if (!wish->made) {
        (void)refused(wish->name, code,
                      result != NULL ? rd_kafka_topic_result_error_string(result) : NULL,
                      &wish->error);
    }
}

static void answer_all(kaf_wish *const *wishes, size_t count, rd_kafka_event_t *event)
{
    const rd_kafka_CreateTopics_result_t *result =
        event == NULL ? NULL : rd_kafka_event_CreateTopics_result(event);
    const rd_kafka_topic_result_t **topics = NULL;
    rd_kafka_resp_err_t code = event != NULL ? rd_kafka_event_error(event) : 0;
    size_t answers = 0;
    if (result != NULL && code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        topics = rd_kafka_CreateTopics_result_topics(result, &answers);
    }
    for (size_t i = 0; i < count; i++) {
        const rd_kafka_topic_result_t *mine = NULL;
        if (wishes[i]->state != KAF_MISSING) {
            continue;
        }
        for (size_t k = 0; k < answers && mine == NULL; k++) {
            bool same = strcmp(rd_kafka_topic_result_name(topics[k]), wishes[i]->name) == 0;
            mine = same ? topics[k] : NULL;
        }
        if (topics != NULL) {
            answer_one(wishes[i], mine);
            continue;
        }
        wishes[i]->state = KAF_FAILED;
        if (result == NULL) {
            pubsub_error_set(&wishes[i]->error, PUBSUB_ETIMEDOUT,
                             "no answer to making the topic '%s'", wishes[i]->name);
        } else {
            pubsub__kafka_explain(&wishes[i]->error, code, wishes[i]->name);
        }
    }
}

/* What is to be made, each name once. */
static size_t describe_all(const kaf_making *how, kaf_wish *const *wishes, size_t count,
                           rd_kafka_NewTopic_t **topics)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++) {
            again =
                wishes[k]->state == KAF_MISSING && strcmp(wishes[k]->name, wishes[i]->name) == 0;
        }
        if (wishes[i]->state != KAF_MISSING || again) {
            continue;
        }
        topics[used] = describe(how, wishes[i]->name, &wishes[i]->error);
        if (topics[used] == NULL) {
            wishes[i]->state = KAF_FAILED;
        } else {
            used++;
        }
    }
    return used;
}

/* Make all that are missing, by one request. */
static void create(rd_kafka_t *rk, const kaf_making *how, kaf_wish *const *wishes, size_t count)
{
    rd_kafka_NewTopic_t *topics[KAF_TOGETHER_MAX];
    size_t used = describe_all(how, wishes, count, topics);
    if (used == 0) {
        return;
    }
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    (void)rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, NULL, 0);
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, STEP_MS, NULL, 0);
    rd_kafka_CreateTopics(rk, topics, used, options, queue);
    rd_kafka_event_t *event = NULL;
    for (int waited = 0; event == NULL && waited < ANSWER_MS + STEP_MS && !stopped(how);
         waited += SLICE_MS) {
        event = rd_kafka_queue_poll(queue, SLICE_MS);
    }
    answer_all(wishes, count, event);
    if (event != NULL) {
        rd_kafka_event_destroy(event);
    }
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(topics, used);
}

static bool is_ours(const char *name)
{
    return strcmp(name, KAF_CONTAINER_TOPICS) == 0 || strcmp(name, KAF_CONTAINER_INBOX) == 0;
}

/* Tell those who subscribe by pattern, wherever they are, of topics that were made. When it cannot be told they find
 * them by themselves, later. */
static void announce(rd_kafka_t *rk, const kaf_making *how, kaf_wish *const *wishes, size_t count)
{
    rd_kafka_topic_t *rkt = NULL;
    int32_t partitions = 0;
    bool replicated = false;
    bool asked = false;
    for (size_t i = 0; i < count; i++) {
        const char *name = wishes[i]->name;
        if (wishes[i]->rkt == NULL || !wishes[i]->made || is_ours(name)) {
            continue;
        }
        if (!asked) {
            asked = true;
            (void)pubsub__kafka_make(rk, how, KAF_CONTAINER_TOPICS, STEP_MS, &rkt, &partitions,
                                     &replicated, NULL);
        }
        if (rkt != NULL) {
            (void)rd_kafka_produce(rkt, 0, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t) "", 0, name,
                                   strlen(name), NULL);
        }
    }
    if (rkt != NULL) {
        rd_kafka_topic_destroy(rkt);
    }
}

static bool is_over(const kaf_making *how, uint64_t until)
{
    return stopped(how) || pubsub__clock_mono_ns() >= until;
}

static void look_first(rd_kafka_t *rk, const kaf_making *how, uint64_t until, kaf_wish *wish,
                       int *patience_ms)
{
    wish->made = false;
    wish->rkt = rd_kafka_topic_new(rk, wish->name, NULL);
    if (wish->rkt == NULL) {
        wish->state = KAF_FAILED;
        pubsub__kafka_explain(&wish->error, rd_kafka_last_error(), wish->name);
        return;
    }
    if (is_over(how, until)) { /* those before it took all the time */
        wish->state = KAF_PENDING;
        pubsub_error_set(&wish->error, PUBSUB_ETIMEDOUT,
                         "the cluster does not answer about the topic '%s'", wish->name);
        return;
    }
    look(rk, wish, patience_ms);
    if (wish->state == KAF_MISSING && !how->create) {
        wish->state = KAF_FAILED;
        pubsub_error_set(&wish->error, PUBSUB_ENOTFOUND,
                         "Kafka has no topic '%s', and kafka.create=no says not to make it",
                         wish->name);
    }
}

/* Look again for those that are not there yet. */
static void look_again(rd_kafka_t *rk, const kaf_making *how, uint64_t until,
                       kaf_wish *const *wishes, size_t count, int *patience_ms)
{
    for (size_t i = 0; i < count && !is_over(how, until); i++) {
        if (wishes[i]->state == KAF_PENDING) {
            look(rk, wishes[i], patience_ms);
        }
    }
}

static bool is_pending(kaf_wish *const *wishes, size_t count)
{
    bool some = false;
    for (size_t i = 0; i < count; i++) {
        some = some || wishes[i]->state == KAF_PENDING;
    }
    return some;
}

static void finish(kaf_wish *wish)
{
    if (wish->state == KAF_FOUND) {
        wish->error = (pubsub_error)PUBSUB_ERROR_INIT;
        return;
    }
    if (wish->error.code == PUBSUB_OK) {
        pubsub_error_set(&wish->error, PUBSUB_ETIMEDOUT,
                         "the topic '%s' was made and cannot be seen yet", wish->name);
    }
    if (wish->rkt != NULL) {
        rd_kafka_topic_destroy(wish->rkt);
        wish->rkt = NULL;
    }
}

void pubsub__kafka_make_all(rd_kafka_t *rk, const kaf_making *how, kaf_wish *const *wishes,
                            size_t count, pubsub_duration_ms timeout)
{
    uint64_t until = pubsub__clock_mono_ns() + (uint64_t)timeout * 1000000u;
    int patience_ms = SLICE_MS; /* longer where the way is long */
    for (size_t i = 0; i < count; i++) {
        look_first(rk, how, until, wishes[i], &patience_ms);
    }
    create(rk, how, wishes, count);
    while (is_pending(wishes, count) && !is_over(how, until)) {
        pubsub__clock_sleep_until(pubsub__clock_mono_ns() + AGAIN_NS);
        look_again(rk, how, until, wishes, count, &patience_ms);
    }
    for (size_t i = 0; i < count; i++) {
        finish(wishes[i]);
    }
    announce(rk, how, wishes, count);
}

pubsub_err pubsub__kafka_make(rd_kafka_t *rk, const kaf_making *how, const char *name,
                              pubsub_duration_ms timeout, rd_kafka_topic_t **out,
                              int32_t *partitions, bool *replicated, pubsub_error *err)
{
    kaf_wish wish = {.name = name, .error = PUBSUB_ERROR_INIT};
    kaf_wish *const one = &wish;
    pubsub__kafka_make_all(rk, how, &one, 1, timeout);
    *out = wish.rkt;
    *partitions = wish.partitions;
    *replicated = wish.replicated;
    if (wish.rkt == NULL && err != NULL) {
        *err = wish.error;
    }
    return wish.rkt != NULL ? PUBSUB_OK : wish.error.code;
}
