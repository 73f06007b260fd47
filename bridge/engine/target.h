/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_TARGET_H
#define PUBSUB_BRIDGE_TARGET_H

/* A broker that is published to: one client, shared by all routes that lead there. */

#include "base/buf.h"

#include <pubsub/connector.h>

typedef struct bridge_target bridge_target;
typedef struct bridge_flight bridge_flight;
typedef struct bridge_target_user bridge_target_user;

/* Who publishes there. The last flight that comes back after it has left frees it. */
struct bridge_target_user {
    bridge_target_user *next;
    bridge_target *target;
    void *ctx;
    void (*changed)(void *ctx);                                         /* state or error */
    void (*report)(bridge_flight *flight, const pubsub_report *report); /* its final one */
    void (*settled)(void *ctx); /* a round of reports is over */
    size_t flights;
    size_t waiting; /* of them, to be published again after a pause */
    bool gone;
};

/* A message on its way. Owns what its publication points to, because a message that is refused is
 * published again as a dead letter. */
struct bridge_flight {
    bridge_flight *next;
    bridge_target *target;
    bridge_target_user *user;
    void *model; /* the user's */
    uint64_t number;
    void *token;
    uint64_t timestamp_ns;
    size_t payload; /* bytes */
    size_t counted; /* bytes it takes of the route's limit */
    bool dead;      /* it is a dead letter now */
    bool in_lane;   /* this and what follows belongs to lanes.c */
    uint64_t lane;
    bridge_flight *lane_next;
    bridge_flight *behind;
    bridge_flight *behind_last;
    pubsub_change change;
    pubsub_bytes model_name; /* in data, as the rest */
    pubsub_bytes source_topic;
    pubsub_bytes key;
    pubsub_bytes dead_topic; /* empty = made when it is needed */
    pubsub__buf data;
    pubsub_header *headers;
    size_t header_capacity;
    pubsub_publication publication;
};

/* Connects at the first publish, or when told to. */
bridge_target *bridge_target_new(pubsub_host *host, const char *name, const char *url,
                                 const pubsub_options *options, pubsub_error *err);
/* End the client, waiting at most that long on a thread of its own, when nobody uses it any more; `done`
 * is called on the host's thread when it is gone. */
void bridge_target_end(bridge_target *target, pubsub_duration_ms timeout, void (*done)(void *ctx),
                       void *ctx);

/* NULL when memory is short; the functions are to be filled in. */
bridge_target_user *bridge_target_join(bridge_target *target, void *ctx);
/* Its flights come back without it being told. */
void bridge_target_leave(bridge_target_user *user);

/* Start connecting now instead of with the first message. */
void bridge_target_connect(bridge_target *target);

/* An empty flight; NULL when memory is short. */
bridge_flight *bridge_target_flight(bridge_target_user *user);
void bridge_target_flight_free(bridge_flight *flight);
/* Publish it in this turn of the loop, or behind those of the same user that are tried again; `report`
 * comes later, never inside. */
void bridge_target_submit(bridge_flight *flight);
/* The same after a pause. */
void bridge_target_retry(bridge_flight *flight);

const char *bridge_target_name(const bridge_target *target);
/* What the broker can ever do; once connected, what this server can. */
const pubsub_caps *bridge_target_caps(const bridge_target *target);
const char *bridge_target_url(const bridge_target *target);
pubsub_state bridge_target_state(const bridge_target *target);
/* Failed for good: bridge_target_error() says why. A new target has to be made. */
bool bridge_target_failed(const bridge_target *target);
const pubsub_error *bridge_target_error(const bridge_target *target);
/* Whether the broker has a feature, as far as it is known now. */
bool bridge_target_has(const bridge_target *target, pubsub_feature feature);

#endif
