/* SPDX-License-Identifier: MIT */
/* Losing the connection and finding it again. */
#include "unit/client/fixture.h"

#define MS 1000000.0

static double gap_ms(scripted *broker, size_t nth)
{
    return (double)(scripted_nth(broker, SCRIPTED_CONNECT, nth + 1).at_ns -
                    scripted_nth(broker, SCRIPTED_CONNECT, nth).at_ns) /
           MS;
}

/* From the first to the longest wait, never less than half of it, with a chance in it. */
static void test_reconnect_backs_off_capped_and_jittered(void **state)
{
    enum { TRIES = 12 };
    fixture *f = *state;
    double least = 1e9;
    double most = 0;
    kit_peer *peer = fixture_connected(f, "reconnect_min=20ms reconnect_max=60ms");
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_CONNECT) >= TRIES + 1);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_RECONNECTING);
    for (size_t i = 1; i < TRIES; i++) {
        double gap = gap_ms(f->broker, i);
        /* Timers may be a millisecond early by rounding, and late without limit. */
        assert_true(gap >= (i >= 3 ? 29.0 : 9.0));
        least = i >= 3 && gap < least ? gap : least;
        most = i >= 3 && gap > most ? gap : most;
    }
    assert_true(least < 60.0 + (double)kit_ms(200)); /* capped: otherwise seconds by now */
    assert_true(most > least);                       /* jittered */
    scripted_always_fails(f->broker, PUBSUB_OK);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_CONNECTED);
}

static void test_reconnect_starts_over_after_success(void **state)
{
    fixture *f = *state;
    uint64_t before = 0;
    kit_peer *peer = fixture_connected(f, "reconnect_min=1ms reconnect_max=10s");
    for (int i = 0; i < 5; i++) {
        scripted_connects(f->broker, PUBSUB_ECONNECT, 0);
    }
    fixture_cut(f, peer, 0);
    before = kit_now();
    fixture_cut(f, peer, 0);
    assert_true(kit_now() - before < (uint64_t)kit_ms(2000) * 1000000u);
}

static void test_reconnect_tells_states_and_counts(void **state)
{
    static const pubsub_state wanted[] = {PUBSUB_STATE_CONNECTING, PUBSUB_STATE_CONNECTED,
                                          PUBSUB_STATE_RECONNECTING, PUBSUB_STATE_CONNECTED};
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_connects(f->broker, PUBSUB_ECONNECT, 0);
    fixture_cut(f, peer, 0);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_CONNECT) == 2);
    for (size_t i = 0; i < 4; i++) {
        const kit_event *event = kit_event_find(peer, PUBSUB_EVENT_STATE, i);
        assert_non_null(event);
        assert_int_equal(event->state, wanted[i]);
        assert_int_equal(event->error.code, i == 2 ? PUBSUB_ELOST : PUBSUB_OK);
    }
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_STATE), 4);
    assert_int_equal(kit_stats(peer).connects, 2);
    assert_true(kit_stats(peer).disconnects >= 1);
}

static void test_reconnect_subscribes_before_it_resends(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *first = kit_subscribe(peer, "a/#", NULL);
    kit_sub *second = kit_subscribe(peer, "b", NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 3);
    AWAIT(f, scripted_in_flight(f->broker) == 3);
    fixture_cut(f, peer, 2);
    AWAIT(f, scripted_in_flight(f->broker) == 3);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 4);
    assert_string_equal(scripted_nth(f->broker, SCRIPTED_SUBSCRIBE, 2).text, first->pattern);
    assert_string_equal(scripted_nth(f->broker, SCRIPTED_SUBSCRIBE, 3).text, second->pattern);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_SUBSCRIBE, 2).number, 1);
    assert_true(scripted_where(f->broker, SCRIPTED_SUBSCRIBE, 3) <
                scripted_where(f->broker, SCRIPTED_SUBMIT, 3));
}

