/* SPDX-License-Identifier: MIT */
#include "mqtt/map.h"

#include "base/alloc.h"
#include "message/block.h"

#include "support/cmocka.h"
#include "support/topic_cases.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static pubsub_bytes bytes(const char *text)
{
    return (pubsub_bytes){text, strlen(text)};
}

static void assert_bytes(pubsub_bytes have, const void *want, size_t len)
{
    assert_int_equal(have.len, len);
    assert_memory_equal(have.data, want, len);
}

/* ---- text ------------------------------------------------------------------------------------ */

static void test_map_text_is_what_brokers_take(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        bool good;
    } rows[] = {
        {"", 0, true},
        {"plain", 5, true},
        {"\xC3\xA9", 2, true},
        {"\xF0\x9F\x98\x80", 4, true},
        {"\xEF\xBB\xBF", 3, true}, /* a byte order mark is a character (section 1.5.4) */
        {"a\0b", 3, false},
        {"a\nb", 3, false},
        {"\x1F", 1, false},
        {" ", 1, true},
        {"\x7F", 1, false},
        {"\xC2\x80", 2, false},
        {"\xC2\x9F", 2, false},
        {"\xC2\xA0", 2, true},
        {"\xEF\xB7\x90", 3, false},     /* U+FDD0 */
        {"\xEF\xB7\xAF", 3, false},     /* U+FDEF */
        {"\xEF\xB7\xB0", 3, true},      /* U+FDF0 */
        {"\xEF\xBF\xBE", 3, false},     /* U+FFFE */
        {"\xEF\xBF\xBD", 3, true},      /* U+FFFD */
        {"\xF0\x9F\xBF\xBF", 4, false}, /* U+1FFFF */
        {"\xED\xA0\x80", 3, false},     /* a surrogate */
        {"\xC3", 1, false},
        {"\xFF", 1, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        bool good = pubsub__mqtt_is_text((pubsub_bytes){rows[i].text, rows[i].len});
        if (good != rows[i].good) {
            fail_msg("row %zu", i);
        }
    }
}

static void test_map_text_has_a_length_that_fits(void **state)
{
    static char text[MQTT_TEXT_MAX + 1];
    (void)state;
    memset(text, 'a', sizeof(text));
    assert_true(pubsub__mqtt_is_text((pubsub_bytes){text, MQTT_TEXT_MAX}));
    assert_false(pubsub__mqtt_is_text((pubsub_bytes){text, MQTT_TEXT_MAX + 1}));
}

/* ---- topics and filters ---------------------------------------------------------------------- */

static void test_map_topics_that_would_end_the_connection_are_refused(void **state)
{
    static const struct {
        const char *topic;
        pubsub_err code;
    } rows[] = {
        {"a/b", PUBSUB_OK},          {"/v1/subutest", PUBSUB_OK}, {"my test topic", PUBSUB_OK},
        {"$SYS/x", PUBSUB_OK},       {"$shared/x", PUBSUB_OK},    {"a+b", PUBSUB_ETOPIC},
        {"c#", PUBSUB_ETOPIC},       {"a\tb", PUBSUB_ETOPIC},     {"$share/g/a", PUBSUB_ETOPIC},
        {"$queue/a", PUBSUB_ETOPIC},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(pubsub__mqtt_topic_check(bytes(rows[i].topic), "topic", &err),
                         rows[i].code);
    }
}

