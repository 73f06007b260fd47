/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"
#include "connectors/models.h"
#include "connectors/webhook/internal.h"
#include "http/head.h"

#include <string.h>

/* Which model a request is for, and who wants it. */

/* A pattern stands for names a sender makes up: none of them may reach into other levels of a topic, or be
 * no part of one. */
static bool is_plain(pubsub_bytes model)
{
    const unsigned char *data = model.data;
    for (size_t i = 0; i < model.len; i++) {
        if (data[i] < ' ' || data[i] == 127 || memchr("/+#", data[i], 3) != NULL) {
            return false;
        }
    }
    return true;
}

bool webhook_wants(const webhook *self, pubsub_bytes model)
{
    if (model.len == 0) { /* the path has no {model}: it is the instance's only one */
        return true;
    }
    for (size_t i = 0; i < self->model_count; i++) {
        if (bridge_model_fits(self->models[i], model) &&
            (strchr(self->models[i], '*') == NULL || is_plain(model))) {
            return true;
        }
    }
    return false;
}

bool webhook_model_of(const webhook_config *config, pubsub_bytes path, pubsub__buf *out)
{
    const char *pattern = config->path;
    const char *at = strstr(pattern, "{model}");
    const char *tail = at != NULL ? at + 7 : "";
    const char *begin = path.data;
    size_t before = at != NULL ? (size_t)(at - pattern) : strlen(pattern);
    size_t after = strlen(tail);
    pubsub_bytes level = {NULL, 0};
    if (path.len < before + after || memcmp(begin, pattern, before) != 0 ||
        memcmp(begin + path.len - after, tail, after) != 0) {
        return false;
    }
    if (at == NULL) {
        return path.len == before;
    }
    level.data = begin + before;
    level.len = path.len - before - after;
    return level.len > 0 && memchr(level.data, '/', level.len) == NULL &&
           bridge_percent_decode(level, false, out) && pubsub__utf8_check(out->data, out->len);
}
