/* SPDX-License-Identifier: MIT */
/* Refused messages come again: held by the core where the broker cannot, else told to it. */
#include "unit/client/fixture.h"

#define MS UINT64_C(1000000)

static int refuse_first(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    return copy->redelivered ? 0 : 1;
}

static void test_redelivery_is_emulated_with_delay_and_attempts(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "a", "nack_delay=60ms", refuse_first, NULL);
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, kit_count(sub) == 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    AWAIT(f, kit_count(sub) == 2);
    assert_int_equal(kit_at(sub, 0)->attempt, 1);
    assert_int_equal(kit_at(sub, 1)->attempt, 2);
    assert_true(kit_at(sub, 1)->redelivered);
    assert_true(kit_at(sub, 1)->at_ns >= kit_at(sub, 0)->at_ns + 60 * MS);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 1);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 0).number, 7);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_NACK), 0);
    assert_int_equal(kit_stats(peer).nacked, 1);
    assert_int_equal(kit_stats(peer).redelivered, 1);
    assert_int_equal(kit_stats(peer).acked, 1);
}

static int nack_by_payload(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    if (!copy->redelivered && kit_is(copy->payload, "slow")) {
        (void)pubsub_message_nack(message, 120, NULL);
    } else if (!copy->redelivered && kit_is(copy->payload, "quick")) {
        (void)pubsub_message_nack(message, 20, NULL);
    } else {
        (void)pubsub_message_ack(message);
    }
    return 0;
}

static void test_redelivery_comes_in_the_order_of_delays(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "a", "ack=manual", nack_by_payload, NULL);
    scripted_deliver_one(f->broker, "a", "slow", 1);
    scripted_deliver_one(f->broker, "a", "quick", 2);
    scripted_deliver_one(f->broker, "a", "good", 3);
    AWAIT(f, kit_count(sub) == 5);
    assert_true(kit_is(kit_at(sub, 3)->payload, "quick"));
    assert_true(kit_is(kit_at(sub, 4)->payload, "slow"));
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 3);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 0).number, 3);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 1).number, 2);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 2).number, 1);
}

static void test_redelivery_is_the_brokers_where_it_can(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_native_nack(f->broker, true);
    sub = kit_subscribe_with(peer, "a", "ack=manual nack_delay=77ms", nack_by_payload, NULL);
    scripted_deliver_one(f->broker, "a", "slow", 1);
    scripted_deliver_one(f->broker, "a", "good", 2);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_NACK) == 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 1);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_NACK, 0).number, 1);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_NACK, 0).delay_ms, 120);
    assert_int_equal(kit_count(sub), 2);
}

static void test_redelivery_default_delay_goes_to_the_broker(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_native_nack(f->broker, true);
    (void)kit_subscribe_with(peer, "a", "nack_delay=77ms", refuse_first, NULL);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_NACK) == 1);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_NACK, 0).delay_ms, 77);
}

/* A broker that does not count: the first delivery has attempt 0, later ones are counted here. */
static void test_redelivery_counts_where_the_broker_does_not(void **state)
{
    fixture *f = *state;
    scripted_message message = {NULL, "x", 1, 0, 0, 1, 0};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "a", "nack_delay=1ms", refuse_first, NULL);
    scripted_deliver(f->broker, "a", &message, 1);
    AWAIT(f, kit_count(sub) == 2);
    assert_int_equal(kit_at(sub, 0)->attempt, 0);
    assert_int_equal(kit_at(sub, 1)->attempt, 2);
}

static void test_redelivery_marks_what_the_broker_marks(void **state)
{
    fixture *f = *state;
    scripted_message message = {NULL, "x", 1, PUBSUB_SPI_REDELIVERED, 3, 1, 0};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_deliver(f->broker, "a", &message, 1);
    AWAIT(f, kit_count(sub) == 1);
    assert_true(kit_at(sub, 0)->redelivered);
    assert_int_equal(kit_at(sub, 0)->attempt, 3);
    assert_int_equal(kit_stats(peer).redelivered, 1);
}

static void test_redelivery_goes_on_while_reconnecting(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "a", "nack_delay=40ms", refuse_first, NULL);
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, kit_count(sub) == 1);
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, kit_count(sub) == 2);
    scripted_always_fails(f->broker, PUBSUB_OK);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void test_redelivery_unseen_messages_are_released_at_the_end(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    peer->unpolled = true;
    scripted_deliver_one(f->broker, "a", "x", 1);
    scripted_deliver_one(f->broker, "a", "y", 2);
    AWAIT(f, kit_stats(peer).ready == 2);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_UNSUBSCRIBE) == 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE), 2);
    assert_true(scripted_where(f->broker, SCRIPTED_RELEASE, 1) <
                scripted_where(f->broker, SCRIPTED_UNSUBSCRIBE, 0));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    assert_int_equal(kit_stats(peer).ready, 0);
}

