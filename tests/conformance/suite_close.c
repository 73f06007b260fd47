/* SPDX-License-Identifier: MIT */
/* Ending: everything is delivered or named, and no callback comes afterwards. */
#include "conformance/suites.h"

#include <pthread.h>
#include <stdio.h>

static void end_delivers_what_is_queued(conf *t)
{
    enum { COUNT = 5000 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
    conf_publish_many(peer, topic, "m", COUNT);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 0);
    assert_int_equal(kit_list_count(&peer->reports), COUNT);
    conf_expect_exactly(t, sub, "m", COUNT);
}

static void end_at_once_names_what_is_left(conf *t)
{
    enum { COUNT = 3000 };
    const char *topic = conf_topic(t, "a");
    pubsub_error error = PUBSUB_ERROR_INIT;
    size_t accepted = 0;
    size_t left = 0;
    kit_peer *peer = conf_peer(t);
    pubsub_err result = PUBSUB_OK;
    conf_publish_many(peer, topic, "m", COUNT);
    result = pubsub_client_end(peer->client, 0, &error);
    left = pubsub_client_undelivered(peer->client, NULL, NULL);
    KIT_ERR(left == 0 ? PUBSUB_OK : PUBSUB_ETIMEDOUT, result);
    if (left > 0) {
        KIT_SAYS(error.text, conf_text(t, "%zu", left));
    }
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    assert_int_equal(kit_list_count(&peer->reports), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const kit_report *got = kit_list_at(&peer->reports, i);
        accepted += got->report.outcome == PUBSUB_ACCEPTED ? 1 : 0;
    }
    assert_int_equal(accepted + left, COUNT);
}

static void no_callback_after_end(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    for (int round = 0; round < 3; round++) {
        kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
        size_t reports = 0;
        size_t events = 0;
        conf_publish_many(publisher, topic, "m", 500);
        conf_publish_many(sub->peer, conf_topic(t, "b"), "x", 100);
        KIT_AWAIT(t->net, kit_count(sub) > 0);
        KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        kit_quiet(sub);
        reports = kit_list_count(&sub->peer->reports);
        events = kit_list_count(&sub->peer->events);
        assert_int_equal(atomic_load(&sub->running), 0);
        kit_flush(publisher);
        for (int i = 0; i < 20; i++) {
            kit_turn(t->net);
        }
        assert_int_equal(atomic_load(&sub->intruders), 0);
        assert_int_equal(kit_list_count(&sub->peer->reports), reports);
        assert_int_equal(kit_list_count(&sub->peer->events), events);
    }
}

static void no_callback_after_unsubscribe(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    kit_peer *peer = conf_peer(t);
    for (int round = 0; round < 10; round++) {
        kit_sub *sub = kit_subscribe(peer, topic, NULL);
        kit_sub *other = kit_subscribe(peer, topic, NULL);
        conf_publish_many(publisher, topic, "m", 200);
        KIT_AWAIT(t->net, kit_count(sub) > 0);
        KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
        kit_quiet(sub);
        assert_int_equal(atomic_load(&sub->running), 0);
        conf_fence(t, publisher, topic, other);
        assert_int_equal(atomic_load(&sub->intruders), 0);
        KIT_OK(pubsub_subscription_unsubscribe(other->handle, 0, NULL), NULL);
    }
}

static int leave_at_third(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)message;
    if (conf_number(copy, "m") == 2) {
        pubsub_err *result = sub->ctx;
        *result = pubsub_subscription_unsubscribe(sub->handle, 0, NULL);
        kit_quiet(sub);
    }
    return 0;
}

static void a_handler_ends_its_own_subscription(conf *t)
{
    const char *topic = conf_topic(t, "a");
    pubsub_err result = PUBSUB_EINTERNAL;
    kit_peer *peer = conf_peer(t);
    kit_sub *other = kit_subscribe(peer, topic, NULL);
    kit_sub *sub = kit_subscribe_with(peer, topic, NULL, leave_at_third, &result);
    conf_publish_many(peer, topic, "m", 100);
    conf_fence(t, peer, topic, other);
    KIT_AWAIT(t->net, kit_count(sub) >= 3);
    KIT_ERR(PUBSUB_OK, result);
    assert_int_equal(kit_count(sub), 3);
    assert_int_equal(atomic_load(&sub->intruders), 0);
}

typedef struct gate {
    atomic_bool inside;
    atomic_bool open;
} gate;

static int wait_at_gate(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    gate *mine = sub->ctx;
    kit_deadline until = kit_in(KIT_PATIENCE);
    (void)copy;
    (void)message;
    atomic_store(&mine->inside, true);
    while (!atomic_load(&mine->open) && !kit_over(until)) {
        kit_breathe();
    }
    return 0;
}

static void *open_gate_later(void *ctx)
{
    gate *mine = ctx;
    for (int i = 0; i < 50; i++) {
        kit_breathe();
    }
    atomic_store(&mine->open, true);
    return NULL;
}

/* The handler runs in another thread: unsubscribe and end wait for it. */
static void unsubscribe_waits_for_the_handler(conf *t)
{
    const char *topic = conf_topic(t, "a");
    for (int round = 0; round < 2; round++) {
        gate mine = {false, false};
        pthread_t thread;
        kit_sub *sub = kit_subscribe_with(conf_peer(t), topic, NULL, wait_at_gate, &mine);
        conf_publish_many(sub->peer, topic, "m", 10);
        KIT_AWAIT(t->net, atomic_load(&mine.inside));
        assert_int_equal(pthread_create(&thread, NULL, open_gate_later, &mine), 0);
        if (round == 0) {
            KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
        } else {
            KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        }
        kit_quiet(sub);
        assert_true(atomic_load(&mine.open));
        assert_int_equal(atomic_load(&sub->running), 0);
        (void)pthread_join(thread, NULL);
        assert_int_equal(atomic_load(&sub->intruders), 0);
    }
}

