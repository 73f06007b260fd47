/* SPDX-License-Identifier: MIT */
/* workers=N: ends, interruptions, recalls, and who runs the handlers. */
#include "unit/client/fixture.h"

#include <pthread.h>
#include <stdio.h>

static const scripted_message five[] = {{NULL, "k:1", 1, 0, 1, 1, 0},
                                        {NULL, "k:2", 2, 0, 1, 1, 0},
                                        {NULL, "k:3", 3, 0, 1, 1, 0},
                                        {NULL, "j:1", 4, 0, 1, 1, 0},
                                        {NULL, "j:2", 5, 0, 1, 1, 0}};

/* Handlers stay while `closed` is set. */
typedef struct gate {
    atomic_bool closed;
    atomic_int inside, most;
} gate;

static int pass_gate(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    gate *g = sub->ctx;
    kit_deadline until = kit_in(KIT_PATIENCE);
    int inside = atomic_fetch_add(&g->inside, 1) + 1;
    int seen = atomic_load(&g->most);
    (void)copy;
    (void)message;
    while (inside > seen && !atomic_compare_exchange_weak(&g->most, &seen, inside)) {
    }
    while (atomic_load(&g->closed) && !kit_over(until)) {
        kit_breathe();
    }
    atomic_fetch_sub(&g->inside, 1);
    return 0;
}

static kit_sub *gated(fixture *f, const char *client, const char *options, gate *g)
{
    kit_peer *peer = fixture_connected(f, client);
    scripted_keys(f->broker, true);
    return kit_subscribe_with(peer, "a", options, pass_gate, g);
}

struct call {
    kit_sub *sub;
    atomic_bool done;
};

static void *unsubscribe_main(void *arg)
{
    struct call *call = arg;
    (void)pubsub_subscription_unsubscribe(call->sub->handle, 0, NULL);
    atomic_store(&call->done, true);
    return NULL;
}

static void *end_main(void *arg)
{
    struct call *call = arg;
    (void)pubsub_client_end(call->sub->peer->client, 0, NULL);
    atomic_store(&call->done, true);
    return NULL;
}

/* Two handlers run; the call returns when they have, and what nobody has seen goes back. */
static void waits_for_handlers(fixture *f, void *(*end)(void *), size_t acks)
{
    gate g = {.closed = true};
    kit_sub *sub = gated(f, NULL, "workers=4", &g);
    struct call call = {.sub = sub};
    pthread_t thread;
    scripted_deliver(f->broker, "a", five, 5);
    AWAIT(f, atomic_load(&g.inside) == 2);
    assert_int_equal(pthread_create(&thread, NULL, end, &call), 0);
    for (int i = 0; i < 30; i++) {
        kit_breathe();
    }
    assert_false(atomic_load(&call.done));
    atomic_store(&g.closed, false);
    assert_int_equal(pthread_join(thread, NULL), 0);
    kit_quiet(sub);
    assert_int_equal(atomic_load(&g.inside), 0);
    assert_int_equal(kit_count(sub), 2);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_UNSUBSCRIBE) == 1);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_ACK), acks);
    assert_int_equal(scripted_count(f->broker, SCRIPTED_RELEASE), 3);
}

static void test_workers_end_unsubscribe_waits_for_all_handlers(void **state)
{
    waits_for_handlers(*state, unsubscribe_main, 0); /* it had ended when they returned */
}

static void test_workers_end_end_waits_for_all_handlers(void **state)
{
    waits_for_handlers(*state, end_main, 2);
}

static int unsubscribe_inside(kit_sub *sub, kit_message *copy, pubsub_message *message)
{
    gate *g = sub->ctx;
    kit_deadline until = kit_in(KIT_PATIENCE);
    (void)message;
    atomic_fetch_add(&g->inside, 1);
    while (atomic_load(&g->inside) < 2 && !kit_over(until)) {
        kit_breathe();
    }
    if (kit_is(copy->payload, "k:1")) {
        (void)pubsub_subscription_unsubscribe(sub->handle, 0, NULL);
        atomic_store(&g->closed, false);
    }
    while (atomic_load(&g->closed) && !kit_over(until)) {
        kit_breathe();
    }
    return 0;
}

