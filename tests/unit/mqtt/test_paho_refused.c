/* SPDX-License-Identifier: MIT */
/* Why the engine over paho.mqtt.c does not get in: passwords, certificates, versions, names. */
#include "rig.h"

#include <stdio.h>
#include <string.h>

#define OPS (&pubsub__mqtt_paho)

static void test_paho_refused_password(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "auth");

    for (int version = MQTT_V311; version <= MQTT_V5; version++) {
        rig *r = rig_new(rig_port(broker, "port_plain"));
        r->target.version = version;
        r->target.user = kit_broker_need(broker, "user");
        r->target.password = "open sesame";
        rig_fail(r);
        assert_int_equal(r->failure.error.code, PUBSUB_EAUTH);
        assert_true(r->failure.reached);
        assert_false(r->failure.version_refused);
        assert_int_equal(r->failure.reason, MQTT_NOT_AUTHORIZED);
        assert_null(strstr(r->failure.error.text, "sesame"));
        r->target.password = kit_broker_password(broker, false);
        rig_connect(r);
        rig_disconnect(r, false);

        /* What this user may not write is refused, with version 5. */
        r->target.user = kit_broker_need(broker, "limited_user");
        r->target.password = kit_broker_password(broker, true);
        rig_connect(r);
        rig_publish_all(r, "paho/forbidden", "x", 1, 1);
        rig_publish_all(r, "paho/forbidden", "x", 2, 1);
        rig_publish_all(r, "open/paho", "x", 1, 1);
        rig_until_published(r, 3);
        if (version == MQTT_V5) {
            assert_int_equal(r->how[1], MQTT_PUBLISH_REFUSED);
            assert_int_equal(r->reason[1], MQTT_NOT_AUTHORIZED);
            assert_int_equal(r->how[2], MQTT_PUBLISH_REFUSED);
            assert_int_equal(r->reason[2], MQTT_NOT_AUTHORIZED);
        }
        assert_int_equal(r->how[3], MQTT_PUBLISHED);
        rig_free(r);
    }
    kit_broker_stop(broker);
}

static rig *tls_rig(kit_broker *broker)
{
    rig *r = rig_new(rig_port(broker, "port_tls"));

    snprintf(r->host, sizeof(r->host), "localhost");
    r->target.tls = true;
    r->target.tls_ca = kit_broker_need(broker, "ca");
    return r;
}

static void fails_tls(rig *r, const char *why)
{
    rig_fail(r);
    if (r->failure.error.code != PUBSUB_ETLS || strstr(r->failure.error.text, why) == NULL) {
        fail_msg("%s: %s", pubsub_err_name(r->failure.error.code), r->failure.error.text);
    }
    assert_true(r->failure.reached);
    assert_false(r->failure.version_refused);
}

static void test_paho_refused_by_tls(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "tls");
    rig *r = tls_rig(broker);
    pubsub_error err = PUBSUB_ERROR_INIT;

    rig_connect(r);
    rig_subscribe(r, "paho/tls", 1);
    rig_publish_all(r, "paho/tls", "x", 1, 50);
    rig_until(r, &r->messages, 50);
    rig_disconnect(r, false);

    r->target.tls_ca = kit_broker_need(broker, "wrong_ca");
    fails_tls(r, "tls_ca does not have its CA");
    r->target.tls_ca = NULL; /* the system's */
    fails_tls(r, "give its CA with tls_ca");
    r->target.tls_verify = false;
    rig_connect(r);
    rig_disconnect(r, false);
    r->target.tls_verify = true;

    r->target.tls_ca = "/nowhere/ca.pem";
    assert_int_equal(OPS->connect(r->engine, &r->target, &err), PUBSUB_EOPTION);
    assert_non_null(strstr(err.text, "tls_ca"));
    r->target.tls_ca = kit_broker_need(broker, "ca");
    r->target.tls_server_name = "other.example";
    assert_int_equal(OPS->connect(r->engine, &r->target, &err), PUBSUB_ENOTSUP);
    r->target.tls_server_name = "localhost";
    rig_connect(r);
    rig_disconnect(r, false);

    r->target.port = rig_port(broker, "port_plain");
    rig_fail(r); /* mosquitto reads nonsense and hangs up */
    assert_false(r->failure.version_refused);
    rig_free(r);
    kit_broker_stop(broker);
}

static void test_paho_refused_for_expired_certificate(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "tls-expired");
    rig *r = tls_rig(broker);
    fails_tls(r, "expired");
    r->target.version = MQTT_V311;
    fails_tls(r, "expired");
    rig_free(r);
    kit_broker_stop(broker);
}

static void test_paho_refused_for_other_name(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "tls-mismatch");
    rig *r = tls_rig(broker);
    fails_tls(r, "another name");
    r->target.tls_verify = false;
    rig_connect(r);
    rig_free(r);
    kit_broker_stop(broker);
}

/* The broker may reset the connection before its reason is read; then it is only guessed. */
static void fails_for_certificate(rig *r, const char *why, const char *guess)
{
    for (int i = 0; i < 20; i++) {
        rig_fail(r);
        if (r->failure.error.code == PUBSUB_ETLS) {
            break;
        }
        assert_int_equal(r->failure.error.code, PUBSUB_ECONNECT);
        if (strstr(r->failure.error.text, guess) == NULL) {
            fail_msg("%s", r->failure.error.text);
        }
        assert_true(r->failure.reached);
    }
    assert_int_equal(r->failure.error.code, PUBSUB_ETLS);
    assert_non_null(strstr(r->failure.error.text, why));
}

static void test_paho_refused_without_client_certificate(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "tls-client");
    rig *r = tls_rig(broker);
    fails_for_certificate(r, "wants a client certificate", "may want a client certificate");
    r->target.tls_cert = kit_broker_need(broker, "wrong_cert");
    r->target.tls_key = kit_broker_need(broker, "wrong_key");
    fails_for_certificate(r, "tls_cert", "may refuse the certificate");
    r->target.tls_cert = kit_broker_need(broker, "cert");
    r->target.tls_key = kit_broker_need(broker, "key");
    rig_connect(r);
    rig_free(r);
    kit_broker_stop(broker);
}

static void test_paho_refused_for_unknown_name(void **state)
{
    (void)state;
    rig *r = rig_new(1883);
    snprintf(r->host, sizeof(r->host), "broker.invalid");
    rig_fail(r);
    assert_int_equal(r->failure.error.code, PUBSUB_ECONNECT);
    assert_non_null(strstr(r->failure.error.text, "address"));
    assert_false(r->failure.reached);
    rig_free(r);
}

static void test_paho_refused_version_by_311_broker(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "mqtt");
    rig *r = rig_new(rig_port(broker, "port_mqtt"));

    rig_fail(r);
    assert_true(r->failure.version_refused);
    assert_true(r->failure.reached);
    r->target.version = MQTT_V311;
    rig_connect(r);
    rig_subscribe(r, "paho/old", 1);
    rig_publish_all(r, "paho/old", "x", 1, 5);
    rig_until_published(r, 5);
    rig_until(r, &r->messages, 5);
    rig_free(r);
    kit_broker_stop(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paho_refused_password),
        cmocka_unit_test(test_paho_refused_by_tls),
        cmocka_unit_test(test_paho_refused_for_expired_certificate),
        cmocka_unit_test(test_paho_refused_for_other_name),
        cmocka_unit_test(test_paho_refused_without_client_certificate),
        cmocka_unit_test(test_paho_refused_for_unknown_name),
        cmocka_unit_test(test_paho_refused_version_by_311_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
