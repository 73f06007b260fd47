/* SPDX-License-Identifier: MIT */
/* The rows of a module's options are in the library; a row whose check is in the module opens it, and where
 * there is no module the value passes. */
#include "registry.h"

#include "module/options.h"
#include "options/known.h"
#include "support/cmocka.h"
#include "support/tempdir.h"

#include <stdlib.h>

/* As adapters/kafka has them, compiled for the library. */
extern const pubsub_option_row pubsub__kafka_option_rows[];
const pubsub_option_row pubsub__kafka_option_rows[] = {
    {.name = "plain", .adapter = "kafka"},
    {.name = "*", .adapter = "kafka", .check = PUBSUB__MODULE_CHECK(NULL)},
    {.name = NULL},
};

static pubsub_err check(const char *name, const char *value, pubsub_error *error)
{
    const pubsub_option_row *row = &pubsub__kafka_option_rows[1];
    *error = (pubsub_error)PUBSUB_ERROR_INIT;
    return row->check(row, name, value, error);
}

static void test_check_rows_are_the_librarys(void **state)
{
    bool known = false;
    (void)state;
    assert_ptr_equal(pubsub__registry_option_rows("kafka", &known), pubsub__kafka_option_rows);
    assert_true(known);
}

/* Then with it: what was not there is looked for again. */
static void test_check_passes_without_the_module(void **state)
{
    char dir[KIT_PATH_MAX];
    pubsub_error error;
    (void)state;
    kit_dir_new(dir);
    assert_int_equal(setenv("PUBSUB_ADAPTER_PATH", dir, 1), 0);
    assert_int_equal(check("kafka.acks", "sometimes", &error), PUBSUB_OK);
    assert_null(pubsub__registry_find("kafka", &error));
    assert_int_equal(error.code, PUBSUB_ENOTBUILT);
    assert_non_null(strstr(error.text, "kafka.so, which is not installed"));
    kit_dir_remove(dir);
}

static void test_check_asks_the_module(void **state)
{
    const pubsub_adapter *table = NULL;
    pubsub_error error;
    bool known = false;
    (void)state;
    assert_int_equal(setenv("PUBSUB_ADAPTER_PATH", TEST_MODULES, 1), 0);
    assert_int_equal(check("kafka.acks", "all", &error), PUBSUB_OK);
    assert_int_equal(check("kafka.acks", "sometimes", &error), PUBSUB_EOPTION);
    assert_string_equal(error.text, "option 'kafka.acks': the module says no");
    table = pubsub__registry_find("kafka", &error);
    assert_non_null(table);
    assert_string_equal(table->name, "kafka");
    assert_ptr_equal(pubsub__registry_option_rows("kafka", &known), pubsub__kafka_option_rows);
    assert_null(pubsub__registry_find("kafka+ssl", &error)); /* this one has kafka+tls */
    assert_non_null(strstr(error.text, "no scheme 'kafka+ssl:'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_rows_are_the_librarys),
        cmocka_unit_test(test_check_passes_without_the_module),
        cmocka_unit_test(test_check_asks_the_module),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
