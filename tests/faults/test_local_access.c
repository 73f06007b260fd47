/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/local/bus.h"

#include "support/child.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Other users, and other containers, on one directory. */

#define NOBODY 65534u

static local_store *child_open(const char *dir, pubsub_err expected)
{
    local_options options = {.dir = dir};
    local_store *store = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_err rc = pubsub__local_open(&store, &options, &err);
    if (rc != expected) {
        kit_say("failed %d %s", rc, err.text);
        exit(1);
    }
    return store;
}

/* Say what is read until there are two, then what writing gives. */
static int stranger_role(int argc, char **argv)
{
    if (argc != 2 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
        return 2;
    }
    pubsub_err expected = (pubsub_err)strtol(argv[1], NULL, 10);
    local_store *store = child_open(argv[0], expected);
    if (store == NULL) {
        kit_say("refused");
        return 0;
    }
    kit_say("%s", pubsub__local_is_readonly(store) ? "read only" : "writable");
    local_cursor *cursor = NULL;
    const local_from from = {.kind = LOCAL_FROM_EARLIEST};
    const local_filter all = {false, 0, NULL, NULL};
    if (pubsub__local_cursor_open(&cursor, store, &from, &all, NULL) != PUBSUB_OK) {
        return 3;
    }
    for (int read = 0; read < 2;) {
        local_view view;
        local_gap gap;
        uint32_t generation = pubsub__local_generation(store);
        int rc = pubsub__local_cursor_next(cursor, &view, &gap, NULL);
        if (rc == LOCAL_NEXT_RECORD) {
            kit_say("%.*s", (int)view.payload.len, (const char *)view.payload.data);
            read++;
        } else if (rc == LOCAL_NEXT_EMPTY) {
            kit_say("waiting");
            if (!pubsub__local_wait(store, generation, LOCAL_BITS_ALL, kit_ms(KIT_PATIENCE))) {
                return 4;
            }
        } else {
            return 5;
        }
    }
    local_record record = {.topic = bus_bytes("t")};
    kit_say("%d", pubsub__local_append(store, &record, 1, NULL, NULL, NULL));
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
    return 0;
}

/* A bus in a directory of that mode, which others can reach. */
static void shared_bus(bus *b, mode_t mode)
{
    bus_new(b);
    assert_int_equal(chmod(b->root, 0755), 0);
    (void)snprintf(b->dir, sizeof(b->dir), "%s/shared", b->root);
    assert_int_equal(mkdir(b->dir, 0700), 0);
    assert_int_equal(chmod(b->dir, mode), 0);
    bus_close(b);
    bus_open(b);
}

static void need_root(void)
{
    if (geteuid() != 0) {
        print_message("not root: cannot become another user\n");
        skip();
    }
}

static void test_access_of_a_reader_without_write_permission(void **state)
{
    (void)state;
    need_root();
    bus b;
    shared_bus(&b, 0755);
    (void)bus_put(b.store, "t", "one");
    kit_child child;
    char denied[16];
    kit_child_start(&child, "stranger", (const char *[]){b.dir, "0", NULL});
    assert_true(kit_child_expect(&child, "read only", KIT_PATIENCE));
    assert_true(kit_child_expect(&child, "one", KIT_PATIENCE));
    assert_true(kit_child_expect(&child, "waiting", KIT_PATIENCE));
    (void)bus_put(b.store, "t", "two"); /* the wake-up reaches a read-only mapping */
    assert_true(kit_child_expect(&child, "two", KIT_PATIENCE));
    (void)snprintf(denied, sizeof(denied), "%d", PUBSUB_EDENIED);
    assert_true(kit_child_expect(&child, denied, KIT_PATIENCE));
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 0);
    kit_child_end(&child);
    bus_free(&b);
}

static void test_access_denied(void **state)
{
    (void)state;
    need_root();
    bus b;
    shared_bus(&b, 0700);
    char denied[16];
    kit_child child;
    (void)snprintf(denied, sizeof(denied), "%d", PUBSUB_EDENIED);
    kit_child_start(&child, "stranger", (const char *[]){b.dir, denied, NULL});
    assert_true(kit_child_expect(&child, "refused", KIT_PATIENCE));
    kit_child_end(&child);
    char inside[512]; /* a new bus where nothing may be created */
    (void)snprintf(inside, sizeof(inside), "%s/none/of/this", b.root);
    kit_child_start(&child, "stranger", (const char *[]){inside, denied, NULL});
    assert_true(kit_child_expect(&child, "refused", KIT_PATIENCE));
    kit_child_end(&child);
    bus_free(&b);
}