static void test_map_filters(void **state)
{
    static const struct {
        const char *pattern;
        const char *group;
        const char *filter; /* NULL = refused */
        bool superset;
    } rows[] = {
        {"a/b", "", "a/b", false},
        {"/", "", "/", false},
        {"a//", "", "a//", false},
        {"+/b/#", "", "+/b/#", false},
        {"*", "", "#", false},
        {"a/*", "", "a/#", false},
        {"a/#/c", "", "a/#", true},
        {"*/c", "", "#", true},
        {"#/+/c", "", "#", true},
        {"a*b", "", "a*b", false},
        {"a/b", "g", "$share/g/a/b", false},
        {"#", "a/b+c#d%", "$share/a%2Fb%2Bc%23d%25/#", false},
        {"a+b", "", NULL, false},
        {"a#", "", NULL, false},
        {"a\nb", "", NULL, false},
        {"$share/g/x", "", NULL, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        char *filter = NULL;
        bool superset = false;
        pubsub_err rc = pubsub__mqtt_filter_new(bytes(rows[i].pattern), rows[i].group, &filter,
                                                &superset, &err);
        if (rows[i].filter == NULL) {
            assert_int_equal(rc, PUBSUB_EPATTERN);
            assert_null(filter);
            continue;
        }
        assert_int_equal(rc, PUBSUB_OK);
        assert_string_equal(filter, rows[i].filter);
        assert_int_equal(superset, rows[i].superset);
        pubsub__free(filter);
    }
}

/* The law's table: what a pattern matches, its filter matches too, and overlap with the topic itself
 * never says no. */
static void test_map_filters_lose_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(topic_cases); i++) {
        const topic_case *row = &topic_cases[i];
        char *filter = NULL;
        bool superset = false;
        pubsub_err rc = pubsub__mqtt_filter_new(bytes(row->pattern), "", &filter, &superset, NULL);
        if (rc == PUBSUB_EPATTERN) {
            continue; /* + or # inside a level */
        }
        assert_int_equal(rc, PUBSUB_OK);
        bool hit = pubsub_topic_matches(filter, strlen(filter), row->topic, strlen(row->topic));
        if ((row->matches && !hit) || (!superset && hit != row->matches)) {
            fail_msg("'%s' as '%s' against '%s'", row->pattern, filter, row->topic);
        }
        if (row->matches) {
            assert_true(pubsub__mqtt_overlap(bytes(row->pattern), bytes(row->topic)));
        }
        pubsub__free(filter);
    }
}

static void test_map_overlap(void **state)
{
    static const struct {
        const char *a;
        const char *b;
        bool meet;
    } rows[] = {
        {"a", "a", true},     {"a", "b", false},       {"a", "a/b", false},
        {"a", "a/#", true},   {"a/#", "a", true},      {"+", "a", true},
        {"+", "a/b", false},  {"a/+", "+/b", true},    {"a/+", "b/+", false},
        {"#", "x/y/z", true}, {"a/+/c", "a/b", false}, {"a/b/#", "a/c", false},
        {"a/", "a", false},   {"a/+", "a/", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(pubsub__mqtt_overlap(bytes(rows[i].a), bytes(rows[i].b)), rows[i].meet);
        assert_int_equal(pubsub__mqtt_overlap(bytes(rows[i].b), bytes(rows[i].a)), rows[i].meet);
    }
}

/* ---- base64 ---------------------------------------------------------------------------------- */

static void test_map_base64(void **state)
{
    static const struct {
        const char *plain;
        const char *coded;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"}}; /* RFC 4648 §10 */
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char text[16];
        unsigned char back[16];
        size_t len = pubsub__mqtt_base64_encode(text, rows[i].plain, strlen(rows[i].plain));
        assert_bytes((pubsub_bytes){text, len}, rows[i].coded, strlen(rows[i].coded));
        assert_int_equal(len, pubsub__mqtt_base64_size(strlen(rows[i].plain)));
        assert_true(pubsub__mqtt_base64_decode(text, len, back, &len));
        assert_bytes((pubsub_bytes){back, len}, rows[i].plain, strlen(rows[i].plain));
    }
}

static void test_map_base64_refuses_what_is_not_canonical(void **state)
{
    static const char *const rows[] = {"Z",    "Zg",   "Zg=",  "Zg==Zg==", "====",
                                       "Z===", "Zh==", "Zm9=", "Zm 9",     "Zm9v\n",
                                       "=m9v", "Zm=v", "Zm-_", "A",        "Zm9vZ\0=="};
    unsigned char back[16];
    size_t len = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (pubsub__mqtt_base64_decode(rows[i], strlen(rows[i]), back, &len)) {
            fail_msg("'%s' was taken", rows[i]);
        }
    }
}

/* ---- messages --------------------------------------------------------------------------------- */

static pubsub__block_pool *pool;

static int set_up(void **state)
{
    (void)state;
    pool = pubsub__block_pool_new(1, NULL);
    return pool == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    pubsub__block_pool_unref(pool);
    return 0;
}

