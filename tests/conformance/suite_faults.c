/* SPDX-License-Identifier: MIT */
/* The broker ends, dies or falls silent, and the way to it breaks, while messages flow: nothing that was
 * confirmed is lost beyond what caps say, nothing is lost silently, and everything goes on by itself. */
#include "conformance/load.h"
#include "conformance/suites.h"

#include <stdio.h>
#include <stdlib.h>

#define LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Back soon, so that a case takes no longer than what it shows. */
#define SOON "reconnect_min=10ms reconnect_max=200ms"

/* scripts/test --tier full sets it. */
static size_t rounds(size_t quick, size_t in_long)
{
    return getenv("PUBSUB_TEST_LONG") != NULL ? in_long : quick;
}

static kit_peer *peer_at(conf *t, const char *url, const char *more)
{
    return kit_peer_new(t->net, url, conf_text(t, SOON " %s", more != NULL ? more : ""));
}

static kit_peer *peer_behind(conf *t, const char *more)
{
    return peer_at(t, t->behind, more);
}

static pubsub_qos stronger(const conf *t)
{
    return conf_offers(t, F(QOS1)) ? PUBSUB_AT_LEAST_ONCE : PUBSUB_AT_MOST_ONCE;
}

/* A subscription that the broker keeps, or a plain one where there is no such thing. */
static kit_sub *keeper(conf *t, kit_peer *peer, const char *topic)
{
    bool durable = conf_offers(t, F(DURABLE));
    return kit_subscribe(peer, topic,
                         durable ? conf_text(t, "durable=%s", conf_name(t, "keep")) : NULL);
}

/* Beside the keeper; none where the two would share what comes. */
static kit_sub *plain_beside(conf *t, kit_peer *peer, const char *topic)
{
    return t->adapter->shared_topics ? NULL : kit_subscribe(peer, topic, NULL);
}

/* Whether the keeper loses nothing that was confirmed. */
static bool keeps(const conf *t)
{
    return conf_offers(t, F(QOS1)) && (conf_offers(t, F(DURABLE)) || t->adapter->shared_topics);
}

/* Losing the connection loses a plain subscription what is sent meanwhile, and it is told. */
static void judge_plain(conf *t, conf_load *load, kit_sub *sub)
{
    conf_tally tally;
    if (sub == NULL) {
        return;
    }
    (void)conf_load_settled(t, sub);
    conf_load_fence(t, load->peer, sub, load->qos);
    tally = conf_load_judge(load, sub, "plain");
    conf_load_gaps_told(&tally, sub);
}

/* One that is kept loses nothing that was confirmed. */
static conf_tally judge_keeper(conf *t, conf_load *load, kit_sub *sub)
{
    conf_tally tally;
    (void)conf_load_settled(t, sub);
    conf_load_fence(t, load->peer, sub, load->qos);
    tally = conf_load_judge(load, sub, conf_offers(t, F(DURABLE)) ? "durable" : "plain, kept");
    conf_load_gaps_told(&tally, sub);
    return tally;
}

/* The end of the load: its publisher lost its connection at least so often, and nothing is missing. */
static void judge_after_losses(conf *t, conf_load *load, size_t losses, kit_sub *durable,
                               kit_sub *plain)
{
    conf_tally tally;
    conf_load_finish(load);
    assert_true(conf_times_lost(load->peer) >= losses);
    tally = judge_keeper(t, load, durable);
    if (keeps(t)) {
        assert_int_equal(tally.lost, 0);
    }
    judge_plain(t, load, plain);
}

/* What goes through the proxy is cut while the load flows. */
static void cut_many_times(conf *t, conf_load *load)
{
    for (size_t i = 0; i < rounds(6, 60); i++) {
        conf_load_advance(load, 50);
        kit_proxy_cut(t->proxy);
    }
    conf_load_advance(load, 50);
}

static bool is_connected(kit_peer *peer)
{
    return pubsub_client_state(peer->client) == PUBSUB_STATE_CONNECTED;
}

/* ---- the broker ---------------------------------------------------------------------------- */

