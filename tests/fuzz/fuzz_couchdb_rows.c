/* SPDX-License-Identifier: MIT */
/* A `_changes` body, cut into pieces as the first byte says. The rows must not depend on the cuts. */
#include "connectors/couchdb/rows.h"

#include "connectors/couchdb/position.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct outcome {
    size_t rows;
    size_t bytes;
    couch_found last;
    bool whole;
} outcome;

static void look_at_row(pubsub_bytes raw)
{
    couch_row row;
    pubsub__buf url;
    if (couch_row_parse(raw, &row) != NULL) {
        return;
    }
    pubsub__buf_init(&url, 65536);
    if (row.seq.len > 0) {
        (void)couch_url_add_seq(&url, row.seq);
    }
    pubsub__buf_fini(&url);
}

static outcome feed(const uint8_t *data, size_t size, size_t piece, bool lines)
{
    outcome result = {0, 0, COUCH_MORE, false};
    couch_rows rows;
    couch_rows_init(&rows, 1024);
    couch_rows_start(&rows, lines);
    for (size_t at = 0; at < size && result.last == COUCH_MORE; at += piece) {
        size_t part = piece < size - at ? piece : size - at;
        uint8_t *copy = malloc(part);
        pubsub_bytes in = {copy, part};
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, data + at, part);
        do {
            pubsub_bytes row = {NULL, 0};
            result.last = couch_rows_next(&rows, &in, &row);
            if (result.last == COUCH_ROW) {
                result.rows++;
                result.bytes += row.len;
                look_at_row(row);
            }
        } while (result.last == COUCH_ROW);
        free(copy);
    }
    result.whole = couch_rows_whole(&rows);
    couch_rows_fini(&rows);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    for (int lines = 0; lines < 2; lines++) {
        outcome whole = feed(data + 1, size - 1, size, lines != 0);
        outcome cut = feed(data + 1, size - 1, (size_t)data[0] % 32 + 1, lines != 0);
        if (whole.rows != cut.rows || whole.bytes != cut.bytes || whole.last != cut.last ||
            whole.whole != cut.whole) {
            abort();
        }
    }
    return 0;
}
