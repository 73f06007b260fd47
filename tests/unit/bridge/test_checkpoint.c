/* SPDX-License-Identifier: MIT */
#include "engine/checkpoint.h"

#include "base/alloc.h"
#include "support/child.h"
#include "support/cmocka.h"
#include "support/tempdir.h"
#include "support/wait.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUTE "orders to/mqtt"

static pubsub_bytes bytes(const char *text)
{
    return pubsub_bytes_of(text);
}

static void put(const char *dir, const char *model, const char *position)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    if (bridge_checkpoint_write(dir, ROUTE, bytes(model), bytes(position), &err) != PUBSUB_OK) {
        fail_msg("%s", err.text);
    }
}

static void assert_stored(const char *dir, const char *model, const char *expected)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    char *text = NULL;
    size_t len = 99;
    if (bridge_checkpoint_read(dir, ROUTE, bytes(model), &text, &len, &err) != PUBSUB_OK) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(len, strlen(expected));
    if (len > 0) {
        assert_memory_equal(text, expected, len);
    }
    pubsub__free(text);
}

/* The only file of a directory. */
static void only_file(const char *dir, char *path, size_t size)
{
    DIR *d = opendir(dir);
    unsigned count = 0;
    assert_non_null(d);
    for (struct dirent *e = NULL; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] != '.') {
            (void)snprintf(path, size, "%s/%s", dir, e->d_name);
            count++;
        }
    }
    (void)closedir(d);
    assert_int_equal(count, 1);
}

static size_t slurp(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t n = read(fd, out, size);
    (void)close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static void spill(const char *path, const char *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, len), (ssize_t)len);
    (void)close(fd);
}

static void assert_refused(const char *dir, const char *path, pubsub_err code)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    char *text = NULL;
    size_t len = 0;
    pubsub_err rc = bridge_checkpoint_read(dir, ROUTE, bytes("m"), &text, &len, &err);
    assert_int_equal(rc, code);
    assert_null(text);
    assert_int_equal(len, 0);
    assert_non_null(strstr(err.text, path)); /* names the file */
}

static void test_checkpoint_gives_back_what_was_stored(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char bin[256];
    char *text = NULL;
    size_t len = 0;
    pubsub_error err = PUBSUB_ERROR_INIT;
    kit_dir_new(dir);
    assert_stored(dir, "m", "");
    put(dir, "m", "12-g1AAAA");
    put(dir, "m/other", "x");
    assert_stored(dir, "m", "12-g1AAAA");
    put(dir, "m", "13");
    assert_stored(dir, "m", "13");
    assert_stored(dir, "m/other", "x");
    for (unsigned i = 0; i < sizeof bin; i++) {
        bin[i] = (char)i;
    }
    pubsub_bytes all = {bin, sizeof bin};
    assert_int_equal(bridge_checkpoint_write(dir, ROUTE, (pubsub_bytes){bin, 200}, all, &err), 0);
    assert_int_equal(
        bridge_checkpoint_read(dir, ROUTE, (pubsub_bytes){bin, 200}, &text, &len, &err), 0);
    assert_int_equal(len, sizeof bin);
    assert_memory_equal(text, bin, len);
    pubsub__free(text);
    kit_dir_remove(dir);
}

static void test_checkpoint_takes_long_names_and_positions(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char model[PUBSUB_MODEL_MAX + 1];
    char *position = pubsub__calloc(1, PUBSUB_POSITION_BYTES_MAX + 2);
    kit_dir_new(dir);
    memset(model, '/', sizeof model - 1);
    model[sizeof model - 1] = '\0';
    memset(position, '%', PUBSUB_POSITION_BYTES_MAX);
    put(dir, model, position);
    model[PUBSUB_MODEL_MAX - 1] = 'b'; /* differs where the name is cut */
    put(dir, model, "b");
    assert_stored(dir, model, "b");
    model[PUBSUB_MODEL_MAX - 1] = '/';
    assert_stored(dir, model, position);
    position[PUBSUB_POSITION_BYTES_MAX] = 'x';
    pubsub_error err = PUBSUB_ERROR_INIT;
    assert_int_equal(bridge_checkpoint_write(dir, ROUTE, bytes("m"), bytes(position), &err),
                     PUBSUB_ETOOBIG);
    pubsub__free(position);
    kit_dir_remove(dir);
}

static void test_checkpoint_names_stay_in_the_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"..", "../x", ".", "a/b", "/etc/passwd", "a@b", "\n"};
    char dir[KIT_PATH_MAX];
    kit_dir_new(dir);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char sub[KIT_PATH_MAX + 16];
        char path[KIT_PATH_MAX + 300];
        (void)snprintf(sub, sizeof sub, "%s/%zu", dir, i);
        assert_int_equal(mkdir(sub, 0700), 0);
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(bridge_checkpoint_write(sub, names[i], bytes(names[i]), bytes("p"), &err),
                         PUBSUB_OK);
        only_file(sub, path, sizeof path);
    }
    kit_dir_remove(dir);
}

