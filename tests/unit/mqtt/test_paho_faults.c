/* SPDX-License-Identifier: MIT */
/* The engine over paho.mqtt.c when things go wrong after the connection stood, or before it does. */
#include "rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPS (&pubsub__mqtt_paho)

static void each_answered_once(const rig *r)
{
    for (size_t i = 1; i <= r->next_token; i++) {
        assert_int_equal(r->answers[i], 1);
    }
}

/* Cut the connection again and again while publishes are in flight. */
static void cut_and_reconnect(int version, bool session)
{
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    rig *r = rig_new(kit_proxy_port(proxy));
    size_t lost = 0;

    r->target.version = version;
    r->target.clean = !session;
    r->target.session_expiry_s = session ? 300 : 0;
    for (int round = 0; round < 4; round++) {
        rig_connect(r);
        assert_int_equal(r->connack.session_present, session && round > 0);
        rig_publish_all(r, "paho/cut", "0123456789", (uint8_t)(round % 3), 200);
        unsigned before = r->lost;
        kit_proxy_cut(proxy);
        rig_until(r, &r->lost, before + 1);
        assert_int_equal(r->failure.error.code, PUBSUB_ELOST);
        assert_false(rig_publish(r, "paho/cut", "x", 1));
    }
    rig_connect(r);
    rig_until_published(r, r->next_token);
    rig_rest(r, 50);
    each_answered_once(r);
    for (size_t i = 1; i <= r->next_token; i++) {
        assert_true(r->how[i] == MQTT_PUBLISHED || r->how[i] == MQTT_PUBLISH_LOST);
        lost += r->how[i] == MQTT_PUBLISH_LOST;
    }
    assert_true(lost < r->next_token);
    rig_publish_all(r, "paho/cut", "after", 1, 50);
    rig_until_published(r, r->next_token);
    assert_int_equal(r->how[r->next_token], MQTT_PUBLISHED);
    rig_disconnect(r, true);
    rig_free(r);
    kit_proxy_stop(proxy);
}

static void test_paho_faults_cut_without_session(void **state)
{
    (void)state;
    cut_and_reconnect(MQTT_V5, false);
}

static void test_paho_faults_cut_with_session(void **state)
{
    (void)state;
    cut_and_reconnect(MQTT_V5, true);
}

static void test_paho_faults_cut_311(void **state)
{
    (void)state;
    cut_and_reconnect(MQTT_V311, false);
    cut_and_reconnect(MQTT_V311, true);
}

/* Publish ten that the broker does not answer, cut, and connect again. */
static void lose_answers(rig *r, kit_proxy *proxy, kit_mqtt_tap *tap, uint8_t qos, bool clean)
{
    size_t published = r->published;
    atomic_store(&tap->swallow, qos == 2 ? 1U << 5 : 1U << 4); /* PUBREC, PUBACK */
    rig_publish_all(r, "paho/resend", "x", qos, 10);
    rig_rest(r, 100);
    assert_int_equal(r->published, published);
    unsigned before = r->lost;
    kit_proxy_cut(proxy);
    rig_until(r, &r->lost, before + 1);
    atomic_store(&tap->swallow, 0);
    assert_int_equal(r->published, published);
    r->target.clean = clean;
    rig_connect(r);
    assert_int_equal(r->connack.session_present, !clean);
}

/* An exchange of qos 2 that the cut interrupted goes on in the session, and is lost with it. What has qos 1
 * is lost in any case, and all of it before the connection is told: so its order is the caller's to keep. */
static void test_paho_faults_resends_in_session(void **state)
{
    (void)state;
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    kit_mqtt_tap tap;
    memset(&tap, 0, sizeof(tap));
    kit_filter filter = kit_mqtt_filter(&tap);
    kit_proxy_filter(proxy, KIT_TO_CLIENT, &filter);
    rig *r = rig_new(kit_proxy_port(proxy));

    r->target.session_expiry_s = 300;
    rig_connect(r);
    lose_answers(r, proxy, &tap, 2, false);
    rig_until_published(r, 10);
    lose_answers(r, proxy, &tap, 1, false);
    assert_int_equal(r->published, 20);
    lose_answers(r, proxy, &tap, 2, true);
    rig_until_published(r, 30);
    each_answered_once(r);
    for (size_t i = 1; i <= 30; i++) {
        assert_int_equal(r->how[i], i <= 10 ? MQTT_PUBLISHED : MQTT_PUBLISH_LOST);
    }
    rig_free(r);
    kit_proxy_stop(proxy);
}

