/* SPDX-License-Identifier: MIT */
#include "connectors/couchdb/rows.h"

#include "base/alloc.h"
#include "connectors/couchdb/couch.h"
#include "connectors/couchdb/position.h"

#include "support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>

#define ROW1                                                                                       \
    "{\"seq\":\"1-g1AAAA\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-aa\"}],\"doc\":{\"_id\":\"a\","  \
    "\"_rev\":\"1-aa\",\"t\":\"x,\\\"}]\\\\\"}}"
#define ROW2                                                                                       \
    "{\"id\":\"b\\u00e9\",\"changes\":[{\"rev\":\"2-bb\"},{\"rev\":\"2-cc\"}],\"deleted\":true,"   \
    "\"seq\":null}"
#define ROW3 "{\"seq\":7,\"id\":\"c\",\"changes\":[{\"rev\":\"10-cc\"}],\"doc\":null}"
#define PAGE                                                                                       \
    "{\"results\":[\n" ROW1 ",\r\n" ROW2 ",\r\n" ROW3 "\n],\n\"last_seq\":\"9-zz\",\"pending\":0}" \
    "\n"
#define LINES ROW1 "\n\n" ROW2 "\n\n\n" ROW3 "\n{\"last_seq\":\"9-zz\",\"pending\":0}\n"

static const char *const rows_in_order[] = {ROW1, ROW2, ROW3};

/* Feed a body in two or more pieces; the rows have to be those above. Pieces are copies of their own
 * size, so that a sanitizer sees a byte read beyond one. */
static void feed_in_pieces(couch_rows *rows, const char *body, size_t len, size_t first,
                           size_t step, bool lines)
{
    size_t found = 0;
    couch_found last = COUCH_MORE;
    couch_rows_start(rows, lines);
    for (size_t at = 0, part = first; at < len; at += part, part = step) {
        char *copy = NULL;
        pubsub_bytes in = {NULL, 0};
        part = part < len - at ? part : len - at;
        copy = malloc(part > 0 ? part : 1);
        assert_non_null(copy);
        memcpy(copy, body + at, part);
        in = (pubsub_bytes){copy, part};
        while (in.len > 0) {
            pubsub_bytes row;
            last = couch_rows_next(rows, &in, &row);
            if (last == COUCH_ROW) {
                assert_true(found < 3);
                assert_int_equal(row.len, strlen(rows_in_order[found]));
                assert_memory_equal(row.data, rows_in_order[found], row.len);
                found++;
            } else if (last != COUCH_MORE) {
                break;
            }
        }
        free(copy);
        if (last == COUCH_END) {
            break;
        }
        assert_true(last == COUCH_ROW || last == COUCH_MORE);
    }
    assert_int_equal(found, 3);
    assert_true(couch_rows_whole(rows));
    assert_string_equal(pubsub__buf_text(&rows->last_seq), "\"9-zz\"");
}

static void test_couchdb_rows_cut_at_every_byte(void **state)
{
    (void)state;
    couch_rows rows;
    couch_rows_init(&rows, 4096);
    for (size_t cut = 1; cut < sizeof(PAGE) - 1; cut++) {
        feed_in_pieces(&rows, PAGE, sizeof(PAGE) - 1, cut, SIZE_MAX / 2, false);
    }
    for (size_t cut = 1; cut < sizeof(LINES) - 1; cut++) {
        feed_in_pieces(&rows, LINES, sizeof(LINES) - 1, cut, SIZE_MAX / 2, true);
    }
    for (size_t step = 1; step < 9; step++) {
        feed_in_pieces(&rows, PAGE, sizeof(PAGE) - 1, step, step, false);
        feed_in_pieces(&rows, LINES, sizeof(LINES) - 1, step, step, true);
    }
    couch_rows_fini(&rows);
    assert_int_equal(pubsub__alloc_live(), 0);
}

static couch_found all_of(couch_rows *rows, const char *body, bool lines)
{
    pubsub_bytes in = pubsub_bytes_of(body);
    pubsub_bytes row;
    couch_found found = COUCH_MORE;
    couch_rows_start(rows, lines);
    do {
        found = couch_rows_next(rows, &in, &row);
    } while (in.len > 0 && found == COUCH_ROW);
    return found;
}

/* A body that ends early is never taken for a whole one. */
static void test_couchdb_rows_know_a_cut_body(void **state)
{
    (void)state;
    couch_rows rows;
    char body[sizeof(PAGE)];
    couch_rows_init(&rows, 4096);
    for (size_t len = 1; len < sizeof(PAGE) - 2; len++) {
        memcpy(body, PAGE, len);
        body[len] = '\0';
        (void)all_of(&rows, body, false);
        assert_int_equal(couch_rows_whole(&rows), false);
    }
    (void)all_of(&rows, ROW1 "\n{\"seq\":", true);
    assert_false(couch_rows_whole(&rows));
    (void)all_of(&rows, ROW1 "\n", true);
    assert_true(couch_rows_whole(&rows));
    couch_rows_fini(&rows);
}

