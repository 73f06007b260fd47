/* SPDX-License-Identifier: MIT */
/* The queue between the library's threads and the client's, and the messages in it. */
#include "mqtt/paho_internal.h"

#include "base/alloc.h"

#include <string.h>

/* Publishes reported in one event. */
#define BATCH 64u

paho_node *pubsub__paho_node(mqtt_engine *engine, paho_link *link, paho_kind kind, void *token)
{
    paho_node *node = engine->spare;

    if (node != NULL) {
        engine->spare = node->next;
    } else {
        node = pubsub__alloc(sizeof(*node));
        if (node == NULL) {
            return NULL;
        }
    }
    memset(node, 0, offsetof(paho_node, reasons));
    node->count = 0;
    node->size = 0;
    node->how = MQTT_PUBLISHED;
    node->reason = 0;
    node->link = link;
    node->kind = kind;
    node->token = token;
    node->attempt = engine->attempt;
    node->older = engine->newest;
    if (engine->newest != NULL) {
        engine->newest->newer = node;
    } else {
        engine->oldest = node;
    }
    engine->newest = node;
    return node;
}

/* No longer awaited: out of the list, to be used again. */
void pubsub__paho_spare(mqtt_engine *engine, paho_node *node)
{
    *(node->older != NULL ? &node->older->newer : &engine->oldest) = node->newer;
    *(node->newer != NULL ? &node->newer->older : &engine->newest) = node->older;
    node->next = engine->spare;
    engine->spare = node;
}

bool pubsub__paho_append(mqtt_engine *engine, paho_node *node)
{
    bool was_empty = engine->first == NULL;

    node->queued = true;
    node->next = NULL;
    *(was_empty ? &engine->first : &engine->last->next) = node;
    engine->last = node;
    return was_empty;
}

void pubsub__paho_push(mqtt_engine *engine, paho_node *node)
{
    pthread_mutex_lock(&engine->lock);
    bool wake = pubsub__paho_append(engine, node);
    pthread_mutex_unlock(&engine->lock);
    if (wake) {
        engine->host.wake(engine->host.wake_ctx);
    }
}

void pubsub__paho_orphan_link(mqtt_engine *engine, paho_link *link)
{
    bool wake = false;

    pthread_mutex_lock(&engine->lock);
    for (paho_node *node = engine->oldest; node != NULL; node = node->newer) {
        if (node->link == link && !node->queued) {
            node->how = MQTT_PUBLISH_LOST;
            wake = pubsub__paho_append(engine, node) || wake;
        }
    }
    pthread_mutex_unlock(&engine->lock);
    if (wake) {
        engine->host.wake(engine->host.wake_ctx);
    }
}

static void publish_ended(mqtt_engine *engine, const paho_node *node)
{
    engine->in_flight--;
    engine->in_flight_bytes -= node->size;
    if (node->qos > 0) {
        engine->acks_due--;
    }
    if (node->qos == 2) {
        engine->twos_due--;
    }
}

/* The library has dropped what qos 0 publishes of older connections it was writing, without a word. */
static void give_up_old(mqtt_engine *engine)
{
    mqtt_published results[BATCH];
    size_t count;

    do {
        count = 0;
        pthread_mutex_lock(&engine->lock);
        for (paho_node *node = engine->oldest; node != NULL && count < BATCH; node = node->newer) {
            if (!node->queued && !node->orphan && node->kind == PAHO_PUBLISH && node->qos == 0 &&
                node->attempt != engine->attempt) {
                node->orphan = true;
                publish_ended(engine, node);
                results[count++] = (mqtt_published){node->token, MQTT_PUBLISH_LOST, 0};
            }
        }
        pthread_mutex_unlock(&engine->lock);
        if (count > 0) {
            engine->host.events->published(engine->host.host, results, count);
        }
    } while (count == BATCH && !engine->gone);
}

void pubsub__paho_lose_requests(mqtt_engine *engine)
{
    paho_node *next;

    for (paho_node *node = engine->oldest; node != NULL && !engine->gone; node = next) {
        next = node->newer;
        if (node->orphan || (node->kind != PAHO_SUBSCRIBE && node->kind != PAHO_UNSUBSCRIBE)) {
            continue;
        }
        node->orphan = true;
        if (node->kind == PAHO_SUBSCRIBE) {
            engine->host.events->subscribed(engine->host.host, node->token, NULL, 0);
        } else {
            engine->host.events->unsubscribed(engine->host.host, node->token, false);
        }
        next = engine->gone ? NULL : node->newer; /* the event may have added some */
    }
}

/* ---- what run does with a node -------------------------------------------------------------- */

