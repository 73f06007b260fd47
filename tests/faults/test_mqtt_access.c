/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"

#include <stdio.h>

/* Who may connect, and do what: passwords, certificates, permissions. Each refusal names its reason, is
 * final, and comes at once. */

/* ---- passwords --------------------------------------------------------------------------------- */

static void test_mqtt_access_passwords(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "auth");
    const char *url = kit_broker_url(broker);
    const char *user = kit_broker_need(broker, "user");
    static const char *const versions[] = {"5", "3.1.1"};
    for (size_t i = 0; i < 2; i++) {
        char options[256];
        char version[64];
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)snprintf(version, sizeof(version), "mqtt.version=%s", versions[i]);
        KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, version, &error));
        KIT_SAYS(error.text, "not authorized");
        (void)snprintf(options, sizeof(options), "%s user=%s password=wrong", version, user);
        KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
        assert_null(strstr(error.text, "wrong"));
        (void)snprintf(options, sizeof(options), "%s user=nobody password=%s", version,
                       kit_broker_password(broker, false));
        KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
        (void)snprintf(options, sizeof(options), "%s user=%s", version, user);
        KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
        (void)snprintf(options, sizeof(options), "%s user=%s password=%s", version, user,
                       kit_broker_password(broker, false));
        KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- permissions ------------------------------------------------------------------------------- */

static kit_peer *limited(kit_broker *broker, const char *version)
{
    char options[256];
    (void)snprintf(options, sizeof(options), "mqtt.version=%s user=%s password=%s", version,
                   kit_broker_need(broker, "limited_user"), kit_broker_password(broker, true));
    return kit_peer_new(&kit_clients, kit_broker_url(broker), options);
}

static void test_mqtt_access_publish_5(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "auth");
    kit_peer *peer = limited(broker, "5");
    for (int qos = 1; qos <= 2; qos++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_receipt receipt;
        KIT_ERR(PUBSUB_EDENIED, kit_publish_qos(peer, "closed/t", qos, &receipt, &error));
        assert_int_equal(receipt.outcome, PUBSUB_REJECTED);
        KIT_SAYS(error.text, "not authorized");
        KIT_OK(kit_publish_qos(peer, "open/t", qos, &receipt, &error), &error);
    }
    assert_int_equal(kit_stats(peer).disconnects, 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* 3.1.1 has no word for it: the broker confirms and throws away, as with qos 0 in every version. */
static void test_mqtt_access_publish_silent(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "auth");
    kit_peer *peer = limited(broker, "3.1.1");
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    for (int qos = 0; qos <= 2; qos++) {
        KIT_OK(kit_publish_qos(peer, "closed/t", qos, &receipt, &error), &error);
    }
    KIT_OK(kit_publish_qos(limited(broker, "5"), "closed/t", 0, &receipt, &error), &error);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* Mosquitto's list has no rule of its own for subscribing, so what may not be read is not delivered; another
 * kind of rule refuses the filter itself. */
static void test_mqtt_access_subscribe(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "auth");
    static const char *const versions[] = {"5", "3.1.1"};
    for (size_t i = 0; i < 2; i++) {
        kit_peer *peer = limited(broker, versions[i]);
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_err rc = kit_try_subscribe(peer, "closed/#", NULL, NULL, &error);
        if (rc != PUBSUB_OK) {
            KIT_ERR(PUBSUB_EDENIED, rc);
        }
        kit_sub *open = kit_subscribe(peer, "open/#", NULL);
        kit_publish(peer, "open/t", "x");
        KIT_AWAIT(&kit_clients, kit_count(open) == 1);
        assert_int_equal(kit_stats(peer).disconnects, 0);
    }
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* A filter the broker refuses, alone and in a set: the subscription ends, the others go on, and of a set
 * nothing stays behind. */
static void test_mqtt_access_subscribe_refused(void **state)
{
    (void)state;
    char file[300];
    kit_broker *broker = kit_broker_start("mosquitto", "auth");
    (void)snprintf(file, sizeof(file), "%s/denied", kit_broker_need(broker, "dir"));
    FILE *acl = fopen(file, "w");
    assert_non_null(acl);
    (void)fprintf(acl, "topic readwrite #\ntopic deny refused/#\n");
    assert_int_equal(fclose(acl), 0);
    char line[320];
    (void)snprintf(line, sizeof(line), "acl_file %s", file);
    const char *const settings[] = {line, NULL};
    kit_broker *denying = kit_broker_start_with("mosquitto", NULL, settings);
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(denying), "");
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_err rc = kit_try_subscribe(peer, "refused/t", NULL, NULL, &error);
    if (rc == PUBSUB_OK) {
        print_message("this broker grants what it then does not deliver\n");
    } else {
        KIT_ERR(PUBSUB_EDENIED, rc);
        KIT_SAYS(error.text, "refuses the subscription");
    }
    kit_sub *other = kit_subscribe(peer, "other/#", NULL);
    kit_publish(peer, "other/t", "x");
    KIT_AWAIT(&kit_clients, kit_count(other) == 1);
    kit_net_fini(&kit_clients);
    kit_broker_stop(denying);
    kit_broker_stop(broker);
}

