/* SPDX-License-Identifier: MIT */
#include "engine/format.h"

#include "base/alloc.h"
#include "engine/filter.h"
#include "engine/hash.h"
#include "engine/topic.h"
#include "support/cmocka.h"
#include "json/slice.h"

#include <stdio.h>

static pubsub_bytes bytes(const char *text)
{
    return pubsub_bytes_of(text);
}

static pubsub_source_event account(const char *document)
{
    pubsub_source_event event = PUBSUB_SOURCE_EVENT_INIT;
    event.model = bytes("accounts");
    event.document = bytes(document);
    event.key = bytes("a\"1");
    event.change = PUBSUB_CHANGE_CREATE;
    event.timestamp_ns = UINT64_C(1400000000123456789);
    return event;
}

static void assert_payload(bridge_format format, const pubsub_source_event *event,
                           const char *expected, const char *type)
{
    const bridge_format_names names = {"couch", pubsub_bytes_of("id-1")};
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes content_type;
    pubsub__buf out;
    pubsub__buf_init(&out, 1u << 20);
    assert_int_equal(bridge_format_payload(format, &names, event, &out, &content_type, &err),
                     PUBSUB_OK);
    assert_string_equal(pubsub__buf_text(&out), expected);
    assert_int_equal(content_type.len, strlen(type));
    assert_memory_equal(content_type.data, type, content_type.len);
    if (format < BRIDGE_FORMAT_CLOUDEVENTS_BINARY) {
        assert_null(bridge_json_check((pubsub_bytes){out.data, out.len}, NULL));
    }
    pubsub__buf_fini(&out);
}

static void test_format_event(void **state)
{
    (void)state;
    static const char json[] = "application/json";
    pubsub_source_event event = account(" {\"b\":1, \"a\" : 1e2} ");
    assert_payload(BRIDGE_FORMAT_EVENT, &event,
                   "{\"model\":\"accounts\",\"message\": {\"b\":1, \"a\" : 1e2} }", json);
    event.document = bytes("");
    assert_payload(BRIDGE_FORMAT_EVENT, &event, "{\"model\":\"accounts\",\"message\":null}", json);
    event.document = bytes("no \"json\"\n");
    assert_payload(BRIDGE_FORMAT_EVENT, &event,
                   "{\"model\":\"accounts\",\"message\":\"no \\\"json\\\"\\n\"}", json);
    event.document = bytes("\xff\x00z");
    assert_payload(BRIDGE_FORMAT_EVENT, &event,
                   "{\"model\":\"accounts\",\"message_base64\":\"/w==\"}", json);
    event.document = bytes("123"); /* JSON only where nobody says that it is not */
    event.content_type = bytes("text/plain; charset=utf-8");
    assert_payload(BRIDGE_FORMAT_EVENT, &event, "{\"model\":\"accounts\",\"message\":\"123\"}",
                   json);
    event.content_type = bytes("application/vnd.x+json ; v=1");
    assert_payload(BRIDGE_FORMAT_EVENT, &event, "{\"model\":\"accounts\",\"message\":123}", json);
}

static void test_format_changestream(void **state)
{
    (void)state;
    static const char json[] = "application/json";
    pubsub_source_event event = account("{}");
    assert_payload(BRIDGE_FORMAT_CHANGESTREAM, &event,
                   "{\"target\":\"a\\\"1\",\"data\":{},\"type\":\"create\"}", json);
    event.change = PUBSUB_CHANGE_UNKNOWN;
    event.key = bytes("");
    assert_payload(BRIDGE_FORMAT_CHANGESTREAM, &event,
                   "{\"target\":null,\"data\":{},\"type\":\"update\"}", json);
    event.change = PUBSUB_CHANGE_DELETE;
    assert_payload(BRIDGE_FORMAT_CHANGESTREAM, &event,
                   "{\"target\":null,\"data\":null,\"type\":\"remove\"}", json);
}

