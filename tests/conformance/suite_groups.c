/* SPDX-License-Identifier: MIT */
/* Groups share, durable names keep. */
#include "conformance/suites.h"

#include <stdio.h>

enum { MEMBERS = 4 };

static void join(conf *t, kit_sub **members, size_t count, const char *pattern, const char *options)
{
    for (size_t i = 0; i < count; i++) {
        members[i] = kit_subscribe(conf_peer(t), pattern, options);
    }
}

static size_t count_all(kit_sub *const *subs, size_t count)
{
    size_t all = 0;
    for (size_t i = 0; i < count; i++) {
        all += kit_count(subs[i]);
    }
    return all;
}

static void exactly_one_member_gets_each_message(conf *t)
{
    enum { COUNT = 400 };
    const char *topic = conf_topic(t, "a");
    kit_sub *members[MEMBERS];
    size_t total = 0;
    kit_peer *publisher = conf_peer(t);
    join(t, members, MEMBERS, topic, conf_text(t, "group=%s", conf_name(t, "g")));
    conf_publish_many(publisher, topic, "m", COUNT);
    KIT_AWAIT(t->net, conf_union(members, MEMBERS, "m", COUNT, NULL) == COUNT);
    (void)kit_store_text(publisher, topic, "last");
    KIT_AWAIT(t->net, count_all(members, MEMBERS) >= COUNT + 1);
    (void)conf_union(members, MEMBERS, "m", COUNT, &total);
    assert_int_equal(total, COUNT);
    assert_int_equal(count_all(members, MEMBERS), COUNT + 1);
}

static int slow(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)copy;
    (void)message;
    kit_breathe();
    return 0;
}

static void every_member_gets_a_share(conf *t)
{
    enum { COUNT = 200 };
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "group=%s prefetch=5", conf_name(t, "g"));
    kit_sub *members[MEMBERS];
    kit_peer *publisher = conf_peer(t);
    for (size_t i = 0; i < MEMBERS; i++) {
        members[i] = kit_subscribe_with(conf_peer(t), topic, options, slow, NULL);
    }
    conf_publish_many(publisher, topic, "m", COUNT);
    KIT_AWAIT(t->net, conf_union(members, MEMBERS, "m", COUNT, NULL) == COUNT);
    for (size_t i = 0; i < MEMBERS; i++) {
        assert_true(kit_count(members[i]) > 0);
    }
}

static void two_groups_each_get_all(conf *t)
{
    enum { COUNT = 200 };
    const char *topic = conf_topic(t, "a");
    kit_sub *one[2];
    kit_sub *two[3];
    kit_sub *alone = kit_subscribe(conf_peer(t), topic, NULL);
    size_t total = 0;
    kit_peer *publisher = conf_peer(t);
    join(t, one, 2, topic, conf_text(t, "group=%s", conf_name(t, "one")));
    join(t, two, 3, topic, conf_text(t, "group=%s", conf_name(t, "two")));
    conf_publish_many(publisher, topic, "m", COUNT);
    KIT_AWAIT(t->net, conf_union(one, 2, "m", COUNT, NULL) == COUNT);
    KIT_AWAIT(t->net, conf_union(two, 3, "m", COUNT, NULL) == COUNT);
    conf_expect_exactly(t, alone, "m", COUNT);
    (void)conf_union(one, 2, "m", COUNT, &total);
    assert_int_equal(total, COUNT);
    (void)conf_union(two, 3, "m", COUNT, &total);
    assert_int_equal(total, COUNT);
}

static void a_group_over_a_pattern(conf *t)
{
    kit_sub *members[2];
    size_t total = 0;
    kit_peer *publisher = conf_peer(t);
    join(t, members, 2, conf_topic(t, "+/x/#"), conf_text(t, "group=%s", conf_name(t, "g")));
    for (size_t i = 0; i < 100; i++) {
        const char *rest = conf_text(t, "%zu%s", i, i % 2 == 0 ? "/x/deep" : "/y");
        kit_publish(publisher, conf_topic(t, rest), conf_text(t, "m%zu", i));
    }
    KIT_AWAIT(t->net, conf_union(members, 2, "m", 100, NULL) == 50);
    kit_publish(publisher, conf_topic(t, "z/x"), "last");
    KIT_AWAIT(t->net, count_all(members, 2) == 51);
    (void)conf_union(members, 2, "m", 100, &total);
    assert_int_equal(total, 50);
}