static void a_broker_restarted_under_load(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *plain = plain_beside(t, peer_at(t, t->url, NULL), topic);
    kit_sub *durable = keeper(t, peer_at(t, t->url, NULL), topic);
    kit_peer *publisher = peer_at(t, t->url, NULL);
    conf_load *load = conf_load_start(t, publisher, topic, stronger(t));
    for (size_t i = 0; i < rounds(2, 12); i++) {
        conf_load_advance(load, 100);
        conf_restart_broker(t);
    }
    conf_load_advance(load, 100);
    judge_after_losses(t, load, 1, durable, plain);
}

/* What a confirmation is worth decides whether something may be lost. */
static void a_broker_killed_under_load(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *plain = plain_beside(t, peer_at(t, t->url, NULL), topic);
    kit_sub *durable = keeper(t, peer_at(t, t->url, NULL), topic);
    kit_deadline written = kit_in(t->adapter->network->writes_down);
    conf_load *load = conf_load_start(t, peer_at(t, t->url, NULL), topic, stronger(t));
    conf_tally tally;
    for (size_t i = 0; i < rounds(2, 12); i++) {
        do {
            conf_load_advance(load, 100);
        } while (!kit_over(written));
        conf_kill_broker(t);
        conf_restart_broker(t);
    }
    conf_load_advance(load, 100);
    conf_load_finish(load);
    (void)conf_load_settled(t, durable);
    conf_load_fence(t, load->peer, durable, load->qos);
    tally = conf_load_judge(load, durable, "durable");
    if (t->caps.confirm >= PUBSUB_CONFIRM_WRITTEN && keeps(t)) {
        assert_int_equal(tally.lost, 0);
    }
    judge_plain(t, load, plain);
}

static void a_durable_subscriber_away_during_a_restart(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s", conf_name(t, "d"));
    kit_sub *sub = kit_subscribe(peer_at(t, t->url, NULL), topic, options);
    kit_peer *publisher = peer_at(t, t->url, NULL);
    pubsub_grant grant;
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    conf_publish_many(publisher, topic, "before", 50);
    kit_flush(publisher);
    conf_restart_broker(t);
    conf_publish_many(publisher, topic, "after", 50);
    kit_flush(publisher);
    KIT_AWAIT(t->net, kit_list_count(&publisher->reports) == 100);
    sub = kit_subscribe(peer_at(t, t->url, NULL), topic, options);
    KIT_OK(pubsub_subscription_wait(sub->handle, 0, &grant, NULL), NULL);
    assert_true(grant.resumed);
    conf_expect_exactly(t, sub, "before", 50);
    KIT_AWAIT(t->net, kit_find(sub, "after49") != NULL);
}

/* ---- the way to it ------------------------------------------------------------------------- */

static void a_connection_cut_many_times(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *plain = plain_beside(t, peer_behind(t, NULL), topic);
    kit_sub *durable = keeper(t, peer_behind(t, NULL), topic);
    kit_peer *publisher = peer_behind(t, NULL);
    conf_load *load = conf_load_start(t, publisher, topic, stronger(t));
    cut_many_times(t, load);
    judge_after_losses(t, load, 2, durable, plain);
}

/* Who was never cut lost nothing, and what he got twice was published twice. */
static void only_the_publisher_is_cut(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *sub = kit_subscribe(peer_at(t, t->url, NULL), topic, NULL);
    kit_peer *publisher = peer_behind(t, NULL);
    conf_load *load = conf_load_start(t, publisher, topic, stronger(t));
    conf_tally tally;
    cut_many_times(t, load);
    conf_load_finish(load);
    assert_true(conf_times_lost(publisher) >= 2);
    if (t->adapter->network->advertise == NULL) {
        assert_int_equal(conf_load_settled(t, sub), 0);
    }
    conf_load_fence(t, publisher, sub, load->qos);
    tally = conf_load_judge(load, sub, "never cut");
    if (conf_offers(t, F(QOS1))) {
        assert_int_equal(tally.lost, 0);
    }
    assert_true(tally.doubled <= rounds(6, 60) * CONF_LOAD_WINDOW);
}

static size_t times_lost(kit_sub *durable, kit_sub *plain)
{
    return conf_times_lost(durable->peer) + (plain != NULL ? conf_times_lost(plain->peer) : 0);
}

