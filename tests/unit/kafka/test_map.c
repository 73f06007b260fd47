/* SPDX-License-Identifier: MIT */
#include "kafka/map.h"

#include "message/block.h"

#include "support/cmocka.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const kaf_naming apart = {NULL};
static const kaf_naming folded = {"all"};

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

static void assert_text(pubsub_bytes have, const char *want)
{
    assert_int_equal(have.len, strlen(want));
    assert_memory_equal(have.data, want, have.len);
}

/* ---- names ----------------------------------------------------------------------------------------- */

static void test_map_containers(void **state)
{
    static const struct {
        const kaf_naming *naming;
        const char *topic;
        const char *container; /* NULL = refused */
    } rows[] = {
        {&apart, "a/b", "a.b"},
        {&apart, "a.b-c_d", "a.b-c_d"},
        {&apart, "\xc3\xa9", "-C3-A9"},
        {&apart, "$dead/g/t", "-24dead.g.t"},
        {&apart, "$inbox/abc", KAF_CONTAINER_INBOX},
        {&apart, "$inbox", "-24inbox"},
        {&apart, "/", NULL},
        {&apart, "//", NULL},
        {&apart, "__offsets", NULL},
        {&apart, "pubsub/topics", NULL},
        {&apart, "pubsub.topics", NULL},
        {&apart, "pubsubs/topics", "pubsubs.topics"},
        {&apart, "pubsub-a/b", "pubsub-a.b"},
        {&folded, "a/b", "all"},
        {&folded, "/", "all"},
        {&folded, "$inbox/abc", "all"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char name[KAF_NAME_MAX + 1];
        size_t len = 0;
        pubsub_err rc = pubsub__kafka_container(rows[i].naming, pubsub_bytes_of(rows[i].topic),
                                                name, &len, NULL);
        assert_int_equal(rc, rows[i].container == NULL ? PUBSUB_ETOPIC : PUBSUB_OK);
        assert_int_equal(
            pubsub__kafka_container_check(rows[i].naming, pubsub_bytes_of(rows[i].topic), NULL),
            rc);
        if (rows[i].container != NULL) {
            assert_string_equal(name, rows[i].container);
            assert_int_equal(len, strlen(name));
        }
    }
}

static void test_map_longest_name(void **state)
{
    char topic[KAF_NAME_MAX + 1];
    char name[KAF_NAME_MAX + 1];
    size_t len = 0;
    (void)state;
    memset(topic, 'x', sizeof(topic));
    assert_int_equal(
        pubsub__kafka_container(&apart, (pubsub_bytes){topic, KAF_NAME_MAX}, name, &len, NULL),
        PUBSUB_OK);
    assert_int_equal(len, KAF_NAME_MAX);
    assert_int_equal(
        pubsub__kafka_container(&apart, (pubsub_bytes){topic, KAF_NAME_MAX + 1}, name, &len, NULL),
        PUBSUB_ETOPIC);
    memset(topic, ' ', sizeof(topic)); /* three bytes each */
    for (size_t i = KAF_NAME_MAX / 3; i <= KAF_NAME_MAX / 3 + 1; i++) {
        pubsub_bytes longest = {topic, i};
        assert_int_equal(pubsub__kafka_container_check(&apart, longest, NULL),
                         pubsub__kafka_container(&apart, longest, name, &len, NULL));
    }
}

/* ---- messages -------------------------------------------------------------------------------------- */

/* What a subscriber of `pattern` gets of a record. The caller discards the block. */
static pubsub_block *decode(const kaf_record *record, const kaf_naming *naming, const char *pattern,
                            pubsub_spi_message *out)
{
    pubsub_block *block =
        pubsub__block_new(pool, 1, pubsub__kafka_decode_need(record, pubsub_bytes_of(pattern)));
    assert_non_null(block);
    pubsub_spi_message *message = pubsub_block_message(block);
    assert_true(pubsub__kafka_decode(record, naming, pubsub_bytes_of(pattern), block, message));
    *out = *message;
    return block;
}

static void test_map_messages_come_back(void **state)
{
    static const char binary[] = {0, 1, (char)0xff};
    pubsub_header headers[] = {{{"x", 1}, {"1", 1}},
                               {{"x", 1}, {"2", 1}},
                               {{"empty", 5}, {"", 0}},
                               {{"content-type", 12}, {"second", 6}},
                               {{"bytes", 5}, {binary, 3}}};
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    rd_kafka_headers_t *encoded = NULL;
    pubsub_spi_message got;
    (void)state;
    pub.topic = pubsub_bytes_of("a/b.c");
    pub.content_type = pubsub_bytes_of("text/plain");
    pub.reply_to = pubsub_bytes_of("$inbox/me");
    pub.correlation = (pubsub_bytes){binary, 3};
    pub.headers = headers;
    pub.header_count = COUNT(headers);
    assert_int_equal(pubsub__kafka_encode_headers(
                         &pub, pubsub__kafka_needs_topic(&apart, pub.topic), 123456789, &encoded),
                     PUBSUB_OK);
    kaf_record record = {.container = "a.b.c",
                         .key = "",
                         .payload = binary,
                         .payload_len = 3,
                         .headers = encoded,
                         .timestamp_ms = 5,
                         .partition = 7,
                         .offset = 1200};
    pubsub_block *block = decode(&record, &apart, "#", &got);
    assert_text(got.topic, "a/b.c");
    assert_text(got.content_type, "text/plain");
    assert_text(got.reply_to, "$inbox/me");
    assert_int_equal(got.correlation.len, 3);
    assert_non_null(got.key.data);
    assert_int_equal(got.key.len, 0);
    assert_int_equal(got.payload.len, 3);
    assert_true(got.expires_ns == 123456789 && got.timestamp_ns == 5000000);
    assert_true(got.position[0] == 7 && got.position[1] == 1200);
    assert_int_equal(got.header_count, COUNT(headers));
    for (size_t i = 0; i < COUNT(headers); i++) {
        assert_int_equal(got.headers[i].name.len, headers[i].name.len);
        assert_int_equal(got.headers[i].value.len, headers[i].value.len);
        assert_memory_equal(got.headers[i].value.data, headers[i].value.data, headers[i].value.len);
    }
    pubsub_block_discard(block);
    rd_kafka_headers_destroy(encoded);
}

static void test_map_plain_messages_have_no_headers(void **state)
{
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    rd_kafka_headers_t *encoded = NULL;
    pubsub_spi_message got;
    (void)state;
    pub.topic = pubsub_bytes_of("a/b");
    assert_int_equal(pubsub__kafka_encode_headers(
                         &pub, pubsub__kafka_needs_topic(&apart, pub.topic), 0, &encoded),
                     PUBSUB_OK);
    assert_null(encoded);
    kaf_record record = {.container = "a.b", .timestamp_ms = -1};
    pubsub_block *block = decode(&record, &apart, "#", &got);
    assert_text(got.topic, "a/b");
    assert_null(got.key.data);
    assert_int_equal(got.flags, PUBSUB_SPI_TOMBSTONE);
    assert_int_equal(got.timestamp_ns, 0);
    pubsub_block_discard(block);
    record.payload = "";
    block = decode(&record, &apart, "a.b", &got); /* its own topic, when the message says none */
    assert_text(got.topic, "a.b");
    assert_int_equal(got.flags, 0);
    pubsub_block_discard(block);
}

/* The key that a shared container needs is not the publisher's. */
static void test_map_shared_containers(void **state)
{
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    rd_kafka_headers_t *encoded = NULL;
    pubsub_spi_message got;
    (void)state;
    pub.topic = pubsub_bytes_of("a/b");
    assert_int_equal(pubsub__kafka_encode_headers(
                         &pub, pubsub__kafka_needs_topic(&folded, pub.topic), 0, &encoded),
                     PUBSUB_OK);
    assert_non_null(encoded);
    kaf_record record = {.container = "all", .key = "a/b", .key_len = 3, .headers = encoded};
    pubsub_block *block = decode(&record, &folded, "#", &got);
    assert_text(got.topic, "a/b");
    assert_null(got.key.data);
    pubsub_block_discard(block);
    block = decode(&record, &apart, "#", &got);
    assert_text(got.key, "a/b");
    pubsub_block_discard(block);
    rd_kafka_headers_destroy(encoded);
}

static void test_map_foreign_headers(void **state)
{
    pubsub_spi_message got;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(8);
    (void)state;
    (void)rd_kafka_header_add(headers, KAF_HEADER_TOPIC, -1, "a/#", -1);
    (void)rd_kafka_header_add(headers, KAF_HEADER_EXPIRES, -1, "soon", -1);
    (void)rd_kafka_header_add(headers, KAF_HEADER_REPLY, -1, "", 0);
    (void)rd_kafka_header_add(headers, "null", -1, NULL, 0);
    (void)rd_kafka_header_add(headers, "\xff", -1, "v", -1);
    (void)rd_kafka_header_add(headers, "", 0, "v", -1);
    kaf_record record = {.container = "a.b", .payload = "x", .payload_len = 1, .headers = headers};
    pubsub_block *block = decode(&record, &apart, "#", &got);
    assert_text(got.topic, "a/b");
    assert_int_equal(got.expires_ns, 0);
    assert_int_equal(got.header_count, 6);
    assert_text(got.headers[0].name, KAF_HEADER_TOPIC);
    assert_text(got.headers[4].name, "kafka-undecoded");
    assert_text(got.headers[5].name, "kafka-undecoded");
    pubsub_block_discard(block);
    rd_kafka_headers_destroy(headers);
}

/* The name that an earlier message of the block has is used again, unless a header says another one. */
static void test_map_topics_are_shared(void **state)
{
    pubsub_spi_message got;
    pubsub_bytes known = pubsub_bytes_of("a b");
    rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
    (void)state;
    (void)rd_kafka_header_add(headers, KAF_HEADER_TOPIC, -1, "a/c", -1);
    kaf_record record = {.container = "a-20b", .known = known};
    pubsub_block *block = decode(&record, &apart, "a b", &got);
    assert_ptr_equal(got.topic.data, known.data);
    pubsub_block_discard(block);
    record.headers = headers;
    block = decode(&record, &apart, "a b", &got);
    assert_text(got.topic, "a/c");
    pubsub_block_discard(block);
    rd_kafka_headers_destroy(headers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_containers),
        cmocka_unit_test(test_map_longest_name),
        cmocka_unit_test(test_map_messages_come_back),
        cmocka_unit_test(test_map_plain_messages_have_no_headers),
        cmocka_unit_test(test_map_shared_containers),
        cmocka_unit_test(test_map_foreign_headers),
        cmocka_unit_test(test_map_topics_are_shared),
    };
    return cmocka_run_group_tests_name("kafka_map", tests, make_pool, free_pool);
}
