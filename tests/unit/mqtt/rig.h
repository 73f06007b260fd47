/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_MQTT_RIG_H
#define PUBSUB_TESTS_MQTT_RIG_H

/* An engine with a host that writes down what it is told. The test's thread is the I/O thread. */

#include "mqtt/engine.h"
#include "support/broker.h"
#include "support/proxy.h"
#include "support/wait.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define RIG_TOKENS 20000u

typedef struct rig {
    mqtt_engine *engine;
    pthread_mutex_t lock;
    bool woken; /* the lock's */
    mqtt_target target;
    char host[64];
    char client_id[40];
    /* what came */
    unsigned connected, failed, lost, subscribed, unsubscribed, messages, closed;
    uint64_t overflowed;
    size_t published; /* answers, all together */
    mqtt_connack connack;
    mqtt_failure failure;
    uint8_t reasons[MQTT_FILTERS_MAX];
    size_t reason_count;
    bool answered;
    mqtt_message *last; /* the last ones, given back by rig_drop */
    bool free_when_closed;
    unsigned keep; /* keep messages until rig_drop; else only count */
    /* by token, which are numbers from 1 */
    uint8_t answers[RIG_TOKENS]; /* how often */
    mqtt_published_how how[RIG_TOKENS];
    int reason[RIG_TOKENS];
    size_t next_token;
} rig;

/* With a target for 127.0.0.1:port, version 5, clean, a random client id. */
rig *rig_new(uint16_t port);
void rig_free(rig *r);
/* A port of this broker ("port_plain"). */
uint16_t rig_port(kit_broker *broker, const char *name);
/* Of the one broker for all tests of a program, with stock settings: 20 unacknowledged packets at most. */
uint16_t rig_stock_port(void);
/* The last thing of a group of tests. */
int rig_stop_stock(void **state);

/* One turn: run when woken, else nudge and breathe. */
void rig_turn(rig *r);
/* Turns until *counter is at least so much; fails the test when it takes too long. */
void rig_until(rig *r, const unsigned *counter, unsigned at_least);
void rig_until_published(rig *r, size_t at_least);
/* Nothing happens for so long but turns. */
void rig_rest(rig *r, int64_t ms);

/* connect, and wait for connected. */
void rig_connect(rig *r);
/* connect, and wait for failed. */
void rig_fail(rig *r);
void rig_subscribe(rig *r, const char *filter, uint8_t qos);
/* False when the engine has no room. The token is the number of the publish, from 1. */
bool rig_publish(rig *r, const char *topic, const char *payload, uint8_t qos);
/* The same, waiting for room. */
void rig_publish_all(rig *r, const char *topic, const char *payload, uint8_t qos, size_t count);
void rig_drop(rig *r);
/* disconnect, and wait for closed. */
void rig_disconnect(rig *r, bool end_session);
bool rig_is(pubsub_bytes bytes, const char *text);

#endif