/* Handed out and not settled: that was an attempt, so they are not given back as unseen. */
static void test_redelivery_seen_messages_count_as_attempts_at_the_end(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", "ack=manual");
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, kit_count(sub) == 1);
    KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_UNSUBSCRIBE) == 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE), 0);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    assert_int_equal(kit_stats(peer).unsettled, 0);
}

/* ---- supersets and expiry -------------------------------------------------------------------- */

static void test_redelivery_superset_is_filtered_acked_and_counted(void **state)
{
    fixture *f = *state;
    const scripted_message messages[] = {
        {"a/x/c", "yes", 1, PUBSUB_SPI_FILTER, 1, 1, 0},
        {"a/x/y/c", "no", 2, PUBSUB_SPI_FILTER, 1, 1, 0},
        {"b/c", "no", 3, PUBSUB_SPI_FILTER, 1, 1, 0},
        {"a/x/c", "also", 4, PUBSUB_SPI_FILTER | PUBSUB_SPI_NO_ACK, 1, 0, 0},
        {"b", "no", 5, PUBSUB_SPI_FILTER | PUBSUB_SPI_NO_ACK, 1, 0, 0},
        {"b", "unfiltered", 6, 0, 1, 1, 0}};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a/+/c", NULL);
    scripted_deliver(f->broker, "a/+/c", messages, 6);
    AWAIT(f, kit_find(sub, "unfiltered") != NULL);
    assert_int_equal(kit_count(sub), 3);
    assert_int_equal(kit_count_of(sub, "no"), 0);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 4);
    assert_int_equal(scripted_count_number(f->broker, SCRIPTED_ACK, 2), 1);
    assert_int_equal(scripted_count_number(f->broker, SCRIPTED_ACK, 3), 1);
    assert_int_equal(kit_stats(peer).filtered, 3);
}

static void test_redelivery_filtered_messages_take_no_credit(void **state)
{
    enum { COUNT = 50 };
    fixture *f = *state;
    scripted_message messages[COUNT];
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_respect_credit(f->broker, true);
    sub = kit_subscribe(peer, "a", "prefetch=3");
    for (size_t i = 0; i < COUNT; i++) {
        messages[i] =
            (scripted_message){i + 1 < COUNT ? "b" : "a", "m", i, PUBSUB_SPI_FILTER, 1, 1, 0};
    }
    scripted_deliver(f->broker, "a", messages, COUNT);
    AWAIT(f, kit_count(sub) == 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == COUNT);
}

static void test_redelivery_expired_messages_are_acked_and_counted(void **state)
{
    fixture *f = *state;
    const scripted_message messages[] = {{NULL, "late", 1, 0, 1, 1, 1},
                                         {NULL, "in time", 2, 0, 1, 1, UINT64_MAX}};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_deliver(f->broker, "a", messages, 2);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 2);
    assert_int_equal(kit_count(sub), 1);
    assert_true(kit_is(kit_at(sub, 0)->payload, "in time"));
    assert_int_equal(kit_stats(peer).expired, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_redelivery_is_emulated_with_delay_and_attempts),
        FIXTURE_TEST(test_redelivery_comes_in_the_order_of_delays),
        FIXTURE_TEST(test_redelivery_is_the_brokers_where_it_can),
        FIXTURE_TEST(test_redelivery_default_delay_goes_to_the_broker),
        FIXTURE_TEST(test_redelivery_counts_where_the_broker_does_not),
        FIXTURE_TEST(test_redelivery_marks_what_the_broker_marks),
        FIXTURE_TEST(test_redelivery_goes_on_while_reconnecting),
        FIXTURE_TEST(test_redelivery_unseen_messages_are_released_at_the_end),
        FIXTURE_TEST(test_redelivery_seen_messages_count_as_attempts_at_the_end),
        FIXTURE_TEST(test_redelivery_superset_is_filtered_acked_and_counted),
        FIXTURE_TEST(test_redelivery_filtered_messages_take_no_credit),
        FIXTURE_TEST(test_redelivery_expired_messages_are_acked_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
