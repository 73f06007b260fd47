/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/local/bus.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "local/record.h"

/* Read or write bytes of the last segment at a position. */
static void poke(const bus *b, uint64_t offset, const void *data, size_t len)
{
    char path[512];
    uint8_t head[SEG_HEAD];
    bus_last_segment(b, path, sizeof(path));
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
    uint64_t base = local_get64(head + 16);
    assert_int_equal(pwrite(fd, data, len, (off_t)(offset - base)), len);
    assert_int_equal(close(fd), 0);
}

static void cut(const bus *b, uint64_t offset)
{
    char path[512];
    bus_last_segment(b, path, sizeof(path));
    assert_int_equal(truncate(path, (off_t)offset), 0);
}

static void expect_all(const bus *b, unsigned count)
{
    local_cursor *cursor = bus_read(b->store, LOCAL_FROM_EARLIEST);
    char text[16];
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(text, sizeof(text), "m%u", i);
        bus_expect(cursor, text);
    }
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
}

static void test_recovery_of_a_whole_log(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 3000); /* several segments */
    bus_reboot(&b);
    expect_all(&b, 3000);
    bus_put_many(b.store, "t", "m", 3000, 10);
    expect_all(&b, 3010);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_NEW);
    assert_int_equal(pubsub__local_cursor_position(cursor).epoch, 2);
    pubsub__local_cursor_close(cursor);
    bus_reboot(&b);
    expect_all(&b, 3010);
    bus_free(&b);
}

static void test_recovery_cuts_a_torn_tail(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 10);
    local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes("torn")};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    bus_close(&b);
    poke(&b, record.offset + REC_HEAD, "X", 1);
    bus_reboot(&b);
    expect_all(&b, 10);
    bus_put_many(b.store, "t", "m", 10, 1);
    expect_all(&b, 11);
    bus_free(&b);
}

/* Of a batch all or nothing survives. */
static void test_recovery_drops_half_a_batch(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 10);
    local_record records[3] = {{.topic = bus_bytes("t"), .payload = bus_bytes("x")},
                               {.topic = bus_bytes("t"), .payload = bus_bytes("y")},
                               {.topic = bus_bytes("t"), .payload = bus_bytes("z")}};
    BUS_OK(pubsub__local_append(b.store, records, 3, NULL, NULL, &bus_error));
    bus_close(&b);
    cut(&b, records[2].offset);
    bus_reboot(&b);
    expect_all(&b, 10);
    bus_free(&b);
}

/* Good records of an earlier life behind a torn one must not come back. */
static void test_recovery_ignores_stale_records_behind_the_tear(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 10);
    local_record records[3] = {{.topic = bus_bytes("t"), .payload = bus_bytes("s0")},
                               {.topic = bus_bytes("t"), .payload = bus_bytes("s1")},
                               {.topic = bus_bytes("t"), .payload = bus_bytes("s2")}};
    for (int i = 0; i < 3; i++) {
        BUS_OK(pubsub__local_append(b.store, &records[i], 1, NULL, NULL, &bus_error));
    }
    bus_close(&b);
    poke(&b, records[0].offset + 4, "\0\0\0\0", 4); /* s1 and s2 stay whole */
    bus_reboot(&b);
    expect_all(&b, 10);
    /* The same numbers are given again; what lies behind is one of them, and must not follow. */
    bus_put_many(b.store, "t", "m", 10, 1);
    expect_all(&b, 11);
    bus_reboot(&b);
    expect_all(&b, 11);
    bus_free(&b);
}

