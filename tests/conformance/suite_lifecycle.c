/* SPDX-License-Identifier: MIT */
/* The life of a client: connect, ready, end, and the states between. */
#include "conformance/suites.h"

#include <pthread.h>

enum { WAITERS = 4 };

static void new_does_no_io(conf *t)
{
    kit_peer *peer = conf_peer(t);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
    kit_turn(t->net);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_IDLE);
    assert_int_equal(kit_stats(peer).connects, 0);
    assert_int_equal(kit_list_count(&peer->events), 0);
}

static void publish_connects(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_publish(peer, conf_topic(t, "a"), "x");
    kit_flush(peer);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
    assert_int_equal(kit_stats(peer).connects > 0, 1);
}

static void subscribe_connects(conf *t)
{
    kit_peer *peer = conf_peer(t);
    (void)kit_subscribe(peer, conf_topic(t, "a"), NULL);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
    KIT_AWAIT(t->net, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 1);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_CONNECT), 1);
}

static void connect_and_ready(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
}

static void ready_connects_when_idle(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_ready(peer->client, 0, &error), &error);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
}

static void states_are_told_in_order(conf *t)
{
    static const pubsub_state wanted[] = {PUBSUB_STATE_CONNECTING, PUBSUB_STATE_CONNECTED,
                                          PUBSUB_STATE_CLOSING, PUBSUB_STATE_CLOSED};
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_STATE, i);
        assert_non_null(event);
        assert_int_equal(event->state, wanted[i]);
        assert_int_equal(event->error.code, PUBSUB_OK);
    }
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_STATE), 4);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_CONNECT), 1);
}

static void connect_twice_is_an_error_that_says_so(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    /* Connecting or connected already, as fast as it was. */
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_connect(peer->client, &error));
    KIT_SAYS(error.text, "connect");
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_connect(peer->client, &error));
    KIT_SAYS(error.text, pubsub_state_name(PUBSUB_STATE_CONNECTED));
}

static void ready_fails_when_closed(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error));
    KIT_SAYS(error.text, pubsub_state_name(PUBSUB_STATE_CLOSED));
}

static void end_without_connect_is_fine(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(1000), &error), &error);
    assert_int_equal(kit_stats(peer).connects, 0);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    KIT_OK(pubsub_client_end(peer->client, 0, &error), &error);
}

static void end_twice_is_fine(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

static void nothing_is_accepted_after_end(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_client_publish(peer->client, &pub, 0, &error));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_client_publish_wait(peer->client, &pub, 100, NULL, &error));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_client_subscribe(peer->client, conf_topic(t, "a"), NULL, NULL,
                                                    NULL, NULL, &error));
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

static void connect_after_end_opens_again(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *topic = conf_topic(t, "again");
    kit_peer *peer = conf_peer(t);
    for (int round = 0; round < 3; round++) {
        kit_sub *sub = NULL;
        KIT_OK(pubsub_client_connect(peer->client, &error), &error);
        sub = kit_subscribe(peer, topic, NULL);
        (void)kit_store_text(peer, topic, "x");
        KIT_AWAIT(t->net, kit_count(sub) == 1);
        KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
        kit_quiet(sub);
        assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    }
    assert_true(kit_stats(peer).connects >= 3);
}

typedef struct waiter {
    pthread_t thread;
    pubsub_client *client;
    pubsub_err result;
    pubsub_error error;
} waiter;

static void *wait_ready(void *ctx)
{
    waiter *me = ctx;
    me->result = pubsub_client_ready(me->client, kit_ms(KIT_PATIENCE), &me->error);
    return NULL;
}

static void every_waiter_gets_the_error_of_a_failed_connect(conf *t)
{
    char url[CONF_URL_MAX];
    pubsub_error error = PUBSUB_ERROR_INIT;
    waiter waiters[WAITERS];
    kit_peer *peer = NULL;
    conf_dead_url(t, url, sizeof(url));
    peer = kit_peer_new(t->net, url, NULL);
    for (size_t i = 0; i < WAITERS; i++) {
        waiters[i] = (waiter){.client = peer->client, .error = PUBSUB_ERROR_INIT};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_ready, &waiters[i]), 0);
    }
    for (size_t i = 0; i < WAITERS; i++) {
        (void)pthread_join(waiters[i].thread, NULL);
    }
    for (size_t i = 0; i < WAITERS; i++) {
        /* One that came after the failure sees a closed client. */
        assert_true(waiters[i].result != PUBSUB_OK && waiters[i].result != PUBSUB_ETIMEDOUT);
        assert_true(waiters[i].error.text[0] != '\0');
    }
    (void)error;
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

