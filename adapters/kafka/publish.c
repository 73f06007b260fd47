/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include "base/clock.h"

#include <string.h>

/* Messages on their way to the broker. The bytes of a publish stay in place until its outcome, so the library
 * gets them without a copy. */

#define PURGE_MS 100
#define AGAIN_MS 100

static void done_now(kaf_self *self, pubsub_spi_publish *publish, pubsub_outcome outcome,
                     const pubsub_error *error)
{
    (void)pubsub__kafka_done(self, publish, outcome, error);
    pubsub__kafka_tell(self);
}

/* ---- sending -------------------------------------------------------------------------------------- */

typedef enum sent { TAKEN, FULL, AGAIN } sent;

static bool shared(const kaf_self *self, pubsub_bytes topic)
{
    return self->naming.fold != NULL || pubsub__kafka_is_inbox(topic);
}

static rd_kafka_resp_err_t produce(kaf_self *self, kaf_topic *topic, pubsub_spi_publish *publish,
                                   rd_kafka_headers_t *headers)
{
    const pubsub_publication *pub = &publish->pub;
    bool confirmed = pub->qos > 0;
    int flags = confirmed ? 0 : RD_KAFKA_MSG_F_COPY;
    void *opaque = confirmed ? publish : NULL;
    bool tombstone = (pub->flags & PUBSUB_PUBLISH_TOMBSTONE) != 0;
    const void *payload = tombstone ? NULL : pub->payload.len > 0 ? pub->payload.data : "";
    pubsub_bytes key = pub->key;
    if (key.data == NULL && shared(self, pub->topic)) {
        key = pub->topic;
    }
    int32_t partition = key.data == NULL ? topic->keyless : RD_KAFKA_PARTITION_UA;
    if (headers == NULL) {
        int rc = rd_kafka_produce(topic->handle, partition, flags, (void *)(uintptr_t)payload,
                                  pub->payload.len, key.data, key.len, opaque);
        return rc == 0 ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_last_error();
    }
    /* Not with the library's RD_KAFKA_V_ macros, which are no ISO C. */
    return rd_kafka_producev(
        self->producer, RD_KAFKA_VTYPE_RKT, topic->handle, RD_KAFKA_VTYPE_PARTITION, partition,
        RD_KAFKA_VTYPE_MSGFLAGS, flags, RD_KAFKA_VTYPE_VALUE, (void *)(uintptr_t)payload,
        pub->payload.len, RD_KAFKA_VTYPE_KEY, (void *)(uintptr_t)key.data, key.len,
        RD_KAFKA_VTYPE_HEADERS, headers, RD_KAFKA_VTYPE_OPAQUE, opaque, RD_KAFKA_VTYPE_END);
}

/* To a topic that is ready. AGAIN: it is gone at the broker. */
static sent hand_over(kaf_self *self, kaf_topic *topic, pubsub_spi_publish *publish,
                      bool with_topic)
{
    rd_kafka_headers_t *headers = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_err rc =
        pubsub__kafka_encode_headers(&publish->pub, with_topic, publish->expires_ns, &headers);
    if (rc != PUBSUB_OK) {
        pubsub_error_set(&error, rc, "no memory for headers");
        done_now(self, publish, PUBSUB_NOT_SENT, &error);
        return TAKEN;
    }
    rd_kafka_resp_err_t code = produce(self, topic, publish, headers);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (publish->pub.qos > 0) {
            publish->data = topic->replicated ? self : NULL; /* the topic may be forgotten before */
            self->in_flight++;
        } else {
            (void)pubsub__kafka_done(self, publish, PUBSUB_ACCEPTED, NULL);
        }
        return TAKEN;
    }
    if (headers != NULL) {
        rd_kafka_headers_destroy(headers);
    }
    if (code == RD_KAFKA_RESP_ERR__FATAL && self->denied.code != PUBSUB_OK &&
        pubsub__clock_mono_ns() < self->refuse_until_ns) {
        done_now(self, publish, PUBSUB_REJECTED, &self->denied);
        return TAKEN;
    }
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        pubsub__kafka_producer_dead(self);
        return FULL;
    }
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        return FULL;
    }
    if (pubsub__kafka_is_gone(code)) {
        return AGAIN;
    }
    pubsub__kafka_explain(&error, code, topic->name);
    done_now(self, publish, PUBSUB_REJECTED, &error);
    return TAKEN;
}

/* While it is found out which message of a batch is too large. */
static bool holds_back(const kaf_self *self)
{
    return (self->careful > 0 || self->suspects > 0) && self->in_flight > 0;
}

static void park(kaf_self *self, kaf_topic *topic, pubsub_spi_publish *publish)
{
    self->parked++;
    publish->data = NULL;
    if (topic->waiting == NULL) {
        topic->waiting = publish;
    } else {
        topic->waiting_last->data = publish;
    }
    topic->waiting_last = publish;
}

