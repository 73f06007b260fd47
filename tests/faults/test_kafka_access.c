/* SPDX-License-Identifier: MIT */
#include "kafka/map.h"

#include "support/broker.h"
#include "support/net.h"

#include <stdio.h>

/* Who may connect to Kafka, and do what: passwords, certificates, access lists. Each refusal names its reason, is final,
 * and comes at once; what is allowed goes on beside it. */

/* Below it the library's answer to SCRAM is one that brokers since 3.7.2, 3.8.1 and 3.9 do not take. */
enum { SCRAM_WORKS = 0x020601ff };

static kit_net net;

static int set_up(void **state)
{
    (void)state;
    kit_net_init(&net, KIT_THREAD);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kit_net_fini(&net);
    return 0;
}

static pubsub_err publish(kit_peer *peer, const char *topic, pubsub_error *error)
{
    pubsub_publication publication = kit_publication(topic, "x");
    pubsub_receipt receipt;
    pubsub_err rc = pubsub_client_publish_wait(peer->client, &publication, kit_ms(KIT_PATIENCE),
                                               &receipt, error);
    if (rc != PUBSUB_OK && receipt.outcome != PUBSUB_REJECTED) {
        fail_msg("%s: %s", topic, error->text);
    }
    assert_int_equal(receipt.outcome, rc == PUBSUB_OK ? PUBSUB_ACCEPTED : PUBSUB_REJECTED);
    return rc;
}

/* ---- passwords ------------------------------------------------------------------------------------ */

static const char *login(const char *user, const char *password, const char *more)
{
    static char text[512];
    assert_true(snprintf(text, sizeof(text), "user=%s password=%s %s", user, password, more) <
                (int)sizeof(text));
    return text;
}

static void check_passwords(kit_broker *broker)
{
    const char *url = kit_broker_need(broker, "url_plain");
    const char *user = kit_broker_need(broker, "user");
    const char *right = kit_broker_password(broker, false);
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&net, url, login(user, "wrong-word", ""), &error));
    KIT_SAYS(error.text, "Authentication failed");
    assert_null(strstr(error.text, "wrong-word"));
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&net, url, login("nobody", right, ""), &error));
    KIT_OK(kit_try_connect(&net, url, login(user, right, ""), &error), &error);
    /* Nobody speaks to it without logging in: it closes the connection, which looks like any other end. */
    KIT_ERR(PUBSUB_ECONNECT, kit_try_connect(&net, url, "reconnect=no", &error));

    const char *scram = "kafka.sasl.mechanism=SCRAM-SHA-256";
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&net, url, login(user, "wrong-word", scram), &error));
    if (rd_kafka_version() >= SCRAM_WORKS) {
        KIT_OK(kit_try_connect(&net, url, login(user, right, scram), &error), &error);
    } else {
        KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&net, url, login(user, right, scram), &error));
    }
    scram = "kafka.sasl.mechanism=SCRAM-SHA-512";
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&net, url, login(user, right, scram), &error));
    KIT_SAYS(error.text, "SCRAM-SHA-256"); /* which it has */
}

/* ---- access lists --------------------------------------------------------------------------------- */

/* What Kafka's own tool would do, as its superuser. */
static void allow(kit_broker *broker, rd_kafka_ResourceType_t type, const char *name,
                  rd_kafka_AclOperation_t operation)
{
    char text[256];
    const char *hosts = strstr(kit_broker_need(broker, "url_internal"), "://");
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_non_null(hosts);
    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", hosts + 3, text, sizeof(text)),
                     RD_KAFKA_CONF_OK);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    assert_non_null(rk);
    (void)snprintf(text, sizeof(text), "User:%s", kit_broker_need(broker, "limited_user"));
    rd_kafka_AclBinding_t *acl =
        rd_kafka_AclBinding_new(type, name, RD_KAFKA_RESOURCE_PATTERN_PREFIXED, text, "*",
                                operation, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, NULL, 0);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateAcls(rk, &acl, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, (int)kit_ms(KIT_PATIENCE));
    assert_non_null(event);
    assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AclBinding_destroy(acl);
    rd_kafka_destroy(rk);
}