/* ---- certificates ------------------------------------------------------------------------------- */

static void test_mqtt_access_authority(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "tls");
    const char *url = kit_broker_need(broker, "url_tls");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, "", &error));
    const char *wrong = kit_option("tls_ca", kit_broker_need(broker, "wrong_ca"));
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, wrong, &error));
    KIT_SAYS(error.text, "nobody trusted has signed it");
    KIT_OK(kit_try_connect(&kit_clients, url, "tls_verify=no", &error), &error);
    const char *right = kit_option("tls_ca", kit_broker_need(broker, "ca"));
    KIT_OK(kit_try_connect(&kit_clients, url, right, &error), &error);
    KIT_ERR(PUBSUB_EOPTION,
            kit_try_connect(&kit_clients, url, "tls_ca=/nonexistent/ca.pem", &error));
    /* The other way round: TLS to a port without, and none to one with. */
    char crossed[256];
    (void)snprintf(crossed, sizeof(crossed), "mqtts://127.0.0.1:%s",
                   kit_broker_need(broker, "port_plain"));
    assert_int_not_equal(kit_try_connect(&kit_clients, crossed, right, &error), PUBSUB_OK);
    (void)snprintf(crossed, sizeof(crossed), "mqtt://127.0.0.1:%s",
                   kit_broker_need(broker, "port_tls"));
    assert_int_not_equal(kit_try_connect(&kit_clients, crossed, "", &error), PUBSUB_OK);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void wrong_certificate(const char *variant, const char *says)
{
    kit_broker *broker = kit_broker_start("mosquitto", variant);
    const char *url = kit_broker_need(broker, "url_tls");
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *right = kit_option("tls_ca", kit_broker_need(broker, "ca"));
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, right, &error));
    print_message("%s: %s\n", variant, error.text);
    KIT_SAYS(error.text, says);
    KIT_OK(kit_try_connect(&kit_clients, url, "tls_verify=no", &error), &error);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_mqtt_access_expired(void **state)
{
    (void)state;
    wrong_certificate("tls-expired", "certificate");
}

static void test_mqtt_access_another_host(void **state)
{
    (void)state;
    wrong_certificate("tls-mismatch", "");
}

static void test_mqtt_access_client_certificate(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("mosquitto", "tls-client");
    const char *url = kit_broker_need(broker, "url_tls");
    char options[1000];
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *none = kit_option("tls_ca", kit_broker_need(broker, "ca"));
    /* With TLS 1.3 it says so after the handshake, and the reset that follows may be faster. */
    pubsub_err rc = kit_try_connect(&kit_clients, url, none, &error);
    assert_true(rc == PUBSUB_ETLS || rc == PUBSUB_ECONNECT);
    print_message("none: %s\n", error.text);
    (void)snprintf(options, sizeof(options), "tls_ca=%s tls_cert=%s tls_key=%s",
                   kit_broker_need(broker, "ca"), kit_broker_need(broker, "wrong_cert"),
                   kit_broker_need(broker, "wrong_key"));
    rc = kit_try_connect(&kit_clients, url, options, &error);
    assert_true(rc == PUBSUB_ETLS || rc == PUBSUB_ECONNECT);
    print_message("wrong: %s\n", error.text);
    (void)snprintf(options, sizeof(options), "tls_ca=%s tls_cert=%s tls_key=%s",
                   kit_broker_need(broker, "ca"), kit_broker_need(broker, "cert"),
                   kit_broker_need(broker, "key"));
    KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_mqtt_access_passwords),
        KIT_CLIENTS_CASE(test_mqtt_access_publish_5),
        KIT_CLIENTS_CASE(test_mqtt_access_publish_silent),
        KIT_CLIENTS_CASE(test_mqtt_access_subscribe),
        KIT_CLIENTS_CASE(test_mqtt_access_subscribe_refused),
        KIT_CLIENTS_CASE(test_mqtt_access_authority),
        KIT_CLIENTS_CASE(test_mqtt_access_expired),
        KIT_CLIENTS_CASE(test_mqtt_access_another_host),
        KIT_CLIENTS_CASE(test_mqtt_access_client_certificate),
    };
    return cmocka_run_group_tests_name("mqtt_access", tests, NULL, NULL);
}