static void test_couchdb_rows_refuse_what_is_no_feed(void **state)
{
    (void)state;
    static const char *const broken[] = {"[1]",
                                         "<html>",
                                         "{\"results\":{}",
                                         "{\"results\":[1]}",
                                         "{]",
                                         "{\"results\":[]}x",
                                         "{\"last_seq\" 1}",
                                         "\"x\"",
                                         "}"};
    couch_rows rows;
    couch_rows_init(&rows, 4096);
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        assert_int_equal(all_of(&rows, broken[i], false), COUCH_BROKEN);
    }
    assert_int_equal(all_of(&rows, "[1]", true), COUCH_BROKEN);
    assert_int_equal(all_of(&rows, "{\"error\":\"timeout\",\"reason\":\"too slow\"}", true),
                     COUCH_BROKEN);
    assert_non_null(strstr(rows.trouble, "too slow"));
    assert_int_equal(all_of(&rows, "{\"error\":\"timeout\",\"reason\":\"too slow\"}", false),
                     COUCH_MORE);
    assert_non_null(strstr(rows.trouble, "too slow"));
    couch_rows_fini(&rows);
}

static void test_couchdb_rows_have_a_longest(void **state)
{
    (void)state;
    static char body[300000];
    couch_rows rows;
    int len = snprintf(body, sizeof(body), "{\"id\":\"");
    memset(body + len, 'x', 200000);
    (void)snprintf(body + len + 200000, 64, "\",\"changes\":[]}");
    couch_rows_init(&rows, 150000);
    assert_int_equal(all_of(&rows, body, true), COUCH_TOO_BIG);
    couch_rows_fini(&rows);
    couch_rows_init(&rows, 250000);
    assert_int_equal(all_of(&rows, body, true), COUCH_ROW);
    couch_rows_fini(&rows);
}

static void test_couchdb_row_members_in_any_order(void **state)
{
    (void)state;
    couch_row row;
    assert_null(couch_row_parse(pubsub_bytes_of(ROW1), &row));
    assert_memory_equal(row.seq.data, "\"1-g1AAAA\"", row.seq.len);
    assert_memory_equal(row.id.data, "\"a\"", row.id.len);
    assert_memory_equal(row.rev.data, "1-aa", row.rev.len);
    assert_memory_equal(row.doc.data, "{\"_id\":\"a\"", 10);
    assert_false(row.deleted);
    assert_null(couch_row_parse(pubsub_bytes_of(ROW2), &row));
    assert_int_equal(row.seq.len, 0);
    assert_int_equal(row.doc.len, 0);
    assert_memory_equal(row.rev.data, "2-bb", row.rev.len);
    assert_true(row.deleted);
    assert_null(couch_row_parse(pubsub_bytes_of(ROW3), &row));
    assert_memory_equal(row.seq.data, "7", row.seq.len);
    assert_int_equal(row.doc.len, 0);
}

static void test_couchdb_row_refuses_what_cannot_be_passed_on(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{\"seq\":1,\"changes\":[{\"rev\":\"1-a\"}]}",
        "{\"seq\":1,\"id\":\"a\"}",
        "{\"seq\":1,\"id\":5,\"changes\":[{\"rev\":\"1-a\"}]}",
        "{\"id\":\"a\",\"changes\":[]}",
        "{\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}],\"doc\":{\"x\":\"\xff\"}}",
        "{\"id\":\"a\",\"changes\":[{\"rev\":\"1-a\"}],}"};
    couch_row row;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_non_null(couch_row_parse(pubsub_bytes_of(wrong[i]), &row));
    }
}

static void check_text(const pubsub__buf *buf, const char *text)
{
    assert_string_equal(pubsub__buf_text(buf), text);
}

static void test_couchdb_position_round_trip(void **state)
{
    (void)state;
    pubsub__buf buf;
    pubsub_bytes instance;
    pubsub_bytes seq;
    pubsub__buf_init(&buf, PUBSUB_POSITION_BYTES_MAX);
    assert_true(couch_position_write(&buf, pubsub_bytes_of("1700"), pubsub_bytes_of("\"3-g1\"")));
    check_text(&buf, "{\"instance\":\"1700\",\"seq\":\"3-g1\"}");
    assert_true(couch_position_read(couch_bytes(&buf), &instance, &seq));
    assert_memory_equal(instance.data, "1700", instance.len);
    assert_memory_equal(seq.data, "\"3-g1\"", seq.len);
    assert_false(couch_position_read(pubsub_bytes_of("3-g1"), &instance, &seq));
    assert_false(couch_position_read(pubsub_bytes_of("{\"instance\":\"1\"}"), &instance, &seq));
    assert_false(
        couch_position_read(pubsub_bytes_of("{\"instance\":\"1\",\"seq\":null}"), &instance, &seq));
    assert_false(couch_position_read(pubsub_bytes_of("{\"seq\":1}"), &instance, &seq));
    assert_true(
        couch_position_read(pubsub_bytes_of("{\"instance\":\"\",\"seq\":5}"), &instance, &seq));
    pubsub__buf_fini(&buf);
}

