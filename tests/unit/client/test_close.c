/* SPDX-License-Identifier: MIT */
/* Ending while something is open. */
#include "unit/client/fixture.h"

#include <pthread.h>
#include <stdio.h>

typedef struct left {
    size_t count;
    char payloads[32][16];
    pubsub_outcome outcomes[32];
} left;

static void note_left(void *ctx, const pubsub_publication *pub, pubsub_outcome outcome)
{
    left *list = ctx;
    if (list->count < 32) {
        (void)snprintf(list->payloads[list->count], sizeof(list->payloads[0]), "%.*s",
                       (int)pub->payload.len, (const char *)pub->payload.data);
        list->outcomes[list->count] = outcome;
    }
    list->count++;
}

static void test_close_flush_timeout_says_what_is_left(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    left list = {0};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 7);
    AWAIT(f, scripted_in_flight(f->broker) == 7);
    assert_int_equal(scripted_accept(f->broker, 2), 2);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(peer->client, 30, &error));
    KIT_SAYS(error.text, "5");
    assert_int_equal(pubsub_client_undelivered(peer->client, note_left, &list), 5);
    assert_int_equal(list.count, 5);
    for (size_t i = 0; i < 5; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "m%zu", i + 2);
        assert_string_equal(list.payloads[i], text);
    }
    assert_true(scripted_count(f->broker, SCRIPTED_FLUSH) >= 1);
    assert_int_equal(scripted_accept(f->broker, SIZE_MAX), 5);
    kit_flush(peer);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 0);
}

static void test_close_flush_waits_for_acks(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    scripted_lingers(f->broker, true);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, kit_count(sub) == 1);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_flush(peer->client, 30, &error));
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), 1);
    scripted_flushed(f->broker);
    scripted_lingers(f->broker, false);
    kit_flush(peer);
}

static void test_close_end_names_what_it_could_not(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    left list = {0};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    scripted_take(f->broker, 3);
    fixture_publish(peer, "m", 5);
    AWAIT(f, scripted_in_flight(f->broker) == 3);
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_end(peer->client, 40, &error));
    KIT_SAYS(error.text, "5");
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    assert_int_equal(kit_list_count(&peer->reports), 5);
    assert_int_equal(pubsub_client_undelivered(peer->client, note_left, &list), 5);
    for (size_t i = 0; i < 5; i++) {
        const kit_report *got = kit_list_at(&peer->reports, i);
        char text[16];
        (void)snprintf(text, sizeof(text), "m%zu", i);
        assert_string_equal(list.payloads[i], text);
        assert_int_equal(list.outcomes[i], i < 3 ? PUBSUB_UNKNOWN : PUBSUB_NOT_SENT);
        assert_int_equal(got->report.outcome, list.outcomes[i]);
        assert_non_null(got->report.error);
    }
    /* The list stays until the client connects again. */
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 5);
    scripted_take(f->broker, SIZE_MAX);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 0);
}

static void *accept_soon(void *ctx)
{
    fixture *f = ctx;
    for (int i = 0; i < 20; i++) {
        kit_breathe();
    }
    (void)scripted_accept(f->broker, SIZE_MAX);
    return NULL;
}

static void test_close_end_waits_for_outcomes(void **state)
{
    fixture *f = *state;
    pthread_t thread;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 5);
    AWAIT(f, scripted_in_flight(f->broker) == 5);
    assert_int_equal(pthread_create(&thread, NULL, accept_soon, f), 0);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    (void)pthread_join(thread, NULL);
    assert_int_equal(kit_list_count(&peer->reports), 5);
    assert_int_equal(kit_stats(peer).accepted, 5);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CLOSE), 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_DISCONNECT), 0);
}

