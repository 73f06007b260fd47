/* SPDX-License-Identifier: MIT */
#include "jsonl.h"

#include "base/rand.h"
#include "support/cmocka.h"

#include <jansson.h>
#include <string.h>

static void assert_same(pubsub_bytes a, pubsub_bytes b)
{
    assert_int_equal(a.len, b.len);
    assert_true(a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Write, check that it is one line of JSON, read, compare. */
static void round_trip(const cli_view *view)
{
    cli_jsonl_reader *reader = cli_jsonl_reader_new();
    pubsub_publication back;
    cli_jsonl_error err;
    pubsub__buf line;
    json_t *json;

    pubsub__buf_init(&line, 1000000);
    assert_true(cli_jsonl_add(&line, view));
    assert_ptr_equal(memchr(line.data, '\n', line.len), line.data + line.len - 1);
    json = json_loadb(line.data, line.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    json_decref(json);
    if (!cli_jsonl_read(reader, (pubsub_bytes){line.data, line.len - 1}, 0, &back, &err)) {
        fail_msg("column %zu: %s", err.column, err.text);
    }
    assert_same(back.topic, view->topic);
    assert_same(back.payload, view->payload);
    assert_same(back.key, view->key);
    assert_int_equal(back.key.data != NULL, view->has_key);
    assert_same(back.content_type, view->content_type);
    assert_same(back.reply_to, view->reply_to);
    assert_same(back.correlation, view->correlation);
    assert_int_equal(back.header_count, view->header_count);
    for (size_t i = 0; i < back.header_count; i++) {
        assert_same(back.headers[i].name, view->headers[i].name);
        assert_same(back.headers[i].value, view->headers[i].value);
    }
    assert_int_equal((back.flags & PUBSUB_PUBLISH_RETAIN) != 0, view->retained);
    assert_int_equal((back.flags & PUBSUB_PUBLISH_TOMBSTONE) != 0, view->tombstone);
    assert_int_equal(back.qos, PUBSUB_QOS_UNSET);
    pubsub__buf_fini(&line);
    cli_jsonl_reader_free(reader);
}

static void test_jsonl_round_trips_a_full_message(void **state)
{
    static const pubsub_header headers[] = {
        {{"a", 1}, {"1", 1}}, {{"a", 1}, {"\x00\xff\n", 3}}, {{"\xff", 1}, {"", 0}}};
    cli_view view = {.n = 3,
                     .recv_ns = 5,
                     .ts_ns = 4,
                     .broker = "local",
                     .topic = {"a/\xc3\xa9", 4},
                     .payload = {"x\0y", 3},
                     .key = {"\xfe", 1},
                     .has_key = true,
                     .content_type = {"text/plain", 10},
                     .reply_to = {"r", 1},
                     .correlation = {"\x80", 1},
                     .headers = headers,
                     .header_count = 3,
                     .position = "e1-5",
                     .qos = 1,
                     .retained = true};
    (void)state;
    round_trip(&view);
}

static void test_jsonl_round_trips_odd_messages(void **state)
{
    cli_view empty = {.topic = {"t", 1}, .position = ""};
    cli_view tombstone = {.topic = {"t", 1}, .position = "", .tombstone = true};
    cli_view empty_key = {.topic = {"t", 1}, .key = {"", 0}, .has_key = true, .position = ""};

    (void)state;
    round_trip(&empty);
    round_trip(&tombstone);
    round_trip(&empty_key);
}

static void test_jsonl_round_trips_random_bytes(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        unsigned char data[4][64];
        size_t len[4];
        pubsub_header header;
        cli_view view = {.n = 1, .broker = "x", .position = "", .qos = 0};

        for (int i = 0; i < 4; i++) {
            /* Mostly ASCII sometimes, so that both encodings are met. */
            uint64_t limit = round % 2 == 0 ? 256 : 128;

            len[i] = (size_t)pubsub__rand_below(sizeof(data[i]));
            for (size_t j = 0; j < len[i]; j++) {
                data[i][j] = (unsigned char)pubsub__rand_below(limit);
            }
        }
        header.name = (pubsub_bytes){data[0], len[0]};
        header.value = (pubsub_bytes){data[1], len[1]};
        view.headers = &header;
        view.header_count = 1;
        view.topic = (pubsub_bytes){data[0], len[0]};
        view.key = (pubsub_bytes){data[2], len[2]};
        /* Whether an empty binary key has data is nothing a line tells. */
        view.has_key = len[2] > 0;
        view.payload = (pubsub_bytes){data[3], len[3]};
        round_trip(&view);
    }
}

static void test_jsonl_ignores_what_it_does_not_know(void **state)
{
    static const char line[] =
        "{\"new\":{\"a\":[1,2]},\"topic\":\"t\",\"payload\":\"p\",\"qos\":2,\"partition\":0,"
        "\"key\":null,\"headers\":null,\"retain\":null,\"ts\":1}";
    cli_jsonl_reader *reader = cli_jsonl_reader_new();
    pubsub_publication back;
    cli_jsonl_error err;

    (void)state;
    assert_true(cli_jsonl_read(reader, pubsub_bytes_of(line), 0, &back, &err));
    assert_same(back.payload, pubsub_bytes_of("p"));
    assert_null(back.key.data);
    cli_jsonl_reader_free(reader);
}

static void test_jsonl_expiry_counts_from_now(void **state)
{
    static const char line[] = "{\"topic\":\"t\",\"payload\":\"\",\"expires\":\"5000000000\"}";
    cli_jsonl_reader *reader = cli_jsonl_reader_new();
    pubsub_publication back;
    cli_jsonl_error err;

    (void)state;
    assert_true(cli_jsonl_read(reader, pubsub_bytes_of(line), 2000000000, &back, &err));
    assert_int_equal(back.expiry, 3000);
    /* Long over is still "expires", not "never". */
    assert_true(cli_jsonl_read(reader, pubsub_bytes_of(line), 9000000000, &back, &err));
    assert_int_equal(back.expiry, 1);
    cli_jsonl_reader_free(reader);
}

static void test_jsonl_errors_say_where(void **state)
{
    static const struct {
        const char *line;
        size_t column; /* 0 = the line as a whole */
        const char *part;
    } cases[] = {
        {"", 1, ""},
        {"{", 1, ""},
        {"[1,2]", 0, "object"},
        {"5", 0, "object"},
        {"{\"topic\":\"t\"}", 0, "payload"},
        {"{\"topic\":\"t\",\"payload\":5}", 0, "payload"},
        {"{\"topic\":5,\"payload\":\"\"}", 0, "topic"},
        {"{\"topic\":\"t\",\"payload\":\"*\",\"encoding\":\"base64\"}", 0, "base64"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"encoding\":\"hex\"}", 0, "encoding"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"encoding\":1}", 0, "encoding"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"headers\":{}}", 0, "headers"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"headers\":[[\"a\"]]}", 0, "headers"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"headers\":[[\"a\",1]]}", 0, "headers"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"key\":{\"base64\":\"!\"}}", 0, "key"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"key\":{\"base64\":\"\",\"x\":1}}", 0, "key"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"retain\":\"yes\"}", 0, "retain"},
        {"{\"topic\":\"t\",\"payload\":\"\",\"expires\":\"x\"}", 0, "expires"},
        {"{\"topic\":\"t\",\"topic\":\"u\",\"payload\":\"\"}", 20, "duplicate"},
        {"{\"topic\":\"\xff\",\"payload\":\"\"}", 10, ""},
        {"{\"topic\":\"t\",\"payload\":\"\"} x", 29, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cli_jsonl_reader *reader = cli_jsonl_reader_new();
        pubsub_publication back;
        cli_jsonl_error err;

        if (cli_jsonl_read(reader, pubsub_bytes_of(cases[i].line), 0, &back, &err)) {
            fail_msg("'%s' was taken", cases[i].line);
        }
        if (err.text[0] == '\0' || strstr(err.text, cases[i].part) == NULL ||
            (cases[i].column == 0) != (err.column == 0)) {
            fail_msg("'%s': column %zu '%s'", cases[i].line, err.column, err.text);
        }
        cli_jsonl_reader_free(reader);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jsonl_round_trips_a_full_message),
        cmocka_unit_test(test_jsonl_round_trips_odd_messages),
        cmocka_unit_test(test_jsonl_round_trips_random_bytes),
        cmocka_unit_test(test_jsonl_ignores_what_it_does_not_know),
        cmocka_unit_test(test_jsonl_expiry_counts_from_now),
        cmocka_unit_test(test_jsonl_errors_say_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
