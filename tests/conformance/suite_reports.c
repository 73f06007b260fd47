/* SPDX-License-Identifier: MIT */
/* What became of each publish: delivery reports, receipts, counters. */
#include "conformance/suites.h"

#include <stdio.h>

static pubsub_confirm best_confirm(const conf *t)
{
    return (pubsub_confirm)t->caps.confirm;
}

static void one_report_each_in_order_with_its_token(conf *t)
{
    enum { COUNT = 500 };
    static char tokens[COUNT];
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < COUNT; i++) {
        pubsub_publication pub = kit_publication(topic, "x");
        pub.token = &tokens[i];
        kit_send(peer, &pub);
    }
    KIT_AWAIT(t->net, kit_list_count(&peer->reports) >= COUNT);
    kit_flush(peer);
    kit_turn(t->net);
    assert_int_equal(kit_list_count(&peer->reports), COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const kit_report *got = kit_list_at(&peer->reports, i);
        assert_ptr_equal(got->report.token, &tokens[i]);
        assert_int_equal(got->report.outcome, PUBSUB_ACCEPTED);
        assert_null(got->report.error);
    }
}

static void report_says_qos_and_confirmation(conf *t)
{
    static const pubsub_qos asked[] = {PUBSUB_AT_MOST_ONCE, PUBSUB_AT_LEAST_ONCE, PUBSUB_QOS_UNSET};
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < 3; i++) {
        pubsub_publication pub = kit_publication(topic, "x");
        const kit_report *got = NULL;
        pub.qos = asked[i];
        kit_send(peer, &pub);
        KIT_AWAIT(t->net, kit_list_count(&peer->reports) == i + 1);
        got = kit_list_at(&peer->reports, i);
        assert_int_equal(got->report.qos, i == 0 ? PUBSUB_AT_MOST_ONCE : PUBSUB_AT_LEAST_ONCE);
        if (i > 0) {
            assert_true(got->report.confirm >= PUBSUB_CONFIRM_RECEIVED);
            assert_true(got->report.confirm <= best_confirm(t));
        }
    }
}

static void no_report_where_none_is_wanted(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    pubsub_publication pub = kit_publication(topic, "quiet");
    pub.flags = PUBSUB_PUBLISH_NO_REPORT;
    kit_send(peer, &pub);
    (void)kit_store_text(peer, topic, "waited for");
    kit_publish(peer, topic, "told");
    KIT_AWAIT(t->net, kit_list_count(&peer->reports) >= 1);
    kit_flush(peer);
    kit_turn(t->net);
    assert_int_equal(kit_list_count(&peer->reports), 1);
}

static void publish_wait_brings_a_receipt(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    pubsub_publication pub = kit_publication(topic, "x");
    pubsub_receipt receipt = kit_store(peer, &pub);
    char text[PUBSUB_POSITION_TEXT_MAX];
    assert_true(receipt.confirm <= best_confirm(t));
    if (conf_offers(t, F(QOS1))) {
        assert_int_equal(receipt.qos, PUBSUB_AT_LEAST_ONCE);
        assert_true(receipt.confirm >= PUBSUB_CONFIRM_RECEIVED);
    }
    if (conf_offers(t, F(FROM_POSITION)) && !t->adapter->blind_receipts) {
        size_t len = pubsub_position_text(&receipt.position, text, sizeof(text));
        assert_true(len > 0 && len < sizeof(text));
        assert_int_equal(strlen(text), len);
    }
    assert_int_equal(kit_list_count(&peer->reports), 0);
}

static void receipt_position_is_the_messages(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    char sent[PUBSUB_POSITION_TEXT_MAX];
    char got[PUBSUB_POSITION_TEXT_MAX];
    if (t->adapter->blind_receipts) {
        conf_skip(t, "a confirmation does not tell the position");
    }
    for (size_t i = 0; i < 5; i++) {
        pubsub_receipt receipt = kit_store_text(peer, topic, "x");
        KIT_AWAIT(t->net, kit_count(sub) == i + 1);
        (void)pubsub_position_text(&receipt.position, sent, sizeof(sent));
        (void)pubsub_position_text(&kit_at(sub, i)->position, got, sizeof(got));
        assert_string_equal(sent, got);
    }
}

static void flush_waits_for_every_outcome(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    conf_publish_many(peer, topic, "m", 2000);
    kit_flush(peer);
    assert_int_equal(kit_stats(peer).accepted, 2000);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 0);
    kit_flush(peer);
}

static void flush_of_nothing_is_fine(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = conf_peer(t);
    KIT_OK(pubsub_client_flush(peer->client, 1000, &error), &error);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 0);
}

static void works_without_a_report_handler(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = kit_peer_plain(t->net, t->url, NULL);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    conf_publish_many(peer, topic, "m", 100);
    kit_flush(peer);
    conf_expect_exactly(t, sub, "m", 100);
    assert_int_equal(kit_stats(peer).accepted, 100);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_ERROR), 0);
}

static void counters_add_up(conf *t)
{
    enum { COUNT = 300 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe(peer, topic, NULL);
    pubsub_stats stats;
    pubsub_stats later;
    conf_publish_many(peer, topic, "1234567-", COUNT);
    kit_flush(peer);
    conf_expect_exactly(t, sub, "1234567-", COUNT);
    KIT_AWAIT(t->net, kit_list_count(&peer->reports) == COUNT);
    kit_flush(peer);
    stats = kit_stats(peer);
    assert_int_equal(stats.published, COUNT);
    assert_int_equal(stats.published_bytes, 8 * COUNT + 10 + 2 * 90 + 3 * 200);
    assert_int_equal(stats.accepted, COUNT);
    assert_int_equal(
        stats.accepted + stats.rejected + stats.not_sent + stats.unknown + stats.dropped, COUNT);
    assert_int_equal(stats.received, COUNT);
    assert_int_equal(stats.received_bytes, stats.published_bytes);
    if (conf_offers(t, F(ACK))) {
        assert_int_equal(stats.acked, COUNT);
    }
    assert_int_equal(stats.nacked + stats.redelivered + stats.dead_lettered, 0);
    assert_int_equal(stats.queued + stats.queued_bytes + stats.ready + stats.unsettled, 0);
    assert_int_equal(stats.gaps + stats.overflowed + stats.disconnects, 0);
    assert_true(stats.connects >= 1);
    (void)pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL);
    later = kit_stats(peer);
    assert_int_equal(later.published, stats.published);
    assert_int_equal(later.received, stats.received);
    later.size = 0;
    KIT_ERR(PUBSUB_EINVAL, pubsub_client_stats(peer->client, &later));
}

const conf_case conf_reports[] = {
    CONF_CASE(one_report_each_in_order_with_its_token, CONF_ALL, F(QOS1), F(QOS1)),
    CONF_CASE(report_says_qos_and_confirmation, CONF_ALL, F(QOS0) | F(QOS1), F(QOS0) | F(QOS1)),
    CONF_CASE(no_report_where_none_is_wanted, CONF_ALL, 0, 0),
    CONF_CASE(publish_wait_brings_a_receipt, CONF_ALL, 0, 0),
    CONF_CASE(receipt_position_is_the_messages, CONF_ALL, F(FROM_POSITION), 0),
    CONF_CASE(flush_waits_for_every_outcome, CONF_ALL, 0, 0),
    CONF_CASE(flush_of_nothing_is_fine, CONF_ALL, 0, 0),
    CONF_CASE(works_without_a_report_handler, CONF_ALL, 0, 0),
    CONF_CASE(counters_add_up, CONF_ALL, 0, 0),
    CONF_END};
