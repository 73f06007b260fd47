/* SPDX-License-Identifier: MIT */
/* A message is dealt with when its handler succeeded: ack, nack, delay, attempts, dead letters. */
#include "conformance/suites.h"

#include <pthread.h>
#include <stdio.h>

#define MS UINT64_C(1000000)

enum { KINDS = 4 };

/* The ways of holding messages, as options; NULL where this broker has it not. */
static const char *hold_by(conf *t, size_t kind, const char *more)
{
    static const uint64_t needs[KINDS] = {0, F(DURABLE), F(GROUP), F(DURABLE_GROUP)};
    const char *name = conf_name(t, conf_text(t, "k%zu", kind));
    const char *forms[KINDS] = {"", conf_text(t, "durable=%s ", name),
                                conf_text(t, "group=%s ", name),
                                conf_text(t, "group=%s durable=%s ", name, name)};
    return conf_offers(t, needs[kind]) ? conf_text(t, "%s%s", forms[kind], more) : NULL;
}

/* ---- redelivery ---------------------------------------------------------------------------- */

static int refuse_first_attempt_of_some(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    size_t number = conf_number(copy, "m");
    return copy->attempt == 1 && number != SIZE_MAX && number % 5 == 0 ? 1 : 0;
}

static void check_redelivered(kit_sub *sub, const char *payload, uint64_t delay_ns)
{
    const kit_message *first = NULL;
    size_t seen = 0;
    for (size_t i = 0; i < kit_count(sub); i++) {
        const kit_message *message = kit_at(sub, i);
        if (kit_is(message->payload, payload)) {
            seen++;
            if (first == NULL) {
                first = message;
                assert_int_equal(message->attempt, 1);
                assert_false(message->redelivered);
            } else {
                assert_int_equal(message->attempt, 2);
                assert_true(message->redelivered);
                assert_true(message->at_ns >= first->at_ns + delay_ns);
                assert_true(kit_same(message->topic, first->topic));
                assert_true(kit_is(kit_header(message, "h"), "v"));
            }
        }
    }
    assert_int_equal(seen, 2);
}

static void refused_messages_come_again(conf *t)
{
    enum { COUNT = 20 };
    kit_peer *publisher = conf_peer(t);
    const pubsub_header header = {pubsub_bytes_of("h"), pubsub_bytes_of("v")};
    for (size_t kind = 0; kind < KINDS; kind++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", kind));
        const char *options = hold_by(t, kind, "nack_delay=100ms");
        kit_sub *sub = NULL;
        if (options == NULL) {
            continue;
        }
        sub = kit_subscribe_with(conf_peer(t), topic, options, refuse_first_attempt_of_some, NULL);
        for (size_t i = 0; i < COUNT; i++) {
            pubsub_publication pub = kit_publication(topic, conf_text(t, "m%zu", i));
            pub.headers = &header;
            pub.header_count = conf_offers(t, F(HEADERS)) ? 1 : 0;
            kit_send(publisher, &pub);
        }
        KIT_AWAIT(t->net, kit_count(sub) >= COUNT + COUNT / 5);
        conf_fence(t, publisher, topic, sub);
        assert_int_equal(kit_count(sub), COUNT + COUNT / 5 + 1);
        for (size_t i = 0; i < COUNT; i += 5) {
            check_redelivered(sub, conf_text(t, "m%zu", i), 100 * MS);
        }
        assert_int_equal(kit_stats(sub->peer).nacked, COUNT / 5);
        assert_int_equal(kit_stats(sub->peer).redelivered, COUNT / 5);
    }
}

/* Long enough for fifty messages to be published meanwhile. */
enum { LATER = 500 };

/* Refuse the first one, by a call and by the result: with ack=auto only the result counts, with
 * ack=manual only the call. */
static int refuse_for_long(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    bool refused = copy->attempt == 1 && conf_number(copy, "m") == 0;
    (void)sub;
    if (refused) {
        (void)pubsub_message_nack(message, LATER, "not now");
    } else {
        (void)pubsub_message_ack(message);
    }
    return refused ? 1 : 0;
}

static void check_others_go_on(conf *t, const char *how)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", kind));
        const char *options = hold_by(t, kind, how);
        kit_sub *sub = NULL;
        if (options == NULL) {
            continue;
        }
        sub = kit_subscribe_with(conf_peer(t), topic, options, refuse_for_long, NULL);
        conf_publish_many(sub->peer, topic, "m", 50);
        KIT_AWAIT(t->net, kit_count(sub) == 51);
        assert_true(kit_is(kit_at(sub, 50)->payload, "m0"));
        assert_true(kit_at(sub, 50)->at_ns >= kit_at(sub, 0)->at_ns + LATER * MS);
        assert_true(kit_at(sub, 49)->at_ns < kit_at(sub, 50)->at_ns);
    }
}

