/* SPDX-License-Identifier: MIT */
#include "jsonl.h"

#include "codec.h"

#include "base/alloc.h"
#include "base/units.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* What lines that were read still need: parsed objects, decoded bytes, header arrays. */
typedef struct reader_piece {
    struct reader_piece *next;
    json_t *json;
    void *memory;
} reader_piece;

struct cli_jsonl_reader {
    reader_piece *pieces;
};

typedef struct line_context {
    cli_jsonl_reader *reader;
    cli_jsonl_error *err;
} line_context;

static bool fail(line_context *line, const char *name, const char *what)
{
    (void)snprintf(line->err->text, sizeof(line->err->text), "\"%s\" %s", name, what);
    return false;
}

/* Takes over json or memory also when it fails. */
static bool keep(cli_jsonl_reader *reader, json_t *json, void *memory)
{
    reader_piece *piece = pubsub__alloc(sizeof(*piece));

    if (piece == NULL) {
        json_decref(json);
        pubsub__free(memory);
        return false;
    }
    piece->json = json;
    piece->memory = memory;
    piece->next = reader->pieces;
    reader->pieces = piece;
    return true;
}

cli_jsonl_reader *cli_jsonl_reader_new(void)
{
    return pubsub__calloc(1, sizeof(cli_jsonl_reader));
}

void cli_jsonl_reset(cli_jsonl_reader *reader)
{
    while (reader->pieces != NULL) {
        reader_piece *piece = reader->pieces;

        reader->pieces = piece->next;
        json_decref(piece->json);
        pubsub__free(piece->memory);
        pubsub__free(piece);
    }
}

void cli_jsonl_reader_free(cli_jsonl_reader *reader)
{
    if (reader != NULL) {
        cli_jsonl_reset(reader);
        pubsub__free(reader);
    }
}

static bool decode(line_context *line, const char *name, const json_t *text, pubsub_bytes *out)
{
    pubsub_bytes encoded = {json_string_value(text), json_string_length(text)};
    pubsub__buf buf;
    size_t at;

    pubsub__buf_init(&buf, encoded.len + 1);
    if (!cli_base64_decode(&buf, encoded, &at)) {
        pubsub__buf_fini(&buf);
        return fail(line, name, "is not valid base64");
    }
    out->len = buf.len;
    out->data = pubsub__buf_take(&buf);
    if (out->data == NULL) {
        out->data = ""; /* nothing in it, which is not the same as no key */
        return true;
    }
    if (!keep(line->reader, NULL, (void *)(uintptr_t)out->data)) {
        return fail(line, name, "does not fit into memory");
    }
    return true;
}

/* A string or {"base64":".."}; absent and null leave out as it is. */
static bool read_bytes(line_context *line, const char *name, const json_t *value, pubsub_bytes *out)
{
    const json_t *inner;

    if (value == NULL || json_is_null(value)) {
        return true;
    }
    if (json_is_string(value)) {
        out->data = json_string_value(value);
        out->len = json_string_length(value);
        return true;
    }
    inner = json_object_get(value, "base64");
    if (json_is_string(inner) && json_object_size(value) == 1) {
        return decode(line, name, inner, out);
    }
    return fail(line, name, "must be a string or {\"base64\":\"..\"}");
}

static bool read_payload(line_context *line, const json_t *root, pubsub_publication *out)
{
    const json_t *payload = json_object_get(root, "payload");
    const json_t *encoding = json_object_get(root, "encoding");
    const char *name = json_is_string(encoding) ? json_string_value(encoding) : "utf8";

    if (encoding != NULL && !json_is_string(encoding)) {
        return fail(line, "encoding", "must be \"utf8\" or \"base64\"");
    }
    if (payload == NULL) {
        return fail(line, "payload", "is missing");
    }
    if (json_is_null(payload)) {
        out->flags |= PUBSUB_PUBLISH_TOMBSTONE;
        return true;
    }
    if (strcmp(name, "base64") == 0) {
        return json_is_string(payload) ? decode(line, "payload", payload, &out->payload)
                                       : fail(line, "payload", "must be a string");
    }
    if (strcmp(name, "utf8") != 0) {
        return fail(line, "encoding", "must be \"utf8\" or \"base64\"");
    }
    return read_bytes(line, "payload", payload, &out->payload);
}

