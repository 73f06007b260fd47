/* SPDX-License-Identifier: MIT */
/* workers=N: messages of different keys side by side, those of one key one after the other. */
#include "unit/client/fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 7, EACH = 60, BLOCK = 42 };

/* What handlers see, by key; payloads are "<key>:<number>". */
typedef struct watch {
    atomic_int busy[KEYS];
    atomic_int next[KEYS]; /* the number that has to come */
    atomic_int overlaps, disorders, running, most;
    atomic_int fails;  /* refuse so many times */
    atomic_bool block; /* handlers of key 0 stay while this is set */
} watch;

static void raise_to(atomic_int *most, int value)
{
    int seen = atomic_load(most);
    while (value > seen && !atomic_compare_exchange_weak(most, &seen, value)) {
    }
}

static int watch_handler(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    watch *w = sub->ctx;
    int key = 0;
    int number = 0;
    int refused = 0;
    kit_deadline until = kit_in(KIT_PATIENCE);
    (void)message;
    if (sscanf(copy->payload.data, "%d:%d", &key, &number) != 2) {
        abort();
    }
    if (atomic_fetch_add(&w->busy[key], 1) != 0) {
        atomic_fetch_add(&w->overlaps, 1);
    }
    raise_to(&w->most, atomic_fetch_add(&w->running, 1) + 1);
    while (key == 0 && atomic_load(&w->block) && !kit_over(until)) {
        kit_breathe();
    }
    if (number % 8 == 0) {
        kit_breathe(); /* so that others overtake if they can */
    }
    if (number % 5 == 3 && atomic_fetch_sub(&w->fails, 1) > 0) {
        refused = 1;
    } else if (atomic_fetch_add(&w->next[key], 1) != number) {
        atomic_fetch_add(&w->disorders, 1);
    }
    atomic_fetch_sub(&w->running, 1);
    atomic_fetch_sub(&w->busy[key], 1);
    return refused;
}

/* KEYS times EACH messages, keys in turn; tokens count from 0. */
static void deliver_all(fixture *f)
{
    static char payloads[KEYS * EACH][16];
    scripted_message block[BLOCK];
    for (size_t i = 0; i < (size_t)KEYS * EACH; i++) {
        (void)snprintf(payloads[i], sizeof(payloads[i]), "%zu:%zu", i % KEYS, i / KEYS);
        block[i % BLOCK] = (scripted_message){NULL, payloads[i], i, 0, 1, 1, 0};
        if (i % BLOCK == BLOCK - 1) {
            scripted_deliver(f->broker, "a", block, BLOCK);
        }
    }
}

static void each_key_is_complete(watch *w)
{
    assert_int_equal(atomic_load(&w->overlaps), 0);
    assert_int_equal(atomic_load(&w->disorders), 0);
    for (int key = 0; key < KEYS; key++) {
        assert_int_equal(atomic_load(&w->next[key]), EACH);
    }
}

static kit_sub *watched(fixture *f, const char *options, watch *w)
{
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    return kit_subscribe_with(peer, "a", options, watch_handler, w);
}

static void test_workers_keep_the_order_of_each_key(void **state)
{
    fixture *f = *state;
    watch w = {.fails = 0};
    (void)watched(f, "workers=4", &w);
    deliver_all(f);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == (size_t)KEYS * EACH);
    each_key_is_complete(&w);
    assert_true(atomic_load(&w.most) > 1);
    assert_true(atomic_load(&w.most) <= 4);
}

static void test_workers_go_on_beside_a_slow_key(void **state)
{
    fixture *f = *state;
    watch w = {.block = true};
    (void)watched(f, "workers=2", &w);
    deliver_all(f);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == (size_t)(KEYS - 1) * EACH);
    assert_int_equal(atomic_load(&w.next[0]), 0);
    atomic_store(&w.block, false);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == (size_t)KEYS * EACH);
    each_key_is_complete(&w);
}

static void retries_keep_the_order(fixture *f)
{
    watch w = {.fails = 60};
    kit_sub *sub = watched(f, "workers=4 nack_delay=3ms max_attempts=0", &w);
    deliver_all(f);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == (size_t)KEYS * EACH);
    each_key_is_complete(&w);
    assert_int_equal(kit_stats(sub->peer).nacked, 60);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_NACK), 0);
}

static void test_workers_hold_a_key_back_while_one_of_it_is_tried_again(void **state)
{
    retries_keep_the_order(*state);
}

static void test_workers_try_again_here_where_the_broker_would_lose_the_order(void **state)
{
    fixture *f = *state;
    scripted_native_nack(f->broker, true);
    retries_keep_the_order(f);
}

static int fail_first(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    (void)sub;
    (void)message;
    return kit_is(copy->payload, "k:first") ? 1 : 0;
}

