/* SPDX-License-Identifier: MIT */
#include <pubsub/options.h>

#include "base/alloc.h"
#include "base/text.h"
#include "base/utf8.h"
#include "options/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct option {
    char *name;
    char *value;
    int64_t number;
    const pubsub_option_row *row; /* NULL: of a known adapter that is not here, so unchecked */
} option;

/* Sorted by name. */
struct pubsub_options {
    option *items;
    size_t count;
    size_t cap;
};

pubsub_err pubsub_options_new(pubsub_options **out)
{
    if (out == NULL) {
        return PUBSUB_EINVAL;
    }
    *out = pubsub__calloc(1, sizeof(**out));
    return *out == NULL ? PUBSUB_ENOMEM : PUBSUB_OK;
}

static void free_text(char *text)
{
    if (text != NULL) {
        pubsub__wipe(text, strlen(text));
        pubsub__free(text);
    }
}

static void clear(pubsub_options *opts)
{
    for (size_t i = 0; i < opts->count; i++) {
        pubsub__free(opts->items[i].name);
        free_text(opts->items[i].value);
    }
    pubsub__free(opts->items);
    *opts = (pubsub_options){.items = NULL};
}

void pubsub_options_free(pubsub_options *opts)
{
    if (opts != NULL) {
        clear(opts);
        pubsub__free(opts);
    }
}

static size_t place_of(const pubsub_options *opts, const char *name, bool *found)
{
    size_t low = 0;
    size_t high = opts == NULL ? 0 : opts->count;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(opts->items[middle].name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const option *find(const pubsub_options *opts, const char *name)
{
    bool found = false;
    size_t place = place_of(opts, name, &found);
    return found ? &opts->items[place] : NULL;
}

static bool make_room(pubsub_options *opts)
{
    if (opts->count < opts->cap) {
        return true;
    }
    size_t cap = opts->cap == 0 ? 8 : opts->cap * 2;
    option *items = pubsub__realloc(opts->items, cap * sizeof(*items));
    if (items == NULL) {
        return false;
    }
    opts->items = items;
    opts->cap = cap;
    return true;
}

/* Store a value that has been checked; nothing changes on failure. */
static pubsub_err store(pubsub_options *opts, const char *name, const char *value, int64_t number,
                        const pubsub_option_row *row, pubsub_error *err)
{
    bool found = false;
    size_t place = place_of(opts, name, &found);
    if (!found && opts->count == PUBSUB_OPTIONS_MAX) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "more than %d options", PUBSUB_OPTIONS_MAX);
    }
    char *text = pubsub__strdup(value);
    char *key = found ? NULL : pubsub__strdup(name);
    if (text == NULL || (!found && (key == NULL || !make_room(opts)))) {
        free_text(text);
        pubsub__free(key);
        return pubsub_error_set(err, PUBSUB_ENOMEM, "no memory for option '%.64s'", name);
    }
    option *item = &opts->items[place];
    if (found) {
        free_text(item->value);
        key = item->name;
    } else {
        memmove(item + 1, item, (opts->count - place) * sizeof(*item));
        opts->count++;
    }
    *item = (option){.name = key, .value = text, .number = number, .row = row};
    return PUBSUB_OK;
}

pubsub_err pubsub_options_set(pubsub_options *opts, const char *name, const char *value,
                              pubsub_error *err)
{
    if (opts == NULL || name == NULL || value == NULL) {
        return pubsub_error_set(err, PUBSUB_EINVAL, "option set, name or value is NULL");
    }
    const pubsub_option_row *row = NULL;
    pubsub_err rc = pubsub__option_lookup(name, &row, err);
    if (rc != PUBSUB_OK) {
        return rc;
    }
    size_t len = strnlen(value, PUBSUB_OPTION_VALUE_MAX + 1);
    if (len > PUBSUB_OPTION_VALUE_MAX) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "option '%.64s': more than %d bytes", name,
                                PUBSUB_OPTION_VALUE_MAX);
    }
    size_t valid = pubsub__utf8_valid_prefix(value, len);
    if (valid < len) {
        return pubsub_error_set(err, PUBSUB_EUTF8,
                                "option '%.64s': the value is not UTF-8 at byte %zu", name, valid);
    }
    int64_t number = 0;
    if (row != NULL) {
        rc = pubsub__option_parse(row, name, value, &number, err);
    }
    return rc == PUBSUB_OK ? store(opts, name, value, number, row, err) : rc;
}

pubsub_err pubsub_options_set_int(pubsub_options *opts, const char *name, int64_t value,
                                  pubsub_error *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, value);
    return pubsub_options_set(opts, name, text, err);
}

pubsub_err pubsub_options_set_bool(pubsub_options *opts, const char *name, bool value,
                                   pubsub_error *err)
{
    return pubsub_options_set(opts, name, value ? "yes" : "no", err);
}