static void a_refused_message_does_not_hold_up_the_others(conf *t)
{
    check_others_go_on(t, conf_text(t, "nack_delay=%dms", LATER));
}

static void a_nack_has_its_own_delay(conf *t)
{
    check_others_go_on(t, "ack=manual nack_delay=10s");
}

static int refuse_until_fifth(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    return copy->attempt < 5 ? 1 : 0;
}

static void attempts_count_up(conf *t)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", kind));
        const char *options = hold_by(t, kind, "nack_delay=5ms max_attempts=0");
        kit_sub *sub = NULL;
        if (options == NULL) {
            continue;
        }
        sub = kit_subscribe_with(conf_peer(t), topic, options, refuse_until_fifth, NULL);
        kit_publish(sub->peer, topic, "x");
        KIT_AWAIT(t->net, kit_count(sub) >= 5);
        for (uint32_t i = 0; i < 5; i++) {
            assert_int_equal(kit_at(sub, i)->attempt, i + 1);
            assert_int_equal(kit_at(sub, i)->redelivered, i > 0);
        }
        assert_int_equal(kit_stats(sub->peer).dead_lettered, 0);
    }
}

/* ---- dead letters -------------------------------------------------------------------------- */

/* A reason can be given where messages are settled by calls; else a handler only fails. */
static const char *refusing(const conf *t)
{
    return conf_offers(t, F(ACK)) ? "ack=manual max_attempts=3" : "nack_delay=5ms max_attempts=3";
}

static const char *reason_given(const conf *t)
{
    return conf_offers(t, F(ACK)) ? "cannot be parsed" : "refused by its handler";
}

static int refuse_bad_ones(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    bool bad = kit_is(copy->payload, "bad");
    (void)sub;
    if (bad) {
        (void)pubsub_message_nack(message, 5, "cannot be parsed");
    } else {
        (void)pubsub_message_ack(message);
    }
    return bad ? 1 : 0;
}

static void check_dead_letter(const conf *t, const kit_message *dead, const char *topic,
                              const char *holder)
{
    assert_true(kit_is(dead->payload, "bad"));
    assert_true(kit_is(kit_header(dead, "h"), "v"));
    assert_true(kit_is(kit_header(dead, "pubsub-dead-topic"), topic));
    assert_true(kit_is(kit_header(dead, "pubsub-dead-reason"), reason_given(t)));
    assert_true(kit_is(kit_header(dead, "pubsub-dead-attempts"), "3"));
    assert_true(holder == NULL || kit_is(kit_header(dead, "pubsub-dead-group"), holder));
    assert_true(kit_header(dead, "pubsub-dead-time-ns").len > 0);
}

static void publish_bad_one(conf *t, kit_peer *peer, const char *topic)
{
    const pubsub_header header = {pubsub_bytes_of("h"), pubsub_bytes_of("v")};
    pubsub_publication pub = kit_publication(topic, "bad");
    (void)t;
    pub.headers = &header;
    pub.header_count = 1;
    (void)kit_store(peer, &pub);
}

static void after_the_last_attempt_to_the_dead_letter_topic(conf *t)
{
    for (size_t kind = 1; kind < KINDS; kind++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", kind));
        const char *options = hold_by(t, kind, refusing(t));
        const char *holder = conf_name(t, conf_text(t, "k%zu", kind));
        kit_sub *sub = NULL;
        kit_sub *dead = NULL;
        if (options == NULL) {
            continue;
        }
        dead = kit_subscribe(conf_peer(t), conf_text(t, "$dead/%s/%s", holder, topic), NULL);
        sub = kit_subscribe_with(conf_peer(t), topic, options, refuse_bad_ones, NULL);
        publish_bad_one(t, sub->peer, topic);
        conf_publish_many(sub->peer, topic, "m", 10);
        KIT_AWAIT(t->net, kit_count(dead) == 1 && kit_stats(sub->peer).dead_lettered == 1);
        check_dead_letter(t, kit_at(dead, 0), topic, holder);
        conf_fence(t, sub->peer, topic, sub);
        assert_int_equal(kit_count_of(sub, "bad"), 3);
        assert_int_equal(kit_count(sub), 14);
        assert_int_equal(kit_count(dead), 1);
        assert_int_equal(kit_list_count(&sub->peer->reports), 10);
    }
}

