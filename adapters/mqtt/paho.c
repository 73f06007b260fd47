/* SPDX-License-Identifier: MIT */
/* The engine's table, and publishing. */
#include "mqtt/paho_internal.h"

#include "base/alloc.h"

#include <string.h>

/* Of all qos together: what waits inside the library makes it slow. */
#define IN_FLIGHT_MAX 400u
#define IN_FLIGHT_BYTES_MAX ((size_t)64 << 20)
#define PROPERTIES_MAX (MQTT_USER_PROPERTIES_MAX + 4u)

static mqtt_engine *paho_open(const mqtt_host *host, pubsub_error *err)
{
    mqtt_engine *engine = pubsub__calloc(1, sizeof(*engine));

    if (engine == NULL || pthread_mutex_init(&engine->lock, NULL) != 0) {
        pubsub__free(engine);
        pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
        return NULL;
    }
    engine->host = *host;
    return engine;
}

/* ---- publishing ---------------------------------------------------------------------------- */

/* @thread the library's */
static void publish_ended(paho_node *node, mqtt_published_how how, int reason)
{
    node->how = how;
    node->reason = reason;
    pubsub__paho_push(node->link->engine, node);
}

static void on_published3(void *context, MQTTAsync_successData *data)
{
    (void)data;
    publish_ended(context, MQTT_PUBLISHED, 0);
}

static void on_published5(void *context, MQTTAsync_successData5 *data)
{
    (void)data; /* its reason code is not that of the PUBACK */
    publish_ended(context, MQTT_PUBLISHED, 0);
}

static void publish_failed(paho_node *node, int code, int reason)
{
    if (code == 0 && reason >= MQTT_UNSPECIFIED) {
        publish_ended(node, MQTT_PUBLISH_REFUSED, reason);
        return;
    }
    if (code == MQTTASYNC_FAILURE && node->qos > 0) {
        /* The write failed. The library keeps the message for the session and frees its memory. */
        pthread_mutex_lock(&node->link->engine->lock);
        node->link->poisoned = true;
        pthread_mutex_unlock(&node->link->engine->lock);
    }
    publish_ended(node, MQTT_PUBLISH_LOST, 0);
}

static void on_unpublished3(void *context, MQTTAsync_failureData *data)
{
    publish_failed(context, data->code != 0 ? data->code : MQTTASYNC_OPERATION_INCOMPLETE, 0);
}

static void on_unpublished5(void *context, MQTTAsync_failureData5 *data)
{
    publish_failed(context, data->code, data->code == 0 ? (int)data->reasonCode : 0);
}

static void add_bytes(mqtt_engine *engine, int *count, enum MQTTPropertyCodes code,
                      pubsub_bytes value)
{
    if (value.data != NULL) {
        MQTTProperty *property = &engine->properties[(*count)++];
        property->identifier = code;
        property->value.data = (MQTTLenString){(int)value.len, pubsub__paho_writable(value.data)};
    }
}

