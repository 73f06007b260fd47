/* SPDX-License-Identifier: MIT */
#include "connectors/exec/line.h"

#include "base/when.h"
#include "json/slice.h"

#include <string.h>

enum {
    ID_MAX = 1024,
    KEY_MAX = 4096,
    TEXT_MAX = 1024,
};

void exec_line_init(exec_line *line)
{
    memset(line, 0, sizeof(*line));
    pubsub__buf_init(&line->model, PUBSUB_MODEL_MAX);
    pubsub__buf_init(&line->id, ID_MAX);
    pubsub__buf_init(&line->key, KEY_MAX);
    pubsub__buf_init(&line->position, PUBSUB_POSITION_BYTES_MAX);
    pubsub__buf_init(&line->text, TEXT_MAX);
}

void exec_line_fini(exec_line *line)
{
    pubsub__buf *const bufs[] = {&line->model, &line->id, &line->key, &line->position, &line->text};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        pubsub__buf_fini(bufs[i]);
    }
}

static void bad(exec_line *out, const char *why)
{
    out->kind = EXEC_LINE_BAD;
    out->why = why;
}

/* A member that must be a string when it is there, as what it means. */
static bool text_of(pubsub_bytes line, const char *name, pubsub__buf *out)
{
    pubsub_bytes value = bridge_json_member(line, name);
    return value.data == NULL || bridge_json_type_of(value) == BRIDGE_JSON_NULL ||
           (bridge_json_type_of(value) == BRIDGE_JSON_STRING && bridge_json_unescape(value, out));
}

/* A string is a position as what it means; anything else as it is written. */
static bool position_of(pubsub_bytes value, pubsub__buf *out)
{
    if (value.data == NULL || bridge_json_type_of(value) == BRIDGE_JSON_NULL) {
        return true;
    }
    if (bridge_json_type_of(value) == BRIDGE_JSON_STRING) {
        return bridge_json_unescape(value, out);
    }
    return pubsub__buf_add(out, value.data, value.len) == PUBSUB__BUF_OK;
}

static bool change_of(pubsub_bytes line, pubsub_change *out)
{
    pubsub__buf name;
    bool known = false;
    pubsub__buf_init(&name, 32);
    *out = PUBSUB_CHANGE_UNKNOWN;
    if (text_of(line, "event", &name)) {
        known = name.len == 0;
        for (int i = PUBSUB_CHANGE_UNKNOWN; i <= PUBSUB_CHANGE_DELETE && !known; i++) {
            known = strcmp(pubsub__buf_text(&name), pubsub_change_name((pubsub_change)i)) == 0;
            *out = known ? (pubsub_change)i : PUBSUB_CHANGE_UNKNOWN;
        }
    }
    pubsub__buf_fini(&name);
    return known;
}

static bool state_of(pubsub_bytes value, pubsub_source_state *out)
{
    static const pubsub_source_state states[] = {PUBSUB_SOURCE_STARTING, PUBSUB_SOURCE_ACTIVE,
                                                 PUBSUB_SOURCE_WAITING};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        const char *name = pubsub_source_state_name(states[i]);
        if (value.len == strlen(name) + 2 &&
            memcmp((const char *)value.data + 1, name, value.len - 2) == 0) {
            *out = states[i];
            return true;
        }
    }
    return false;
}

/* A number is milliseconds since 1970, a string a date as in RFC 3339. */
static bool time_of(pubsub_bytes line, uint64_t *out)
{
    pubsub_bytes value = bridge_json_member(line, "time");
    uint64_t ms = 0;
    pubsub__buf text;
    bool ok = false;
    if (value.data == NULL || bridge_json_type_of(value) == BRIDGE_JSON_NULL) {
        return true;
    }
    if (bridge_json_type_of(value) == BRIDGE_JSON_NUMBER) {
        ok = bridge_json_u64(value, &ms) && ms <= UINT64_MAX / 1000000u;
        *out = ok ? ms * 1000000u : 0;
        return ok;
    }
    pubsub__buf_init(&text, 64);
    ok = bridge_json_type_of(value) == BRIDGE_JSON_STRING && bridge_json_unescape(value, &text) &&
         text.len > 0 && text.data[0] >= '0' && text.data[0] <= '9' &&
         pubsub__when_parse(text.data, 0, out);
    pubsub__buf_fini(&text);
    return ok;
}

static void parse_event(exec_line *out, pubsub_bytes line)
{
    out->kind = EXEC_LINE_EVENT;
    if (!text_of(line, "id", &out->id)) {
        bad(out, "\"id\" is no string, or too long");
    } else if (!text_of(line, "key", &out->key)) {
        bad(out, "\"key\" is no string, or too long");
    } else if (!change_of(line, &out->change)) {
        bad(out, "\"event\" is none of create, update, delete, unknown");
    } else if (!time_of(line, &out->time_ns)) {
        bad(out, "\"time\" is no number of milliseconds since 1970 and no date");
    }
}

static void parse_object(exec_line *out, pubsub_bytes line)
{
    pubsub_bytes error = bridge_json_member(line, "error");
    pubsub_bytes state = bridge_json_member(line, "state");
    out->document = bridge_json_member(line, "document");
    if (!text_of(line, "model", &out->model) ||
        memchr(pubsub__buf_text(&out->model), '\0', out->model.len) != NULL) {
        bad(out, "\"model\" is no string, or longer than 255 bytes");
    } else if (!position_of(bridge_json_member(line, "position"), &out->position)) {
        bad(out, "\"position\" is longer than 65536 bytes");
    } else if (out->document.data != NULL) {
        parse_event(out, line);
    } else if (error.data != NULL) {
        out->kind = EXEC_LINE_ERROR;
        if (!text_of(line, "error", &out->text)) {
            bad(out, "\"error\" is no string, or longer than 1024 bytes");
        }
    } else if (state.data != NULL) {
        out->kind = EXEC_LINE_STATE;
        if (!state_of(state, &out->state)) {
            bad(out, "\"state\" is none of starting, active, waiting");
        }
    } else if (out->position.len > 0) {
        out->kind = EXEC_LINE_POSITION;
    } else {
        bad(out, "there is neither \"document\" nor \"position\", \"error\" or \"state\"");
    }
}

void exec_line_parse(exec_line *out, pubsub_bytes line)
{
    pubsub__buf *const bufs[] = {&out->model, &out->id, &out->key, &out->position, &out->text};
    const char *why = NULL;
    const char *data = line.data;
    size_t blank = 0;
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++) {
        pubsub__buf_reset(bufs[i]);
    }
    out->kind = EXEC_LINE_EMPTY;
    out->why = NULL;
    out->document.data = NULL;
    out->document.len = 0;
    out->change = PUBSUB_CHANGE_UNKNOWN;
    out->state = PUBSUB_SOURCE_STARTING;
    out->time_ns = 0;
    while (blank < line.len && (data[blank] == ' ' || data[blank] == '\t' || data[blank] == '\r')) {
        blank++;
    }
    if (blank == line.len) {
        return;
    }
    why = bridge_json_check(line, NULL);
    if (why != NULL) {
        bad(out, why);
    } else if (bridge_json_type_of(line) != BRIDGE_JSON_OBJECT) {
        bad(out, "it is no object");
    } else {
        parse_object(out, line);
    }
}
