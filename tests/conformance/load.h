/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_CONF_LOAD_H
#define PUBSUB_TESTS_CONF_LOAD_H

/* A publisher that goes on while a case breaks things, and the judgement afterwards. */

#include "conformance/conf.h"

#include <pthread.h>

/* Most publishes without outcome. */
enum { CONF_LOAD_WINDOW = 64 };

/* Publishes m0, m1, ... to one topic on a thread of its own, with a bounded number without outcome. The
 * thread also polls the client. */
typedef struct conf_load {
    conf *t;
    kit_peer *peer;
    const char *topic;
    pubsub_qos qos;
    pthread_t thread;
    bool running;
    atomic_bool stop;
    atomic_size_t published;
    atomic_int result;        /* what ended it early */
    pubsub_outcome *outcomes; /* of each, after conf_load_finish */
    size_t counts[5];         /* of each outcome */
} conf_load;

/* What a subscription got of a load. */
typedef struct conf_tally {
    size_t lost;    /* confirmed and not received */
    size_t doubled; /* received again, counted each time */
    size_t holes;   /* not received, whatever the outcome was */
    size_t behind;  /* first received behind later ones */
    size_t streams; /* what came is that many streams in order, merged; not fewer */
} conf_tally;

/* Start one; it ends with the case at the latest. One for each case. */
conf_load *conf_load_start(conf *t, kit_peer *peer, const char *topic, pubsub_qos qos);
/* Wait until so many more have their outcome. */
void conf_load_advance(conf_load *load, size_t more);
/* End it, wait until every publish has its outcome and check that each has exactly one. */
void conf_load_finish(conf_load *load);
/* Publish until the subscription has one of those: then it has all it will get of what was before. */
void conf_load_fence(conf *t, kit_peer *publisher, kit_sub *sub, pubsub_qos qos);
/* Compare after conf_load_fence. Prints what was counted, under that name. Fails when something came that was
 * not published, or first came behind later ones. The latter is allowed only where the adapter says so
 * (conf_network, drains) and only to a subscription that was told of a gap; and then what came is still a
 * merge of at most as many streams in order as the publisher had connections. */
conf_tally conf_load_judge(conf_load *load, kit_sub *sub, const char *name);
/* Wait until the subscription is subscribed again after each interruption that was told. Returns how
 * many there were. The client has no other subscription. */
size_t conf_load_settled(conf *t, kit_sub *sub);
/* How often the client was told that its connection is lost. */
size_t conf_times_lost(kit_peer *peer);
/* Fails unless a gap was told where messages are missing. */
void conf_load_gaps_told(const conf_tally *tally, kit_sub *sub);

#endif
