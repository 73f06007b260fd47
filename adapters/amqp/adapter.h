/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_AMQP_ADAPTER_H
#define PUBSUB_AMQP_ADAPTER_H

/* The AMQP 0-9-1 adapter. Two connections, because a broker that holds publishers back stops reading from
 * their connection, and acks must not wait for that:
 *
 *   link 0        publishes: channel 1 with confirms (qos 1), channel 2 without (qos 0)
 *   another link  since the first subscription: one channel for each, so that what closes a channel (a
 *                 queue that is not as expected, a missing permission) ends only that subscription
 *
 * rabbitmq-c encodes and decodes (wire.h); all I/O is the transport's. */

#include "amqp/map.h"
#include "amqp/wire.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>
#include <pubsub/spi/transport.h>

typedef struct amq_self amq_self;
typedef struct amq_conn amq_conn;
typedef struct amq_channel amq_channel;
typedef struct amq_sub amq_sub;

/* ---- connections ---- */

typedef enum amq_state {
    AMQ_DOWN = 0,
    AMQ_DIALING = 1,   /* the transport opens */
    AMQ_STARTING = 2,  /* waits for connection.start */
    AMQ_TUNING = 3,    /* for connection.tune */
    AMQ_OPENING = 4,   /* for connection.open-ok */
    AMQ_PREPARING = 5, /* link 0: for its channels and exchange */
    AMQ_UP = 6,
    AMQ_CLOSING = 7 /* waits for connection.close-ok */
} amq_state;

typedef enum amq_channel_state {
    AMQ_CHANNEL_FREE = 0,
    AMQ_CHANNEL_OPENING = 1,
    AMQ_CHANNEL_OPEN = 2,
    AMQ_CHANNEL_CLOSING = 3 /* waits for channel.close-ok */
} amq_channel_state;

struct amq_channel {
    amq_conn *conn;
    amq_sub *sub; /* NULL: nobody's, what comes is thrown away */
    uint16_t number;
    amq_channel_state state;
    /* the message that is arriving: its method, then its header, then its body */
    amqp_method_number_t content; /* 0 = none; basic.deliver or basic.return */
    bool has_header;
    uint64_t tag;
    bool redelivered;
    bool by_name; /* came through the empty exchange */
    uint8_t key_len;
    char key[AMQ_SHORT_MAX];
    uint64_t body_size;
    uint64_t body_got;
    unsigned char *body; /* in the block of its subscription; NULL: thrown away */
    pubsub_spi_message message;
};

struct amq_conn {
    amq_self *self;
    uint32_t link;
    amq_state state;
    pubsub_transport *transport;
    uint64_t open_until_ns; /* connect_timeout, for all hosts together */
    size_t hosts_tried;     /* transports that were opened in this time */
    amq_out out;
    unsigned char *in; /* what was read and is no whole frame yet */
    size_t in_len;
    size_t parse_left; /* bytes behind the frame that is being handled */
    amqp_pool_t pool;  /* of the methods of one read */
    bool pooled;
    pubsub_timer *timer;
    bool timer_on;
    uint64_t last_in_ns;
    uint64_t last_out_ns;
    uint32_t frame_max;
    uint16_t channel_max;
    uint16_t heartbeat_s;
    bool blocked; /* connection.blocked */
    bool starved; /* something could not be written, so nothing is any more: it ends soon */
    amq_channel **channels; /* index: number - 1 */
    size_t channel_count;
};

/* ---- publishing ---- */

/* A publish that waits for its confirm. */
typedef struct amq_slot {
    pubsub_spi_publish *publish; /* NULL: confirmed */
    bool returned;               /* nobody was there to get it */
} amq_slot;

/* What link 0 does before it is up, and again when its channel was closed. */
typedef enum amq_prepare {
    AMQ_PREPARE_NONE = 0,
    AMQ_PREPARE_CHANNEL = 1,
    AMQ_PREPARE_LOOK = 2, /* is there such an exchange? */
    AMQ_PREPARE_MAKE = 3,
    AMQ_PREPARE_COMPARE = 4, /* is it of our type? */
    AMQ_PREPARE_STREAM_LOOK = 5,
    AMQ_PREPARE_STREAM_MAKE = 6,
    AMQ_PREPARE_STREAM_BIND = 7,
    AMQ_PREPARE_CONFIRMS = 8,
    AMQ_PREPARE_SECOND = 9,
    AMQ_READY = 10
} amq_prepare;

