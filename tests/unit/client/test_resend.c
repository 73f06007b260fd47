/* SPDX-License-Identifier: MIT */
/* What becomes of publishes in flight when the connection is lost. */
#include "unit/client/fixture.h"

#include <stdio.h>

static const pubsub_report *report_at(kit_peer *peer, size_t nth)
{
    const kit_report *got = kit_list_at(&peer->reports, nth);
    assert_non_null(got);
    return &got->report;
}

/* They were submitted in this order; the first `twice` of them as possible duplicates, for which the
 * core counts how often they were handed over. */
static void check_submitted(fixture *f, size_t from, const char *prefix, size_t count, size_t twice)
{
    for (size_t i = 0; i < count; i++) {
        char text[32];
        scripted_note note = scripted_nth(f->broker, SCRIPTED_SUBMIT, from + i);
        (void)snprintf(text, sizeof(text), "%s%zu", prefix, i);
        assert_string_equal(note.text, text);
        assert_int_equal(note.number > 0, i < twice);
    }
}

static void test_resend_keeps_order_and_marks_duplicates(void **state)
{
    enum { COUNT = 6, UNKNOWN = 2 };
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", COUNT);
    AWAIT(f, scripted_in_flight(f->broker) == COUNT);
    fixture_cut(f, peer, UNKNOWN);
    AWAIT(f, scripted_in_flight(f->broker) == COUNT);
    check_submitted(f, 0, "m", COUNT, 0);
    check_submitted(f, COUNT, "m", COUNT, UNKNOWN);
    assert_int_equal(kit_list_count(&peer->reports), 0);
    assert_int_equal(scripted_accept(f->broker, SIZE_MAX), COUNT);
    AWAIT(f, kit_list_count(&peer->reports) == COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        bool twice = (report_at(peer, i)->flags & PUBSUB_REPORT_MAYBE_DUPLICATE) != 0;
        assert_int_equal(report_at(peer, i)->outcome, PUBSUB_ACCEPTED);
        assert_int_equal(twice, i < UNKNOWN);
    }
    assert_int_equal(kit_stats(peer).resent, COUNT);
    assert_int_equal(kit_stats(peer).accepted, COUNT);
}

static void test_resend_comes_before_what_is_new(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "old", 3);
    AWAIT(f, scripted_in_flight(f->broker) == 3);
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    scripted_drop(f->broker, 0, 3, PUBSUB_ELOST);
    fixture_publish(peer, "new", 3);
    scripted_always_fails(f->broker, PUBSUB_OK);
    AWAIT(f, scripted_in_flight(f->broker) == 6);
    check_submitted(f, 3, "old", 3, 3);
    check_submitted(f, 6, "new", 3, 0);
}

static void test_resend_again_and_again(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 4);
    for (size_t round = 0; round < 5; round++) {
        AWAIT(f, scripted_in_flight(f->broker) == 4);
        /* Round n - 1 left n - 1 of them unknown. */
        check_submitted(f, 4 * round, "m", 4, round > 0 ? round - 1 : 0);
        fixture_cut(f, peer, round);
    }
    AWAIT(f, scripted_in_flight(f->broker) == 4);
    assert_int_equal(scripted_accept(f->broker, SIZE_MAX), 4);
    AWAIT(f, kit_list_count(&peer->reports) == 4);
    for (size_t i = 0; i < 4; i++) {
        /* Unknown once is a possible duplicate for good: rounds 1..4 had 1..4 unknown. */
        assert_true((report_at(peer, i)->flags & PUBSUB_REPORT_MAYBE_DUPLICATE) != 0);
    }
}

static void publish_qos0(kit_peer *peer, const char *payload)
{
    pubsub_publication pub = kit_publication("t", payload);
    pub.qos = PUBSUB_AT_MOST_ONCE;
    kit_send(peer, &pub);
}

static void test_resend_not_what_is_unknown_at_qos0(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    publish_qos0(peer, "gone");
    publish_qos0(peer, "not sent");
    AWAIT(f, scripted_in_flight(f->broker) == 2);
    fixture_cut(f, peer, 1);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    assert_int_equal(scripted_accept(f->broker, SIZE_MAX), 1);
    AWAIT(f, kit_list_count(&peer->reports) == 2);
    assert_int_equal(report_at(peer, 0)->outcome, PUBSUB_UNKNOWN);
    assert_int_equal(report_at(peer, 1)->outcome, PUBSUB_ACCEPTED);
    assert_string_equal(scripted_nth(f->broker, SCRIPTED_SUBMIT, 2).text, "not sent");
    assert_int_equal(kit_stats(peer).unknown, 1);
}