static void test_close_end_while_reconnecting_keeps_its_time(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    uint64_t before = 0;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_always_fails(f->broker, PUBSUB_ECONNECT);
    scripted_drop(f->broker, 0, 0, PUBSUB_ELOST);
    fixture_publish(peer, "m", 2);
    before = kit_now();
    KIT_ERR(PUBSUB_ETIMEDOUT, pubsub_client_end(peer->client, 50, &error));
    assert_true(kit_now() - before >= 50 * 1000000ull);
    assert_true(kit_now() - before < (uint64_t)kit_ms(5000) * 1000000u);
    assert_int_equal(pubsub_client_undelivered(peer->client, NULL, NULL), 2);
}

static void test_close_an_adapter_that_does_not_answer_is_cut_off(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", NULL);
    uint64_t before = kit_now();
    scripted_slow_close(f->broker, SCRIPTED_NEVER);
    (void)pubsub_client_end(peer->client, 100, NULL);
    assert_true(kit_now() - before < (uint64_t)kit_ms(8000) * 1000000u);
    assert_int_equal(scripted_count_number(f->broker, SCRIPTED_DISCONNECT, 0), 1);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    assert_true(scripted_where(f->broker, SCRIPTED_UNSUBSCRIBE, 0) <
                scripted_where(f->broker, SCRIPTED_CLOSE, 0));
    assert_int_equal(kit_count(sub), 0);
}

static void test_close_an_adapter_may_take_its_time(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_slow_close(f->broker, 60);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_CLOSE), 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_DISCONNECT), 0);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_FINI), 1);
}

static void test_close_free_gives_up_at_once(void **state)
{
    fixture *f = *state;
    uint64_t before = 0;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe(peer, "a", "ack=manual");
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 3);
    scripted_deliver_one(f->broker, "a", "x", 1);
    AWAIT(f, kit_count(sub) == 1);
    before = kit_now();
    kit_peer_close(peer);
    assert_true(kit_now() - before < (uint64_t)kit_ms(3000) * 1000000u);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_FINI), 1);
}

static void test_close_shutdown_refuses_what_is_new_and_keeps_the_rest(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_hold(f->broker, true);
    fixture_publish(peer, "m", 3);
    KIT_OK(pubsub_client_shutdown(peer->client), NULL);
    KIT_ERR(PUBSUB_ECLOSED, pubsub_client_publish_text(peer->client, "t", "late", &error));
    KIT_ERR(PUBSUB_ECLOSED,
            pubsub_client_subscribe(peer->client, "a", NULL, NULL, NULL, NULL, &error));
    AWAIT(f, scripted_in_flight(f->broker) == 3);
    assert_int_equal(scripted_accept(f->broker, SIZE_MAX), 3);
    AWAIT(f, kit_list_count(&peer->reports) == 3);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
}

static void test_close_while_connecting(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_peer(f, NULL);
    scripted_connects(f->broker, PUBSUB_OK, SCRIPTED_NEVER);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    (void)pubsub_client_end(peer->client, 20, &error);
    assert_int_equal(pubsub_client_state(peer->client), PUBSUB_STATE_CLOSED);
    KIT_OK(pubsub_client_connect(peer->client, &error), &error);
    KIT_OK(pubsub_client_ready(peer->client, kit_ms(KIT_PATIENCE), &error), &error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_close_flush_timeout_says_what_is_left),
        FIXTURE_TEST(test_close_flush_waits_for_acks),
        FIXTURE_TEST(test_close_end_names_what_it_could_not),
        FIXTURE_TEST(test_close_end_waits_for_outcomes),
        FIXTURE_TEST(test_close_end_while_reconnecting_keeps_its_time),
        FIXTURE_TEST(test_close_an_adapter_that_does_not_answer_is_cut_off),
        FIXTURE_TEST(test_close_an_adapter_may_take_its_time),
        FIXTURE_TEST(test_close_free_gives_up_at_once),
        FIXTURE_TEST(test_close_shutdown_refuses_what_is_new_and_keeps_the_rest),
        FIXTURE_TEST(test_close_while_connecting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
