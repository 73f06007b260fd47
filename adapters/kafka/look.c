/* SPDX-License-Identifier: MIT */
#include "kafka/consumer.h"

#include "base/alloc.h"

/* Jobs of consumers, the I/O thread's side. */

typedef struct looking {
    kaf_look look;
    void (*done)(kaf_look *look, bool dropped);
} looking;

static void run(kaf_job *job)
{
    pubsub__kafka_look_run((kaf_look *)(void *)job);
}

static void free_list(rd_kafka_topic_partition_list_t *list)
{
    if (list != NULL) {
        rd_kafka_topic_partition_list_destroy(list);
    }
}

static void finish(kaf_job *job, bool dropped)
{
    looking *this = (looking *)(void *)job;
    kaf_look *look = &this->look;
    kaf_consumer *consumer = look->consumer;
    kaf_sub *sub = look->sub;
    if (dropped && look->kind == KAF_LOOK_CLOSE) {
        pubsub__kafka_look_run(look); /* at the very end it may block here */
    }
    this->done(look, dropped);
    free_list(look->list);
    free_list(look->known);
    free_list(look->old);
    free_list(look->ends);
    if (sub != NULL) {
        sub->jobs--;
        pubsub__kafka_sub_reap(sub);
    }
    consumer->jobs--;
    pubsub__kafka_consumer_reap(consumer);
    pubsub__free(this);
}

kaf_look *pubsub__kafka_look_new(kaf_look_kind kind, kaf_self *self, kaf_sub *sub,
                                 kaf_consumer *consumer, void (*done)(kaf_look *look, bool dropped))
{
    looking *this = pubsub__calloc(1, sizeof(*this));
    if (this == NULL) {
        return NULL;
    }
    kaf_look *look = &this->look;
    this->done = done;
    look->job.run = run;
    look->job.done = finish;
    look->kind = kind;
    look->self = self;
    look->sub = sub;
    look->consumer = consumer;
    look->rk = consumer->rk;
    look->producer = self->producer;
    consumer->jobs++;
    if (sub != NULL) {
        sub->jobs++;
    }
    return look;
}

void pubsub__kafka_look_do(kaf_look *look)
{
    pubsub__kafka_worker_do(look->self->worker, &look->job);
}