static void test_workers_go_on_with_a_key_after_its_dead_letter(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    kit_sub *sub = kit_subscribe_with(peer, "a", "workers=4 group=g nack_delay=1ms max_attempts=3",
                                      fail_first, NULL);
    const scripted_message two[] = {{NULL, "k:first", 1, 0, 1, 1, 0},
                                    {NULL, "k:second", 2, 0, 1, 1, 0}};
    scripted_hold(f->broker, true); /* the dead letter stays unconfirmed */
    scripted_deliver(f->broker, "a", two, 2);
    AWAIT(f, scripted_in_flight(f->broker) == 1);
    assert_int_equal(kit_count(sub), 3);
    assert_int_equal(kit_count_of(sub, "k:second"), 0);
    assert_int_equal(scripted_accept(f->broker, 1), 1);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 2);
    assert_int_equal(kit_count_of(sub, "k:second"), 1);
}

/* Handlers that wait until three have begun: they run at the same time or not at all. */
static int meet(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    kit_deadline until = kit_in(KIT_PATIENCE);
    atomic_int *begun = sub->ctx;
    (void)copy;
    (void)message;
    atomic_fetch_add(begun, 1);
    while (atomic_load(begun) < 3 && !kit_over(until)) {
        kit_breathe();
    }
    return kit_over(until) ? 1 : 0;
}

static void test_workers_need_no_keys(void **state)
{
    fixture *f = *state;
    atomic_int begun = 0;
    kit_peer *peer = fixture_connected(f, "workers=3"); /* the client's is the default */
    kit_sub *sub = kit_subscribe_later(peer, "a", NULL, NULL, NULL);
    sub->ctx = &begun;
    sub->decide = meet;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    for (uint64_t token = 1; token <= 3; token++) {
        scripted_deliver_one(f->broker, "a", "x", token);
    }
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 3);
}

static int by_topic(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    int limit = 2;
    (void)message;
    for (int i = 0; i < 10 && kit_is(copy->payload, "x"); i++) {
        kit_breathe();
        raise_to(sub->ctx, atomic_load(&sub->running));
        limit = atomic_load(&sub->running) > limit ? 9 : limit;
    }
    return 0;
}

static void test_workers_keep_order_by_topic_where_order_is_asked_for(void **state)
{
    fixture *f = *state;
    atomic_int most = 0;
    kit_peer *peer = fixture_connected(f, NULL);
    kit_sub *sub = kit_subscribe_with(peer, "t/+", "workers=4 order=key", by_topic, &most);
    const scripted_message four[] = {{"t/1", "x", 1, 0, 1, 1, 0},
                                     {"t/1", "x", 2, 0, 1, 1, 0},
                                     {"t/1", "x", 3, 0, 1, 1, 0},
                                     {"t/2", "x", 4, 0, 1, 1, 0}};
    scripted_deliver(f->broker, "t/+", four, 4);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 4);
    assert_int_equal(kit_count(sub), 4);
    assert_true(atomic_load(&most) <= 2);
}

static void test_workers_hold_a_key_until_it_is_acked(void **state)
{
    fixture *f = *state;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    kit_sub *sub =
        kit_subscribe_later(peer, "a", "workers=4 ack=manual nack_delay=5ms", NULL, NULL);
    sub->keep = true;
    KIT_OK(pubsub_subscription_wait(sub->handle, kit_ms(KIT_PATIENCE), NULL, NULL), NULL);
    const scripted_message four[] = {{NULL, "k:1", 1, 0, 1, 1, 0},
                                     {NULL, "k:2", 2, 0, 1, 1, 0},
                                     {NULL, "k:3", 3, 0, 1, 1, 0},
                                     {NULL, "j:1", 4, 0, 1, 1, 0}};
    scripted_deliver(f->broker, "a", four, 4);
    AWAIT(f, kit_count(sub) == 2);
    kit_message *first = kit_find(sub, "k:1");
    assert_non_null(first);
    assert_non_null(kit_find(sub, "j:1"));
    KIT_OK(pubsub_message_nack(first->ref, 5, "not yet"), NULL);
    AWAIT(f, kit_count(sub) == 3);
    assert_int_equal(kit_count_of(sub, "k:1"), 2);
    KIT_OK(pubsub_message_ack(kit_at(sub, 2)->ref), NULL);
    AWAIT(f, kit_count(sub) == 4);
    assert_true(kit_is(kit_at(sub, 3)->payload, "k:2"));
    KIT_OK(pubsub_message_ack(kit_at(sub, 3)->ref), NULL);
    AWAIT(f, kit_count(sub) == 5);
    assert_true(kit_is(kit_at(sub, 4)->payload, "k:3"));
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 2);
    assert_int_equal(scripted_nth(f->broker, SCRIPTED_ACK, 0).number, 1);
}