static void check_permissions(kit_broker *broker)
{
    const char *url = kit_broker_need(broker, "url_plain");
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *full = kit_peer_new(
        &net, url, login(kit_broker_need(broker, "user"), kit_broker_password(broker, false), ""));
    kit_peer *limited = kit_peer_new(
        &net, url,
        login(kit_broker_need(broker, "limited_user"), kit_broker_password(broker, true), ""));
    KIT_OK(publish(full, "closed/t", &error), &error);
    KIT_OK(publish(full, "open/t", &error), &error);

    /* Nothing is allowed: each is refused for good, and the connection stays. */
    KIT_ERR(PUBSUB_EDENIED, publish(limited, "closed/t", &error));
    KIT_SAYS(error.text, "closed.t");
    KIT_ERR(PUBSUB_EDENIED, publish(limited, "open/new", &error));
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(limited, "open/t", NULL, NULL, &error));
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(limited, "open/t", "group=open", NULL, &error));

    /* Reading is allowed, but not the group. */
    allow(broker, RD_KAFKA_RESOURCE_TOPIC, "open", RD_KAFKA_ACL_OPERATION_READ);
    allow(broker, RD_KAFKA_RESOURCE_TOPIC, "open", RD_KAFKA_ACL_OPERATION_WRITE);
    kit_sub *sub = kit_subscribe(limited, "open/t", NULL);
    KIT_OK(publish(limited, "open/t", &error), &error);
    KIT_AWAIT(&net, kit_count(sub) == 1);
    KIT_ERR(PUBSUB_EDENIED, publish(limited, "open/new", &error)); /* it would have to be made */
    KIT_SAYS(error.text, "kafka.create");
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(limited, "open/t", "group=open", NULL, &error));
    KIT_SAYS(error.text, "open");
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(limited, "closed/t", NULL, NULL, &error));

    /* And all of it. */
    allow(broker, RD_KAFKA_RESOURCE_GROUP, "open", RD_KAFKA_ACL_OPERATION_READ);
    allow(broker, RD_KAFKA_RESOURCE_TOPIC, "open", RD_KAFKA_ACL_OPERATION_CREATE);
    kit_sub *member = kit_subscribe(limited, "open/t", "group=open");
    KIT_OK(publish(limited, "open/t", &error), &error);
    KIT_AWAIT(&net, kit_count(sub) == 2 && kit_count(member) == 1);
    KIT_OK(publish(limited, "open/new", &error), &error);
    KIT_ERR(PUBSUB_EDENIED, publish(limited, "closed/t", &error));

    /* One that is refused among many: all others arrive. */
    enum { COUNT = 300, REFUSED = 150 };
    char text[16];
    pubsub_stats before = kit_stats(limited);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "y%zu", i);
        kit_publish(limited, i == REFUSED ? "closed/t" : "open/t", text);
    }
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "y%zu", i);
        KIT_AWAIT(&net, i == REFUSED || kit_count_of(sub, text) == 1);
    }
    KIT_AWAIT(&net, kit_stats(limited).queued == 0);
    assert_int_equal(kit_stats(limited).rejected - before.rejected, 1);
    assert_int_equal(kit_stats(limited).disconnects - before.disconnects, 0);
}

static void test_kafka_access_users(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("kafka", "auth"); /* one, because each takes seconds */
    check_passwords(broker);
    check_permissions(broker);
    kit_net_fini(&net);
    kit_broker_stop(broker);
}

/* ---- certificates --------------------------------------------------------------------------------- */

