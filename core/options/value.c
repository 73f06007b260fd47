/* SPDX-License-Identifier: MIT */
#include "options/table.h"

#include "base/text.h"
#include "base/units.h"
#include "base/utf8.h"

#include <pubsub/options.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 64
#define WORD_MAX 32

int pubsub__option_enum_index(const char *values, const char *value)
{
    size_t len = strlen(value);
    for (int index = 0;; index++) {
        size_t n = strcspn(values, "|");
        if (n == len && memcmp(values, value, n) == 0) {
            return index;
        }
        if (values[n] == '\0') {
            return -1;
        }
        values += n + 1;
    }
}

/* "option 'prefetch': 'x'", without the value of a secret. */
static pubsub_err refuse(const pubsub_option_row *row, const char *name, const char *value,
                         pubsub_error *err, const char *why)
{
    char shown[SHOWN_MAX];
    if (row->secret) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "option '%s': the value %s", name, why);
    }
    pubsub__text_escape(shown, sizeof(shown), value, strlen(value));
    return pubsub_error_set(err, PUBSUB_EOPTION, "option '%s': '%s' %s", name, shown, why);
}

static pubsub_err parse_enum(const pubsub_option_row *row, const char *name, const char *value,
                             int64_t *number, pubsub_error *err)
{
    *number = pubsub__option_enum_index(row->values, value);
    if (*number >= 0) {
        return PUBSUB_OK;
    }
    /* The nearest of the words, which have to be cut out of "a|b|c" first. */
    char word[WORD_MAX];
    char best[WORD_MAX] = "";
    size_t best_distance = SIZE_MAX;
    for (const char *at = row->values; *at != '\0';) {
        size_t n = strcspn(at, "|");
        snprintf(word, sizeof(word), "%.*s", (int)n, at);
        pubsub__nearest nearest;
        pubsub__nearest_init(&nearest, value);
        pubsub__nearest_offer(&nearest, word);
        if (pubsub__nearest_result(&nearest) != NULL && nearest.distance < best_distance) {
            best_distance = nearest.distance;
            memcpy(best, word, sizeof(best));
        }
        at += n + (at[n] == '|' ? 1 : 0);
    }
    char why[160];
    snprintf(why, sizeof(why), "is not one of %s%s%s%s", row->values,
             best[0] == '\0' ? "" : ", did you mean '", best, best[0] == '\0' ? "" : "'?");
    return refuse(row, name, value, err, why);
}

static const char *format_bound(const pubsub_option_row *row, int64_t value, char *buf, size_t size)
{
    if (row->type == PUBSUB_OPTION_DURATION) {
        return pubsub__format_duration(value, buf, size);
    }
    if (row->type == PUBSUB_OPTION_SIZE) {
        return pubsub__format_size(value, buf, size);
    }
    snprintf(buf, size, "%" PRId64, value);
    return buf;
}

static pubsub_err out_of_range(const pubsub_option_row *row, const char *name, const char *value,
                               pubsub_error *err)
{
    char low[32];
    char high[32];
    char why[160];
    bool may_be_forever = row->type == PUBSUB_OPTION_DURATION && row->min == -1;
    format_bound(row, may_be_forever ? 0 : row->min, low, sizeof(low));
    format_bound(row, row->max, high, sizeof(high));
    const char *unit = row->unit == NULL ? "" : row->unit;
    const char *tail = may_be_forever ? " or forever" : "";
    if (row->max == 0) {
        snprintf(why, sizeof(why), "is not %s or more%s%s%s", low, unit[0] == '\0' ? "" : " ", unit,
                 tail);
    } else {
        snprintf(why, sizeof(why), "is not in %s..%s%s%s%s", low, high, unit[0] == '\0' ? "" : " ",
                 unit, tail);
    }
    return refuse(row, name, value, err, why);
}

static bool in_range(const pubsub_option_row *row, int64_t number)
{
    if (row->type == PUBSUB_OPTION_DURATION && number < 0) {
        return row->min == -1;
    }
    return number >= row->min && (row->max == 0 || number <= row->max);
}

static pubsub_err parse_number(const pubsub_option_row *row, const char *name, const char *value,
                               int64_t *number, pubsub_error *err)
{
    static const char *const expected[] = {
        [PUBSUB_OPTION_INT] = "is not a whole number",
        [PUBSUB_OPTION_BOOL] = "is not yes or no",
        [PUBSUB_OPTION_DURATION] = "is not a duration such as 250ms, 5s, 2m, 1h or 1d",
        [PUBSUB_OPTION_SIZE] = "is not a size such as 512, 64k, 8M or 1G",
    };
    int rc = PUBSUB__UNITS_OK;
    bool flag = false;
    if (row->type == PUBSUB_OPTION_INT) {
        rc = pubsub__parse_int(value, number);
    } else if (row->type == PUBSUB_OPTION_DURATION) {
        rc = pubsub__parse_duration(value, number);
    } else if (row->type == PUBSUB_OPTION_SIZE) {
        rc = pubsub__parse_size(value, number);
    } else {
        rc = pubsub__parse_bool(value, &flag);
        *number = flag ? 1 : 0;
        return rc == PUBSUB__UNITS_OK ? PUBSUB_OK
                                      : refuse(row, name, value, err, expected[row->type]);
    }
    if (rc == PUBSUB__UNITS_SYNTAX) {
        return refuse(row, name, value, err, expected[row->type]);
    }
    if (rc == PUBSUB__UNITS_RANGE || !in_range(row, *number)) {
        return out_of_range(row, name, value, err);
    }
    return PUBSUB_OK;
}

static pubsub_err parse_text(const pubsub_option_row *row, const char *name, const char *value,
                             pubsub_error *err)
{
    size_t len = strlen(value);
    char why[96];
    if (row->min > 0 && len < (uint64_t)row->min) {
        snprintf(why, sizeof(why), "has less than %" PRId64 " bytes", row->min);
        return refuse(row, name, value, err, len == 0 ? "is empty" : why);
    }
    if (row->max > 0 && len > (uint64_t)row->max) {
        snprintf(why, sizeof(why), "has more than %" PRId64 " bytes", row->max);
        return refuse(row, name, value, err, why);
    }
    return PUBSUB_OK;
}

pubsub_err pubsub__option_parse(const pubsub_option_row *row, const char *name, const char *value,
                                int64_t *number, pubsub_error *err)
{
    pubsub_err rc = PUBSUB_OK;
    *number = 0;
    if (row->type == PUBSUB_OPTION_TEXT) {
        rc = parse_text(row, name, value, err);
    } else if (row->type == PUBSUB_OPTION_ENUM) {
        rc = parse_enum(row, name, value, number, err);
    } else {
        rc = parse_number(row, name, value, number, err);
    }
    if (rc == PUBSUB_OK && row->check != NULL) {
        rc = row->check(row, name, value, err);
    }
    return rc;
}