static void test_workers_end_unsubscribe_inside_a_handler_returns_at_once(void **state)
{
    fixture *f = *state;
    gate g = {.closed = true};
    kit_peer *peer = fixture_connected(f, NULL);
    scripted_keys(f->broker, true);
    kit_sub *sub = kit_subscribe_with(peer, "a", "workers=4", unsubscribe_inside, &g);
    scripted_deliver(f->broker, "a", five, 5);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_UNSUBSCRIBE) == 1);
    AWAIT(f, atomic_load(&sub->running) == 0);
    assert_int_equal(kit_count(sub), 2);
}

static void test_workers_end_what_the_broker_sends_again_waits_for_the_first(void **state)
{
    fixture *f = *state;
    gate g = {.closed = true};
    scripted_redelivers(f->broker, true);
    kit_sub *sub = gated(f, NULL, "workers=4", &g);
    scripted_deliver(f->broker, "a", five, 3);
    AWAIT(f, atomic_load(&g.inside) == 1);
    fixture_cut(f, sub->peer, 0);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_SUBSCRIBE) == 2);
    scripted_deliver(f->broker, "a", five, 3);
    for (int i = 0; i < 10; i++) {
        kit_breathe();
    }
    assert_int_equal(atomic_load(&g.inside), 1);
    atomic_store(&g.closed, false);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 3);
    assert_int_equal(atomic_load(&g.most), 1);
    assert_int_equal(kit_count(sub), 4);
    assert_int_equal(kit_stats(sub->peer).stale_acks, 1 + 2); /* two were never handled */
}

static void test_workers_end_recall_takes_what_waits_behind_others(void **state)
{
    fixture *f = *state;
    gate g = {.closed = true};
    size_t left = 0;
    kit_sub *sub = gated(f, NULL, "workers=4", &g);
    scripted_deliver(f->broker, "a", five, 5);
    AWAIT(f, atomic_load(&g.inside) == 2);
    assert_int_equal(scripted_recall(f->broker, "a", 1, 2, &left), 1);
    assert_int_equal(left, 1);
    atomic_store(&g.closed, false);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 4);
    assert_int_equal(kit_count_of(sub, "k:2"), 0);
    assert_int_equal(kit_count_of(sub, "k:3"), 1);
}

static void test_workers_end_recall_takes_leaders_too(void **state)
{
    fixture *f = *state;
    size_t left = 9;
    gate g = {.closed = false};
    kit_sub *sub = gated(f, NULL, "workers=4", &g); /* nobody polls yet */
    sub->peer->unpolled = true;
    scripted_deliver(f->broker, "a", five, 5);
    assert_int_equal(scripted_recall(f->broker, "a", 1, 2, &left), 2);
    assert_int_equal(left, 0);
    assert_int_equal(kit_stats(sub->peer).ready, 3);
    sub->peer->unpolled = false;
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 3);
    assert_int_equal(kit_count(sub), 3);
    assert_int_equal(kit_stats(sub->peer).ready, 0);
}

/* ---- dispatch=poll ---- */

typedef struct poller {
    pubsub_client *client;
    atomic_bool *stop;
    int first_error;
    int calls;
} poller;

static void *poll_main(void *arg)
{
    poller *self = arg;
    while (!atomic_load(self->stop)) {
        int calls = pubsub_client_poll(self->client, 1000, NULL);
        if (calls < 0) {
            self->first_error = calls;
            break;
        }
        self->calls += calls;
    }
    return NULL;
}

static void test_workers_end_threads_that_poll_share_the_work(void **state)
{
    enum { THREADS = 3 };
    fixture *f = *state;
    gate g = {.closed = true};
    atomic_bool stop = false;
    poller pollers[THREADS];
    pthread_t threads[THREADS];
    kit_sub *sub = gated(f, NULL, "workers=2", &g);
    kit_peer *peer = sub->peer;
    peer->unpolled = true;
    for (size_t i = 0; i < THREADS; i++) {
        pollers[i] = (poller){peer->client, &stop, 0, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, poll_main, &pollers[i]), 0);
    }
    scripted_deliver(f->broker, "a", five, 5);
    AWAIT(f, atomic_load(&g.inside) == 2);
    atomic_store(&g.closed, false);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 5);
    assert_int_equal(atomic_load(&g.most), 2);
    for (int i = 0; i < 100; i++) { /* reports still have one who polls */
        kit_publish(peer, "t", "x");
    }
    AWAIT(f, kit_list_count(&peer->reports) == 100);
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(pollers[i].first_error, PUBSUB_ECLOSED);
    }
    assert_int_equal(kit_count(sub), 5);
}

