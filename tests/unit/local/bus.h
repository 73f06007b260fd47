/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_TESTS_LOCAL_BUS_H
#define PUBSUB_TESTS_LOCAL_BUS_H

/* Short words for tests of the store under `local:`. Everything that must work fails the test when it
 * does not; the error's text is printed. */

#include "support/cmocka.h"
#include "support/tempdir.h"
#include "support/wait.h"

#include "local/store.h"

typedef struct bus {
    char dir[KIT_PATH_MAX + 16]; /* <temporary directory>/bus */
    char root[KIT_PATH_MAX];
    local_options options;
    local_store *store;
} bus;

/* A new bus in a temporary directory, with small segments (64 KiB of 4 MiB) unless big. */
void bus_new(bus *b);
void bus_new_big(bus *b);
void bus_close(bus *b);
void bus_open(bus *b);
/* Another handle of the same bus. */
local_store *bus_again(const bus *b);
/* Close, and remove everything. */
void bus_free(bus *b);
/* Close and open as if the machine had been started anew. */
void bus_reboot(bus *b);
/* The call must be PUBSUB_OK; prints the text otherwise. */
void bus_ok(pubsub_err rc, const pubsub_error *err, const char *what);
#define BUS_OK(call) bus_ok((call), &bus_error, #call)
extern pubsub_error bus_error;

pubsub_bytes bus_bytes(const char *text);
/* Append one message of text. Returns its end. */
local_position bus_put(local_store *store, const char *topic, const char *text);
/* Append count messages "<prefix><number>" from first on, in batches. */
void bus_put_many(local_store *store, const char *topic, const char *prefix, unsigned first,
                  unsigned count);
/* Append payloads of size bytes until at least so many segments were begun. Returns the number. */
unsigned bus_fill(local_store *store, size_t size, unsigned segments);

local_cursor *bus_read(local_store *store, local_from_kind kind);
local_cursor *bus_read_at(local_store *store, local_position position);
/* The next record must be there. */
void bus_next(local_cursor *cursor, local_view *view);
/* The next record must have this payload. */
void bus_expect(local_cursor *cursor, const char *text);
/* There must be no record. */
void bus_expect_none(local_cursor *cursor);
/* The next must be a gap. */
void bus_expect_gap(local_cursor *cursor, local_gap_reason reason, local_gap *gap);
/* How many records there are, gaps in *gaps. */
size_t bus_count(local_cursor *cursor, size_t *gaps);
bool bus_is(pubsub_bytes bytes, const char *text);
/* Path of a file of the bus. */
void bus_path(const bus *b, char *buf, size_t size, const char *name);
/* Path of the segment with the greatest base. */
void bus_last_segment(const bus *b, char *buf, size_t size);

#endif
