/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"

#include <stdio.h>

/* Who may connect to RabbitMQ, and do what: passwords, certificates, permissions, names. Each refusal
 * names its reason, is final, and comes at once; what is allowed goes on beside it. */

static kit_peer *limited(kit_broker *broker)
{
    char options[256];
    (void)snprintf(options, sizeof(options), "user=%s password=%s",
                   kit_broker_need(broker, "limited_user"), kit_broker_password(broker, true));
    return kit_peer_new(&kit_clients, kit_broker_url(broker), options);
}

/* ---- passwords and virtual hosts ---------------------------------------------------------------- */

static void test_amqp_access_passwords(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "auth");
    const char *url = kit_broker_url(broker);
    const char *user = kit_broker_need(broker, "user");
    char options[256];
    char elsewhere[256];
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, "", &error));
    (void)snprintf(options, sizeof(options), "user=%s password=wrong-word", user);
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
    KIT_SAYS(error.text, "refused");
    assert_null(strstr(error.text, "wrong-word"));
    (void)snprintf(options, sizeof(options), "user=%s", user);
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
    (void)snprintf(options, sizeof(options), "amqp.auth=external");
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
    KIT_SAYS(error.text, "EXTERNAL");
    (void)snprintf(options, sizeof(options), "user=%s password=%s", user,
                   kit_broker_password(broker, false));
    KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/nowhere", url);
    KIT_ERR(PUBSUB_EDENIED, kit_try_connect(&kit_clients, elsewhere, options, &error));
    KIT_SAYS(error.text, "nowhere");
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/%%2F", url);
    KIT_OK(kit_try_connect(&kit_clients, elsewhere, options, &error), &error);

    /* ---- permissions: the same broker, because each takes seconds to start ---- */
    /* Who may not declare an exchange cannot compare its type, and need not. */
    (void)snprintf(options, sizeof(options), "user=%s password=%s amqp.exchange=amq.fanout",
                   kit_broker_need(broker, "limited_user"), kit_broker_password(broker, true));
    KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
    kit_peer *peer = limited(broker);
    pubsub_receipt receipt;
    KIT_ERR(PUBSUB_EDENIED, kit_publish_qos(peer, "closed/t", 1, &receipt, &error));
    assert_int_equal(receipt.outcome, PUBSUB_REJECTED);
    KIT_SAYS(error.text, "closed.t");
    KIT_OK(kit_publish_qos(peer, "open/t", 1, &receipt, &error), &error);
    KIT_OK(kit_publish_qos(peer, "closed/t", 0, &receipt, &error), &error); /* told as an event */
    KIT_OK(kit_publish_qos(peer, "open/t", 0, &receipt, &error), &error);

    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(peer, "closed/#", NULL, NULL, &error));
    KIT_SAYS(error.text, "closed");
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(peer, "open/t", "durable=d", NULL, &error));
    KIT_SAYS(error.text, "pubsub.d.d");
    kit_sub *open = kit_subscribe(peer, "open/#", NULL);
    kit_publish(peer, "open/t", "x");
    KIT_AWAIT(&kit_clients, kit_count(open) == 1);
    assert_int_equal(kit_stats(peer).disconnects, 0);

    /* One that is refused among many: all others arrive. */
    enum { COUNT = 300, REFUSED = 150 };
    char text[16];
    uint64_t rejected = kit_stats(peer).rejected;
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "y%zu", i);
        kit_publish(peer, i == REFUSED ? "closed/t" : "open/t", text);
    }
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(text, sizeof(text), "y%zu", i);
        KIT_AWAIT(&kit_clients, i == REFUSED || kit_count_of(open, text) >= 1);
    }
    KIT_AWAIT(&kit_clients, kit_stats(peer).queued == 0);
    assert_int_equal(kit_stats(peer).rejected - rejected, 1);
    assert_int_equal(kit_stats(peer).disconnects, 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* ---- names and queues ---------------------------------------------------------------------------- */

static void test_amqp_access_names(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    char plain[256];
    char text[300];
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = kit_peer_new(&kit_clients, url, "");
    KIT_ERR(PUBSUB_ENOTFOUND,
            kit_try_connect(&kit_clients, url, "amqp.exchange=amq.nothing.there", &error));
    KIT_SAYS(error.text, "amq.nothing.there");
    KIT_ERR(PUBSUB_ETOPIC, kit_try_subscribe(peer, "t", "amqp.queue=amq.mine", NULL, &error));
    KIT_SAYS(error.text, "amq.");
    /* The empty exchange: patterns make no sense, topics are queues. */
    (void)snprintf(plain, sizeof(plain), "%s/?exchange=", url);
    kit_peer *names = kit_peer_new(&kit_clients, plain, "");
    KIT_ERR(PUBSUB_ENOTSUP, kit_try_subscribe(names, "a/#", NULL, NULL, &error));
    KIT_ERR(PUBSUB_ETOPIC, kit_try_subscribe(names, "amq.mine", NULL, NULL, &error));
    /* Too long for a routing key. */
    memset(text, 'a', sizeof(text));
    text[256] = '\0';
    pubsub_publication publication = kit_publication(text, "x");
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_publish(peer->client, &publication, 0, &error));
    text[255] = '\0';
    publication = kit_publication(text, "x");
    KIT_OK(pubsub_client_publish(peer->client, &publication, 0, &error), &error);
    text[254] = '.';
    publication = kit_publication(text, "x");
    KIT_ERR(PUBSUB_ETOPIC, pubsub_client_publish(peer->client, &publication, 0, &error));
    kit_net_fini(&kit_clients);
}