static void test_paho_faults_is_taken_over(void **state)
{
    (void)state;
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    rig *first = rig_new(kit_proxy_port(proxy));
    rig *second = rig_new(rig_stock_port());

    second->target.client_id = first->client_id;
    rig_connect(first);
    rig_connect(second);
    rig_until(first, &first->lost, 1); /* this broker ends the older one without a word */
    assert_int_equal(first->failure.error.code, PUBSUB_ELOST);
    rig_disconnect(second, false);
    rig_connect(first);
    kit_proxy_inject(proxy, KIT_TO_CLIENT, "\xE0\x01\x8E", 3); /* others say it */
    rig_until(first, &first->lost, 2);
    assert_int_equal(first->failure.error.code, PUBSUB_ETAKEN);
    assert_int_equal(first->failure.reason, MQTT_SESSION_TAKEN_OVER);
    rig_rest(first, 50);
    assert_int_equal(first->lost, 2);
    rig_connect(first);
    kit_proxy_inject(proxy, KIT_TO_CLIENT, "\xE0\x02\x8B\x00", 4);
    rig_until(first, &first->lost, 3);
    assert_int_equal(first->failure.error.code, PUBSUB_ELOST);
    assert_non_null(strstr(first->failure.error.text, "server shutting down"));
    rig_free(first);
    rig_free(second);
    kit_proxy_stop(proxy);
}

static void test_paho_faults_gives_up_and_connects_again(void **state)
{
    (void)state;
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    rig *r = rig_new(kit_proxy_port(proxy));
    pubsub_error err = PUBSUB_ERROR_INIT;

    kit_proxy_door(proxy, KIT_DOOR_MUTE);
    assert_int_equal(OPS->connect(r->engine, &r->target, &err), PUBSUB_OK);
    rig_rest(r, 50);
    assert_int_equal(OPS->connect(r->engine, &r->target, &err), PUBSUB_ESTATE);
    OPS->abort(r->engine);
    OPS->abort(r->engine);
    r->target.timeout = 200; /* its own limit */
    rig_fail(r);
    assert_int_equal(r->failure.error.code, PUBSUB_ECONNECT);
    assert_non_null(strstr(r->failure.error.text, "does not answer"));
    r->target.timeout = kit_ms(8000);
    kit_proxy_door(proxy, KIT_DOOR_OPEN);
    rig_connect(r);
    rig_publish_all(r, "paho/abort", "x", 1, 5);
    OPS->abort(r->engine); /* connected, with publishes in flight */
    rig_connect(r);
    rig_until_published(r, 5);
    rig_rest(r, 50);
    each_answered_once(r);
    assert_int_equal(r->failed, 1);
    assert_int_equal(r->lost, 0);
    assert_int_equal(r->closed, 0);

    kit_proxy_door(proxy, KIT_DOOR_CLOSED);
    kit_proxy_cut(proxy);
    rig_until(r, &r->lost, 1);
    rig_fail(r);
    assert_int_equal(r->failure.error.code, PUBSUB_ECONNECT);
    assert_false(r->failure.reached);
    assert_non_null(strstr(r->failure.error.text, "cannot connect"));
    kit_proxy_door(proxy, KIT_DOOR_MUTE);
    assert_int_equal(OPS->connect(r->engine, &r->target, &err), PUBSUB_OK);
    rig_rest(r, 20);
    rig_free(r); /* while connecting */
    kit_proxy_stop(proxy);
}