static void test_workers_end_one_thread_that_polls_does_it_all(void **state)
{
    fixture *f = *state;
    gate g = {.closed = false};
    kit_sub *sub = gated(f, NULL, "workers=8", &g);
    scripted_deliver(f->broker, "a", five, 5);
    AWAIT(f, scripted_count(f->broker, SCRIPTED_ACK) == 5);
    assert_int_equal(atomic_load(&g.most), 1);
    assert_int_equal(kit_count(sub), 5);
}

static void test_workers_end_a_second_poller_needs_workers(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    atomic_bool stop = false;
    kit_peer *peer = fixture_connected(f, NULL);
    poller one = {peer->client, &stop, 0, 0};
    pthread_t thread;
    kit_deadline until = kit_in(KIT_PATIENCE);
    int rc = 0;
    peer->unpolled = true;
    (void)kit_subscribe(peer, "a", NULL);
    assert_int_equal(pthread_create(&thread, NULL, poll_main, &one), 0);
    do {
        rc = pubsub_client_poll(peer->client, 0, &error);
    } while (rc >= 0 && !kit_over(until));
    assert_int_equal(rc, PUBSUB_ESTATE);
    KIT_SAYS(error.text, "workers above 1");
    KIT_OK(pubsub_client_end(peer->client, kit_ms(KIT_PATIENCE), NULL), NULL);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_workers_end_inline_has_no_threads_for_it(void **state)
{
    fixture *f = *state;
    pubsub_error error = PUBSUB_ERROR_INIT;
    kit_peer *peer = fixture_connected(f, NULL);
    KIT_ERR(PUBSUB_EOPTION, kit_try_subscribe(peer, "a", "workers=2", NULL, &error));
    KIT_SAYS(error.text, "io=inline");
}

/* ---- others of the same client ---- */

static void test_workers_end_other_handlers_do_not_wait_for_workers(void **state)
{
    fixture *f = *state;
    gate g = {.closed = true};
    kit_sub *slow = gated(f, NULL, "workers=2", &g);
    kit_sub *serial = kit_subscribe(slow->peer, "b", NULL);
    scripted_deliver(f->broker, "a", five, 5);
    AWAIT(f, atomic_load(&g.inside) == 2);
    scripted_deliver(f->broker, "b", five, 5);
    AWAIT(f, kit_count(serial) == 5);
    kit_publish(slow->peer, "t", "x");
    AWAIT(f, kit_list_count(&slow->peer->reports) == 1);
    atomic_store(&g.closed, false);
    AWAIT(f, kit_count(slow) == 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_DISPATCH_TEST(test_workers_end_unsubscribe_waits_for_all_handlers),
        FIXTURE_DISPATCH_TEST(test_workers_end_end_waits_for_all_handlers),
        FIXTURE_DISPATCH_TEST(test_workers_end_unsubscribe_inside_a_handler_returns_at_once),
        FIXTURE_DISPATCH_TEST(test_workers_end_what_the_broker_sends_again_waits_for_the_first),
        FIXTURE_DISPATCH_TEST(test_workers_end_recall_takes_what_waits_behind_others),
        FIXTURE_TEST(test_workers_end_recall_takes_leaders_too),
        FIXTURE_TEST(test_workers_end_threads_that_poll_share_the_work),
        FIXTURE_TEST(test_workers_end_one_thread_that_polls_does_it_all),
        FIXTURE_TEST(test_workers_end_a_second_poller_needs_workers),
        FIXTURE_INLINE_TEST(test_workers_end_inline_has_no_threads_for_it),
        FIXTURE_DISPATCH_TEST(test_workers_end_other_handlers_do_not_wait_for_workers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
