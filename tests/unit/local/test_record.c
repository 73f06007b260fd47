/* SPDX-License-Identifier: MIT */
#include "local/record.h"

#include "support/cmocka.h"

static pubsub_bytes bytes(const char *text)
{
    return (pubsub_bytes){text, strlen(text)};
}

/* A sealed record with every part. Returns its size. */
static size_t make(uint8_t *buf, const char *payload, uint64_t seq)
{
    local_raw raw = {.flags = 1 | REC_F_EXPIRES | REC_F_KEY,
                     .topic_hash = 77,
                     .key_hash = 88,
                     .ts_ns = 12345678901u,
                     .expiry_ns = 999,
                     .header_count = 2,
                     .topic = bytes("a/b"),
                     .key = bytes("k"),
                     .props = bytes("propsprops"),
                     .payload = bytes(payload)};
    raw.body_len = (uint32_t)(8 + 3 + 1 + 10 + raw.payload.len);
    pubsub__local_record_build(buf, &raw);
    pubsub__local_record_seal(buf, seq, 3);
    return (size_t)local_record_size(raw.body_len);
}

static const local_expect any = {0, 1, 1, UINT32_MAX};

static void test_record_round_trip(void **state)
{
    (void)state;
    uint8_t buf[256];
    local_raw raw;
    size_t size = make(buf, "hello", 42);
    assert_int_equal(pubsub__local_record_scan(buf, size, &any, &raw), LOCAL_SCAN_RECORD);
    assert_int_equal(raw.size, size);
    assert_int_equal(raw.seq, 42);
    assert_int_equal(raw.epoch, 3);
    assert_int_equal(raw.topic_hash, 77);
    assert_int_equal(raw.key_hash, 88);
    assert_int_equal(raw.ts_ns, 12345678901u);
    assert_int_equal(raw.expiry_ns, 999);
    assert_int_equal(raw.header_count, 2);
    assert_memory_equal(raw.topic.data, "a/b", 3);
    assert_memory_equal(raw.key.data, "k", 1);
    assert_memory_equal(raw.props.data, "propsprops", 10);
    assert_int_equal(raw.payload.len, 5);
    assert_memory_equal(raw.payload.data, "hello", 5);
}

static void test_record_any_changed_bit_is_noticed(void **state)
{
    (void)state;
    uint8_t buf[256];
    local_raw raw;
    size_t size = make(buf, "hello", 42);
    size_t body = REC_HEAD + 8 + 3 + 1 + 10 + 5; /* the padding behind is not covered */
    for (size_t bit = 0; bit < body * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        local_scan scan = pubsub__local_record_scan(buf, size, &any, &raw);
        assert_true(scan == LOCAL_SCAN_BAD || scan == LOCAL_SCAN_END || scan == LOCAL_SCAN_ROLL);
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_int_equal(pubsub__local_record_scan(buf, size, &any, &raw), LOCAL_SCAN_RECORD);
}

static void test_record_cut_anywhere_is_noticed(void **state)
{
    (void)state;
    uint8_t buf[256];
    local_raw raw;
    size_t size = make(buf, "hello", 42);
    for (size_t len = 0; len < size; len++) {
        local_scan scan = pubsub__local_record_scan(buf, len, &any, &raw);
        assert_int_equal(scan, len < REC_MARK ? LOCAL_SCAN_END : LOCAL_SCAN_BAD);
    }
}

static void test_record_expectations(void **state)
{
    (void)state;
    uint8_t buf[256];
    local_raw raw;
    size_t size = make(buf, "hello", 42);
    const struct {
        local_expect expect;
        local_scan scan;
    } cases[] = {
        {{42, 0, 3, 3}, LOCAL_SCAN_RECORD}, {{41, 0, 3, 3}, LOCAL_SCAN_BAD},
        {{43, 0, 3, 3}, LOCAL_SCAN_BAD},    {{0, 42, 0, 9}, LOCAL_SCAN_RECORD},
        {{0, 43, 0, 9}, LOCAL_SCAN_BAD},    {{42, 0, 4, 9}, LOCAL_SCAN_BAD},
        {{42, 0, 1, 2}, LOCAL_SCAN_BAD},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(pubsub__local_record_scan(buf, size, &cases[i].expect, &raw),
                         cases[i].scan);
    }
}

static void test_record_marks(void **state)
{
    (void)state;
    uint8_t buf[16] = {0};
    local_raw raw;
    assert_int_equal(pubsub__local_record_parse(buf, sizeof(buf), &raw), LOCAL_SCAN_END);
    local_put32(buf, REC_ROLL);
    assert_int_equal(pubsub__local_record_parse(buf, sizeof(buf), &raw), LOCAL_SCAN_ROLL);
    local_put32(buf, 0xfffffff0u);
    assert_int_equal(pubsub__local_record_parse(buf, sizeof(buf), &raw), LOCAL_SCAN_BAD);
}

static void test_record_resync_finds_the_next_good_one(void **state)
{
    (void)state;
    uint8_t buf[1024] = {0};
    size_t first = make(buf, "hello", 42);
    size_t second = make(buf + first, "world", 43);
    size_t third = make(buf + first + second, "again", 44);
    size_t len = first + second + third;
    local_expect expect = {0, 43, 1, UINT32_MAX};
    memset(buf + first, 0xa5, 30); /* the head of the second is gone */
    assert_int_equal(pubsub__local_record_resync(buf, len, first, &expect), first + second);
    memset(buf + first + second, 0xa5, 30);
    assert_int_equal(pubsub__local_record_resync(buf, len, first, &expect), len);
    expect.seq_min = 42;
    assert_int_equal(pubsub__local_record_resync(buf, len, 0, &expect), 0);
}

static void test_record_segment_head(void **state)
{
    (void)state;
    uint8_t buf[SEG_HEAD];
    local_seg_head in = {4096, 65536, 17, 123456789, 2, {1, 2, 3, 4, 5, 6, 7, 8}}, out;
    pubsub__local_seg_head_encode(buf, &in);
    assert_true(pubsub__local_seg_head_decode(buf, 4096, in.uuid, &out));
    assert_int_equal(out.size, 65536);
    assert_int_equal(out.first_seq, 17);
    assert_int_equal(out.created_ns, 123456789);
    assert_int_equal(out.epoch, 2);
    assert_false(pubsub__local_seg_head_decode(buf, 8192, in.uuid, &out)); /* another base */
    uint8_t other[8] = {0};
    assert_false(pubsub__local_seg_head_decode(buf, 4096, other, &out)); /* another bus */
    for (size_t bit = 0; bit < SEG_HEAD * 8; bit++) {
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(pubsub__local_seg_head_decode(buf, 4096, in.uuid, &out));
        buf[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_round_trip),
        cmocka_unit_test(test_record_any_changed_bit_is_noticed),
        cmocka_unit_test(test_record_cut_anywhere_is_noticed),
        cmocka_unit_test(test_record_expectations),
        cmocka_unit_test(test_record_marks),
        cmocka_unit_test(test_record_resync_finds_the_next_good_one),
        cmocka_unit_test(test_record_segment_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
