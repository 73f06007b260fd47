/* SPDX-License-Identifier: MIT */
#include "engine/window.h"

#include "base/alloc.h"
#include "base/rand.h"
#include "support/cmocka.h"

#include <pubsub/connector.h>

#include <stdio.h>
#include <string.h>

static pubsub_bytes bytes(const char *text)
{
    return pubsub_bytes_of(text);
}

static void assert_commit(bridge_window *window, const char *expected)
{
    pubsub_bytes position = {NULL, 0};
    bool fresh = bridge_window_commit(window, &position);
    assert_int_equal(fresh, expected != NULL);
    if (expected != NULL) {
        assert_int_equal(position.len, strlen(expected));
        assert_memory_equal(position.data, expected, position.len);
    }
}

static void test_window_yields_the_contiguous_position(void **state)
{
    (void)state;
    bridge_window window;
    uint64_t n[4];
    bridge_window_init(&window, 8);
    assert_true(bridge_window_add(&window, bytes("a"), &n[0]));
    assert_true(bridge_window_add(&window, bytes("b"), &n[1]));
    assert_true(bridge_window_add(&window, bytes(""), &n[2]));
    assert_true(bridge_window_add(&window, bytes("d"), &n[3]));
    assert_commit(&window, NULL);
    assert_true(bridge_window_done(&window, n[1]));
    assert_commit(&window, NULL);
    assert_true(bridge_window_done(&window, n[0]));
    assert_commit(&window, "b");
    assert_commit(&window, NULL); /* once */
    assert_true(bridge_window_done(&window, n[2]));
    assert_commit(&window, NULL); /* no position stands behind it */
    assert_true(bridge_window_done(&window, n[3]));
    assert_commit(&window, "d");
    assert_int_equal(bridge_window_count(&window), 0);
    bridge_window_fini(&window);
}

static void test_window_refuses_what_is_not_there(void **state)
{
    (void)state;
    bridge_window window;
    uint64_t n = 0;
    bridge_window_init(&window, 2);
    assert_false(bridge_window_done(&window, 0));
    assert_true(bridge_window_add(&window, bytes("a"), &n));
    assert_false(bridge_window_done(&window, n + 1));
    assert_true(bridge_window_done(&window, n));
    assert_false(bridge_window_done(&window, n));
    assert_true(bridge_window_add(&window, bytes("b"), &n));
    assert_true(bridge_window_add(&window, bytes("c"), &n));
    assert_false(bridge_window_add(&window, bytes("d"), &n)); /* full */
    assert_int_equal(bridge_window_count(&window), 2);
    bridge_window_fini(&window);
}

static void test_window_passes_over(void **state)
{
    (void)state;
    bridge_window window;
    uint64_t n = 0;
    bridge_window_init(&window, 8);
    assert_false(bridge_window_pass(&window, bytes("")));
    assert_true(bridge_window_pass(&window, bytes("x")));
    assert_commit(&window, "x");
    assert_true(bridge_window_add(&window, bytes("a"), &n));
    assert_true(bridge_window_pass(&window, bytes("longer than a")));
    assert_true(bridge_window_pass(&window, bytes("z")));
    assert_commit(&window, NULL);
    assert_true(bridge_window_done(&window, n));
    assert_commit(&window, "z");
    bridge_window_fini(&window);
}

/* The same by the plainest means: an array, and the last position before the first that is open. */
enum { STEPS = 200000, MODEL_MAX = 256 };
typedef struct plain {
    char position[24];
    bool done;
} plain;
static plain entries[STEPS];

static void compare(bridge_window *window, size_t first, char *last)
{
    pubsub_bytes position;
    char expected[24] = "";
    for (size_t i = 0; i < first; i++) {
        if (entries[i].position[0] != '\0') {
            memcpy(expected, entries[i].position, sizeof expected);
        }
    }
    if (bridge_window_commit(window, &position)) {
        memcpy(last, position.data, position.len);
        last[position.len] = '\0';
    }
    assert_string_equal(last, expected);
}

static void random_round(unsigned seed_steps)
{
    bridge_window window;
    size_t tail = 0;
    size_t first = 0;
    char last[64] = "";
    bridge_window_init(&window, MODEL_MAX);
    for (unsigned step = 0; step < seed_steps; step++) {
        uint64_t dice = pubsub__rand_below(10);
        if (dice < 5 && tail - first < MODEL_MAX) {
            uint64_t number = 0;
            plain *e = &entries[tail];
            e->done = false;
            e->position[0] = '\0';
            if (pubsub__rand_below(4) > 0) {
                (void)snprintf(e->position, sizeof e->position, "%0*zu",
                               (int)(1 + pubsub__rand_below(20)), tail);
            }
            assert_true(bridge_window_add(&window, bytes(e->position), &number));
            assert_int_equal(number, tail++);
        } else if (dice == 5 && tail > first) {
            plain *e = &entries[tail - 1];
            if (!e->done) {
                (void)snprintf(e->position, sizeof e->position, "p%u", step);
                assert_true(bridge_window_pass(&window, bytes(e->position)));
            }
        } else if (tail > first) {
            size_t at = first + (size_t)pubsub__rand_below(tail - first);
            assert_int_equal(bridge_window_done(&window, at), !entries[at].done);
            entries[at].done = true;
        }
        while (first < tail && entries[first].done) {
            first++;
        }
        if (step % 64 == 0 || step + 1 == seed_steps) {
            compare(&window, first, last);
        }
        assert_int_equal(bridge_window_count(&window), tail - first);
    }
    bridge_window_fini(&window);
}

