/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "unit/local/bus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct waiter {
    local_store *store;
    uint32_t generation, bits;
    int64_t timeout_ms;
    atomic_int done; /* 1 = woken, 2 = timed out */
    atomic_long tid; /* 0 = not running yet */
    pthread_t thread;
} waiter;

static void *wait_main(void *ctx)
{
    waiter *w = ctx;
    atomic_store(&w->tid, syscall(SYS_gettid));
    bool woken = pubsub__local_wait(w->store, w->generation, w->bits, w->timeout_ms);
    atomic_store(&w->done, woken ? 1 : 2);
    return NULL;
}

static void start(waiter *w, local_store *store, uint32_t bits, int64_t timeout_ms)
{
    w->store = store;
    w->generation = pubsub__local_generation(store);
    w->bits = bits;
    w->timeout_ms = timeout_ms;
    atomic_init(&w->done, 0);
    atomic_init(&w->tid, 0);
    assert_int_equal(pthread_create(&w->thread, NULL, wait_main, w), 0);
}

/* Whether the kernel has put the thread to sleep; the wait is the only place where it can be. */
static bool is_asleep(waiter *w)
{
    char path[64];
    char text[256] = "";
    (void)snprintf(path, sizeof(path), "/proc/self/task/%ld/stat", atomic_load(&w->tid));
    FILE *file = atomic_load(&w->tid) == 0 ? NULL : fopen(path, "r");
    if (file == NULL) {
        return false;
    }
    bool read = fgets(text, sizeof(text), file) != NULL;
    (void)fclose(file);
    const char *end = strrchr(text, ')');
    return read && end != NULL && end[1] == ' ' && end[2] == 'S';
}

static void await(waiter *w, int how)
{
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (atomic_load(&w->done) == 0 && !kit_over(deadline)) {
        kit_breathe();
    }
    assert_int_equal(atomic_load(&w->done), how);
    assert_int_equal(pthread_join(w->thread, NULL), 0);
}

static void test_wait_returns_for_its_topic(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_store *other = bus_again(&b);
    waiter w;
    start(&w, b.store, pubsub__local_topic_bits("a/b", 3), -1);
    (void)bus_put(other, "a/c/d", "same first level");
    await(&w, 1);
    pubsub__local_close(other);
    bus_free(&b);
}

static void test_wait_sleeps_through_other_topics(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char topic[8] = "a";
    uint32_t mine = pubsub__local_topic_bits("a", 1);
    for (unsigned i = 0; pubsub__local_topic_bits(topic, strlen(topic)) == mine; i++) {
        (void)snprintf(topic, sizeof(topic), "b%u", i);
    }
    waiter w;
    start(&w, b.store, mine, kit_ms(500));
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    while (!is_asleep(&w) && !kit_over(deadline)) {
        kit_breathe();
    }
    assert_true(is_asleep(&w));
    (void)bus_put(b.store, topic, "x"); /* the wake-up must not come */
    await(&w, 2);
    bus_free(&b);
}

/* Appended between reading the generation and waiting: no sleep. */
static void test_wait_misses_nothing(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    uint32_t generation = pubsub__local_generation(b.store);
    (void)bus_put(b.store, "t", "x");
    assert_true(pubsub__local_wait(b.store, generation, 1, -1));
    generation = pubsub__local_generation(b.store);
    assert_false(pubsub__local_wait(b.store, generation, LOCAL_BITS_ALL, 0));
    assert_false(pubsub__local_wait(b.store, generation, LOCAL_BITS_ALL, 5));
    bus_free(&b);
}

static void wake_self_on(local_store *store)
{
    for (unsigned i = 0; i < 200; i++) { /* at every stage of going to sleep */
        waiter w;
        start(&w, store, 1, -1);
        if (i % 3 == 0) {
            kit_breathe();
        }
        pubsub__local_wake_self(store);
        await(&w, 1);
        pubsub__local_wake_clear(store);
    }
}

static void test_wait_wake_self(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    wake_self_on(b.store);
    local_options options = {.dir = b.dir, .access = LOCAL_ACCESS_READ};
    local_store *reader;
    BUS_OK(pubsub__local_open(&reader, &options, &bus_error));
    wake_self_on(reader);
    pubsub__local_close(reader);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wait_returns_for_its_topic),
        cmocka_unit_test(test_wait_sleeps_through_other_topics),
        cmocka_unit_test(test_wait_misses_nothing),
        cmocka_unit_test(test_wait_wake_self),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