static void only_the_subscribers_are_cut(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *plain = plain_beside(t, peer_behind(t, NULL), topic);
    kit_sub *durable = keeper(t, peer_behind(t, NULL), topic);
    kit_peer *publisher = peer_at(t, t->url, NULL);
    conf_load *load = conf_load_start(t, publisher, topic, stronger(t));
    conf_tally tally;
    for (size_t i = 0; i < rounds(6, 60); i++) {
        size_t lost = times_lost(durable, plain);
        conf_load_advance(load, 50);
        kit_proxy_cut(t->proxy);
        KIT_AWAIT(t->net, times_lost(durable, plain) >= lost + (plain != NULL ? 2 : 1));
        KIT_AWAIT(t->net, is_connected(durable->peer));
        KIT_AWAIT(t->net, plain == NULL || is_connected(plain->peer));
    }
    conf_load_advance(load, 50);
    conf_load_finish(load);
    assert_int_equal(load->counts[PUBSUB_ACCEPTED], atomic_load(&load->published));
    tally = judge_keeper(t, load, durable);
    if (keeps(t)) {
        assert_int_equal(tally.lost, 0);
    }
    judge_plain(t, load, plain);
}

static void nothing_comes_twice_where_nothing_breaks(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *plain = plain_beside(t, peer_behind(t, NULL), topic);
    kit_sub *durable = keeper(t, peer_behind(t, NULL), topic);
    conf_load *load = conf_load_start(t, peer_behind(t, NULL), topic, stronger(t));
    kit_sub *subs[2] = {durable, plain};
    conf_load_advance(load, 500);
    conf_load_finish(load);
    assert_int_equal(load->counts[PUBSUB_ACCEPTED], atomic_load(&load->published));
    for (size_t i = 0; i < (plain != NULL ? 2 : 1); i++) {
        conf_tally tally;
        assert_int_equal(conf_load_settled(t, subs[i]), 0);
        conf_load_fence(t, load->peer, subs[i], load->qos);
        tally = conf_load_judge(load, subs[i], i == 0 ? "kept" : "plain");
        assert_int_equal(tally.lost + tally.holes + tally.doubled, 0);
        assert_int_equal(kit_events_of(subs[i]->peer, PUBSUB_EVENT_GAP), 0);
    }
}

/* Half open: everything stands, and nothing comes through. */
static void a_silent_connection_is_found(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *attentive = t->adapter->network->attentive;
    kit_sub *durable = NULL;
    kit_peer *publisher = NULL;
    conf_load *load = NULL;
    conf_tally tally;
    if (attentive == NULL) {
        conf_skip(t, "no option makes it look for silence");
    }
    durable = keeper(t, peer_behind(t, attentive), topic);
    publisher = peer_behind(t, attentive);
    load = conf_load_start(t, publisher, topic, stronger(t));
    conf_load_advance(load, 50);
    kit_proxy_stall(t->proxy, KIT_TO_BROKER, true);
    kit_proxy_stall(t->proxy, KIT_TO_CLIENT, true);
    KIT_AWAIT(t->net, conf_times_lost(publisher) > 0 && conf_times_lost(durable->peer) > 0);
    kit_proxy_stall(t->proxy, KIT_TO_BROKER, false);
    kit_proxy_stall(t->proxy, KIT_TO_CLIENT, false);
    KIT_AWAIT(t->net, is_connected(publisher) && is_connected(durable->peer));
    conf_load_advance(load, 50);
    conf_load_finish(load);
    tally = judge_keeper(t, load, durable);
    if (keeps(t)) {
        assert_int_equal(tally.lost, 0);
    }
}

/* Cuts the connection that carries a certain byte; below 0 it is done. */
static bool cut_at(void *ctx, void *state, kit_out *out, const uint8_t *data, size_t len)
{
    atomic_long *left = ctx;
    long before = atomic_load(left);
    (void)state;
    if (before < 0 || (long)len < before) {
        kit_pass(out, data, len);
        if (before >= 0) {
            atomic_store(left, before - (long)len);
        }
        return true;
    }
    kit_pass(out, data, (size_t)before);
    atomic_store(left, -1);
    return false;
}

