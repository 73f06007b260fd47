/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_KAFKA_CONSUMER_H
#define PUBSUB_KAFKA_CONSUMER_H

/* The consuming side, on the I/O thread but for jobs.c:
 *
 *   subscribe.c  the members of the adapter: what a subscription asks for, acks, flush
 *   consumer.c   consumers of the library and their partitions; ending them
 *   assign.c     subscriptions without a group: partitions with explicit offsets, and those that come later
 *   group.c      subscriptions of a group: partitions come and go by rebalances
 *   commit.c     what is settled becomes committed
 *   receive.c    from the library's queue to the core; pausing, errors
 *   jobs.c       what blocks, on the worker's thread: it touches only its job, and what never changes
 *   window.c     what of a partition is settled
 *
 * Subscriptions without a group and with equal settings share a consumer: each of its partitions has takers, the
 * subscriptions that want its messages, each from an offset of its own. A group has a consumer of its own. */

#include "kafka/adapter.h"
#include "kafka/window.h"
#include "kafka/worker.h"

#include <regex.h>

typedef struct kaf_consumer kaf_consumer;
typedef struct kaf_part kaf_part;
typedef struct kaf_look kaf_look;

enum {
    KAF_BUCKETS = 256,
    KAF_BATCH = 256,     /* messages of one turn of one consumer */
    KAF_COMMIT_MS = 200, /* how long acks are collected */
    KAF_DRY_MS = 1500,   /* a group without credit for so long: its partitions are paused */
    KAF_CUT_MS =
        60000, /* so long after a cut a durable name may have been taken over by its earlier self */
    KAF_LEAVE_MS = 200,     /* without credit beside others for so long: a consumer of its own */
    KAF_REFRESH_MS = 10000, /* how often is looked for new partitions and topics nobody announced */
    KAF_STEP_MS = 5000,     /* longest wait for one answer */
    KAF_AGAIN_MS = 20       /* between two looks at handlers that are to end */
};

/* A subscription that takes messages of a partition. */
typedef struct kaf_taker {
    kaf_sub *sub; /* NULL = the reader of announcements */
    int64_t from;
} kaf_taker;

struct kaf_part {
    kaf_part *next; /* of its bucket */
    char *topic;
    size_t topic_len;
    int32_t number;
    uint32_t slot;    /* in parts of its consumer; with the epoch the token */
    uint32_t epoch;   /* of its assignment: acks of an older one are dropped */
    bool live;        /* assigned */
    bool paused;      /* alone: its window is full */
    int64_t position; /* the next offset that may come; below 0 = as the library finds it */
    /* no group */
    kaf_taker *takers;
    size_t taker_count;
    size_t taker_size;
    /* group */
    kaf_window window;
    int64_t asked;     /* committed, or on the way */
    int64_t committed; /* by the broker's answer */
    int64_t unsure;    /* below it another member may have had a message before */
    bool reset;        /* its offset is gone: it begins again at the earliest */
};

typedef enum kaf_stage {
    KAF_STAGE_IDLE = 0,    /* nothing assigned, nothing on the way */
    KAF_STAGE_LOOKING = 1, /* assigned by the group; where to begin is looked up */
    KAF_STAGE_READING = 2,
    KAF_STAGE_REVOKED = 3,    /* waits for handlers */
    KAF_STAGE_COMMITTING = 4, /* the last commit of what was taken away */
    KAF_STAGE_CLOSING = 5     /* the worker has it */
} kaf_stage;

struct kaf_consumer {
    kaf_consumer *next;
    kaf_self *self;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_queue_t *commits; /* their answers */
    uint64_t settings;         /* hash: who may share it */
    bool grouped;
    bool shared;     /* takes further subscriptions with its settings */
    size_t watchers; /* groups that want its announcements */
    kaf_stage stage;
    kaf_sub *subs; /* linked by `peer`; of a group exactly one */
    size_t jobs;
    kaf_part **parts;
    size_t part_count;
    size_t part_size;
    kaf_part *buckets[KAF_BUCKETS];
    kaf_part *last;                            /* messages come in runs */
    size_t left;                               /* revoked messages that are still with handlers */
    uint32_t epochs;                           /* used so far */
    rd_kafka_topic_partition_list_t *assigned; /* told by a rebalance, not dealt with yet */
    bool revoked;                              /* told, not dealt with yet */
    bool lost;                                 /* the group has gone on without us */
    bool starts_due; /* the starts are being committed: then it is subscribed */
    uint64_t revoke_until_ns;
    bool dirty;
    bool committing;
    uint64_t commit_due_ns;
    uint64_t cut_ns; /* when a broker was last lost, 0 = never */
    bool paused;
    uint64_t dry_ns; /* without credit since, 0 = has some */
    bool growing;    /* a job looks for partitions */
    bool wants_grow; /* and shall again */
    uint64_t grow_due_ns;
    bool reads_topics; /* the announcements */
    bool topics_asked;
    rd_kafka_topic_partition_list_t *announced; /* topics to look at */
    bool resets;                         /* some partitions are to begin again at the earliest */
    bool resetting;                      /* a job looks where that is */
    uint64_t again_ns;                   /* what failed is tried again then; 0 = nothing */
    rd_kafka_message_t *held[KAF_BATCH]; /* taken from the library, on the way to the core */
    kaf_part *held_parts[KAF_BATCH];
    size_t held_count;
};

