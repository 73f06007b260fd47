/* SPDX-License-Identifier: MIT */
#include "connectors/couchdb/rows.h"

#include "base/text.h"
#include "json/scan.h"
#include "json/slice.h"

#include <stdio.h>
#include <string.h>

/* Longest value of a page that is no row: last_seq of a large cluster. */
#define OTHER_MAX 131072u

void couch_rows_init(couch_rows *rows, size_t row_max)
{
    *rows = (couch_rows){.stage = COUCH_STAGE_OVER};
    pubsub__buf_init(&rows->carry, row_max > OTHER_MAX ? row_max : OTHER_MAX);
    pubsub__buf_init(&rows->last_seq, OTHER_MAX);
}

void couch_rows_fini(couch_rows *rows)
{
    pubsub__buf_fini(&rows->carry);
    pubsub__buf_fini(&rows->last_seq);
}

void couch_rows_start(couch_rows *rows, bool lines)
{
    rows->stage = lines ? COUCH_STAGE_LINES : COUCH_STAGE_BEGIN;
    rows->token = COUCH_TOKEN_NONE;
    rows->in_row = false;
    rows->trouble[0] = '\0';
    pubsub__buf_reset(&rows->carry);
    pubsub__buf_reset(&rows->last_seq);
}

bool couch_rows_whole(const couch_rows *rows)
{
    return rows->stage == COUCH_STAGE_OVER ||
           (rows->stage == COUCH_STAGE_LINES && rows->token == COUCH_TOKEN_NONE);
}

/* ---- tokens -------------------------------------------------------------------------------- */

static void begin_token(couch_rows *rows, char first, bool row)
{
    rows->token = first == '"'                   ? COUCH_TOKEN_STRING
                  : first == '{' || first == '[' ? COUCH_TOKEN_NESTED
                                                 : COUCH_TOKEN_BARE;
    rows->in_row = row;
    rows->in_string = false;
    rows->escaped = false;
    rows->depth = 0;
    pubsub__buf_reset(&rows->carry);
}

/* Behind the string that goes on at `at`, or NULL. */
static const char *skip_string(couch_rows *rows, const char *at, const char *end)
{
    const unsigned char *from = (const unsigned char *)at;
    const unsigned char *to = (const unsigned char *)end;
    while (from < to) {
        if (rows->escaped) {
            rows->escaped = false;
            from++;
            continue;
        }
        from = bridge_json_find_quote(from, to);
        if (from == to) {
            return NULL;
        }
        if (*from++ == '"') {
            rows->in_string = false;
            return (const char *)from;
        }
        rows->escaped = true;
    }
    return NULL;
}

static const char *skip_nested(couch_rows *rows, const char *at, const char *end)
{
    while (at < end) {
        char byte = 0;
        if (rows->in_string) {
            at = skip_string(rows, at, end);
            if (at == NULL) {
                return NULL;
            }
            continue;
        }
        byte = *at++;
        if (byte == '"') {
            rows->in_string = true;
        } else if (byte == '{' || byte == '[') {
            rows->depth++;
        } else if ((byte == '}' || byte == ']') && --rows->depth == 0) {
            return at;
        }
    }
    return NULL;
}

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static const char *skip_bare(const char *at, const char *end)
{
    while (at < end) {
        if (is_space(*at) || *at == ',' || *at == '}' || *at == ']') {
            return at;
        }
        at++;
    }
    return NULL;
}

static const char *skip_token(couch_rows *rows, const char *at, const char *end)
{
    if (rows->token == COUCH_TOKEN_NESTED) {
        return skip_nested(rows, at, end);
    }
    if (rows->token == COUCH_TOKEN_BARE) {
        return skip_bare(at, end);
    }
    if (!rows->in_string && at < end) { /* the opening quote */
        rows->in_string = true;
        at++;
    }
    return skip_string(rows, at, end);
}

