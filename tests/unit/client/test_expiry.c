/* SPDX-License-Identifier: MIT */
/* Messages whose time is over before they were sent. */
#include "unit/client/fixture.h"

static void send_expiring(kit_peer *peer, const char *payload, int64_t expiry_ms)
{
    pubsub_publication pub = kit_publication("t", payload);
    pub.expiry = expiry_ms;
    kit_send(peer, &pub);
}

static void test_expiry_while_connecting_drops(void **state)
{
    fixture *f = *state;
    size_t dropped = 0;
    kit_peer *peer = fixture_peer(f, NULL);
    scripted_connects(f->broker, PUBSUB_OK, 80);
    send_expiring(peer, "short", 20);
    send_expiring(peer, "long", 3600000);
    send_expiring(peer, "for ever", 0);
    AWAIT(f, kit_list_count(&peer->reports) == 3);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 2);
    assert_int_equal(scripted_count_text(f->broker, SCRIPTED_SUBMIT, "short"), 0);
    for (size_t i = 0; i < 3; i++) {
        const kit_report *got = kit_list_at(&peer->reports, i);
        if (got->report.outcome == PUBSUB_DROPPED) {
            dropped++;
            KIT_SAYS(got->report.error->text, "expired");
        }
    }
    assert_int_equal(dropped, 1);
    assert_int_equal(kit_stats(peer).dropped, 1);
}

static void test_expiry_before_a_resend_drops(void **state)
{
    fixture *f = *state;
    const kit_report *got = NULL;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    send_expiring(peer, "short", 40);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    scripted_connects(f->broker, PUBSUB_OK, 90);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    AWAIT(f, kit_list_count(&peer->reports) == 1);
    got = kit_list_at(&peer->reports, 0);
    assert_int_equal(got->report.outcome, PUBSUB_DROPPED);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 1);
}

static void test_expiry_behind_a_full_adapter_drops(void **state)
{
    fixture *f = *state;
    uint64_t sent = 0;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_take(f->broker, 0);
    send_expiring(peer, "short", 20);
    send_expiring(peer, "for ever", 0);
    sent = kit_now();
    AWAIT(f, kit_now() > sent + 40 * 1000000ull);
    scripted_take(f->broker, SIZE_MAX);
    scripted_writable(f->broker);
    AWAIT(f, kit_list_count(&peer->reports) == 2);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 1);
    assert_int_equal(kit_stats(peer).dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_expiry_while_connecting_drops),
        FIXTURE_TEST(test_expiry_before_a_resend_drops),
        FIXTURE_TEST(test_expiry_behind_a_full_adapter_drops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
