/* SPDX-License-Identifier: MIT */
#include "input.h"

#include "base/rand.h"
#include "support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A pipe that gives text in pieces of at most `piece` bytes: each is written only when the last was
 * read. */
typedef struct feeder {
    int fds[2];
    const char *text;
    size_t len;
    size_t piece;
} feeder;

static void feed_open(feeder *feed, const char *text, size_t len, size_t piece)
{
    assert_int_equal(pipe(feed->fds), 0);
    feed->text = text;
    feed->len = len;
    feed->piece = piece;
}

static void feed_some(feeder *feed)
{
    size_t n = feed->len < feed->piece ? feed->len : feed->piece;

    if (n == 0) {
        if (feed->fds[1] >= 0) {
            (void)close(feed->fds[1]);
            feed->fds[1] = -1;
        }
        return;
    }
    assert_int_equal(write(feed->fds[1], feed->text, n), (ssize_t)n);
    feed->text += n;
    feed->len -= n;
}

/* All records, each in brackets. */
static void split(char *out, size_t size, const char *text, size_t len, const char *delim,
                  size_t delim_len, size_t piece, size_t max)
{
    pubsub_bytes record;
    cli_input_result result;
    cli_input in;
    feeder feed;
    size_t at = 0;

    feed_open(&feed, text, len, piece);
    assert_true(cli_input_init(&in, feed.fds[0], (pubsub_bytes){delim, delim_len}, max));
    while ((result = cli_input_next(&in, &record)) != CLI_INPUT_END) {
        if (result == CLI_INPUT_MORE) {
            feed_some(&feed);
            assert_int_equal(cli_input_fill(&in), 1);
            continue;
        }
        if (result == CLI_INPUT_TOO_LONG) {
            at += (size_t)snprintf(out + at, size - at, "!");
            break;
        }
        at += (size_t)snprintf(out + at, size - at, "[%.*s]", (int)record.len,
                               (const char *)record.data);
    }
    assert_true(at < size);
    out[at] = '\0';
    (void)close(feed.fds[0]);
    if (feed.fds[1] >= 0) {
        (void)close(feed.fds[1]);
    }
    cli_input_fini(&in);
}

static void test_input_splits(void **state)
{
    static const struct {
        const char *text;
        const char *delim;
        const char *expected;
    } cases[] = {
        {"", "\n", ""},
        {"a", "\n", "[a]"},
        {"a\n", "\n", "[a]"},
        {"\n", "\n", "[]"},
        {"a\n\nb", "\n", "[a][][b]"},
        {"\n\n", "\n", "[][]"},
        {"a\r\nb\r\n", "\n", "[a\r][b\r]"},
        {"a--b-c--", "--", "[a][b-c]"},
        {"a---b", "--", "[a][-b]"},
        {"-", "--", "[-]"},
        {"--", "--", "[]"},
        {"aab", "aab", "[]"},
        {"aaab", "aab", "[a]"},
        {"one\ntwo\n", "", "[one\ntwo\n]"},
        {"", "", "[]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t piece = 1; piece < 12; piece++) {
            char out[200] = "";

            split(out, sizeof(out), cases[i].text, strlen(cases[i].text), cases[i].delim,
                  strlen(cases[i].delim), piece, 100);
            if (strcmp(out, cases[i].expected) != 0) {
                fail_msg("'%s' by '%s' in pieces of %zu gives %s", cases[i].text, cases[i].delim,
                         piece, out);
            }
        }
    }
}

static void test_input_bounds_a_record(void **state)
{
    char out[100];

    (void)state;
    for (size_t piece = 1; piece < 12; piece++) {
        split(out, sizeof(out), "12345\n", 6, "\n", 1, piece, 5);
        assert_string_equal(out, "[12345]");
        split(out, sizeof(out), "1\n123456\n", 9, "\n", 1, piece, 5);
        assert_string_equal(out, "[1]!");
        split(out, sizeof(out), "123456", 6, "\n", 1, piece, 5);
        assert_string_equal(out, "!");
        split(out, sizeof(out), "123456", 6, "", 0, piece, 5);
        assert_string_equal(out, "!");
    }
}

static void test_input_splits_at_nul(void **state)
{
    char out[100];

    (void)state;
    split(out, sizeof(out), "a\0b\n\0", 5, "\0", 1, 2, 100);
    assert_string_equal(out, "[a][b\n]");
}

static void test_input_grows_for_big_records(void **state)
{
    enum { SIZE = 3 * 1024 * 1024 };
    static char text[SIZE];
    pubsub_bytes record;
    cli_input in;
    FILE *file = tmpfile();
    cli_input_result result;

    (void)state;
    assert_non_null(file);
    memset(text, 'x', sizeof(text));
    text[SIZE / 2] = '\n';
    assert_int_equal(fwrite(text, 1, SIZE, file), SIZE);
    rewind(file);
    assert_true(cli_input_init(&in, fileno(file), (pubsub_bytes){"\n", 1}, SIZE));
    while ((result = cli_input_next(&in, &record)) == CLI_INPUT_MORE) {
        assert_int_equal(cli_input_fill(&in), 1);
    }
    assert_int_equal(result, CLI_INPUT_RECORD);
    assert_int_equal(record.len, SIZE / 2);
    while ((result = cli_input_next(&in, &record)) == CLI_INPUT_MORE) {
        assert_int_equal(cli_input_fill(&in), 1);
    }
    assert_int_equal(result, CLI_INPUT_RECORD);
    assert_int_equal(record.len, SIZE / 2 - 1);
    assert_int_equal(cli_input_next(&in, &record), CLI_INPUT_END);
    cli_input_fini(&in);
    (void)fclose(file);
}

static void test_input_nothing_yet_is_no_error(void **state)
{
    int fds[2];
    cli_input in;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    assert_true(cli_input_init(&in, fds[0], (pubsub_bytes){"\n", 1}, 10));
    assert_int_equal(cli_input_fill(&in), 0);
    (void)close(fds[0]);
    assert_int_equal(cli_input_fill(&in), -1);
    (void)close(fds[1]);
    cli_input_fini(&in);
}

static void test_input_cut_takes_the_first_delimiter(void **state)
{
    pubsub_bytes head, rest;

    (void)state;
    assert_true(cli_input_cut(pubsub_bytes_of("k::v::w"), pubsub_bytes_of("::"), &head, &rest));
    assert_int_equal(head.len, 1);
    assert_int_equal(rest.len, 4);
    assert_memory_equal(rest.data, "v::w", 4);
    assert_true(cli_input_cut(pubsub_bytes_of(":v"), pubsub_bytes_of(":"), &head, &rest));
    assert_int_equal(head.len, 0);
    assert_non_null(head.data);
    assert_true(cli_input_cut(pubsub_bytes_of("k:"), pubsub_bytes_of(":"), &head, &rest));
    assert_int_equal(rest.len, 0);
    assert_false(cli_input_cut(pubsub_bytes_of("kv"), pubsub_bytes_of(":"), &head, &rest));
    assert_false(cli_input_cut(pubsub_bytes_of(""), pubsub_bytes_of(":"), &head, &rest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_splits),
        cmocka_unit_test(test_input_bounds_a_record),
        cmocka_unit_test(test_input_splits_at_nul),
        cmocka_unit_test(test_input_grows_for_big_records),
        cmocka_unit_test(test_input_nothing_yet_is_no_error),
        cmocka_unit_test(test_input_cut_takes_the_first_delimiter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