typedef struct amq_pub {
    amq_slot *slots;      /* a ring */
    uint32_t size;        /* a power of two */
    uint32_t window;      /* most of them in use */
    uint64_t first;       /* the oldest delivery tag without an answer */
    uint64_t next;        /* the next one to be given */
    uint64_t first_ns;    /* since when it is the oldest */
    uint64_t patience_ns; /* how long it may be; 0 = for ever */
    uint64_t ids;         /* of the first tag of this channel: id = ids + tag */
    amq_prepare step;
    bool looked;              /* for what is being made: it was not there */
    bool compared;            /* the broker closed the channel over it, which says nothing */
    pubsub_spi_outcome *done; /* outcomes of one read, told together */
    size_t done_count;
    pubsub_error full; /* why the broker refused some of them */
    bool starved;      /* submit took less than it was offered */
    uint32_t careful;  /* so many are sent one by one: some of them closed the channel */
    uint64_t retry_ns; /* the broker was full: publish again then */
    /* a message whose body goes out piece by piece */
    pubsub_spi_publish *big;
    uint64_t big_tag; /* 0: without a confirm */
    size_t big_at;
    uint16_t big_channel;
    uint64_t cut_id; /* of the last one whose channel was closed before its end; 0 = none */
    /* its channel was closed by the broker; 0 = it was not */
    uint16_t early_code;
    size_t early_len;
    char early_text[AMQ_SHORT_MAX];
    /* the last topic and its routing key, because many messages have the same one */
    char topic[PUBSUB_TOPIC_MAX];
    size_t topic_len;
    char key[AMQ_SHORT_MAX];
    size_t key_len;
    pubsub_bytes exchange;
    amqp_table_entry_t entries[AMQ_ENTRIES_MAX];
} amq_pub;

/* ---- subscriptions ---- */

typedef enum amq_step {
    AMQ_STEP_NONE = 0,
    AMQ_STEP_OPEN = 1,
    AMQ_STEP_LOOK = 2,    /* declare passively: is there such a queue? */
    AMQ_STEP_DECLARE = 3, /* make it, or have the broker compare */
    AMQ_STEP_BIND = 4,
    AMQ_STEP_QOS = 5,
    AMQ_STEP_CONSUME = 6,
    AMQ_STEP_ACTIVE = 7
} amq_step;

/* Delivery tags have the lower bits of a token. */
#define AMQ_TAG_BITS 48

/* What kind of queue a subscription wants. */
typedef struct amq_queue {
    char name[AMQ_SHORT_MAX + 1]; /* "" = the broker names it */
    bool own;                     /* its name is made by us, so it must be as we would make it */
    bool named;                   /* may be there before */
    bool durable;
    bool exclusive;
    bool auto_delete;
    bool quorum;
    bool stream;
    bool single_active;
    bool ask; /* compare although it is not ours: the caller said how it is to be */
    int64_t expires_ms;
} amq_queue;

struct amq_sub {
    amq_self *self;
    amq_sub *next;
    pubsub_spi_subscription *spi;
    amq_channel *channel;
    amq_step step;
    amq_queue queue;
    size_t at;      /* the empty exchange: the pattern whose queue is being made */
    size_t waiting; /* answers */
    bool existed;
    bool absent; /* it was looked for and is not there */
    bool keeps;  /* the queue `actual`, which the broker named, ends with this connection only */
    bool ever;
    bool no_ack;
    bool filter;
    bool recheck; /* consuming was refused: see whether somebody else has it */
    pubsub_error refused;
    uint32_t prefetch;
    char actual[AMQ_SHORT_MAX + 1]; /* the name of its queue at the broker */
    char bound[AMQ_SHORT_MAX + 1];
    uint16_t epoch; /* of its channel: in the upper bits of tokens, because of a stream the core may
                       settle what came on an earlier one */
    /* settled deliveries: a ring of two bits for each */
    uint64_t upto; /* all up to this one are settled and told */
    uint64_t *settled;
    uint64_t *told;
    size_t ring; /* bits, a power of two */
    /* received */
    pubsub_block *open; /* being filled */
    size_t open_bytes;
    struct amq_held *held; /* complete, waits for credit */
    struct amq_held **held_end;
    bool dirty;
    amq_sub *next_dirty;
};

struct amq_self {
    pubsub_sink *sink;
    const pubsub_adapter_config *config;
    amq_naming naming;
    amq_conn pub_conn;
    amq_conn sub_conn;
    amq_pub pub;
    amq_sub *subs;
    amq_sub *dirty;
    char tag[AMQ_ID_TAG + 1];
    const char *exchange;
    const char *exchange_type;
    const char *stream; /* NULL = none */
    bool mandatory;
    bool was_ready; /* it could publish, on some connection */
    bool odd;       /* the exchange may be of another type than ours */
    bool closing;
    bool close_wanted;
    bool told_blocked;
};

/* caps.c */
extern const pubsub_option_row pubsub__amqp_option_rows[];
pubsub_err pubsub__amqp_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                             pubsub_error *err);
pubsub_err pubsub__amqp_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                  const pubsub_request *request, pubsub_answer *answer,
                                  pubsub_error *err);
pubsub_err pubsub__amqp_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                              const pubsub_publication *publication, pubsub_error *err);
void pubsub__amqp_naming(const pubsub_adapter_config *config, amq_naming *out);
const char *pubsub__amqp_stream_name(const pubsub_adapter_config *config);