/* Cut at every stage of connecting, subscribing and publishing. */
static void a_cut_while_subscribing(conf *t)
{
    static const long places[] = {0, 1, 3, 12, 30, 45, 60, 75, 90, 105, 120, 140, 170, 200};
    static atomic_long left; /* the proxy's thread may look at it until the end of the case */
    kit_filter filter = {cut_at, &left, 0};
    size_t cuts = 0;
    for (size_t i = 0; i < 2 * LEN(places); i++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", i));
        kit_peer *peer = peer_behind(t, "connect_retry=yes connect_timeout=2s");
        kit_sub *sub = NULL;
        atomic_store(&left, places[i / 2]);
        kit_proxy_filter(t->proxy, i % 2 == 0 ? KIT_TO_BROKER : KIT_TO_CLIENT, &filter);
        sub = kit_subscribe(peer, topic, NULL);
        conf_load_fence(t, peer, sub, stronger(t));
        cuts += atomic_load(&left) < 0 ? 1 : 0;
        kit_proxy_filter(t->proxy, i % 2 == 0 ? KIT_TO_BROKER : KIT_TO_CLIENT, NULL);
        (void)conf_load_settled(t, sub);
        KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    }
    assert_true(cuts >= LEN(places));
}

/* ---- while it is gone ---------------------------------------------------------------------- */

static void a_broker_that_is_there_later(conf *t)
{
    enum { COUNT = 20 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = NULL;
    kit_sub *sub = NULL;
    kit_proxy_door(t->proxy, KIT_DOOR_CLOSED);
    peer = peer_behind(t, "connect_retry=yes");
    sub = kit_subscribe_later(peer, topic, NULL, NULL, NULL);
    conf_publish_many(peer, topic, "m", COUNT);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_subscription_wait(sub->handle, 100, NULL, NULL));
    assert_int_equal(kit_list_count(&peer->reports), 0);
    kit_proxy_door(t->proxy, KIT_DOOR_OPEN);
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    KIT_AWAIT(t->net, kit_list_count(&peer->reports) == COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const kit_report *got = kit_list_at(&peer->reports, i);
        assert_int_equal(got->report.outcome, PUBSUB_ACCEPTED);
    }
    conf_load_fence(t, peer, sub, stronger(t));
}

/* Whether the broker's address refuses or is silent, the time given is kept and everything is told. */
static void an_end_in_time_while_the_broker_is_gone(conf *t)
{
    enum { COUNT = 20, TIME = 300, GRACE = 1500 };
    for (int silent = 0; silent < 2; silent++) {
        const char *topic = conf_topic(t, conf_text(t, "%d", silent));
        kit_peer *peer = peer_behind(t, NULL);
        uint64_t before = 0;
        pubsub_error error = PUBSUB_ERROR_INIT;
        (void)kit_subscribe(peer, topic, NULL);
        (void)kit_store_text(peer, topic, "stored");
        if (silent != 0) {
            kit_proxy_stall(t->proxy, KIT_TO_BROKER, true);
        } else {
            kit_proxy_door(t->proxy, KIT_DOOR_CLOSED);
            kit_proxy_cut(t->proxy);
            KIT_AWAIT(t->net, conf_times_lost(peer) > 0);
        }
        for (size_t i = 0; i < COUNT; i++) {
            pubsub_publication pub = kit_publication(topic, conf_text(t, "m%zu", i));
            pub.qos = stronger(t);
            kit_send(peer, &pub);
        }
        before = kit_now();
        (void)pubsub_client_end(peer->client, kit_ms(TIME), &error);
        assert_true(kit_now() - before < (uint64_t)kit_ms(TIME + GRACE) * 1000000u);
        assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
        assert_int_equal(kit_list_count(&peer->reports), COUNT);
        if (silent == 0 || conf_offers(t, F(QOS1))) {
            KIT_ERR(PUBSUB_ETIMEDOUT, error.code);
            assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), COUNT);
        }
        before = kit_now();
        kit_peer_close(peer);
        assert_true(kit_now() - before < (uint64_t)kit_ms(GRACE) * 1000000u);
        kit_proxy_stall(t->proxy, KIT_TO_BROKER, false);
        kit_proxy_door(t->proxy, KIT_DOOR_OPEN);
    }
}

