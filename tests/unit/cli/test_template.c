/* SPDX-License-Identifier: MIT */
#include "template.h"

#include "support/cmocka.h"

#include <string.h>

static void test_template_replaces_fields(void **state)
{
    static const char *const pairs[][2] = {
        {"", ""},
        {"plain", "plain"},
        {"{{Count}}", "42"},
        {"a{{Count}}b{{Count}}", "a42b42"},
        {"{{ID}}", "id"},
        {"{{Time}}", "2026-02-14T08:00:00.000000Z"},
        {"{{Random 0 0}}", ""},
        {"{\"a\":{\"b\":{}}}", "{\"a\":{\"b\":{}}}"},
        {"{{count}}", "{{count}}"},
        {"{{Count}", "{{Count}"},
        {"{{Count", "{{Count"},
        {"{{{Count}}}", "{42}"},
        {"{{Random 5 1}}", "{{Random 5 1}}"},
        {"{{Random 1 99999}}", "{{Random 1 99999}}"},
        {"{{}}", "{{}}"},
        {"{{", "{{"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        pubsub__buf out;

        pubsub__buf_init(&out, 1000);
        assert_true(cli_template_add(&out, pubsub_bytes_of(pairs[i][0]), 42,
                                     UINT64_C(1771056000) * 1000000000, "id"));
        assert_string_equal(pubsub__buf_text(&out), pairs[i][1]);
        pubsub__buf_fini(&out);
    }
}

static void test_template_random_keeps_its_lengths(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        pubsub__buf out;

        pubsub__buf_init(&out, 1000);
        assert_true(cli_template_add(&out, pubsub_bytes_of("{{Random 10 100}}"), 1, 0, "id"));
        assert_in_range(out.len, 10, 100);
        pubsub__buf_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_replaces_fields),
        cmocka_unit_test(test_template_random_keeps_its_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