/* Go on with the token. COUCH_ROW: *value is all of it. */
static couch_found collect(couch_rows *rows, pubsub_bytes *in, pubsub_bytes *value)
{
    const char *begin = in->data;
    const char *behind = skip_token(rows, begin, begin + in->len);
    size_t part = behind != NULL ? (size_t)(behind - begin) : in->len;
    size_t limit = rows->in_row ? rows->carry.max : OTHER_MAX;
    *in = (pubsub_bytes){begin + part, in->len - part};
    *value = (pubsub_bytes){begin, part};
    if (part > limit || rows->carry.len > limit - part) {
        return rows->in_row ? COUCH_TOO_BIG : COUCH_BROKEN;
    }
    if (behind == NULL || rows->carry.len > 0) {
        if (pubsub__buf_add(&rows->carry, begin, part) != PUBSUB__BUF_OK) {
            return COUCH_NOMEM;
        }
        *value = (pubsub_bytes){rows->carry.data, rows->carry.len};
    }
    if (behind == NULL) {
        return COUCH_MORE;
    }
    rows->token = COUCH_TOKEN_NONE;
    return COUCH_ROW;
}

/* ---- what the tokens mean ------------------------------------------------------------------- */

static bool equals(pubsub_bytes value, const char *text)
{
    return value.len == strlen(text) && memcmp(value.data, text, value.len) == 0;
}

static void note_trouble(couch_rows *rows, pubsub_bytes value)
{
    size_t used = strlen(rows->trouble);
    (void)snprintf(rows->trouble + used, sizeof(rows->trouble) - used, "%s%.*s",
                   used > 0 ? " " : "", value.len < 100 ? (int)value.len : 100,
                   (const char *)value.data);
    pubsub__text_oneline(rows->trouble);
}

static void name_found(couch_rows *rows, pubsub_bytes name)
{
    rows->is_results = equals(name, "\"results\"");
    rows->is_last_seq = equals(name, "\"last_seq\"");
    rows->nameless = !equals(name, "\"error\"") && !equals(name, "\"reason\"");
    rows->stage = COUCH_STAGE_COLON;
}

static couch_found value_found(couch_rows *rows, pubsub_bytes value)
{
    if (rows->is_last_seq) {
        pubsub__buf_reset(&rows->last_seq);
        if (pubsub__buf_add(&rows->last_seq, value.data, value.len) != PUBSUB__BUF_OK) {
            return COUCH_NOMEM;
        }
    } else if (!rows->nameless) {
        note_trouble(rows, value);
    }
    rows->stage = COUCH_STAGE_NAME;
    return COUCH_MORE;
}

/* A line that is no row: the feed's last word, or an error that came too late for a status. */
static couch_found line_found(couch_rows *rows, pubsub_bytes line)
{
    pubsub_bytes last = {NULL, 0};
    if (bridge_json_member(line, "id").data != NULL) {
        return COUCH_ROW;
    }
    last = bridge_json_member(line, "last_seq");
    if (last.data != NULL && bridge_json_check(line, NULL) == NULL) {
        rows->stage = COUCH_STAGE_OVER;
        return pubsub__buf_add(&rows->last_seq, last.data, last.len) == PUBSUB__BUF_OK
                   ? COUCH_END
                   : COUCH_NOMEM;
    }
    if (bridge_json_member(line, "error").data != NULL) {
        note_trouble(rows, line);
        return COUCH_BROKEN;
    }
    return COUCH_ROW; /* whose parsing will say what is wrong with it */
}

static couch_found token_found(couch_rows *rows, pubsub_bytes value)
{
    switch (rows->stage) {
    case COUCH_STAGE_NAME:
        name_found(rows, value);
        return COUCH_MORE;
    case COUCH_STAGE_VALUE:
        return value_found(rows, value);
    case COUCH_STAGE_LINES:
        return line_found(rows, value);
    default:
        return COUCH_ROW;
    }
}

/* ---- between the tokens ---------------------------------------------------------------------- */

/* One byte that is no white space, outside of any token. False when it cannot stand there; *used says
 * whether it was the byte's whole meaning. */
