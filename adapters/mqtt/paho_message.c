/* SPDX-License-Identifier: MIT */
/* Messages: the library's memory with a view of ours, never copied. */
#include "mqtt/paho_internal.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <string.h>

/* Messages that arrived and were not yet taken. */
#define WAITING_MAX 200000u
#define WAITING_BYTES_MAX ((size_t)64 << 20)

/* ---- on the I/O thread ---- */

static uint32_t number(const MQTTProperty *property)
{
    switch (MQTTProperty_getType(property->identifier)) {
    case MQTTPROPERTY_TYPE_BYTE:
        return property->value.byte;
    case MQTTPROPERTY_TYPE_TWO_BYTE_INTEGER:
        return property->value.integer2;
    default:
        return property->value.integer4;
    }
}

static pubsub_bytes bytes_of(const MQTTLenString *text)
{
    return (pubsub_bytes){text->data != NULL ? text->data : "",
                          text->len > 0 ? (size_t)text->len : 0};
}

static void read_properties(paho_arrived *arrived)
{
    mqtt_message *message = &arrived->message;
    const MQTTProperties *all = &arrived->paho->properties;

    for (int i = 0; i < all->count; i++) {
        const MQTTProperty *property = &all->array[i];
        switch (property->identifier) {
        case MQTTPROPERTY_CODE_CONTENT_TYPE:
            message->content_type = bytes_of(&property->value.data);
            break;
        case MQTTPROPERTY_CODE_RESPONSE_TOPIC:
            message->response_topic = bytes_of(&property->value.data);
            break;
        case MQTTPROPERTY_CODE_CORRELATION_DATA:
            message->correlation = bytes_of(&property->value.data);
            break;
        case MQTTPROPERTY_CODE_MESSAGE_EXPIRY_INTERVAL:
            message->expiry_s = number(property);
            break;
        case MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER:
            if (message->id_count < MQTT_SUBSCRIPTION_IDS_MAX) {
                message->ids[message->id_count++] = number(property);
            } else {
                message->ids_cut = true;
            }
            break;
        case MQTTPROPERTY_CODE_USER_PROPERTY:
            arrived->user[message->user_count++] = (mqtt_user_property){
                bytes_of(&property->value.data), bytes_of(&property->value.value)};
            break;
        default:
            break;
        }
    }
}

void pubsub__paho_raise_message(mqtt_engine *engine, paho_node *node)
{
    paho_arrived *arrived = (paho_arrived *)node;
    mqtt_message *message = &arrived->message;

    message->topic = (pubsub_bytes){arrived->topic, arrived->topic_len};
    message->payload = (pubsub_bytes){arrived->paho->payload, (size_t)arrived->paho->payloadlen};
    message->user = arrived->user;
    message->expiry_s = MQTT_EXPIRY_NONE;
    message->qos = (uint8_t)arrived->paho->qos;
    message->retain = arrived->paho->retained != 0;
    message->dup = arrived->paho->dup != 0;
    message->packet_id = (uint16_t)arrived->paho->msgid;
    read_properties(arrived);
    engine->host.events->message(engine->host.host, message);
}

/* ---- messages, on the library's thread ----------------------------------------------------- */

int pubsub__paho_arrived(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
    paho_link *link = context;
    mqtt_engine *engine = link->engine;
    size_t users = 0, size = (size_t)message->payloadlen;
    bool wake = false, taken = false;

    for (int i = 0; i < message->properties.count; i++) {
        users += message->properties.array[i].identifier == MQTTPROPERTY_CODE_USER_PROPERTY;
    }
    size_t topic_size = topic_len > 0 ? (size_t)topic_len : strlen(topic);
    paho_arrived *arrived = pubsub__alloc(sizeof(*arrived) + users * sizeof(mqtt_user_property));
    size += topic_size + sizeof(*arrived) + (size_t)message->properties.length;
    if (arrived != NULL) {
        memset(arrived, 0, sizeof(*arrived));
        arrived->node.kind = PAHO_MESSAGE;
        arrived->paho = message;
        arrived->topic = topic;
        arrived->topic_len = topic_size;
        arrived->forks = pubsub__paho_forks();
        arrived->message.arrived_ns = pubsub__clock_wall_ns();
    }
    pthread_mutex_lock(&engine->lock);
    if (arrived != NULL && engine->waiting < WAITING_MAX &&
        (engine->waiting == 0 || engine->waiting_bytes + size <= WAITING_BYTES_MAX)) {
        taken = true;
        engine->waiting++;
        engine->waiting_bytes += size;
        wake = pubsub__paho_append(engine, &arrived->node);
    } else {
        wake = engine->overflowed++ == 0 && engine->first == NULL;
    }
    pthread_mutex_unlock(&engine->lock);
    if (!taken) {
        MQTTAsync_freeMessage(&message);
        MQTTAsync_free(topic);
        pubsub__free(arrived);
    }
    if (wake) {
        engine->host.wake(engine->host.wake_ctx);
    }
    return 1;
}

void pubsub__paho_message_free(mqtt_message *message)
{
    paho_arrived *arrived = (paho_arrived *)((char *)message - offsetof(paho_arrived, message));

    /* In a child process the library's heap may be locked for ever. */
    if (arrived->forks == pubsub__paho_forks()) {
        MQTTAsync_freeMessage(&arrived->paho);
        MQTTAsync_free(arrived->topic);
    }
    pubsub__free(arrived);
}
