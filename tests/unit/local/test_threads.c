/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* One handle, many threads: appending, flushing, waiting and looking at the same time; cursors of their own. */

enum { WRITERS = 3, READERS = 2, EACH = 1500 };

typedef struct worker {
    local_store *store;
    unsigned id;
    atomic_bool failed;
    unsigned last[WRITERS]; /* a reader's: how far it got with each writer */
    pthread_t thread;
} worker;

static void *write_main(void *ctx)
{
    worker *w = ctx;
    char text[32], topic[8];
    (void)snprintf(topic, sizeof(topic), "w%u", w->id);
    for (unsigned i = 0; i < EACH; i++) {
        (void)snprintf(text, sizeof(text), "%u:%u", w->id, i);
        local_record record = {
            .topic = bus_bytes(topic), .payload = bus_bytes(text), .retain = i % 7 == 0};
        local_position end;
        if (pubsub__local_append(w->store, &record, 1, NULL, &end, NULL) != PUBSUB_OK ||
            (i % 100 == 0 && pubsub__local_sync(w->store, end, NULL) != PUBSUB_OK)) {
            atomic_store(&w->failed, true);
            break;
        }
        local_info info;
        if (i % 50 == 0 && pubsub__local_info(w->store, &info, NULL) != PUBSUB_OK) {
            atomic_store(&w->failed, true);
        }
    }
    return NULL;
}

static bool take(worker *w, const local_view *view)
{
    char text[32] = "";
    memcpy(text, view->payload.data, view->payload.len);
    char *colon;
    unsigned id = (unsigned)strtoul(text, &colon, 10);
    unsigned number = (unsigned)strtoul(colon + 1, NULL, 10);
    return id < WRITERS && number == w->last[id]++;
}

static void *read_main(void *ctx)
{
    worker *w = ctx;
    static const local_from from = {.kind = LOCAL_FROM_EARLIEST};
    static const local_filter all = {false, 0, NULL, NULL};
    local_cursor *cursor = NULL;
    if (pubsub__local_cursor_open(&cursor, w->store, &from, &all, NULL) != PUBSUB_OK) {
        atomic_store(&w->failed, true);
        return NULL;
    }
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    for (unsigned read = 0; read < WRITERS * EACH && !kit_over(deadline);) {
        local_view view;
        local_gap gap;
        uint32_t generation = pubsub__local_generation(w->store);
        int rc = pubsub__local_cursor_next(cursor, &view, &gap, NULL);
        if (rc == LOCAL_NEXT_RECORD && take(w, &view)) {
            read++;
        } else if (rc == LOCAL_NEXT_EMPTY) {
            (void)pubsub__local_wait(w->store, generation, LOCAL_BITS_ALL, 1000);
        } else {
            atomic_store(&w->failed, true);
            break;
        }
    }
    pubsub__local_cursor_close(cursor);
    return NULL;
}

static void test_threads_share_a_handle(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    static worker workers[WRITERS + READERS];
    memset(workers, 0, sizeof(workers));
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i].store = b.store;
        workers[i].id = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL,
                                        i < WRITERS ? write_main : read_main, &workers[i]),
                         0);
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_false(atomic_load(&workers[i].failed));
    }
    for (unsigned i = WRITERS; i < WRITERS + READERS; i++) {
        for (unsigned writer = 0; writer < WRITERS; writer++) {
            assert_int_equal(workers[i].last[writer], EACH);
        }
    }
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_share_a_handle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
