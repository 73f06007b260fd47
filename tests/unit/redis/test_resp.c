/* SPDX-License-Identifier: MIT */
#include "redis/conn.h"
#include "redis/resp.h"

#include "support/cmocka.h"

#include <string.h>

static const redis_reply *parse(redis_parser *parser, const char *text)
{
    const char *bad = NULL;
    assert_true(pubsub__redis_parser_feed(parser, text, strlen(text)));
    return pubsub__redis_parser_next(parser, &bad);
}

static void test_resp_all_types(void **state)
{
    (void)state;
    redis_parser *parser = pubsub__redis_parser_new();
    const redis_reply *reply = parse(parser, "*6\r\n+OK\r\n:-7\r\n$3\r\na");
    assert_null(reply); /* it ends at the NUL, the rest comes now */
    const char rest[] = "\0b\r\n$-1\r\n-ERR no\r\n*1\r\n$0\r\n\r\n";
    const char *bad = NULL;
    assert_true(pubsub__redis_parser_feed(parser, rest, sizeof(rest) - 1));
    reply = pubsub__redis_parser_next(parser, &bad);
    assert_non_null(reply);
    assert_int_equal(pubsub__redis_count(reply), 6);
    assert_true(pubsub__redis_is_text(pubsub__redis_at(reply, 0), "OK"));
    assert_int_equal(pubsub__redis_int(pubsub__redis_at(reply, 1), 0), -7);
    assert_int_equal(pubsub__redis_bytes(pubsub__redis_at(reply, 2)).len, 3);
    assert_memory_equal(pubsub__redis_bytes(pubsub__redis_at(reply, 2)).data, "a\0b", 3);
    assert_int_equal(pubsub__redis_at(reply, 3)->type, REDIS_NIL);
    assert_int_equal(pubsub__redis_at(reply, 4)->type, REDIS_ERROR);
    assert_int_equal(pubsub__redis_count(pubsub__redis_at(reply, 5)), 1);
    assert_null(pubsub__redis_at(reply, 6));
    assert_null(pubsub__redis_parser_next(parser, &bad));
    assert_null(bad);
    pubsub__redis_parser_free(parser);
}

/* However the bytes are cut, the replies are the same. */
static void test_resp_byte_by_byte(void **state)
{
    (void)state;
    static const char text[] = "*2\r\n$7\r\nmessage\r\n*2\r\n:1\r\n$2\r\nhi\r\n+PONG\r\n";
    redis_parser *parser = pubsub__redis_parser_new();
    size_t replies = 0;
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        const char *bad = NULL;
        const redis_reply *reply = NULL;
        assert_true(pubsub__redis_parser_feed(parser, text + i, 1));
        while ((reply = pubsub__redis_parser_next(parser, &bad)) != NULL) {
            replies++;
            if (replies == 1) {
                assert_true(pubsub__redis_is_text(pubsub__redis_at(reply, 0), "message"));
                assert_true(
                    pubsub__redis_is_text(pubsub__redis_at(pubsub__redis_at(reply, 1), 1), "hi"));
            } else {
                assert_true(pubsub__redis_is_text(reply, "PONG"));
            }
        }
        assert_null(bad);
    }
    assert_int_equal(replies, 2);
    pubsub__redis_parser_free(parser);
}

/* Messages are read where they lie, whatever stands between them and however the bytes are cut. */
static void test_resp_messages_in_place(void **state)
{
    (void)state;
    static const char text[] = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n"
                               "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
                               "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$0\r\n\r\n"
                               "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
                               "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n\r\n*3\r\n";
    size_t size = sizeof(text) - 1;
    for (size_t cut = 1; cut <= size; cut++) {
        redis_parser *parser = pubsub__redis_parser_new();
        size_t pushed = 0;
        size_t fed = 0;
        for (size_t from = 0; from < size; from += cut) {
            size_t end = size - from < cut ? size : from + cut;
            for (size_t at = from; at < end;) {
                const char *bad = NULL;
                size_t used = 0;
                const redis_reply *reply =
                    pubsub__redis_parser_push(parser, text + at, end - at, &used);
                if (reply != NULL) {
                    pushed++;
                    at += used;
                    assert_true(pubsub__redis_is_text(
                        pubsub__redis_at(reply, pubsub__redis_count(reply) - 2), "c"));
                    continue;
                }
                assert_true(pubsub__redis_parser_feed(parser, text + at, end - at));
                reply = pubsub__redis_parser_next(parser, &bad);
                assert_null(bad);
                fed += reply != NULL;
                at = end - (reply == NULL ? 0 : pubsub__redis_parser_unread(parser));
            }
        }
        assert_int_equal(pushed + fed, 5);
        assert_int_equal(pushed, cut == size ? 3 : pushed);
        pubsub__redis_parser_free(parser);
    }
}