static void without_reconnect_the_client_ends_with_the_reason(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = peer_behind(t, "reconnect=no");
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    const kit_event *event = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication(topic, "late");
    (void)kit_store_text(peer, topic, "x");
    kit_proxy_cut(t->proxy);
    KIT_AWAIT(t->net, kit_went_through(peer, PUBSUB_STATE_CLOSED));
    event = kit_event_find(peer, PUBSUB_EVENT_STATE, kit_events_of(peer, PUBSUB_EVENT_STATE) - 1);
    assert_int_equal(event->state, PUBSUB_STATE_CLOSED);
    assert_true(pubsub_err_is_retryable(event->error.code));
    assert_true(event->error.text[0] != '\0');
    assert_int_equal(conf_times_lost(peer), 0);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_client_publish(peer->client, &pub, 0, NULL));
    KIT_ERR(event->error.code, pubsub_subscription_wait(sub->handle, 0, NULL, NULL));
    /* And it may be opened again. */
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    (void)kit_store_text(peer, topic, "y");
}

/* ---- exactly once -------------------------------------------------------------------------- */

/* Accepted is received once; what is unknown, not more than once. */
static void judge_once(conf_load *load, kit_sub *sub, const char *name)
{
    conf_tally tally = conf_load_judge(load, sub, name);
    assert_int_equal(tally.lost, 0);
    assert_int_equal(tally.doubled, 0);
    assert_true(tally.holes <= load->counts[PUBSUB_UNKNOWN] + load->counts[PUBSUB_NOT_SENT]);
}

static void exactly_once_while_the_publisher_is_cut(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *sub = kit_subscribe(peer_at(t, t->url, NULL), topic, "qos=2");
    conf_load *load = conf_load_start(t, peer_behind(t, NULL), topic, PUBSUB_EXACTLY_ONCE);
    for (size_t i = 0; i < rounds(10, 100); i++) {
        conf_load_advance(load, 30);
        kit_proxy_cut(t->proxy);
    }
    conf_load_advance(load, 50);
    conf_load_finish(load);
    conf_load_fence(t, load->peer, sub, PUBSUB_EXACTLY_ONCE);
    judge_once(load, sub, "never cut");
}

static void exactly_once_while_the_subscriber_is_cut(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "qos=2 durable=%s", conf_name(t, "d"));
    kit_sub *sub = kit_subscribe(peer_behind(t, NULL), topic, options);
    conf_load *load = conf_load_start(t, peer_at(t, t->url, NULL), topic, PUBSUB_EXACTLY_ONCE);
    for (size_t i = 0; i < rounds(10, 100); i++) {
        size_t lost = conf_times_lost(sub->peer);
        conf_load_advance(load, 30);
        kit_proxy_cut(t->proxy);
        KIT_AWAIT(t->net, conf_times_lost(sub->peer) > lost && is_connected(sub->peer));
    }
    conf_load_advance(load, 50);
    conf_load_finish(load);
    assert_int_equal(load->counts[PUBSUB_ACCEPTED], atomic_load(&load->published));
    conf_load_fence(t, load->peer, sub, PUBSUB_EXACTLY_ONCE);
    judge_once(load, sub, "cut");
}

#define BROKEN (CONF_POLLED | CONF_FAULT)

const conf_case conf_faults[] = {
    CONF_CASE(a_broker_restarted_under_load, BROKEN, 0, F(QOS1) | F(DURABLE)),
    CONF_CASE(a_broker_killed_under_load, BROKEN, 0, 0),
    CONF_CASE(a_durable_subscriber_away_during_a_restart, BROKEN, F(DURABLE), F(DURABLE)),
    CONF_CASE(a_connection_cut_many_times, BROKEN, 0, F(QOS1) | F(DURABLE)),
    CONF_CASE(only_the_publisher_is_cut, BROKEN, 0, F(QOS1)),
    CONF_CASE(only_the_subscribers_are_cut, BROKEN, 0, F(DURABLE)),
    CONF_CASE(nothing_comes_twice_where_nothing_breaks, BROKEN, 0, 0),
    CONF_CASE(a_silent_connection_is_found, BROKEN, 0, 0),
    CONF_CASE(a_cut_while_subscribing, BROKEN, 0, 0),
    CONF_CASE(a_broker_that_is_there_later, BROKEN, 0, 0),
    CONF_CASE(an_end_in_time_while_the_broker_is_gone, BROKEN, 0, 0),
    CONF_CASE(without_reconnect_the_client_ends_with_the_reason, BROKEN, 0, 0),
    CONF_CASE(exactly_once_while_the_publisher_is_cut, BROKEN, F(QOS2), F(QOS2)),
    CONF_CASE(exactly_once_while_the_subscriber_is_cut, BROKEN, F(QOS2) | F(DURABLE), F(QOS2)),
    CONF_END};