static pubsub_spi_message *decode(const mqtt_message *message, pubsub_block **block)
{
    *block = pubsub__block_new(pool, 1, pubsub__mqtt_decode_need(message));
    assert_non_null(*block);
    pubsub_spi_message *out = pubsub_block_message(*block);
    assert_non_null(out);
    pubsub__mqtt_decode(message, *block, out);
    return out;
}

static void test_map_everything_comes_back(void **state)
{
    static const pubsub_header headers[] = {
        {{"plain", 5}, {"text", 4}},
        {{"plain", 5}, {"", 0}},
        {{"binary", 6}, {"\x00\xff\n", 3}},
        {{"x", 1}, {"Zm9v", 4}}, /* looks like base64, is not announced */
    };
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    mqtt_user_property user[16];
    char scratch[64];
    mqtt_message message;
    pubsub_block *block = NULL;
    size_t properties = 0;
    size_t room = 0;
    (void)state;
    pub.topic = bytes("a/b");
    pub.payload = bytes("payload");
    pub.key = (pubsub_bytes){"\x01k", 2};
    pub.content_type = bytes("text/plain");
    pub.reply_to = bytes("r/1");
    pub.correlation = (pubsub_bytes){"\0c", 2};
    pub.headers = headers;
    pub.header_count = COUNT(headers);
    pubsub__mqtt_encode_need(&pub, &properties, &room);
    assert_int_equal(properties, 4 + 1 + 2);
    assert_true(room <= sizeof(scratch));
    pubsub__mqtt_encode(&pub, MQTT_V5, user, scratch, &message);
    assert_int_equal(message.user_count, properties);

    pubsub_spi_message *back = decode(&message, &block);
    assert_bytes(back->topic, "a/b", 3);
    assert_bytes(back->payload, "payload", 7);
    assert_bytes(back->key, "\x01k", 2);
    assert_bytes(back->content_type, "text/plain", 10);
    assert_bytes(back->reply_to, "r/1", 3);
    assert_bytes(back->correlation, "\0c", 2);
    assert_int_equal(back->header_count, COUNT(headers));
    for (size_t i = 0; i < COUNT(headers); i++) {
        assert_bytes(back->headers[i].name, headers[i].name.data, headers[i].name.len);
        assert_bytes(back->headers[i].value, headers[i].value.data, headers[i].value.len);
    }
    pubsub_block_discard(block);
}

static void test_map_an_empty_key_is_a_key(void **state)
{
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    mqtt_user_property user[4];
    mqtt_message message;
    pubsub_block *block = NULL;
    (void)state;
    pub.topic = bytes("t");
    pub.key = (pubsub_bytes){"", 0};
    pubsub__mqtt_encode(&pub, MQTT_V5, user, NULL, &message);
    pubsub_spi_message *back = decode(&message, &block);
    assert_non_null(back->key.data);
    assert_int_equal(back->key.len, 0);
    pubsub_block_discard(block);
    pub.key = (pubsub_bytes){NULL, 0};
    pubsub__mqtt_encode(&pub, MQTT_V5, user, NULL, &message);
    back = decode(&message, &block);
    assert_null(back->key.data);
    pubsub_block_discard(block);
}

static void test_map_a_tombstone_is_not_an_empty_message(void **state)
{
    pubsub_publication pub = PUBSUB_PUBLICATION_INIT;
    mqtt_user_property user[4];
    mqtt_message message;
    pubsub_block *block = NULL;
    (void)state;
    pub.topic = bytes("t");
    pub.flags = PUBSUB_PUBLISH_TOMBSTONE;
    pubsub__mqtt_encode(&pub, MQTT_V5, user, NULL, &message);
    pubsub_spi_message *back = decode(&message, &block);
    assert_true(back->flags & PUBSUB_SPI_TOMBSTONE);
    assert_int_equal(back->header_count, 0);
    pubsub_block_discard(block);
    message.payload = bytes("x"); /* a foreign one that contradicts itself */
    back = decode(&message, &block);
    assert_false(back->flags & PUBSUB_SPI_TOMBSTONE);
    assert_int_equal(back->header_count, 1);
    pubsub_block_discard(block);
}