struct kaf_sub {
    kaf_sub *next; /* of the instance */
    kaf_sub *peer; /* of the consumer */
    kaf_self *self;
    pubsub_spi_subscription *spi; /* NULL when it ended and only a job still knows it */
    kaf_consumer *consumer;       /* NULL = none yet */
    kaf_consumer *watcher;        /* group with wildcards: the one that reads the announcements */
    size_t jobs;
    /* fixed */
    bool grouped;
    bool inbox;
    bool durable;
    bool no_ack;
    char *group;
    char **names; /* of containers, from the literal patterns */
    size_t name_count;
    char **texts; /* "^...$" of the others */
    regex_t *exprs;
    size_t expr_count;
    pubsub_bytes literal; /* the only pattern, if it has no wildcard */
    /* */
    bool begun;    /* its beginning is known: `from` counts no more */
    bool answered; /* subscribed since the last `subscribe` */
    bool resumed;
    bool fresh;      /* the group had no position when it began */
    bool lost;       /* told to the core, which will ask for it again or end it */
    bool empty;      /* the last thing known of its credit is that there is none */
    bool given;      /* it has what of `held` is its */
    uint64_t dry_ns; /* without credit since */
    rd_kafka_topic_partition_list_t *known; /* group: partitions there were when it began */
};

/* ---- jobs.c, look.c ---- */

typedef enum kaf_look_kind {
    KAF_LOOK_BEGIN,    /* no group: which partitions, and where each begins */
    KAF_LOOK_GROUP,    /* what the group has at its beginning */
    KAF_LOOK_STARTS,   /* where assigned partitions begin */
    KAF_LOOK_EARLIEST, /* the earliest offsets of `list` */
    KAF_LOOK_GROW,     /* `list`: topics -> all their partitions; `all`: of all topics */
    KAF_LOOK_TOPICS,   /* the end of the announcements */
    KAF_LOOK_ALL,      /* have the library see new topics */
    KAF_LOOK_COMMIT,   /* `list`, and wait for the answer */
    KAF_LOOK_CLOSE     /* commit `list`, leave, end, with `forget` delete the group */
} kaf_look_kind;

struct kaf_look {
    kaf_job job;
    kaf_look_kind kind;
    kaf_self *self; /* for `done`; the job itself reads only how containers are made */
    kaf_sub *sub;
    kaf_consumer *consumer;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue, *commits;
    rd_kafka_t *producer;
    pubsub_from from;
    bool forget;
    bool all;
    bool fresh;
    bool reset;
    bool ever; /* begun before: what is not known begins at its beginning */
    rd_kafka_topic_partition_list_t *list; /* in and out, with offsets */
    rd_kafka_topic_partition_list_t *known;
    rd_kafka_topic_partition_list_t *old;  /* partitions this consumer had before */
    rd_kafka_topic_partition_list_t *ends; /* out: of the partitions of `list` */
    bool resumed;
    pubsub_error err; /* of the job; code OK = fine */
};

/* A job for the worker; counted at its sub and consumer until `done`. NULL when memory is short. */
kaf_look *pubsub__kafka_look_new(kaf_look_kind kind, kaf_self *self, kaf_sub *sub,
                                 kaf_consumer *consumer,
                                 void (*done)(kaf_look *look, bool dropped));
void pubsub__kafka_look_do(kaf_look *look);
/* Thread: the worker's. */
void pubsub__kafka_look_run(kaf_look *look);
/* Whether this thread is about to close a consumer: then a callback must touch nothing else. */
bool pubsub__kafka_look_closes(void);
/* Whether a container belongs to a subscription. Thread: any. */
bool pubsub__kafka_sub_wants(const kaf_sub *sub, const char *topic);