static void test_format_cloudevents(void **state)
{
    (void)state;
    pubsub_source_event event = account("{\"x\":1}");
    event.model = bytes("a/b c");
    assert_payload(
        BRIDGE_FORMAT_CLOUDEVENTS, &event,
        "{\"specversion\":\"1.0\",\"id\":\"id-1\",\"source\":\"/couch/a%2Fb%20c\","
        "\"type\":\"pubsub.create\",\"subject\":\"a\\\"1\","
        "\"time\":\"2014-05-13T16:53:20.123456789Z\",\"datacontenttype\":\"application/json\","
        "\"data\":{\"x\":1}}",
        "application/cloudevents+json; charset=utf-8");
    event.document = bytes("\xff\xfe");
    event.content_type = bytes("image/png");
    event.timestamp_ns = 0;
    event.key = bytes("");
    assert_payload(BRIDGE_FORMAT_CLOUDEVENTS, &event,
                   "{\"specversion\":\"1.0\",\"id\":\"id-1\",\"source\":\"/couch/a%2Fb%20c\","
                   "\"type\":\"pubsub.create\",\"datacontenttype\":\"image/png\","
                   "\"data_base64\":\"//4=\"}",
                   "application/cloudevents+json; charset=utf-8");
    assert_payload(BRIDGE_FORMAT_CLOUDEVENTS_BINARY, &event, "\xff\xfe", "image/png");
    assert_string_equal(bridge_ce_prefix("kafka://x"), "ce_");
    assert_string_equal(bridge_ce_prefix("mqtts://x"), "");
    assert_string_equal(bridge_ce_prefix("amqps://x"), "cloudEvents_");
}

static void test_format_raw_changes_nothing(void **state)
{
    (void)state;
    pubsub_source_event event = account("\xff anything");
    assert_payload(BRIDGE_FORMAT_RAW, &event, "\xff anything", "application/json");
    event.topic = bytes("t"); /* another broker's message without a type stays without */
    assert_payload(BRIDGE_FORMAT_RAW, &event, "\xff anything", "");
}

static void test_format_survives_no_memory(void **state)
{
    (void)state;
    const bridge_format_names names = {"couch", pubsub_bytes_of("id-1")};
    pubsub_source_event event = account("{\"x\":1}");
    for (int format = BRIDGE_FORMAT_EVENT; format <= BRIDGE_FORMAT_RAW; format++) {
        for (uint64_t nth = 1;; nth++) {
            pubsub_error err = PUBSUB_ERROR_INIT;
            pubsub_bytes type;
            pubsub__buf out;
            pubsub__buf_init(&out, 1u << 20);
            pubsub__alloc_fail_at(nth);
            pubsub_err rc =
                bridge_format_payload((bridge_format)format, &names, &event, &out, &type, &err);
            pubsub__alloc_fail_at(0);
            pubsub__buf_fini(&out);
            assert_int_equal(pubsub__alloc_live(), 0);
            if (rc == PUBSUB_OK) {
                assert_true(nth > 1);
                break;
            }
            assert_int_equal(rc, PUBSUB_ENOMEM);
        }
    }
}

static void test_format_too_big(void **state)
{
    (void)state;
    const bridge_format_names names = {"couch", pubsub_bytes_of("id-1")};
    pubsub_source_event event = account("{\"x\":1}");
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes type;
    pubsub__buf out;
    pubsub__buf_init(&out, 20);
    assert_int_equal(bridge_format_payload(BRIDGE_FORMAT_EVENT, &names, &event, &out, &type, &err),
                     PUBSUB_ETOOBIG);
    pubsub__buf_fini(&out);
}

/* ---- topics ---- */

static void test_topic_templates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *topic; /* NULL = no topic */
    } cases[] = {
        {"/v1/{model}", "/v1/accounts"},
        {"{source}/{route}/{model}/{key}/{event}/{id}", "couch/r1/accounts/k/create/i7"},
        {"{{{model}}", "{accounts}"},
        {"t/{/a/0}/{/b}/{/c~1d}", "t/\xc3\xa9/1e2/true"},
        {"{/a}", NULL},
        {"{/nothing}", NULL},
        {"{topic}", NULL},
        {"x/{topic}", "x/"},
        {"#/{model}", NULL},
        {"+", NULL},
    };
    const bridge_topic_names names = {"couch", "r1", pubsub_bytes_of("i7")};
    pubsub_source_event event = account("{\"a\":[\"\\u00e9\"],\"b\":1e2,\"c/d\":true,\"n\":null}");
    event.key = bytes("k");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        pubsub__buf out;
        pubsub__buf_init(&out, 10000);
        (void)pubsub__buf_add_text(&out, "before");
        assert_int_equal(bridge_topic_check(cases[i].text, &err), PUBSUB_OK);
        pubsub_err rc = bridge_topic_make(cases[i].text, &names, &event, &out, &err);
        assert_int_equal(rc == PUBSUB_OK, cases[i].topic != NULL);
        if (cases[i].topic != NULL) {
            assert_string_equal(pubsub__buf_text(&out) + 6, cases[i].topic);
        }
        pubsub__buf_fini(&out);
    }
}