static void test_map_foreign_properties_are_kept_as_they_are(void **state)
{
    static const mqtt_user_property user[] = {
        {{MQTT_USER_BASE64, 13}, {"other", 5}}, /* announces something that does not follow */
        {{"this", 4}, {"Zm9v", 4}},
        {{MQTT_USER_BASE64, 13}, {"bad", 3}},
        {{"bad", 3}, {"not base64", 10}},
        {{MQTT_USER_KEY, 10}, {"k", 1}},
        {{MQTT_USER_KEY, 10}, {"again", 5}},
        {{MQTT_USER_BASE64, 13}, {"last", 4}},
    };
    mqtt_message message;
    pubsub_block *block = NULL;
    (void)state;
    memset(&message, 0, sizeof(message));
    message.topic = bytes("t");
    message.expiry_s = MQTT_EXPIRY_NONE;
    message.user = user;
    message.user_count = COUNT(user);
    pubsub_spi_message *back = decode(&message, &block);
    assert_int_equal(back->header_count, 5);
    assert_bytes(back->headers[0].name, MQTT_USER_BASE64, 13);
    assert_bytes(back->headers[1].value, "Zm9v", 4);
    assert_bytes(back->headers[2].value, "not base64", 10);
    assert_bytes(back->key, "k", 1);
    assert_bytes(back->headers[3].value, "again", 5);
    assert_bytes(back->headers[4].value, "last", 4);
    pubsub_block_discard(block);
}

static void test_map_flags_and_expiry_of_received_messages(void **state)
{
    mqtt_message message;
    pubsub_block *block = NULL;
    (void)state;
    memset(&message, 0, sizeof(message));
    message.topic = bytes("t");
    message.expiry_s = 5;
    message.arrived_ns = UINT64_C(1000000000);
    message.retain = true;
    message.dup = true;
    pubsub_spi_message *back = decode(&message, &block);
    assert_int_equal(back->flags, PUBSUB_SPI_RETAINED | PUBSUB_SPI_REDELIVERED | PUBSUB_SPI_NO_ACK);
    assert_int_equal(back->expires_ns, UINT64_C(6000000000));
    assert_int_equal(back->qos, 0);
    pubsub_block_discard(block);
    message.qos = 1;
    message.dup = message.retain = false;
    message.expiry_s = MQTT_EXPIRY_NONE;
    back = decode(&message, &block);
    assert_int_equal(back->flags, 0);
    assert_int_equal(back->expires_ns, 0);
    pubsub_block_discard(block);
}

static void test_map_packet_size_is_never_too_small(void **state)
{
    mqtt_user_property user = {{"n", 1}, {"vv", 2}};
    mqtt_message message;
    (void)state;
    memset(&message, 0, sizeof(message));
    message.topic = bytes("abc");
    message.payload = bytes("12345");
    /* 2 + 3 topic, 2 packet identifier, 5 payload, 2 for the fixed header of so short a packet */
    assert_true(pubsub__mqtt_packet_size(&message, MQTT_V311) >= 14);
    message.user = &user;
    message.user_count = 1;
    message.content_type = bytes("t");
    assert_true(pubsub__mqtt_packet_size(&message, MQTT_V5) >= 14 + 1 + 8 + 4 + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_map_text_is_what_brokers_take),
        cmocka_unit_test(test_map_text_has_a_length_that_fits),
        cmocka_unit_test(test_map_topics_that_would_end_the_connection_are_refused),
        cmocka_unit_test(test_map_filters),
        cmocka_unit_test(test_map_filters_lose_nothing),
        cmocka_unit_test(test_map_overlap),
        cmocka_unit_test(test_map_base64),
        cmocka_unit_test(test_map_base64_refuses_what_is_not_canonical),
        cmocka_unit_test(test_map_everything_comes_back),
        cmocka_unit_test(test_map_an_empty_key_is_a_key),
        cmocka_unit_test(test_map_a_tombstone_is_not_an_empty_message),
        cmocka_unit_test(test_map_foreign_properties_are_kept_as_they_are),
        cmocka_unit_test(test_map_flags_and_expiry_of_received_messages),
        cmocka_unit_test(test_map_packet_size_is_never_too_small),
    };
    return cmocka_run_group_tests_name("map", tests, set_up, tear_down);
}
