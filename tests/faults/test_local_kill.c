/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include "support/child.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"

/* kill -9 at random moments, with small segments so that rolling is among them. Whatever a process was
 * told is stored must be there, in its order, and nobody else may notice. */

#define KILLS 30
#define SEGMENT 65536u

static void new_bus(bus *b)
{
    bus_new(b);
    bus_close(b);
    b->options.max_bytes = 512u << 20;
    b->options.segment_bytes = SEGMENT;
    bus_open(b);
    memset(&b->options, 0, sizeof(b->options));
    b->options.dir = b->dir;
}

static local_store *child_open(const char *dir)
{
    local_options options = {.dir = dir};
    local_store *store = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__local_open(&store, &options, &err) != PUBSUB_OK) {
        kit_say("failed %s", err.text);
        exit(1);
    }
    return store;
}

/* Publish "<id>:<number>" from number on, in batches; say how many are stored after each. */
static int publish_role(int argc, char **argv)
{
    enum { BATCH = 40 };
    if (argc != 3) {
        return 2;
    }
    local_store *store = child_open(argv[0]);
    bool durable = strcmp(argv[2], "durable") == 0, retained = strcmp(argv[2], "retained") == 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    for (uint64_t number = 0;;) {
        static char texts[BATCH][400];
        local_record records[BATCH] = {0};
        size_t n = 1 + pubsub__rand_below(BATCH);
        for (size_t i = 0; i < n; i++) {
            int len = snprintf(texts[i], sizeof(texts[i]), "%s:%" PRIu64 ":", argv[1], number + i);
            size_t pad = pubsub__rand_below(300);
            memset(texts[i] + len, 'x', pad);
            records[i].topic = bus_bytes(argv[1]);
            records[i].payload = (pubsub_bytes){texts[i], (size_t)len + pad};
            records[i].retain = retained;
        }
        size_t stored = 0;
        local_position end;
        pubsub_err rc = pubsub__local_append(store, records, n, &stored, &end, &err);
        if (rc == PUBSUB_OK && durable) {
            rc = pubsub__local_sync(store, end, &err);
        }
        if (rc != PUBSUB_OK) {
            kit_say("failed %s", err.text);
            return 1;
        }
        number += n;
        kit_say("%" PRIu64, number);
    }
}

/* What one publisher was told, and what is found of it. */
typedef struct told {
    uint64_t stored, found;
} told;

static void check_log(const bus *b, told *publishers, size_t count)
{
    local_cursor *cursor = bus_read(b->store, LOCAL_FROM_EARLIEST);
    local_view view;
    local_gap gap;
    uint64_t last_seq = 0;
    int rc;
    while ((rc = pubsub__local_cursor_next(cursor, &view, &gap, &bus_error)) != LOCAL_NEXT_EMPTY) {
        assert_int_equal(rc, LOCAL_NEXT_RECORD);
        assert_int_equal(view.seq, last_seq + 1);
        last_seq = view.seq;
        char text[64];
        size_t len = view.payload.len < sizeof(text) - 1 ? view.payload.len : sizeof(text) - 1;
        memcpy(text, view.payload.data, len);
        text[len] = '\0';
        char *colon;
        size_t who = strtoul(text, &colon, 10);
        assert_true(who < count && *colon == ':');
        uint64_t number = strtoull(colon + 1, NULL, 10);
        assert_int_equal(number, publishers[who].found); /* its order, no hole, none twice */
        publishers[who].found++;
    }
    pubsub__local_cursor_close(cursor);
    for (size_t i = 0; i < count; i++) {
        assert_true(publishers[i].found >= publishers[i].stored);
    }
}

static uint64_t last_number(kit_child *child, uint64_t so_far, unsigned lines)
{
    char line[128];
    for (unsigned i = 0; i < lines && kit_child_line(child, line, sizeof(line), KIT_PATIENCE);
         i++) {
        if (strncmp(line, "failed", 6) == 0) {
            print_error("%s\n", line);
        }
        assert_int_not_equal(strncmp(line, "failed", 6), 0);
        so_far = strtoull(line, NULL, 10);
    }
    return so_far;
}