static void test_resp_no_message_in_place(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "*",
        "*3",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhix\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$-1\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$99999999999999999999\r\nhi\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:12\r\n",
        "*4\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nc\r\n$0\r\n\r\n",
        "*3\r\n$7\r\nmessage\r\n$01\r\nc\r\n$2\r\nhi\r\n",
        "*5\r\n$7\r\nmessage\r\n",
        "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
        "$7\r\nmessage\r\n",
    };
    redis_parser *parser = pubsub__redis_parser_new();
    size_t used = 0;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_null(pubsub__redis_parser_push(parser, others[i], strlen(others[i]), &used));
    }
    static const char whole[] = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n";
    assert_non_null(pubsub__redis_parser_push(parser, whole, sizeof(whole) - 1, &used));
    assert_int_equal(used, sizeof(whole) - 1);
    assert_null(parse(parser, "*3\r\n$7\r\nmess")); /* inside a reply nothing is taken past it */
    assert_null(pubsub__redis_parser_push(parser, whole, sizeof(whole) - 1, &used));
    pubsub__redis_parser_free(parser);
}

static void test_resp_refuses_what_it_is_not(void **state)
{
    (void)state;
    static const char *const bad_ones[] = {"HTTP/1.1 400 Bad Request\r\n", "*99999999\r\n",
                                           "*4294967297\r\n:1\r\n:2\r\n", "$-5\r\n", "%1\r\n"};
    for (size_t i = 0; i < sizeof(bad_ones) / sizeof(bad_ones[0]); i++) {
        redis_parser *parser = pubsub__redis_parser_new();
        const char *bad = NULL;
        const redis_reply *reply = NULL;
        assert_true(pubsub__redis_parser_feed(parser, bad_ones[i], strlen(bad_ones[i])));
        for (size_t n = 0; n < 4 && (reply = pubsub__redis_parser_next(parser, &bad)) != NULL;
             n++) {
            assert_true(reply->type <= REDIS_ARRAY);
        }
        assert_true(bad != NULL || reply == NULL);
        pubsub__redis_parser_free(parser);
    }
}

/* What only RESP3 has is refused, at the top and inside, also where hiredis could read it. */
static void test_resp_refuses_resp3(void **state)
{
    (void)state;
    static const char *const types[] = {",1.5\r\n",
                                        "#t\r\n",
                                        "_\r\n",
                                        "(12345678901234567890\r\n",
                                        "=6\r\ntxt:ab\r\n",
                                        "%1\r\n+a\r\n+b\r\n",
                                        "~1\r\n+a\r\n",
                                        ">2\r\n+a\r\n+b\r\n",
                                        "|1\r\n+a\r\n+b\r\n"};
    for (size_t i = 0; i < 2 * sizeof(types) / sizeof(types[0]); i++) {
        redis_parser *parser = pubsub__redis_parser_new();
        const char *type = types[i / 2];
        const char *bad = NULL;
        assert_non_null(parser);
        assert_true(pubsub__redis_parser_feed(parser, "*2\r\n+x\r\n", i % 2 == 0 ? 0 : 8));
        assert_true(pubsub__redis_parser_feed(parser, type, strlen(type)));
        const redis_reply *reply = pubsub__redis_parser_next(parser, &bad);
        if (type[0] == '_' && reply != NULL) { /* nil is nil */
            assert_int_equal(i % 2 == 0 ? reply->type : reply->as.elements[1].type, REDIS_NIL);
        } else {
            assert_null(reply);
            assert_non_null(bad);
            assert_false(pubsub__redis_parser_feed(parser, "+OK\r\n", 5));
        }
        pubsub__redis_parser_free(parser);
    }
}

