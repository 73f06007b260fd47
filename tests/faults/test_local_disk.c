/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/local/bus.h"

#include "support/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

/* Full disks, limits and failing disks: a clear error that names the directory, nothing confirmed is
 * lost, and it works again when there is room. */

static char disk[KIT_PATH_MAX];
static bool mounted;

/* A small disk of its own; skips the test where that is not allowed. */
static void mount_disk(const char *size)
{
    char options[64];
    kit_dir_new(disk);
    (void)snprintf(options, sizeof(options), "size=%s,mode=0700", size);
    if (mount("none", disk, "tmpfs", 0, options) < 0) {
        print_message("cannot mount a tmpfs (%s)\n", strerror(errno));
        kit_dir_remove(disk);
        skip();
    }
    mounted = true;
}

static int unmount_disk(void **state)
{
    (void)state;
    pubsub__local_hooks = (local_hooks){0};
    if (mounted) {
        (void)umount2(disk, MNT_DETACH);
        kit_dir_remove(disk);
        mounted = false;
    }
    return 0;
}

/* Fill the disk but for about `left` bytes. */
static void fill_disk(size_t left)
{
    char path[512], block[4096];
    memset(block, 1, sizeof(block));
    (void)snprintf(path, sizeof(path), "%s/filler", disk);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    off_t size = 0;
    while (write(fd, block, sizeof(block)) == (ssize_t)sizeof(block)) {
        size += (off_t)sizeof(block);
    }
    off_t keep = size > (off_t)left ? size - (off_t)left : 0;
    assert_int_equal(ftruncate(fd, keep & ~(off_t)4095), 0);
    assert_int_equal(close(fd), 0);
}

static void free_disk(void)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/filler", disk);
    assert_int_equal(unlink(path), 0);
}

static local_store *open_on_disk(const local_options *more)
{
    char dir[512];
    (void)snprintf(dir, sizeof(dir), "%s/bus", disk);
    local_options options = more != NULL ? *more : (local_options){0};
    options.dir = dir;
    local_store *store;
    BUS_OK(pubsub__local_open(&store, &options, &bus_error));
    return store;
}

static pubsub_err put(local_store *store, size_t size, bool retain, pubsub_error *err)
{
    static char payload[1u << 20];
    local_record record = {
        .topic = bus_bytes("t"), .payload = {payload, size}, .qos = 1, .retain = retain};
    return pubsub__local_append(store, &record, 1, NULL, NULL, err);
}

/* Append until it fails, which must be for want of space. Returns how many were stored. */
static size_t put_until_full(local_store *store, size_t size, bool retain)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    size_t stored = 0;
    pubsub_err rc;
    while ((rc = put(store, size, retain, &err)) == PUBSUB_OK) {
        assert_true(++stored < 100000);
    }
    assert_int_equal(rc, PUBSUB_ENOSPC);
    assert_non_null(strstr(err.text, disk));
    return stored;
}

static void expect_count(local_store *store, size_t count)
{
    local_cursor *cursor = bus_read(store, LOCAL_FROM_EARLIEST);
    size_t gaps;
    assert_int_equal(bus_count(cursor, &gaps), count);
    assert_int_equal(gaps, 0);
    pubsub__local_cursor_close(cursor);
}

static void test_disk_full_at_append(void **state)
{
    (void)state;
    mount_disk("8m");
    local_store *store = open_on_disk(NULL);
    size_t stored = put_until_full(store, 3000, false);
    assert_true(stored > 1000);
    expect_count(store, stored);
    size_t small = put_until_full(store, 10, false); /* smaller ones may still fit */
    expect_count(store, stored + small);
    fill_disk(0);
    assert_int_equal(put(store, 3000, false, &bus_error), PUBSUB_ENOSPC);
    pubsub__local_close(store);
    store = open_on_disk(NULL); /* opening needs no room */
    expect_count(store, stored + small);
    pubsub__local_close(store);
}