static void when_a_member_leaves_the_others_go_on(conf *t)
{
    enum { COUNT = 200 };
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "group=%s prefetch=10", conf_name(t, "g"));
    kit_sub *members[3];
    kit_peer *publisher = conf_peer(t);
    /* The first holds on to what it got, and leaves. */
    members[0] = kit_subscribe(conf_peer(t), topic, conf_text(t, "%s ack=manual", options));
    conf_publish_many(publisher, topic, "m", COUNT);
    KIT_AWAIT(t->net, kit_count(members[0]) == 10);
    join(t, members + 1, 2, topic, options);
    KIT_OK(pubsub_subscription_unsubscribe(members[0]->handle, 0, NULL), NULL);
    KIT_AWAIT(t->net, conf_union(members + 1, 2, "m", COUNT, NULL) == COUNT);
}

static void a_new_member_takes_part(conf *t)
{
    enum { COUNT = 100 };
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "group=%s prefetch=4", conf_name(t, "g"));
    kit_sub *members[2];
    kit_peer *publisher = conf_peer(t);
    members[0] = kit_subscribe(conf_peer(t), topic, conf_text(t, "%s ack=manual", options));
    conf_publish_many(publisher, topic, "m", COUNT);
    KIT_AWAIT(t->net, kit_count(members[0]) == 4);
    members[1] = kit_subscribe(conf_peer(t), topic, options);
    KIT_AWAIT(t->net, conf_union(members, 2, "m", COUNT, NULL) == COUNT);
    assert_int_equal(kit_count(members[1]), COUNT - 4);
}

/* Where a broker cannot see it, the note of the cell has to say so. */
static void members_with_other_patterns_are_refused(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *options = conf_text(t, "group=%s", conf_name(t, "g"));
    pubsub_err result = PUBSUB_OK;
    (void)kit_subscribe(conf_peer(t), conf_topic(t, "a"), options);
    result = kit_try_subscribe(conf_peer(t), conf_topic(t, "b"), options, NULL, &error);
    if (result == PUBSUB_OK) {
        KIT_SAYS(t->caps.features[PUBSUB_FEATURE_GROUP].note, "patterns");
        return;
    }
    assert_int_not_equal(result, PUBSUB_ETIMEDOUT);
    assert_true(error.text[0] != '\0');
}

static void group_members_in_other_processes(conf *t)
{
    enum { COUNT = 300 };
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "group=%s", conf_name(t, "g"));
    const char *const arguments[] = {t->url, topic, options, "0", NULL};
    kit_child *children[2];
    bool seen[COUNT] = {false};
    size_t got = 0;
    kit_sub *mine = NULL;
    kit_peer *publisher = conf_peer(t);
    for (size_t i = 0; i < 2; i++) {
        children[i] = conf_child(t, i, "consume", arguments);
        assert_true(kit_child_expect(children[i], "ready", KIT_PATIENCE));
    }
    mine = kit_subscribe(conf_peer(t), topic, options);
    conf_publish_many(publisher, topic, "m", COUNT);
    kit_flush(publisher);
    for (kit_deadline until = kit_in(KIT_PATIENCE); got + kit_count(mine) < COUNT;) {
        assert_false(kit_over(until));
        kit_turn(t->net);
        for (size_t i = 0; i < 2; i++) {
            char line[64];
            size_t number = COUNT;
            while (kit_child_line(children[i], line, sizeof(line), 1)) {
                assert_int_equal(sscanf(line, "got m%zu 1", &number), 1);
                assert_true(number < COUNT && !seen[number]);
                seen[number] = true;
                got++;
            }
        }
    }
    for (size_t i = 0; i < kit_count(mine); i++) {
        size_t number = conf_number(kit_at(mine, i), "m");
        assert_true(number < COUNT && !seen[number]);
        seen[number] = true;
    }
    assert_int_equal(got + kit_count(mine), COUNT);
}

/* ---- durable ------------------------------------------------------------------------------- */

static void durable_keeps_what_comes_meanwhile(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s", conf_name(t, "d"));
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, options);
    conf_publish_many(publisher, topic, "before", 20);
    conf_expect_exactly(t, sub, "before", 20);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    conf_publish_many(publisher, topic, "m", 100);
    kit_flush(publisher);
    sub = kit_subscribe(conf_peer(t), topic, options);
    conf_expect_exactly(t, sub, "m", 100);
    for (size_t i = 0; i < kit_count(sub); i++) {
        /* What was handled before comes again only where messages cannot be acknowledged. */
        bool again = conf_number(kit_at(sub, i), "before") != SIZE_MAX;
        assert_true(!again || (!conf_offers(t, F(ACK)) && kit_at(sub, i)->redelivered));
    }
}

