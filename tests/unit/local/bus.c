/* SPDX-License-Identifier: MIT */
#include "unit/local/bus.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

pubsub_error bus_error;

void bus_ok(pubsub_err rc, const pubsub_error *err, const char *what)
{
    if (rc != PUBSUB_OK) {
        print_error("%s: %s (%s)\n", what, pubsub_err_name(rc), err->text);
    }
    assert_int_equal(rc, PUBSUB_OK);
}

pubsub_bytes bus_bytes(const char *text)
{
    return (pubsub_bytes){text, strlen(text)};
}

static void make(bus *b, uint64_t max_bytes, uint64_t segment_bytes)
{
    memset(b, 0, sizeof(*b));
    kit_dir_new(b->root);
    (void)snprintf(b->dir, sizeof(b->dir), "%s/bus", b->root);
    b->options.dir = b->dir;
    b->options.max_bytes = max_bytes;
    b->options.segment_bytes = segment_bytes;
    bus_open(b);
    memset(&b->options, 0, sizeof(b->options));
    b->options.dir = b->dir;
}

void bus_new(bus *b)
{
    make(b, 4u << 20, 65536);
}

void bus_new_big(bus *b)
{
    make(b, 0, 0);
}

void bus_open(bus *b)
{
    BUS_OK(pubsub__local_open(&b->store, &b->options, &bus_error));
}

local_store *bus_again(const bus *b)
{
    local_options options = {.dir = b->dir};
    local_store *store = NULL;
    BUS_OK(pubsub__local_open(&store, &options, &bus_error));
    return store;
}

void bus_close(bus *b)
{
    pubsub__local_close(b->store);
    b->store = NULL;
}

void bus_free(bus *b)
{
    bus_close(b);
    pubsub__local_hooks = (local_hooks){0};
    kit_dir_remove(b->root);
}

void bus_reboot(bus *b)
{
    static char ids[2][37] = {"00000000-0000-4000-8000-000000000001",
                              "00000000-0000-4000-8000-000000000002"};
    bus_close(b);
    pubsub__local_hooks.boot_id = pubsub__local_hooks.boot_id == ids[0] ? ids[1] : ids[0];
    bus_open(b);
}

local_position bus_put(local_store *store, const char *topic, const char *text)
{
    local_record record = {.topic = bus_bytes(topic), .payload = bus_bytes(text), .qos = 1};
    local_position end = {0, 0};
    BUS_OK(pubsub__local_append(store, &record, 1, NULL, &end, &bus_error));
    return end;
}

void bus_put_many(local_store *store, const char *topic, const char *prefix, unsigned first,
                  unsigned count)
{
    enum { BATCH = 64 };
    static char texts[BATCH][48];
    while (count > 0) {
        local_record records[BATCH] = {0};
        unsigned n = count < BATCH ? count : BATCH;
        for (unsigned i = 0; i < n; i++) {
            (void)snprintf(texts[i], sizeof(texts[i]), "%s%u", prefix, first + i);
            records[i].topic = bus_bytes(topic);
            records[i].payload = bus_bytes(texts[i]);
            records[i].qos = 1;
        }
        size_t stored = 0;
        BUS_OK(pubsub__local_append(store, records, n, &stored, NULL, &bus_error));
        assert_int_equal(stored, n);
        first += n;
        count -= n;
    }
}

unsigned bus_fill(local_store *store, size_t size, unsigned segments)
{
    char *payload = calloc(1, size + 1);
    unsigned count = 0;
    local_info info;
    assert_non_null(payload);
    BUS_OK(pubsub__local_info(store, &info, &bus_error));
    uint64_t target = info.tail.offset + segments * info.segment_bytes;
    while (info.tail.offset < target) {
        local_record record = {.topic = bus_bytes("fill"), .payload = {payload, size}};
        BUS_OK(pubsub__local_append(store, &record, 1, NULL, NULL, &bus_error));
        BUS_OK(pubsub__local_info(store, &info, &bus_error));
        count++;
    }
    free(payload);
    return count;
}

static local_cursor *open_cursor(local_store *store, const local_from *from)
{
    static const local_filter all = {false, 0, NULL, NULL};
    local_cursor *cursor = NULL;
    BUS_OK(pubsub__local_cursor_open(&cursor, store, from, &all, &bus_error));
    return cursor;
}

local_cursor *bus_read(local_store *store, local_from_kind kind)
{
    local_from from = {.kind = kind};
    return open_cursor(store, &from);
}

local_cursor *bus_read_at(local_store *store, local_position position)
{
    local_from from = {.kind = LOCAL_FROM_POSITION, .position = position};
    return open_cursor(store, &from);
}

static int next(local_cursor *cursor, local_view *view, local_gap *gap)
{
    int rc;
    do {
        rc = pubsub__local_cursor_next(cursor, view, gap, &bus_error);
    } while (rc == LOCAL_NEXT_MORE);
    if (rc < 0) {
        print_error("next: %s\n", bus_error.text);
    }
    assert_true(rc >= 0);
    return rc;
}

void bus_next(local_cursor *cursor, local_view *view)
{
    local_gap gap;
    assert_int_equal(next(cursor, view, &gap), LOCAL_NEXT_RECORD);
}

bool bus_is(pubsub_bytes bytes, const char *text)
{
    return bytes.len == strlen(text) &&
           (bytes.len == 0 || memcmp(bytes.data, text, bytes.len) == 0);
}

void bus_expect(local_cursor *cursor, const char *text)
{
    local_view view;
    bus_next(cursor, &view);
    if (!bus_is(view.payload, text)) {
        print_error("got '%.*s', not '%s'\n", (int)view.payload.len,
                    (const char *)view.payload.data, text);
    }
    assert_true(bus_is(view.payload, text));
}

void bus_expect_none(local_cursor *cursor)
{
    local_view view;
    local_gap gap;
    assert_int_equal(next(cursor, &view, &gap), LOCAL_NEXT_EMPTY);
}

void bus_expect_gap(local_cursor *cursor, local_gap_reason reason, local_gap *gap)
{
    local_view view;
    assert_int_equal(next(cursor, &view, gap), LOCAL_NEXT_GAP);
    assert_int_equal(gap->reason, reason);
}

size_t bus_count(local_cursor *cursor, size_t *gaps)
{
    local_view view;
    local_gap gap;
    size_t count = 0;
    size_t seen = 0;
    uint64_t last = 0;
    int rc;
    while ((rc = next(cursor, &view, &gap)) != LOCAL_NEXT_EMPTY) {
        if (rc == LOCAL_NEXT_GAP) {
            seen++;
            continue;
        }
        assert_true(view.seq > last);
        last = view.seq;
        count++;
    }
    if (gaps != NULL) {
        *gaps = seen;
    }
    return count;
}

void bus_path(const bus *b, char *buf, size_t size, const char *name)
{
    (void)snprintf(buf, size, "%s/%s", b->dir, name);
}

void bus_last_segment(const bus *b, char *buf, size_t size)
{
    char log[KIT_PATH_MAX + 32];
    char best[64] = "";
    bus_path(b, log, sizeof(log), "log");
    DIR *dir = opendir(log);
    assert_non_null(dir);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        if (strlen(entry->d_name) == 20 && strcmp(entry->d_name, best) > 0) {
            (void)snprintf(best, sizeof(best), "%.60s", entry->d_name);
        }
    }
    (void)closedir(dir);
    assert_true(best[0] != '\0');
    (void)snprintf(buf, size, "%s/%s", log, best);
}
