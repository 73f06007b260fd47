/* SPDX-License-Identifier: MIT */
/* Every queue has an end: credit of subscriptions, the submission queue. */
#include "unit/client/fixture.h"

#include <stdio.h>

static void deliver_many(fixture *f, const char *pattern, size_t count, uint32_t flags)
{
    scripted_message messages[64];
    static char payloads[64][24]; /* the broker keeps them until there is credit */
    assert_true(count <= 64);
    for (size_t i = 0; i < count; i++) {
        if (payloads[i][0] == '\0') {
            (void)snprintf(payloads[i], sizeof(payloads[i]), "m%zu", i);
        }
        messages[i] = (scripted_message){
            NULL, payloads[i], i, flags, 1, (flags & PUBSUB_SPI_NO_ACK) != 0 ? 0 : 1, 0};
    }
    scripted_deliver(f->broker, pattern, messages, count);
}

static void test_credit_is_respected_and_given_back(void **state)
{
    enum { PREFETCH = 4, COUNT = 20 };
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    static scripted_message messages[COUNT];
    static char payloads[COUNT][16];
    scripted_respect_credit(f->broker, true);
    sub = kit_subscribe_later(peer, "a", "ack=manual prefetch=4", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    for (size_t i = 0; i < COUNT; i++) {
        (void)snprintf(payloads[i], sizeof(payloads[i]), "m%zu", i);
        messages[i] = (scripted_message){NULL, payloads[i], i, 0, 1, 1, 0};
    }
    scripted_deliver(f->broker, "a", messages, COUNT);
    AWAIT(f, kit_count(sub) == PREFETCH);
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(kit_count(sub) <= i + PREFETCH);
        AWAIT(f, kit_count(sub) > i);
        assert_string_equal(kit_at(sub, i)->payload.data, payloads[i]);
        KIT_OK(pubsub_message_ack(kit_at(sub, i)->ref), NULL);
    }
    assert_true(scripted_count(f->broker, SCRIPTED_CREDIT) >= 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == COUNT);
}

static void test_credit_in_bytes_counts_kept_messages(void **state)
{
    fixture *f = *state;
    static char payload[3001];
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_respect_credit(f->broker, true);
    sub = kit_subscribe_later(peer, "a", "prefetch_bytes=4k", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    memset(payload, 'x', sizeof(payload) - 1);
    for (uint64_t i = 0; i < 6; i++) {
        scripted_deliver_one(f->broker, "a", payload, i);
        kit_turn(&f->net);
    }
    /* Acked, but kept: after two of them the limit is reached. */
    AWAIT(f, kit_count(sub) >= 2);
    kit_flush(peer);
    for (int i = 0; i < 10; i++) {
        kit_turn(&f->net);
    }
    assert_int_equal(kit_count(sub), 2);
    for (size_t i = 0; i < 6; i++) {
        AWAIT(f, kit_count(sub) > i);
        pubsub_message_unref(kit_at(sub, i)->ref);
        kit_at(sub, i)->ref = NULL;
    }
}

/* What is let go of together gives back its bytes together; what somebody else still holds does not. */
static void test_credit_in_bytes_of_a_batch_goes_back(void **state)
{
    fixture *f = *state;
    static char payload[1501];
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    pubsub_message *batch[4] = {NULL, NULL, NULL, NULL};
    scripted_respect_credit(f->broker, true);
    sub = kit_subscribe_later(peer, "a", "prefetch_bytes=4k", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    memset(payload, 'x', sizeof(payload) - 1);
    for (uint64_t i = 0; i < 6; i++) {
        scripted_deliver_one(f->broker, "a", payload, i);
        kit_turn(&f->net);
    }
    AWAIT(f, kit_count(sub) >= 3);
    kit_flush(peer);
    for (int i = 0; i < 10; i++) {
        kit_turn(&f->net);
    }
    assert_int_equal(kit_count(sub), 3);
    batch[0] = kit_at(sub, 0)->ref;
    batch[2] = kit_at(sub, 1)->ref; /* nothing in between */
    batch[3] = pubsub_message_ref(kit_at(sub, 2)->ref);
    pubsub_message_unref_batch(batch, 4);
    kit_at(sub, 0)->ref = kit_at(sub, 1)->ref = NULL;
    AWAIT(f, kit_count(sub) > 3);
    assert_string_equal(pubsub_message_payload(kit_at(sub, 2)->ref).data, payload);
    AWAIT(f, kit_count(sub) > 4);
    /* Nobody counts any more when the subscription is over. */
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    for (size_t i = 2; i < 5; i++) {
        batch[i - 2] = kit_at(sub, i)->ref;
        kit_at(sub, i)->ref = NULL;
    }
    pubsub_message_unref_batch(batch, 3);
    pubsub_message_unref_batch(NULL, 0);
}

/* At qos 0 from a broker that cannot wait: the newest are dropped, counted, and told once. */
static void test_credit_overflow_raises_one_gap_per_episode(void **state)
{
    enum { PREFETCH = 4 };
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", "qos=0 prefetch=4");
    peer->unpolled = true;
    deliver_many(f, "a", 10, PUBSUB_SPI_NO_ACK);
    deliver_many(f, "a", 10, PUBSUB_SPI_NO_ACK);
    AWAIT(f, kit_stats(peer).overflowed == 20 - PREFETCH);
    assert_int_equal(kit_stats(peer).ready, PREFETCH);
    peer->unpolled = false;
    AWAIT(f, kit_count(sub) == PREFETCH);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_GAP) == 1);
    assert_ptr_equal(kit_event_find(peer, PUBSUB_EVENT_GAP, 0)->subscription, sub->handle);
    assert_string_equal(kit_at(sub, 0)->payload.data, "m0");
    assert_string_equal(kit_at(sub, PREFETCH - 1)->payload.data, "m3");
    assert_int_equal(kit_stats(peer).gaps, 1);
    /* Room again, then full again: another episode. */
    kit_flush(peer);
    scripted_deliver(f->broker, "a",
                     &(scripted_message){NULL, "fits", 1, PUBSUB_SPI_NO_ACK, 1, 0, 0}, 1);
    AWAIT(f, kit_count_of(sub, "fits") == 1);
    kit_flush(peer);
    peer->unpolled = true;
    deliver_many(f, "a", 10, PUBSUB_SPI_NO_ACK);
    AWAIT(f, kit_stats(peer).overflowed == 20 - PREFETCH + 10 - PREFETCH);
    peer->unpolled = false;
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_GAP) == 2);
    assert_int_equal(kit_stats(peer).gaps, 2);
}