static void durable_group_keeps_what_comes_meanwhile(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "group=%s durable=%s", conf_name(t, "g"), conf_name(t, "g"));
    kit_sub *members[2];
    size_t total = 0;
    kit_peer *publisher = conf_peer(t);
    join(t, members, 2, topic, options);
    for (size_t i = 0; i < 2; i++) {
        KIT_OK(pubsub_client_end(members[i]->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    }
    conf_publish_many(publisher, topic, "m", 100);
    kit_flush(publisher);
    join(t, members, 2, topic, options);
    KIT_AWAIT(t->net, conf_union(members, 2, "m", 100, NULL) == 100);
    conf_publish_many(publisher, topic, "later", 10);
    KIT_AWAIT(t->net, conf_union(members, 2, "later", 10, NULL) == 10);
    (void)conf_union(members, 2, "m", 100, &total);
    assert_int_equal(total, 100);
}

static void resuming_is_told(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s", conf_name(t, "d"));
    pubsub_grant grant;
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, options);
    KIT_OK(pubsub_subscription_wait(sub->handle, 0, &grant, NULL), NULL);
    assert_false(grant.resumed);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    sub = conf_subscribe_freed(t, conf_peer(t), topic, options);
    KIT_OK(pubsub_subscription_wait(sub->handle, 0, &grant, NULL), NULL);
    assert_true(grant.resumed);
    KIT_AWAIT(t->net, kit_events_of(sub->peer, PUBSUB_EVENT_SUBSCRIBED) >= 1);
    assert_true(kit_event_find(sub->peer, PUBSUB_EVENT_SUBSCRIBED, 0)->resumed);
}

static void a_position_wins_over_from_unless_reset(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *name = conf_name(t, "d");
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = NULL;
    conf_publish_many(publisher, topic, "m", 10);
    kit_flush(publisher);
    sub = kit_subscribe(conf_peer(t), topic, conf_text(t, "durable=%s from=earliest", name));
    conf_expect_exactly(t, sub, "m", 10);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    sub = kit_subscribe(conf_peer(t), topic, conf_text(t, "durable=%s from=earliest", name));
    conf_fence(t, publisher, topic, sub);
    assert_int_equal(kit_count(sub), 1);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    sub = kit_subscribe(conf_peer(t), topic,
                        conf_text(t, "durable=%s from=earliest reset=yes", name));
    conf_expect_exactly(t, sub, "m", 10);
}

/* Where the broker lets the second take over, one of the two loses: it is told, gets nothing more, and
 * its client lives on. (Where the broker tells nobody why, it may be either.) */
static void check_taken_over(conf *t, kit_sub *first, kit_sub *second, const char *topic)
{
    const char *other = conf_topic(t, "other");
    const kit_event *event = NULL;
    kit_sub *winner = second;
    kit_sub *loser = first;
    kit_sub *beside = NULL;
    size_t before = 0;
    KIT_AWAIT(t->net, kit_events_of(first->peer, PUBSUB_EVENT_REFUSED) +
                              kit_events_of(second->peer, PUBSUB_EVENT_REFUSED) >=
                          1);
    if (kit_events_of(second->peer, PUBSUB_EVENT_REFUSED) > 0) {
        winner = first;
        loser = second;
    }
    event = kit_event_find(loser->peer, PUBSUB_EVENT_REFUSED, 0);
    KIT_ERR(PUBSUB_ETAKEN, event->error.code);
    assert_true(event->error.text[0] != '\0');
    before = kit_count(loser);
    conf_fence(t, winner->peer, topic, winner);
    assert_int_equal(kit_count(loser), before);
    beside = kit_subscribe(loser->peer, other, NULL);
    conf_fence(t, loser->peer, other, beside);
    assert_int_equal(kit_events_of(winner->peer, PUBSUB_EVENT_REFUSED), 0);
}

