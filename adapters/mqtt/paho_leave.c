/* SPDX-License-Identifier: MIT */
/* Leaving in good order, giving up, and the end of handles. */
#include "mqtt/paho_internal.h"

#include "base/alloc.h"
#include "base/clock.h"

void pubsub__paho_destroy(mqtt_engine *engine)
{
    paho_link *link = engine->link;
    paho_mask mask;

    if (link == NULL) {
        return;
    }
    engine->link = NULL;
    pthread_mutex_lock(&engine->lock);
    link->dying = true;
    pthread_mutex_unlock(&engine->lock);
    if (link->handle != NULL) {
        pubsub__paho_mask(&mask);
        MQTTAsync_destroy(&link->handle);
        pubsub__paho_unmask(&mask);
    }
    pubsub__paho_unlisten(link);
    pubsub__paho_orphan_link(engine, link);
    pubsub__free(link->client_id);
    pubsub__free(link);
}

void pubsub__paho_watch(mqtt_engine *engine)
{
    /* What is in flight would be lost with the handle, and which messages of qos 2 came already. The
     * library ends the attempt by itself, some seconds later. */
    if (engine->state != PAHO_CONNECTING || engine->deadline_ns == 0 || engine->in_flight > 0 ||
        engine->link->session || pubsub__clock_mono_ns() < engine->deadline_ns) {
        return;
    }
    engine->attempt++;
    engine->state = PAHO_IDLE;
    engine->deadline_ns = 0;
    pubsub__paho_timed_out(engine->link);
    pubsub__paho_destroy(engine);
}

/* ---- leaving ------------------------------------------------------------------------------- */

static void on_left3(void *context, MQTTAsync_successData *data)
{
    (void)data;
    pubsub__paho_lost(context, NULL);
}

static void on_left5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    pubsub__paho_lost(context, NULL);
}

static int leave(paho_link *link, enum MQTTReasonCodes reason, bool end_session)
{
    MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SESSION_EXPIRY_INTERVAL};

    options.context = link;
    if (link->version == MQTT_V5) {
        options.struct_version = 1;
        options.reasonCode = reason;
        options.onSuccess5 = on_left5;
        if (end_session) {
            options.properties.array = &property;
            options.properties.count = options.properties.max_count = 1;
        }
    } else {
        options.onSuccess = on_left3;
    }
    pthread_mutex_lock(&link->engine->lock);
    link->leaving = true;
    pthread_mutex_unlock(&link->engine->lock);
    int rc = MQTTAsync_disconnect(link->handle, &options);
    if (rc != MQTTASYNC_SUCCESS) {
        pthread_mutex_lock(&link->engine->lock);
        link->leaving = false;
        pthread_mutex_unlock(&link->engine->lock);
    }
    pubsub__paho_kick();
    return rc;
}

void pubsub__paho_disconnect(mqtt_engine *engine, bool end_session)
{
    if (engine->state == PAHO_UP &&
        leave(engine->link, MQTTREASONCODE_SUCCESS, end_session) == MQTTASYNC_SUCCESS) {
        engine->state = PAHO_CLOSING;
        return;
    }
    if (engine->state == PAHO_CONNECTING) {
        pubsub__paho_abort(engine);
    }
    paho_failed *node = pubsub__calloc(1, sizeof(*node));
    if (node != NULL) {
        node->node.kind = PAHO_CLOSED;
        node->node.attempt = ++engine->attempt;
        engine->state = PAHO_CLOSING;
        pubsub__paho_push(engine, &node->node);
    }
}

void pubsub__paho_abort(mqtt_engine *engine)
{
    if (engine->state == PAHO_IDLE) {
        return;
    }
    bool was_up = engine->state == PAHO_UP;
    engine->state = PAHO_IDLE;
    engine->deadline_ns = 0;
    engine->attempt++;
    engine->lose_requests = true;
    /* Without a word the library leaves in no case. What comes next to it: in version 5 with the reason
     * that has the will published; with 3.1.1 a will is not. The handle is kept for what is in flight. */
    bool keeps = was_up && (engine->link->version == MQTT_V5 || engine->in_flight > 0);
    if (!keeps || leave(engine->link, MQTTREASONCODE_DISCONNECT_WITH_WILL_MESSAGE, false) !=
                      MQTTASYNC_SUCCESS) {
        pubsub__paho_destroy(engine);
    }
    engine->host.wake(engine->host.wake_ctx);
}
