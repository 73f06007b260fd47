/* SPDX-License-Identifier: MIT */
/* Adapters in files of their own: found by scheme, option or path, opened once, refused with a reason. */
#include "support/cmocka.h"
#include "support/tempdir.h"

#include <pubsub/pubsub.h>
#include <pubsub/spi/adapter.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void look_in(const char *path)
{
    assert_int_equal(setenv("PUBSUB_ADAPTER_PATH", path, 1), 0);
}

static int look_in_modules(void **state)
{
    (void)state;
    return setenv("PUBSUB_ADAPTER_PATH", "/nonexistent::" TEST_MODULES, 1);
}

static pubsub_err ask(const char *url, pubsub_error *error)
{
    pubsub_caps caps = {.size = sizeof(caps)};
    *error = (pubsub_error)PUBSUB_ERROR_INIT;
    return pubsub_caps_offline(url, NULL, &caps, error);
}

static pubsub_options *new_options(void)
{
    pubsub_options *options = NULL;
    assert_int_equal(pubsub_options_new(&options), PUBSUB_OK);
    return options;
}

static bool place_of(const char *scheme, pubsub_adapter_place *place)
{
    pubsub_scheme row;
    for (size_t i = 0; pubsub_scheme_at(i, &row); i++) {
        if (strcmp(row.scheme, scheme) == 0) {
            *place = row.place;
            return true;
        }
    }
    return false;
}

#ifdef TEST_MQTT_IS_A_MODULE
/* Whether an object whose name has this in it is in this process. */
static bool is_mapped(const char *name)
{
    char line[4096];
    bool found = false;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (!found && fgets(line, sizeof(line), maps) != NULL) {
        found = strstr(line, name) != NULL;
    }
    (void)fclose(maps);
    return found;
}
#endif

/* ---- what is found ------------------------------------------------------------------------- */

static void test_load_by_scheme(void **state)
{
    pubsub_caps caps = {.size = sizeof(caps)};
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_adapter_place place = PUBSUB_ADAPTER_NOT_BUILT;
    (void)state;
    assert_false(place_of("first", &place));
    assert_int_equal(pubsub_caps_offline("first+tls:", NULL, &caps, &error), PUBSUB_OK);
    assert_int_equal(caps.max_topic, 7);
    assert_true(place_of("first", &place));
    assert_int_equal(place, PUBSUB_ADAPTER_LOADED);
    assert_true(place_of("first+tls", &place));
    assert_string_equal(pubsub_adapter_place_name(place), "module");
}

static void test_load_by_option(void **state)
{
    pubsub_options *options = new_options();
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    assert_int_equal(pubsub_options_set(options, "first.spede", "3", &error), PUBSUB_EOPTION);
    assert_non_null(strstr(error.text, "did you mean 'first.speed'"));
    assert_int_equal(pubsub_options_set(options, "first.speed", "10", &error), PUBSUB_EOPTION);
    assert_int_equal(pubsub_options_set(options, "first.speed", "9", &error), PUBSUB_OK);
    pubsub_options_free(options);
}

static void test_load_by_path(void **state)
{
    const pubsub_adapter *table = NULL;
    const pubsub_adapter *again = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    look_in("");
    assert_int_equal(ask("given:", &error), PUBSUB_ESCHEME);
    assert_int_equal(pubsub_adapter_load(TEST_MODULES "/given.so", &table, &error), PUBSUB_OK);
    assert_string_equal(table->name, "given");
    assert_int_equal(pubsub_adapter_load(TEST_MODULES "/given.so", &again, NULL), PUBSUB_OK);
    assert_ptr_equal(again, table);
    assert_int_equal(ask("given:", &error), PUBSUB_OK);
    assert_int_equal(pubsub_adapter_load(NULL, NULL, NULL), PUBSUB_EINVAL);
}

/* A client of a module goes its whole way. */
static void test_load_makes_clients(void **state)
{
    pubsub_client *client = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    assert_int_equal(pubsub_client_new(&client, "first:", NULL, &error), PUBSUB_OK);
    assert_int_equal(pubsub_client_ready(client, 10000, &error), PUBSUB_EDENIED);
    assert_string_equal(error.text, "nobody is here");
    pubsub_client_free(client);
}

