/* SPDX-License-Identifier: MIT */
/* The same engine without a thread: poll and the blocking calls drive it. */
#include "unit/client/fixture.h"

static void test_inline_nothing_happens_by_itself(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, NULL);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    fixture_publish(peer, "m", 3);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CONNECT), 0);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 0);
    AWAIT(f, kit_list_count(&peer->reports) == 3);
    assert_int_equal(pubsub_client_fd(peer->client), PUBSUB_ESTATE);
}

static void test_inline_blocking_calls_drive_it(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("t", "x");
    kit_peer *peer = fixture_peer(f, NULL);
    kit_sub *sub = NULL;
    scripted_connects(f->broker, PUBSUB_OK, 20);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    sub = kit_subscribe(peer, "a", NULL);
    for (int i = 0; i < 50; i++) {
        (void)kit_store(peer, &pub);
    }
    fixture_publish(peer, "m", 5);
    kit_flush(peer);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_SUBMIT), 55);
    assert_int_equal(kit_list_count(&peer->reports), 0);
    AWAIT(f, kit_list_count(&peer->reports) == 5);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, kit_count(sub) == 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 1);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CLOSE), 1);
}

static void test_inline_pulling_drives_it(void **state)
{
    fixture *f = *state;
    pubsub_message *message = NULL;
    uint64_t before = 0;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_pull(peer, "a", NULL);
    before = kit_now();
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_subscription_next(sub->handle, 30, &message, NULL));
    assert_true(kit_now() - before >= 30 * 1000000ull);
    scripted_deliver_one(f->broker, "a", "x", 1);
    KIT_OK(pubsub_subscription_next(sub->handle, kit_ms(KIT_PATIENCE), &message, NULL), NULL);
    KIT_OK(pubsub_message_ack(message), NULL);
    pubsub_message_unref(message);
    kit_flush(peer);
    assert_int_equal(scripted_count_number(f->broker, SCRIPTED_ACK, 1), 1);
}

static void test_inline_reconnects_and_resends(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 4);
    AWAIT(f, scripted_in_flight(f->broker) == 4);
    scripted_connects(f->broker, PUBSUB_ECONNECT, 0);
    fixture_cut(f, peer, 2);
    AWAIT(f, scripted_in_flight(f->broker) == 4);
    assert_int_equal(scripted_accept(f->broker, SIZE_MAX), 4);
    AWAIT(f, kit_list_count(&peer->reports) == 4);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, kit_count(sub) == 1);
}

static int refuse_first(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    return copy->redelivered ? 0 : 1;
}

static void test_inline_redelivers_in_time(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "a", "nack_delay=30ms", refuse_first, NULL);
    scripted_deliver_one(f->broker, "a", "x", 1);
    while (kit_count(sub) < 2) {
        assert_true(pubsub_client_poll(peer->client, kit_ms(KIT_PATIENCE), NULL) > 0);
    }
    assert_true(kit_at(sub, 1)->at_ns >= kit_at(sub, 0)->at_ns + 30 * 1000000ull);
}

static void test_inline_timeouts(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_publication pub = kit_publication("t", "x");
    kit_peer *peer = fixture_connected(f, NULL);
    uint64_t before = kit_now();
    scripted_hold(f->broker, true);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_publish_wait(peer->client, &pub, 30, NULL, &error));
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(peer->client, 30, &error));
    assert_true(kit_now() - before >= 60 * 1000000ull);
    (void)pubsub_client_end(peer->client, 30, &error);
    assert_true(kit_now() - before < (uint64_t)kit_ms(5000) * 1000000u);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
}

static void test_inline_connect_timeout(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, "connect_timeout=40ms");
    scripted_connects(f->broker, PUBSUB_OK, SCRIPTED_NEVER);
    KIT_ERR(PUBSUB_ECONNECT, pubsub_client_ready(peer->client, PUBSUB_FOREVER, &error));
    KIT_SAYS(error.text, "40");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_INLINE_TEST(test_inline_nothing_happens_by_itself),
        FIXTURE_INLINE_TEST(test_inline_blocking_calls_drive_it),
        FIXTURE_INLINE_TEST(test_inline_pulling_drives_it),
        FIXTURE_INLINE_TEST(test_inline_reconnects_and_resends),
        FIXTURE_INLINE_TEST(test_inline_redelivers_in_time),
        FIXTURE_INLINE_TEST(test_inline_timeouts),
        FIXTURE_INLINE_TEST(test_inline_connect_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
