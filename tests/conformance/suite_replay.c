/* SPDX-License-Identifier: MIT */
/* Beginning elsewhere than now: from the first message, a time, a position. */
#include "conformance/suites.h"

#include <stdio.h>

static const char *position_option(conf *t, const pubsub_position *position)
{
    char text[PUBSUB_POSITION_TEXT_MAX];
    size_t len = pubsub_position_text(position, text, sizeof(text));
    assert_true(len > 0 && len < sizeof(text));
    return conf_text(t, "from=%s", text);
}

static void every_late_subscriber_gets_the_history(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < 4; i++) {
        kit_sub *sub = NULL;
        (void)kit_store_text(peer, topic, conf_text(t, "m%zu", i));
        sub = kit_subscribe(conf_peer(t), topic, "from=earliest");
        conf_expect_exactly(t, sub, "m", i + 1);
    }
}

static void history_and_stream_join_without_a_seam(conf *t)
{
    enum { COUNT = 3000 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    conf_publish_many(peer, topic, "m", COUNT / 2);
    sub = kit_subscribe_later(conf_peer(t), topic, "from=earliest prefetch=100", NULL, NULL);
    for (size_t i = COUNT / 2; i < COUNT; i++) {
        kit_publish(peer, topic, conf_text(t, "m%zu", i));
    }
    conf_expect_exactly(t, sub, "m", COUNT);
}

static void history_over_a_pattern(conf *t)
{
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    for (size_t i = 0; i < 60; i++) {
        (void)kit_store_text(peer, conf_topic(t, conf_text(t, "%s/%zu", i % 2 ? "b" : "a", i % 3)),
                             conf_text(t, "m%zu", i));
    }
    sub = kit_subscribe(conf_peer(t), conf_topic(t, "a/#"), "from=earliest");
    conf_fence(t, peer, conf_topic(t, "a/fence"), sub);
    assert_int_equal(kit_count(sub), 31);
    for (size_t i = 0; i < 30; i++) {
        assert_non_null(kit_find(sub, conf_text(t, "m%zu", 2 * i)));
    }
}

static void stopping_at_one_and_going_on_behind_it(conf *t)
{
    enum { COUNT = 200 };
    static const size_t stops[] = {0, 1, 57, 58, 198};
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *all = kit_subscribe(peer, topic, NULL);
    conf_publish_many(peer, topic, "m", COUNT);
    conf_expect_exactly(t, all, "m", COUNT);
    for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++) {
        kit_sub *sub = kit_subscribe(conf_peer(t), topic,
                                     position_option(t, &kit_at(all, stops[i])->position));
        KIT_AWAIT(t->net, kit_find(sub, conf_text(t, "m%d", COUNT - 1)) != NULL);
        assert_int_equal(kit_count(sub), COUNT - 1 - stops[i]);
        assert_true(kit_is(kit_at(sub, 0)->payload, conf_text(t, "m%zu", stops[i] + 1)));
    }
}

static void going_on_behind_the_last_one(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    pubsub_receipt receipt;
    kit_sub *sub = NULL;
    conf_publish_many(peer, topic, "old", 10);
    receipt = kit_store_text(peer, topic, "end");
    if (t->adapter->blind_receipts) {
        assert_null(receipt.position.adapter);
        conf_skip(t, "a confirmation does not tell the position");
    }
    conf_publish_many(peer, topic, "m", 10);
    sub = kit_subscribe(conf_peer(t), topic, position_option(t, &receipt.position));
    conf_expect_exactly(t, sub, "m", 10);
    assert_int_equal(kit_count(sub), 10);
}

static void bad_positions_are_refused(conf *t)
{
    static const char *const bad[] = {
        "e", "e1", "e1-", "-", "e-1-5", "e1-5x", "99999999999999999", "e99999999999999999999-1"};
    kit_peer *peer = conf_peer(t);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        pubsub_error error = PUBSUB_ERROR_INIT;
        pubsub_err result = kit_try_subscribe(peer, conf_topic(t, "a"),
                                              conf_text(t, "from=%s", bad[i]), NULL, &error);
        assert_int_not_equal(result, PUBSUB_OK);
        assert_int_not_equal(result, PUBSUB_ETIMEDOUT);
        assert_true(error.text[0] != '\0');
    }
}

/* Such a text cannot be read, so what is refused is the option; the adapter is named. */
static void positions_are_refused_where_there_are_none(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_err result = PUBSUB_OK;
    if (conf_offers(t, F(FROM_POSITION))) {
        conf_skip(t, "there are positions");
    }
    result = kit_try_subscribe(conf_peer(t), conf_topic(t, "a"), "from=e1-5", NULL, &error);
    assert_true(result == PUBSUB_EOPTION || result == PUBSUB_ENOTSUP);
    KIT_SAYS(error.text, t->adapter->name);
    conf_proves(t, F(FROM_POSITION));
}

static void from_a_time(conf *t)
{
    const char *topic = conf_topic(t, "a");
    uint64_t middle = 0;
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = NULL;
    conf_publish_many(peer, topic, "old", 20);
    kit_flush(peer);
    middle = kit_wall() + UINT64_C(30000000);
    KIT_AWAIT(t->net, kit_wall() > middle + UINT64_C(30000000));
    conf_publish_many(peer, topic, "m", 20);
    kit_flush(peer);
    sub = kit_subscribe(conf_peer(t), topic,
                        conf_text(t, "from=@%llu.%03llu", (unsigned long long)(middle / 1000000000),
                                  (unsigned long long)(middle / 1000000 % 1000)));
    conf_expect_exactly(t, sub, "m", 20);
    assert_true(kit_count(sub) == 20 || (t->adapter->from_block && kit_count(sub) <= 40));
    sub = kit_subscribe(conf_peer(t), topic, "from=-1h");
    conf_expect_exactly(t, sub, "old", 20);
    conf_expect_exactly(t, sub, "m", 20);
    sub = kit_subscribe(conf_peer(t), topic, "from=2020-01-01T00:00:00Z");
    conf_expect_exactly(t, sub, "old", 20);
}

const conf_case conf_replay[] = {
    CONF_CASE(every_late_subscriber_gets_the_history, CONF_ALL, F(FROM_EARLIEST), F(FROM_EARLIEST)),
    CONF_CASE(history_and_stream_join_without_a_seam, CONF_ALL | CONF_LOAD, F(FROM_EARLIEST),
              F(FROM_EARLIEST)),
    CONF_CASE(history_over_a_pattern, CONF_ALL, F(FROM_EARLIEST) | F(PATTERNS), F(FROM_EARLIEST)),
    CONF_CASE(stopping_at_one_and_going_on_behind_it, CONF_ALL, F(FROM_POSITION), F(FROM_POSITION)),
    CONF_CASE(going_on_behind_the_last_one, CONF_ALL, F(FROM_POSITION), F(FROM_POSITION)),
    CONF_CASE(bad_positions_are_refused, CONF_POLLED, F(FROM_POSITION), 0),
    CONF_CASE(positions_are_refused_where_there_are_none, CONF_THREAD, 0, 0),
    CONF_CASE(from_a_time, CONF_ALL, F(FROM_TIME), F(FROM_TIME)),
    CONF_END};
