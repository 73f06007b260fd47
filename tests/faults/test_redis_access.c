/* SPDX-License-Identifier: MIT */
#include "support/broker.h"
#include "support/clients.h"

#include <stdio.h>

/* Who may connect, and do what: passwords, certificates, permissions, databases. Each refusal names its
 * reason, is final, and comes at once. */

static pubsub_err publish(kit_peer *peer, const char *topic, uint32_t flags, pubsub_error *error)
{
    pubsub_publication publication = kit_publication(topic, "x");
    publication.flags = flags;
    return pubsub_client_publish_wait(peer->client, &publication, kit_ms(KIT_PATIENCE), NULL,
                                      error);
}

static void check_passwords(kit_broker *broker, const char *url)
{
    char options[256];
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, "", &error));
    KIT_SAYS(error.text, "password");
    (void)snprintf(options, sizeof(options), "user=%s password=mistaken",
                   kit_broker_need(broker, "user"));
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, options, &error));
    assert_null(strstr(error.text, "mistaken"));
    KIT_ERR(PUBSUB_EAUTH, kit_try_connect(&kit_clients, url, "password=mistaken", &error));
    (void)snprintf(options, sizeof(options), "password=%s", kit_broker_password(broker, false));
    KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
    (void)snprintf(options, sizeof(options), "user=%s password=%s", kit_broker_need(broker, "user"),
                   kit_broker_password(broker, false));
    KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
}

static void test_redis_access_passwords(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "auth");
    check_passwords(broker, kit_broker_url(broker));
    check_passwords(broker, kit_broker_need(broker, "url_streams"));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

/* A user who may use open/ only. What the library keeps for itself needs pubsub.*, so he may publish and
 * subscribe with pub/sub, and is told what he lacks with streams. */
static void test_redis_access_permissions(void **state)
{
    (void)state;
    char options[256];
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *broker = kit_broker_start("redis", "auth");
    (void)snprintf(options, sizeof(options), "user=%s password=%s",
                   kit_broker_need(broker, "limited_user"), kit_broker_password(broker, true));
    kit_peer *peer = kit_peer_new(&kit_clients, kit_broker_url(broker), options);
    KIT_ERR(PUBSUB_EDENIED, publish(peer, "closed/t", 0, &error));
    KIT_SAYS(error.text, "permission");
    KIT_ERR(PUBSUB_EDENIED, publish(peer, "open/t", PUBSUB_PUBLISH_RETAIN, &error));
    KIT_OK(publish(peer, "open/t", 0, &error), &error);
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(peer, "closed/t", NULL, NULL, &error));
    kit_sub *sub = kit_subscribe(peer, "open/t", NULL);
    KIT_OK(publish(peer, "open/t", 0, &error), &error);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
    kit_peer *streams = kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), options);
    KIT_ERR(PUBSUB_EDENIED, publish(streams, "closed/t", 0, &error));
    KIT_ERR(PUBSUB_EDENIED, kit_try_subscribe(streams, "closed/t", NULL, NULL, &error));
    assert_int_equal(kit_stats(peer).disconnects + kit_stats(streams).disconnects, 0);
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_redis_access_database(void **state)
{
    (void)state;
    char url[256];
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *broker = kit_broker_start("redis", NULL);
    (void)snprintf(url, sizeof(url), "%s/3", kit_broker_need(broker, "url_streams"));
    kit_peer *other = kit_peer_new(&kit_clients, url, NULL);
    kit_peer *first = kit_peer_new(&kit_clients, kit_broker_need(broker, "url_streams"), NULL);
    kit_sub *there = kit_subscribe(other, "t", "from=earliest");
    kit_sub *here = kit_subscribe(first, "t", "from=earliest");
    KIT_OK(publish(other, "t", 0, &error), &error);
    KIT_AWAIT(&kit_clients, kit_count(there) == 1);
    KIT_OK(publish(first, "t", 0, &error), &error);
    KIT_AWAIT(&kit_clients, kit_count(here) == 1);
    assert_int_equal(kit_count(there), 1);
    (void)snprintf(url, sizeof(url), "%s/9999", kit_broker_url(broker));
    KIT_ERR(PUBSUB_EOPTION, kit_try_connect(&kit_clients, url, "", &error));
    pubsub_client *client = NULL;
    (void)snprintf(url, sizeof(url), "%s/name", kit_broker_url(broker));
    KIT_ERR(PUBSUB_EURL, pubsub_client_new(&client, url, NULL, &error));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void check_tls(kit_broker *broker, const char *url)
{
    char options[400];
    pubsub_error error = PUBSUB_ERROR_INIT;
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, "", &error));
    (void)snprintf(options, sizeof(options), "tls_ca=%s", kit_broker_need(broker, "wrong_ca"));
    KIT_ERR(PUBSUB_ETLS, kit_try_connect(&kit_clients, url, options, &error));
    KIT_OK(kit_try_connect(&kit_clients, url, "tls_verify=no", &error), &error);
    (void)snprintf(options, sizeof(options), "tls_ca=%s", kit_broker_need(broker, "ca"));
    KIT_OK(kit_try_connect(&kit_clients, url, options, &error), &error);
    kit_peer *peer = kit_peer_new(&kit_clients, url, options);
    kit_sub *sub = kit_subscribe(peer, "tls/+", NULL);
    KIT_OK(publish(peer, "tls/t", 0, &error), &error);
    KIT_AWAIT(&kit_clients, kit_count(sub) == 1);
}

static void test_redis_access_tls(void **state)
{
    (void)state;
    kit_broker *broker = kit_broker_start("redis", "tls");
    check_tls(broker, kit_broker_need(broker, "url_tls"));
    check_tls(broker, kit_broker_need(broker, "url_streams_tls"));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_redis_access_expired(void **state)
{
    (void)state;
    char options[400];
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *broker = kit_broker_start("redis", "tls-expired");
    (void)snprintf(options, sizeof(options), "tls_ca=%s", kit_broker_need(broker, "ca"));
    KIT_ERR(PUBSUB_ETLS,
            kit_try_connect(&kit_clients, kit_broker_need(broker, "url_tls"), options, &error));
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

static void test_redis_access_not_redis(void **state)
{
    (void)state;
    char url[256];
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_broker *broker = kit_broker_start("redis", "tls");
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%s", kit_broker_need(broker, "port_tls"));
    assert_int_not_equal(kit_try_connect(&kit_clients, url, "", &error), PUBSUB_OK);
    assert_true(error.text[0] != '\0');
    kit_net_fini(&kit_clients);
    kit_broker_stop(broker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KIT_CLIENTS_CASE(test_redis_access_passwords),
        KIT_CLIENTS_CASE(test_redis_access_permissions),
        KIT_CLIENTS_CASE(test_redis_access_database),
        KIT_CLIENTS_CASE(test_redis_access_tls),
        KIT_CLIENTS_CASE(test_redis_access_expired),
        KIT_CLIENTS_CASE(test_redis_access_not_redis),
    };
    return cmocka_run_group_tests_name("redis_access", tests, NULL, NULL);
}