static bool punctuate(couch_rows *rows, char byte, bool *used)
{
    *used = true;
    switch (rows->stage) {
    case COUCH_STAGE_BEGIN:
        rows->stage = COUCH_STAGE_NAME;
        return byte == '{';
    case COUCH_STAGE_NAME:
        if (byte == '}') {
            rows->stage = COUCH_STAGE_OVER;
        } else if (byte == '"') {
            *used = false;
            begin_token(rows, byte, false);
        }
        return byte == '}' || byte == '"' || byte == ',';
    case COUCH_STAGE_COLON:
        rows->stage = COUCH_STAGE_VALUE;
        return byte == ':';
    case COUCH_STAGE_VALUE:
        if (rows->is_results) {
            rows->stage = COUCH_STAGE_ROWS;
            return byte == '[';
        }
        *used = false;
        begin_token(rows, byte, false);
        return byte != ',' && byte != '}' && byte != ']';
    case COUCH_STAGE_ROWS:
        if (byte == ']') {
            rows->stage = COUCH_STAGE_NAME;
            return true;
        }
        if (byte == ',') {
            return true;
        }
        break;
    case COUCH_STAGE_LINES:
        break;
    default:
        return false;
    }
    *used = false;
    begin_token(rows, byte, true);
    return byte == '{';
}

couch_found couch_rows_next(couch_rows *rows, pubsub_bytes *in, pubsub_bytes *row)
{
    while (in->len > 0) {
        const char *at = in->data;
        if (rows->token != COUCH_TOKEN_NONE) {
            couch_found found = collect(rows, in, row);
            if (found == COUCH_ROW) {
                found = token_found(rows, *row);
            }
            if (found != COUCH_MORE) {
                return found;
            }
            continue;
        }
        if (!is_space(*at)) {
            bool used = false;
            if (!punctuate(rows, *at, &used)) {
                return COUCH_BROKEN;
            }
            if (!used) {
                continue;
            }
        }
        *in = (pubsub_bytes){at + 1, in->len - 1};
    }
    return COUCH_MORE;
}

/* ---- one row ---------------------------------------------------------------------------------- */

static pubsub_bytes unquoted(pubsub_bytes value)
{
    const char *at = value.data;
    bool string = value.len >= 2 && at[0] == '"';
    return string ? (pubsub_bytes){at + 1, value.len - 2} : (pubsub_bytes){NULL, 0};
}

static pubsub_bytes first_rev(pubsub_bytes changes)
{
    bridge_json_walk walk = {0};
    if (bridge_json_type_of(changes) != BRIDGE_JSON_ARRAY || !bridge_json_next(&walk, changes)) {
        return (pubsub_bytes){NULL, 0};
    }
    return unquoted(bridge_json_member(walk.value, "rev"));
}

const char *couch_row_parse(pubsub_bytes raw, couch_row *out)
{
    bridge_json_walk walk = {0};
    const char *wrong = bridge_json_check(raw, NULL);
    *out = (couch_row){.raw = raw};
    if (wrong != NULL) {
        return wrong;
    }
    while (bridge_json_next(&walk, raw)) {
        if (equals(walk.name, "seq")) {
            bool null = bridge_json_type_of(walk.value) == BRIDGE_JSON_NULL;
            out->seq = null ? (pubsub_bytes){NULL, 0} : walk.value;
        } else if (equals(walk.name, "id")) {
            out->id = walk.value;
        } else if (equals(walk.name, "changes")) {
            out->rev = first_rev(walk.value);
        } else if (equals(walk.name, "deleted")) {
            out->deleted = bridge_json_type_of(walk.value) == BRIDGE_JSON_TRUE;
        } else if (equals(walk.name, "doc") &&
                   bridge_json_type_of(walk.value) == BRIDGE_JSON_OBJECT) {
            out->doc = walk.value;
        }
    }
    if (unquoted(out->id).data == NULL) {
        return "a row without an id";
    }
    return out->rev.data == NULL ? "a row without a revision" : NULL;
}