static void test_reconnect_tells_each_subscription(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_resumes(f->broker, true);
    fixture_cut(f, peer, 0);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED), 1);
    assert_ptr_equal(kit_event_find(peer, PUBSUB_EVENT_INTERRUPTED, 0)->subscription, sub->handle);
    assert_false(kit_event_find(peer, PUBSUB_EVENT_SUBSCRIBED, 0)->resumed);
    assert_true(kit_event_find(peer, PUBSUB_EVENT_SUBSCRIBED, 1)->resumed);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_GAP), 0);
    scripted_deliver_one(f->broker, "a", "after", 1);
    AWAIT(f, kit_count(sub) == 1);
}

static void test_reconnect_raises_a_gap_where_continuity_is_not_known(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_gaps(f->broker, true);
    fixture_cut(f, peer, 0);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_GAP) == 1);
    assert_ptr_equal(kit_event_find(peer, PUBSUB_EVENT_GAP, 0)->subscription, sub->handle);
    assert_true(kit_event_find(peer, PUBSUB_EVENT_GAP, 0)->gap_reason[0] != '\0');
    assert_int_equal(kit_stats(peer).gaps, 1);
}

static void test_reconnect_gaps_of_the_broker_are_passed_on(void **state)
{
    fixture *f = *state;
    const kit_event *event = NULL;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_gap(f->broker, "a", "retention", 17);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_GAP) == 1);
    event = kit_event_find(peer, PUBSUB_EVENT_GAP, 0);
    assert_ptr_equal(event->subscription, sub->handle);
    assert_string_equal(event->gap_reason, "retention");
    assert_int_equal(event->missed, 17);
}

static void test_reconnect_keeps_publishes_and_subscribes_made_meanwhile(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = NULL;
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_RECONNECTING);
    fixture_publish(peer, "m", 5);
    sub = kit_subscribe_later(peer, "a", NULL, NULL, NULL);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_subscription_wait(sub->handle, 20, NULL, &error));
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_ready(peer->client, 5, &error));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
    scripted_always_fails(f->broker, PUBSUB_OK);
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, &error), &error);
    AWAIT(f, kit_list_count(&peer->reports) == 5);
    assert_int_equal(kit_stats(peer).resent, 0);
}

/* The library behind an adapter brings its connection back by itself. */
static void test_reconnect_of_a_paused_link_is_not_ours(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    (void)kit_subscribe(peer, "a", NULL);
    scripted_pause(f->broker, true);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_RECONNECTING);
    fixture_publish(peer, "m", 3);
    kit_turn(&f->net);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
    scripted_pause(f->broker, false);
    AWAIT(f, kit_list_count(&peer->reports) == 3);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CONNECT), 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 1);
}

static void test_reconnect_of_a_paused_link_subscribes_what_was_asked_meanwhile(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *later = NULL;
    (void)kit_subscribe(peer, "a", NULL);
    scripted_pause(f->broker, true);
    AWAIT(f, pubsub_client_state(peer->client) == PUBSUB_STATE_RECONNECTING);
    later = kit_subscribe_later(peer, "b", NULL, NULL, NULL);
    kit_turn(&f->net);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 1);
    scripted_pause(f->broker, false);
    (void)kit_subscribed(later);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBSCRIBE), 2);
}

static void test_reconnect_of_one_link_leaves_the_others(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *first = NULL;
    kit_sub *second = NULL;
    scripted_own_links(f->broker, true);
    first = kit_subscribe(peer, "a", NULL);
    second = kit_subscribe(peer, "b", NULL);
    assert_int_equal(kit_stats(peer).connects, 3);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBSCRIBE, "a"), 2);
    scripted_drop(f->broker, 1, 0, PUBSUB_ELOST);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 3);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBSCRIBE, "a"), 3);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBSCRIBE, "b"), 2);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
    assert_int_equal(scripted_count_number(f->broker, SCRIPTED_CONNECT, 0), 1);
    assert_int_equal(scripted_count_number(f->broker, SCRIPTED_CONNECT, 1), 2);
    scripted_deliver_one(f->broker, "a", "to a", 1);
    scripted_deliver_one(f->broker, "b", "to b", 1);
    AWAIT(f, kit_count(first) == 1 && kit_count(second) == 1);
}