static const char *options_of(kit_broker *broker, const char *ca, const char *cert, const char *key)
{
    static char text[1024];
    size_t len = 0;
    text[0] = '\0';
    const char *const pairs[][2] = {{"tls_ca", ca}, {"tls_cert", cert}, {"tls_key", key}};
    for (size_t i = 0; i < 3; i++) {
        if (pairs[i][1] != NULL) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s=%s ", pairs[i][0],
                                    kit_broker_need(broker, pairs[i][1]));
            assert_true(len < sizeof(text));
        }
    }
    return text;
}

/* Who is who: the broker by its certificate and, where it asks, this side by one. */
static void check_certificates(kit_broker *broker)
{
    const char *url = kit_broker_need(broker, "url_tls");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETLS,
            kit_try_connect(&net, url, options_of(broker, NULL, "cert", "key"), &error));
    KIT_ERR(PUBSUB_ETLS,
            kit_try_connect(&net, url, options_of(broker, "wrong_ca", "cert", "key"), &error));
    KIT_SAYS(error.text, "certificate");
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&net, url, options_of(broker, "ca", NULL, NULL), &error));
    KIT_ERR(
        PUBSUB_ETLS,
        kit_try_connect(&net, url, options_of(broker, "ca", "wrong_cert", "wrong_key"), &error));
    const char *right = options_of(broker, "ca", "cert", "key");
    KIT_OK(kit_try_connect(&net, url, right, &error), &error);
    kit_peer *peer = kit_peer_new(&net, url, right);
    kit_sub *sub = kit_subscribe(peer, "tls/t", NULL);
    KIT_OK(publish(peer, "tls/t", &error), &error);
    KIT_AWAIT(&net, kit_count(sub) == 1);
}

static void test_kafka_access_tls(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    char plain[64];
    kit_broker *broker = kit_broker_start("kafka", "tls-client");
    check_certificates(broker);
    /* Without TLS to the port that wants it. */
    (void)snprintf(plain, sizeof(plain), "kafka://127.0.0.1:%s",
                   kit_broker_need(broker, "port_tls_1"));
    assert_int_not_equal(kit_try_connect(&net, plain, "reconnect=no", &error), PUBSUB_OK);
    assert_true(error.text[0] != '\0');
    kit_net_fini(&net);
    kit_broker_stop(broker);
}

static void test_kafka_access_users_and_tls(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    char options[1024];
    kit_broker *broker = kit_broker_start("kafka", "auth,tls");
    const char *url = kit_broker_need(broker, "url_tls");
    const char *user = kit_broker_need(broker, "user");
    const char *right = options_of(broker, "ca", NULL, NULL);
    (void)snprintf(options, sizeof(options), "%suser=%s password=wrong-word", right, user);
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&net, url, options, &error));
    (void)snprintf(options, sizeof(options), "%suser=%s password=%s", right, user,
                   kit_broker_password(broker, false));
    KIT_OK(kit_try_connect(&net, url, options, &error), &error);
    kit_net_fini(&net);
    kit_broker_stop(broker);
}

static void test_kafka_access_wrong_certificates(void **state)
{
    (void)state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    char options[1024];
    static const char *const variants[] = {"tls-expired", "tls-mismatch"};
    for (size_t i = 0; i < 2; i++) {
        kit_broker *broker = kit_broker_start("kafka", variants[i]);
        const char *url = kit_broker_need(broker, "url_tls");
        const char *right = options_of(broker, "ca", NULL, NULL);
        KIT_ERR(PUBSUB_ETLS, kit_try_connect(&net, url, right, &error));
        (void)snprintf(options, sizeof(options), "%s tls_verify=no", right);
        KIT_OK(kit_try_connect(&net, url, options, &error), &error);
        kit_broker_stop(broker);
    }
    kit_net_fini(&net);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_kafka_access_users),
        CASE(test_kafka_access_tls),
        CASE(test_kafka_access_users_and_tls),
        CASE(test_kafka_access_wrong_certificates),
    };
    return cmocka_run_group_tests_name("kafka_access", tests, NULL, NULL);
}
