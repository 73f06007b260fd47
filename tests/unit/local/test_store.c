/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/local/bus.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening must fail like this. */
static void refuse(const local_options *options, pubsub_err rc, const char *word)
{
    local_store *store = NULL;
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub__local_open(&store, options, &err), rc);
    assert_null(store);
    assert_int_equal(err.code, rc);
    assert_string_equal(err.adapter, "local");
    if (strstr(err.text, word) == NULL) {
        print_error("'%s' does not say '%s'\n", err.text, word);
    }
    assert_non_null(strstr(err.text, word));
}

static void write_file(const bus *b, const char *name, const char *text)
{
    char path[512];
    bus_path(b, path, sizeof(path), name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_store_makes_parents_for_the_owner_only(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char deep[512], inner[512];
    (void)snprintf(deep, sizeof(deep), "%s/x/y/z", b.root);
    (void)snprintf(inner, sizeof(inner), "%s/x", b.root);
    local_options options = {.dir = deep};
    local_store *store;
    mode_t old = umask(0);
    BUS_OK(pubsub__local_open(&store, &options, &bus_error));
    (void)umask(old);
    struct stat st;
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(inner, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_string_equal(pubsub__local_dir(store), deep);
    assert_int_equal(strlen(pubsub__local_uuid(store)), 32);
    pubsub__local_close(store);
    bus_free(&b);
}

/* Files follow the directory's mode, whatever the umask: that is how a bus is shared. */
static void test_store_shared_directory(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char dir[512], ctl[600];
    (void)snprintf(dir, sizeof(dir), "%s/shared", b.root);
    (void)snprintf(ctl, sizeof(ctl), "%s/ctl", dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(chmod(dir, 02775), 0);
    local_options options = {.dir = dir};
    local_store *store;
    mode_t old = umask(077);
    BUS_OK(pubsub__local_open(&store, &options, &bus_error));
    (void)umask(old);
    struct stat st;
    assert_int_equal(stat(ctl, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0664);
    pubsub__local_close(store);
    bus_free(&b);
}

static void test_store_default_directory(void **state)
{
    (void)state;
    char buf[256];
    const char *old = getenv("HOME");
    char *home = old != NULL ? strdup(old) : NULL;
    (void)setenv("HOME", "/the/user", 1);
    (void)unsetenv("PUBSUB_BUS");
    (void)unsetenv("XDG_STATE_HOME");
    assert_int_equal(pubsub__local_default_dir(NULL, buf, sizeof(buf), NULL), PUBSUB_OK);
    assert_string_equal(buf, "/the/user/.local/state/pubsub/default");
    (void)setenv("XDG_STATE_HOME", "/state", 1);
    assert_int_equal(pubsub__local_default_dir(NULL, buf, sizeof(buf), NULL), PUBSUB_OK);
    assert_string_equal(buf, "/state/pubsub/default");
    (void)setenv("PUBSUB_BUS", "/the/bus", 1);
    assert_int_equal(pubsub__local_default_dir(NULL, buf, sizeof(buf), NULL), PUBSUB_OK);
    assert_string_equal(buf, "/the/bus");
    assert_int_equal(pubsub__local_default_dir("spool", buf, sizeof(buf), NULL), PUBSUB_OK);
    assert_string_equal(buf, "/state/pubsub/spool");
    static const char *const bad[] = {"", ".", "..", ".x", "a/b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(pubsub__local_default_dir(bad[i], buf, sizeof(buf), NULL), PUBSUB_EINVAL);
    }
    assert_int_equal(pubsub__local_default_dir(NULL, buf, 4, NULL), PUBSUB_EINVAL);
    (void)unsetenv("PUBSUB_BUS");
    (void)unsetenv("XDG_STATE_HOME");
    (void)unsetenv("HOME");
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(pubsub__local_default_dir(NULL, buf, sizeof(buf), &err), PUBSUB_EINVAL);
    assert_non_null(strstr(err.text, "PUBSUB_BUS"));
    if (home != NULL) {
        (void)setenv("HOME", home, 1);
        free(home);
    }
}

static void test_store_refuses_a_foreign_directory(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_options options = {.dir = b.root}; /* holds "bus" and nothing of ours */
    refuse(&options, PUBSUB_EINVAL, "not empty");
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/append.lock", b.root);
    assert_int_not_equal(access(path, F_OK), 0); /* and leaves it as it was */
    (void)snprintf(path, sizeof(path), "%s/FORMAT", b.dir);
    options.dir = path;
    refuse(&options, PUBSUB_EINVAL, "not a directory");
    bus_free(&b);
}

static void test_store_refuses_other_formats(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    static const struct {
        const char *text;
        pubsub_err rc;
        const char *word;
    } cases[] = {
        {"pubsub-local 2\nuuid x\nend\n", PUBSUB_EVERSION, "newer"},
        {"pubsub-local 99999999999999999999\n", PUBSUB_ECORRUPT, "damaged"},
        {"pubsub-local 0\n", PUBSUB_ECORRUPT, "damaged"},
        {"pubsub-local 1\n", PUBSUB_ECORRUPT, "damaged"},
        {"", PUBSUB_ECORRUPT, "FORMAT"},
        {"something else\n", PUBSUB_EINVAL, "FORMAT"},
        {"pubsub-local 1\nuuid 0123456789abcdef0123456789abcdeg\nmax_bytes 4194304\nmax_age_s 1\n"
         "max_record 1\nsegment_bytes 65536\nfull drop\nend\n",
         PUBSUB_ECORRUPT, "damaged"},
        {"pubsub-local 1\nuuid 0123456789abcdef0123456789abcdef\nmax_bytes 4194304\nmax_age_s 1\n"
         "max_record 1\nsegment_bytes 65536\nfull sometimes\nend\n",
         PUBSUB_ECORRUPT, "damaged"},
        {"pubsub-local 1\nuuid 0123456789abcdef0123456789abcdef\nmax_bytes 4194304\nmax_age_s 1\n"
         "max_record 1\nsegment_bytes 12\nfull drop\nend\n",
         PUBSUB_ECORRUPT, "damaged"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        write_file(&b, "FORMAT", cases[i].text);
        refuse(&b.options, cases[i].rc, cases[i].word);
    }
    bus_free(&b);
}

static void test_store_refuses_network_file_systems(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    static const int64_t types[] = {0x6969, 0x517b, 0xfe534d42, 0xff534d42, 0x01021997, 0x65735546};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        pubsub__local_hooks.fs_type = types[i];
        refuse(&b.options, PUBSUB_ENOTSUP, "local disk");
    }
    pubsub__local_hooks.fs_type = 0xef53; /* ext4 */
    bus_open(&b);
    bus_free(&b);
}

static void test_store_must_exist(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char none[512];
    (void)snprintf(none, sizeof(none), "%s/none", b.root);
    local_options options = {.dir = none, .must_exist = true};
    refuse(&options, PUBSUB_ENOTFOUND, "no bus");
    options.must_exist = false;
    options.access = LOCAL_ACCESS_READ;
    refuse(&options, PUBSUB_ENOTFOUND, "no bus");
    assert_int_equal(mkdir(none, 0700), 0);
    refuse(&options, PUBSUB_ENOTFOUND, "no bus");
    options.must_exist = true;
    options.access = LOCAL_ACCESS_AUTO;
    refuse(&options, PUBSUB_ENOTFOUND, "no bus");
    bus_free(&b);
}

static void test_store_settings_are_kept(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    local_store *other = bus_again(&b);
    local_options options = {
        .dir = b.dir, .max_bytes = 16u << 20, .max_age_s = -1, .full = LOCAL_FULL_REJECT};
    local_store *store;
    BUS_OK(pubsub__local_open(&store, &options, &bus_error));
    pubsub__local_close(store);
    local_info info;
    BUS_OK(pubsub__local_info(other, &info, &bus_error)); /* counts for those that are open too */
    assert_int_equal(info.max_bytes, 16u << 20);
    assert_int_equal(info.segment_bytes, 2u << 20);
    pubsub__local_close(other);
    bus_reboot(&b);
    BUS_OK(pubsub__local_info(b.store, &info, &bus_error));
    assert_int_equal(info.max_bytes, 16u << 20);
    assert_int_equal(info.max_age_s, -1);
    assert_int_equal(info.full, LOCAL_FULL_REJECT);
    local_options bad = {.dir = b.dir, .max_bytes = 1000};
    refuse(&bad, PUBSUB_EOPTION, "max_bytes");
    bad = (local_options){.dir = b.dir, .segment_bytes = 1000};
    refuse(&bad, PUBSUB_EOPTION, "segment_bytes");
    bus_free(&b);
}

static void test_store_read_only(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    (void)bus_put(b.store, "t", "one");
    local_options options = {.dir = b.dir, .access = LOCAL_ACCESS_READ};
    local_store *reader;
    BUS_OK(pubsub__local_open(&reader, &options, &bus_error));
    assert_true(pubsub__local_is_readonly(reader));
    local_cursor *cursor = bus_read(reader, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "one");
    local_record record = {.topic = bus_bytes("t")};
    assert_int_equal(pubsub__local_append(reader, &record, 1, NULL, NULL, &bus_error),
                     PUBSUB_EDENIED);
    local_group_options group = {.name = "g"};
    local_group *joined;
    assert_int_equal(pubsub__local_group_join(&joined, reader, &group, NULL, &bus_error),
                     PUBSUB_EDENIED);
    uint32_t generation = pubsub__local_generation(reader);
    assert_false(pubsub__local_wait(reader, generation, LOCAL_BITS_ALL, 1));
    (void)bus_put(b.store, "t", "two");
    assert_true(pubsub__local_wait(reader, generation, LOCAL_BITS_ALL, KIT_PATIENCE));
    bus_expect(cursor, "two");
    pubsub__local_cursor_close(cursor);
    pubsub__local_close(reader);
    bus_free(&b);
}

/* Who may not write cannot recover, and must not read what may be cut off in a moment. */
static void test_store_read_only_waits_for_recovery(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_close(&b);
    pubsub__local_hooks.boot_id = "00000000-0000-4000-8000-00000000000a";
    local_options options = {.dir = b.dir, .access = LOCAL_ACCESS_READ};
    refuse(&options, PUBSUB_EBUSY, "permission to write");
    bus_open(&b);
    local_store *reader;
    BUS_OK(pubsub__local_open(&reader, &options, &bus_error));
    pubsub__local_close(reader);
    bus_free(&b);
}

/* A creator that was killed before it wrote FORMAT leaves only files of ours. */
static void test_store_creation_cut_short(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    char format[512];
    bus_close(&b);
    bus_path(&b, format, sizeof(format), "FORMAT");
    assert_int_equal(unlink(format), 0);
    char segment[512];
    bus_last_segment(&b, segment, sizeof(segment));
    assert_int_equal(unlink(segment), 0); /* FORMAT comes before the first of them */
    bus_open(&b);
    (void)bus_put(b.store, "t", "works");
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "works");
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

/* Starting anew would hide what is stored. */
static void test_store_lost_format_is_refused(void **state)
{
    (void)state;
    bus b;
    pubsub_error err = PUBSUB_ERROR_INIT;
    bus_new(&b);
    (void)bus_put(b.store, "t", "stored");
    char format[512];
    char aside[512];
    bus_close(&b);
    bus_path(&b, format, sizeof(format), "FORMAT");
    bus_path(&b, aside, sizeof(aside), "FORMAT.tmp");
    assert_int_equal(rename(format, aside), 0);
    local_options options;
    memset(&options, 0, sizeof(options));
    options.dir = b.dir;
    local_store *store = NULL;
    assert_int_equal(pubsub__local_open(&store, &options, &err), PUBSUB_ECORRUPT);
    assert_non_null(strstr(err.text, "FORMAT is missing"));
    assert_int_equal(rename(aside, format), 0);
    bus_open(&b);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "stored");
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

static void test_store_close_null(void **state)
{
    (void)state;
    pubsub__local_close(NULL);
    pubsub__local_cursor_close(NULL);
    pubsub__local_group_leave(NULL);
    local_store *store;
    assert_int_equal(pubsub__local_open(&store, NULL, NULL), PUBSUB_EINVAL);
    assert_int_equal(pubsub__local_open(NULL, NULL, NULL), PUBSUB_EINVAL);
}

/* Every descriptor is closed by exec. */
static void test_store_descriptors_close_on_exec(void **state)
{
    (void)state;
    bool open_before[256];
    for (int fd = 0; fd < 256; fd++) {
        open_before[fd] = fcntl(fd, F_GETFD) >= 0;
    }
    bus b;
    bus_new(&b);
    (void)bus_put(b.store, "t", "one");
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    bus_expect(cursor, "one");
    int found = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !open_before[fd]) {
            assert_true((flags & FD_CLOEXEC) != 0);
            found++;
        }
    }
    assert_true(found >= 8);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
    for (int fd = 0; fd < 256; fd++) {
        assert_true(open_before[fd] == (fcntl(fd, F_GETFD) >= 0)); /* and none is left */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_makes_parents_for_the_owner_only),
        cmocka_unit_test(test_store_shared_directory),
        cmocka_unit_test(test_store_default_directory),
        cmocka_unit_test(test_store_refuses_a_foreign_directory),
        cmocka_unit_test(test_store_refuses_other_formats),
        cmocka_unit_test(test_store_refuses_network_file_systems),
        cmocka_unit_test(test_store_must_exist),
        cmocka_unit_test(test_store_settings_are_kept),
        cmocka_unit_test(test_store_read_only),
        cmocka_unit_test(test_store_read_only_waits_for_recovery),
        cmocka_unit_test(test_store_creation_cut_short),
        cmocka_unit_test(test_store_lost_format_is_refused),
        cmocka_unit_test(test_store_close_null),
        cmocka_unit_test(test_store_descriptors_close_on_exec),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