static void test_amqp_access_queue_that_differs(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *first = kit_peer_new(&kit_clients, url, "");
    kit_peer *second = kit_peer_new(&kit_clients, url, "");
    kit_sub *one = kit_subscribe(first, "differs/t", "group=differs");
    /* Not durable here: the argument that differs is named, once. */
    KIT_ERR(PUBSUB_EREJECTED,
            kit_try_subscribe(second, "differs/t", "group=differs durable=differs", NULL, &error));
    KIT_SAYS(error.text, "auto_delete");
    KIT_ERR(PUBSUB_EREJECTED,
            kit_try_subscribe(second, "differs/t", "group=differs order=key", NULL, &error));
    KIT_SAYS(error.text, "x-single-active-consumer");
    kit_publish(second, "differs/t", "x");
    KIT_AWAIT(&kit_clients, kit_count(one) == 1);
    kit_net_fini(&kit_clients);
}

/* A subscription gets what its pattern says or an error, whatever the exchange is. */
static void test_amqp_access_exchange_that_differs(void **state)
{
    (void)state;
    const char *url = kit_broker_shared("rabbitmq");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EOPTION, kit_try_connect(&kit_clients, url, "amqp.exchange=amq.fanout", &error));
    KIT_SAYS(error.text, "amqp.exchange_type");
    KIT_SAYS(error.text, "fanout");
    KIT_ERR(PUBSUB_EOPTION,
            kit_try_connect(&kit_clients, url, "amqp.exchange_type=direct", &error));
    KIT_SAYS(error.text, "topic");
    static const char *const good[] = {"amqp.exchange=amq.headers",
                                       "amqp.exchange=amq.fanout amqp.exchange_type=fanout",
                                       "amqp.exchange=amq.direct amqp.exchange_type=direct"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        kit_peer *peer = kit_peer_new(&kit_clients, url, good[i]);
        kit_sub *sub = kit_subscribe(peer, "types/ours", NULL);
        (void)kit_store_text(peer, "types/other", "other");
        (void)kit_store_text(peer, "types/ours", "ours");
        KIT_AWAIT(&kit_clients, kit_count_of(sub, "ours") == 1);
        assert_int_equal(kit_count(sub), 1);
        kit_peer_close(peer);
    }
    kit_net_fini(&kit_clients);
}

