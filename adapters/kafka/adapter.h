/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_KAFKA_ADAPTER_H
#define PUBSUB_KAFKA_ADAPTER_H

/* The Kafka adapter over librdkafka.
 *
 *   link 0     the producer: one per client, idempotent, acks=all. Its library reconnects by itself, so a
 *              lost cluster is link_paused, and link_up follows when metadata can be had again
 *   consumers  one for each distinct group and set of options (consumer.c); they live on link 0, too
 *   worker     one thread per client for calls of the library that block: metadata, committed offsets,
 *              watermarks, offsets by time, creating topics. It touches nothing but its job (worker.h)
 *
 * Everything else runs on the client's I/O thread. The library's queues write to one eventfd (wake_fd), which
 * is watched: they are drained until they are empty, because the signal is edge-triggered. */

#include "kafka/map.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

#include <librdkafka/rdkafka.h>

typedef struct kaf_self kaf_self;
typedef struct kaf_topic kaf_topic;
typedef struct kaf_sub kaf_sub;
typedef struct kaf_worker kaf_worker;

/* ---- topics (topics.c): what the producer knows of containers ---- */

typedef enum kaf_topic_state {
    KAF_TOPIC_NEW = 0,
    KAF_TOPIC_ASKED = 1, /* the worker looks for it or makes it */
    KAF_TOPIC_READY = 2
} kaf_topic_state;

struct kaf_topic {
    kaf_topic *next; /* of its hash bucket */
    kaf_topic *older, *newer;
    rd_kafka_topic_t *handle; /* NULL before READY */
    kaf_topic_state state;
    pubsub_spi_publish **waiting; /* published while it was being made, in order */
    size_t waiting_count;
    size_t waiting_size;
    size_t in_flight; /* a topic with messages is never thrown out of the cache */
    char name[KAF_NAME_MAX + 1];
};

/* ---- the instance ---- */

struct kaf_self {
    pubsub_sink *sink;
    const pubsub_adapter_config *config;
    kaf_naming naming;
    rd_kafka_t *producer;
    rd_kafka_queue_t *events; /* the producer's: delivery reports, errors, log */
    int wake_fd;
    pubsub_watch *watch;
    kaf_worker *worker;
    bool up;
    bool paused;
    bool closing;
    /* topics.c */
    kaf_topic **buckets;
    size_t bucket_count;
    size_t topic_count;
    /* publish.c */
    size_t in_flight;
    bool starved; /* submit took less than it was offered */
    /* consumer.c */
    kaf_sub *subs;
};

/* conf.c: librdkafka's configuration from ours; caps.c: capabilities and options */
extern const pubsub_option_row pubsub__kafka_option_rows[];
/* A configuration with everything that holds for producers and consumers: hosts, TLS, login, the kafka.<name>
 * of the options. NULL with an error. */
rd_kafka_conf_t *pubsub__kafka_conf(const kaf_self *self, const pubsub_options *options,
                                    rd_kafka_type_t type, pubsub_error *err);
pubsub_err pubsub__kafka_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                              pubsub_error *err);
pubsub_err pubsub__kafka_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                   const pubsub_request *request, pubsub_answer *answer,
                                   pubsub_error *err);
pubsub_err pubsub__kafka_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                               const pubsub_publication *publication, pubsub_error *err);

/* errors.c */
pubsub_err pubsub__kafka_code(rd_kafka_resp_err_t code);
void pubsub__kafka_explain(pubsub_error *err, rd_kafka_resp_err_t code, const char *what);

/* link.c: connect, disconnect, close, the queue of events, cluster lost and found again */
pubsub_err pubsub__kafka_connect(void *ctx, uint32_t link, pubsub_error *err);
void pubsub__kafka_disconnect(void *ctx, uint32_t link, bool final);
void pubsub__kafka_close(void *ctx, pubsub_duration_ms left);
/* Have `queue` write to wake_fd when it gets its first event. */
void pubsub__kafka_listen(kaf_self *self, rd_kafka_queue_t *queue);

/* topics.c */
/* The topic of a container, made at the broker when it is not there. While it is not READY the caller parks its
 * publishes in `waiting`. NULL when memory is short. */
kaf_topic *pubsub__kafka_topic(kaf_self *self, const char *name, size_t len);
void pubsub__kafka_topics_free(kaf_self *self);
/* For a job of the worker: a container exists, with leaders, when this returns OK; it is made where it does not
 * and kafka.create allows it, and announced then. Blocks for `timeout` at most. Touches nothing of `self` that
 * changes after `init`. The job of pubsub__kafka_topic and the ones of subscribing both call it. */
pubsub_err pubsub__kafka_topic_ensure(kaf_self *self, rd_kafka_t *producer, const char *name,
                                      pubsub_duration_ms timeout, pubsub_error *err);

/* publish.c */
size_t pubsub__kafka_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count);
/* Delivery reports -> one pubsub_sink_outcomes. */
void pubsub__kafka_delivered(kaf_self *self, rd_kafka_event_t *event);
/* The topic is ready, or cannot be had (err): send or refuse what waited for it. */
void pubsub__kafka_topic_answer(kaf_self *self, kaf_topic *topic, const pubsub_error *err);
/* Everything in flight and waiting ends with this. */
void pubsub__kafka_publish_end(kaf_self *self, const pubsub_error *err);

/* consumer.c, assign.c, receive.c, window.c */
void pubsub__kafka_subscribe(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__kafka_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget);
void pubsub__kafka_ack(void *ctx, const pubsub_spi_ack *acks, size_t count);
void pubsub__kafka_credit(void *ctx, pubsub_spi_subscription *subscription);
bool pubsub__kafka_flush(void *ctx);
/* Something may wait in the queues of consumers. */
void pubsub__kafka_consumers_serve(kaf_self *self);
/* End all of them: leave their groups, commit; returns true when that is done, else `closed` comes later. */
bool pubsub__kafka_consumers_close(kaf_self *self);
void pubsub__kafka_consumers_free(kaf_self *self, bool forked);

#endif
