/* SPDX-License-Identifier: MIT */
#include "amqp/map.h"

#include "base/alloc.h"
#include "message/block.h"

#include "support/cmocka.h"
#include "support/topic_cases.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const amq_naming topics = {{"amq.topic", 9}, false};
static const amq_naming names = {{"", 0}, true};

static void assert_text(pubsub_bytes have, const char *want)
{
    assert_int_equal(have.len, strlen(want));
    assert_memory_equal(have.data, want, have.len);
}

/* ---- names ------------------------------------------------------------------------------------ */

static void test_map_routes(void **state)
{
    static const struct {
        const amq_naming *naming;
        const char *topic;
        const char *exchange;
        const char *key;
    } rows[] = {
        {&topics, "a/b", "amq.topic", "a.b"},
        {&topics, "/a//b/", "amq.topic", ".a..b."},
        {&topics, "v1.2/50%", "amq.topic", "v1%2E2.50%25"},
        {&topics, "$inbox/x", "amq.topic", "$inbox.x"},
        {&topics, "amq.gen-x.y", "", "amq.gen-x.y"},
        {&topics, "amq.rabbitmq.reply-to.g1", "", "amq.rabbitmq.reply-to.g1"},
        {&topics, "amq.other", "amq.topic", "amq%2Eother"},
        {&names, "a/b.c", "", "a/b.c"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char key[AMQ_SHORT_MAX];
        size_t len = 0;
        pubsub_bytes exchange;
        assert_int_equal(pubsub__amqp_route(rows[i].naming, pubsub_bytes_of(rows[i].topic),
                                            &exchange, key, &len, NULL),
                         PUBSUB_OK);
        assert_text(exchange, rows[i].exchange);
        assert_text((pubsub_bytes){key, len}, rows[i].key);
    }
}

static void test_map_refuses_long_names(void **state)
{
    char text[AMQ_SHORT_MAX + 2];
    char key[AMQ_SHORT_MAX];
    size_t len = 0;
    pubsub_bytes exchange;
    (void)state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < 2; i++) {
        const amq_naming *naming = i == 0 ? &topics : &names;
        pubsub_bytes longest = {text, AMQ_SHORT_MAX};
        pubsub_bytes longer = {text, AMQ_SHORT_MAX + 1};
        assert_int_equal(pubsub__amqp_route(naming, longest, &exchange, key, &len, NULL),
                         PUBSUB_OK);
        assert_int_equal(len, AMQ_SHORT_MAX);
        assert_int_equal(pubsub__amqp_route(naming, longer, &exchange, key, &len, NULL),
                         PUBSUB_ETOPIC);
    }
}

/* A pattern's binding is what the broker compares with: words, `*` one, `#` any number. */
static bool words_match(const char *binding, const char *key)
{
    size_t b = strcspn(binding, ".");
    size_t k = strcspn(key, ".");
    bool last_b = binding[b] == '\0';
    bool last_k = key[k] == '\0';
    if (b == 1 && binding[0] == '#') {
        if (last_b || words_match(binding + 2, key)) {
            return true;
        }
        return last_k ? false : words_match(binding, key + k + 1);
    }
    bool same = (b == 1 && binding[0] == '*') || (b == k && memcmp(binding, key, b) == 0);
    if (!same) {
        return false;
    }
    if (last_b || last_k) {
        return (last_b && last_k) || (last_k && strcmp(binding + b, ".#") == 0);
    }
    return words_match(binding + b + 1, key + k + 1);
}

static void test_map_bindings_match_what_patterns_match(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(topic_cases); i++) {
        char binding[AMQ_SHORT_MAX + 1];
        char key[AMQ_SHORT_MAX + 1];
        size_t len = 0;
        bool exact = false;
        pubsub_bytes exchange;
        const char *pattern = topic_cases[i].pattern;
        const char *topic = topic_cases[i].topic;
        if (pubsub__amqp_binding(pubsub_bytes_of(pattern), binding, &exact, NULL) != PUBSUB_OK ||
            pubsub__amqp_route(&topics, pubsub_bytes_of(topic), &exchange, key, &len, NULL) !=
                PUBSUB_OK) {
            continue;
        }
        key[len] = '\0';
        bool found = words_match(binding, key);
        bool wanted = topic_cases[i].matches;
        if (found != wanted && !(found && !exact)) {
            fail_msg("'%s' as '%s' against '%s' as '%s'", pattern, binding, topic, key);
        }
    }
}