/* ---- certificates ------------------------------------------------------------------------------- */

static void test_amqp_access_authority(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "tls");
    const char *url = kit_broker_need(broker, "url_tls");
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, "", &error));
    const char *wrong = kit_option("tls_ca", kit_broker_need(broker, "wrong_ca"));
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, wrong, &error));
    KIT_SAYS(error.text, "tls_ca");
    KIT_OK(kit_try_connect(&kit_clients, url, "tls_verify=no", &error), &error);
    const char *right = kit_option("tls_ca", kit_broker_need(broker, "ca"));
    KIT_OK(kit_try_connect(&kit_clients, url, right, &error), &error);
    kit_peer *peer = kit_peer_new(&kit_clients, url, right);
    kit_sub *sub = kit_subscribe(peer, "tls/#", NULL);
    kit_publish(peer, "tls/t", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    /* The other way round: TLS to a port without, and none to one with. */
    char crossed[256];
    (void)snprintf(crossed, sizeof(crossed), "amqps://127.0.0.1:%s",
                   kit_broker_need(broker, "port_plain"));
    assert_int_not_equal(kit_try_connect(&kit_clients, crossed, right, &error), PUBSUB_OK);
    (void)snprintf(crossed, sizeof(crossed), "amqp://127.0.0.1:%s",
                   kit_broker_need(broker, "port_tls"));
    assert_int_not_equal(kit_try_connect(&kit_clients, crossed, "", &error), PUBSUB_OK);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_amqp_access_expired(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "tls-expired");
    const char *url = kit_broker_need(broker, "url_tls");
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *right = kit_option("tls_ca", kit_broker_need(broker, "ca"));
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, right, &error));
    KIT_SAYS(error.text, "certificate");
    KIT_OK(kit_try_connect(&kit_clients, url, "tls_verify=no", &error), &error);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* The certificate is the login: its common name is the user, who has no password here. */
static void test_amqp_access_external(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("rabbitmq", "tls-login");
    const char *url = kit_broker_need(broker, "url_tls");
    pubsub_error error = PUBSUB_ERROR_INIT;
    char options[1600];
    int len = snprintf(options, sizeof(options), "amqp.auth=external %s",
                       kit_option("tls_ca", kit_broker_need(broker, "ca")));
    KIT_ERR(PUBSUB_EAUTH,
            kit_try_connect(&kit_clients, url, options, &error)); /* without a certificate */
    KIT_SAYS(error.text, "EXTERNAL");
    (void)snprintf(options + len, sizeof(options) - (size_t)len, " %s %s",
                   kit_option("tls_cert", kit_broker_need(broker, "cert")),
                   kit_option("tls_key", kit_broker_need(broker, "key")));
    kit_peer *peer = kit_peer_new(&kit_clients, url, options);
    kit_sub *sub = kit_subscribe(peer, "external/#", NULL);
    kit_publish(peer, "external/t", "x");
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    /* Signed by somebody whom the broker does not know. */
    (void)snprintf(options + len, sizeof(options) - (size_t)len, " %s %s",
                   kit_option("tls_cert", kit_broker_need(broker, "wrong_cert")),
                   kit_option("tls_key", kit_broker_need(broker, "wrong_key")));
    assert_int_not_equal(kit_try_connect(&kit_clients, url, options, &error), PUBSUB_OK);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_amqp_access_passwords),
        KIT_CLIENTS_CASE(test_amqp_access_names),
        KIT_CLIENTS_CASE(test_amqp_access_queue_that_differs),
        KIT_CLIENTS_CASE(test_amqp_access_exchange_that_differs),
        KIT_CLIENTS_CASE(test_amqp_access_authority),
        KIT_CLIENTS_CASE(test_amqp_access_expired),
        KIT_CLIENTS_CASE(test_amqp_access_external),
    };
    return cmocka_run_group_tests_name("amqp_access", tests, NULL, NULL);
}
