/* SPDX-License-Identifier: MIT */
#include "redis/fields.h"

#include "message/block.h"
#include "support/cmocka.h"

#include <string.h>

#define B(text) ((pubsub_bytes){(text), sizeof(text) - 1})

static pubsub__block_pool *pool;

static int set_up(void **state)
{
    (void)state;
    pool = pubsub__block_pool_new(4, NULL);
    return pool == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    pubsub__block_pool_unref(pool);
    return 0;
}

/* What the server would give back of an entry with these names and values. */
static pubsub_block *read_back(redis_parser *parser, const pubsub__buf *entry,
                               pubsub_spi_message **out)
{
    const char *bad = NULL;
    assert_true(pubsub__redis_parser_feed(parser, entry->data, entry->len));
    const redis_reply *fields = pubsub__redis_parser_next(parser, &bad);
    assert_non_null(fields);
    pubsub_block *block = pubsub__block_new(pool, 1, pubsub__redis_fields_need(fields, 5));
    assert_non_null(block);
    *out = pubsub_block_message(block);
    pubsub__redis_fields_get(fields, B("topic"), block, *out);
    return block;
}

static bool same(pubsub_bytes a, const char *text)
{
    return a.len == strlen(text) && (a.len == 0 || memcmp(a.data, text, a.len) == 0);
}

static void test_fields_round_trip(void **state)
{
    (void)state;
    const pubsub_header headers[] = {
        {B("tenant"), B("acme")}, {B("payload"), B("not it")}, {B("tenant"), B("\0\xff")}};
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pubsub_spi_message *got = NULL;
    pubsub__buf entry;
    redis_parser *parser = pubsub__redis_parser_new();
    pub.payload = B("hello");
    pub.key = (pubsub_bytes){"", 0};
    pub.content_type = B("text/plain");
    pub.reply_to = B("back");
    pub.correlation = B("17");
    pub.headers = headers;
    pub.header_count = 3;
    pubsub__buf_init(&entry, 4096);
    assert_true(pubsub__redis_put_array(&entry, pubsub__redis_fields_count(&pub, 99)));
    assert_true(pubsub__redis_fields_put(&entry, &pub, 99));
    pubsub_block *block = read_back(parser, &entry, &got);
    assert_true(same(got->topic, "topic") && same(got->payload, "hello"));
    assert_true(got->key.data != NULL && got->key.len == 0);
    assert_true(same(got->content_type, "text/plain") && same(got->reply_to, "back"));
    assert_true(same(got->correlation, "17"));
    assert_int_equal(got->expires_ns, 99);
    assert_int_equal(got->header_count, 3);
    assert_true(same(got->headers[1].name, "payload") && same(got->headers[1].value, "not it"));
    assert_int_equal(got->headers[2].value.len, 2);
    pubsub_block_discard(block);
    pubsub__buf_fini(&entry);
    pubsub__redis_parser_free(parser);
}

static void foreign(const char *resp, const char *payload, uint32_t headers)
{
    redis_parser *parser = pubsub__redis_parser_new();
    pubsub_spi_message *got = NULL;
    pubsub__buf entry;
    pubsub__buf_init(&entry, 4096);
    assert_int_equal(pubsub__buf_add_text(&entry, resp), PUBSUB__BUF_OK);
    pubsub_block *block = read_back(parser, &entry, &got);
    assert_true(same(got->payload, payload));
    assert_int_equal(got->header_count, headers);
    pubsub_block_discard(block);
    pubsub__buf_fini(&entry);
    pubsub__redis_parser_free(parser);
}

static void test_fields_of_other_programs(void **state)
{
    (void)state;
    foreign("*2\r\n$4\r\ntemp\r\n$2\r\n21\r\n", "21", 1);
    foreign("*4\r\n$4\r\ntemp\r\n$2\r\n21\r\n$4\r\nunit\r\n$1\r\nC\r\n", "", 2);
    foreign("*2\r\n$1\r\n\xff\r\n$2\r\n21\r\n", "*2\r\n$1\r\n\xff\r\n$2\r\n21\r\n", 1);
    foreign("*2\r\n$0\r\n\r\n$1\r\nx\r\n", "*2\r\n$0\r\n\r\n$1\r\nx\r\n", 1);
    foreign("*0\r\n", "", 0);
}

static void test_fields_reserved_names(void **state)
{
    (void)state;
    assert_true(pubsub__redis_is_reserved(B("pubsub-key")));
    assert_false(pubsub__redis_is_reserved(B("pubsub-dead-topic")));
    assert_false(pubsub__redis_is_reserved(B("payload")));
}

static void test_fields_ids(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "1",     "-",    "1-",   "-1",
                                      "1-2x", "1-2-3", "e1-2", " 1-2", "18446744073709551616-0"};
    uint64_t id[2];
    char text[REDIS_ID_TEXT];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(pubsub__redis_id_parse(bad[i], strlen(bad[i]), id));
    }
    assert_true(pubsub__redis_id_parse("18446744073709551615-7", 22, id));
    assert_int_equal(pubsub__redis_id_text(id, text), 22);
    assert_string_equal(text, "18446744073709551615-7");
    assert_true(pubsub__redis_id_compare((uint64_t[]){1, 9}, (uint64_t[]){2, 0}) < 0);
    assert_true(pubsub__redis_id_compare((uint64_t[]){2, 1}, (uint64_t[]){2, 0}) > 0);
}

static void test_fields_globs(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a/+/c", "a/*/c"},         {"a/#", "a*"},    {"#", "*"}, {"*", "*"},
        {"a/#/c", "a*c"},           {"#/c", "*c"},    {"+", "*"}, {"a*b/+", "a\\*b/*"},
        {"[x]?/+", "\\[x\\]\\?/*"}, {"a+b/#", "a+b*"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[128];
        assert_int_equal(pubsub__redis_glob(rows[i][0], strlen(rows[i][0]), out),
                         strlen(rows[i][1]));
        assert_string_equal(out, rows[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_round_trip),
        cmocka_unit_test(test_fields_of_other_programs),
        cmocka_unit_test(test_fields_reserved_names),
        cmocka_unit_test(test_fields_ids),
        cmocka_unit_test(test_fields_globs),
    };
    return cmocka_run_group_tests_name("redis_fields", tests, set_up, tear_down);
}