/* ---- messages --------------------------------------------------------------------------------- */

static pubsub__block_pool *pool;

static int make_pool(void **state)
{
    (void)state;
    pool = pubsub__block_pool_new(4, NULL);
    return pool == NULL ? -1 : 0;
}

static int free_pool(void **state)
{
    (void)state;
    pubsub__block_pool_unref(pool);
    return 0;
}

/* Encode a publication, frame it, read it again. The caller discards the block. */
static pubsub_block *round_trip(const pubsub_publication *pub, const amq_naming *naming,
                                pubsub_spi_message *out)
{
    static amq_out frames;
    amqp_table_entry_t entries[AMQ_ENTRIES_MAX];
    char reply_to[AMQ_SHORT_MAX];
    amqp_basic_properties_t props;
    amq_properties read;
    amq_frame frame;
    size_t used = 0;
    frames.at = frames.len = 0;
    pubsub__amqp_encode(pub, naming, entries, reply_to, &props);
    assert_true(pubsub__amqp_put_header(&frames, 3, 0, &props, pubsub__amqp_encode_need(pub)));
    assert_int_equal(pubsub__amqp_frame_read(frames.data, frames.len, AMQ_FRAME_MAX, &frame, &used),
                     AMQ_READ_OK);
    assert_int_equal(used, frames.len);
    assert_int_equal(frame.channel, 3);
    assert_true(pubsub__amqp_properties_read(frame.payload, frame.size, &read));
    char key[AMQ_SHORT_MAX];
    amq_delivery delivery = {{NULL, 0}, {key, 0}, 9, false};
    pubsub_bytes exchange;
    assert_int_equal(
        pubsub__amqp_route(naming, pub->topic, &exchange, key, &delivery.routing_key.len, NULL),
        PUBSUB_OK);
    pubsub_block *block =
        pubsub__block_new(pool, 1, pubsub__amqp_decode_need(&read, frame.size, &delivery));
    assert_non_null(block);
    memset(out, 0, sizeof(*out));
    assert_true(pubsub__amqp_decode(&read, (pubsub_bytes){frame.payload, frame.size}, &delivery,
                                    naming, (pubsub_bytes){NULL, 0}, 0, block, out));
    pubsub__amqp_out_fini(&frames);
    return block;
}

static void test_map_messages_come_back(void **state)
{
    static const pubsub_header headers[] = {{{"a", 1}, {"1", 1}},
                                            {{"a", 1}, {"2", 1}},
                                            {{"empty", 5}, {"", 0}},
                                            {{"b\xC3\xA9", 3}, {"\xFF\x00\x01", 3}}};
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pubsub_spi_message got;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const amq_naming *naming = i == 0 ? &topics : &names;
        pub.topic = pubsub_bytes_of("x/y.z");
        pub.key = (pubsub_bytes){"", 0};
        pub.content_type = pubsub_bytes_of("text/plain");
        pub.correlation = (pubsub_bytes){"\x00\x01", 2};
        pub.reply_to = pubsub_bytes_of("re/ply.to");
        pub.headers = headers;
        pub.header_count = COUNT(headers);
        pub.qos = PUBSUB_AT_LEAST_ONCE;
        pub.flags = PUBSUB_PUBLISH_TOMBSTONE;
        pubsub_block *block = round_trip(&pub, naming, &got);
        assert_text(got.topic, "x/y.z");
        assert_text(got.reply_to, "re/ply.to");
        assert_text(got.content_type, "text/plain");
        assert_int_equal(got.correlation.len, 2);
        assert_non_null(got.key.data);
        assert_int_equal(got.key.len, 0);
        assert_int_equal(got.qos, 1);
        assert_true((got.flags & PUBSUB_SPI_TOMBSTONE) != 0);
        assert_int_equal(got.header_count, COUNT(headers));
        for (size_t k = 0; k < COUNT(headers); k++) {
            assert_int_equal(got.headers[k].name.len, headers[k].name.len);
            assert_int_equal(got.headers[k].value.len, headers[k].value.len);
            assert_memory_equal(got.headers[k].value.data, headers[k].value.data,
                                headers[k].value.len);
        }
        pubsub_block_discard(block);
    }
}