static void test_resp_depth_is_bounded(void **state)
{
    (void)state;
    redis_parser *parser = pubsub__redis_parser_new();
    const char *bad = NULL;
    assert_non_null(parser);
    for (size_t i = 0; i < 100; i++) {
        assert_true(pubsub__redis_parser_feed(parser, "*1\r\n", 4));
    }
    assert_null(pubsub__redis_parser_next(parser, &bad));
    assert_non_null(bad);
    pubsub__redis_parser_free(parser);
}

static void test_resp_commands_are_written(void **state)
{
    (void)state;
    pubsub__buf out;
    pubsub__buf_init(&out, 1024);
    assert_true(pubsub__redis_put_array(&out, 3));
    assert_true(pubsub__redis_put_text(&out, "GET"));
    assert_true(pubsub__redis_put(&out, "", 0));
    assert_true(pubsub__redis_put_u64(&out, UINT64_MAX));
    assert_string_equal(pubsub__buf_text(&out),
                        "*3\r\n$3\r\nGET\r\n$0\r\n\r\n$20\r\n18446744073709551615\r\n");
    pubsub__buf_fini(&out);
}

static void test_resp_errors_say_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        pubsub_err code;
        const char *says;
    } rows[] = {
        {"NOAUTH Authentication required.", PUBSUB_EAUTH, "password"},
        {"WRONGPASS invalid username-password pair", PUBSUB_EAUTH, "wrong"},
        {"ERR invalid password", PUBSUB_EAUTH, "wrong"},
        {"NOPERM this user has no permissions", PUBSUB_EDENIED, "ACL"},
        {"OOM command not allowed when used memory > 'maxmemory'.", PUBSUB_EFULL, "maxmemory"},
        {"MISCONF Redis is configured to save RDB snapshots", PUBSUB_EFULL, "disk"},
        {"EXECABORT Transaction discarded because of: OOM command not allowed", PUBSUB_EFULL,
         "memory"},
        {"EXECABORT Transaction discarded because of previous errors.", PUBSUB_EREJECTED, ""},
        {"READONLY You can't write against a read only replica.", PUBSUB_EREJECTED, "master"},
        {"LOADING Redis is loading the dataset in memory", PUBSUB_ECONNECT, "starting"},
        {"MOVED 3999 127.0.0.1:6381", PUBSUB_ENOTSUP, "Cluster"},
        {"WRONGTYPE Operation against a key", PUBSUB_ETOPIC, "stream"},
        {"ERR max number of clients reached", PUBSUB_ECONNECT, "maxclients"},
        {"ERR DB index is out of range", PUBSUB_EOPTION, "database"},
        {"SOMETHING new", PUBSUB_EREJECTED, "SOMETHING new"},
        {"OOMPH", PUBSUB_EREJECTED, "OOMPH"},
        {"line\nbreak \xff", PUBSUB_EREJECTED, "line?break ?"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        pubsub_error err = PUBSUB_ERROR_INIT;
        assert_int_equal(pubsub__redis_error_text(rows[i].text, strlen(rows[i].text), &err),
                         rows[i].code);
        assert_int_equal(err.code, rows[i].code);
        assert_non_null(strstr(err.text, rows[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resp_all_types),
        cmocka_unit_test(test_resp_byte_by_byte),
        cmocka_unit_test(test_resp_messages_in_place),
        cmocka_unit_test(test_resp_no_message_in_place),
        cmocka_unit_test(test_resp_refuses_what_it_is_not),
        cmocka_unit_test(test_resp_refuses_resp3),
        cmocka_unit_test(test_resp_depth_is_bounded),
        cmocka_unit_test(test_resp_commands_are_written),
        cmocka_unit_test(test_resp_errors_say_what_to_do),
    };
    return cmocka_run_group_tests_name("redis_resp", tests, NULL, NULL);
}
