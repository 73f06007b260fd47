/* SPDX-License-Identifier: MIT */
#ifndef PUBSUB_BRIDGE_SETTINGS_H
#define PUBSUB_BRIDGE_SETTINGS_H

/* One text against one row of a table of settings. Whoever reads a file uses this row by row, so that
 * each wrong value is told with its own place. */

#include <pubsub/connector.h>

/* The longest text of one setting; documents of settings (selectors, programs) fit. */
#define BRIDGE_SETTING_TEXT_MAX (1024 * 1024)

/* Whether a text is a value of the row; *number is then its number as in pubsub_setting_value. If not,
 * `why` says what is expected, without the name: "\"80x\" is no whole number". The text is shown unless
 * `hide` or the row is secret. */
bool bridge_setting_check(const pubsub_setting *row, const char *text, bool hide, int64_t *number,
                          char *why, size_t why_size);

/* The row of a name; NULL when there is none. Then *nearest (may be NULL) is the name that was probably
 * meant, or NULL. */
const pubsub_setting *bridge_setting_row(const pubsub_setting *rows, size_t count, const char *name,
                                         const char **nearest);

#endif
