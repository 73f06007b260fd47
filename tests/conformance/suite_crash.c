/* SPDX-License-Identifier: MIT */
/* kill -9 of clients: nothing that was confirmed or not acknowledged is lost. */
#include "conformance/suites.h"

#include <signal.h>
#include <stdio.h>

enum { COUNT = 60, TAKEN = 25, HELD = 10, PREFETCH = 20 };

/* Across a crash: everywhere, or in durable subscriptions only, as the note says. */
static bool counts_attempts(const conf *t, const char *form)
{
    const pubsub_cap *cap = &t->caps.features[PUBSUB_FEATURE_ATTEMPTS];
    return cap->support == PUBSUB_NATIVE &&
           (strstr(cap->note, "durable") == NULL || strstr(form, "durable=") != NULL);
}

/* A consumer is killed with messages acked, handed out and prefetched. Everything it did not ack
 * comes again; what it acked, at most once more. */
static void kill_consumer(conf *t, const char *form, bool another_member)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "%s prefetch=%d", form, PREFETCH);
    const char *const arguments[] = {
        t->url, topic, options, conf_text(t, "%d", TAKEN), conf_text(t, "%d", HELD), NULL};
    kit_child *child = conf_child(t, 0, "consume", arguments);
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = NULL;
    size_t total = 0;
    assert_true(kit_child_expect(child, "ready", KIT_PATIENCE));
    conf_publish_many(publisher, topic, "m", COUNT);
    kit_flush(publisher);
    assert_true(kit_child_expect(child, "holding", KIT_PATIENCE));
    if (another_member) {
        sub = kit_subscribe(conf_peer(t), topic, options);
    }
    kit_child_signal(child, SIGKILL);
    assert_int_equal(kit_child_wait(child, KIT_PATIENCE), 128 + SIGKILL);
    if (!another_member) {
        sub = kit_subscribe(conf_peer(t), topic, options);
    }
    for (size_t i = TAKEN - HELD; i < COUNT; i++) {
        KIT_AWAIT(t->net, kit_find(sub, conf_text(t, "m%zu", i)) != NULL);
    }
    (void)conf_union(&sub, 1, "m", COUNT, &total);
    assert_true(total <= COUNT - (TAKEN - HELD) + PREFETCH);
    for (size_t i = TAKEN - HELD; i < TAKEN; i++) {
        const kit_message *message = kit_find(sub, conf_text(t, "m%zu", i));
        assert_true(message->redelivered || message->attempt != 1);
        if (counts_attempts(t, form)) {
            assert_true(message->attempt >= 2);
        }
    }
    assert_int_equal(kit_count_of(sub, "m0"), 0);
}

static void killed_durable_consumer(conf *t)
{
    kill_consumer(t, conf_text(t, "durable=%s", conf_name(t, "d")), false);
}

static void killed_member_with_another_alive(conf *t)
{
    kill_consumer(t, conf_text(t, "group=%s", conf_name(t, "g")), true);
}

static void killed_only_member_of_a_durable_group(conf *t)
{
    const char *name = conf_name(t, "g");
    kill_consumer(t, conf_text(t, "group=%s durable=%s", name, name), false);
}

/* m0, m1, ..., then the fence; where the broker goes on with what it has of a connection that is lost, some of
 * it may come behind the fence. */
static void expect_in_order(conf *t, kit_sub *sub)
{
    const conf_network *network = t->adapter->network;
    bool drains = network != NULL && network->drains;
    size_t count = kit_count(sub);
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        size_t number = conf_number(kit_at(sub, i), "m");
        if (number != SIZE_MAX || (!drains && i + 1 < count)) {
            assert_int_equal(number, next++);
        }
    }
    assert_int_equal(next + 1, count); /* one fence */
}

/* Publishers are killed at any moment: what they were told is stored is there, in order, and nothing
 * is there that was not published. */
static void killed_publishers_lose_nothing_confirmed(conf *t)
{
    enum { ROUNDS = 6 };
    for (size_t round = 0; round < ROUNDS; round++) {
        const char *topic = conf_topic(t, conf_text(t, "r%zu", round));
        const char *const arguments[] = {t->url, topic, "m", NULL};
        kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
        kit_child *child = conf_child(t, 0, "confirm", arguments);
        char line[64];
        size_t stored = 0;
        size_t last = 0;
        while (stored < 20 + round * 37 &&
               kit_child_line(child, line, sizeof(line), KIT_PATIENCE)) {
            assert_int_equal(sscanf(line, "stored %zu", &last), 1);
            stored = last + 1;
        }
        kit_child_signal(child, SIGKILL);
        (void)kit_child_wait(child, KIT_PATIENCE);
        while (kit_child_line(child, line, sizeof(line), 1)) {
            if (sscanf(line, "stored %zu", &last) == 1) {
                stored = last + 1;
            }
        }
        assert_true(stored > 0);
        KIT_AWAIT(t->net, kit_count(sub) >= stored);
        conf_fence(t, sub->peer, topic, sub);
        expect_in_order(t, sub);
    }
}

/* Those who only listen are killed; the others notice nothing. */
static void killed_listeners_disturb_nobody(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *const arguments[] = {t->url, topic, "", "0", NULL};
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, NULL);
    for (size_t round = 0; round < 4; round++) {
        kit_child *child = conf_child(t, 0, "consume", arguments);
        assert_true(kit_child_expect(child, "ready", KIT_PATIENCE));
        conf_publish_many(sub->peer, topic, conf_text(t, "r%zu-", round), 200);
        kit_child_signal(child, SIGKILL);
        (void)kit_child_wait(child, KIT_PATIENCE);
        conf_expect_exactly(t, sub, conf_text(t, "r%zu-", round), 200);
    }
}

const conf_case conf_crash[] = {
    CONF_CASE(killed_durable_consumer, CONF_POLLED | CONF_OUTSIDE, F(DURABLE) | F(ACK),
              F(ACK) | F(DURABLE)),
    CONF_CASE(killed_member_with_another_alive, CONF_POLLED | CONF_OUTSIDE, F(GROUP) | F(ACK),
              F(ACK) | F(GROUP)),
    CONF_CASE(killed_only_member_of_a_durable_group, CONF_POLLED | CONF_OUTSIDE,
              F(DURABLE_GROUP) | F(ACK), F(DURABLE_GROUP)),
    CONF_CASE(killed_publishers_lose_nothing_confirmed, CONF_THREAD | CONF_OUTSIDE, F(QOS1),
              F(QOS1)),
    CONF_CASE(killed_listeners_disturb_nobody, CONF_THREAD | CONF_FANOUT | CONF_OUTSIDE, 0, 0),
    CONF_END};
