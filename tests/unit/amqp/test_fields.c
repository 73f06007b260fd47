/* SPDX-License-Identifier: MIT */
#include "amqp/wire.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <string.h>

/* Frames and fields as a broker may send them, also broken. */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_fields_as_text(void **state)
{
    static const struct {
        pubsub_bytes table; /* one field named n */
        const char *text;
    } rows[] = {
        {{"\1nt\1", 4}, "true"},
        {{"\1nt\0", 4}, "false"},
        {{"\1nb\xFF", 4}, "-1"},
        {{"\1nB\xFF", 4}, "255"},
        {{"\1ns\xFF\xFE", 5}, "-2"},
        {{"\1nu\xFF\xFE", 5}, "65534"},
        {{"\1nI\x80\0\0\0", 7}, "-2147483648"},
        {{"\1ni\x80\0\0\0", 7}, "2147483648"},
        {{"\1nl\x80\0\0\0\0\0\0\0", 11}, "-9223372036854775808"},
        {{"\1nl\0\0\0\0\0\0\0\7", 11}, "7"},
        {{"\1nT\0\0\0\0\0\0\1\0", 11}, "256"},
        {{"\1nf\x3f\0\0\0", 7}, "0.5"},
        {{"\1nd\xbf\xe0\0\0\0\0\0\0", 11}, "-0.5"},
        {{"\1nd\x7f\xf8\0\0\0\0\0\0", 11}, "nan"},
        {{"\1nA\0\0\0\x13"
          "d\x7f\xf8\0\0\0\0\0\0"
          "f\xff\x80\0\0"
          "f\x3f\0\0\0",
          26},
         "[null,null,0.5]"},
        {{"\1nD\2\0\0\1\x3a", 8}, "314e-2"},
        {{"\1nS\0\0\0\2ab", 9}, "ab"},
        {{"\1nx\0\0\0\2ab", 9}, "ab"},
        {{"\1nV", 3}, ""},
        {{"\1nA\0\0\0\4t\1bx", 11}, "[true,120]"},
        {{"\1nF\0\0\0\x0c\1aV\2\"bS\0\0\0\1\x01", 19}, "{\"a\":null,\"\\\"b\":\"\\u0001\"}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pubsub_bytes rest = rows[i].table;
        amq_field field;
        char text[80];
        assert_true(pubsub__amqp_table_next(&rest, &field));
        assert_int_equal(rest.len, 0);
        size_t len = pubsub__amqp_field_text(&field, text, sizeof(text));
        assert_int_equal(len, strlen(rows[i].text));
        assert_memory_equal(text, rows[i].text, len);
        assert_int_equal(pubsub__amqp_field_text(&field, NULL, 0), len);
    }
}

static void test_fields_broken_tables_end(void **state)
{
    static const pubsub_bytes rows[] = {
        {"\1", 1},
        {"\1n", 2},
        {"\1n?", 3},
        {"\1nI\0\0\0", 6},
        {"\1nS\0\0\0\3ab", 9},
        {"\1nF\xFF\xFF\xFF\xFF", 7},
        {"\5n", 2},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pubsub_bytes rest = rows[i];
        amq_field field;
        assert_false(pubsub__amqp_table_next(&rest, &field));
        assert_int_equal(rest.len, rows[i].len);
    }
}

/* Tables in tables, as many as a frame holds: the cost is bounded, the depth too. */
static void test_fields_nested_without_end(void **state)
{
    enum { DEPTH = 10000, EACH = 7 };
    static unsigned char bytes[DEPTH * EACH + 3];
    (void)state;
    for (size_t i = 0; i < DEPTH; i++) {
        size_t left = (DEPTH - 1 - i) * EACH + 3;
        unsigned char *at = bytes + i * EACH;
        at[0] = 1;
        at[1] = 'n';
        at[2] = 'F';
        at[3] = 0;
        at[4] = (unsigned char)(left >> 16);
        at[5] = (unsigned char)(left >> 8);
        at[6] = (unsigned char)left;
    }
    memcpy(bytes + (size_t)DEPTH * EACH, "\1nV", 3);
    pubsub_bytes rest = {bytes, sizeof(bytes)};
    amq_field field;
    assert_true(pubsub__amqp_table_next(&rest, &field));
    assert_true(pubsub__amqp_field_text(&field, NULL, 0) < 500);
}

static void test_fields_frames(void **state)
{
    static const unsigned char beat[] = {8, 0, 0, 0, 0, 0, 0, 0xCE};
    static const unsigned char large[] = {3, 0, 1, 0, 2, 0, 1};
    static const unsigned char no_end[] = {8, 0, 0, 0, 0, 0, 0, 0};
    amq_frame frame;
    size_t used = 0;
    (void)state;
    for (size_t len = 0; len < sizeof(beat); len++) {
        assert_int_equal(pubsub__amqp_frame_read(beat, len, AMQ_FRAME_MAX, &frame, &used),
                         AMQ_READ_MORE);
    }
    assert_int_equal(pubsub__amqp_frame_read(beat, sizeof(beat), AMQ_FRAME_MAX, &frame, &used),
                     AMQ_READ_OK);
    assert_int_equal(used, sizeof(beat));
    assert_int_equal(frame.type, AMQP_FRAME_HEARTBEAT);
    assert_int_equal(pubsub__amqp_frame_read(large, sizeof(large), AMQ_FRAME_MAX, &frame, &used),
                     AMQ_READ_BROKEN);
    assert_int_equal(pubsub__amqp_frame_read(no_end, sizeof(no_end), AMQ_FRAME_MAX, &frame, &used),
                     AMQ_READ_BROKEN);
    const unsigned char *version = (const unsigned char *)"AMQP\1\1\0\11";
    assert_int_equal(pubsub__amqp_frame_read(version, 4, AMQ_FRAME_MAX, &frame, &used),
                     AMQ_READ_MORE);
    assert_int_equal(pubsub__amqp_frame_read(version, 8, AMQ_FRAME_MAX, &frame, &used),
                     AMQ_READ_VERSION);
    assert_int_equal(
        pubsub__amqp_frame_read((const unsigned char *)"ABC", 3, AMQ_FRAME_MAX, &frame, &used),
        AMQ_READ_BROKEN);
}

static void test_fields_broken_properties(void **state)
{
    static const pubsub_bytes rows[] = {
        {"", 0},
        {"\0\x3c\0\0\0\0\0\0\0\0\0\0", 12},
        {"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0", 14},         /* a content type that is not there */
        {"\0\x3c\0\0\0\0\0\0\0\0\0\0\x80\0\5ab", 17},     /* and one that is cut */
        {"\0\x3c\0\0\0\0\0\0\0\0\0\0\x20\0\0\0\0\1", 18}, /* a table too */
        {"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\1", 14},           /* more flags announced */
        {"\0\x0a\0\0\0\0\0\0\0\0\0\0\0\0", 14},           /* another class */
    };
    amq_properties props;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_false(pubsub__amqp_properties_read(rows[i].data, rows[i].len, &props));
    }
    pubsub_bytes good = {"\0\x3c\0\0\0\0\0\0\0\0\0\7\0\0", 14};
    assert_true(pubsub__amqp_properties_read(good.data, good.len, &props));
    assert_int_equal(props.body_size, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_as_text),
        cmocka_unit_test(test_fields_broken_tables_end),
        cmocka_unit_test(test_fields_nested_without_end),
        cmocka_unit_test(test_fields_frames),
        cmocka_unit_test(test_fields_broken_properties),
    };
    return cmocka_run_group_tests_name("amqp_fields", tests, NULL, NULL);
}