typedef struct ended {
    pubsub_err end, shutdown, publish, again;
} ended;

static int try_to_end(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    ended *results = sub->ctx;
    pubsub_client *client = sub->peer->client;
    (void)copy;
    (void)message;
    results->end = pubsub_client_end(client, 0, NULL);
    results->shutdown = pubsub_client_shutdown(client);
    results->publish = pubsub_client_publish_text(client, sub->pattern, "late", NULL);
    results->again = pubsub_client_shutdown(client);
    return 0;
}

static void in_a_handler_end_is_refused_and_shutdown_starts_it(conf *t)
{
    const char *topic = conf_topic(t, "a");
    ended results = {PUBSUB_OK, PUBSUB_EINTERNAL, PUBSUB_OK, PUBSUB_EINTERNAL};
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic, NULL, try_to_end, &results);
    (void)kit_store_text(sub->peer, topic, "x");
    KIT_AWAIT(t->net, kit_count(sub) == 1);
    KIT_ERR(PUBSUB_ESTATE, results.end);
    KIT_ERR(PUBSUB_OK, results.shutdown);
    KIT_ERR(PUBSUB_ECLOSED, results.publish);
    KIT_ERR(PUBSUB_OK, results.again);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    assert_int_equal(pubsub_client_state(sub->peer->client), PUBSUB_STATE_CLOSED);
}

static void waiters_wake_when_the_client_ends(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_pull(peer, conf_topic(t, "a"), NULL);
    pubsub_message *message = NULL;
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_subscription_next(sub->handle, PUBSUB_FOREVER, &message, NULL));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_subscription_wait(sub->handle, PUBSUB_FOREVER, NULL, NULL));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_subscription_unsubscribe(sub->handle, 0, NULL));
}

typedef struct puller {
    kit_sub *sub;
    pubsub_err result;
} puller;

static void *pull_for_ever(void *ctx)
{
    puller *me = ctx;
    pubsub_message *message = NULL;
    me->result = pubsub_subscription_next(me->sub->handle, PUBSUB_FOREVER, &message, NULL);
    return NULL;
}

static void a_waiting_pull_wakes_when_the_subscription_ends(conf *t)
{
    for (int round = 0; round < 2; round++) {
        kit_sub *sub = kit_pull(conf_peer(t), conf_topic(t, "a"), NULL);
        puller me = {sub, PUBSUB_OK};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, pull_for_ever, &me), 0);
        for (int i = 0; i < 20; i++) {
            kit_breathe();
        }
        if (round == 0) {
            KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
        } else {
            KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        }
        (void)pthread_join(thread, NULL);
        KIT_ERR(PUBSUB_ECLOSED, me.result);
    }
}

static void what_no_handler_saw_goes_back(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s", conf_name(t, "d"));
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, options);
    sub->peer->unpolled = true;
    conf_publish_many(publisher, topic, "m", 50);
    kit_flush(publisher);
    KIT_AWAIT(t->net, t->net->mode == KIT_INLINE || kit_stats(sub->peer).ready == 50);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    assert_int_equal(kit_count(sub), 0);
    kit_peer_close(sub->peer);
    sub = kit_subscribe(conf_peer(t), topic, options);
    if (t->adapter->returns_late) {
        size_t total = 0;
        KIT_AWAIT(t->net, conf_union(&sub, 1, "m", 50, &total) == 50);
        assert_int_equal(total, 50);
        KIT_SAYS(t->caps.features[PUBSUB_FEATURE_ATTEMPTS].note, "not handled");
        return;
    }
    conf_expect_exactly(t, sub, "m", 50);
    for (size_t i = 0; i < 50 && conf_offers(t, F(ATTEMPTS)); i++) {
        assert_true(kit_at(sub, i)->attempt <= 1);
    }
}

static void the_process_may_exit_after_end(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *const arguments[] = {t->url, topic, "m", "2000", NULL};
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
    assert_int_equal(kit_child_wait(conf_child(t, 0, "produce", arguments), 2 * KIT_PATIENCE), 0);
    conf_expect_exactly(t, sub, "m", 2000);
}

const conf_case conf_close[] = {
    CONF_CASE(end_delivers_what_is_queued, CONF_ALL | CONF_LOAD, 0, 0),
    CONF_CASE(end_at_once_names_what_is_left, CONF_ALL, 0, 0),
    CONF_CASE(no_callback_after_end, CONF_ALL | CONF_LOAD, 0, 0),
    CONF_CASE(no_callback_after_unsubscribe, CONF_ALL | CONF_LOAD, 0, 0),
    CONF_CASE(a_handler_ends_its_own_subscription, CONF_ALL | CONF_FANOUT, 0, 0),
    CONF_CASE(unsubscribe_waits_for_the_handler, CONF_DISPATCH, 0, 0),
    CONF_CASE(in_a_handler_end_is_refused_and_shutdown_starts_it, CONF_ALL, 0, 0),
    CONF_CASE(waiters_wake_when_the_client_ends, CONF_ALL, 0, 0),
    CONF_CASE(a_waiting_pull_wakes_when_the_subscription_ends, CONF_THREADS, 0, 0),
    CONF_CASE(what_no_handler_saw_goes_back, CONF_POLLED, F(DURABLE) | F(ACK), 0),
    CONF_CASE(the_process_may_exit_after_end, CONF_THREAD | CONF_LOAD | CONF_OUTSIDE, 0, 0),
    CONF_END};
