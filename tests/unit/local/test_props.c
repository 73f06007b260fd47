/* SPDX-License-Identifier: MIT */
#include "local/store.h"

#include "support/cmocka.h"

static pubsub_bytes bytes(const char *text)
{
    return (pubsub_bytes){text, strlen(text)};
}

static void test_props_round_trip(void **state)
{
    (void)state;
    const pubsub_bytes none = {NULL, 0};
    const local_prop props[] = {{LOCAL_PROP_CONTENT_TYPE, none, bytes("text/plain")},
                                {LOCAL_PROP_HEADER, bytes("a"), bytes("1")},
                                {LOCAL_PROP_HEADER, bytes("a"), {"\0\xff", 2}},
                                {LOCAL_PROP_HEADER, bytes("empty"), none},
                                {LOCAL_PROP_CORRELATION, none, none}};
    const size_t count = sizeof(props) / sizeof(props[0]);
    uint8_t buf[256];
    size_t size = pubsub__local_props_size(props, count);
    assert_true(size <= sizeof(buf));
    assert_int_equal(pubsub__local_props_encode(props, count, buf), size);
    pubsub_bytes blob = {buf, size};
    for (size_t i = 0; i < count; i++) {
        local_prop out;
        assert_int_equal(pubsub__local_props_next(&blob, &out), 1);
        assert_int_equal(out.kind, props[i].kind);
        assert_int_equal(out.name.len, props[i].name.len);
        assert_int_equal(out.value.len, props[i].value.len);
        assert_memory_equal(out.name.data, props[i].name.len > 0 ? props[i].name.data : "",
                            out.name.len);
        assert_memory_equal(out.value.data, props[i].value.len > 0 ? props[i].value.data : "",
                            out.value.len);
    }
    local_prop out;
    assert_int_equal(pubsub__local_props_next(&blob, &out), 0);
}

static void test_props_refuses_what_does_not_fit(void **state)
{
    (void)state;
    const pubsub_bytes none = {NULL, 0};
    const local_prop cases[] = {{LOCAL_PROP_HEADER, none, bytes("no name")},
                                {LOCAL_PROP_REPLY_TO, bytes("name"), bytes("x")},
                                {LOCAL_PROP_HEADER, {"", 65536}, none},
                                {LOCAL_PROP_HEADER, bytes("x"), {"", (size_t)UINT32_MAX + 1}}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pubsub__local_props_size(&cases[i], 1), SIZE_MAX);
    }
}

/* Whatever the bytes, every step ends and stays inside. */
static void test_props_malformed(void **state)
{
    (void)state;
    const local_prop props[] = {{LOCAL_PROP_HEADER, bytes("name"), bytes("value")},
                                {LOCAL_PROP_HEADER, bytes("other"), bytes("thing")}};
    uint8_t buf[64];
    size_t size = pubsub__local_props_encode(props, 2, buf);
    local_prop out;
    for (size_t len = 1; len < size; len++) { /* cut */
        pubsub_bytes blob = {buf, len};
        int rc;
        while ((rc = pubsub__local_props_next(&blob, &out)) == 1) {
        }
        assert_true(rc == -1 || len == size / 2);
    }
    for (size_t bit = 0; bit < size * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        pubsub_bytes blob = {buf, size};
        unsigned steps = 0;
        while (pubsub__local_props_next(&blob, &out) == 1) {
            assert_true(++steps <= size / 8);
            assert_true((const uint8_t *)out.value.data + out.value.len <= buf + size);
        }
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_props_round_trip),
        cmocka_unit_test(test_props_refuses_what_does_not_fit),
        cmocka_unit_test(test_props_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