static bool read_header(line_context *line, const json_t *pair, pubsub_header *out)
{
    if (!json_is_array(pair) || json_array_size(pair) != 2) {
        return fail(line, "headers", "must be a list of [name, value]");
    }
    return read_bytes(line, "headers", json_array_get(pair, 0), &out->name) &&
           read_bytes(line, "headers", json_array_get(pair, 1), &out->value);
}

static bool read_headers(line_context *line, const json_t *root, pubsub_publication *out)
{
    const json_t *list = json_object_get(root, "headers");
    size_t count = json_array_size(list);
    pubsub_header *headers;

    if (list == NULL || json_is_null(list)) {
        return true;
    }
    if (!json_is_array(list)) {
        return fail(line, "headers", "must be a list of [name, value]");
    }
    if (count > PUBSUB_HEADERS_MAX) {
        return fail(line, "headers", "has more than 256 entries");
    }
    headers = pubsub__calloc(count + 1, sizeof(*headers));
    if (headers == NULL || !keep(line->reader, NULL, headers)) {
        return fail(line, "headers", "does not fit into memory");
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_header(line, json_array_get(list, i), &headers[i])) {
            return false;
        }
    }
    out->headers = headers;
    out->header_count = count;
    return true;
}

/* A time is absolute there and a duration here. */
static bool read_expiry(line_context *line, const json_t *root, uint64_t now_ns,
                        pubsub_publication *out)
{
    const json_t *expires = json_object_get(root, "expires");
    int64_t ns = 0;

    if (expires == NULL || json_is_null(expires)) {
        return true;
    }
    if (json_is_string(expires)) {
        if (pubsub__parse_int(json_string_value(expires), &ns) != PUBSUB__UNITS_OK || ns < 0) {
            return fail(line, "expires", "must be nanoseconds since 1970");
        }
    } else if (json_is_integer(expires) && json_integer_value(expires) >= 0) {
        ns = json_integer_value(expires);
    } else {
        return fail(line, "expires", "must be nanoseconds since 1970");
    }
    if (ns > 0) {
        out->expiry =
            (uint64_t)ns > now_ns ? (pubsub_duration_ms)(((uint64_t)ns - now_ns) / 1000000) : 0;
        out->expiry += out->expiry == 0;
    }
    return true;
}

static bool read_members(line_context *line, const json_t *root, uint64_t now_ns,
                         pubsub_publication *out)
{
    const json_t *retain = json_object_get(root, "retain");

    if (!json_is_object(root)) {
        (void)snprintf(line->err->text, sizeof(line->err->text), "a line must be an object {...}");
        return false;
    }
    if (retain != NULL && !json_is_boolean(retain) && !json_is_null(retain)) {
        return fail(line, "retain", "must be true or false");
    }
    if (json_is_true(retain)) {
        out->flags |= PUBSUB_PUBLISH_RETAIN;
    }
    return read_bytes(line, "topic", json_object_get(root, "topic"), &out->topic) &&
           read_bytes(line, "key", json_object_get(root, "key"), &out->key) &&
           read_bytes(line, "content_type", json_object_get(root, "content_type"),
                      &out->content_type) &&
           read_bytes(line, "reply_to", json_object_get(root, "reply_to"), &out->reply_to) &&
           read_bytes(line, "correlation", json_object_get(root, "correlation"),
                      &out->correlation) &&
           read_headers(line, root, out) && read_expiry(line, root, now_ns, out) &&
           read_payload(line, root, out);
}

bool cli_jsonl_read(cli_jsonl_reader *reader, pubsub_bytes text, uint64_t now_ns,
                    pubsub_publication *out, cli_jsonl_error *err)
{
    static const pubsub_publication empty = PUBSUB_PUBLICATION_INIT;
    line_context line = {reader, err};
    json_error_t parsed;
    json_t *root;

    *out = empty;
    err->column = 0;
    err->text[0] = '\0';
    root = json_loadb(text.len > 0 ? text.data : "", text.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &parsed);
    if (root == NULL) {
        err->column = parsed.position > 0 ? (size_t)parsed.position : 1;
        (void)snprintf(err->text, sizeof(err->text), "%s", parsed.text);
        return false;
    }
    if (!keep(reader, root, NULL)) {
        return fail(&line, "line", "does not fit into memory");
    }
    return read_members(&line, root, now_ns, out);
}