static void test_reconnect_a_link_given_up_refuses_its_subscriptions(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *gone = NULL;
    kit_sub *stays = NULL;
    scripted_own_links(f->broker, true);
    gone = kit_subscribe(peer, "a", NULL);
    stays = kit_subscribe(peer, "b", NULL);
    scripted_drop(f->broker, 1, 0, PUBSUB_EDENIED);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_REFUSED) == 1);
    KIT_ERR(PUBSUB_EDENIED, pubsub_subscription_wait(gone->handle, 0, NULL, &error));
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_UNSUBSCRIBE, "a"), 1);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CONNECTED);
    scripted_deliver_one(f->broker, "b", "to b", 1);
    AWAIT(f, kit_count(stays) == 1);
}

static void test_reconnect_a_lost_subscription_is_asked_for_again(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_lose(f->broker, "a", PUBSUB_EBUSY);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED), 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CONNECT), 1);
    scripted_lose(f->broker, "a", PUBSUB_EDENIED);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_REFUSED) == 1);
    KIT_ERR(PUBSUB_EDENIED, pubsub_subscription_wait(sub->handle, 0, NULL, &error));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_UNSUBSCRIBE), 1);
}

static void test_reconnect_an_interruption_is_told_once(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, "reconnect_min=100ms reconnect_max=100ms");
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_lose(f->broker, "a", PUBSUB_EBUSY);
    scripted_lose(f->broker, "a", PUBSUB_EBUSY); /* while it waits to be asked for again */
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_SUBSCRIBED) == 2);
    assert_int_equal(kit_events_of(peer, PUBSUB_EVENT_INTERRUPTED), 1);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, kit_count(sub) == 1);
}

static void test_reconnect_a_refused_subscription_is_over(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *stays = kit_subscribe(peer, "b", NULL);
    kit_sub *sub = NULL;
    scripted_refuse(f->broker, "a", PUBSUB_EDENIED);
    sub = kit_subscribe_later(peer, "a", NULL, NULL, NULL);
    KIT_ERR(PUBSUB_EDENIED,
            pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, &error));
    KIT_SAYS(error.text, "as scripted");
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_REFUSED) == 1);
    fixture_cut(f, peer, 0);
    AWAIT(f, scripted_count_text(f->broker, SCRIPTED_SUBSCRIBE, "b") == 2);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBSCRIBE, "a"), 1);
    assert_int_equal(kit_count(stays), 0);
}

static void test_reconnect_errors_without_a_call_become_events(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_error(f->broker, PUBSUB_EIO);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_ERROR) == 1);
    KIT_ERR(PUBSUB_EIO, kit_event_find(peer, PUBSUB_EVENT_ERROR, 0)->error.code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_reconnect_backs_off_capped_and_jittered),
        FIXTURE_TEST(test_reconnect_starts_over_after_success),
        FIXTURE_TEST(test_reconnect_tells_states_and_counts),
        FIXTURE_TEST(test_reconnect_subscribes_before_it_resends),
        FIXTURE_TEST(test_reconnect_tells_each_subscription),
        FIXTURE_TEST(test_reconnect_raises_a_gap_where_continuity_is_not_known),
        FIXTURE_TEST(test_reconnect_gaps_of_the_broker_are_passed_on),
        FIXTURE_TEST(test_reconnect_keeps_publishes_and_subscribes_made_meanwhile),
        FIXTURE_TEST(test_reconnect_of_a_paused_link_is_not_ours),
        FIXTURE_TEST(test_reconnect_of_a_paused_link_subscribes_what_was_asked_meanwhile),
        FIXTURE_TEST(test_reconnect_of_one_link_leaves_the_others),
        FIXTURE_TEST(test_reconnect_a_link_given_up_refuses_its_subscriptions),
        FIXTURE_TEST(test_reconnect_a_lost_subscription_is_asked_for_again),
        FIXTURE_TEST(test_reconnect_an_interruption_is_told_once),
        FIXTURE_TEST(test_reconnect_a_refused_subscription_is_over),
        FIXTURE_TEST(test_reconnect_errors_without_a_call_become_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
