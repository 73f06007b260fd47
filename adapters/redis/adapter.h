/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_REDIS_ADAPTER_H
#define PUBSUB_REDIS_ADAPTER_H

/* The Redis adapter: pub/sub (redis:) and streams (redis+streams:). Its connections:
 *
 *   main     link 0: publishes, acks, everything that is answered at once
 *   hub      subscriber mode, in which RESP2 allows nothing else: channels of pub/sub; with streams, the
 *            announcements of new topics
 *   readers  one for each subscription to streams, because a blocking read holds up what comes behind it
 *
 * The others open when main is up. With streams they also end with it: an ack that was lost with main
 * could not be told from one that was not. */

#include "redis/conn.h"
#include "redis/fields.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

typedef struct redis_self redis_self;
typedef struct redis_link redis_link;
typedef struct redis_sub redis_sub;
typedef struct redis_channel redis_channel;
typedef struct redis_op redis_op;
typedef struct redis_topic redis_topic;

/* Most commands on main that wait for their answers before publishing, and looking after groups, does. */
enum { REDIS_IN_FLIGHT_MAX = 32768 };

/* Keys and channels of our own begin with this; no pattern matches them. */
#define REDIS_KEY_RETAINED "pubsub.retained" /* pub/sub: hash topic -> payload */
#define REDIS_KEY_LAST                                                                             \
    "pubsub.last" /* streams: set of topics; "pubsub.last:TOPIC" a stream of one */
#define REDIS_KEY_TOPICS "pubsub.topics"  /* set of topics that are streams; also the channel */
#define REDIS_KEY_GROUP "pubsub.group:"   /* hash of a group or durable name */
#define REDIS_KEY_HOLDER "pubsub.holder:" /* who holds a durable name */
#define REDIS_KEY_SYNC "pubsub.sync."     /* channels of pub/sub with retained values */

typedef enum redis_link_kind {
    REDIS_LINK_MAIN = 0,
    REDIS_LINK_HUB = 1,
    REDIS_LINK_READER = 2
} redis_link_kind;

struct redis_link {
    redis_self *self;
    redis_link *next;
    uint32_t number;
    redis_link_kind kind;
    redis_conn *conn;
    redis_sub *sub;    /* of a reader */
    bool wanted;       /* the core waits for it, and it waits for main */
    bool ending;       /* says goodbye */
    unsigned greeting; /* answers of the main connection that `up` still waits for */
};

/* A channel or a pattern of channels, as the hub has subscribed to it. */
struct redis_channel {
    redis_channel *next; /* of its bucket */
    uint32_t hash;
    bool glob;      /* PSUBSCRIBE */
    bool confirmed; /* every message from now on comes */
    unsigned refs;  /* users */
    unsigned asked; /* answers on their way; it lives so long */
    redis_sub **subs;
    size_t sub_count, sub_cap;
    size_t len;
    char name[];
};

/* A command on main whose answer a subscription waits for; outlives it. */
struct redis_op {
    redis_op *next, *prev;
    redis_self *self;
    redis_sub *sub; /* NULL = it is gone */
    void (*fn)(redis_op *op, const redis_reply *reply);
    /* whatever fn needs */
    uint32_t topic;
    uint32_t attempt;
    uint64_t position[2];
    uint64_t read;
    bool mine;
    bool existed;
    void *data; /* owned */
};

/* ---- of streams ---- */

struct redis_topic {
    char *name; /* owned */
    size_t len;
    uint64_t last[2];     /* the last entry that was read */
    uint64_t added;       /* entries the stream ever had up to `last`, as far as we know */
    uint64_t missed_told; /* how many lost ones have been told */
    bool counted;         /* `added` is known */
    bool exists;          /* was seen on the server */
    bool behind;          /* there was more than could be read: trimming may overtake us */
    bool ready;           /* it can be read: its group is there, its beginning is known */
    bool fresh;           /* what was gone before its group began is no loss */
    bool late;            /* appeared after the subscription: counts from its first message */
    bool told;            /* that it cannot be read now, because its group cannot be made */
};

typedef enum redis_stage {
    REDIS_STAGE_IDLE = 0,
    REDIS_STAGE_HUB = 1,   /* waits for the announcements */
    REDIS_STAGE_HOLD = 2,  /* for the lock of its durable name */
    REDIS_STAGE_GROUP = 3, /* for what is known of its group */
    REDIS_STAGE_LIST = 4,  /* for the registry of topics */
    REDIS_STAGE_BEGIN = 5, /* for where its streams begin */
    REDIS_STAGE_READING = 6
} redis_stage;

/* A message that was refused and comes again. */
typedef struct redis_again {
    uint64_t due_ns;
    uint64_t position[2];
    uint32_t topic;
    uint32_t attempt;
} redis_again;

struct redis_sub {
    redis_self *self;
    redis_sub *next;
    pubsub_spi_subscription *spi;
    redis_link *link;
    bool answered; /* `subscribed` was said on this connection */
    bool ever;     /* on any */