static void kill_publishers(const char *mode)
{
    static told publishers[KILLS + 1];
    memset(publishers, 0, sizeof(publishers));
    bus b;
    new_bus(&b);
    kit_child survivor;
    kit_child_start(&survivor, "publish", (const char *[]){b.dir, "0", mode, NULL});
    for (unsigned i = 1; i <= KILLS; i++) {
        char id[16];
        kit_child child;
        (void)snprintf(id, sizeof(id), "%u", i);
        kit_child_start(&child, "publish", (const char *[]){b.dir, id, mode, NULL});
        publishers[i].stored = last_number(&child, 0, 1 + (unsigned)pubsub__rand_below(20));
        kit_child_signal(&child, SIGKILL);
        publishers[i].stored = last_number(&child, publishers[i].stored, UINT32_MAX);
        assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 128 + SIGKILL);
        kit_child_end(&child);
        publishers[0].stored = last_number(&survivor, publishers[0].stored, 5); /* goes on */
    }
    kit_child_signal(&survivor, SIGKILL);
    publishers[0].stored = last_number(&survivor, publishers[0].stored, UINT32_MAX);
    kit_child_end(&survivor);
    check_log(&b, publishers, KILLS + 1);
    if (strcmp(mode, "retained") == 0) { /* each one's newest value, at least the confirmed one */
        local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
        size_t values = 0;
        for (local_view view; values <= KILLS; values++) {
            bus_next(cursor, &view);
            size_t who = strtoul(view.payload.data, NULL, 10);
            const char *colon = memchr(view.payload.data, ':', view.payload.len);
            assert_true(who <= KILLS && colon != NULL);
            assert_true(strtoull(colon + 1, NULL, 10) + 1 >= publishers[who].stored);
        }
        bus_expect_none(cursor);
        pubsub__local_cursor_close(cursor);
    }
    /* After a restart it is all the same: nothing was lost from the page cache. */
    for (size_t i = 0; i <= KILLS; i++) {
        publishers[i].found = 0;
    }
    bus_reboot(&b);
    check_log(&b, publishers, KILLS + 1);
    bus_free(&b);
}

static void test_kill_publishers(void **state)
{
    (void)state;
    kill_publishers("written");
}

static void test_kill_durable_publishers(void **state)
{
    (void)state;
    kill_publishers("durable");
}

static void test_kill_retained_publishers(void **state)
{
    (void)state;
    kill_publishers("retained");
}

/* ---- a crowd, nobody killed ---- */

/* Publish a fixed number, then say so. */
static int finite_role(int argc, char **argv)
{
    if (argc != 3) {
        return 2;
    }
    local_store *store = child_open(argv[0]);
    unsigned count = (unsigned)strtoul(argv[2], NULL, 10);
    pubsub_error err = PUBSUB_ERROR_INIT;
    for (unsigned number = 0; number < count; number++) {
        char text[48];
        (void)snprintf(text, sizeof(text), "%s:%u", argv[1], number);
        local_record record = {.topic = bus_bytes(argv[1]), .payload = bus_bytes(text)};
        if (pubsub__local_append(store, &record, 1, NULL, NULL, &err) != PUBSUB_OK) {
            kit_say("failed %s", err.text);
            return 1;
        }
    }
    kit_say("done");
    pubsub__local_close(store);
    return 0;
}

/* Read live what `publishers` publish, `count` each, in the order of each; then say so. */
static int reader_role(int argc, char **argv)
{
    enum { MOST = 16 };
    if (argc != 3) {
        return 2;
    }
    local_store *store = child_open(argv[0]);
    unsigned long publishers = strtoul(argv[1], NULL, 10), count = strtoul(argv[2], NULL, 10);
    const local_from from = {.kind = LOCAL_FROM_NEW};
    const local_filter all = {false, 0, NULL, NULL};
    local_cursor *cursor;
    if (pubsub__local_cursor_open(&cursor, store, &from, &all, NULL) != PUBSUB_OK) {
        return 3;
    }
    kit_say("ready");
    unsigned long next[MOST] = {0}, read = 0;
    while (read < publishers * count) {
        local_view view;
        local_gap gap;
        uint32_t generation = pubsub__local_generation(store);
        int rc = pubsub__local_cursor_next(cursor, &view, &gap, NULL);
        if (rc == LOCAL_NEXT_EMPTY) {
            if (!pubsub__local_wait(store, generation, LOCAL_BITS_ALL, kit_ms(KIT_PATIENCE))) {
                kit_say("nothing comes after %lu", read);
                return 4;
            }
            continue;
        }
        char text[48] = "", *colon;
        if (rc != LOCAL_NEXT_RECORD || view.payload.len >= sizeof(text)) {
            kit_say("got %d", rc);
            return 5;
        }
        memcpy(text, view.payload.data, view.payload.len);
        unsigned long who = strtoul(text, &colon, 10);
        if (who >= publishers || strtoul(colon + 1, NULL, 10) != next[who]++) {
            kit_say("out of order: %s", text);
            return 6;
        }
        read++;
    }
    kit_say("complete");
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
    return 0;
}

