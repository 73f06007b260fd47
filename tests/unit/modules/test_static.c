/* SPDX-License-Identifier: MIT */
/* In a program with the static library every adapter is built in, and no file is opened. */
#include "support/cmocka.h"

#include <pubsub/caps.h>
#include <pubsub/spi/adapter.h>

#include <stdlib.h>

static void test_static_has_everything_built_in(void **state)
{
    pubsub_scheme scheme;
    (void)state;
    for (size_t i = 0; pubsub_scheme_at(i, &scheme); i++) {
        assert_true(scheme.place == PUBSUB_ADAPTER_BUILT_IN ||
                    scheme.place == PUBSUB_ADAPTER_NOT_BUILT);
        assert_int_equal(scheme.built, scheme.place == PUBSUB_ADAPTER_BUILT_IN);
    }
}

static void test_static_opens_no_file(void **state)
{
    pubsub_error error = PUBSUB_ERROR_INIT;
    const pubsub_adapter *table = NULL;
    pubsub_caps caps = {.size = sizeof(caps)};
    (void)state;
    assert_int_equal(setenv("PUBSUB_ADAPTER_PATH", TEST_MODULES, 1), 0);
    assert_int_equal(pubsub_caps_offline("first:", NULL, &caps, &error), PUBSUB_ESCHEME);
    assert_int_equal(pubsub_adapter_load(TEST_MODULES "/first.so", &table, &error), PUBSUB_ENOTSUP);
    assert_null(table);
    assert_non_null(strstr(error.text, "built in"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_has_everything_built_in),
        cmocka_unit_test(test_static_opens_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
