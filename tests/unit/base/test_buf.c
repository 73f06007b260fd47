/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include "base/alloc.h"

#include "support/cmocka.h"

static void test_buf_starts_empty(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub__buf_init(&buf, 10);
    assert_string_equal(pubsub__buf_text(&buf), "");
    assert_null(pubsub__buf_take(&buf));
    pubsub__buf_drop(&buf, 0);
    pubsub__buf_reset(&buf);
    pubsub__buf_fini(&buf);
}

static void test_buf_grows_up_to_its_maximum(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub__buf_init(&buf, 200);
    for (int i = 0; i < 200; i++) {
        assert_int_equal(pubsub__buf_add_byte(&buf, 'x'), PUBSUB__BUF_OK);
    }
    assert_int_equal(pubsub__buf_add_byte(&buf, 'x'), PUBSUB__BUF_FULL);
    assert_int_equal(pubsub__buf_add(&buf, "", 0), PUBSUB__BUF_OK);
    assert_int_equal(pubsub__buf_reserve(&buf, SIZE_MAX), PUBSUB__BUF_FULL);
    assert_int_equal(buf.len, 200);
    assert_int_equal(strlen(pubsub__buf_text(&buf)), 200);
    pubsub__buf_fini(&buf);
}

static void test_buf_refuses_whole_pieces(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub__buf_init(&buf, 5);
    assert_int_equal(pubsub__buf_add_text(&buf, "abc"), PUBSUB__BUF_OK);
    assert_int_equal(pubsub__buf_add_text(&buf, "def"), PUBSUB__BUF_FULL);
    assert_int_equal(pubsub__buf_printf(&buf, "%d", 123), PUBSUB__BUF_FULL);
    assert_string_equal(pubsub__buf_text(&buf), "abc");
    assert_int_equal(pubsub__buf_printf(&buf, "%d", 12), PUBSUB__BUF_OK);
    assert_string_equal(pubsub__buf_text(&buf), "abc12");
    pubsub__buf_fini(&buf);
}

static void test_buf_drops_from_the_front(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub__buf_init(&buf, 100);
    assert_int_equal(pubsub__buf_add_text(&buf, "hello world"), PUBSUB__BUF_OK);
    pubsub__buf_drop(&buf, 6);
    assert_string_equal(pubsub__buf_text(&buf), "world");
    pubsub__buf_drop(&buf, 5);
    assert_string_equal(pubsub__buf_text(&buf), "");
    pubsub__buf_fini(&buf);
}

static void test_buf_take_hands_over(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub__buf_init(&buf, 100);
    assert_int_equal(pubsub__buf_add_text(&buf, "mine"), PUBSUB__BUF_OK);
    char *text = pubsub__buf_take(&buf);
    assert_string_equal(text, "mine");
    assert_int_equal(buf.len, 0);
    pubsub__free(text);
    pubsub__buf_fini(&buf);
}

static void test_buf_survives_no_memory(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub__buf_init(&buf, 10000);
    assert_int_equal(pubsub__buf_add_text(&buf, "kept"), PUBSUB__BUF_OK);
    pubsub__alloc_fail_at(1);
    assert_int_equal(pubsub__buf_reserve(&buf, 5000), PUBSUB__BUF_NOMEM);
    pubsub__alloc_fail_at(0);
    assert_string_equal(pubsub__buf_text(&buf), "kept");
    pubsub__buf_fini(&buf);
    assert_int_equal(pubsub__alloc_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_starts_empty),
        cmocka_unit_test(test_buf_grows_up_to_its_maximum),
        cmocka_unit_test(test_buf_refuses_whole_pieces),
        cmocka_unit_test(test_buf_drops_from_the_front),
        cmocka_unit_test(test_buf_take_hands_over),
        cmocka_unit_test(test_buf_survives_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
