/* SPDX-License-Identifier: MIT */
/* Several workers while everything else happens too: retries, recalls, lost links, ends of subscriptions. For
 * the sanitizers first of all; what is checked is that no two handlers of a key run at once and that neither
 * credit nor messages stay behind. */
#include "unit/client/fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 5, BLOCK = 20, ROUNDS = 150, PREFETCH = 40 };

typedef struct watch {
    atomic_int busy[KEYS];
    atomic_int overlaps, calls;
    bool manual;
} watch;

static int stress_handler(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    watch *w = sub->ctx;
    int key = copy->payload.len > 1 && ((const char *)copy->payload.data)[1] == ':'
                  ? ((const char *)copy->payload.data)[0] - '0'
                  : -1;
    int turn = atomic_fetch_add(&w->calls, 1);
    if (key >= 0 && atomic_fetch_add(&w->busy[key], 1) != 0) {
        atomic_fetch_add(&w->overlaps, 1);
    }
    if (turn % 50 == 0) {
        kit_breathe();
    }
    bool refused = turn % 7 == 3;
    if (w->manual && turn % 11 != 5) { /* some are never settled */
        (void)(refused ? pubsub_message_nack(message, turn % 3, "no")
                       : pubsub_message_ack(message));
    }
    if (key >= 0) {
        atomic_fetch_sub(&w->busy[key], 1);
    }
    return refused ? 1 : 0;
}

static void deliver_block(fixture *f, size_t round)
{
    static const char *const payloads[] = {"0:", "1:", "2:", "3:", "4:", "none"};
    scripted_message block[BLOCK];
    for (size_t i = 0; i < BLOCK; i++) {
        block[i] = (scripted_message){NULL,
                                      payloads[(round * 7 + i * i) % (KEYS + 1)],
                                      round * BLOCK + i,
                                      i % 9 == 8 ? PUBSUB_SPI_NO_ACK : 0,
                                      1,
                                      i % 9 == 8 ? 0 : 1,
                                      0};
    }
    scripted_deliver(f->broker, "a", block, BLOCK);
}

static void stress(fixture *f, bool manual, bool native)
{
    char options[128];
    watch w = {.manual = manual};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    scripted_redelivers(f->broker, true);
    scripted_native_nack(f->broker, native);
    (void)snprintf(options, sizeof(options),
                   "workers=4 nack_delay=1ms max_attempts=4 prefetch=%d %s", PREFETCH,
                   manual ? "ack=manual" : "");
    kit_sub *sub = kit_subscribe_with(peer, "a", options, stress_handler, &w);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t left = 0;
        deliver_block(f, round);
        if (round % 3 == 1) {
            (void)scripted_recall(f->broker, "a", round * BLOCK, round * BLOCK + BLOCK / 2, &left);
        }
        if (round % 20 == 11) {
            size_t asked = scripted_count(f->broker, SCRIPTED_SUBSCRIBE);
            fixture_cut(f, peer, 0);
            AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) > asked);
        }
        if (round % 30 == 17) {
            KIT_OK(pubsub_subscription_unsubscribe(sub->handle, 0, NULL), NULL);
            assert_int_equal(atomic_load(&sub->running), 0);
            kit_quiet(sub);
            sub = kit_subscribe_with(peer, "a", options, stress_handler, &w);
        }
        if (round % 5 == 0) {
            kit_breathe();
        }
    }
    assert_int_equal(atomic_load(&w.overlaps), 0);
    if (!manual) {
        AWAIT(f, kit_stats(peer).ready == 0 && atomic_load(&sub->running) == 0);
    }
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    assert_int_equal(kit_stats(peer).ready, 0);
    assert_int_equal(kit_stats(peer).unsettled, 0);
    kit_quiet(sub);
}

static void test_workers_stress_with_retries_here(void **state)
{
    stress(*state, false, false);
}

static void test_workers_stress_with_retries_of_the_broker(void **state)
{
    stress(*state, false, true);
}

static void test_workers_stress_with_manual_acks(void **state)
{
    stress(*state, true, false);
}

/* Nothing of the credit is lost on any way a message can go. */
static void test_workers_stress_returns_all_credit(void **state)
{
    fixture *f = *state;
    watch w = {.manual = false};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    scripted_respect_credit(f->broker, true);
    kit_sub *sub = kit_subscribe_with(
        peer, "a", "workers=4 nack_delay=1ms max_attempts=3 prefetch=40", stress_handler, &w);
    for (size_t round = 0; round < ROUNDS; round++) {
        size_t left = 0;
        deliver_block(f, round);
        if (round % 3 == 1) {
            (void)scripted_recall(f->broker, "a", round * BLOCK, round * BLOCK + BLOCK / 2, &left);
        }
    }
    AWAIT(f, kit_stats(peer).received == (uint64_t)ROUNDS * BLOCK);
    AWAIT(f, kit_stats(peer).ready == 0 && atomic_load(&sub->running) == 0);
    assert_int_equal(atomic_load(&w.overlaps), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_DISPATCH_TEST(test_workers_stress_with_retries_here),
        FIXTURE_DISPATCH_TEST(test_workers_stress_with_retries_of_the_broker),
        FIXTURE_DISPATCH_TEST(test_workers_stress_with_manual_acks),
        FIXTURE_DISPATCH_TEST(test_workers_stress_returns_all_credit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
