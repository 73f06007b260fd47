/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_WEBHOOK_DELIVERY_H
#define PUBSUB_BRIDGE_WEBHOOK_DELIVERY_H

/* One request on its way: an event for each instance that wants its model, and an answer when all of them
 * are settled. */

#include "base/buf.h"
#include "connectors/webhook/internal.h"

typedef struct webhook_delivery webhook_delivery;

enum { WEBHOOK_UNDER_WAY = 1024 }; /* chains of deliveries that are under way; a power of two */

typedef struct webhook_part {
    webhook_delivery *whole;
    webhook *instance; /* NULL once it is settled, or the instance left */
} webhook_part;

struct webhook_delivery {
    webhook_receiver *receiver;
    bridge_request *request; /* NULL = the sender is gone */
    pubsub__buf model;
    pubsub__buf body;
    pubsub__buf id;
    pubsub__buf type;
    webhook_digest digest;
    bool has_digest;
    bool emitted;
    size_t waiting; /* parts that are not settled, and one while they are being made */
    pubsub_err result;
    webhook_part *parts;
    size_t part_count;
    webhook_delivery *prev;
    webhook_delivery *next;
    webhook_delivery *chain; /* of those whose digest begins alike, while under way */
};

struct webhook_receiver {
    pubsub_host *host;
    webhook_config *config;
    bridge_mount *mount;
    webhook *instances;
    webhook_seen *seen;
    webhook_delivery *deliveries;
    webhook_delivery *under_way[WEBHOOK_UNDER_WAY]; /* those with a digest, by it */
    size_t pending;                                 /* emitted and not settled */
    size_t bodies;                                  /* bytes */
    webhook *last;                                  /* waits for the end */
    webhook_receiver *next;
};

/* NULL when memory is short. */
webhook_delivery *webhook_delivery_new(webhook_receiver *receiver, bridge_request *request);
void webhook_delivery_free(webhook_delivery *d);

/* Whether another one with the same digest was emitted and is not settled. */
bool webhook_is_under_way(const webhook_delivery *d);

/* Answer, and release it. */
void webhook_refuse(webhook_delivery *d, int status, const char *text);
void webhook_accept(webhook_delivery *d);

/* Tell everybody who wants the model; time_s 0 = now. */
void webhook_emit(webhook_delivery *d, int64_t time_s);
/* One part less to wait for; the last one answers. */
void webhook_part_over(webhook_delivery *d, pubsub_err result);

#endif
