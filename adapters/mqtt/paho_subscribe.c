/* SPDX-License-Identifier: MIT */
/* Subscribing and its end. */
#include "mqtt/paho_internal.h"

#include <string.h>

char *pubsub__paho_writable(const void *text)
{
    union {
        const void *in;
        char *out;
    } both = {text};
    return both.out; /* the library copies and does not write */
}

static void on_subscribed3(void *context, MQTTAsync_successData *data)
{
    paho_node *node = context;

    for (uint32_t i = 0; i < node->count; i++) {
        node->reasons[i] = (uint8_t)(node->count == 1 ? data->alt.qos : data->alt.qosList[i]);
    }
    node->answered = true;
    pubsub__paho_push(node->link->engine, node);
}

static void on_subscribed5(void *context, MQTTAsync_successData5 *data)
{
    paho_node *node = context;
    uint32_t told = data->alt.sub.reasonCodeCount > 0 ? (uint32_t)data->alt.sub.reasonCodeCount : 0;

    for (uint32_t i = 0; i < node->count; i++) {
        node->reasons[i] = MQTT_UNSPECIFIED;
        if (told == 1 && i == 0) {
            node->reasons[i] = (uint8_t)data->reasonCode;
        } else if (told > 1 && i < told) {
            node->reasons[i] = (uint8_t)data->alt.sub.reasonCodes[i];
        }
    }
    node->answered = true;
    pubsub__paho_push(node->link->engine, node);
}

static void request_failed(paho_node *node, int reason)
{
    if (reason >= MQTT_UNSPECIFIED) {
        node->answered = true;
        memset(node->reasons, reason, sizeof(node->reasons));
    }
    pubsub__paho_push(node->link->engine, node);
}

static void on_request_failed3(void *context, MQTTAsync_failureData *data)
{
    request_failed(context, data->code);
}

static void on_request_failed5(void *context, MQTTAsync_failureData5 *data)
{
    request_failed(context, data->code == 0 ? (int)data->reasonCode : 0);
}

static void on_unsubscribed3(void *context, MQTTAsync_successData *data)
{
    paho_node *node = context;

    (void)data;
    node->answered = true;
    pubsub__paho_push(node->link->engine, node);
}

static void on_unsubscribed5(void *context, MQTTAsync_successData5 *data)
{
    (void)data;
    on_unsubscribed3(context, NULL);
}

static pubsub_err begin_request(mqtt_engine *engine, paho_kind kind, size_t count, void *token,
                                MQTTAsync_responseOptions *answer, pubsub_error *err)
{
    bool subscribes = kind == PAHO_SUBSCRIBE;

    if (engine->state != PAHO_UP || count == 0 || count > MQTT_FILTERS_MAX) {
        return pubsub_error_set(err, engine->state != PAHO_UP ? PUBSUB_ELOST : PUBSUB_EINVAL,
                                engine->state != PAHO_UP ? "not connected" : "too many filters");
    }
    paho_node *node = pubsub__paho_node(engine, engine->link, kind, token);
    if (node == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    node->count = (uint32_t)count;
    answer->context = node;
    if (engine->link->version == MQTT_V5) {
        answer->onSuccess5 = subscribes ? on_subscribed5 : on_unsubscribed5;
        answer->onFailure5 = on_request_failed5;
    } else {
        answer->onSuccess = subscribes ? on_subscribed3 : on_unsubscribed3;
        answer->onFailure = on_request_failed3;
    }
    return PUBSUB_OK;
}

static pubsub_err end_request(mqtt_engine *engine, paho_node *node, int rc, pubsub_error *err)
{
    if (rc == MQTTASYNC_SUCCESS) {
        return PUBSUB_OK;
    }
    pubsub__paho_spare(engine, node);
    pubsub_err code = PUBSUB_EINTERNAL;
    if (rc == MQTTASYNC_DISCONNECTED) {
        code = PUBSUB_ELOST;
    } else if (rc == MQTTASYNC_BAD_UTF8_STRING) {
        code = PUBSUB_EUTF8;
    } else if (rc == PAHO_NO_MEMORY) {
        code = PUBSUB_ENOMEM;
    }
    return pubsub_error_set(err, code, "the MQTT library refuses: %s", MQTTAsync_strerror(rc));
}

pubsub_err pubsub__paho_subscribe(mqtt_engine *engine, const mqtt_filter *filters, size_t count,
                                  uint32_t id, void *token, pubsub_error *err)
{
    MQTTAsync_responseOptions answer = MQTTAsync_responseOptions_initializer;
    MQTTSubscribe_options plain = MQTTSubscribe_options_initializer;
    MQTTSubscribe_options options[MQTT_FILTERS_MAX];
    MQTTProperty property = {.identifier = MQTTPROPERTY_CODE_SUBSCRIPTION_IDENTIFIER};
    char *topics[MQTT_FILTERS_MAX];
    int qos[MQTT_FILTERS_MAX];
    pubsub_err code = begin_request(engine, PAHO_SUBSCRIBE, count, token, &answer, err);

    if (code != PUBSUB_OK) {
        return code;
    }
    options[0] = plain; /* there is one; analysers do not see it */
    for (size_t i = 0; i < count; i++) {
        topics[i] = pubsub__paho_writable(filters[i].filter);
        qos[i] = filters[i].qos;
        engine->takes_twos = engine->takes_twos || filters[i].qos == 2;
        options[i] = plain;
        options[i].noLocal = filters[i].no_local;
        options[i].retainAsPublished = filters[i].retain_as_published;
        options[i].retainHandling = filters[i].retain_handling;
    }
    if (engine->link->version == MQTT_V5) {
        answer.subscribeOptions = options[0];
        answer.subscribeOptionsList = options;
        answer.subscribeOptionsCount = count > 1 ? (int)count : 0;
        if (id > 0) {
            property.value.integer4 = id;
            answer.properties.array = &property;
            answer.properties.count = answer.properties.max_count = 1;
        }
    }
    return end_request(
        engine, answer.context,
        MQTTAsync_subscribeMany(engine->link->handle, (int)count, topics, qos, &answer), err);
}

pubsub_err pubsub__paho_unsubscribe(mqtt_engine *engine, const char *const *filters, size_t count,
                                    void *token, pubsub_error *err)
{
    MQTTAsync_responseOptions answer = MQTTAsync_responseOptions_initializer;
    char *topics[MQTT_FILTERS_MAX];
    pubsub_err code = begin_request(engine, PAHO_UNSUBSCRIBE, count, token, &answer, err);

    if (code != PUBSUB_OK) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        topics[i] = pubsub__paho_writable(filters[i]);
    }
    return end_request(engine, answer.context,
                       MQTTAsync_unsubscribeMany(engine->link->handle, (int)count, topics, &answer),
                       err);
}
