/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_BROKER_INTERNAL_H
#define PUBSUB_BRIDGE_BROKER_INTERNAL_H

/* What the files of this folder share.
 *
 *   broker.c   settings, the instance, its table
 *   follow.c   life of the subscription
 *   messages.c from message to event; settling
 *   again.c    messages that are handed out again while they are in our hands
 *   check.c    touching the source without starting */

#include "connectors/client_end.h"
#include "connectors/table.h"

typedef struct broker_item broker_item;
typedef struct broker_self broker_self;

typedef struct broker_mark broker_mark;

/* A message that is not settled. It is the token of its event. */
struct broker_item {
    broker_item *next;
    broker_item *prev;
    broker_self *owner;
    pubsub_message *message; /* NULL once there is a mark */
    broker_mark *mark;       /* what a message that was let go of is known by */
    broker_item *copy;       /* the same message, handed out again meanwhile */
    uint32_t lives;          /* of the subscription, when it came */
};

typedef struct broker_list {
    broker_item *head;
    broker_item *tail;
} broker_list;

struct broker_self {
    pubsub_host *host;
    char *name;
    char *url;
    char *model; /* fixed name of the model; NULL = the topic */
    char **patterns;
    size_t pattern_count;
    pubsub_options *client_options;
    pubsub_options *options; /* of the subscription */
    pubsub_caps caps;        /* what the broker can ever do */
    bool acks;               /* messages are acknowledged by hand */

    pubsub_emitter *emitter; /* NULL = not started, or stopping */
    pubsub_client *client;
    pubsub_subscription *subscription;
    pubsub_host_watch *watch;
    pubsub_host_timer *beat;
    broker_list waiting; /* arrived and not taken yet */
    broker_list open;    /* taken and not settled */
    broker_list late;    /* settled after an interruption: the broker may not hear of it */
    uint32_t lives;      /* how often the subscription was interrupted */
    broker_item *pool;
    bool draining; /* waiting is being worked off just now */
    bool was_live;
    void (*stopped)(void *ctx);
    void *stopped_ctx;

    /* of a check */
    void (*say)(void *ctx, const pubsub_error *finding);
    void (*checked)(void *ctx);
    void *check_ctx;
    bool checking;
    bool orphan; /* finished while its client was still ending; freed behind that */
};

/* messages.c */
int broker_on_message(void *ctx, pubsub_message *message);
void broker_resume(void *ctx);
void broker_settled(void *ctx, const pubsub_settled *settled, size_t count);
void broker_drop_all(broker_self *self);
void broker_interrupted(broker_self *self);

/* What lists are changed with. */
void broker_append(broker_list *list, broker_item *item);
void broker_take_out(broker_list *list, broker_item *item);
void broker_release(broker_self *self, broker_item *item);

/* again.c: true when a message that came again needs no event: it is kept with the first one, or its ack was
 * repeated. */
bool broker_is_again(broker_self *self, broker_item *item);
/* What its message is known by from now on: the message itself would keep its bytes of the prefetch. False:
 * it has no position, or memory is short. */
bool broker_mark_item(broker_item *item);

/* follow.c */
pubsub_err broker_start(void *ctx, pubsub_emitter *emitter, pubsub_error *err);
void broker_stop(void *ctx, void (*done)(void *ctx), void *done_ctx);
void broker_tell_state(broker_self *self, pubsub_source_state state);

/* broker.c */
void broker_fini(void *ctx);

/* check.c */
void broker_check(void *ctx, void (*say)(void *ctx, const pubsub_error *finding),
                  void (*done)(void *ctx), void *done_ctx);

#endif