    /* pub/sub */
    redis_channel **channels; /* one for each pattern */
    redis_channel *sync;
    bool superset;
    bool dropping;            /* before the retained values nothing counts */
    bool early;               /* the retained values are still on their way */
    pubsub_block *block;      /* being filled from one read */
    uint32_t expect_messages; /* what the last read brought */
    size_t expect_bytes, got_bytes;
    uint32_t room;       /* messages the block may still take */
    pubsub__buf backlog; /* messages beyond the credit, or early, see backlog_put */
    size_t backlog_at;
    uint64_t backlog_max;
    uint64_t dropped; /* in the present episode */

    /* streams */
    redis_stage stage;
    bool wild;
    char *group;    /* NULL = a plain reader */
    char *consumer; /* its name in the group, another one at each beginning */
    char *former;   /* the one before, NULL = none */
    bool used;      /* `consumer` has read */
    unsigned names;
    char *lock;  /* key of the durable name's holder, NULL = none */
    char *token; /* what we write there */
    char *meta;  /* key of what is known of the group */
    pubsub_timer *timer;
    redis_topic *topics;
    size_t topic_count, topic_cap;
    size_t begin_at, begun; /* topics that were asked about, and those that have answered */
    bool resumed;           /* its group was there before */
    bool made;              /* its group was made by us, so there is nothing pending */
    bool reading;           /* a read is on its way */
    bool retained;          /* wants the last values first */
    bool listening;         /* among the users of the announcements */
    size_t average;         /* bytes of a message, as seen */
    uint64_t renewed_ns;    /* when the lease was renewed last, by an answer */
    uint64_t tick_ns;       /* when the timer has to look after the group again */
    int64_t lock_ttl;       /* of the other holder, when it was seen last; -1 = not seen */
    redis_again *again;
    size_t again_count, again_cap;
    unsigned ticks;
    size_t check_at;
    /* what was pending when it began, page by page; nothing new is read before that is through */
    size_t recover_topic;
    uint64_t recover_at[2];
    bool recovering;
    bool surplus; /* those are what a read brought beyond the credit: nobody has seen them */
    size_t open;  /* messages that are not settled */
    pubsub_gap gap;
    bool has_gap;
};

typedef struct redis_known {
    uint64_t hash; /* of a topic this client has registered */
    uint64_t at_ns;
} redis_known;

struct redis_self {
    pubsub_sink *sink;
    const pubsub_adapter_config *config;
    bool streams;
    uint64_t database;
    char *name; /* owned: of connections and consumers */
    pubsub_duration_ms keep_alive;
    pubsub_duration_ms lease;
    bool wants_master; /* it changes something, so replicas among the hosts are of no use */
    uint64_t max_len;
    const char *inbox; /* prefix of the inboxes' topics; NULL = none */
    redis_link *links;
    redis_link *main, *hub;
    redis_sub *subs;
    redis_op *ops;
    pubsub_caps caps;
    char tag[16];
    uint64_t next_number;
    /* publishing */
    uint64_t retry_ns; /* the server is full: again then */
    pubsub_timer *timer;
    size_t in_flight; /* publishes without an answer */
    bool alone;       /* the one that is in flight has to be the only one */
    bool held_back;   /* submit had to leave some to the core */
    bool begun;       /* some of the present MULTI was sent */
    pubsub_spi_outcome outcomes[256];
    pubsub_error errors[256];
    size_t outcome_count;
    pubsub_error queued; /* why a command of the present MULTI was refused; code 0 = it was not */
    redis_known *known;  /* a table of them */
    pubsub_confirm confirm;
    /* pub/sub and announcements */
    redis_channel **buckets;
    size_t bucket_count, channel_count;
    redis_channel *announcements;
    redis_channel *recent; /* found last */
    /* acks */
    size_t acks; /* XACKs on their way */
    bool flush_asked;
    bool closing;
};

/* caps.c */
extern const pubsub_option_row pubsub__redis_option_rows[];
pubsub_err pubsub__redis_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                              pubsub_error *err);
pubsub_err pubsub__redis_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                   const pubsub_request *request, pubsub_answer *answer,
                                   pubsub_error *err);
pubsub_err pubsub__redis_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                               const pubsub_publication *publication, pubsub_error *err);
bool pubsub__redis_is_streams(const pubsub_adapter_config *config);
/* The database that the path of the URL names. */
pubsub_err pubsub__redis_database(const pubsub_adapter_config *config, uint64_t *out,
                                  pubsub_error *err);
/* Narrow them to what CONFIG GET tells; reply NULL or an error: it does not. */
void pubsub__redis_caps_storage(redis_self *self, const redis_reply *reply);
void pubsub__redis_caps_bulk(redis_self *self, const redis_reply *reply);

/* link.c */
pubsub_err pubsub__redis_connect(void *ctx, uint32_t number, pubsub_error *err);
void pubsub__redis_disconnect(void *ctx, uint32_t number, bool final);
void pubsub__redis_close(void *ctx, pubsub_duration_ms left);
redis_link *pubsub__redis_link_new(redis_self *self, redis_link_kind kind, redis_sub *sub);
void pubsub__redis_link_free(redis_link *link);
/* The connection of main, NULL when it is not up. */
redis_conn *pubsub__redis_main(const redis_self *self);
/* Send what has gathered. */
void pubsub__redis_turn(void *ctx);
/* A command for a subscription on main. False: there is no connection or no memory. */
redis_op *pubsub__redis_op_new(redis_self *self, redis_sub *sub,
                               void (*fn)(redis_op *op, const redis_reply *reply));