static void test_kill_nobody_in_a_crowd(void **state)
{
    (void)state;
    enum { PUBLISHERS = 4, READERS = 10 };
    bus b;
    new_bus(&b);
    kit_child publishers[PUBLISHERS], readers[READERS];
    for (int i = 0; i < READERS; i++) {
        kit_child_start(&readers[i], "reader", (const char *[]){b.dir, "4", "5000", NULL});
    }
    for (int i = 0; i < READERS; i++) {
        assert_true(kit_child_expect(&readers[i], "ready", KIT_PATIENCE));
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        char id[2] = {(char)('0' + i), '\0'};
        kit_child_start(&publishers[i], "finite", (const char *[]){b.dir, id, "5000", NULL});
    }
    for (int i = 0; i < PUBLISHERS; i++) {
        assert_true(kit_child_expect(&publishers[i], "done", 2 * KIT_PATIENCE));
        kit_child_end(&publishers[i]);
    }
    for (int i = 0; i < READERS; i++) {
        assert_true(kit_child_expect(&readers[i], "complete", KIT_PATIENCE));
        kit_child_end(&readers[i]);
    }
    bus_free(&b);
}

/* ---- groups ---- */

static const local_group_options group_options = {
    .name = "g", .flags = LOCAL_GROUP_DURABLE, .from = {.kind = LOCAL_FROM_EARLIEST}};

/* Claim, say what was got, then ack most of it. */
static int consume_role(int argc, char **argv)
{
    if (argc != 1) {
        return 2;
    }
    local_store *store = child_open(argv[0]);
    local_group *group = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__local_group_join(&group, store, &group_options, NULL, &err) != PUBSUB_OK) {
        kit_say("failed %s", err.text);
        return 1;
    }
    kit_say("joined");
    for (;;) {
        local_claim got[16];
        local_claim_info info;
        uint32_t generation = pubsub__local_generation(store);
        int n = pubsub__local_group_claim(group, got, 16, SIZE_MAX, &info, &err);
        for (int i = 0; i < n; i++) {
            kit_say("%.*s", (int)got[i].view.payload.len, (const char *)got[i].view.payload.data);
            pubsub_err rc = pubsub__rand_below(4) == 0
                                ? pubsub__local_group_nack(group, got[i].lease, 1, true, &err)
                                : pubsub__local_group_ack(group, &got[i].lease, 1, NULL, &err);
            if (rc != PUBSUB_OK) {
                n = rc;
            }
        }
        if (n < 0) {
            kit_say("failed %s", err.text);
            return 1;
        }
        if (n == 0) {
            (void)pubsub__local_wait(store, generation, LOCAL_BITS_ALL, 5);
        }
    }
}

static void note(unsigned *seen, size_t count, kit_child *child, unsigned lines, int64_t ms)
{
    char line[128];
    for (unsigned i = 0; i < lines && kit_child_line(child, line, sizeof(line), ms); i++) {
        assert_int_not_equal(strncmp(line, "failed", 6), 0);
        if (line[0] == 'm') {
            size_t number = strtoul(line + 1, NULL, 10);
            assert_true(number < count);
            seen[number]++;
        }
    }
}

static void test_kill_group_members(void **state)
{
    (void)state;
    enum { COUNT = 4000 };
    static unsigned seen[COUNT];
    memset(seen, 0, sizeof(seen));
    bus b;
    new_bus(&b);
    bus_put_many(b.store, "t", "m", 0, COUNT);
    for (int i = 0; i < KILLS / 2; i++) {
        kit_child one, two;
        kit_child_start(&one, "consume", (const char *[]){b.dir, NULL});
        kit_child_start(&two, "consume", (const char *[]){b.dir, NULL});
        assert_true(kit_child_expect(&one, "joined", KIT_PATIENCE));
        assert_true(kit_child_expect(&two, "joined", KIT_PATIENCE));
        note(seen, COUNT, &one, 5 + (unsigned)pubsub__rand_below(60), 100);
        kit_child_signal(&one, SIGKILL);
        note(seen, COUNT, &one, UINT32_MAX, KIT_PATIENCE);
        note(seen, COUNT, &two, 30, 100);
        kit_child_signal(&two, SIGKILL);
        note(seen, COUNT, &two, UINT32_MAX, KIT_PATIENCE);
        kit_child_end(&one);
        kit_child_end(&two);
    }
    /* Take the rest: also what the dead had open, at once and not after their leases. */
    local_group *group;
    bool resumed;
    BUS_OK(pubsub__local_group_join(&group, b.store, &group_options, &resumed, &bus_error));
    assert_true(resumed);
    kit_deadline deadline = kit_in(KIT_PATIENCE);
    size_t left = COUNT;
    while (left > 0 && !kit_over(deadline)) {
        local_claim got[64];
        local_claim_info info;
        int n = pubsub__local_group_claim(group, got, 64, SIZE_MAX, &info, &bus_error);
        assert_true(n >= 0);
        assert_false(info.has_gap);
        for (int i = 0; i < n; i++) {
            char text[16] = "";
            memcpy(text, got[i].view.payload.data, got[i].view.payload.len);
            seen[strtoul(text + 1, NULL, 10)]++;
            BUS_OK(pubsub__local_group_ack(group, &got[i].lease, 1, NULL, &bus_error));
        }
        if (n == 0) {
            kit_breathe();
        }
        local_info log;
        BUS_OK(pubsub__local_info(b.store, &log, &bus_error));
        left = (size_t)(log.tail.offset - pubsub__local_group_position(group).offset);
    }
    assert_int_equal(left, 0); /* everything is finished ... */
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(seen[i] >= 1); /* ... and was handed to somebody */
    }
    pubsub__local_group_leave(group);
    bus_free(&b);
}