static void test_disk_full_then_room(void **state)
{
    (void)state;
    mount_disk("8m");
    local_store *store = open_on_disk(NULL);
    BUS_OK(put(store, 100, false, &bus_error));
    fill_disk(64u << 10);
    size_t stored = 1 + put_until_full(store, 5000, false);
    free_disk();
    for (int i = 0; i < 100; i++) {
        BUS_OK(put(store, 5000, false, &bus_error));
    }
    expect_count(store, stored + 100);
    pubsub__local_close(store);
}

/* No room for the next segment: the old one stays as it is. */
static void test_disk_full_at_roll(void **state)
{
    (void)state;
    mount_disk("8m");
    local_options options = {.max_bytes = 6u << 20, .segment_bytes = 1u << 20};
    local_store *store = open_on_disk(&options);
    size_t stored = 0;
    local_info info;
    do { /* nearly to the end of the first segment */
        BUS_OK(put(store, 10000, false, &bus_error));
        stored++;
        BUS_OK(pubsub__local_info(store, &info, &bus_error));
    } while (info.tail.offset + 20000 < 1u << 20);
    fill_disk(0);
    stored += put_until_full(store, 10000, false);
    BUS_OK(pubsub__local_info(store, &info, &bus_error));
    assert_int_equal(info.segments, 1);
    expect_count(store, stored);
    free_disk();
    for (int i = 0; i < 50; i++) {
        BUS_OK(put(store, 10000, false, &bus_error));
    }
    expect_count(store, stored + 50);
    pubsub__local_close(store);
}

/* Retention makes room on a full disk: it only unlinks. */
static void test_disk_full_and_retention(void **state)
{
    (void)state;
    mount_disk("8m");
    local_options options = {.max_bytes = 6u << 20, .segment_bytes = 1u << 20};
    local_store *store = open_on_disk(&options);
    for (int i = 0; i < 2000; i++) { /* 20 MB through 6 MiB */
        BUS_OK(put(store, 10000, false, &bus_error));
    }
    local_info info;
    BUS_OK(pubsub__local_info(store, &info, &bus_error));
    assert_true(info.bytes <= 6u << 20);
    pubsub__local_close(store);
}

/* A new bus with ever more room: refused cleanly until there is enough. */
static void test_disk_full_at_creation(void **state)
{
    (void)state;
    mount_disk("2m");
    char dir[512];
    (void)snprintf(dir, sizeof(dir), "%s/bus", disk);
    local_options options = {.dir = dir};
    bool opened = false;
    unsigned refused = 0;
    for (size_t left = 0; left < 40 * 4096 && !opened; left += 4096) {
        local_store *store = NULL;
        pubsub_error err = PUBSUB_ERROR_INIT;
        fill_disk(left);
        pubsub_err rc = pubsub__local_open(&store, &options, &err);
        opened = rc == PUBSUB_OK;
        if (!opened) {
            assert_int_equal(rc, PUBSUB_ENOSPC);
            assert_non_null(strstr(err.text, dir));
            refused++;
        }
        pubsub__local_close(store);
        free_disk();
    }
    assert_true(opened);
    assert_true(refused >= 2); /* FORMAT, ctl, segment: each pass gets further */
    local_store *store = open_on_disk(NULL);
    BUS_OK(put(store, 100, false, &bus_error));
    expect_count(store, 1);
    pubsub__local_close(store);
}

static void test_disk_full_at_group(void **state)
{
    (void)state;
    mount_disk("8m");
    local_store *store = open_on_disk(NULL);
    BUS_OK(put(store, 100, false, &bus_error));
    fill_disk(100u << 10);
    const local_group_options options = {
        .name = "g", .flags = LOCAL_GROUP_DURABLE, .from = {.kind = LOCAL_FROM_EARLIEST}};
    local_group *group;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub__local_group_join(&group, store, &options, NULL, &err), PUBSUB_ENOSPC);
    assert_non_null(strstr(err.text, disk));
    free_disk();
    BUS_OK(pubsub__local_group_join(&group, store, &options, NULL, &bus_error));
    fill_disk(0); /* a group that exists needs no more */
    local_claim got;
    local_claim_info info;
    assert_int_equal(pubsub__local_group_claim(group, &got, 1, SIZE_MAX, &info, &bus_error), 1);
    BUS_OK(pubsub__local_group_ack(group, &got.lease, 1, NULL, &bus_error));
    pubsub__local_group_leave(group);
    pubsub__local_close(store);
}