static void test_couchdb_seq_in_a_url(void **state)
{
    (void)state;
    pubsub__buf url;
    pubsub__buf_init(&url, 100);
    assert_int_equal(couch_url_add_seq(&url, pubsub_bytes_of("\"3-g1+/=\\u00e9\"")),
                     PUBSUB__BUF_OK);
    check_text(&url, "3-g1%2B%2F%3D%C3%A9");
    pubsub__buf_reset(&url);
    assert_int_equal(couch_url_add_seq(&url, pubsub_bytes_of("12")), PUBSUB__BUF_OK);
    check_text(&url, "12");
    pubsub__buf_reset(&url);
    assert_int_equal(couch_url_add_seq(&url, pubsub_bytes_of("[3,\"a\"]")), PUBSUB__BUF_OK);
    check_text(&url, "%5B3%2C%22a%22%5D");
    pubsub__buf_fini(&url);
}

static void test_couchdb_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *name;
        bool matches;
    } cases[] = {
        {"*", "accounts", true},      {"*", "_users", false},     {"_*", "_users", true},
        {"acc*", "accounts", true},   {"acc*", "ac", false},      {"*s", "accounts", true},
        {"a*c*ts", "accounts", true}, {"a*c", "accounts", false}, {"a", "a", true},
        {"a", "ab", false},           {"**", "a", true},          {"a*b*c", "aXbXbXc", true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(couch_matches(cases[i].pattern, pubsub_bytes_of(cases[i].name)),
                         cases[i].matches);
    }
    assert_true(couch_is_pattern("a*"));
    assert_false(couch_is_pattern("a"));
}

static void test_couchdb_backoff_grows_and_is_capped(void **state)
{
    (void)state;
    for (unsigned failures = 1; failures < 70; failures++) {
        int64_t most = failures < 11 ? (int64_t)100 << (failures - 1) : 57000;
        for (int i = 0; i < 20; i++) {
            int64_t pause = couch_backoff(failures, -1, 57000);
            assert_true(pause >= 1 && pause <= (most < 57000 ? most : 57000));
        }
    }
    assert_true(couch_backoff(1, 7000, 57000) >= 7000);
}

static void test_couchdb_status_says_what_to_do(void **state)
{
    (void)state;
    pubsub_error err = PUBSUB_ERROR_INIT;
    pubsub_bytes answer = pubsub_bytes_of("{\"error\":\"not_found\",\"reason\":\"no_db_file\"}");
    assert_int_equal(couch_status(404, answer, "acc", false, &err), COUCH_STOP);
    assert_string_equal(err.text,
                        "acc: there is no such database (status 404: not_found, no_db_file)");
    assert_int_equal(couch_status(404, answer, "acc", true, &err), COUCH_STOP);
    assert_non_null(strstr(err.text, "deleted"));
    assert_int_equal(couch_status(401, answer, "acc", false, &err), COUCH_DENIED);
    assert_int_equal(err.code, PUBSUB_EAUTH);
    assert_int_equal(couch_status(403, answer, "acc", false, &err), COUCH_STOP);
    assert_int_equal(err.code, PUBSUB_EDENIED);
    assert_int_equal(couch_status(400, answer, "acc", false, &err), COUCH_STOP);
    assert_int_equal(couch_status(301, answer, "acc", false, &err), COUCH_STOP);
    for (int status = 500; status < 600; status += 3) {
        assert_int_equal(couch_status(status, (pubsub_bytes){"<html>", 6}, "acc", true, &err),
                         COUCH_RETRY);
    }
    assert_int_equal(couch_status(429, answer, "acc", false, &err), COUCH_RETRY);
    assert_int_equal(err.native_code, 429);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_couchdb_rows_cut_at_every_byte),
        cmocka_unit_test(test_couchdb_rows_know_a_cut_body),
        cmocka_unit_test(test_couchdb_rows_refuse_what_is_no_feed),
        cmocka_unit_test(test_couchdb_rows_have_a_longest),
        cmocka_unit_test(test_couchdb_row_members_in_any_order),
        cmocka_unit_test(test_couchdb_row_refuses_what_cannot_be_passed_on),
        cmocka_unit_test(test_couchdb_position_round_trip),
        cmocka_unit_test(test_couchdb_seq_in_a_url),
        cmocka_unit_test(test_couchdb_patterns),
        cmocka_unit_test(test_couchdb_backoff_grows_and_is_capped),
        cmocka_unit_test(test_couchdb_status_says_what_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