void pubsub__redis_on_op(void *ctx, const redis_reply *reply, bool sent);
void pubsub__redis_op_free(redis_op *op);
void pubsub__redis_ops_leave(redis_sub *sub);

/* publish.c */
size_t pubsub__redis_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count);
void pubsub__redis_outcomes(redis_self *self);
/* Answers came: go on with what submit has left, where no outcome says so. */
void pubsub__redis_go_on(redis_self *self);
void pubsub__redis_on_timer(void *ctx);
/* The next server may be another one, or empty: topics are entered in its registry anew. */
void pubsub__redis_forget_topics(redis_self *self);

/* subscribe.c: for both */
void pubsub__redis_subscribe(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__redis_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget);
void pubsub__redis_credit(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__redis_ack(void *ctx, const pubsub_spi_ack *acks, size_t count);
bool pubsub__redis_flush(void *ctx);
void pubsub__redis_sub_free(redis_sub *sub);
void pubsub__redis_refuse(redis_sub *sub, const pubsub_error *err);

/* channel.c: the hub */
redis_channel *pubsub__redis_channel_join(redis_self *self, bool glob, const char *name, size_t len,
                                          redis_sub *sub);
void pubsub__redis_channel_leave(redis_self *self, redis_channel *channel, const redis_sub *sub);
void pubsub__redis_channels_free(redis_self *self);
bool pubsub__redis_hub_open(redis_self *self);
void pubsub__redis_hub_up(redis_self *self);
void pubsub__redis_hub_lost(redis_self *self);
void pubsub__redis_hub_push(redis_self *self, const redis_reply *reply);
void pubsub__redis_hub_idle(redis_self *self);

/* channel_sub.c: subscriptions of pub/sub */
void pubsub__redis_pubsub_begin(redis_sub *sub);
void pubsub__redis_pubsub_end(redis_sub *sub);
/* One of its channels was confirmed, or refused with err. */
void pubsub__redis_pubsub_confirmed(redis_sub *sub, const pubsub_error *err);
void pubsub__redis_pubsub_message(redis_sub *sub, const redis_channel *channel, pubsub_bytes topic,
                                  pubsub_bytes payload);
void pubsub__redis_pubsub_idle(redis_sub *sub);
void pubsub__redis_pubsub_credit(redis_sub *sub);

/* stream_sub.c: subscriptions of streams, how they begin and end */
void pubsub__redis_stream_begin(redis_sub *sub);
void pubsub__redis_stream_end(redis_sub *sub, bool forget);
/* Its connection is gone. */
void pubsub__redis_stream_lost(redis_sub *sub);
/* The announcements are there, for the first time or again. */
void pubsub__redis_stream_hub(redis_sub *sub);
void pubsub__redis_stream_announced(redis_sub *sub, pubsub_bytes topic);
/* Its group or what belongs to it was deleted: begin again. */
void pubsub__redis_stream_again(redis_sub *sub, const pubsub_error *err);

/* stream_begin.c: where its streams begin */
void pubsub__redis_stream_hold(redis_sub *sub);
void pubsub__redis_stream_list(redis_sub *sub);
redis_topic *pubsub__redis_topic_add(redis_sub *sub, const char *name, size_t len);
size_t pubsub__redis_topic_find(const redis_sub *sub, const char *name, size_t len, size_t guess);
pubsub_bytes pubsub__redis_topic_key(const redis_topic *topic);
/* A topic that appeared while it reads. */
void pubsub__redis_topic_late(redis_sub *sub, uint32_t index);
bool pubsub__redis_stream_wants(const redis_sub *sub, pubsub_bytes topic);
void pubsub__redis_stream_relist(redis_sub *sub);

/* stream_read.c */
void pubsub__redis_stream_read(redis_sub *sub);
/* Give the core entries of one stream. attempts NULL: they are new; flags PUBSUB_SPI_*. */
void pubsub__redis_stream_give(redis_sub *sub, uint32_t topic, const redis_reply *entries,
                               const uint32_t *attempts, uint32_t flags);

/* stream_check.c: what was lost */
void pubsub__redis_stream_check(redis_sub *sub, bool all);
void pubsub__redis_stream_gap(redis_sub *sub, const char *reason, uint64_t missed);

/* stream_lease.c */
void pubsub__redis_stream_ack(redis_sub *sub, const pubsub_spi_ack *acks, size_t count);
void pubsub__redis_stream_on_timer(void *ctx);
void pubsub__redis_stream_timer_set(redis_sub *sub);
/* The next page of what was pending for us; false when there is no more. */
bool pubsub__redis_stream_recover(redis_sub *sub, uint32_t credit);
/* One of those that a flush waits for has its answer. */
void pubsub__redis_ack_done(redis_self *self);

#endif