/* Settles first and goes on working: the key is free when both are over. */
static int settle_early(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    watch *w = sub->ctx;
    if (atomic_fetch_add(&w->busy[0], 1) != 0) {
        atomic_fetch_add(&w->overlaps, 1);
    }
    if (copy->redelivered || kit_is(copy->payload, "k:2")) {
        (void)pubsub_message_ack(message);
    } else {
        (void)pubsub_message_nack(message, 0, "again");
    }
    for (int i = 0; i < 10; i++) {
        kit_breathe();
    }
    atomic_fetch_sub(&w->busy[0], 1);
    return 0;
}

static void test_workers_wait_for_a_handler_that_has_settled(void **state)
{
    fixture *f = *state;
    watch w = {.fails = 0};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    kit_sub *sub = kit_subscribe_with(peer, "a", "workers=4 ack=manual", settle_early, &w);
    const scripted_message two[] = {{NULL, "k:1", 1, 0, 1, 1, 0}, {NULL, "k:2", 2, 0, 1, 1, 0}};
    scripted_deliver(f->broker, "a", two, 2);
    AWAIT(f, kit_count(sub) == 3);
    assert_true(kit_is(kit_at(sub, 1)->payload, "k:1"));
    assert_true(kit_is(kit_at(sub, 2)->payload, "k:2"));
    assert_int_equal(atomic_load(&w.overlaps), 0);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 2);
}

static void test_workers_keep_the_order_of_unacked_messages(void **state)
{
    fixture *f = *state;
    watch w = {.fails = 0};
    kit_sub *sub = watched(f, "workers=4 qos=0", &w);
    static char payloads[40][16];
    scripted_message messages[40];
    for (size_t i = 0; i < 40; i++) {
        (void)snprintf(payloads[i], sizeof(payloads[i]), "%zu:%zu", i % 2, i / 2);
        messages[i] = (scripted_message){NULL, payloads[i], i, PUBSUB_SPI_NO_ACK, 1, 0, 0};
    }
    scripted_deliver(f->broker, "a", messages, 40);
    AWAIT(f, kit_count(sub) == 40);
    assert_int_equal(atomic_load(&w.overlaps), 0);
    assert_int_equal(atomic_load(&w.disorders), 0);
}

static void test_workers_pulling_gets_one_of_a_key_at_a_time(void **state)
{
    fixture *f = *state;
    pubsub_message *out[4];
    size_t count = 0;
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    kit_sub *sub = kit_pull(peer, "a", "workers=2");
    const scripted_message three[] = {
        {NULL, "k:1", 1, 0, 1, 1, 0}, {NULL, "k:2", 2, 0, 1, 1, 0}, {NULL, "j:1", 3, 0, 1, 1, 0}};
    scripted_deliver(f->broker, "a", three, 3);
    KIT_OK(pubsub_subscription_next_batch(sub->handle, 0, out, 4, &count, NULL), NULL);
    assert_int_equal(count, 2);
    assert_true(kit_is(pubsub_message_payload(out[0]), "k:1"));
    assert_true(kit_is(pubsub_message_payload(out[1]), "j:1"));
    KIT_ERR(PUBSUB_EAGAIN,
            pubsub_subscription_next_batch(sub->handle, 0, &out[2], 1, &count, NULL));
    KIT_OK(pubsub_message_ack(out[0]), NULL);
    KIT_OK(
        pubsub_subscription_next_batch(sub->handle, kit_ms(KIT_PATIENCE), &out[2], 1, &count, NULL),
        NULL);
    assert_true(kit_is(pubsub_message_payload(out[2]), "k:2"));
    KIT_OK(pubsub_message_ack(out[1]), NULL);
    KIT_OK(pubsub_message_ack(out[2]), NULL);
    for (size_t i = 0; i < 3; i++) {
        pubsub_message_unref(out[i]);
    }
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_DISPATCH_TEST(test_workers_keep_the_order_of_each_key),
        FIXTURE_DISPATCH_TEST(test_workers_go_on_beside_a_slow_key),
        FIXTURE_DISPATCH_TEST(test_workers_hold_a_key_back_while_one_of_it_is_tried_again),
        FIXTURE_DISPATCH_TEST(test_workers_try_again_here_where_the_broker_would_lose_the_order),
        FIXTURE_DISPATCH_TEST(test_workers_go_on_with_a_key_after_its_dead_letter),
        FIXTURE_DISPATCH_TEST(test_workers_need_no_keys),
        FIXTURE_DISPATCH_TEST(test_workers_keep_order_by_topic_where_order_is_asked_for),
        FIXTURE_DISPATCH_TEST(test_workers_hold_a_key_until_it_is_acked),
        FIXTURE_DISPATCH_TEST(test_workers_wait_for_a_handler_that_has_settled),
        FIXTURE_DISPATCH_TEST(test_workers_keep_the_order_of_unacked_messages),
        FIXTURE_TEST(test_workers_pulling_gets_one_of_a_key_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
