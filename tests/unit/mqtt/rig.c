/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include "base/alloc.h"
#include "base/rand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPS (&pubsub__mqtt_paho)

static void on_connected(void *host, const mqtt_connack *connack)
{
    rig *r = host;
    r->connack = *connack;
    r->connected++;
}

static void on_failed(void *host, const mqtt_failure *failure)
{
    rig *r = host;
    r->failure = *failure;
    r->failed++;
}

static void on_lost(void *host, const mqtt_failure *failure)
{
    rig *r = host;
    r->failure = *failure;
    r->lost++;
}

static void on_published(void *host, const mqtt_published *results, size_t count)
{
    rig *r = host;
    for (size_t i = 0; i < count; i++) {
        size_t token = (size_t)(uintptr_t)results[i].token;
        assert_in_range(token, 1, r->next_token);
        r->answers[token]++;
        r->how[token] = results[i].how;
        r->reason[token] = results[i].reason;
    }
    r->published += count;
}

static void on_subscribed(void *host, void *token, const uint8_t *reasons, size_t count)
{
    rig *r = host;
    assert_ptr_equal(token, r);
    r->answered = reasons != NULL;
    r->reason_count = count;
    if (reasons != NULL) {
        memcpy(r->reasons, reasons, count);
    }
    r->subscribed++;
}

static void on_unsubscribed(void *host, void *token, bool answered)
{
    rig *r = host;
    assert_ptr_equal(token, r);
    r->answered = answered;
    r->unsubscribed++;
}

static void on_message(void *host, mqtt_message *message)
{
    rig *r = host;
    r->messages++;
    if (r->keep == 0) {
        OPS->message_free(message);
        return;
    }
    message->next = r->last;
    r->last = message;
}

static void on_overflowed(void *host, uint64_t count)
{
    rig *r = host;
    r->overflowed += count;
}

static void on_closed(void *host)
{
    rig *r = host;
    r->closed++;
    if (r->free_when_closed) {
        OPS->free(r->engine, false);
        r->engine = NULL;
    }
}

static void on_wake(void *ctx)
{
    rig *r = ctx;
    pthread_mutex_lock(&r->lock);
    r->woken = true;
    pthread_mutex_unlock(&r->lock);
}

static void on_log(void *ctx, int level, const char *text)
{
    (void)ctx;
    fprintf(stderr, "log %d: %s\n", level, text);
}

static const mqtt_events events = {on_connected, on_failed,     on_lost,
                                   on_published, on_subscribed, on_unsubscribed,
                                   on_message,   on_overflowed, on_closed};

rig *rig_new(uint16_t port)
{
    rig *r = calloc(1, sizeof(*r));
    pubsub_error err = PUBSUB_ERROR_INIT;

    assert_non_null(r);
    assert_int_equal(pthread_mutex_init(&r->lock, NULL), 0);
    mqtt_host host = {&events, r, on_wake, r, on_log};
    r->engine = OPS->open(&host, &err);
    assert_non_null(r->engine);
    snprintf(r->host, sizeof(r->host), "127.0.0.1");
    snprintf(r->client_id, sizeof(r->client_id), "test-");
    pubsub__rand_name(r->client_id + 5, 12);
    r->target = (mqtt_target){.version = MQTT_V5,
                              .host = r->host,
                              .port = port,
                              .client_id = r->client_id,
                              .clean = true,
                              .keep_alive_s = 60,
                              .tls_verify = true,
                              .timeout = kit_ms(8000)};
    return r;
}