/* A group that is not durable does not outlive its members, also when they are killed. */
static int join_role(int argc, char **argv)
{
    if (argc != 1) {
        return 2;
    }
    local_store *store = child_open(argv[0]);
    static const local_group_options options = {.name = "brief"};
    local_group *group;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__local_group_join(&group, store, &options, NULL, &err) != PUBSUB_OK) {
        return 1;
    }
    local_claim got;
    local_claim_info info;
    char line[16];
    kit_say("joined");
    (void)kit_hear(line, sizeof(line));
    kit_say("%d", pubsub__local_group_claim(group, &got, 1, SIZE_MAX, &info, &err));
    (void)kit_hear(line, sizeof(line)); /* until it is killed */
    return 0;
}

static void test_kill_last_member_of_a_brief_group(void **state)
{
    (void)state;
    bus b;
    new_bus(&b);
    kit_child child;
    kit_child_start(&child, "join", (const char *[]){b.dir, NULL});
    assert_true(kit_child_expect(&child, "joined", KIT_PATIENCE));
    (void)bus_put(b.store, "t", "claimed by the dead");
    kit_child_tell(&child, "claim");
    assert_true(kit_child_expect(&child, "1", KIT_PATIENCE));
    kit_child_signal(&child, SIGKILL);
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 128 + SIGKILL);
    kit_child_end(&child);
    static const local_group_options options = {.name = "brief"};
    local_group *group;
    bool resumed = true;
    BUS_OK(pubsub__local_group_join(&group, b.store, &options, &resumed, &bus_error));
    assert_false(resumed);
    local_claim got;
    local_claim_info info;
    assert_int_equal(pubsub__local_group_claim(group, &got, 1, SIZE_MAX, &info, &bus_error), 0);
    pubsub__local_group_leave(group);
    bus_free(&b);
}

/* A durable name is free again the moment its holder is dead. */
static int hold_role(int argc, char **argv)
{
    if (argc != 1) {
        return 2;
    }
    local_store *store = child_open(argv[0]);
    static const local_group_options options = {.name = "name",
                                                .flags = LOCAL_GROUP_DURABLE | LOCAL_GROUP_SINGLE};
    local_group *group;
    char line[16];
    pubsub_err rc = pubsub__local_group_join(&group, store, &options, NULL, NULL);
    kit_say("%d", rc);
    (void)kit_hear(line, sizeof(line));
    return 0;
}

static void test_kill_holder_of_a_durable_name(void **state)
{
    (void)state;
    bus b;
    new_bus(&b);
    for (int i = 0; i < 3; i++) {
        kit_child holder, second;
        char busy[16];
        kit_child_start(&holder, "hold", (const char *[]){b.dir, NULL});
        assert_true(kit_child_expect(&holder, "0", KIT_PATIENCE));
        kit_child_start(&second, "hold", (const char *[]){b.dir, NULL});
        (void)snprintf(busy, sizeof(busy), "%d", PUBSUB_EBUSY);
        assert_true(kit_child_expect(&second, busy, KIT_PATIENCE));
        kit_child_signal(&holder, SIGKILL);
        assert_int_equal(kit_child_wait(&holder, KIT_PATIENCE), 128 + SIGKILL);
        kit_child_end(&holder);
        kit_child_end(&second);
    }
    bus_free(&b);
}

int main(int argc, char **argv)
{
    static const kit_role roles[] = {{"publish", publish_role},
                                     {"consume", consume_role},
                                     {"finite", finite_role},
                                     {"reader", reader_role},
                                     {"join", join_role},
                                     {"hold", hold_role},
                                     {NULL, NULL}};
    kit_roles(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kill_publishers),
        cmocka_unit_test(test_kill_durable_publishers),
        cmocka_unit_test(test_kill_retained_publishers),
        cmocka_unit_test(test_kill_nobody_in_a_crowd),
        cmocka_unit_test(test_kill_group_members),
        cmocka_unit_test(test_kill_last_member_of_a_brief_group),
        cmocka_unit_test(test_kill_holder_of_a_durable_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
