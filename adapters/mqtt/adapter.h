/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_MQTT_ADAPTER_H
#define PUBSUB_MQTT_ADAPTER_H

/* The MQTT adapter over an engine (engine.h). Links and what lives on them:
 *
 *   link 0           publishes, and plain subscriptions; its session survives a lost connection for
 *                    mqtt.session_expiry and ends with the client
 *   group link       shared subscriptions; its session ends with the connection, so that the broker hands
 *                    the share of a lost member to the others
 *   durable link     one for each durable name, which is its client id; its session outlives the client
 *   further links    a filter may stand only once in a session, and without subscription identifiers
 *                    (3.1.1) overlapping ones cannot be told apart: what clashes gets another link
 */

#include "mqtt/engine.h"

#include <pubsub/spi/adapter.h>
#include <pubsub/spi/sink.h>

typedef struct mqtt_self mqtt_self;
typedef struct mqtt_link mqtt_link;
typedef struct mqtt_sub mqtt_sub;

typedef enum mqtt_link_kind {
    MQTT_LINK_PLAIN = 0,
    MQTT_LINK_GROUP = 1,
    MQTT_LINK_DURABLE = 2
} mqtt_link_kind;

typedef enum mqtt_link_state {
    MQTT_LINK_DOWN = 0,
    MQTT_LINK_CONNECTING = 1,
    MQTT_LINK_UP = 2,
    MQTT_LINK_CLOSING = 3,    /* DISCONNECT is on its way */
    MQTT_LINK_FORGETTING = 4, /* connects once more with a clean session: so 3.1.1 ends one */
    MQTT_LINK_GONE = 5        /* freed at the end of this turn */
} mqtt_link_state;

struct mqtt_link {
    mqtt_self *self;
    mqtt_link *next;
    uint32_t number;
    mqtt_link_kind kind;
    mqtt_link_state state;
    mqtt_engine *engine;
    char *client_id; /* owned */
    mqtt_sub *subs;
    bool orphan;      /* its number is no longer its own, it only closes */
    bool had_session; /* was connected before: a session may be there */
    bool reset;       /* begin with a new session */
    bool forget;      /* end the session */
    bool unsure;      /* an attempt that failed may have begun the session that is there now */
    mqtt_connack connack;
    /* one call of connect: over all hosts, and both versions */
    int version;
    size_t host;
    size_t hosts_left;
    uint32_t repeats; /* of this attempt, whose failure was doubtful */
    uint64_t begun_ns;
    uint64_t up_ns;
    uint32_t quick_losses;
    uint64_t main_up_ns; /* when it was lost: since when link 0 was up, 0 = it was not */
    bool lost_some;      /* publishes were lost with the connection, and told before it */
    uint32_t barren;     /* losses in a row with publishes in flight, none of which got through */
    size_t in_flight;
    bool
        old_first; /* what was in flight before the connection is not through: nothing overtakes it */
    char **
        stale; /* filters of subscriptions that ended while the session waited at the broker; owned */
    size_t stale_count;
};

/* A SUBSCRIBE that waits for its answer; outlives its subscription. */
typedef struct mqtt_op {
    struct mqtt_op *next;
    mqtt_link *link;
    mqtt_sub *sub; /* NULL = nobody waits any more */
} mqtt_op;

struct mqtt_sub {
    mqtt_self *self;
    mqtt_link *link;
    mqtt_sub *next; /* of its link */
    pubsub_spi_subscription *spi;
    char **filters;  /* one for each pattern, as the broker gets them */
    uint32_t *ids;   /* subscription identifiers, one for each pattern */
    bool superset;   /* some filter matches more than its pattern */
    bool retained;   /* wants stored values */
    bool asked;      /* the session of its link may have its filters */
    bool subscribed; /* it has them */
    bool ever;       /* was subscribed before */
    bool broken;     /* the broker has kept nothing, or perhaps not, since it was active last */
    /* the answers to its SUBSCRIBE packets */
    size_t waiting;
    int granted;
    pubsub_error refused; /* code 0 = none */
    /* what has arrived and has no credit yet: a ring */
    mqtt_message **backlog;
    size_t backlog_at, backlog_count, backlog_cap;
    uint64_t backlog_bytes;
    uint64_t dropped; /* of the present episode */
    bool dirty;       /* in self->dirty */
    mqtt_sub *next_dirty;
};