static void a_durable_name_has_one_holder(conf *t)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s", conf_name(t, "d"));
    kit_sub *first = kit_subscribe(conf_peer(t), topic, options);
    kit_sub *second = kit_subscribe_later(conf_peer(t), topic, options, NULL, NULL);
    pubsub_err result =
        pubsub_subscription_wait(second->handle, kit_ms(KIT_PATIENCE), NULL, &error);
    if (result == PUBSUB_OK) {
        check_taken_over(t, first, second, topic);
        return;
    }
    KIT_ERR(PUBSUB_EBUSY, result);
    conf_fence(t, first->peer, topic, first);
    KIT_OK(pubsub_subscription_unsubscribe(first->handle, 0, NULL), NULL);
    (void)conf_subscribe_freed(t, conf_peer(t), topic, options);
}

static void forgetting_ends_what_is_kept(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s", conf_name(t, "d"));
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, options);
    pubsub_grant grant;
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, PUBSUB_UNSUBSCRIBE_FORGET, NULL), NULL);
    kit_flush(sub->peer);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    conf_publish_many(publisher, topic, "m", 10);
    kit_flush(publisher);
    sub = kit_subscribe(conf_peer(t), topic, options);
    KIT_OK(pubsub_subscription_wait(sub->handle, 0, &grant, NULL), NULL);
    assert_false(grant.resumed);
    conf_fence(t, publisher, topic, sub);
    assert_int_equal(kit_count(sub), 1);
}

/* Read a part, close, open again, until all is there. */
static void reading_in_parts_loses_nothing(conf *t)
{
    enum { COUNT = 500, PART = 60 };
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s prefetch=20 from=earliest", conf_name(t, "d"));
    kit_sub *subs[32];
    size_t opened = 0;
    size_t total = 0;
    kit_peer *publisher = conf_peer(t);
    while (opened < 32) {
        kit_sub *sub = kit_subscribe(conf_peer(t), topic, options);
        subs[opened++] = sub;
        if (opened == 1) {
            conf_publish_many(publisher, topic, "m", COUNT);
        }
        KIT_AWAIT(t->net,
                  kit_count(sub) >= PART || conf_union(subs, opened, "m", COUNT, NULL) == COUNT);
        KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        if (conf_union(subs, opened, "m", COUNT, &total) == COUNT) {
            break;
        }
    }
    assert_int_equal(conf_union(subs, opened, "m", COUNT, &total), COUNT);
    assert_int_equal(total, COUNT);
}

const conf_case conf_groups[] = {
    CONF_CASE(exactly_one_member_gets_each_message, CONF_ALL, F(GROUP), F(GROUP)),
    CONF_CASE(every_member_gets_a_share, CONF_ALL, F(GROUP), F(GROUP)),
    CONF_CASE(two_groups_each_get_all, CONF_ALL | CONF_FANOUT, F(GROUP), F(GROUP)),
    CONF_CASE(a_group_over_a_pattern, CONF_ALL, F(GROUP) | F(PATTERNS), F(GROUP)),
    CONF_CASE(when_a_member_leaves_the_others_go_on, CONF_ALL, F(GROUP) | F(ACK), F(GROUP)),
    CONF_CASE(a_new_member_takes_part, CONF_ALL, F(GROUP) | F(ACK), F(GROUP)),
    CONF_CASE(members_with_other_patterns_are_refused, CONF_ALL, F(GROUP), F(GROUP)),
    CONF_CASE(group_members_in_other_processes, CONF_POLLED | CONF_OUTSIDE, F(GROUP), F(GROUP)),
    CONF_CASE(durable_keeps_what_comes_meanwhile, CONF_ALL, F(DURABLE), F(DURABLE)),
    CONF_CASE(durable_group_keeps_what_comes_meanwhile, CONF_ALL, F(DURABLE_GROUP),
              F(DURABLE_GROUP)),
    CONF_CASE(resuming_is_told, CONF_ALL, F(DURABLE), F(DURABLE)),
    CONF_CASE(a_position_wins_over_from_unless_reset, CONF_ALL, F(DURABLE) | F(FROM_EARLIEST),
              F(DURABLE)),
    CONF_CASE(a_durable_name_has_one_holder, CONF_ALL, F(DURABLE), F(DURABLE)),
    CONF_CASE(forgetting_ends_what_is_kept, CONF_ALL, F(DURABLE), F(DURABLE)),
    CONF_CASE(reading_in_parts_loses_nothing, CONF_ALL, F(DURABLE) | F(ACK) | F(FROM_EARLIEST),
              F(DURABLE)),
    CONF_END};