static void test_topic_templates_that_are_none(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "{", "a{b", "{modl}", "{}", "{model", "{ model}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(bridge_topic_check(bad[i], &err), PUBSUB_ETOPIC);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(bridge_topic_check(NULL, NULL), PUBSUB_ETOPIC);
}

static void test_topic_too_long(void **state)
{
    (void)state;
    char key[PUBSUB_TOPIC_MAX + 10];
    const bridge_topic_names names = {"couch", "r1", pubsub_bytes_of("i7")};
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_source_event event = account("{}");
    pubsub__buf out;
    pubsub__buf_init(&out, 10000);
    memset(key, 'k', sizeof key);
    event.key = (pubsub_bytes){key, sizeof key};
    assert_int_equal(bridge_topic_make("{key}", &names, &event, &out, &err), PUBSUB_ETOPIC);
    event.key = (pubsub_bytes){"\xff", 1};
    assert_int_equal(bridge_topic_make("{key}", &names, &event, &out, &err), PUBSUB_EUTF8);
    pubsub__buf_fini(&out);
}

/* ---- filters ---- */

static bool passes(const char *pointer, const char *value, const char *document)
{
    char pointer_copy[64];
    char value_copy[64];
    (void)snprintf(pointer_copy, sizeof pointer_copy, "%s", pointer);
    (void)snprintf(value_copy, sizeof value_copy, "%s", value);
    bridge_condition where = {pointer_copy, value_copy};
    bridge_route route = {.changes = ~0u, .where = &where, .where_count = 1};
    pubsub_source_event event = account(document);
    return bridge_filter_passes(&route, &event);
}

static void test_filter_conditions(void **state)
{
    (void)state;
    assert_true(passes("/a/b", "x", "{\"a\":{\"b\":\"x\"}}"));
    assert_true(passes("/a", "\xc3\xa9", "{\"a\":\"\\u00e9\"}"));
    assert_true(passes("/a", "1.0", "{\"a\":1.0}"));
    assert_true(passes("/a", "true", "{\"a\":true}"));
    assert_true(passes("/a", "true", "{\"a\":\"true\"}"));
    assert_true(passes("/a", "", "{\"a\":\"\"}"));
    assert_false(passes("/a", "1", "{\"a\":1.0}"));
    assert_false(passes("/a", "x", "{\"b\":\"x\"}"));
    assert_false(passes("/a", "x", "no json"));
    assert_false(passes("/a", "x", ""));
}

static void test_filter_changes(void **state)
{
    (void)state;
    bridge_route route = {.changes = 1u << PUBSUB_CHANGE_CREATE | 1u << PUBSUB_CHANGE_DELETE};
    pubsub_source_event event = account("");
    assert_true(bridge_filter_passes(&route, &event));
    event.change = PUBSUB_CHANGE_UPDATE;
    assert_false(bridge_filter_passes(&route, &event));
}

/* ---- ids ---- */

static void hash_of(const char *a, const char *b, char out[BRIDGE_HASH_TEXT])
{
    bridge_hash hash;
    bridge_hash_init(&hash);
    bridge_hash_add(&hash, bytes(a));
    bridge_hash_add(&hash, bytes(b));
    bridge_hash_text(&hash, out);
}

static void test_hash_is_fixed_and_keeps_parts_apart(void **state)
{
    (void)state;
    char one[BRIDGE_HASH_TEXT];
    char two[BRIDGE_HASH_TEXT];
    hash_of("a", "bc", one);
    hash_of("ab", "c", two);
    assert_string_not_equal(one, two);
    hash_of("a", "bc", two);
    assert_string_equal(one, two);
    assert_int_equal(strlen(one), 32);
    /* Ids are compared over years and machines: this value never changes. */
    hash_of("couch", "12-g1AAAA", one);
    assert_string_equal(one, "1d686c5b03e9fe4899962d5ac855e5e6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_event),
        cmocka_unit_test(test_format_changestream),
        cmocka_unit_test(test_format_cloudevents),
        cmocka_unit_test(test_format_raw_changes_nothing),
        cmocka_unit_test(test_format_survives_no_memory),
        cmocka_unit_test(test_format_too_big),
        cmocka_unit_test(test_topic_templates),
        cmocka_unit_test(test_topic_templates_that_are_none),
        cmocka_unit_test(test_topic_too_long),
        cmocka_unit_test(test_filter_conditions),
        cmocka_unit_test(test_filter_changes),
        cmocka_unit_test(test_hash_is_fixed_and_keeps_parts_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
