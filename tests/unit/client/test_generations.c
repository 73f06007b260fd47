/* SPDX-License-Identifier: MIT */
/* Each connection is a new generation: what belongs to an older one is not told to the broker. */
#include "unit/client/fixture.h"

static kit_sub *keeping(kit_peer *peer)
{
    kit_sub *sub = kit_subscribe_later(peer, "a", "ack=manual", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    return sub;
}

static void test_generations_stale_acks_are_dropped_and_counted(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_redelivers(f->broker, true);
    sub = keeping(peer);
    scripted_deliver_one(f->broker, "a", "old", 11);
    scripted_deliver_one(f->broker, "a", "older", 12);
    AWAIT(f, kit_count(sub) == 2);
    fixture_cut(f, peer, 0);
    scripted_deliver_one(f->broker, "a", "old", 21);
    AWAIT(f, kit_count(sub) == 3);
    (void)pubsub_message_ack(kit_at(sub, 0)->ref);
    (void)pubsub_message_nack(kit_at(sub, 1)->ref, 0, NULL);
    KIT_OK(pubsub_message_ack(kit_at(sub, 2)->ref), NULL);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 1);
    kit_flush(peer);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 0).number, 21);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_NACK), 0);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE), 0);
    assert_int_equal(kit_stats(peer).stale_acks, 2);
    assert_int_equal(kit_count(sub), 3);
}

static void test_generations_acks_stay_valid_where_the_broker_sends_nothing_again(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = keeping(peer);
    scripted_deliver_one(f->broker, "a", "x", 11);
    AWAIT(f, kit_count(sub) == 1);
    fixture_cut(f, peer, 0);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
    KIT_OK(pubsub_message_ack(kit_at(sub, 0)->ref), NULL);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 11) == 1);
    assert_int_equal(kit_stats(peer).stale_acks, 0);
}

/* Nobody polled before the loss: handling it would be handling it twice. */
static void test_generations_what_nobody_saw_is_forgotten(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_redelivers(f->broker, true);
    sub = kit_subscribe(peer, "a", NULL);
    peer->unpolled = true;
    scripted_deliver_one(f->broker, "a", "x", 11);
    AWAIT(f, kit_stats(peer).ready == 1);
    fixture_cut(f, peer, 0);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == 2);
    scripted_deliver_one(f->broker, "a", "x", 21);
    peer->unpolled = false;
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 21) == 1);
    assert_int_equal(kit_count(sub), 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 1);
}

/* A refused message waits for its delay while the connection is lost; the broker sends it again. */
static void test_generations_held_messages_are_forgotten(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_redelivers(f->broker, true);
    sub = kit_subscribe_later(peer, "a", "nack_delay=50ms", NULL, NULL);
    sub->result = 1;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    scripted_deliver_one(f->broker, "a", "x", 11);
    AWAIT(f, kit_stats(peer).nacked == 1);
    fixture_cut(f, peer, 0);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
    sub->result = 0;
    scripted_deliver_one(f->broker, "a", "marker", 22);
    AWAIT(f, kit_count(sub) == 2);
    for (kit_deadline until = kit_in(100); !kit_over(until);) {
        kit_turn(&f->net);
    }
    assert_int_equal(kit_count(sub), 2);
}

static void test_generations_keeps_credit_right(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_redelivers(f->broker, true);
    scripted_respect_credit(f->broker, true);
    sub = kit_subscribe_later(peer, "a", "ack=manual prefetch=2", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    for (uint64_t round = 0; round < 5; round++) {
        size_t before = kit_count(sub);
        scripted_deliver_one(f->broker, "a", "x", round * 10 + 1);
        scripted_deliver_one(f->broker, "a", "y", round * 10 + 2);
        AWAIT(f, kit_count(sub) == before + 2);
        fixture_cut(f, peer, 0);
        AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == round + 2);
        (void)pubsub_message_ack(kit_at(sub, before)->ref);
        (void)pubsub_message_ack(kit_at(sub, before + 1)->ref);
        kit_flush(peer);
    }
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    assert_int_equal(kit_stats(peer).stale_acks, 10);
    assert_int_equal(kit_stats(peer).unsettled, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_generations_stale_acks_are_dropped_and_counted),
        FIXTURE_TEST(test_generations_acks_stay_valid_where_the_broker_sends_nothing_again),
        FIXTURE_TEST(test_generations_what_nobody_saw_is_forgotten),
        FIXTURE_TEST(test_generations_held_messages_are_forgotten),
        FIXTURE_TEST(test_generations_keeps_credit_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
