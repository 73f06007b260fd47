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
#include "kafka/options.h"
#include "kafka/worker.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

#include <librdkafka/rdkafka.h>

#include <stdatomic.h>

typedef struct kaf_self kaf_self;
typedef struct kaf_topic kaf_topic;
typedef struct kaf_sub kaf_sub;

/* ---- topics (topics.c): what the producer knows of containers ---- */

typedef enum kaf_topic_state {
    KAF_TOPIC_NEW = 0,
    KAF_TOPIC_ASKED = 1, /* the worker looks for it or makes it */
    KAF_TOPIC_READY = 2
} kaf_topic_state;

struct kaf_topic {
    kaf_topic *next;          /* of its hash bucket */
    kaf_topic *older, *newer; /* by the last use */
    rd_kafka_topic_t *handle; /* NULL before READY */
    kaf_topic_state state;
    int32_t partitions;
    int32_t keyless;             /* the partition of messages without a key */
    bool replicated;             /* its partitions have more than one copy */
    pubsub_spi_publish *waiting; /* published while it was being made, in order; linked by `data` */
    pubsub_spi_publish *waiting_last;
    size_t len;
    char name[KAF_NAME_MAX + 1];
};

/* How containers are made that are not there. */
typedef struct kaf_making {
    const atomic_bool *stop; /* set when nobody waits any more; NULL = never */
    bool create;
    int partitions;
    int replication; /* -1 = as the broker is set */
} kaf_making;

/* ---- the instance ---- */

/* Outcomes that are told together. */
enum { KAF_DONE_MAX = 256 };
/* Sizes of batches for brokers that refuse librdkafka's of 1 MB, and what a batch of one has beside it. */
enum { KAF_BATCH_SMALL = 60 * 1024, KAF_BATCH_LEAST = 8 * 1024, KAF_BATCH_REST = 1024 };

/* Why the last messages that failed did. */
typedef struct kaf_failure {
    rd_kafka_resp_err_t code; /* 0 = nothing is remembered */
    rd_kafka_topic_t *rkt;
    pubsub_error error;
} kaf_failure;

struct kaf_self {
    pubsub_sink *sink;
    const pubsub_adapter_config *config;
    kaf_naming naming;
    kaf_making making;
    atomic_bool stop; /* the client ends: the worker hurries */
    bool spread;      /* messages without a key go to any partition */
    rd_kafka_t *producer;
    rd_kafka_queue_t *events; /* the producer's: delivery reports, errors, log */
    int wake_fd;
    pubsub_watch *watch;
    pubsub_timer *rest;  /* of a long queue */
    pubsub_timer *alive; /* asks for a sign of life */
    pubsub_timer *again; /* what could not be done is tried again */
    kaf_worker *worker;
    bool up;
    bool paused;
    bool closing;
    /* link.c */
    struct kaf_connect *connecting; /* the job that does it; NULL = none */
    pubsub_duration_ms keep_alive;
    pubsub_duration_ms silent; /* for so long there was no sign of life */
    bool probing;              /* a job asks whether the cluster is there again */
    bool retiring;             /* the producer is destroyed, then `closed` is told */
    pubsub_error renew;        /* why another producer has to take over; code OK = it need not */
    pubsub_error denied;       /* this producer got no id: it may write nowhere */
    uint64_t refuse_until_ns;  /* ... and the one before neither, so that messages are refused */
    bool tried;                /* it took over from one that got no id */
    pubsub_error lost;         /* the last error of a broker, for who asks why */
    /* topics.c */
    kaf_topic **buckets;
    size_t bucket_count;
    size_t topic_count;
    kaf_topic *oldest, *newest;
    /* publish.c */
    size_t in_flight;    /* with the library, at qos 1 */
    size_t parked;       /* their topics are not ready */
    uint32_t suspects;   /* in a batch that the broker found too large */
    size_t biggest;      /* of them */
    uint32_t batch_size; /* 0 = librdkafka's */
    uint32_t careful;    /* so many are sent one by one: the broker found a batch too large */
    bool starved;        /* submit took less than it was offered */
    pubsub_spi_outcome *done;
    size_t done_count;
    kaf_failure failure;
    char last_topic[PUBSUB_TOPIC_MAX]; /* many messages have the same one */
    size_t last_len;
    bool last_in_header; /* it goes with each message */
    kaf_topic *last;
    /* consumer.c */
    kaf_sub *subs;
    struct kaf_consumer *consumers;
    pubsub_timer *tick; /* of all consumers */
    uint64_t tick_ns;   /* when it runs, 0 = does not */
    bool flush_asked;   /* pubsub_sink_flushed is owed */
};

extern const pubsub_adapter pubsub__adapter_kafka;