static void test_disk_full_at_retained(void **state)
{
    (void)state;
    mount_disk("8m");
    local_store *store = open_on_disk(NULL);
    BUS_OK(put(store, 500, false, &bus_error));
    fill_disk(0);
    assert_int_equal(put(store, 500, true, &bus_error), PUBSUB_ENOSPC);
    expect_count(store, 1); /* neither retained nor published */
    free_disk();
    BUS_OK(put(store, 500, true, &bus_error));
    fill_disk(300u << 10);
    size_t stored = 2 + put_until_full(store, 20000, true);
    expect_count(store, stored);
    local_cursor *cursor = bus_read(store, LOCAL_FROM_LAST);
    local_view view;
    bus_next(cursor, &view);
    assert_int_equal(view.payload.len, stored == 2 ? 500 : 20000);
    assert_int_equal(view.seq, stored);
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(store);
}

/* ---- a limit on the size of files ---- */

static int limited_role(int argc, char **argv)
{
    if (argc != 1) {
        return 2;
    }
    local_options options = {.dir = argv[0]};
    local_store *store;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__local_open(&store, &options, &err) != PUBSUB_OK) {
        return 3;
    }
    struct rlimit limit = {300000, 300000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 4;
    }
    unsigned stored = 0;
    while (put(store, 1000, false, &err) == PUBSUB_OK) {
        stored++;
    }
    kit_say("%d %u %s", err.code, stored, strstr(err.text, "ulimit") != NULL ? "named" : err.text);
    static const local_group_options group_options = {.name = "g"};
    local_group *group;
    kit_say("%d", pubsub__local_group_join(&group, store, &group_options, NULL, &err));
    local_store *second; /* a new bus is refused cleanly too, or fits */
    char dir[512];
    (void)snprintf(dir, sizeof(dir), "%s2", argv[0]);
    options.dir = dir;
    limit.rlim_cur = 1000;
    (void)setrlimit(RLIMIT_FSIZE, &limit);
    kit_say("%d", pubsub__local_open(&second, &options, &err));
    return 0;
}

/* Appends and flushes under a limit that is below what others have reserved of the file already. */
static int flushing_role(int argc, char **argv)
{
    static char payload[1000];
    local_record record = {
        .topic = bus_bytes("t"), .payload = {payload, sizeof(payload)}, .qos = 1};
    local_options options = {.dir = argc == 1 ? argv[0] : ""};
    local_store *store;
    local_position end;
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (pubsub__local_open(&store, &options, &err) != PUBSUB_OK) {
        return 3;
    }
    struct rlimit limit = {300000, 300000};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) {
        return 4;
    }
    unsigned stored = 0;
    while (pubsub__local_append(store, &record, 1, NULL, &end, &err) == PUBSUB_OK) {
        stored++;
        if (pubsub__local_sync(store, end, &err) != PUBSUB_OK) {
            return 5;
        }
    }
    kit_say("%d %u", err.code, stored);
    return 0;
}

/* Zeros ahead of the log are written no further than this process may write. */
static void test_disk_file_size_limit_below_the_file(void **state)
{
    (void)state;
    bus b;
    bus_new_big(&b);
    BUS_OK(put(b.store, 1000, false, &bus_error));
    kit_child child;
    char line[128];
    kit_child_start(&child, "flushing", (const char *[]){b.dir, NULL});
    assert_true(kit_child_line(&child, line, sizeof(line), KIT_PATIENCE));
    char *rest;
    assert_int_equal(strtol(line, &rest, 10), PUBSUB_ENOSPC);
    unsigned long stored = strtoul(rest, NULL, 10);
    assert_true(stored > 200 && stored < 300);
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 0);
    kit_child_end(&child);
    expect_count(b.store, stored + 1);
    bus_free(&b);
}