struct mqtt_self {
    pubsub_sink *sink;
    const pubsub_adapter_config *config;
    const mqtt_engine_ops *engine;
    mqtt_host host;
    pubsub_timer *timer;
    mqtt_link *links;
    mqtt_op *ops;
    mqtt_sub *dirty;
    char *client_id; /* owned; of link 0 */
    uint32_t next_id;
    uint32_t next_link_name;
    int wanted_version; /* 0 = 5, else 3.1.1 */
    int version;        /* what the server agreed to, 0 = not asked yet */
    size_t good_host;
    uint64_t spoke_5; /* bits of the first 64 hosts: it has spoken version 5 before */
    uint32_t session_expiry_s;
    uint16_t keep_alive_s;
    bool closing;
    bool close_wanted; /* `closed` is to be said */
    uint64_t progress; /* counts events, to see whether anything moves */
    uint64_t progress_seen;
    uint64_t retry_ns;        /* a quota was exceeded: publish again then */
    bool alone;               /* a publish that may be poison is in flight: nothing beside it */
    mqtt_user_property *user; /* scratch of submit */
    size_t user_cap;
    char *scratch;
    size_t scratch_cap;
};

/* caps.c */
extern const pubsub_option_row pubsub__mqtt_option_rows[];
pubsub_err pubsub__mqtt_caps(const pubsub_adapter_config *config, pubsub_caps *out,
                             pubsub_error *err);
pubsub_err pubsub__mqtt_negotiate(const pubsub_adapter_config *config, const pubsub_caps *caps,
                                  const pubsub_request *request, pubsub_answer *answer,
                                  pubsub_error *err);
/* Narrow them to what this server said. */
void pubsub__mqtt_server_caps(const mqtt_self *self, const mqtt_connack *connack,
                              pubsub_caps *caps);

/* target.c */
size_t pubsub__mqtt_host_count(const pubsub_adapter_config *config);
/* Everything of a target that the options say, for one of the hosts. */
void pubsub__mqtt_target(const mqtt_self *self, size_t host, mqtt_target *out);
/* The will, of the main connection only. */
void pubsub__mqtt_target_will(const mqtt_self *self, mqtt_target *out);
/* Options that cannot be had together, or not with this engine. */
pubsub_err pubsub__mqtt_target_check(const pubsub_adapter_config *config, pubsub_error *err);
uint32_t pubsub__mqtt_seconds(const pubsub_options *options, const char *name);

/* link.c */
extern const mqtt_events pubsub__mqtt_events;
pubsub_err pubsub__mqtt_connect(void *ctx, uint32_t number, pubsub_error *err);
void pubsub__mqtt_disconnect(void *ctx, uint32_t number, bool final);
mqtt_link *pubsub__mqtt_link_find(const mqtt_self *self, uint32_t number);
mqtt_link *pubsub__mqtt_link_add(mqtt_self *self, uint32_t number, mqtt_link_kind kind,
                                 const char *client_id);
/* Close a link that nothing lives on; it goes away when the broker has closed it. */
void pubsub__mqtt_link_end(mqtt_link *link, bool forget);
void pubsub__mqtt_link_free(mqtt_link *link, bool forked);
/* Free what is gone; say closed when nothing is left. */
void pubsub__mqtt_links_sweep(mqtt_self *self);
void pubsub__mqtt_timer_set(mqtt_self *self);
void pubsub__mqtt_on_timer(void *ctx);

/* publish.c */
size_t pubsub__mqtt_submit(void *ctx, pubsub_spi_publish *const *publishes, size_t count);
void pubsub__mqtt_published(void *host, const mqtt_published *results, size_t count);
pubsub_err pubsub__mqtt_check(const pubsub_adapter_config *config, const pubsub_caps *caps,
                              const pubsub_publication *publication, pubsub_error *err);

/* subscribe.c */
void pubsub__mqtt_subscribe(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__mqtt_unsubscribe(void *ctx, pubsub_spi_subscription *subscription, bool forget);
void pubsub__mqtt_subscribed(void *host, void *token, const uint8_t *reasons, size_t count);
void pubsub__mqtt_unsubscribed(void *host, void *token, bool answered);
void pubsub__mqtt_ops_drop(mqtt_self *self, const mqtt_link *link);
/* End the filters nobody has any more, in the session that is back; without one forget them. */
void pubsub__mqtt_stale_end(mqtt_link *link, bool session_present);
void pubsub__mqtt_sub_free(mqtt_sub *sub);

/* receive.c */
void pubsub__mqtt_message(void *host, mqtt_message *message);
void pubsub__mqtt_overflowed(void *host, uint64_t count);
/* Give the core what has arrived, as far as its credit goes. */
void pubsub__mqtt_deliver(mqtt_self *self);
void pubsub__mqtt_credit(void *ctx, pubsub_spi_subscription *subscription);
void pubsub__mqtt_ack(void *ctx, const pubsub_spi_ack *acks, size_t count);
void pubsub__mqtt_backlog_clear(mqtt_sub *sub);

#endif
