/* SPDX-License-Identifier: MIT */
#include "expect.h"

#include "exit.h"
#include "input.h"
#include "say.h"

#include "base/alloc.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT_BYTES_MAX ((size_t)1024 * 1024 * 1024)

static int compare_bytes(pubsub_bytes a, pubsub_bytes b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;

    if (order != 0) {
        return order;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_lines(const void *a, const void *b)
{
    const cli_expect_line *x = a;
    const cli_expect_line *y = b;
    int order = compare_bytes(x->body, y->body);

    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

/* Cut the file, which is in `in` as a whole, into lines. */
static bool cut_lines(cli_expect *expect, pubsub_bytes text, char delim)
{
    const char *at = text.data;
    const char *end = at + text.len;
    size_t capacity = 0;

    while (at < end) {
        const char *next = memchr(at, delim, (size_t)(end - at));
        size_t len = next != NULL ? (size_t)(next - at) : (size_t)(end - at);

        if (expect->count == capacity) {
            cli_expect_line *lines;

            capacity = capacity == 0 ? 256 : capacity * 2;
            lines = pubsub__realloc(expect->lines, capacity * sizeof(*lines));
            if (lines == NULL) {
                return false;
            }
            expect->lines = lines;
        }
        expect->lines[expect->count].body = (pubsub_bytes){at, len};
        expect->lines[expect->count].number = (size_t)expect->count + 1;
        expect->lines[expect->count].used = 0;
        expect->count++;
        at = next != NULL ? next + 1 : end;
    }
    return true;
}

static int read_file(cli_expect *expect, const char *path, char delim)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    pubsub_bytes text = {NULL, 0};
    cli_input in;
    cli_input_result result = CLI_INPUT_MORE;
    int code = CLI_EXIT_OK;

    if (fd < 0) {
        return cli_usage("cannot read %s: %s", path, strerror(errno));
    }
    if (!cli_input_init(&in, fd, (pubsub_bytes){NULL, 0}, EXPECT_BYTES_MAX)) {
        (void)close(fd);
        cli_error("out of memory");
        return CLI_EXIT_FAILED;
    }
    while (result == CLI_INPUT_MORE) {
        result = cli_input_next(&in, &text);
        if (result == CLI_INPUT_MORE && cli_input_fill(&in) < 0) {
            code = cli_usage("cannot read %s: %s", path, strerror(errno));
            break;
        }
    }
    if (result == CLI_INPUT_TOO_LONG) {
        code = cli_usage("%s is longer than 1 GiB", path);
    }
    expect->text = in.data; /* the lines point into it */
    (void)close(fd);
    /* Without lines there is still something to expect: nothing. */
    expect->lines = pubsub__calloc(1, sizeof(*expect->lines));
    if (code == CLI_EXIT_OK && (expect->lines == NULL || !cut_lines(expect, text, delim))) {
        cli_error("out of memory");
        code = CLI_EXIT_FAILED;
    }
    return code;
}

int cli_expect_init(cli_expect *expect, const cli_args *args)
{
    const char *path = cli_text(args, "expect");
    char delim = cli_flag(args, "null-delim") ? '\0' : '\n';
    int code = CLI_EXIT_OK;

    memset(expect, 0, sizeof(*expect));
    expect->any_order = cli_flag(args, "any-order");
    if (path != NULL) {
        expect->on = true;
        code = read_file(expect, path, delim);
        if (code == CLI_EXIT_OK && expect->any_order) {
            qsort(expect->lines, (size_t)expect->count, sizeof(*expect->lines), compare_lines);
        }
        if (code == CLI_EXIT_OK && cli_given_any(args, "expect-count")) {
            return cli_usage("--expect and --expect-count both say how many: give one");
        }
    } else if (cli_given_any(args, "expect-count")) {
        expect->on = true;
        expect->count = (uint64_t)cli_int(args, "expect-count", 0);
    } else if (expect->any_order) {
        return cli_usage("--any-order belongs to --expect FILE");
    }
    return code;
}

void cli_expect_fini(cli_expect *expect)
{
    pubsub__free(expect->lines);
    pubsub__free(expect->text);
    memset(expect, 0, sizeof(*expect));
}

/* The first line equal to body in the sorted lines, count when there is none. */
static size_t lower_bound(const cli_expect *expect, pubsub_bytes body)
{
    size_t low = 0;
    size_t high = (size_t)expect->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_bytes(expect->lines[middle].body, body) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool wrong(const cli_expect *expect, pubsub_bytes body, const char *why)
{
    char shown[160];

    cli_error("message %" PRIu64 " is '%s': %s", expect->arrived,
              pubsub__text_escape(shown, sizeof(shown), body.data, body.len), why);
    return false;
}

static bool take_any(cli_expect *expect, pubsub_bytes body)
{
    size_t first = lower_bound(expect, body);
    size_t at = first < expect->count ? first + expect->lines[first].used : first;

    if (at >= expect->count || compare_bytes(expect->lines[at].body, body) != 0) {
        return wrong(expect, body, "not expected, or not as often");
    }
    expect->lines[first].used++;
    return true;
}

bool cli_expect_message(cli_expect *expect, pubsub_bytes body)
{
    expect->arrived++;
    if (expect->arrived > expect->count) {
        return wrong(expect, body, "more than expected");
    }
    if (expect->lines == NULL) {
        return true;
    }
    if (expect->any_order) {
        return take_any(expect, body);
    }
    if (compare_bytes(expect->lines[expect->arrived - 1].body, body) != 0) {
        char shown[160];
        pubsub_bytes line = expect->lines[expect->arrived - 1].body;

        wrong(expect, body, "not the line expected");
        cli_error("expected was '%s'",
                  pubsub__text_escape(shown, sizeof(shown), line.data, line.len));
        return false;
    }
    return true;
}

bool cli_expect_is_met(const cli_expect *expect)
{
    return expect->arrived == expect->count;
}