void rig_free(rig *r)
{
    if (r->engine != NULL) {
        OPS->free(r->engine, false);
    }
    rig_drop(r);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

uint16_t rig_port(kit_broker *broker, const char *name)
{
    return (uint16_t)strtoul(kit_broker_need(broker, name), NULL, 10);
}

static kit_broker *stock;

uint16_t rig_stock_port(void)
{
    if (stock == NULL) {
        stock = kit_broker_start("mosquitto", NULL);
    }
    return rig_port(stock, "port_plain");
}

int rig_stop_stock(void **state)
{
    (void)state;
    kit_broker_stop(stock);
    stock = NULL;
    return 0;
}

void rig_turn(rig *r)
{
    pthread_mutex_lock(&r->lock);
    bool woken = r->woken;
    r->woken = false;
    pthread_mutex_unlock(&r->lock);
    if (woken) {
        OPS->run(r->engine);
    } else {
        OPS->nudge(r->engine);
        kit_breathe();
    }
}

void rig_until(rig *r, const unsigned *counter, unsigned at_least)
{
    kit_deadline end = kit_in(KIT_PATIENCE);

    while (*counter < at_least) {
        if (kit_over(end)) {
            fail_msg("%u of %u came; the last failure: %s", *counter, at_least,
                     pubsub_error_text(&r->failure.error));
        }
        rig_turn(r);
    }
}

void rig_until_published(rig *r, size_t at_least)
{
    kit_deadline end = kit_in(KIT_PATIENCE);

    while (r->published < at_least) {
        if (kit_over(end)) {
            fail_msg("%zu of %zu publishes were answered", r->published, at_least);
        }
        rig_turn(r);
    }
}

void rig_rest(rig *r, int64_t ms)
{
    kit_deadline end = kit_in(ms);

    while (!kit_over(end)) {
        rig_turn(r);
    }
}

/* Connect, and again when the engine doubts that the failure was this attempt's. */
static void attempt(rig *r)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    kit_deadline end = kit_in(KIT_PATIENCE);
    unsigned connected = r->connected;

    for (int left = 3; left > 0; left--) {
        unsigned failed = r->failed;
        if (OPS->connect(r->engine, &r->target, &err) != PUBSUB_OK) {
            fail_msg("%s", pubsub_error_text(&err));
        }
        while (r->connected == connected && r->failed == failed) {
            assert_false(kit_over(end));
            rig_turn(r);
        }
        if (r->connected != connected || !r->failure.doubtful) {
            return;
        }
    }
}

void rig_connect(rig *r)
{
    unsigned before = r->connected;

    attempt(r);
    rig_until(r, &r->connected, before + 1);
}

void rig_fail(rig *r)
{
    unsigned connected = r->connected;

    attempt(r);
    assert_int_equal(r->connected, connected);
}

void rig_subscribe(rig *r, const char *filter, uint8_t qos)
{
    mqtt_filter one = {.filter = filter, .qos = qos};
    pubsub_error err = PUBSUB_ERROR_INIT;
    unsigned before = r->subscribed;

    assert_int_equal(OPS->subscribe(r->engine, &one, 1, 0, r, &err), PUBSUB_OK);
    rig_until(r, &r->subscribed, before + 1);
    assert_true(r->answered);
    assert_int_equal(r->reasons[0], qos);
}

bool rig_publish(rig *r, const char *topic, const char *payload, uint8_t qos)
{
    mqtt_message message = {.topic = pubsub_bytes_of(topic),
                            .payload = pubsub_bytes_of(payload),
                            .expiry_s = MQTT_EXPIRY_NONE,
                            .qos = qos};

    assert_true(r->next_token + 1 < RIG_TOKENS);
    r->next_token++;
    if (!OPS->publish(r->engine, &message, (void *)(uintptr_t)r->next_token)) {
        r->next_token--;
        return false;
    }
    return true;
}

void rig_publish_all(rig *r, const char *topic, const char *payload, uint8_t qos, size_t count)
{
    kit_deadline end = kit_in(KIT_PATIENCE);

    for (size_t i = 0; i < count; i++) {
        while (!rig_publish(r, topic, payload, qos)) {
            if (kit_over(end)) {
                fail_msg("no room after %zu of %zu", i, count);
            }
            rig_turn(r);
        }
    }
}

void rig_drop(rig *r)
{
    while (r->last != NULL) {
        mqtt_message *next = r->last->next;
        OPS->message_free(r->last);
        r->last = next;
    }
}

void rig_disconnect(rig *r, bool end_session)
{
    unsigned before = r->closed;

    OPS->disconnect(r->engine, end_session);
    rig_until(r, &r->closed, before + 1);
}

bool rig_is(pubsub_bytes bytes, const char *text)
{
    return bytes.data != NULL && bytes.len == strlen(text) &&
           memcmp(bytes.data, text, bytes.len) == 0;
}