/* A saved position behind the cut names another record now: told, not read. */
static void test_recovery_positions_of_the_lost_end(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_position kept = bus_put(b.store, "t", "kept");
    local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes("lost")};
    local_position lost;
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, &lost, &bus_error));
    bus_close(&b);
    cut(&b, record.offset);
    bus_reboot(&b);
    (void)bus_put(b.store, "t", "other");
    (void)bus_put(b.store, "t", "more");
    local_cursor *cursor = bus_read_at(b.store, lost);
    local_gap gap;
    bus_expect_gap(cursor, LOCAL_GAP_TRUNCATED, &gap);
    assert_int_equal(gap.from.offset, lost.offset);
    assert_int_equal(gap.to.offset, kept.offset);
    bus_expect(cursor, "other");
    pubsub__local_cursor_close(cursor);
    cursor = bus_read_at(b.store, kept);
    bus_expect(cursor, "other"); /* no gap: it goes on exactly there */
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* Damage below what is known to be on disk cuts nothing: the rest is still there. */
static void test_recovery_keeps_what_was_synced(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 5);
    local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes("rots")};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    bus_put_many(b.store, "t", "m", 6, 5);
    local_position end = bus_put(b.store, "t", "end");
    BUS_OK(pubsub__local_sync(b.store, end, &bus_error));
    bus_close(&b);
    poke(&b, record.offset + REC_HEAD, "X", 1);
    bus_reboot(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    for (int i = 0; i < 5; i++) {
        local_view view;
        bus_next(cursor, &view);
    }
    local_gap gap;
    bus_expect_gap(cursor, LOCAL_GAP_CORRUPT, &gap);
    assert_int_equal(gap.from_seq, 6);
    assert_int_equal(gap.to_seq, 6);
    bus_expect(cursor, "m6");
    size_t gaps;
    assert_int_equal(bus_count(cursor, &gaps), 5);
    assert_int_equal(gaps, 0);
    pubsub__local_cursor_close(cursor);
    bus_put_many(b.store, "t", "m", 11, 1);
    bus_free(&b);
}

static void test_recovery_without_ctl(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char path[512];
    bus_put_many(b.store, "t", "m", 0, 2500);
    bus_close(&b);
    bus_path(&b, path, sizeof(path), "ctl");
    assert_int_equal(unlink(path), 0);
    bus_open(&b);
    expect_all(&b, 2500);
    bus_close(&b);
    assert_int_equal(truncate(path, 100), 0); /* cut short */
    bus_open(&b);
    expect_all(&b, 2500);
    bus_close(&b);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char junk[8192];
    memset(junk, 0x5a, sizeof(junk));
    assert_int_equal(pwrite(fd, junk, sizeof(junk), 0), sizeof(junk));
    assert_int_equal(close(fd), 0);
    bus_open(&b);
    expect_all(&b, 2500);
    bus_free(&b);
}

/* The segment a log rolled to never reached the disk. */
static void test_recovery_lost_last_segment(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char path[512];
    bus_put_many(b.store, "t", "m", 0, 2500);
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_true(info.segments > 1);
    bus_close(&b);
    bus_last_segment(&b, path, sizeof(path));
    assert_int_equal(truncate(path, 0), 0); /* its name is there, nothing in it */
    bus_reboot(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    size_t gaps;
    size_t left = bus_count(cursor, &gaps);
    assert_int_equal(gaps, 0);
    assert_true(left > 1000 && left < 2500);
    pubsub__local_cursor_close(cursor);
    bus_put_many(b.store, "t", "m", (unsigned)left, 2500);
    expect_all(&b, (unsigned)left + 2500);
    bus_reboot(&b);
    expect_all(&b, (unsigned)left + 2500);
    bus_free(&b);
}

/* Garbage that a killed or refused append left behind the tail. */
static void test_recovery_never_shows_what_was_not_committed(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 2);
    local_record record = {.topic = bus_bytes("t"), .payload = bus_bytes("m2")};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    /* A whole record right behind the end mark's place, as a longer batch would have left it. */
    uint8_t ghost[128] = {0};
    local_raw raw = {.topic_hash = pubsub__local_topic_hash("t", 1),
                     .topic = bus_bytes("t"),
                     .payload = bus_bytes("ghost"),
                     .body_len = 6};
    pubsub__local_record_build(ghost, &raw);
    pubsub__local_record_seal(ghost, record.seq + 1, 1);
    poke(&b, record.end, ghost, (size_t)local_record_size(6));
    local_record next = {.topic = bus_bytes("t"), .payload = bus_bytes("m3")};
    BUS_OK(pubsub__local_append(b.store, &next, 1, NULL, NULL, &bus_error));
    expect_all(&b, 4);
    pubsub__local_record_seal(ghost, 0, 0);
    pubsub__local_record_build(ghost, &raw);
    pubsub__local_record_seal(ghost, next.seq + 1, 1);
    bus_close(&b);
    uint8_t mark[REC_MARK];
    char path[512];
    bus_last_segment(&b, path, sizeof(path));
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, mark, sizeof(mark), (off_t)next.end), sizeof(mark));
    assert_int_equal(close(fd), 0);
    assert_int_equal(local_get64(mark), 0); /* every append ends the log */
    bus_reboot(&b);
    expect_all(&b, 4);
    bus_free(&b);
}