/* conf.c: librdkafka's configuration from ours; caps.c: capabilities and options */
/* A configuration with everything that holds for producers and consumers: hosts, TLS, login, the kafka.<name>
 * of the options. NULL with an error. */
rd_kafka_conf_t *pubsub__kafka_conf(const kaf_self *self, const pubsub_options *options,
                                    rd_kafka_type_t type, pubsub_error *err);
/* The check of the row "*", and of the URL and options as a whole. */
pubsub_err pubsub__kafka_conf_check(const pubsub_adapter_config *config, pubsub_error *err);
/* Whether kafka.<name> is an option of ours and not a setting of librdkafka. */
bool pubsub__kafka_own_option(const char *name);
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
void pubsub__kafka_wake(void *ctx);
/* The producer takes nothing any more: another one takes over, in a later turn. */
void pubsub__kafka_producer_dead(kaf_self *self);
/* Go on with closing; the consumers say so when they are closed. */
void pubsub__kafka_close_step(kaf_self *self);
/* Have `queue` write to wake_fd when it gets its first event. */
void pubsub__kafka_listen(kaf_self *self, rd_kafka_queue_t *queue);

/* make.c. Thread: the worker's. Look for containers, make them where that is wished for and they are not there, and wait
 * until each partition has a leader. */

typedef enum kaf_found {
    KAF_NOT_LOOKED = 0,
    KAF_FOUND = 1,
    KAF_MISSING = 2,
    KAF_PENDING = 3,
    KAF_FAILED = 4
} kaf_found;

typedef struct kaf_wish {
    const char *name;
    /* out */
    rd_kafka_topic_t *rkt; /* NULL with `error`; destroy it */
    int32_t partitions;
    bool replicated;
    /* PUBSUB_ENOTFOUND where it is not to be made, PUBSUB_EDENIED, PUBSUB_ETOPIC for a name that clashes, a retryable
     * error when the cluster gives no answer */
    pubsub_error error;
    /* meanwhile */
    kaf_found state;
    bool made;
} kaf_wish;

/* At most KAF_TOGETHER_MAX. */
void pubsub__kafka_make_all(rd_kafka_t *rk, const kaf_making *how, kaf_wish *const *wishes,
                            size_t count, pubsub_duration_ms timeout);
/* One, by its name: *out is NULL unless PUBSUB_OK is returned. */
pubsub_err pubsub__kafka_make(rd_kafka_t *rk, const kaf_making *how, const char *name,
                              pubsub_duration_ms timeout, rd_kafka_topic_t **out,
                              int32_t *partitions, bool *replicated, pubsub_error *err);

/* topics.c */
/* The topic of a container, made at the broker when it is not there. While it is not READY its publishes are
 * parked. NULL when memory is short. */
kaf_topic *pubsub__kafka_topic(kaf_self *self, const char *name, size_t len);
/* Forget one that is gone at the broker. */
void pubsub__kafka_topic_drop(kaf_self *self, kaf_topic *topic);
void pubsub__kafka_topic_gone(kaf_self *self, const char *name);
void pubsub__kafka_topics_free(kaf_self *self, bool forked);

/* publish.c */
size_t pubsub__kafka_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count);
/* report.c. Outcomes are collected and told together. `error` lives until they are. */
pubsub_spi_outcome *pubsub__kafka_done(kaf_self *self, pubsub_spi_publish *publish,
                                       pubsub_outcome outcome, const pubsub_error *error);
void pubsub__kafka_tell(kaf_self *self);
/* Whether an error says that the topic, or a partition of it, is not there. */
bool pubsub__kafka_is_gone(rd_kafka_resp_err_t code);
/* Delivery reports -> one pubsub_sink_outcomes. */
void pubsub__kafka_delivered(kaf_self *self, rd_kafka_event_t *event);
/* The topic is ready, or cannot be had (err): send or refuse what waited for it. */
void pubsub__kafka_topic_answer(kaf_self *self, kaf_topic *topic, const pubsub_error *err);
/* Have the library let go of everything in flight; it and what waits end as unknown or not sent. */
void pubsub__kafka_publish_end(kaf_self *self, const pubsub_error *err);

/* consumer.c, assign.c, receive.c, window.c */
void pubsub__kafka_subscribe(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__kafka_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget);
void pubsub__kafka_ack(void *ctx, const pubsub_spi_ack *acks, size_t count);
void pubsub__kafka_credit(void *ctx, pubsub_spi_subscription *subscription);
bool pubsub__kafka_flush(void *ctx);
/* Something may wait in the queues of consumers. */
void pubsub__kafka_consumers_serve(kaf_self *self);
/* End all of them: leave their groups, commit. Called again until it returns true, after each
 * pubsub__kafka_close_step. */
bool pubsub__kafka_consumers_close(kaf_self *self);
void pubsub__kafka_consumers_free(kaf_self *self, bool forked);

#endif