static void test_resend_not_what_was_rejected(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 2);
    AWAIT(f, scripted_in_flight(f->broker) == 2);
    scripted_answer(f->broker, PUBSUB_REJECTED, PUBSUB_EREJECTED);
    AWAIT(f, kit_list_count(&peer->reports) == 1);
    assert_int_equal(report_at(peer, 0)->outcome, PUBSUB_REJECTED);
    KIT_ERR(PUBSUB_EREJECTED, report_at(peer, 0)->error->code);
    KIT_SAYS(report_at(peer, 0)->error->text, "as scripted");
    scripted_answer(f->broker, PUBSUB_NOT_SENT, PUBSUB_EDENIED);
    AWAIT(f, kit_list_count(&peer->reports) == 2);
    assert_int_equal(report_at(peer, 1)->outcome, PUBSUB_NOT_SENT);
    fixture_cut(f, peer, 0);
    kit_turn(&f->net);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 2);
    assert_int_equal(kit_stats(peer).rejected, 1);
    assert_int_equal(kit_stats(peer).not_sent, 1);
}

static void test_resend_of_what_the_adapter_could_not_take(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_take(f->broker, 2);
    fixture_publish(peer, "m", 6);
    AWAIT(f, kit_list_count(&peer->reports) == 2);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 2);
    scripted_take(f->broker, 3);
    scripted_writable(f->broker);
    AWAIT(f, kit_list_count(&peer->reports) == 5);
    scripted_take(f->broker, SIZE_MAX);
    scripted_writable(f->broker);
    AWAIT(f, kit_list_count(&peer->reports) == 6);
    check_submitted(f, 0, "m", 6, 0);
    assert_int_equal(kit_stats(peer).resent, 0);
}

static void test_resend_is_offered_again_after_an_outcome(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    scripted_take(f->broker, 2);
    fixture_publish(peer, "m", 4);
    AWAIT(f, scripted_in_flight(f->broker) == 2);
    scripted_take(f->broker, SIZE_MAX);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBMIT) == 4);
    check_submitted(f, 0, "m", 4, 0);
}

static void test_resend_ends_with_publish_timeout(void **state)
{
    fixture *f = *state;
    uint64_t before = 0;
    kit_peer *peer = fixture_connected(f, "publish_timeout=60ms");
    scripted_hold(f->broker, true);
    fixture_publish(peer, "sent", 1);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    before = kit_now();
    scripted_drop(f->broker, 0, 1, PUBSUB_ELOST);
    fixture_publish(peer, "waits", 1);
    AWAIT(f, kit_list_count(&peer->reports) == 2);
    assert_true(kit_now() - before >= 40 * 1000000ull);
    assert_int_equal(report_at(peer, 0)->outcome, PUBSUB_UNKNOWN);
    assert_int_equal(report_at(peer, 1)->outcome, PUBSUB_NOT_SENT);
    for (size_t i = 0; i < 2; i++) {
        KIT_ERR(PUBSUB_ETIMEDOUT, report_at(peer, i)->error->code);
        KIT_SAYS(report_at(peer, i)->error->text, "60");
    }
    assert_int_equal(kit_stats(peer).queued, 0);
}

static void test_resend_waiters_get_the_final_outcome(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_receipt receipt;
    pubsub_publication pub = kit_publication("t", "x");
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_publish_wait(peer->client, &pub, 20, &receipt, &error));
    assert_int_equal(receipt.outcome, PUBSUB_UNKNOWN);
    assert_int_equal(kit_stats(peer).queued, 1);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    kit_flush(peer);
    assert_int_equal(kit_stats(peer).queued, 0);
    assert_int_equal(kit_list_count(&peer->reports), 0);
    scripted_hold(f->broker, false);
    (void)kit_store(peer, &pub);
}

static void test_resend_failures_without_report_handler_become_events(void **state)
{
    fixture *f = *state;
    kit_peer *peer = kit_peer_plain(&f->net, scripted_url(f->broker), NULL);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 1);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    scripted_answer(f->broker, PUBSUB_REJECTED, PUBSUB_EREJECTED);
    AWAIT(f, kit_events_of(peer, PUBSUB_EVENT_ERROR) == 1);
    KIT_ERR(PUBSUB_EREJECTED, kit_event_find(peer, PUBSUB_EVENT_ERROR, 0)->error.code);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_resend_keeps_order_and_marks_duplicates),
        FIXTURE_TEST(test_resend_comes_before_what_is_new),
        FIXTURE_TEST(test_resend_again_and_again),
        FIXTURE_TEST(test_resend_not_what_is_unknown_at_qos0),
        FIXTURE_TEST(test_resend_not_what_was_rejected),
        FIXTURE_TEST(test_resend_of_what_the_adapter_could_not_take),
        FIXTURE_TEST(test_resend_is_offered_again_after_an_outcome),
        FIXTURE_TEST(test_resend_ends_with_publish_timeout),
        FIXTURE_TEST(test_resend_waiters_get_the_final_outcome),
        FIXTURE_TEST(test_resend_failures_without_report_handler_become_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