static void to_a_dead_letter_topic_of_ones_own(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *grave = conf_topic(t, "grave");
    kit_sub *dead = kit_subscribe(conf_peer(t), grave, NULL);
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic,
                                      conf_text(t, "%s dead_letter=%s", refusing(t), grave),
                                      refuse_bad_ones, NULL);
    publish_bad_one(t, sub->peer, topic);
    KIT_AWAIT(t->net, kit_count(dead) == 1);
    check_dead_letter(t, kit_at(dead, 0), topic, NULL);
    conf_fence(t, sub->peer, topic, sub);
    assert_int_equal(kit_count_of(sub, "bad"), 3);
}

static void without_a_dead_letter_topic_it_is_dropped_and_told(conf *t)
{
    const char *topic = conf_topic(t, "a");
    kit_sub *sub =
        kit_subscribe_with(conf_peer(t), topic, conf_text(t, "%s dead_letter=none", refusing(t)),
                           refuse_bad_ones, NULL);
    publish_bad_one(t, sub->peer, topic);
    KIT_AWAIT(t->net, kit_events_of(sub->peer, PUBSUB_EVENT_ERROR) == 1);
    KIT_ERR(PUBSUB_EREJECTED, kit_event_find(sub->peer, PUBSUB_EVENT_ERROR, 0)->error.code);
    KIT_SAYS(kit_event_find(sub->peer, PUBSUB_EVENT_ERROR, 0)->error.text, reason_given(t));
    conf_fence(t, sub->peer, topic, sub);
    assert_int_equal(kit_count_of(sub, "bad"), 3);
    assert_int_equal(kit_stats(sub->peer).dead_lettered, 0);
}

static int refuse_always(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    return kit_is(copy->payload, "bad") ? 1 : 0;
}

static void a_dead_letter_is_never_dead_lettered_again(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *grave = conf_topic(t, "grave");
    const char *second = conf_topic(t, "second");
    kit_sub *never = kit_subscribe(conf_peer(t), second, NULL);
    kit_sub *dead = kit_subscribe_with(
        conf_peer(t), grave, conf_text(t, "nack_delay=5ms max_attempts=2 dead_letter=%s", second),
        refuse_always, NULL);
    kit_sub *sub = kit_subscribe_with(
        conf_peer(t), topic, conf_text(t, "nack_delay=5ms max_attempts=2 dead_letter=%s", grave),
        refuse_always, NULL);
    publish_bad_one(t, sub->peer, topic);
    KIT_AWAIT(t->net, kit_count_of(dead, "bad") >= 6);
    conf_fence(t, sub->peer, second, never);
    assert_int_equal(kit_count(never), 1);
    assert_int_equal(kit_stats(dead->peer).dead_lettered, 0);
}

/* ---- settling ------------------------------------------------------------------------------ */

typedef struct settled {
    pubsub_err first, second, nack;
} settled;

static int ack_twice(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    settled *results = sub->ctx;
    (void)copy;
    results->first = pubsub_message_ack(message);
    results->second = pubsub_message_ack(message);
    results->nack = pubsub_message_nack(message, 0, NULL);
    return 1; /* does not count with ack=manual */
}

static void settling_twice_is_an_error(conf *t)
{
    const char *topic = conf_topic(t, "a");
    settled results = {PUBSUB_EINTERNAL, PUBSUB_OK, PUBSUB_OK};
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic, "ack=manual", ack_twice, &results);
    conf_fence(t, sub->peer, topic, sub);
    KIT_ERR(PUBSUB_OK, results.first);
    KIT_ERR(PUBSUB_ESTATE, results.second);
    KIT_ERR(PUBSUB_ESTATE, results.nack);
    conf_fence(t, sub->peer, topic, sub);
    assert_int_equal(kit_count(sub), 2);
}

static void settling_what_is_settled_by_itself_is_an_error(conf *t)
{
    const char *topic = conf_topic(t, "a");
    settled results = {PUBSUB_OK, PUBSUB_OK, PUBSUB_OK};
    kit_sub *sub = kit_subscribe_with(conf_peer(t), topic, "nack_delay=1ms", ack_twice, &results);
    kit_publish(sub->peer, topic, "x");
    KIT_AWAIT(t->net, kit_count(sub) >= 2);
    KIT_ERR(PUBSUB_ESTATE, results.first);
    KIT_ERR(PUBSUB_ESTATE, results.second);
    KIT_ERR(PUBSUB_ESTATE, results.nack);
}

typedef struct late {
    kit_sub *sub;
    size_t count;
    pubsub_err result;
} late;

