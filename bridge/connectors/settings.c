/* SPDX-License-Identifier: MIT */
#include "connectors/settings.h"

#include "base/alloc.h"
#include "base/nearest.h"
#include "base/text.h"
#include "base/units.h"
#include "base/utf8.h"
#include "json/slice.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- one value ----------------------------------------------------------------------------- */

typedef struct complaint {
    const pubsub_setting *row;
    const char *text;
    bool hide;
    char *why;
    size_t size;
} complaint;

/* "\"80x\" is no whole number", or "this is no whole number". */
static bool complain(const complaint *about, const char *what)
{
    char shown[64];
    pubsub__text_escape(shown, sizeof(shown), about->text, strlen(about->text));
    if (about->hide || (about->row->flags & PUBSUB_SETTING_SECRET) != 0) {
        (void)snprintf(about->why, about->size, "this value (not shown) %s", what);
    } else {
        (void)snprintf(about->why, about->size, "\"%s\" %s", shown, what);
    }
    return false;
}

static void format_number(const pubsub_setting *row, int64_t number, char *out, size_t size)
{
    if (row->type == PUBSUB_SETTING_DURATION) {
        pubsub__format_duration(number, out, size);
    } else if (row->type == PUBSUB_SETTING_SIZE) {
        pubsub__format_size(number, out, size);
    } else {
        (void)snprintf(out, size, "%" PRId64, number);
    }
}

static bool check_range(const complaint *about, int rc, int64_t number)
{
    const pubsub_setting *row = about->row;
    char what[128];
    char low[32];
    char high[32];
    if (rc == PUBSUB__UNITS_OK && number >= row->min && (row->max == 0 || number <= row->max)) {
        return true;
    }
    format_number(row, row->min, low, sizeof(low));
    format_number(row, row->max, high, sizeof(high));
    if (rc == PUBSUB__UNITS_OK && number < row->min && row->max == 0) {
        (void)snprintf(what, sizeof(what), "is too small: it is at least %s", low);
    } else if (row->max == 0) {
        (void)snprintf(what, sizeof(what), "is too big");
    } else {
        (void)snprintf(what, sizeof(what), "is out of range: from %s to %s", low, high);
    }
    return complain(about, what);
}

static bool check_choice(const complaint *about, int64_t *number)
{
    const char *choices = about->row->choices != NULL ? about->row->choices : "";
    size_t len = strlen(about->text);
    const char *at = choices;
    for (int64_t index = 0; *at != '\0'; index++) {
        size_t span = strcspn(at, "|");
        if (span == len && memcmp(at, about->text, len) == 0) {
            *number = index;
            return true;
        }
        at += span + (at[span] == '|' ? 1 : 0);
    }
    char what[256] = "is none of ";
    size_t used = strlen(what);
    for (at = choices; *at != '\0' && used + 3 < sizeof(what); at++) {
        what[used++] = *at == '|' ? ',' : *at;
        what[used] = ' ';
        used += *at == '|' ? 1 : 0;
    }
    what[used] = '\0';
    return complain(about, what);
}

static bool check_json(const complaint *about)
{
    size_t offset = 0;
    char what[160];
    const char *error =
        bridge_json_check((pubsub_bytes){about->text, strlen(about->text)}, &offset);
    if (error == NULL) {
        return true;
    }
    (void)snprintf(what, sizeof(what), "is no JSON: %s, at byte %zu", error, offset);
    return complain(about, what);
}

static bool check_text(const complaint *about)
{
    if (about->text[0] == '\0' && (about->row->flags & PUBSUB_SETTING_REQUIRED) != 0) {
        return complain(about, "must not be empty");
    }
    return true;
}

bool bridge_setting_check(const pubsub_setting *row, const char *text, bool hide, int64_t *number,
                          char *why, size_t why_size)
{
    const complaint about = {row, text, hide, why, why_size};
    size_t len = strlen(text);
    int rc = PUBSUB__UNITS_OK;
    bool yes = false;
    *number = 0;
    if (!pubsub__utf8_check(text, len)) {
        return complain(&about, "is not UTF-8");
    }
    if (len > BRIDGE_SETTING_TEXT_MAX) {
        return complain(&about, "is longer than a mebibyte");
    }
    switch (row->type) {
    case PUBSUB_SETTING_INT:
        rc = pubsub__parse_int(text, number);
        return rc == PUBSUB__UNITS_SYNTAX ? complain(&about, "is no whole number")
                                          : check_range(&about, rc, *number);
    case PUBSUB_SETTING_DURATION:
        rc = pubsub__parse_duration(text, number);
        return rc == PUBSUB__UNITS_SYNTAX
                   ? complain(&about, "is no duration: write 250ms, 5s, 2m, 1h or 1d")
                   : check_range(&about, rc, *number);
    case PUBSUB_SETTING_SIZE:
        rc = pubsub__parse_size(text, number);
        return rc == PUBSUB__UNITS_SYNTAX ? complain(&about, "is no size: write 512, 64k, 8M or 1G")
                                          : check_range(&about, rc, *number);
    case PUBSUB_SETTING_BOOL:
        rc = pubsub__parse_bool(text, &yes);
        *number = yes ? 1 : 0;
        return rc == PUBSUB__UNITS_OK || complain(&about, "is neither yes nor no");
    case PUBSUB_SETTING_CHOICE:
        return check_choice(&about, number);
    case PUBSUB_SETTING_JSON:
        return check_json(&about);
    case PUBSUB_SETTING_TEXT:
        break;
    }
    return check_text(&about);
}

