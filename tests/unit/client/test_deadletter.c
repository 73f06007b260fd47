/* SPDX-License-Identifier: MIT */
/* Messages that are given up: published with the reason, and only then acknowledged. */
#include "unit/client/fixture.h"

static int refuse_with_reason(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)copy;
    (void)pubsub_message_nack(message, 1, "no such customer");
    return 0;
}

static kit_sub *refusing(kit_peer *peer, const char *options)
{
    return kit_subscribe_with(peer, "a", options, refuse_with_reason, NULL);
}

static void test_deadletter_is_confirmed_before_the_original_is_acked(void **state)
{
    fixture *f = *state;
    scripted_note letter;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = refusing(peer, "ack=manual max_attempts=3 group=g");
    scripted_hold(f->broker, true);
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    assert_int_equal(kit_count(sub), 3);
    letter = scripted_nth(f->broker, SCRIPTED_SUBMIT, 0);
    assert_string_equal(letter.topic, "$dead/g/a");
    assert_string_equal(letter.text, "x");
    KIT_SAYS(letter.headers, "pubsub-dead-topic=a;");
    KIT_SAYS(letter.headers, "pubsub-dead-reason=no such customer;");
    KIT_SAYS(letter.headers, "pubsub-dead-attempts=3;");
    KIT_SAYS(letter.headers, "pubsub-dead-group=g;");
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    assert_int_equal(kit_stats(peer).dead_lettered, 0);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
    assert_int_equal(kit_stats(peer).dead_lettered, 1);
    assert_int_equal(kit_list_count(&peer->reports), 0);
    assert_int_equal(kit_count(sub), 3);
}

static void test_deadletter_that_is_rejected_leaves_the_original(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = refusing(peer, "ack=manual max_attempts=1 durable=d nack_delay=5ms");
    scripted_hold(f->broker, true);
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    assert_string_equal(scripted_nth(f->broker, SCRIPTED_SUBMIT, 0).topic, "$dead/d/a");
    scripted_answer(f->broker, PUBSUB_REJECTED, PUBSUB_EDENIED);
    /* It comes again, is refused again, and its letter is tried again. */
    AWAIT(f, kit_count(sub) == 2);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
    assert_int_equal(kit_stats(peer).dead_lettered, 1);
}

static void test_deadletter_survives_a_lost_connection(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    (void)refusing(peer, "ack=manual max_attempts=1 group=g");
    scripted_hold(f->broker, true);
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    fixture_cut(f, peer, 1);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_SUBMIT, 1).number, 1);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
}

static void test_deadletter_topic_may_be_given(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    (void)refusing(peer, "ack=manual max_attempts=1 dead_letter=graveyard");
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
    assert_string_equal(scripted_nth(f->broker, SCRIPTED_SUBMIT, 0).topic, "graveyard");
}

static void test_deadletter_none_drops_and_tells(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    (void)refusing(peer, "ack=manual max_attempts=1 dead_letter=none");
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_ERROR) == 1);
    KIT_SAYS(kit_event_find(peer, PUBSUB_EVENT_ERROR, 0)->error.text, "no such customer");
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
}

static void test_deadletter_of_a_dead_letter_is_never_made(void **state)
{
    fixture *f = *state;
    const scripted_message message = {"$dead/g/a", "x", 7, 0, 9, 1, 0};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub =
        kit_subscribe_with(peer, "$dead/#", "ack=manual max_attempts=2", refuse_with_reason, NULL);
    scripted_deliver(f->broker, "$dead/#", &message, 1);
    AWAIT(f, kit_count(sub) >= 5);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
}

/* The broker's count goes on: one that was tried enough elsewhere goes at its first refusal here. */
static void test_deadletter_counts_the_brokers_attempts(void **state)
{
    fixture *f = *state;
    const scripted_message message = {NULL, "x", 7, PUBSUB_SPI_REDELIVERED, 5, 1, 0};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = refusing(peer, "ack=manual max_attempts=5");
    scripted_deliver(f->broker, "a", &message, 1);
    AWAIT(f, scripted_count_number(f->broker, SCRIPTED_ACK, 7) == 1);
    assert_int_equal(kit_count(sub), 1);
    assert_int_equal(kit_stats(peer).dead_lettered, 1);
}

static void test_deadletter_open_at_the_end_leaves_the_original(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    (void)refusing(peer, "ack=manual max_attempts=1 group=g");
    scripted_hold(f->broker, true);
    scripted_deliver_one(f->broker, "a", "x", 7);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    (void)pubsub_client_end(peer->client, 20, &error);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 0);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_deadletter_is_confirmed_before_the_original_is_acked),
        FIXTURE_TEST(test_deadletter_that_is_rejected_leaves_the_original),
        FIXTURE_TEST(test_deadletter_survives_a_lost_connection),
        FIXTURE_TEST(test_deadletter_topic_may_be_given),
        FIXTURE_TEST(test_deadletter_none_drops_and_tells),
        FIXTURE_TEST(test_deadletter_of_a_dead_letter_is_never_made),
        FIXTURE_TEST(test_deadletter_counts_the_brokers_attempts),
        FIXTURE_TEST(test_deadletter_open_at_the_end_leaves_the_original),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