static void test_paho_faults_end_with_requests_open(void **state)
{
    (void)state;
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    rig *r = rig_new(kit_proxy_port(proxy));
    mqtt_filter filter = {.filter = "paho/open", .qos = 1};
    const char *gone[1] = {"paho/open"};
    pubsub_error err = PUBSUB_ERROR_INIT;

    rig_connect(r);
    kit_proxy_stall(proxy, KIT_TO_BROKER, true);
    assert_int_equal(OPS->subscribe(r->engine, &filter, 1, 0, r, &err), PUBSUB_OK);
    assert_int_equal(OPS->unsubscribe(r->engine, gone, 1, r, &err), PUBSUB_OK);
    rig_rest(r, 20);
    kit_proxy_cut(proxy);
    rig_until(r, &r->lost, 1);
    assert_int_equal(r->subscribed, 1);
    assert_int_equal(r->unsubscribed, 1);
    assert_false(r->answered);
    assert_int_equal(r->reason_count, 0);
    kit_proxy_stall(proxy, KIT_TO_BROKER, false);
    rig_connect(r);
    rig_subscribe(r, "paho/open", 1);
    kit_proxy_stall(proxy, KIT_TO_BROKER, true);
    assert_int_equal(OPS->subscribe(r->engine, &filter, 1, 0, r, &err), PUBSUB_OK);
    OPS->abort(r->engine);
    rig_until(r, &r->subscribed, 3);
    assert_false(r->answered);
    kit_proxy_stall(proxy, KIT_TO_BROKER, false);
    rig_connect(r);
    assert_int_equal(OPS->subscribe(r->engine, &filter, 1, 0, r, &err), PUBSUB_OK);
    rig_free(r); /* with an open one */
    kit_proxy_stop(proxy);
}

/* The last byte of each SUBACK becomes "not authorized". */
static bool refuse(void *ctx, void *state, kit_out *out, const uint8_t *data, size_t len)
{
    uint8_t copy[4096];

    (void)state;
    if (len > 0 && len <= sizeof(copy) && data[0] == 0x90) {
        memcpy(copy, data, len);
        copy[len - 1] = *(const uint8_t *)ctx;
        data = copy;
    }
    kit_pass(out, data, len);
    return true;
}

static void test_paho_faults_subscribe_is_refused(void **state)
{
    (void)state;
    static uint8_t code = 0x87;
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    kit_filter filter = {.bytes = refuse, .ctx = &code};
    kit_proxy_filter(proxy, KIT_TO_CLIENT, &filter);
    mqtt_filter filters[2] = {{.filter = "paho/no", .qos = 1}, {.filter = "paho/no/2", .qos = 2}};
    pubsub_error err = PUBSUB_ERROR_INIT;

    for (int version = MQTT_V311; version <= MQTT_V5; version++) {
        rig *r = rig_new(kit_proxy_port(proxy));
        r->target.version = version;
        code = version == MQTT_V5 ? 0x87 : 0x80;
        rig_connect(r);
        assert_int_equal(OPS->subscribe(r->engine, filters, 1, 0, r, &err), PUBSUB_OK);
        rig_until(r, &r->subscribed, 1);
        assert_int_equal(r->reason_count, 1);
        assert_int_equal(r->reasons[0], code);
        assert_int_equal(OPS->subscribe(r->engine, filters, 2, 0, r, &err), PUBSUB_OK);
        rig_until(r, &r->subscribed, 2);
        assert_int_equal(r->reason_count, 2);
        assert_int_equal(r->reasons[0], 1);
        assert_int_equal(r->reasons[1], code);
        rig_free(r);
    }
    kit_proxy_stop(proxy);
}

/* A peer that resets while we write must not end the process; SIGPIPE is at its default here. */
static void test_paho_faults_survive_writes_into_nothing(void **state)
{
    (void)state;
    struct sigaction now;
    kit_proxy *proxy = kit_proxy_start(rig_stock_port());
    rig *r = rig_new(kit_proxy_port(proxy));

    assert_int_equal(sigaction(SIGPIPE, NULL, &now), 0);
    assert_ptr_equal(now.sa_handler, SIG_DFL);
    for (unsigned round = 1; round <= 10; round++) {
        rig_connect(r);
        rig_publish_all(r, "paho/pipe", "x", 0, 100);
        kit_proxy_cut(proxy);
        while (r->lost < round) {
            rig_publish(r, "paho/pipe", "x", 0);
            rig_turn(r);
        }
    }
    rig_connect(r);
    kit_proxy_cut(proxy);
    rig_free(r); /* its DISCONNECT may go nowhere too */
    kit_proxy_stop(proxy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paho_faults_cut_without_session),
        cmocka_unit_test(test_paho_faults_cut_with_session),
        cmocka_unit_test(test_paho_faults_cut_311),
        cmocka_unit_test(test_paho_faults_resends_in_session),
        cmocka_unit_test(test_paho_faults_is_taken_over),
        cmocka_unit_test(test_paho_faults_gives_up_and_connects_again),
        cmocka_unit_test(test_paho_faults_end_with_requests_open),
        cmocka_unit_test(test_paho_faults_subscribe_is_refused),
        cmocka_unit_test(test_paho_faults_survive_writes_into_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, rig_stop_stock);
}
