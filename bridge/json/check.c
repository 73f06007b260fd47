/* SPDX-License-Identifier: MIT */
/* Whether bytes are one JSON value: one pass, one loop, a stack of bits. */
#include "base/utf8.h"
#include "json/scan.h"

/* What may stand at a place. */
typedef enum want {
    WANT_VALUE,
    WANT_VALUE_OR_END, /* behind `[` */
    WANT_NAME,
    WANT_NAME_OR_END, /* behind `{` */
    WANT_COMMA_OR_END,
    WANT_NOTHING,
} want;

typedef struct checker {
    bridge_json_scan scan;
    unsigned char partner[BRIDGE_JSON_DEPTH_MAX]; /* the brackets that close what is open */
    size_t depth;
    want want;
    const char *error;
} checker;

static bool fail(checker *check, const char *text)
{
    check->error = text;
    return false;
}

static bool check_escape(checker *check)
{
    char ignored[4];
    const unsigned char *begin = check->scan.at;
    if (bridge_json_escape(&check->scan, ignored) == 0) {
        check->scan.at = begin;
        return fail(check, "this is no escape: \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX are");
    }
    return true;
}

/* From the opening quote to behind the closing one. */
static bool check_string(checker *check)
{
    bridge_json_scan *scan = &check->scan;
    const unsigned char *begin = scan->at++;
    for (;;) {
        scan->at = bridge_json_find_special(scan->at, scan->end);
        if (scan->at == scan->end) {
            scan->at = begin;
            return fail(check, "this string has no closing quote");
        }
        if (*scan->at == '"') {
            scan->at++;
            return true;
        }
        if (*scan->at == '\\') {
            if (!check_escape(check)) {
                return false;
            }
        } else if (*scan->at < 0x20) {
            return fail(check, "a control character in a string has to be escaped");
        } else {
            size_t left = (size_t)(scan->end - scan->at);
            size_t count = pubsub__utf8_sequence((const char *)scan->at, left);
            if (count == 0) {
                return fail(check, "this is not UTF-8");
            }
            scan->at += count;
        }
    }
}

static bool digits(bridge_json_scan *scan)
{
    const unsigned char *begin = scan->at;
    while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9') {
        scan->at++;
    }
    return scan->at > begin;
}

static bool next_is(const bridge_json_scan *scan, unsigned char a, unsigned char b)
{
    return scan->at < scan->end && (*scan->at == a || *scan->at == b);
}

static bool check_number(checker *check)
{
    static const char wrong[] = "this is no number";
    bridge_json_scan *scan = &check->scan;
    const unsigned char *begin = scan->at;
    scan->at += *scan->at == '-' ? 1 : 0;
    if (next_is(scan, '0', '0')) {
        scan->at++;
    } else if (!digits(scan)) {
        scan->at = begin;
        return fail(check, wrong);
    }
    if (next_is(scan, '.', '.')) {
        scan->at++;
        if (!digits(scan)) {
            return fail(check, wrong);
        }
    }
    if (next_is(scan, 'e', 'E')) {
        scan->at++;
        scan->at += next_is(scan, '+', '-') ? 1 : 0;
        if (!digits(scan)) {
            return fail(check, wrong);
        }
    }
    return true;
}

static bool check_word(checker *check, const char *word, size_t len)
{
    bridge_json_scan *scan = &check->scan;
    if ((size_t)(scan->end - scan->at) < len || memcmp(scan->at, word, len) != 0) {
        return fail(check, "a value is expected here");
    }
    scan->at += len;
    return true;
}

static bool open_container(checker *check)
{
    if (check->depth == BRIDGE_JSON_DEPTH_MAX) {
        return fail(check, "this is nested too deeply");
    }
    unsigned char byte = *check->scan.at++;
    check->partner[check->depth++] = (unsigned char)(byte + 2); /* for both kinds in ASCII */
    check->want = byte == '{' ? WANT_NAME_OR_END : WANT_VALUE_OR_END;
    return true;
}

static void end_value(checker *check)
{
    check->want = check->depth > 0 ? WANT_COMMA_OR_END : WANT_NOTHING;
}

static bool check_value(checker *check)
{
    switch (*check->scan.at) {
    case '{':
    case '[':
        return open_container(check);
    case '"':
        end_value(check);
        return check_string(check);
    case 't':
        end_value(check);
        return check_word(check, "true", 4);
    case 'f':
        end_value(check);
        return check_word(check, "false", 5);
    case 'n':
        end_value(check);
        return check_word(check, "null", 4);
    default:
        end_value(check);
        if (*check->scan.at == '-' || (*check->scan.at >= '0' && *check->scan.at <= '9')) {
            return check_number(check);
        }
        return fail(check, "a value is expected here");
    }
}

static bool check_name(checker *check)
{
    if (*check->scan.at != '"') {
        return fail(check, "a name in double quotes is expected here");
    }
    if (!check_string(check)) {
        return false;
    }
    bridge_json_skip_space(&check->scan);
    if (!next_is(&check->scan, ':', ':')) {
        return fail(check, "a colon is expected here");
    }
    check->scan.at++;
    check->want = WANT_VALUE;
    return true;
}

static bool check_next(checker *check)
{
    unsigned char byte = *check->scan.at;
    switch (check->want) {
    case WANT_VALUE:
        return check_value(check);
    case WANT_NAME:
        return check_name(check);
    case WANT_NOTHING:
        return fail(check, "nothing may follow the value");
    case WANT_VALUE_OR_END:
        if (byte != ']') {
            return check_value(check);
        }
        break;
    case WANT_NAME_OR_END:
        if (byte != '}') {
            return check_name(check);
        }
        break;
    case WANT_COMMA_OR_END:
        if (byte == ',') {
            check->scan.at++;
            check->want = check->partner[check->depth - 1] == '}' ? WANT_NAME : WANT_VALUE;
            return true;
        }
        if (byte != check->partner[check->depth - 1]) {
            return fail(check, "a comma or a closing bracket is expected here");
        }
        break;
    }
    check->scan.at++;
    check->depth--;
    end_value(check);
    return true;
}

const char *bridge_json_check(pubsub_bytes json, size_t *offset)
{
    checker check;
    check.scan = bridge_json_scan_of(json);
    check.depth = 0;
    check.want = WANT_VALUE;
    check.error = NULL;
    for (;;) {
        bridge_json_skip_space(&check.scan);
        if (check.scan.at == check.scan.end || !check_next(&check)) {
            break;
        }
    }
    if (check.error == NULL && check.want != WANT_NOTHING) {
        check.error = "the value is not complete";
    }
    if (offset != NULL && check.error != NULL) {
        *offset = (size_t)(check.scan.at - check.scan.begin);
    }
    return check.error;
}