/* ---- consumer.c ---- */

/* A consumer for a subscription; NULL with an error. */
kaf_consumer *pubsub__kafka_consumer_new(kaf_sub *sub, pubsub_error *err);
/* One without a group that others with the same settings use, too. */
kaf_consumer *pubsub__kafka_consumer_shared(kaf_sub *sub, pubsub_error *err);
void pubsub__kafka_consumer_join(kaf_consumer *consumer, kaf_sub *sub);
/* The subscription leaves its consumer; the last one ends it. `forget`: the group's positions, too. */
void pubsub__kafka_consumer_leave(kaf_sub *sub, bool forget);
kaf_part *pubsub__kafka_part(kaf_consumer *consumer, const char *topic, int32_t number);
kaf_part *pubsub__kafka_part_add(kaf_consumer *consumer, const char *topic, int32_t number);
bool pubsub__kafka_part_take(kaf_part *part, kaf_sub *sub, int64_t from);
/* Free what nobody refers to any more. */
void pubsub__kafka_consumer_reap(kaf_consumer *consumer);
void pubsub__kafka_sub_reap(kaf_sub *sub);
/* Have the timer run at that time at the latest. */
void pubsub__kafka_tick_at(kaf_self *self, uint64_t when_ns);

/* ---- assign.c ---- */
void pubsub__kafka_assign_begin(kaf_sub *sub);
/* Have a consumer read the announcements of topics. */
void pubsub__kafka_assign_watch(kaf_consumer *consumer, kaf_sub *sub);
/* Time passed. */
void pubsub__kafka_assign_tick(kaf_consumer *consumer, uint64_t now);
/* The announcement of a topic; groups with wildcards look for themselves. */
void pubsub__kafka_announced(kaf_consumer *consumer, const char *topic, size_t len);
/* A subscription goes on with a consumer of its own. */
void pubsub__kafka_assign_split(kaf_sub *sub);
/* Partitions without takers are given back. */
void pubsub__kafka_assign_prune(kaf_consumer *consumer);

/* ---- reset.c ---- */
/* The offset of a partition is not there any more: it goes on at the earliest, and that is told. */
void pubsub__kafka_reset(kaf_consumer *consumer, kaf_part *part);
void pubsub__kafka_reset_tick(kaf_consumer *consumer);

/* ---- group.c ---- */
void pubsub__kafka_group_begin(kaf_sub *sub);
void pubsub__kafka_group_tick(kaf_consumer *consumer, uint64_t now);
/* What librdkafka says about connections; the one of rd_kafka_conf_set_error_cb. */
void pubsub__kafka_consumer_says(rd_kafka_t *rk, int code, const char *reason, void *opaque);
void pubsub__kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                             rd_kafka_topic_partition_list_t *list, void *opaque);
/* What a rebalance told is dealt with outside of the library's call. */
void pubsub__kafka_group_step(kaf_consumer *consumer);
/* Look for new topics on behalf of a group with wildcards. */
void pubsub__kafka_group_look(kaf_consumer *consumer);
/* Assign what it reads, each partition at its position. */
void pubsub__kafka_group_reassign(kaf_consumer *consumer);
void pubsub__kafka_group_subscribed(kaf_consumer *consumer);

/* ---- commit.c ---- */
void pubsub__kafka_commit_soon(kaf_consumer *consumer);
/* Send what is settled; false when there is nothing. */
bool pubsub__kafka_commit_now(kaf_consumer *consumer);
void pubsub__kafka_commits_serve(kaf_consumer *consumer);
/* What could be committed, as a list; NULL when it is nothing. `all`: also what was sent but not answered. */
rd_kafka_topic_partition_list_t *pubsub__kafka_commit_list(kaf_consumer *consumer, bool all);
/* All that can be is committed. */
bool pubsub__kafka_commit_done(const kaf_consumer *consumer);
void pubsub__kafka_flushed(kaf_self *self);

/* ---- receive.c ---- */
/* Pass on what is there; false when nothing is left, or no credit. */
bool pubsub__kafka_receive(kaf_consumer *consumer);
void pubsub__kafka_receive_tick(kaf_consumer *consumer, uint64_t now);
void pubsub__kafka_pause(kaf_consumer *consumer, kaf_part *part, bool on);
/* A subscription cannot go on: tell the core, which may ask for it again. */
void pubsub__kafka_sub_lost(kaf_sub *sub, const pubsub_error *err);

#endif
