/* SPDX-License-Identifier: MIT */
/* An adapter takes messages back that another consumer will get. */
#include "unit/client/fixture.h"

enum { COUNT = 5 };

static const scripted_message five[COUNT] = {{NULL, "one", 1, 0, 1, 1, 0},
                                             {NULL, "two", 2, 0, 1, 1, 0},
                                             {NULL, "three", 3, 0, 1, 1, 0},
                                             {NULL, "four", 4, 0, 1, 1, 0},
                                             {NULL, "five", 5, 0, 1, 1, 0}};

static void test_recall_takes_what_waits_for_a_handler(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    size_t left = 99;
    peer->unpolled = true;
    scripted_deliver(f->broker, "a", five, COUNT);
    assert_int_equal(scripted_recall(f->broker, "a", 2, 4, &left), 3);
    assert_int_equal(left, 0);
    assert_int_equal(scripted_recall(f->broker, "a", 6, 9, &left), 0);
    assert_int_equal(left, 0);
    peer->unpolled = false;
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 2);
    assert_int_equal(kit_count(sub), 2);
    assert_true(kit_is(kit_at(sub, 0)->payload, "one"));
    assert_true(kit_is(kit_at(sub, 1)->payload, "five"));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE), 0);
}

static void test_recall_returns_the_credit(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    size_t left = 0;
    scripted_respect_credit(f->broker, true);
    sub = kit_subscribe(peer, "a", "prefetch=2");
    peer->unpolled = true;
    scripted_deliver(f->broker, "a", five, COUNT);
    assert_int_equal(scripted_recall(f->broker, "a", 1, COUNT, &left),
                     2); /* the others wait there */
    AWAIT(f, scripted_count(f->broker, SCRIPTED_CREDIT) == 1);
    peer->unpolled = false;
    AWAIT(f, kit_count(sub) == 3);
    assert_true(kit_is(kit_at(sub, 0)->payload, "three"));
}

static void test_recall_counts_what_is_out_and_gets_it_settled(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_later(peer, "a", "ack=manual nack_delay=20ms", NULL, NULL);
    size_t left = 0;
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    scripted_deliver(f->broker, "a", five, 3);
    AWAIT(f, kit_count(sub) == 3);
    assert_int_equal(scripted_recall(f->broker, "a", 1, 2, &left), 0);
    assert_int_equal(left, 2);
    KIT_OK(pubsub_message_ack(kit_at(sub, 0)->ref), NULL);
    KIT_OK(pubsub_message_nack(kit_at(sub, 1)->ref, 0, "no"), NULL); /* not tried again here */
    KIT_OK(pubsub_message_nack(kit_at(sub, 2)->ref, 0, "no"), NULL);
    AWAIT(f, kit_count(sub) == 4);
    assert_true(kit_is(kit_at(sub, 3)->payload, "three"));
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 0).number, 1);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_RELEASE, 0).number, 2);
    assert_int_equal(scripted_recall(f->broker, "a", 1, 2, &left), 0);
    assert_int_equal(left, 0);
}

static void test_recall_takes_what_waits_for_its_retry(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_later(peer, "a", "nack_delay=50ms", NULL, NULL);
    size_t left = 99;
    sub->result = 1;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    scripted_deliver(f->broker, "a", five, 3);
    AWAIT(f, kit_stats(peer).nacked == 3);
    assert_int_equal(scripted_recall(f->broker, "a", 1, 2, &left), 2);
    assert_int_equal(left, 0);
    AWAIT(f, kit_count(sub) == 5); /* the third one only, twice */
    assert_int_equal(kit_count_of(sub, "one"), 1);
    assert_int_equal(kit_count_of(sub, "two"), 1);
    assert_int_equal(kit_count_of(sub, "three"), 3);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE), 0);
}

struct inside {
    fixture *f;
    size_t taken, left;
};

static int recall_inside(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    struct inside *inside = sub->ctx;
    (void)message;
    if (kit_is(copy->payload, "one")) {
        inside->taken = scripted_recall(inside->f->broker, "a", 1, 4, &inside->left);
    }
    return 0;
}

static void test_recall_stops_what_was_about_to_be_handled(void **state)
{
    fixture *f = *state;
    struct inside inside = {f, 0, 0};
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "a", NULL, recall_inside, &inside);
    peer->unpolled = true;
    scripted_deliver(f->broker, "a", five, COUNT);
    peer->unpolled = false;
    AWAIT(f, kit_count(sub) == 2);
    assert_true(kit_is(kit_at(sub, 1)->payload, "five"));
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 2);
    assert_int_equal(inside.taken + inside.left, 4);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE) + 1, inside.left);
}

static void test_recall_spares_other_subscriptions(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *a = kit_subscribe(peer, "a", NULL);
    kit_sub *b = kit_subscribe(peer, "b", NULL);
    size_t left = 0;
    peer->unpolled = true;
    scripted_deliver(f->broker, "a", five, 2);
    scripted_deliver(f->broker, "b", five, 2);
    assert_int_equal(scripted_recall(f->broker, "a", 0, UINT64_MAX, &left), 2);
    peer->unpolled = false;
    AWAIT(f, kit_count(b) == 2);
    assert_int_equal(kit_count(a), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_recall_takes_what_waits_for_a_handler),
        FIXTURE_TEST(test_recall_returns_the_credit),
        FIXTURE_TEST(test_recall_counts_what_is_out_and_gets_it_settled),
        FIXTURE_TEST(test_recall_takes_what_waits_for_its_retry),
        FIXTURE_TEST(test_recall_stops_what_was_about_to_be_handled),
        FIXTURE_TEST(test_recall_spares_other_subscriptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
