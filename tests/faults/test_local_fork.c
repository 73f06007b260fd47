/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include "support/child.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Programs that fork while they publish, and readers that stand still. */

/* Everything is refused in the child, and closing touches nothing of the parent's. */
static int as_child(local_store *store, local_cursor *cursor, local_group *group)
{
    local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes("child")};
    local_view view;
    local_gap gap;
    local_claim claim;
    local_claim_info info;
    bool refused =
        pubsub__local_append(store, &record, 1, NULL, NULL, NULL) == PUBSUB_ESTATE &&
        pubsub__local_sync(store, (local_position){1, UINT64_MAX}, NULL) == PUBSUB_ESTATE &&
        pubsub__local_cursor_next(cursor, &view, &gap, NULL) == PUBSUB_ESTATE &&
        pubsub__local_group_claim(group, &claim, 1, 1, &info, NULL) == PUBSUB_ESTATE &&
        pubsub__local_gc(store, NULL) == PUBSUB_ESTATE;
    pubsub__local_group_leave(group);
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
    return refused ? 0 : 1;
}

typedef struct publisher {
    local_store *store;
    atomic_bool stop;
    unsigned published;
    bool failed;
} publisher;

static void *publish_main(void *ctx)
{
    publisher *p = ctx;
    char text[16];
    while (!atomic_load(&p->stop)) {
        (void)snprintf(text, sizeof(text), "m%u", p->published);
        local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes(text)};
        if (pubsub__local_append(p->store, &record, 1, NULL, NULL, NULL) != PUBSUB_OK) {
            p->failed = true;
            break;
        }
        p->published++;
    }
    return NULL;
}

static void test_fork_while_publishing(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    b.options.max_bytes = 512u << 20;
    b.options.segment_bytes = 65536;
    bus_open(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    static const local_group_options options = {.name = "g"};
    local_group *group;
    BUS_OK(pubsub__local_group_join(&group, b.store, &options, NULL, &bus_error));
    publisher p = {.store = b.store};
    atomic_init(&p.stop, false);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, publish_main, &p), 0);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(as_child(b.store, cursor, group));
        }
        assert_true(pid > 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), 0);
    }
    atomic_store(&p.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(p.failed);
    for (unsigned i = 0; i < p.published; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "m%u", i);
        bus_expect(cursor, text);
    }
    bus_expect_none(cursor);
    local_claim claim; /* the group is alive: its member did not leave with a child */
    local_claim_info info;
    if (p.published > 0) {
        assert_int_equal(pubsub__local_group_claim(group, &claim, 1, SIZE_MAX, &info, &bus_error),
                         1);
    }
    pubsub__local_group_leave(group);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* A child that lives on holds none of the parent's locks. */
static void test_fork_child_keeps_no_locks(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    static const local_group_options options = {.name = "name",
                                                .flags = LOCAL_GROUP_DURABLE | LOCAL_GROUP_SINGLE};
    local_group *group;
    BUS_OK(pubsub__local_group_join(&group, b.store, &options, NULL, &bus_error));
    (void)bus_put(b.store, "t", "x");
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        (void)close(go[1]);
        ssize_t n = read(go[0], &byte, 1); /* until the parent is through */
        _exit(n == 0 ? 0 : 1);
    }
    assert_true(pid > 0);
    (void)close(go[0]);
    pubsub__local_group_leave(group);
    bus_close(&b);
    b.options.repair = true; /* needs the bus to itself */
    bus_open(&b);
    BUS_OK(pubsub__local_group_join(&group, b.store, &options, NULL, &bus_error));
    pubsub__local_group_leave(group);
    (void)close(go[1]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    bus_free(&b);
}

/* Read everything slowly enough to be stopped in the middle: one line for each thousand, one for a gap. */
static int read_role(int argc, char **argv)
{
    if (argc != 1) {
        return 2;
    }
    local_options options = {.dir = argv[0], .access = LOCAL_ACCESS_READ};
    local_store *store;
    local_cursor *cursor;
    const local_from from = {.kind = LOCAL_FROM_EARLIEST};
    const local_filter all = {false, 0, NULL, NULL};
    if (pubsub__local_open(&store, &options, NULL) != PUBSUB_OK ||
        pubsub__local_cursor_open(&cursor, store, &from, &all, NULL) != PUBSUB_OK) {
        return 3;
    }
    unsigned long sum = 0;
    for (;;) {
        local_view view;
        local_gap gap;
        uint32_t generation = pubsub__local_generation(store);
        int rc = pubsub__local_cursor_next(cursor, &view, &gap, NULL);
        if (rc == LOCAL_NEXT_RECORD) {
            for (size_t i = 0; i < view.payload.len; i++) {
                sum += ((const unsigned char *)view.payload.data)[i];
            }
            if (bus_is(view.topic, "end")) {
                kit_say("end %lu", sum);
                break;
            }
            if (bus_is(view.topic, "first")) {
                kit_say("first");
            }
        } else if (rc == LOCAL_NEXT_GAP) {
            kit_say("gap %d", gap.reason);
        } else if (rc == LOCAL_NEXT_EMPTY) {
            (void)pubsub__local_wait(store, generation, LOCAL_BITS_ALL, 1000);
        } else {
            return 4;
        }
    }
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
    return 0;
}

static void test_fork_stopped_reader_gets_a_gap(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    kit_child child;
    kit_child_start(&child, "read", (const char *[]){b.dir, NULL});
    (void)bus_put(b.store, "first", "x");
    assert_true(kit_child_expect(&child, "first", KIT_PATIENCE));
    kit_child_signal(&child, SIGSTOP);
    (void)bus_fill(b.store, 8000, 200); /* three times what the bus keeps */
    (void)bus_put(b.store, "end", "x");
    kit_child_signal(&child, SIGCONT);
    char gap[16];
    (void)snprintf(gap, sizeof(gap), "gap %d", LOCAL_GAP_RETENTION);
    assert_true(kit_child_expect(&child, gap, KIT_PATIENCE));
    char line[64];
    assert_true(kit_child_line(&child, line, sizeof(line), KIT_PATIENCE));
    assert_int_equal(strncmp(line, "end ", 4), 0);
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 0);
    kit_child_end(&child);
    bus_free(&b);
}

int main(int argc, char **argv)
{
    static const kit_role roles[] = {{"read", read_role}, {NULL, NULL}};
    kit_roles(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fork_while_publishing),
        cmocka_unit_test(test_fork_child_keeps_no_locks),
        cmocka_unit_test(test_fork_stopped_reader_gets_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