bool pubsub_options_unset(pubsub_options *opts, const char *name)
{
    bool found = false;
    size_t place = place_of(opts, name, &found);
    if (found) {
        option *item = &opts->items[place];
        pubsub__free(item->name);
        free_text(item->value);
        opts->count--;
        memmove(item, item + 1, (opts->count - place) * sizeof(*item));
    }
    return found;
}

static pubsub_err add_all(pubsub_options *opts, const pubsub_options *from)
{
    for (size_t i = 0; from != NULL && i < from->count; i++) {
        const option *item = &from->items[i];
        pubsub_err rc = store(opts, item->name, item->value, item->number, item->row, NULL);
        if (rc != PUBSUB_OK) {
            return rc;
        }
    }
    return PUBSUB_OK;
}

pubsub_err pubsub_options_copy(pubsub_options **out, const pubsub_options *from)
{
    pubsub_err rc = pubsub_options_new(out);
    if (rc == PUBSUB_OK) {
        rc = add_all(*out, from);
        if (rc != PUBSUB_OK) {
            pubsub_options_free(*out);
            *out = NULL;
        }
    }
    return rc;
}

pubsub_err pubsub_options_merge(pubsub_options *opts, const pubsub_options *from)
{
    if (opts == NULL) {
        return PUBSUB_EINVAL;
    }
    /* Into a copy, so that a failure in the middle changes nothing. */
    pubsub_options *merged = NULL;
    pubsub_err rc = pubsub_options_copy(&merged, opts);
    if (rc == PUBSUB_OK) {
        rc = add_all(merged, from);
    }
    if (rc == PUBSUB_OK) {
        pubsub_options old = *opts;
        *opts = *merged;
        *merged = old;
    }
    pubsub_options_free(merged);
    return rc;
}

bool pubsub_options_is_set(const pubsub_options *opts, const char *name)
{
    return find(opts, name) != NULL;
}

const char *pubsub_options_get(const pubsub_options *opts, const char *name)
{
    const option *item = find(opts, name);
    if (item != NULL) {
        return item->value;
    }
    const pubsub_option_row *row = pubsub_option_find(name, NULL);
    return row == NULL ? NULL : row->default_text;
}

pubsub_err pubsub_options_int(const pubsub_options *opts, const char *name, int64_t *out)
{
    const option *item = find(opts, name);
    const pubsub_option_row *row = item != NULL ? item->row : pubsub_option_find(name, NULL);
    if (row == NULL || row->type == PUBSUB_OPTION_TEXT) {
        return PUBSUB_EOPTION;
    }
    if (item != NULL) {
        *out = item->number;
        return PUBSUB_OK;
    }
    if (row->default_text == NULL) {
        return PUBSUB_ENOTFOUND;
    }
    int64_t number = 0;
    pubsub_err rc = pubsub__option_parse(row, name, row->default_text, &number, NULL);
    if (rc == PUBSUB_OK) {
        *out = number;
    }
    return rc;
}

pubsub_err pubsub_options_bool(const pubsub_options *opts, const char *name, bool *out)
{
    int64_t number = 0;
    const option *item = find(opts, name);
    const pubsub_option_row *row = item != NULL ? item->row : pubsub_option_find(name, NULL);
    if (row == NULL || row->type != PUBSUB_OPTION_BOOL) {
        return PUBSUB_EOPTION;
    }
    pubsub_err rc = pubsub_options_int(opts, name, &number);
    if (rc == PUBSUB_OK) {
        *out = number != 0;
    }
    return rc;
}

pubsub_err pubsub_options_check(const pubsub_options *opts, uint32_t scope, pubsub_error *err)
{
    for (size_t i = 0; opts != NULL && i < opts->count; i++) {
        const option *item = &opts->items[i];
        if (item->row != NULL && (item->row->scopes & scope) == 0) {
            return pubsub_error_set(err, PUBSUB_EOPTION, "option '%s' belongs to %s, not to %s",
                                    item->name, pubsub__option_scope_text(item->row->scopes),
                                    pubsub__option_scope_text(scope));
        }
    }
    return PUBSUB_OK;
}

size_t pubsub_options_count(const pubsub_options *opts)
{
    return opts == NULL ? 0 : opts->count;
}

const char *pubsub_options_at(const pubsub_options *opts, size_t index, const char **value,
                              bool *secret)
{
    if (opts == NULL || index >= opts->count) {
        return NULL;
    }
    const option *item = &opts->items[index];
    if (value != NULL) {
        *value = item->value;
    }
    if (secret != NULL) {
        /* What nobody checked may be anything. */
        *secret = item->row == NULL || item->row->secret;
    }
    return item->name;
}