/* The properties of a message, borrowing its bytes. False when memory is short. */
static bool make_properties(mqtt_engine *engine, const mqtt_message *message, MQTTProperties *out)
{
    size_t need = message->user_count + 4;
    int count = 0;

    if (need > engine->property_room) {
        size_t room = need < 16 ? 16 : PROPERTIES_MAX < need ? need : PROPERTIES_MAX;
        MQTTProperty *more = pubsub__realloc(engine->properties, room * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        engine->properties = more;
        engine->property_room = room;
    }
    if (message->expiry_s != MQTT_EXPIRY_NONE) {
        MQTTProperty *property = &engine->properties[count++];
        property->identifier = MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL;
        property->value.integer4 = message->expiry_s;
    }
    add_bytes(engine, &count, MQTTPROPERTY_CODE_CONTENT_TYPE, message->content_type);
    add_bytes(engine, &count, MQTTPROPERTY_CODE_RESPONSE_TOPIC, message->response_topic);
    add_bytes(engine, &count, MQTTPROPERTY_CODE_CORRELATION_DATA, message->correlation);
    for (uint32_t i = 0; i < message->user_count; i++) {
        MQTTProperty *property = &engine->properties[count];
        const mqtt_user_property *user = &message->user[i];
        add_bytes(engine, &count, MQTTPROPERTY_CODE_USER_PROPERTY, user->name);
        property->value.value =
            (MQTTLenString){(int)user->value.len, pubsub__paho_writable(user->value.data)};
    }
    out->count = out->max_count = count;
    out->array = engine->properties;
    return true;
}

/* The topic with a NUL behind it. NULL when memory is short. */
static const char *make_topic(mqtt_engine *engine, pubsub_bytes topic)
{
    if (topic.len + 1 > engine->topic_room) {
        char *more = pubsub__realloc(engine->topic, topic.len + 256);
        if (more == NULL) {
            return NULL;
        }
        engine->topic = more;
        engine->topic_room = topic.len + 256;
    }
    memcpy(engine->topic, topic.data, topic.len);
    engine->topic[topic.len] = '\0';
    return engine->topic;
}

static bool has_room(const mqtt_engine *engine, const mqtt_message *message, size_t size)
{
    return engine->state == PAHO_UP && engine->in_flight < IN_FLIGHT_MAX &&
           (engine->in_flight == 0 || engine->in_flight_bytes + size <= IN_FLIGHT_BYTES_MAX) &&
           (message->qos == 0 || engine->acks_due < engine->window);
}

static int send_message(mqtt_engine *engine, const mqtt_message *message, const char *topic,
                        paho_node *node)
{
    MQTTAsync_message out = MQTTAsync_message_initializer;
    MQTTAsync_responseOptions answer = MQTTAsync_responseOptions_initializer;

    answer.context = node;
    if (engine->link->version == MQTT_V5) {
        if (!make_properties(engine, message, &out.properties)) {
            return PAHO_NO_MEMORY;
        }
        answer.onSuccess5 = on_published5;
        answer.onFailure5 = on_unpublished5;
    } else {
        answer.onSuccess = on_published3;
        answer.onFailure = on_unpublished3;
    }
    out.payload = pubsub__paho_writable(message->payload.len > 0 ? message->payload.data : "");
    out.payloadlen = (int)message->payload.len;
    out.qos = message->qos;
    out.retained = message->retain;
    return MQTTAsync_sendMessage(engine->link->handle, topic, &out, &answer);
}

static bool paho_publish(mqtt_engine *engine, const mqtt_message *message, void *token)
{
    size_t size = message->topic.len + message->payload.len;
    const char *topic;
    paho_node *node;

    if (!has_room(engine, message, size) || (topic = make_topic(engine, message->topic)) == NULL ||
        (node = pubsub__paho_node(engine, engine->link, PAHO_PUBLISH, token)) == NULL) {
        return false;
    }
    node->qos = message->qos;
    node->size = size;
    int rc = message->payload.len <= INT32_MAX ? send_message(engine, message, topic, node)
                                               : MQTTASYNC_BAD_STRUCTURE;
    if (rc == MQTTASYNC_DISCONNECTED || rc == MQTTASYNC_MAX_BUFFERED_MESSAGES ||
        rc == MQTTASYNC_NO_MORE_MSGIDS || rc == PAHO_NO_MEMORY) {
        pubsub__paho_spare(engine, node);
        return false;
    }
    engine->in_flight++;
    engine->in_flight_bytes += size;
    engine->acks_due += message->qos > 0;
    engine->twos_due += message->qos == 2;
    if (rc != MQTTASYNC_SUCCESS) {
        publish_ended(node, MQTT_PUBLISH_REFUSED,
                      rc == MQTTASYNC_BAD_UTF8_STRING ? MQTT_TOPIC_NAME_INVALID
                                                      : MQTT_PACKET_TOO_LARGE);
    }
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------ */

static void release(mqtt_engine *engine)
{
    pubsub__paho_clear(engine);
    pthread_mutex_destroy(&engine->lock);
    pubsub__free(engine->properties);
    pubsub__free(engine->topic);
    pubsub__free(engine);
}

static void paho_free(mqtt_engine *engine, bool forked)
{
    if (engine == NULL || forked) {
        return; /* the library's locks may be held for ever: nothing of it can be touched */
    }
    pubsub__paho_destroy(engine);
    if (engine->running) {
        engine->gone = true;
    } else {
        release(engine);
    }
}

static void paho_run(mqtt_engine *engine)
{
    pubsub__paho_watch(engine);
    pubsub__paho_run(engine);
    if (engine->gone) {
        release(engine);
    }
}

static void paho_nudge(mqtt_engine *engine)
{
    pubsub__paho_watch(engine);
    pubsub__paho_kick();
}

const mqtt_engine_ops pubsub__mqtt_paho = {
    .name = "paho.mqtt.c",
    .open = paho_open,
    .connect = pubsub__paho_connect,
    .abort = pubsub__paho_abort,
    .publish = paho_publish,
    .subscribe = pubsub__paho_subscribe,
    .unsubscribe = pubsub__paho_unsubscribe,
    .disconnect = pubsub__paho_disconnect,
    .run = paho_run,
    .nudge = paho_nudge,
    .message_free = pubsub__paho_message_free,
    .free = paho_free,
};