static void test_recovery_repair(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 100);
    local_options options = {.dir = b.dir, .repair = true};
    local_store *store;
    assert_int_equal(pubsub__local_open(&store, &options, &bus_error), PUBSUB_EBUSY);
    assert_non_null(strstr(bus_error.text, "in use"));
    bus_close(&b);
    BUS_OK(pubsub__local_open(&store, &options, &bus_error));
    pubsub__local_close(store);
    bus_open(&b);
    expect_all(&b, 100);
    bus_free(&b);
}

/* Retained values torn at their end: the ones before stay. */
static void test_recovery_of_retained_values(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    static const char *const topics[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        local_record record = {
            .topic = bus_bytes(topics[i]), .payload = bus_bytes("v"), .retain = true};
        BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    }
    local_info info;
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    bus_close(&b);
    char path[512];
    bus_path(&b, path, sizeof(path), "ret/0000000000000001.seg");
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "XX", 2, (off_t)info.retained_bytes - 8), 2);
    assert_int_equal(close(fd), 0);
    bus_reboot(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
    assert_int_equal(bus_count(cursor, NULL), 2);
    pubsub__local_cursor_close(cursor);
    local_record record = {.topic = bus_bytes("c"), .payload = bus_bytes("v"), .retain = true};
    BUS_OK(pubsub__local_append(b.store, &record, 1, NULL, NULL, &bus_error));
    bus_reboot(&b);
    cursor = bus_read(b.store, LOCAL_FROM_LAST);
    assert_int_equal(bus_count(cursor, NULL), 3);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void put_value(const bus *b, const char *topic, const char *text)
{
    local_record record = {.topic = bus_bytes(topic), .payload = bus_bytes(text), .retain = true};
    BUS_OK(pubsub__local_append(b->store, &record, 1, NULL, NULL, &bus_error));
}

/* Killed after the compacted file got its name and before it came into force: the others went on with the
 * old one, and what they stored counts. */
static void test_recovery_of_a_compaction_cut_short(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    put_value(&b, "a", "old");
    put_value(&b, "b", "stays");
    char from[512], to[512];
    uint8_t bytes[4096] = {0};
    bus_path(&b, from, sizeof(from), "ret/0000000000000001.seg");
    bus_path(&b, to, sizeof(to), "ret/0000000000000002.seg");
    int fd = open(from, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
    assert_int_equal(close(fd), 0);
    local_seg_head head = {2, local_get64(bytes + 24), 0, 1, 1, {0}};
    memcpy(head.uuid, bytes + 48, 8);
    pubsub__local_seg_head_encode(bytes, &head);
    fd = open(to, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(close(fd), 0);
    put_value(&b, "a", "new");
    bus_reboot(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_LAST);
    bus_expect(cursor, "stays");
    bus_expect(cursor, "new");
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    assert_int_not_equal(access(to, F_OK), 0);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recovery_of_a_whole_log),
        cmocka_unit_test(test_recovery_cuts_a_torn_tail),
        cmocka_unit_test(test_recovery_drops_half_a_batch),
        cmocka_unit_test(test_recovery_ignores_stale_records_behind_the_tear),
        cmocka_unit_test(test_recovery_positions_of_the_lost_end),
        cmocka_unit_test(test_recovery_keeps_what_was_synced),
        cmocka_unit_test(test_recovery_without_ctl),
        cmocka_unit_test(test_recovery_lost_last_segment),
        cmocka_unit_test(test_recovery_never_shows_what_was_not_committed),
        cmocka_unit_test(test_recovery_repair),
        cmocka_unit_test(test_recovery_of_retained_values),
        cmocka_unit_test(test_recovery_of_a_compaction_cut_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