static void *ack_all_later(void *ctx)
{
    late *me = ctx;
    for (size_t i = 0; i < me->count; i++) {
        kit_message *copy = kit_list_at(&me->sub->inbox, i);
        pubsub_err result = pubsub_message_ack(copy->ref);
        me->result = me->result == PUBSUB_OK ? result : me->result;
    }
    return NULL;
}

static void acks_from_another_thread_later(conf *t)
{
    enum { COUNT = 50 };
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s ack=manual prefetch=50", conf_name(t, "d"));
    pthread_t thread;
    late me = {NULL, COUNT, PUBSUB_OK};
    kit_sub *sub = kit_subscribe_later(conf_peer(t), topic, options, NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    conf_publish_many(sub->peer, topic, "m", COUNT);
    KIT_AWAIT(t->net, kit_count(sub) == COUNT);
    assert_int_equal(kit_stats(sub->peer).unsettled, COUNT);
    me.sub = sub;
    assert_int_equal(pthread_create(&thread, NULL, ack_all_later, &me), 0);
    (void)pthread_join(thread, NULL);
    KIT_ERR(PUBSUB_OK, me.result);
    kit_flush(sub->peer);
    assert_int_equal(kit_stats(sub->peer).unsettled, 0);
    KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    sub = kit_subscribe(conf_peer(t), topic, options);
    conf_fence(t, sub->peer, topic, sub);
    assert_int_equal(kit_count(sub), 1);
}

static void ack_batch_passes_over_what_is_settled(conf *t)
{
    enum { COUNT = 30 };
    const char *topic = conf_topic(t, "a");
    kit_sub *sub = kit_pull(conf_peer(t), topic, "ack=manual");
    pubsub_message *batch[COUNT];
    size_t have = 0;
    conf_publish_many(sub->peer, topic, "m", COUNT);
    while (have < COUNT) {
        size_t count = 0;
        KIT_OK(pubsub_subscription_next_batch(sub->handle, kit_ms(KIT_PATIENCE), batch + have,
                                              COUNT - have, &count, NULL),
               NULL);
        have += count;
    }
    assert_int_equal(kit_stats(sub->peer).unsettled, COUNT);
    KIT_OK(pubsub_message_ack(batch[3]), NULL);
    KIT_OK(pubsub_message_ack_batch(batch, COUNT), NULL);
    KIT_ERR(PUBSUB_ESTATE, pubsub_message_ack(batch[4]));
    assert_int_equal(kit_stats(sub->peer).unsettled, 0);
    for (size_t i = 0; i < COUNT; i++) {
        pubsub_message_unref(batch[i]);
    }
    kit_flush(sub->peer);
    assert_int_equal(kit_stats(sub->peer).acked, COUNT);
}

static void kept_messages_stay_intact(conf *t)
{
    enum { KEPT = 20 };
    const char *topic = conf_topic(t, "a");
    kit_peer *peer = conf_peer(t);
    kit_sub *sub = kit_subscribe_later(peer, topic, NULL, NULL, NULL);
    kit_sub *after = NULL;
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    conf_publish_many(peer, topic, "kept", KEPT);
    KIT_AWAIT(t->net, kit_count(sub) == KEPT);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    after = kit_subscribe(peer, topic, NULL);
    conf_publish_many(peer, topic, "churn", 3000);
    KIT_AWAIT(t->net, kit_count(after) == 3000);
    kit_peer_close(peer);
    for (size_t i = 0; i < KEPT; i++) {
        const kit_message *copy = kit_at(sub, i);
        assert_true(kit_same(pubsub_message_payload(copy->ref), copy->payload));
        assert_true(kit_same(pubsub_message_topic(copy->ref), copy->topic));
        assert_true(kit_is(copy->payload, conf_text(t, "kept%zu", i)));
    }
}

static void acks_after_the_subscription_ended(conf *t)
{
    const char *topic = conf_topic(t, "a");
    const char *options = conf_text(t, "durable=%s ack=manual", conf_name(t, "d"));
    kit_sub *sub = kit_subscribe_later(conf_peer(t), topic, options, NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    conf_publish_many(sub->peer, topic, "m", 10);
    KIT_AWAIT(t->net, kit_count(sub) == 10);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_message_ack(kit_at(sub, 0)->ref));
    KIT_ERR(PUBSUB_ECLOSED, pubsub_message_nack(kit_at(sub, 1)->ref, 0, NULL));
    sub = conf_subscribe_freed(t, conf_peer(t), topic, options);
    conf_expect_exactly(t, sub, "m", 10);
}

static void what_is_not_acked_comes_again(conf *t)
{
    for (size_t kind = 1; kind < KINDS; kind++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", kind));
        const char *options = hold_by(t, kind, "ack=manual");
        kit_sub *sub = NULL;
        if (options == NULL || kind == 2) {
            continue; /* a group that is not durable ends with its last member */
        }
        sub = kit_subscribe(conf_peer(t), topic, options);
        conf_publish_many(sub->peer, topic, "m", 30);
        KIT_AWAIT(t->net, kit_count(sub) == 30);
        KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        sub = kit_subscribe(conf_peer(t), topic, hold_by(t, kind, ""));
        KIT_AWAIT(t->net, kit_count(sub) >= 30);
        conf_expect_exactly(t, sub, "m", 30);
        for (size_t i = 0; i < 30; i++) {
            assert_true(kit_at(sub, i)->redelivered || kit_at(sub, i)->attempt != 1);
        }
    }
}

static void what_was_acked_does_not_come_again(conf *t)
{
    for (size_t kind = 1; kind < KINDS; kind++) {
        const char *topic = conf_topic(t, conf_text(t, "%zu", kind));
        const char *options = hold_by(t, kind, "");
        kit_sub *sub = NULL;
        if (options == NULL || kind == 2) {
            continue;
        }
        sub = kit_subscribe(conf_peer(t), topic, options);
        conf_publish_many(sub->peer, topic, "m", 300);
        KIT_AWAIT(t->net, kit_count(sub) == 300);
        KIT_OK(pubsub_client_end(sub->peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
        sub = kit_subscribe(conf_peer(t), topic, options);
        conf_fence(t, sub->peer, topic, sub);
        assert_int_equal(kit_count(sub), 1);
        assert_int_equal(kit_at(sub, 0)->attempt, 1);
    }
}

const conf_case conf_ack[] = {
    CONF_CASE(refused_messages_come_again, CONF_ALL, F(NACK_DELAY) | F(ATTEMPTS),
              F(ACK) | F(NACK_DELAY)),
    CONF_CASE(a_refused_message_does_not_hold_up_the_others, CONF_ALL, F(NACK_DELAY),
              F(NACK_DELAY)),
    CONF_CASE(a_nack_has_its_own_delay, CONF_ALL, F(ACK) | F(NACK_DELAY), F(ACK) | F(NACK_DELAY)),
    CONF_CASE(attempts_count_up, CONF_ALL, F(ATTEMPTS) | F(NACK_DELAY), F(ATTEMPTS)),
    CONF_CASE(after_the_last_attempt_to_the_dead_letter_topic, CONF_ALL,
              F(NACK_DELAY) | F(ATTEMPTS) | F(DEAD_LETTER) | F(HEADERS), F(DEAD_LETTER)),
    CONF_CASE(to_a_dead_letter_topic_of_ones_own, CONF_ALL,
              F(NACK_DELAY) | F(ATTEMPTS) | F(DEAD_LETTER) | F(HEADERS), F(DEAD_LETTER)),
    CONF_CASE(without_a_dead_letter_topic_it_is_dropped_and_told, CONF_ALL,
              F(NACK_DELAY) | F(ATTEMPTS) | F(DEAD_LETTER) | F(HEADERS), F(DEAD_LETTER)),
    CONF_CASE(a_dead_letter_is_never_dead_lettered_again, CONF_ALL,
              F(NACK_DELAY) | F(ATTEMPTS) | F(DEAD_LETTER) | F(HEADERS), F(DEAD_LETTER)),
    CONF_CASE(settling_twice_is_an_error, CONF_ALL, F(ACK), 0),
    CONF_CASE(settling_what_is_settled_by_itself_is_an_error, CONF_ALL, F(NACK_DELAY), 0),
    CONF_CASE(acks_from_another_thread_later, CONF_ALL, F(ACK) | F(DURABLE), F(ACK)),
    CONF_CASE(ack_batch_passes_over_what_is_settled, CONF_ALL, F(ACK), F(ACK)),
    CONF_CASE(kept_messages_stay_intact, CONF_ALL | CONF_LOAD, 0, 0),
    CONF_CASE(acks_after_the_subscription_ended, CONF_ALL, F(ACK) | F(DURABLE), F(ACK)),
    CONF_CASE(what_is_not_acked_comes_again, CONF_ALL, F(ACK) | F(DURABLE), F(ACK)),
    CONF_CASE(what_was_acked_does_not_come_again, CONF_ALL, F(ACK) | F(DURABLE), F(ACK)),
    CONF_END};