/* The topic of a publish; the last one is remembered. */
static kaf_topic *route(kaf_self *self, pubsub_bytes topic, pubsub_error *err)
{
    char name[KAF_NAME_MAX + 1];
    size_t len = 0;
    if (self->last != NULL && topic.len == self->last_len &&
        memcmp(topic.data, self->last_topic, topic.len) == 0) {
        return self->last;
    }
    if (pubsub__kafka_container(&self->naming, topic, name, &len, err) != PUBSUB_OK) {
        return NULL;
    }
    kaf_topic *found = pubsub__kafka_topic(self, name, len);
    if (found == NULL) {
        pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for a topic");
        return NULL;
    }
    self->last = found;
    self->last_len = topic.len;
    memcpy(self->last_topic, topic.data, topic.len);
    self->last_in_header = pubsub__kafka_needs_topic(&self->naming, topic);
    return found;
}

/* False: not now. */
static bool submit_one(kaf_self *self, pubsub_spi_publish *publish)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    for (;;) {
        kaf_topic *topic = route(self, publish->pub.topic, &error);
        if (topic == NULL) {
            done_now(self, publish, error.code == PUBSUB_ENOMEM ? PUBSUB_NOT_SENT : PUBSUB_REJECTED,
                     &error);
            return true;
        }
        if (topic->state != KAF_TOPIC_READY) {
            park(self, topic, publish);
            return true;
        }
        sent result = hand_over(self, topic, publish, self->last_in_header);
        if (result != AGAIN) {
            return result == TAKEN;
        }
        pubsub__kafka_topic_drop(self, topic); /* and look for it anew */
    }
}

size_t pubsub__kafka_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count)
{
    kaf_self *self = ctx;
    size_t taken = 0;
    if (!self->up || self->producer == NULL) {
        return 0;
    }
    while (taken < count && !holds_back(self) && submit_one(self, publishes[taken])) {
        taken++;
    }
    self->starved = taken < count;
    pubsub__kafka_tell(self);
    return taken;
}

void pubsub__kafka_topic_answer(kaf_self *self, kaf_topic *topic, const pubsub_error *err)
{
    pubsub_spi_publish *publish = topic->waiting;
    pubsub_error full = PUBSUB_ERROR_INIT;
    pubsub_error_set(&full, PUBSUB_EAGAIN, "librdkafka's queue is full");
    topic->waiting = topic->waiting_last = NULL;
    while (publish != NULL) {
        pubsub_spi_publish *next = publish->data;
        publish->data = NULL;
        self->parked--;
        if (err != NULL) {
            bool later = pubsub_err_is_retryable(err->code);
            (void)pubsub__kafka_done(self, publish, later ? PUBSUB_NOT_SENT : PUBSUB_REJECTED, err);
        } else if (holds_back(self) || hand_over(self, topic, publish,
                                                 pubsub__kafka_needs_topic(
                                                     &self->naming, publish->pub.topic)) != TAKEN) {
            (void)pubsub__kafka_done(self, publish, PUBSUB_NOT_SENT, &full);
            err = &full; /* and those behind it, so that they keep their order */
        }
        publish = next;
    }
    pubsub__kafka_tell(self);
    if (err != NULL) {
        self->starved = true; /* what comes again waits for a word */
        pubsub_timer_start(self->again, AGAIN_MS);
        if (err != &full) {
            pubsub__kafka_topic_drop(self, topic);
        }
    }
}

/* ---- the end -------------------------------------------------------------------------------------- */

static void drain(kaf_self *self, int timeout_ms)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(self->events, timeout_ms);
    while (event != NULL) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
            pubsub__kafka_delivered(self, event);
        }
        rd_kafka_event_destroy(event);
        event = rd_kafka_queue_poll(self->events, 0);
    }
}

void pubsub__kafka_publish_end(kaf_self *self, const pubsub_error *err)
{
    for (kaf_topic *topic = self->oldest; topic != NULL;) {
        kaf_topic *newer = topic->newer;
        pubsub_spi_publish *publish = topic->waiting;
        topic->waiting = topic->waiting_last = NULL;
        while (publish != NULL) {
            pubsub_spi_publish *next = publish->data;
            publish->data = NULL;
            self->parked--;
            (void)pubsub__kafka_done(self, publish, PUBSUB_NOT_SENT, err);
            publish = next;
        }
        topic = newer;
    }
    pubsub__kafka_tell(self);
    if (self->producer != NULL && self->in_flight > 0) {
        (void)rd_kafka_purge(self->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                                 RD_KAFKA_PURGE_F_NON_BLOCKING);
    }
    /* Its threads read the bytes until they have let go: nothing may end before. */
    while (self->producer != NULL && self->in_flight > 0) {
        drain(self, PURGE_MS);
    }
    pubsub__kafka_topics_free(self, false);
}
