/* SPDX-License-Identifier: MIT */
#include "connectors/models.h"

/* Linear: after a failed match only the last star is tried further on. */
bool bridge_model_fits(const char *pattern, pubsub_bytes model)
{
    const char *data = model.data;
    const char *star = NULL;
    size_t at = 0;
    size_t star_at = 0;
    while (at < model.len) {
        if (*pattern == '*') {
            star = ++pattern;
            star_at = at;
        } else if (*pattern == data[at]) {
            pattern++;
            at++;
        } else if (star != NULL) {
            pattern = star;
            at = ++star_at;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