/* A shared directory: everybody's files can be written by everybody, whoever made them. */
static void test_access_shared_for_writing(void **state)
{
    (void)state;
    need_root();
    bus b;
    shared_bus(&b, 0777);
    (void)bus_put(b.store, "t", "one");
    (void)bus_put(b.store, "t", "two");
    kit_child child;
    kit_child_start(&child, "stranger", (const char *[]){b.dir, "0", NULL});
    assert_true(kit_child_expect(&child, "writable", KIT_PATIENCE));
    assert_true(kit_child_expect(&child, "two", KIT_PATIENCE));
    assert_true(kit_child_expect(&child, "0", KIT_PATIENCE));
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 0);
    kit_child_end(&child);
    (void)bus_put(b.store, "t", "after");
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    assert_int_equal(bus_count(cursor, NULL), 4);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* ---- two PID namespaces --------------------------------------------------------------------------- */

/* As process 1 of a namespace: append, join the group, claim one message, and hold it. */
static int contained(const char *dir, const char *id)
{
    local_store *store = child_open(dir, PUBSUB_OK);
    local_group *group = NULL;
    const local_group_options options = {.name = "g", .flags = LOCAL_GROUP_DURABLE};
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__local_group_join(&group, store, &options, NULL, &err) != PUBSUB_OK) {
        kit_say("failed %s", err.text);
        return 1;
    }
    kit_say("joined as %d", (int)getpid());
    char line[16];
    while (kit_hear(line, sizeof(line))) {
        local_claim got;
        local_claim_info info;
        local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes(id)};
        if (strcmp(line, "put") == 0) {
            kit_say("%d", pubsub__local_append(store, &record, 1, NULL, NULL, &err));
            continue;
        }
        int n = pubsub__local_group_claim(group, &got, 1, SIZE_MAX, &info, &err);
        kit_say("%d %.*s", n, n == 1 ? (int)got.view.payload.len : 0,
                n == 1 ? (const char *)got.view.payload.data : "");
    }
    return 0;
}

static int container_role(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    if (unshare(CLONE_NEWPID) < 0) {
        kit_say("no namespace");
        return 0;
    }
    pid_t pid = fork();
    if (pid == 0) {
        exit(contained(argv[0], argv[1]));
    }
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

static void test_access_from_two_pid_namespaces(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    kit_child one, two;
    char line[64];
    kit_child_start(&one, "container", (const char *[]){b.dir, "from one", NULL});
    assert_true(kit_child_line(&one, line, sizeof(line), KIT_PATIENCE));
    if (strcmp(line, "no namespace") == 0) {
        print_message("not allowed to make a PID namespace\n");
        kit_child_end(&one);
        bus_free(&b);
        skip();
    }
    assert_string_equal(line, "joined as 1");
    kit_child_start(&two, "container", (const char *[]){b.dir, "from two", NULL});
    assert_true(kit_child_expect(&two, "joined as 1", KIT_PATIENCE)); /* the same number */
    kit_child_tell(&one, "put");
    assert_true(kit_child_expect(&one, "0", KIT_PATIENCE));
    kit_child_tell(&two, "put");
    assert_true(kit_child_expect(&two, "0", KIT_PATIENCE));
    kit_child_tell(&one, "claim");
    assert_true(kit_child_expect(&one, "1 from one", KIT_PATIENCE));
    kit_child_tell(&two, "claim");
    assert_true(kit_child_expect(&two, "1 from two", KIT_PATIENCE));
    kit_child_tell(&two, "claim"); /* the first one lives: its lease holds */
    assert_true(kit_child_expect(&two, "0 ", KIT_PATIENCE));
    /* End the first by the end of its input: leaves without a word, like a killed one. */
    kit_child_end(&one);
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    bool taken = false;
    while (!taken && !kit_over(deadline)) {
        kit_child_tell(&two, "claim");
        assert_true(kit_child_line(&two, line, sizeof(line), KIT_PATIENCE));
        taken = strcmp(line, "1 from one") == 0;
        kit_breathe();
    }
    assert_true(taken);
    kit_child_end(&two);
    bus_free(&b);
}

int main(int argc, char **argv)
{
    static const kit_role roles[] = {
        {"stranger", stranger_role}, {"container", container_role}, {NULL, NULL}};
    kit_roles(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_access_of_a_reader_without_write_permission),
        cmocka_unit_test(test_access_denied),
        cmocka_unit_test(test_access_shared_for_writing),
        cmocka_unit_test(test_access_from_two_pid_namespaces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