static void test_window_equals_a_naive_model(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 60; round++) {
        random_round(2000);
    }
    assert_int_equal(pubsub__alloc_live(), 0);
}

static void test_window_takes_no_memory_in_the_steady_state(void **state)
{
    (void)state;
    bridge_window window;
    uint64_t n = 0;
    uint64_t before = 0;
    char position[32];
    bridge_window_init(&window, 64);
    for (unsigned i = 0; i < 100000; i++) {
        (void)snprintf(position, sizeof position, "position-%010u", i);
        assert_true(bridge_window_add(&window, bytes(position), &n));
        if (n >= 63) {
            assert_true(bridge_window_done(&window, n - 63));
        }
        before = i == 1000 ? pubsub__alloc_count() : before;
    }
    assert_int_equal(pubsub__alloc_count(), before);
    bridge_window_fini(&window);
}

static void test_window_survives_no_memory(void **state)
{
    (void)state;
    bridge_window window;
    uint64_t n = 0;
    bridge_window_init(&window, 64);
    for (unsigned nth = 1; nth < 4; nth++) {
        pubsub__alloc_fail_at(nth);
        bool added = bridge_window_add(&window, bytes("a"), &n);
        pubsub__alloc_fail_at(0);
        if (added) {
            assert_true(bridge_window_done(&window, n));
        }
        assert_int_equal(bridge_window_count(&window), 0);
    }
    bridge_window_fini(&window);
    assert_int_equal(pubsub__alloc_live(), 0);
}

/* What stands behind the last position is done, and comes again all the same. */
static void test_window_knows_what_a_position_covers(void **state)
{
    (void)state;
    bridge_window window;
    uint64_t n[5];
    bridge_window_init(&window, 8);
    assert_true(bridge_window_add(&window, bytes("a"), &n[0]));
    assert_true(bridge_window_add(&window, bytes(""), &n[1]));
    assert_true(bridge_window_add(&window, bytes(""), &n[2]));
    for (size_t i = 0; i < 3; i++) {
        assert_true(bridge_window_done(&window, n[i]));
    }
    assert_commit(&window, "a");
    assert_int_equal(window.covers, n[1]);
    assert_true(bridge_window_add(&window, bytes(""), &n[3]));
    assert_true(bridge_window_add(&window, bytes("e"), &n[4]));
    assert_true(bridge_window_done(&window, n[3]));
    assert_commit(&window, NULL);
    assert_int_equal(window.covers, n[1]);
    assert_true(bridge_window_done(&window, n[4]));
    assert_commit(&window, "e");
    assert_int_equal(window.covers, n[4] + 1);
    assert_true(bridge_window_add(&window, bytes(""), &n[0]));
    assert_true(bridge_window_done(&window, n[0]));
    assert_int_equal(window.covers, n[0]);
    assert_true(bridge_window_pass(&window, bytes("f")));
    assert_commit(&window, "f");
    assert_int_equal(window.covers, n[0] + 1);
    bridge_window_fini(&window);
}

static void test_window_takes_the_longest_positions(void **state)
{
    (void)state;
    bridge_window window;
    char *text = pubsub__alloc(PUBSUB_POSITION_BYTES_MAX + 1);
    assert_non_null(text);
    bridge_window_init(&window, 2);
    for (char c = 'a'; c < 'd'; c++) {
        memset(text, c, PUBSUB_POSITION_BYTES_MAX);
        text[PUBSUB_POSITION_BYTES_MAX] = '\0';
        assert_true(bridge_window_pass(&window, bytes(text)));
        assert_commit(&window, text);
    }
    bridge_window_fini(&window);
    pubsub__free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_yields_the_contiguous_position),
        cmocka_unit_test(test_window_refuses_what_is_not_there),
        cmocka_unit_test(test_window_passes_over),
        cmocka_unit_test(test_window_equals_a_naive_model),
        cmocka_unit_test(test_window_takes_no_memory_in_the_steady_state),
        cmocka_unit_test(test_window_survives_no_memory),
        cmocka_unit_test(test_window_knows_what_a_position_covers),
        cmocka_unit_test(test_window_takes_the_longest_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