/* A table that ends a little before ours, as that of an older adapter does when the interface has grown. */
static void test_load_takes_smaller_table(void **state)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    assert_int_equal(ask("older:", &error), PUBSUB_OK);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void test_load_says_what_is_wrong(void **state)
{
    static const struct {
        const char *url;
        pubsub_err code;
        const char *text;
    } rows[] = {
        {"abi:", PUBSUB_EVERSION, "built for adapter ABI 77, this is"},
        {"small:", PUBSUB_EVERSION, "16 bytes"},
        {"none:", PUBSUB_EINVAL, "incomplete"},
        {"other:", PUBSUB_ENOTFOUND, "it is the adapter 'another', not 'other'"},
        {"thief:", PUBSUB_EBUSY, "the scheme 'local:' is taken"},
        {"empty:", PUBSUB_ENOTFOUND, "exports no adapter"},
        {"needs:", PUBSUB_ENOTFOUND, "needs a library that is not here: libpubsub-nowhere.so"},
        {"apart:", PUBSUB_ESCHEME, "unknown scheme 'apart:'"},
        {"nobody:", PUBSUB_ESCHEME, "unknown scheme 'nobody:'"},
    };
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pubsub_err code = ask(rows[i].url, &error);
        if (code != rows[i].code || strstr(error.text, rows[i].text) == NULL) {
            fail_msg("%s gives %s: %s", rows[i].url, pubsub_err_name(code), error.text);
        }
    }
}

/* An option of an adapter that is there and cannot be opened is not called unknown. */
static void test_load_leaves_options_of_broken_module(void **state)
{
    pubsub_options *options = new_options();
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    assert_int_equal(pubsub_options_set(options, "abi.speed", "3", &error), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "nobody.speed", "3", &error), PUBSUB_EOPTION);
    assert_non_null(strstr(error.text, "there is no adapter 'nobody'"));
    pubsub_options_free(options);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    size_t len = 0;
    FILE *in = fopen(from, "re");
    FILE *out = fopen(to, "we");
    assert_non_null(in);
    assert_non_null(out);
    while ((len = fread(bytes, 1, sizeof(bytes), in)) > 0) {
        assert_int_equal(fwrite(bytes, 1, len, out), len);
    }
    assert_int_equal(fclose(out), 0);
    (void)fclose(in);
}

/* What failed once is tried again: nothing, then a file that is no object, then the adapter. */
static void test_load_failure_is_not_kept(void **state)
{
    char dir[KIT_PATH_MAX];
    char path[KIT_PATH_MAX + 16];
    pubsub_error error = PUBSUB_ERROR_INIT;
    FILE *file = NULL;
    (void)state;
    kit_dir_new(dir);
    look_in(dir);
    (void)snprintf(path, sizeof(path), "%s/late.so", dir);
    assert_int_equal(ask("late:", &error), PUBSUB_ESCHEME);
    file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("this is no object\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(ask("late:", &error), PUBSUB_ENOTFOUND);
    assert_non_null(strstr(error.text, "cannot load"));
    assert_non_null(strstr(error.text, "late.so"));
    assert_int_equal(unlink(path), 0);
    copy_file(TEST_MODULES "/late.so", path);
    assert_int_equal(ask("late:", &error), PUBSUB_OK);
    kit_dir_remove(dir);
}

/* A directory in the place of a file, a name that would lead elsewhere. */
static void test_load_stays_in_its_directories(void **state)
{
    pubsub_options *options = new_options();
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    assert_int_equal(pubsub_options_set(options, "../adapters/many.speed", "3", &error),
                     PUBSUB_EOPTION);
    assert_int_equal(pubsub_options_set(options, "/many.speed", "3", &error), PUBSUB_EOPTION);
    assert_int_equal(pubsub_adapter_load(TEST_MODULES, NULL, &error), PUBSUB_ENOTFOUND);
    pubsub_options_free(options);
}

/* ---- at once ------------------------------------------------------------------------------- */

enum { THREADS = 8 };

typedef struct runner {
    pthread_t thread;
    pthread_barrier_t *start;
    pubsub_err results[3];
} runner;

static void *run(void *ctx)
{
    runner *self = ctx;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_client *client = NULL;
    pubsub_scheme scheme;
    (void)pthread_barrier_wait(self->start);
    self->results[0] = pubsub_client_new(&client, "many:", NULL, &error);
    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
    }
    self->results[1] = ask("abi:", &error);
    self->results[2] = ask("mqtt://localhost", &error);
    pubsub_client_free(client);
    return NULL;
}

