/* SPDX-License-Identifier: MIT */
/* qos 2: exactly once, on an undisturbed connection; suite_faults.c disturbs it. */
#include "conformance/suites.h"

#include <stdio.h>

static void send_at(kit_peer *peer, const char *topic, const char *payload, pubsub_qos qos)
{
    pubsub_publication pub = kit_publication(topic, payload);
    pub.qos = qos;
    kit_send(peer, &pub);
}

static void exactly_once_arrives_once_and_says_so(conf *t)
{
    enum { COUNT = 300 };
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, "qos=2");
    pubsub_grant grant;
    KIT_OK(pubsub_subscription_wait(sub->handle, 0, &grant, NULL), NULL);
    assert_int_equal(grant.qos, PUBSUB_EXACTLY_ONCE);
    for (size_t i = 0; i < COUNT; i++) {
        send_at(publisher, topic, conf_text(t, "m%zu", i), PUBSUB_EXACTLY_ONCE);
    }
    conf_expect_exactly(t, sub, "m", COUNT);
    KIT_AWAIT(t->net, kit_list_count(&publisher->reports) == COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        const kit_report *got = kit_list_at(&publisher->reports, i);
        assert_int_equal(got->report.outcome, PUBSUB_ACCEPTED);
        assert_int_equal(got->report.qos, PUBSUB_EXACTLY_ONCE);
        assert_int_equal(kit_at(sub, i)->qos, PUBSUB_EXACTLY_ONCE);
        assert_false(kit_at(sub, i)->redelivered);
    }
}

/* A message comes with the weaker of what its publisher and its subscriber asked for. */
static void the_weaker_qos_counts(conf *t)
{
    static const pubsub_qos qos[] = {PUBSUB_AT_MOST_ONCE, PUBSUB_AT_LEAST_ONCE,
                                     PUBSUB_EXACTLY_ONCE};
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    kit_sub *subs[3];
    for (size_t i = 0; i < 3; i++) {
        subs[i] = kit_subscribe(conf_peer(t), topic, conf_text(t, "qos=%zu", i));
    }
    for (size_t i = 0; i < 3; i++) {
        send_at(publisher, topic, conf_text(t, "m%zu", i), qos[i]);
    }
    for (size_t s = 0; s < 3; s++) {
        for (size_t i = 0; i < 3; i++) {
            const char *text = conf_text(t, "m%zu", i);
            KIT_AWAIT(t->net, kit_find(subs[s], text) != NULL);
            assert_int_equal(kit_find(subs[s], text)->qos, i < s ? i : s);
        }
    }
}

static void qos_of_all_kinds_mixed_on_one_topic(conf *t)
{
    enum { COUNT = 300 };
    const char *topic = conf_topic(t, "a");
    kit_peer *publisher = conf_peer(t);
    kit_sub *sub = kit_subscribe(conf_peer(t), topic, "qos=2");
    for (size_t i = 0; i < COUNT; i++) {
        send_at(publisher, topic, conf_text(t, "m%zu", i), (pubsub_qos)(i % 3));
    }
    for (size_t i = 0; i < COUNT; i++) {
        KIT_AWAIT(t->net, kit_find(sub, conf_text(t, "m%zu", i)) != NULL);
    }
    kit_flush(publisher);
    assert_int_equal(kit_count(sub), COUNT);
}

const conf_case conf_once[] = {
    CONF_CASE(exactly_once_arrives_once_and_says_so, CONF_ALL, F(QOS2), F(QOS2)),
    CONF_CASE(the_weaker_qos_counts, CONF_ALL, F(QOS0) | F(QOS1) | F(QOS2), F(QOS2)),
    CONF_CASE(qos_of_all_kinds_mixed_on_one_topic, CONF_ALL, F(QOS0) | F(QOS1) | F(QOS2), F(QOS2)),
    CONF_END};
