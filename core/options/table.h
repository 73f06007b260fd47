/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_OPTIONS_TABLE_H
#define PUBSUB_OPTIONS_TABLE_H

/* The option table: generic rows, names, and values checked against a row. */

#include "base/nearest.h"

#include <pubsub/spi/option.h>

/* The generic rows, ended by name == NULL. */
extern const pubsub_option_row pubsub__generic_options[];

/* The row with exactly this name among rows ended by NULL (rows may be NULL); never the "*" row. */
const pubsub_option_row *pubsub__option_row(const pubsub_option_row *rows, const char *name);

/* Find the row of a full name. PUBSUB_OK with *row NULL: the adapter is known, but its rows are not here.
 * PUBSUB_EOPTION names the nearest valid name. */
pubsub_err pubsub__option_lookup(const char *name, const pubsub_option_row **row,
                                 pubsub_error *err);

/* Offer the names of rows that have any of these scope bits. */
void pubsub__option_offer(pubsub__nearest *nearest, const pubsub_option_row *rows, uint32_t scopes);

/* Parse and check a value; *number gets what pubsub_options_int returns (0 for text). name is the full
 * name for messages, which never show the value of a secret. */
pubsub_err pubsub__option_parse(const pubsub_option_row *row, const char *name, const char *value,
                                int64_t *number, pubsub_error *err);

/* The index of a value in "a|b|c"; -1 when it is not among them. */
int pubsub__option_enum_index(const char *values, const char *value);

/* "client, subscribe" for scope bits. */
const char *pubsub__option_scope_text(uint32_t scopes);

#endif