/* errors.c */
/* What a reply code of channel.close, connection.close or basic.return means. */
pubsub_err pubsub__amqp_code(int reply_code);
void pubsub__amqp_explain(pubsub_error *err, pubsub_err code, int reply_code, amqp_bytes_t text,
                          const char *what);

/* conn.c */
pubsub_err pubsub__amqp_connect(void *ctx, uint32_t link, pubsub_error *err);
void pubsub__amqp_disconnect(void *ctx, uint32_t link, bool final);
void pubsub__amqp_conn_free(amq_conn *conn);
/* Lost, or of no use any more: everything on it ends, the core is told. */
void pubsub__amqp_conn_fail(amq_conn *conn, const pubsub_error *err);
void pubsub__amqp_conn_up(amq_conn *conn);
void pubsub__amqp_conn_close(amq_conn *conn);
/* Write what waits. Returns true when nothing waits any more. */
bool pubsub__amqp_conn_flush(amq_conn *conn);
/* Memory is short for what is to be sent: the connection ends, but not before the caller has returned. */
void pubsub__amqp_no_memory(amq_conn *conn);
/* Queue a method; memory that is short ends the connection later. */
void pubsub__amqp_send(amq_conn *conn, uint16_t channel, amqp_method_number_t id, void *fields);
amq_channel *pubsub__amqp_channel_open(amq_conn *conn);
void pubsub__amqp_channel_close(amq_channel *channel);
/* The broker closed it. False when that may not be. */
bool pubsub__amqp_channel_closed(amq_channel *channel, const amqp_method_t *method);
void pubsub__amqp_closed_say(amq_self *self);

/* handshake.c */
void pubsub__amqp_opened(amq_conn *conn);
/* A method on channel 0. False when it is none that may come now. */
bool pubsub__amqp_conn_method(amq_conn *conn, const amqp_method_t *method);

/* prepare.c */
void pubsub__amqp_pub_begin(amq_self *self);
bool pubsub__amqp_pub_method(amq_channel *channel, const amqp_method_t *method);

/* publish.c */
size_t pubsub__amqp_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count);
/* Everything in flight ends with this outcome. */
void pubsub__amqp_pub_end(amq_self *self, const pubsub_error *err);
/* The channel with confirms begins anew. */
void pubsub__amqp_pub_reset(amq_self *self);
/* It was closed because of something published. */
void pubsub__amqp_pub_refused(amq_self *self, const pubsub_error *why);
/* The broker closed a channel in the middle of a body. RabbitMQ takes nothing else on it than the rest, not
 * even the close-ok. False when that is not so; else the closing is handled at the body's end. */
bool pubsub__amqp_pub_closed_early(amq_channel *channel, const amqp_channel_close_t *why);
/* The channel without confirms was closed: what was on its way there is cut off. */
void pubsub__amqp_pub_cut(amq_self *self, const pubsub_error *why);
bool pubsub__amqp_pub_confirmed(amq_self *self, uint64_t tag, bool multiple, bool ack);
/* Tell the outcomes that came together. */
void pubsub__amqp_pub_tell(amq_self *self);
void pubsub__amqp_pub_returned(amq_self *self, pubsub_bytes message_id);
void pubsub__amqp_pub_writable(amq_self *self);
/* For how long the oldest one has waited in vain beyond what is allowed, in ns; 0 = not yet. */
uint64_t pubsub__amqp_pub_overdue(amq_self *self);
bool pubsub__amqp_pub_init(amq_self *self, pubsub_error *err);
void pubsub__amqp_pub_fini(amq_self *self);

/* subscribe.c */
void pubsub__amqp_subscribe(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__amqp_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget);
bool pubsub__amqp_sub_method(amq_channel *channel, const amqp_method_t *method);
/* Its connection is gone. */
void pubsub__amqp_sub_lost(amq_sub *sub);
void pubsub__amqp_sub_free(amq_sub *sub);
/* queue.c */
pubsub_err pubsub__amqp_queue(const amq_self *self, const pubsub_subscribe_request *request,
                              amq_queue *out, pubsub_error *err);
void pubsub__amqp_declare(amq_conn *conn, uint16_t channel, const amq_queue *queue,
                          pubsub_bytes name, bool passive);

/* receive.c */
/* False when the frame has no place here. */
bool pubsub__amqp_deliver(amq_channel *channel, const amqp_basic_deliver_t *deliver);
bool pubsub__amqp_return(amq_channel *channel, const amqp_basic_return_t *returned);
bool pubsub__amqp_header(amq_channel *channel, const amq_frame *frame);
bool pubsub__amqp_body(amq_channel *channel, const amq_frame *frame);
void pubsub__amqp_give_all(amq_self *self);
void pubsub__amqp_credit(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__amqp_received_clear(amq_sub *sub);

/* ack.c */
void pubsub__amqp_ack(void *ctx, const pubsub_spi_ack *acks, size_t count);
bool pubsub__amqp_acks_begin(amq_sub *sub);
void pubsub__amqp_acks_free(amq_sub *sub);

#endif
