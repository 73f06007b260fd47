/* SPDX-License-Identifier: MIT */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "unit/local/bus.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A log whose last bytes did not reach the disk as they were written: cut, and with one bit changed, at
 * every byte of its end. What opens must be a beginning of what was written, and must go on working. */

#define TEAR 1024u /* bytes of the end that are tried */

typedef struct image {
    char path[512];
    uint8_t *bytes;
    size_t len;        /* up to the tail and its mark */
    uint64_t ends[64]; /* of each record, in the file */
    size_t count;
} image;

static int no_sync(int fd)
{
    (void)fd;
    return 0;
}

static void take(bus *b, image *img)
{
    bus_new(b);
    char text[64];
    for (img->count = 0; img->count < 60; img->count++) {
        memset(text, 'a' + (int)(img->count % 26), sizeof(text));
        (void)snprintf(text, sizeof(text), "%zu", img->count);
        local_record record = {.topic = bus_bytes("some/topic"),
                               .payload = {text, 3 + img->count % 50},
                               .key = bus_bytes("key")};
        BUS_OK(pubsub__local_append(b->store, &record, 1, NULL, NULL, &bus_error));
        img->ends[img->count] = record.end;
    }
    bus_last_segment(b, img->path, sizeof(img->path));
    bus_close(b);
    img->len = (size_t)img->ends[img->count - 1] + 8;
    img->bytes = malloc(img->len);
    assert_non_null(img->bytes);
    int fd = open(img->path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, img->bytes, img->len, 0), img->len);
    assert_int_equal(close(fd), 0);
    pubsub__local_hooks.fdatasync_fn = no_sync;
}

static void put_back(const image *img, size_t len)
{
    int fd = open(img->path, O_RDWR | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, img->bytes, len, 0), len);
    assert_int_equal(close(fd), 0);
}

/* Open as after a restart, and find exactly the first `expected` records; then go on. */
static void check(bus *b, size_t expected)
{
    char epochs[512];
    bus_path(b, epochs, sizeof(epochs), "epochs");
    (void)unlink(epochs);
    bus_path(b, epochs, sizeof(epochs),
             "ctl"); /* with it the log would know how far it was synced */
    (void)unlink(epochs);
    bus_open(b);
    local_cursor *cursor = bus_read(b->store, LOCAL_FROM_EARLIEST);
    for (size_t i = 0; i < expected; i++) {
        local_view view;
        bus_next(cursor, &view);
        assert_int_equal(view.seq, i + 1);
        assert_int_equal(view.payload.len, 3 + i % 50);
        assert_int_equal(strtoul(view.payload.data, NULL, 10), i);
    }
    bus_expect_none(cursor);
    (void)bus_put(b->store, "t", "goes on");
    bus_expect(cursor, "goes on");
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_close(b);
}

static size_t whole_before(const image *img, uint64_t offset)
{
    size_t n = 0;
    while (n < img->count && img->ends[n] <= offset) {
        n++;
    }
    return n;
}

static void test_tail_cut_anywhere(void **state)
{
    (void)state;
    bus b;
    image img;
    take(&b, &img);
    for (size_t len = img.len - TEAR; len <= img.len; len++) {
        put_back(&img, len);
        check(&b, whole_before(&img, len));
    }
    free(img.bytes);
    bus_free(&b);
}

static void test_tail_changed_anywhere(void **state)
{
    (void)state;
    bus b;
    image img;
    take(&b, &img);
    size_t last = (size_t)img.ends[img.count - 1];
    for (size_t at = last - TEAR; at < last; at++) {
        uint8_t bit = (uint8_t)(1u << (at % 8));
        img.bytes[at] ^= bit;
        put_back(&img, img.len);
        img.bytes[at] ^= bit;
        /* A record's padding is not covered: then all are whole. */
        size_t whole = whole_before(&img, at);
        bool padding = img.bytes[at] == 0 && at + 8 >= img.ends[whole];
        if (padding) {
            bus_open(&b);
            bus_close(&b);
            continue;
        }
        check(&b, whole);
    }
    free(img.bytes);
    bus_free(&b);
}

/* Random bytes all over the end, as a disk may leave them. */
static void test_tail_scrambled(void **state)
{
    (void)state;
    bus b;
    image img;
    take(&b, &img);
    uint8_t *whole = malloc(img.len);
    assert_non_null(whole);
    memcpy(whole, img.bytes, img.len);
    uint32_t random = 12345;
    for (unsigned round = 0; round < 200; round++) {
        size_t first = img.len;
        for (unsigned i = 0; i < 30; i++) {
            random = random * 1664525u + 1013904223u;
            size_t at = img.len - 1 - (random >> 8) % TEAR;
            uint8_t byte = (uint8_t)(random >> 24);
            if (img.bytes[at] != byte && at < first) {
                first = at;
            }
            img.bytes[at] = byte;
        }
        put_back(&img, img.len);
        memcpy(img.bytes, whole, img.len);
        char ctl[512];
        bus_path(&b, ctl, sizeof(ctl), "ctl");
        (void)unlink(ctl);
        bus_open(&b);
        local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
        size_t gaps;
        size_t count = bus_count(cursor, &gaps);
        assert_int_equal(gaps, 0);
        assert_true(count >= whole_before(&img, first) && count <= img.count);
        pubsub__local_cursor_close(cursor);
        bus_close(&b);
    }
    free(whole);
    free(img.bytes);
    bus_free(&b);
}

/* A file that somebody cuts while it is read: an error or a gap, never a crash. */
static void test_tail_cut_under_a_reader(void **state)
{
    (void)state;
    bus b;
    bus_new(&b);
    bus_put_many(b.store, "t", "m", 0, 1000);
    char path[512];
    bus_last_segment(&b, path, sizeof(path));
    assert_int_equal(truncate(path, 8192), 0);
    local_cursor *cursor = bus_read(b.store, LOCAL_FROM_EARLIEST);
    local_view view;
    local_gap gap;
    size_t read = 0;
    int rc;
    while ((rc = pubsub__local_cursor_next(cursor, &view, &gap, &bus_error)) == LOCAL_NEXT_RECORD) {
        read++;
    }
    assert_true(read > 50 && read < 1000);
    assert_int_equal(rc, LOCAL_NEXT_GAP);
    assert_int_equal(gap.reason, LOCAL_GAP_CORRUPT);
    bus_expect_none(cursor);
    pubsub__local_cursor_close(cursor);
    bus_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tail_cut_anywhere),
        cmocka_unit_test(test_tail_changed_anywhere),
        cmocka_unit_test(test_tail_scrambled),
        cmocka_unit_test(test_tail_cut_under_a_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