static void test_map_plain_messages_have_nothing_more(void **state)
{
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    pubsub_spi_message got;
    (void)state;
    pub.topic = pubsub_bytes_of("t");
    pub.qos = PUBSUB_AT_MOST_ONCE;
    pubsub_block *block = round_trip(&pub, &topics, &got);
    assert_int_equal(got.header_count, 0);
    assert_null(got.key.data);
    assert_int_equal(got.flags, 0);
    assert_int_equal(got.qos, 0);
    assert_int_equal(got.attempt, 1);
    pubsub_block_discard(block);
}

static void test_map_refuses_what_does_not_fit(void **state)
{
    static char big[AMQ_FRAME_MAX];
    pubsub_header header = {{"n", 1}, {big, sizeof(big)}};
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    (void)state;
    memset(big, 'x', sizeof(big));
    pub.topic = pubsub_bytes_of("t");
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_OK);
    pub.headers = &header;
    pub.header_count = 1;
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_ETOOBIG);
    header = (pubsub_header){{big, 256}, {"v", 1}};
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_ETOOBIG);
    header = (pubsub_header){{big, 255}, {"v", 1}};
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_OK);
    pub.correlation = (pubsub_bytes){big, 256};
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_ETOOBIG);
    pub.correlation.len = 255;
    pub.content_type = (pubsub_bytes){big, 256};
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_ETOOBIG);
    pub.content_type.len = 0;
    pub.reply_to = (pubsub_bytes){big, 256};
    assert_int_equal(pubsub__amqp_encode_check(&pub, &topics, NULL), PUBSUB_ETOPIC);
}

/* ---- ids -------------------------------------------------------------------------------------- */

static void test_map_ids_are_ours_or_nobodys(void **state)
{
    char id[AMQ_ID_LEN];
    uint64_t number = 0;
    (void)state;
    pubsub__amqp_id_write(id, "abcdefgh", UINT64_C(0x0123456789abcdef));
    pubsub_bytes text = {id, sizeof(id)};
    assert_true(pubsub__amqp_id_read(text, "abcdefgh", &number));
    assert_true(number == UINT64_C(0x0123456789abcdef));
    assert_false(pubsub__amqp_id_read(text, "abcdefgi", &number));
    assert_false(pubsub__amqp_id_read((pubsub_bytes){id, sizeof(id) - 1}, "abcdefgh", &number));
    assert_false(pubsub__amqp_id_read((pubsub_bytes){NULL, 0}, "abcdefgh", &number));
    id[sizeof(id) - 1] = 'x';
    assert_false(pubsub__amqp_id_read(text, "abcdefgh", &number));
    id[sizeof(id) - 1] = '\0';
    assert_false(pubsub__amqp_id_read(text, "abcdefgh", &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_routes),
        cmocka_unit_test(test_map_refuses_long_names),
        cmocka_unit_test(test_map_bindings_match_what_patterns_match),
        cmocka_unit_test(test_map_messages_come_back),
        cmocka_unit_test(test_map_plain_messages_have_nothing_more),
        cmocka_unit_test(test_map_refuses_what_does_not_fit),
        cmocka_unit_test(test_map_ids_are_ours_or_nobodys),
    };
    return cmocka_run_group_tests_name("amqp_map", tests, make_pool, free_pool);
}