static void raise_connected(mqtt_engine *engine, paho_node *node)
{
    const paho_connected *connected = (const paho_connected *)node;
    size_t window = connected->connack.receive_maximum;

    engine->state = PAHO_UP;
    engine->deadline_ns = 0;
    engine->window = window > 1 ? window - 1 : 1;
    give_up_old(engine);
    if (!engine->gone) {
        engine->host.events->connected(engine->host.host, &connected->connack);
    }
}

static void raise_ended(mqtt_engine *engine, paho_node *node)
{
    const paho_failed *failed = (const paho_failed *)node;

    engine->state = PAHO_IDLE;
    engine->deadline_ns = 0;
    pubsub__paho_lose_requests(engine);
    if (engine->gone) {
        return;
    }
    if (node->kind == PAHO_LOST) {
        engine->host.events->lost(engine->host.host, &failed->failure);
    } else if (node->kind == PAHO_FAILED) {
        engine->host.events->failed(engine->host.host, &failed->failure);
    } else {
        engine->host.events->closed(engine->host.host);
    }
}

/* Publishes often end in rows: one event for as many as there are. Returns what follows them. */
static paho_node *raise_published(mqtt_engine *engine, paho_node *node)
{
    mqtt_published results[BATCH];
    size_t count = 0;

    while (node != NULL && node->kind == PAHO_PUBLISH && count < BATCH) {
        paho_node *next = node->next;
        if (!node->orphan) {
            publish_ended(engine, node);
            results[count++] = (mqtt_published){node->token, node->how, node->reason};
        }
        pubsub__paho_spare(engine, node);
        node = next;
    }
    if (count > 0) {
        engine->host.events->published(engine->host.host, results, count);
    }
    return node;
}

static void raise_request(mqtt_engine *engine, paho_node *node)
{
    if (!node->orphan) {
        node->orphan = true;
        if (node->kind == PAHO_SUBSCRIBE) {
            engine->host.events->subscribed(engine->host.host, node->token,
                                            node->answered ? node->reasons : NULL,
                                            node->answered ? node->count : 0);
        } else {
            engine->host.events->unsubscribed(engine->host.host, node->token, node->answered);
        }
    }
    pubsub__paho_spare(engine, node);
}

static void raise_one(mqtt_engine *engine, paho_node *node)
{
    bool current = node->attempt == engine->attempt;

    switch (node->kind) {
    case PAHO_CONNECTED:
        if (current) {
            raise_connected(engine, node);
        }
        pubsub__free(node);
        break;
    case PAHO_FAILED:
    case PAHO_LOST:
    case PAHO_CLOSED:
        if (current) {
            raise_ended(engine, node);
        }
        pubsub__free(node);
        break;
    case PAHO_MESSAGE:
        pubsub__paho_raise_message(engine, node);
        break;
    default:
        raise_request(engine, node);
        break;
    }
}

void pubsub__paho_run(mqtt_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
    paho_node *node = engine->first;
    uint64_t overflowed = engine->overflowed;
    engine->first = engine->last = NULL;
    engine->waiting = 0;
    engine->waiting_bytes = 0;
    engine->overflowed = 0;
    pthread_mutex_unlock(&engine->lock);

    engine->running = true;
    if (engine->lose_requests) {
        engine->lose_requests = false;
        pubsub__paho_lose_requests(engine);
    }
    while (node != NULL && !engine->gone) {
        if (node->kind == PAHO_PUBLISH) {
            node = raise_published(engine, node);
        } else {
            paho_node *next = node->next;
            raise_one(engine, node);
            node = next;
        }
    }
    if (engine->gone && node != NULL) { /* for the one who frees */
        pthread_mutex_lock(&engine->lock);
        paho_node *last = node;
        while (last->next != NULL) {
            last = last->next;
        }
        last->next = engine->first;
        engine->last = engine->first == NULL ? last : engine->last;
        engine->first = node;
        pthread_mutex_unlock(&engine->lock);
    } else if (overflowed > 0 && !engine->gone) {
        engine->host.events->overflowed(engine->host.host, overflowed);
    }
    engine->running = false;
}

/* Free what is queued and what is spare; the library will call no more. */
void pubsub__paho_clear(mqtt_engine *engine)
{
    paho_node *node = engine->first, *next;

    for (; node != NULL; node = next) {
        next = node->next;
        if (node->kind == PAHO_MESSAGE) {
            pubsub__paho_message_free(&((paho_arrived *)node)->message);
        } else if (node->kind < PAHO_MESSAGE) {
            pubsub__free(node);
        }
    }
    for (node = engine->oldest; node != NULL; node = next) {
        next = node->newer;
        pubsub__free(node);
    }
    for (node = engine->spare; node != NULL; node = next) {
        next = node->next;
        pubsub__free(node);
    }
}