/* Whatever is wrong with a file: it is never "no position", and never another one. */
static void test_checkpoint_refuses_every_damage(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char path[KIT_PATH_MAX + 300];
    char good[1024];
    char bad[1024];
    kit_dir_new(dir);
    put(dir, "m", "12-g1AAAA");
    only_file(dir, path, sizeof path);
    size_t len = slurp(path, good, sizeof good);
    for (size_t cut = 0; cut < len; cut++) {
        spill(path, good, cut);
        assert_refused(dir, path, PUBSUB_ECORRUPT);
    }
    for (size_t at = 0; at < len; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            if ((char)byte == good[at]) {
                continue;
            }
            pubsub_error err = PUBSUB_ERROR_INIT;
            pubsub__buf position;
            memcpy(bad, good, len);
            bad[at] = (char)byte;
            pubsub_err rc = bridge_checkpoint_parse(path, (pubsub_bytes){bad, len}, ROUTE,
                                                    bytes("m"), &position, &err);
            assert_true(rc == PUBSUB_ECORRUPT || rc == PUBSUB_EVERSION);
            assert_int_equal(position.len, 0);
            assert_non_null(strstr(err.text, path));
            pubsub__buf_fini(&position);
        }
    }
    memcpy(bad, good, len);
    bad[len] = 'x';
    spill(path, bad, len + 1);
    assert_refused(dir, path, PUBSUB_ECORRUPT);
    char *big = pubsub__calloc(1, 1u << 20);
    spill(path, big, 1u << 20);
    assert_refused(dir, path, PUBSUB_ECORRUPT);
    pubsub__free(big);
    spill(path, good, len);
    assert_stored(dir, "m", "12-g1AAAA");
    kit_dir_remove(dir);
}

static void test_checkpoint_refuses_foreign_and_newer(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char other[KIT_PATH_MAX + 8];
    char path[KIT_PATH_MAX + 300];
    char path_other[KIT_PATH_MAX + 300];
    char data[1024];
    static const char newer[] = "pubsub-bridge checkpoint 2\nwhatever\n";
    kit_dir_new(dir);
    put(dir, "m", "1");
    only_file(dir, path, sizeof path);
    (void)snprintf(other, sizeof other, "%s/o", dir);
    assert_int_equal(mkdir(other, 0700), 0);
    put(other, "n", "2");
    only_file(other, path_other, sizeof path_other);
    size_t len = slurp(path_other, data, sizeof data);
    spill(path, data, len);
    assert_refused(dir, path, PUBSUB_ECORRUPT);
    spill(path, newer, sizeof newer - 1);
    assert_refused(dir, path, PUBSUB_EVERSION);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* not readable as a file */
    assert_refused(dir, path, PUBSUB_EIO);
    kit_dir_remove(dir);
}