static void test_load_by_many_threads_at_once(void **state)
{
    runner runners[THREADS];
    pthread_barrier_t start;
    size_t rows = 0;
    pubsub_scheme scheme;
    pubsub_error error = PUBSUB_ERROR_INIT;
    (void)state;
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) {
        runners[i].start = &start;
        assert_int_equal(pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(runners[i].thread, NULL), 0);
    }
    (void)pthread_barrier_destroy(&start);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(runners[i].results[0], PUBSUB_OK);
        assert_int_equal(runners[i].results[1], PUBSUB_EVERSION);
        assert_int_equal(runners[i].results[2], ask("mqtt://localhost", &error));
    }
    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
        rows += strcmp(scheme.scheme, "many") == 0 ? 1 : 0;
    }
    assert_int_equal(rows, 1);
}

/* ---- the library's own --------------------------------------------------------------------- */

#ifdef TEST_MQTT_IS_A_MODULE
/* Runs first: lists and options open nothing, the first use of the scheme does. */
static void test_load_mqtt_when_it_is_used(void **state)
{
    pubsub_options *options = new_options();
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_adapter_place place = PUBSUB_ADAPTER_NOT_BUILT;
    (void)state;
    assert_true(place_of("mqtts", &place));
    assert_int_equal(place, PUBSUB_ADAPTER_MODULE);
    assert_int_equal(pubsub_options_set(options, "mqtt.keep_alive", "3s", &error), PUBSUB_OK);
    assert_int_equal(pubsub_options_set(options, "mqtt.keep_alife", "3s", &error), PUBSUB_EOPTION);
    assert_non_null(strstr(error.text, "did you mean 'mqtt.keep_alive'"));
    assert_int_equal(ask("local:/nonexistent", &error), PUBSUB_OK);
    assert_false(is_mapped("paho"));
    assert_int_equal(ask("mqtt://localhost", &error), PUBSUB_OK);
    assert_true(is_mapped("paho"));
    assert_true(place_of("wss", &place));
    assert_int_equal(place, PUBSUB_ADAPTER_LOADED);
    pubsub_options_free(options);
}

/* Its schemes are taken, opened or not. */
static void test_load_keeps_places_of_modules(void **state)
{
    static const char *const schemes[] = {"wss", NULL};
    const pubsub_adapter *table = NULL;
    pubsub_error error = PUBSUB_ERROR_INIT;
    pubsub_adapter copy;
    (void)state;
    assert_int_equal(pubsub_adapter_load(TEST_MODULES "/first.so", &table, &error), PUBSUB_OK);
    memcpy(&copy, table, sizeof(copy));
    copy.name = "copy";
    copy.schemes = schemes;
    assert_int_equal(pubsub_adapter_register(&copy, &error), PUBSUB_EBUSY);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef TEST_MQTT_IS_A_MODULE
        cmocka_unit_test_setup(test_load_mqtt_when_it_is_used, look_in_modules),
#endif
        cmocka_unit_test_setup(test_load_by_many_threads_at_once, look_in_modules),
        cmocka_unit_test_setup(test_load_by_scheme, look_in_modules),
        cmocka_unit_test_setup(test_load_by_option, look_in_modules),
        cmocka_unit_test_setup(test_load_by_path, look_in_modules),
        cmocka_unit_test_setup(test_load_makes_clients, look_in_modules),
        cmocka_unit_test_setup(test_load_takes_smaller_table, look_in_modules),
        cmocka_unit_test_setup(test_load_says_what_is_wrong, look_in_modules),
        cmocka_unit_test_setup(test_load_leaves_options_of_broken_module, look_in_modules),
        cmocka_unit_test_setup(test_load_failure_is_not_kept, look_in_modules),
        cmocka_unit_test_setup(test_load_stays_in_its_directories, look_in_modules),
#ifdef TEST_MQTT_IS_A_MODULE
        cmocka_unit_test_setup(test_load_keeps_places_of_modules, look_in_modules),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