const pubsub_setting *bridge_setting_row(const pubsub_setting *rows, size_t count, const char *name,
                                         const char **nearest)
{
    pubsub__nearest search;
    pubsub__nearest_init(&search, name);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
        pubsub__nearest_offer(&search, rows[i].name);
    }
    if (nearest != NULL) {
        *nearest = pubsub__nearest_result(&search);
    }
    return NULL;
}

/* ---- a whole set --------------------------------------------------------------------------- */

/* What is given, and where the values go. */
typedef struct filling {
    const pubsub_connector *connector;
    const char *const *names;
    const char *const *texts;
    size_t count;
    pubsub_setting_value *values;
    size_t used;
    pubsub_error *err;
} filling;

static pubsub_err check_names(const filling *fill)
{
    const pubsub_connector *connector = fill->connector;
    for (size_t i = 0; i < fill->count; i++) {
        const char *nearest = NULL;
        if (bridge_setting_row(connector->settings, connector->setting_count, fill->names[i],
                               &nearest) != NULL) {
            continue;
        }
        return pubsub_error_set(fill->err, PUBSUB_EOPTION, "%s has no setting '%s'%s%s%s",
                                connector->name, fill->names[i],
                                nearest != NULL ? ", did you mean '" : "",
                                nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    }
    return PUBSUB_OK;
}

static pubsub_err add_value(filling *fill, const pubsub_setting *row, const char *text)
{
    char why[192];
    pubsub_setting_value *value = &fill->values[fill->used];
    if (!bridge_setting_check(row, text, false, &value->number, why, sizeof(why))) {
        return pubsub_error_set(fill->err, PUBSUB_EOPTION, "%s: %s", row->name, why);
    }
    value->name = row->name;
    value->text = pubsub__strdup(text);
    if (value->text == NULL) {
        return pubsub_error_set(fill->err, PUBSUB_ENOMEM, "out of memory");
    }
    fill->used++;
    return PUBSUB_OK;
}

static pubsub_err fill_row(filling *fill, const pubsub_setting *row)
{
    pubsub_err rc = PUBSUB_OK;
    size_t given = 0;
    for (size_t i = 0; rc == PUBSUB_OK && i < fill->count; i++) {
        if (strcmp(fill->names[i], row->name) != 0) {
            continue;
        }
        if (given++ > 0 && (row->flags & PUBSUB_SETTING_LIST) == 0) {
            return pubsub_error_set(fill->err, PUBSUB_EOPTION, "%s may be given only once",
                                    row->name);
        }
        rc = add_value(fill, row, fill->texts[i]);
    }
    if (rc != PUBSUB_OK || given > 0) {
        return rc;
    }
    if (row->def != NULL) {
        return add_value(fill, row, row->def);
    }
    if ((row->flags & PUBSUB_SETTING_REQUIRED) != 0) {
        return pubsub_error_set(fill->err, PUBSUB_EOPTION, "%s needs the setting '%s': %s",
                                fill->connector->name, row->name,
                                row->help != NULL ? row->help : "");
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_settings_new(const pubsub_connector *connector, const char *const *names,
                               const char *const *texts, size_t count, pubsub_setting_value **out,
                               size_t *out_count, pubsub_error *err)
{
    if (out == NULL || out_count == NULL || connector == NULL ||
        (count > 0 && (names == NULL || texts == NULL))) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "pubsub_settings_new: NULL");
    }
    *out = NULL;
    *out_count = 0;
    filling fill = {connector, names, texts, count, NULL, 0, err};
    pubsub_err rc = check_names(&fill);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    /* At most one for each that is given, and one default for each row. */
    fill.values = pubsub__calloc(count + connector->setting_count + 1, sizeof(*fill.values));
    if (fill.values == NULL) {
        return pubsub_error_set(err, PUBSUB_ENOMEM, "out of memory");
    }
    for (size_t i = 0; rc == PUBSUB_OK && i < connector->setting_count; i++) {
        rc = fill_row(&fill, &connector->settings[i]);
    }
    if (rc != PUBSUB_OK) {
        pubsub_settings_free(fill.values, fill.used);
        return rc;
    }
    *out = fill.values;
    *out_count = fill.used;
    return PUBSUB_OK;
}

/* Which of them are secret is not known here, so that all are wiped. */
static void free_text(const char *text)
{
    union {
        const char *shared;
        char *own;
    } as = {.shared = text}; /* made by pubsub__strdup */
    if (text != NULL) {
        pubsub__wipe(as.own, strlen(text));
        pubsub__free(as.own);
    }
}

void pubsub_settings_free(pubsub_setting_value *values, size_t count)
{
    for (size_t i = 0; values != NULL && i < count; i++) {
        free_text(values[i].text);
    }
    pubsub__free(values);
}