/* What the broker waits an ack for is never dropped, even when an adapter gives too much. */
static void test_credit_overflow_drops_nothing_that_has_an_ack(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", "prefetch=4");
    peer->unpolled = true;
    deliver_many(f, "a", 10, 0);
    AWAIT(f, kit_stats(peer).ready == 10);
    peer->unpolled = false;
    AWAIT(f, kit_count(sub) == 10);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 10);
    assert_int_equal(kit_stats(peer).overflowed, 0);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_GAP), 0);
}

static void test_credit_of_one_subscription_is_not_anothers(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *stalled = NULL;
    kit_sub *other = NULL;
    scripted_respect_credit(f->broker, true);
    stalled = kit_subscribe(peer, "a", "ack=manual prefetch=2");
    other = kit_subscribe(peer, "b", "prefetch=2");
    deliver_many(f, "a", 30, 0);
    deliver_many(f, "b", 30, 0);
    AWAIT(f, kit_count(other) == 30);
    assert_int_equal(kit_count(stalled), 2);
}

/* ---- the submission queue ------------------------------------------------------------------- */

static void test_credit_a_full_queue_refuses_or_waits(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("t", "x");
    kit_peer *peer = fixture_connected(f, "queue_messages=5");
    uint64_t before = 0;
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 5);
    KIT_ERR(PUBSUB_EAGAIN, pubsub_client_publish(peer->client, &pub, 0, &error));
    before = kit_now();
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_publish(peer->client, &pub, 30, &error));
    assert_true(kit_now() - before >= 30 * 1000000ull);
    assert_true(error.text[0] != '\0');
    assert_int_equal(kit_stats(peer).published, 5);
    assert_int_equal(kit_stats(peer).queued, 5);
    /* An outcome alone is no space: its report waits in the slot. */
    AWAIT(f, scripted_in_flight(f->broker) == 5);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    AWAIT(f, kit_list_count(&peer->reports) == 1);
    KIT_OK(pubsub_client_publish(peer->client, &pub, 0, &error), &error);
    KIT_ERR(PUBSUB_EAGAIN, pubsub_client_publish(peer->client, &pub, 0, &error));
}

static void test_credit_a_report_nobody_polls_for_keeps_its_slot(void **state)
{
    fixture *f = *state;
    pubsub_publication pub = kit_publication("t", "x");
    kit_peer *peer = fixture_connected(f, "queue_messages=5");
    peer->unpolled = true;
    fixture_publish(peer, "m", 5);
    kit_flush(peer);
    KIT_ERR(PUBSUB_EAGAIN, pubsub_client_publish(peer->client, &pub, 0, NULL));
    peer->unpolled = false;
    AWAIT(f, kit_list_count(&peer->reports) == 5);
    KIT_OK(pubsub_client_publish(peer->client, &pub, 0, NULL), NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_credit_is_respected_and_given_back),
        FIXTURE_TEST(test_credit_in_bytes_counts_kept_messages),
        FIXTURE_TEST(test_credit_in_bytes_of_a_batch_goes_back),
        FIXTURE_TEST(test_credit_overflow_raises_one_gap_per_episode),
        FIXTURE_TEST(test_credit_overflow_drops_nothing_that_has_an_ack),
        FIXTURE_TEST(test_credit_of_one_subscription_is_not_anothers),
        FIXTURE_TEST(test_credit_a_full_queue_refuses_or_waits),
        FIXTURE_TEST(test_credit_a_report_nobody_polls_for_keeps_its_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
