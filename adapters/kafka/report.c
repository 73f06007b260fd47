/* SPDX-License-Identifier: MIT */
#include "kafka/adapter.h"

#include <string.h>

/* What became of messages: delivery reports become outcomes, many at a time. */

#define AGAIN_MS 100

void pubsub__kafka_tell(kaf_self *self)
{
    size_t count = self->done_count;
    self->done_count = 0;
    self->failure.code = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (count > 0) {
        pubsub_sink_outcomes(self->sink, self->done, count);
    }
}

pubsub_spi_outcome *pubsub__kafka_done(kaf_self *self, pubsub_spi_publish *publish,
                                       pubsub_outcome outcome, const pubsub_error *error)
{
    if (self->done_count == KAF_DONE_MAX) {
        pubsub__kafka_tell(self);
    }
    pubsub_spi_outcome *out = &self->done[self->done_count++];
    *out =
        (pubsub_spi_outcome){publish, outcome, PUBSUB_CONFIRM_NONE, 0, PUBSUB_POSITION_NONE, error};
    return out;
}

/* ---- failures ------------------------------------------------------------------------------------- */

/* What comes again waits for a word, which comes soon. */
static void comes_again(kaf_self *self)
{
    if (!self->starved && self->again != NULL) {
        pubsub_timer_start(self->again, AGAIN_MS);
    }
    self->starved = true;
}

/* Many fail for one reason: these have one error, and are told together, because each that comes again has to find
 * its place in a long queue. */
static pubsub_error *reason(kaf_self *self, const rd_kafka_message_t *message)
{
    kaf_failure *failure = &self->failure;
    if (self->done_count == KAF_DONE_MAX || failure->code != message->err ||
        failure->rkt != message->rkt) {
        pubsub__kafka_tell(self);
        pubsub__kafka_explain(&failure->error, message->err, rd_kafka_topic_name(message->rkt));
        failure->code = message->err;
        failure->rkt = message->rkt;
    }
    return &failure->error;
}

/* The library puts many messages into one batch, and the broker's limit is for a batch. So the messages of one that is
 * refused go out again: in smaller batches, or, when one of them would not fit into these, one by one, and the one that
 * is refused alone is too large. */
static void too_large(kaf_self *self, pubsub_spi_publish *publish, bool alone,
                      const rd_kafka_message_t *message)
{
    pubsub_error *error = reason(self, message);
    size_t size = message->len + message->key_len;
    if (alone) {
        pubsub_error_set(error, PUBSUB_ETOOBIG,
                         "the broker takes no message of %zu bytes for '%.80s', see "
                         "max.message.bytes of that topic",
                         size, rd_kafka_topic_name(message->rkt));
        error->native_code = message->err;
        (void)pubsub__kafka_done(self, publish, PUBSUB_REJECTED, error);
        pubsub__kafka_tell(self);
        return;
    }
    error->code = PUBSUB_ELOST;
    self->suspects++;
    self->biggest = size > self->biggest ? size : self->biggest;
    comes_again(self);
    (void)pubsub__kafka_done(self, publish, PUBSUB_NOT_SENT, error);
}

/* After the reports that came together, where a batch was refused. */
static void after_refusal(kaf_self *self)
{
    uint32_t smaller = self->batch_size == 0 ? KAF_BATCH_SMALL : KAF_BATCH_LEAST;
    if (self->batch_size != KAF_BATCH_LEAST && self->biggest + KAF_BATCH_REST < smaller) {
        self->batch_size = smaller;
        pubsub_error_set(
            &self->renew, PUBSUB_ELOST,
            "a batch is larger than max.message.bytes of its topic: from now on batches "
            "have at most %u bytes, unless kafka.batch.size says other",
            smaller);
    } else if (self->in_flight == 0) {
        self->careful += self->suspects;
        self->suspects = 0;
        self->biggest = 0;
    }
}

bool pubsub__kafka_is_gone(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static void failed(kaf_self *self, pubsub_spi_publish *publish, bool alone,
                   const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        too_large(self, publish, alone, message);
        return;
    }
    pubsub_error *error = reason(self, message);
    pubsub_outcome outcome = rd_kafka_message_status(message) == RD_KAFKA_MSG_STATUS_NOT_PERSISTED
                                 ? PUBSUB_NOT_SENT
                                 : PUBSUB_UNKNOWN;
    if (pubsub__kafka_is_gone(message->err)) {
        pubsub__kafka_topic_gone(self, rd_kafka_topic_name(message->rkt));
        error->code = PUBSUB_ELOST; /* it is looked for anew */
    }
    if (pubsub_err_is_retryable(error->code)) {
        comes_again(self);
    } else if (outcome == PUBSUB_NOT_SENT) {
        outcome = PUBSUB_REJECTED;
    }
    (void)pubsub__kafka_done(self, publish, outcome, error);
}

/* ---- reports -------------------------------------------------------------------------------------- */

static void delivered(kaf_self *self, const rd_kafka_message_t *message)
{
    pubsub_spi_publish *publish = message->_private;
    if (publish == NULL) {
        return; /* qos 0, an announcement */
    }
    bool replicated = publish->data != NULL;
    bool alone = self->careful > 0;
    self->in_flight--;
    self->careful -= alone ? 1 : 0;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        failed(self, publish, alone, message);
        return;
    }
    pubsub_spi_outcome *out = pubsub__kafka_done(self, publish, PUBSUB_ACCEPTED, NULL);
    out->confirm = replicated ? PUBSUB_CONFIRM_REPLICATED : PUBSUB_CONFIRM_WRITTEN;
    out->position.adapter = &pubsub__adapter_kafka;
    out->position.word[0] = (uint64_t)message->partition;
    out->position.word[1] = (uint64_t)message->offset;
}

void pubsub__kafka_delivered(kaf_self *self, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *message = NULL;
    while ((message = rd_kafka_event_message_next(event)) != NULL) {
        delivered(self, message);
    }
    pubsub__kafka_tell(self);
    if (self->suspects > 0 && self->up) {
        after_refusal(self);
    }
}