static void failed_connect_closes_and_says_why(conf *t)
{
    char url[CONF_URL_MAX];
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = NULL;
    const kit_event *event = NULL;
    pubsub_err result = PUBSUB_OK;
    conf_dead_url(t, url, sizeof(url));
    peer = kit_peer_new(t->net, url, NULL);
    result = pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error);
    assert_int_not_equal(result, PUBSUB_OK);
    assert_int_not_equal(result, PUBSUB_ESTATE);
    assert_int_equal(error.code, result);
    assert_true(error.text[0] != '\0');
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    KIT_AWAIT(t->net, kit_went_through(peer, PUBSUB_STATE_CLOSED));
    event = kit_event_find(peer, PUBSUB_EVENT_STATE, kit_events_of(peer, PUBSUB_EVENT_STATE) - 1);
    assert_int_equal(event->error.code, result);
}

static void failed_connect_fails_subscriptions_and_publishes(conf *t)
{
    char url[CONF_URL_MAX];
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    pubsub_publication pub = kit_publication(conf_topic(t, "a"), "x");
    kit_peer *peer = NULL;
    kit_sub *sub = NULL;
    conf_dead_url(t, url, sizeof(url));
    peer = kit_peer_new(t->net, url, NULL);
    assert_int_not_equal(
        pubsub_client_publish_wait(peer->client, &pub, kit_ms(KIT_PATIENCE), &receipt, &error),
        PUBSUB_OK);
    assert_int_equal(receipt.outcome, PUBSUB_NOT_SENT);
    peer = kit_peer_new(t->net, url, NULL);
    sub = kit_subscribe_later(peer, conf_topic(t, "a"), NULL, NULL, NULL);
    assert_int_not_equal(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, &error),
                         PUBSUB_OK);
    assert_true(error.text[0] != '\0');
}

static int ignore_message(void *ctx, pubsub_message *message)
{
    (void)ctx;
    (void)message;
    return 0;
}

static void handlers_are_set_before_connecting(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_on_message(peer->client, ignore_message, NULL), NULL);
    KIT_OK(pubsub_client_on_message(peer->client, NULL, NULL), NULL);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_on_message(peer->client, ignore_message, NULL));
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_on_delivery(peer->client, NULL, NULL));
    KIT_ERR(PUBSUB_ESTATE, pubsub_client_on_event(peer->client, NULL, NULL));
}

static void free_without_end(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    kit_publish(peer, topic, "x");
    kit_peer_close(peer);
    kit_quiet(sub);
    assert_int_equal(atomic_load(&sub->intruders), 0);
    pubsub_client_free(NULL);
    pubsub_subscription_free(NULL);
    pubsub_message_unref(NULL);
}

static void handle_may_be_freed_before_the_subscription_ends(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    pubsub_subscription_free(sub->handle);
    sub->handle = NULL;
    (void)kit_store_text(peer, topic, "x");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
}

static void many_clients_in_one_process(conf *t)
{
    enum { CLIENTS = 12 };
    const char *topic = conf_topic(t, "a");
    kit_sub *subs[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++) {
        subs[i] = kit_subscribe(conf_peer(t), topic, NULL);
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        (void)kit_store_text(subs[i]->peer, topic, conf_text(t, "m%zu", i));
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        KIT_AWAIT(t->net, kit_count(subs[i]) == CLIENTS);
    }
}

const conf_case conf_lifecycle[] = {
    CONF_CASE(new_does_no_io, CONF_ALL, 0, 0),
    CONF_CASE(publish_connects, CONF_ALL, 0, 0),
    CONF_CASE(subscribe_connects, CONF_ALL, 0, 0),
    CONF_CASE(connect_and_ready, CONF_ALL, 0, 0),
    CONF_CASE(ready_connects_when_idle, CONF_ALL, 0, 0),
    CONF_CASE(states_are_told_in_order, CONF_ALL, 0, 0),
    CONF_CASE(connect_twice_is_an_error_that_says_so, CONF_ALL, 0, 0),
    CONF_CASE(ready_fails_when_closed, CONF_ALL, 0, 0),
    CONF_CASE(end_without_connect_is_fine, CONF_ALL, 0, 0),
    CONF_CASE(end_twice_is_fine, CONF_ALL, 0, 0),
    CONF_CASE(nothing_is_accepted_after_end, CONF_ALL, 0, 0),
    CONF_CASE(connect_after_end_opens_again, CONF_ALL, 0, 0),
    CONF_CASE(every_waiter_gets_the_error_of_a_failed_connect, CONF_THREADS, 0, 0),
    CONF_CASE(failed_connect_closes_and_says_why, CONF_ALL, 0, 0),
    CONF_CASE(failed_connect_fails_subscriptions_and_publishes, CONF_ALL, 0, 0),
    CONF_CASE(handlers_are_set_before_connecting, CONF_ALL, 0, 0),
    CONF_CASE(free_without_end, CONF_ALL, 0, 0),
    CONF_CASE(handle_may_be_freed_before_the_subscription_ends, CONF_ALL, 0, 0),
    CONF_CASE(many_clients_in_one_process, CONF_ALL | CONF_FANOUT, 0, 0),
    CONF_END};
