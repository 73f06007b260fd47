/* SPDX-License-Identifier: MIT */
#include "options/table.h"

#include "options/known.h"

#include <pubsub/options.h>

#include <string.h>

#define PREFIX_MAX 32

const pubsub_option_row *pubsub__option_row(const pubsub_option_row *rows, const char *name)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strcmp(rows->name, name) == 0 && strcmp(name, "*") != 0) {
            return rows;
        }
    }
    return NULL;
}

static const pubsub_option_row *star_row(const pubsub_option_row *rows)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if (strcmp(rows->name, "*") == 0) {
            return rows;
        }
    }
    return NULL;
}

void pubsub__option_offer(pubsub__nearest *nearest, const pubsub_option_row *rows, uint32_t scopes)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        if ((rows->scopes & scopes) != 0 && strcmp(rows->name, "*") != 0) {
            pubsub__nearest_offer(nearest, rows->name);
        }
    }
}

/* "unknown option 'x', did you mean 'y'?"; the name may be a secret put in the wrong place, so it is shown
 * only up to a length that names have. */
static pubsub_err unknown(pubsub_error *err, const char *name, const char *prefix,
                          const char *suggestion)
{
    const char *dot = prefix[0] == '\0' ? "" : ".";
    if (suggestion == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION, "unknown option '%.64s'", name);
    }
    return pubsub_error_set(err, PUBSUB_EOPTION, "unknown option '%.64s', did you mean '%s%s%s'?",
                            name, prefix, dot, suggestion);
}

static pubsub_err unknown_generic(const char *name, pubsub_error *err)
{
    bool known = false;
    for (size_t i = 0;; i++) {
        const char *adapter = pubsub__registry_adapter_name(i);
        if (adapter == NULL) {
            break;
        }
        const pubsub_option_row *rows = pubsub__registry_option_rows(adapter, &known);
        if (pubsub__option_row(rows, name) != NULL) {
            return unknown(err, name, adapter, name);
        }
    }
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, name);
    pubsub__option_offer(&nearest, pubsub__generic_options, UINT32_MAX);
    return unknown(err, name, "", pubsub__nearest_result(&nearest));
}

static pubsub_err unknown_prefix(const char *name, const char *prefix, const char *rest,
                                 pubsub_error *err)
{
    pubsub__nearest nearest;
    pubsub__nearest_init(&nearest, prefix);
    for (size_t i = 0; pubsub__registry_adapter_name(i) != NULL; i++) {
        pubsub__nearest_offer(&nearest, pubsub__registry_adapter_name(i));
    }
    const char *adapter = pubsub__nearest_result(&nearest);
    if (adapter == NULL) {
        return pubsub_error_set(err, PUBSUB_EOPTION,
                                "unknown option '%.64s': there is no adapter '%s'", name, prefix);
    }
    return unknown(err, name, adapter, rest);
}

pubsub_err pubsub__option_lookup(const char *name, const pubsub_option_row **row, pubsub_error *err)
{
    const char *dot = strchr(name, '.');
    *row = NULL;
    if (dot == NULL) {
        *row = pubsub__option_row(pubsub__generic_options, name);
        return *row == NULL ? unknown_generic(name, err) : PUBSUB_OK;
    }
    char prefix[PREFIX_MAX + 1];
    size_t len = (size_t)(dot - name);
    if (len == 0 || len > PREFIX_MAX || dot[1] == '\0') {
        return unknown(err, name, "", NULL);
    }
    memcpy(prefix, name, len);
    prefix[len] = '\0';
    bool known = false;
    const pubsub_option_row *rows = pubsub__registry_option_rows(prefix, &known);
    if (!known) {
        return unknown_prefix(name, prefix, dot + 1, err);
    }
    if (rows == NULL) {
        return PUBSUB_OK;
    }
    *row = pubsub__option_row(rows, dot + 1);
    if (*row == NULL) {
        *row = star_row(rows);
    }
    if (*row == NULL) {
        pubsub__nearest nearest;
        pubsub__nearest_init(&nearest, dot + 1);
        pubsub__option_offer(&nearest, rows, UINT32_MAX);
        return unknown(err, name, prefix, pubsub__nearest_result(&nearest));
    }
    return PUBSUB_OK;
}

const char *pubsub__option_scope_text(uint32_t scopes)
{
    static const char *const texts[] = {"nothing",
                                        "a client",
                                        "a subscribe",
                                        "a client or a subscribe",
                                        "a publish",
                                        "a client or a publish",
                                        "a subscribe or a publish",
                                        "a client, a subscribe or a publish"};
    return texts[scopes & 7];
}

const pubsub_option_row *pubsub_option_find(const char *name, pubsub_error *err)
{
    const pubsub_option_row *row = NULL;
    if (pubsub__option_lookup(name, &row, err) == PUBSUB_OK && row == NULL) {
        pubsub_error_set(err, PUBSUB_EOPTION, "the adapter of option '%.64s' is not built in",
                         name);
    }
    return row;
}

static size_t count_rows(const pubsub_option_row *rows)
{
    size_t count = 0;
    while (rows != NULL && rows[count].name != NULL) {
        count++;
    }
    return count;
}

const pubsub_option_row *pubsub_option_at(size_t index)
{
    size_t count = count_rows(pubsub__generic_options);
    if (index < count) {
        return &pubsub__generic_options[index];
    }
    index -= count;
    for (size_t i = 0; pubsub__registry_adapter_name(i) != NULL; i++) {
        bool known = false;
        const pubsub_option_row *rows =
            pubsub__registry_option_rows(pubsub__registry_adapter_name(i), &known);
        count = count_rows(rows);
        if (index < count) {
            return &rows[index];
        }
        index -= count;
    }
    return NULL;
}