static void test_checkpoint_keeps_the_old_one_when_writing_fails(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char path[KIT_PATH_MAX + 300];
    char temp[KIT_PATH_MAX + 310];
    pubsub_error err = PUBSUB_ERROR_INIT;
    struct rlimit limit;
    struct rlimit none;
    kit_dir_new(dir);
    put(dir, "m", "1");
    only_file(dir, path, sizeof path);
    /* A file that cannot grow is what a full disk looks like. */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = limit;
    none.rlim_cur = 16;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    pubsub_err rc = bridge_checkpoint_write(dir, ROUTE, bytes("m"), bytes("2"), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(rc, PUBSUB_EIO);
    assert_non_null(strstr(err.text, path));
    assert_stored(dir, "m", "1");
    /* A place where no temporary file can be made. */
    (void)snprintf(temp, sizeof temp, "%s.tmp", path);
    assert_int_equal(mkdir(temp, 0700), 0);
    assert_int_equal(bridge_checkpoint_write(dir, ROUTE, bytes("m"), bytes("2"), &err), PUBSUB_EIO);
    assert_stored(dir, "m", "1");
    assert_int_equal(rmdir(temp), 0);
    put(dir, "m", "2");
    assert_stored(dir, "m", "2");
    assert_int_equal(bridge_checkpoint_write("/proc/self", ROUTE, bytes("m"), bytes("2"), &err),
                     PUBSUB_EIO);
    kit_dir_remove(dir);
}

/* A child stores 1, 2, 3 ... and is killed somewhere. What is there afterwards is whole, and at least
 * what the child had been told was stored. */
static int store_numbers(int argc, char **argv)
{
    char text[32];
    pubsub_error err = PUBSUB_ERROR_INIT;
    unsigned long number = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    for (;;) {
        (void)snprintf(text, sizeof text, "%lu", ++number);
        if (bridge_checkpoint_write(argv[0], ROUTE, bytes("m"), bytes(text), &err) != PUBSUB_OK) {
            return 1;
        }
        kit_say("%lu", number);
    }
}

static unsigned long read_number(const char *dir)
{
    pubsub_error err = PUBSUB_ERROR_INIT;
    char *text = NULL;
    size_t len = 0;
    if (bridge_checkpoint_read(dir, ROUTE, bytes("m"), &text, &len, &err) != PUBSUB_OK) {
        fail_msg("%s", err.text);
    }
    unsigned long number = text != NULL ? strtoul(text, NULL, 10) : 0;
    pubsub__free(text);
    return number;
}

static void test_checkpoint_survives_kill(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    unsigned long number = 0;
    kit_dir_new(dir);
    for (unsigned round = 0; round < 40; round++) {
        kit_child child;
        char first[32];
        char line[64] = "";
        (void)snprintf(first, sizeof first, "%lu", number);
        const char *const arguments[] = {dir, first, NULL};
        kit_child_start(&child, "store", arguments);
        unsigned long told = 0;
        for (unsigned i = 0; i <= round % 5; i++) {
            assert_true(kit_child_line(&child, line, sizeof line, KIT_PATIENCE));
            told = strtoul(line, NULL, 10);
        }
        kit_child_signal(&child, SIGKILL);
        assert_int_equal(kit_child_wait(&child, KIT_PATIENCE), 128 + SIGKILL);
        kit_child_end(&child);
        number = read_number(dir);
        assert_true(number >= told);
    }
    kit_dir_remove(dir);
}

typedef struct told_models {
    char text[1024];
    size_t count;
} told_models;

static void tell_model(void *ctx, pubsub_bytes model)
{
    told_models *told = ctx;
    size_t used = strlen(told->text);
    (void)snprintf(told->text + used, sizeof told->text - used, "[%.*s]",
                   model.len < 20 ? (int)model.len : 20, (const char *)model.data);
    told->count++;
}

static void test_checkpoint_knows_all_models_of_a_route(void **state)
{
    (void)state;
    char dir[KIT_PATH_MAX];
    char path[KIT_PATH_MAX + 64];
    char long_name[PUBSUB_MODEL_MAX + 1];
    told_models told = {"", 0};
    pubsub_error err = PUBSUB_ERROR_INIT;
    kit_dir_new(dir);
    memset(long_name, 'n', PUBSUB_MODEL_MAX);
    long_name[PUBSUB_MODEL_MAX] = '\0';
    assert_int_equal(bridge_checkpoint_models(dir, "r1", tell_model, &told, &err), PUBSUB_OK);
    assert_int_equal(told.count, 0);
    const char *const models[] = {"a b/c", long_name, ".."};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(bridge_checkpoint_write(dir, "r1", bytes(models[i]), bytes("7"), &err),
                         PUBSUB_OK);
    }
    assert_int_equal(bridge_checkpoint_write(dir, "r11", bytes("x"), bytes("7"), &err), PUBSUB_OK);
    assert_int_equal(bridge_checkpoint_write(dir, "r", bytes("x"), bytes("7"), &err), PUBSUB_OK);
    assert_int_equal(bridge_checkpoint_models(dir, "r1", tell_model, &told, &err), PUBSUB_OK);
    assert_int_equal(told.count, 3);
    assert_non_null(strstr(told.text, "[a b/c]"));
    assert_non_null(strstr(told.text, "[..]"));
    assert_non_null(strstr(told.text, "[nnnnn"));
    (void)snprintf(path, sizeof path, "%s/r1@z.pos", dir);
    spill(path, "no checkpoint, surely", 21);
    assert_int_equal(bridge_checkpoint_models(dir, "r1", tell_model, &told, &err), PUBSUB_ECORRUPT);
    assert_non_null(strstr(err.text, "r1@z.pos"));
    kit_dir_remove(dir);
}

int main(int argc, char **argv)
{
    const kit_role roles[] = {{"store", store_numbers}, {NULL, NULL}};
    kit_roles(argc, argv, roles);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checkpoint_gives_back_what_was_stored),
        cmocka_unit_test(test_checkpoint_takes_long_names_and_positions),
        cmocka_unit_test(test_checkpoint_names_stay_in_the_directory),
        cmocka_unit_test(test_checkpoint_refuses_every_damage),
        cmocka_unit_test(test_checkpoint_refuses_foreign_and_newer),
        cmocka_unit_test(test_checkpoint_keeps_the_old_one_when_writing_fails),
        cmocka_unit_test(test_checkpoint_knows_all_models_of_a_route),
        cmocka_unit_test(test_checkpoint_survives_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