static void test_disk_file_size_limit(void **state)
{
    (void)state;
    bus b;
    bus_new_big(&b);
    kit_child child;
    char line[128];
    kit_child_start(&child, "limited", (const char *[]){b.dir, NULL});
    assert_true(kit_child_line(&child, line, sizeof(line), KIT_PATIENCE));
    char *rest;
    long code = strtol(line, &rest, 10);
    unsigned long stored = strtoul(rest, NULL, 10);
    assert_non_null(strstr(line, "named"));
    assert_int_equal(code, PUBSUB_ENOSPC);
    assert_true(stored > 200 && stored < 300);
    char expected[16];
    (void)snprintf(expected, sizeof(expected), "%d", PUBSUB_ENOSPC);
    assert_true(kit_child_expect(&child, expected, KIT_PATIENCE)); /* a group's file is larger */
    assert_true(kit_child_expect(&child, expected, KIT_PATIENCE));
    assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 0); /* not killed by SIGXFSZ */
    kit_child_end(&child);
    expect_count(b.store, stored);
    BUS_OK(put(b.store, 1000, false, &bus_error)); /* others are not limited */
    bus_free(&b);
}

/* ---- a failing disk ---- */

static int fail_sync(int fd)
{
    (void)fd;
    errno = EIO;
    return -1;
}

static void test_disk_fails_to_flush(void **state)
{
    (void)state;
    bus b;
    bus_new_big(&b);
    local_store *other = bus_again(&b);
    BUS_OK(put(b.store, 100, false, &bus_error));
    pubsub__local_hooks.fdatasync_fn = fail_sync;
    local_position end = bus_put(b.store, "t", "x");
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub__local_sync(b.store, end, &err), PUBSUB_EIO);
    assert_non_null(strstr(err.text, b.dir));
    pubsub__local_hooks.fdatasync_fn = NULL;
    /* It is never tried again: the kernel may have forgotten what it could not write. */
    assert_int_equal(pubsub__local_sync(b.store, end, &err), PUBSUB_EIO);
    assert_int_equal(put(other, 100, false, &err), PUBSUB_EIO);
    assert_non_null(strstr(err.text, "repair"));
    local_info info;
    BUS_OK(pubsub__local_info(other, &info, &bus_error));
    assert_true(info.failed);
    expect_count(other, 2); /* reading goes on */
    pubsub__local_close(other);
    bus_close(&b);
    b.options.repair = true;
    bus_open(&b);
    expect_count(b.store, 2);
    BUS_OK(put(b.store, 100, false, &bus_error));
    bus_free(&b);
}

int main(int argc, char **argv)
{
    static const kit_role roles[] = {
        {"limited", limited_role}, {"flushing", flushing_role}, {NULL, NULL}};
    kit_roles(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_disk_full_at_append, unmount_disk),
        cmocka_unit_test_teardown(test_disk_full_then_room, unmount_disk),
        cmocka_unit_test_teardown(test_disk_full_at_roll, unmount_disk),
        cmocka_unit_test_teardown(test_disk_full_and_retention, unmount_disk),
        cmocka_unit_test_teardown(test_disk_full_at_creation, unmount_disk),
        cmocka_unit_test_teardown(test_disk_full_at_group, unmount_disk),
        cmocka_unit_test_teardown(test_disk_full_at_retained, unmount_disk),
        cmocka_unit_test(test_disk_file_size_limit),
        cmocka_unit_test(test_disk_file_size_limit_below_the_file),
        cmocka_unit_test(test_disk_fails_to_flush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
